-- Small tables with gaps, repeats and texts that need quoting, for generated queries. Filled by arithmetic: every run has the
-- same rows.
CREATE SCHEMA lab;
CREATE TABLE lab.people (id int PRIMARY KEY, name text, email text, region text, born date, score int, boss int);
INSERT INTO lab.people
SELECT g, CASE WHEN g % 11 = 0 THEN NULL ELSE 'name ' || chr(97 + g % 9) || '''s' END,
       CASE WHEN g % 7 = 0 THEN NULL WHEN g % 13 = 0 THEN 'ab' ELSE 'user' || g % 40 || '@x.example' END,
       (ARRAY['EU', 'US', 'APAC', NULL, 'EU'])[1 + g % 5], CASE WHEN g % 9 = 0 THEN NULL ELSE date '1970-01-01' + g * 97 END,
       CASE WHEN g % 6 = 0 THEN NULL ELSE g * 7 % 150 - 20 END, CASE WHEN g % 4 = 0 THEN NULL ELSE g / 3 END
FROM generate_series(1, 90) g;
CREATE TABLE lab.products (id int PRIMARY KEY, title text, price numeric(10,2), cost numeric(10,2), category text, since date);
INSERT INTO lab.products
SELECT g, 'thing ' || g % 17, CASE WHEN g % 8 = 0 THEN NULL ELSE g * 13.37 END, g * 3.5,
       (ARRAY['toys', 'tools', 'home', NULL])[1 + g % 4], date '2015-01-01' + g * 11 FROM generate_series(1, 40) g;
CREATE TABLE lab.sales (id int PRIMARY KEY, person_id int, product_id int, amount numeric(10,2), qty int, sold date, channel text, note text);
INSERT INTO lab.sales
SELECT g, CASE WHEN g % 19 = 0 THEN NULL ELSE 1 + g * 7 % 95 END, 1 + g * 5 % 43, CASE WHEN g % 12 = 0 THEN NULL ELSE g * 3.21 % 250 END,
       g % 9, date '2020-01-01' + g * 3 % 700, (ARRAY['web', 'shop', 'internal', NULL, 'web'])[1 + g * 3 % 5],
       CASE WHEN g % 3 = 0 THEN NULL ELSE 'note ' || g END FROM generate_series(1, 160) g;
CREATE INDEX ON lab.sales (person_id);
CREATE TABLE lab.visits (person_id int, day date, page text, seconds int);
INSERT INTO lab.visits
SELECT 1 + g % 60, date '2021-01-01' + g % 50, (ARRAY['home', 'shop', 'web', 'a', NULL])[1 + g % 5], CASE WHEN g % 10 = 0 THEN NULL ELSE g % 77 END
FROM generate_series(1, 120) g;
ANALYZE lab.people, lab.products, lab.sales, lab.visits;
