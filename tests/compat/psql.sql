-- case: select and types
SELECT 1 AS int, 2.50 AS num, 'x'::text, true, NULL, ARRAY[1, 2], '{"a": 1}'::jsonb, date '2026-02-03', interval '1 day 02:03';
SELECT id, name, price, added, tags, extra FROM product ORDER BY id LIMIT 5;
SELECT count(*), min(sold_at AT TIME ZONE 'UTC'), max(amount) FROM sale;
-- case: joins, windows and recursion
SELECT p.name, sum(s.amount), rank() OVER (ORDER BY sum(s.amount) DESC, p.name) FROM product p JOIN sale s ON s.product_id = p.id GROUP BY p.name ORDER BY 3 LIMIT 7;
WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT * FROM n;
SELECT name, total FROM revenue ORDER BY total DESC, name LIMIT 3;
SELECT p.name, l.amount FROM product p, LATERAL (SELECT amount FROM sale s WHERE s.product_id = p.id ORDER BY id LIMIT 1) l WHERE p.id < 4 ORDER BY 1;
SELECT id / 10 AS ten, count(*), grouping(id / 10) FROM product GROUP BY ROLLUP (id / 10) ORDER BY 1 NULLS LAST;
-- case: describe a table
\d product
-- case: describe a table at length
\d+ sale
-- case: describe a view
\d revenue
-- case: describe an index
\d sale_sold_at
-- case: list tables by name
\dt product
\dt public.s*
-- case: list views
\dv
-- case: list indexes
\di sale*
-- case: functions of the system
\df pg_catalog.lower
-- case: operators of the system
\do pg_catalog.||
-- case: types of the system
\dT pg_catalog.int4
-- case: comments
\dd product
SELECT obj_description('product'::regclass), col_description('product'::regclass, 2);
-- case: variables and gset
SELECT count(*) AS n FROM product \gset
\echo :n
SELECT :n + 1;
SELECT :'n' || 'x';
-- case: gexec
SELECT format('SELECT %s * 2', id) FROM product WHERE id < 3 ORDER BY id \gexec
-- case: gdesc
SELECT id, name, price, tags FROM product \gdesc
-- case: crosstabview
SELECT id % 2, id % 3, count(*) FROM product GROUP BY 1, 2 ORDER BY 1, 2 \crosstabview
-- case: expanded and unaligned
\x
SELECT * FROM product WHERE id = 7;
\x
\pset format unaligned
SELECT id, name FROM product WHERE id < 3 ORDER BY id;
\pset format csv
SELECT id, name, tags FROM product WHERE id < 3 ORDER BY id;
-- case: conditions
SELECT 1 = 1 AS yes \gset
\if :yes
SELECT 'taken';
\else
SELECT 'not taken';
\endif
-- case: copy out
COPY (SELECT id, name FROM product WHERE id < 4 ORDER BY id) TO STDOUT;
COPY (SELECT id, name FROM product WHERE id < 4 ORDER BY id) TO STDOUT WITH (FORMAT csv, HEADER);
\copy (SELECT id FROM product WHERE id < 3 ORDER BY id) TO STDOUT
-- case: copy a table out
COPY product (id, name) TO STDOUT;
-- case: copy in
BEGIN;
COPY sale (id, product_id, amount, sold_at) FROM STDIN;
900001	1	2	2026-05-01 00:00:00+00
900002	2	3	2026-05-02 00:00:00+00
\.
SELECT id, amount FROM sale WHERE id > 900000 ORDER BY id;
ROLLBACK;
-- case: insert, update, delete, returning
BEGIN;
INSERT INTO product (id, name, price) VALUES (1000, 'new', 3), (1001, 'newer', 4) RETURNING id, name, added;
UPDATE product SET price = price + 1 WHERE id >= 1000 RETURNING id, price;
DELETE FROM product WHERE id = 1000 RETURNING *;
SELECT count(*) FROM product;
ROLLBACK;
SELECT count(*) FROM product;
-- case: upsert
BEGIN;
INSERT INTO product (id, name, price) VALUES (1, 'product 1', 9) ON CONFLICT (id) DO UPDATE SET price = excluded.price RETURNING id, price;
INSERT INTO product (id, name, price) VALUES (1, 'product 1', 9) ON CONFLICT DO NOTHING;
ROLLBACK;
-- case: constraint errors
INSERT INTO product (id, name, price) VALUES (1, 'again', 3);
INSERT INTO product (id, name, price) VALUES (2000, 'cheap', -3);
INSERT INTO sale VALUES (950000, 99999, 1, now());
INSERT INTO product (id) VALUES (2001);
-- case: syntax and name errors
SELECT * FROM nowhere;
SELECT nothing FROM product;
SELEC 1;
SELECT 1/0;
SELECT name + 1 FROM product;
SELECT nofunction(1);
-- case: transactions
BEGIN;
SELECT 1/0;
SELECT 1;
ROLLBACK;
BEGIN;
SAVEPOINT a;
SELECT 1/0;
ROLLBACK TO a;
SELECT 2;
COMMIT;
START TRANSACTION READ ONLY;
UPDATE product SET price = 1 WHERE id = 1;
ROLLBACK;
-- case: cursors
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM product ORDER BY id;
FETCH 3 FROM c;
MOVE FORWARD 5 FROM c;
FETCH BACKWARD 2 FROM c;
FETCH LAST FROM c;
CLOSE c;
COMMIT;
-- case: fetch count
\set FETCH_COUNT 10
SELECT id FROM product ORDER BY id LIMIT 25;
-- case: prepare and execute
PREPARE p(int) AS SELECT name FROM product WHERE id = $1;
EXECUTE p(3);
EXECUTE p(4);
DEALLOCATE p;
EXECUTE p(5);
-- case: settings
SET datestyle TO 'German';
SELECT date '2026-03-04';
RESET datestyle;
SET TIME ZONE 'America/New_York';
SELECT timestamptz '2026-01-01 00:00:00+00';
SHOW timezone;
SET LOCAL work_mem = '8MB';
SHOW server_encoding;
-- case: search path
SHOW search_path;
SET search_path TO public, pg_catalog;
SHOW search_path;
SELECT count(*) FROM product;
SELECT current_schema();
-- case: identity
SELECT current_database() IS NOT NULL, current_user = session_user;
-- case: explain
EXPLAIN (COSTS OFF) SELECT name FROM product WHERE id = 3;
-- case: several statements in one message
\;SELECT 1\; SELECT 2\; SELECT count(*) FROM product;
-- case: information schema
SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1;
SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name = 'product' ORDER BY ordinal_position;
SELECT constraint_name, constraint_type FROM information_schema.table_constraints WHERE table_name = 'sale' AND constraint_type <> 'CHECK' ORDER BY 1;
-- case: catalog
SELECT relname, relkind FROM pg_class WHERE relname IN ('product', 'sale', 'revenue') ORDER BY 1;
SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute WHERE attrelid = 'product'::regclass AND attnum > 0 ORDER BY attnum;
SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'sale'::regclass ORDER BY 1;
SELECT indexdef FROM pg_indexes WHERE tablename = 'sale' ORDER BY 1;
-- case: view definition
SELECT pg_get_viewdef('revenue'::regclass, true);
-- case: temporary table
CREATE TEMP TABLE scratch (a int, b text);
INSERT INTO scratch VALUES (1, 'x'), (2, 'y');
SELECT s.b, p.name FROM scratch s JOIN product p ON p.id = s.a ORDER BY 1;
DROP TABLE scratch;
-- case: table of one's own
CREATE TABLE own (id serial PRIMARY KEY, v text UNIQUE);
INSERT INTO own (v) VALUES ('a'), ('b') RETURNING id;
ALTER TABLE own ADD COLUMN w int DEFAULT 5;
SELECT * FROM own ORDER BY id;
\d own
DROP TABLE own;
-- case: create table as and indexes
CREATE TABLE copied AS SELECT id, name FROM product WHERE id < 6;
CREATE INDEX copied_name ON copied (name);
SELECT * FROM copied ORDER BY id;
TRUNCATE copied;
SELECT count(*) FROM copied;
DROP TABLE copied;
-- case: notices
SET client_min_messages = notice;
DROP TABLE IF EXISTS not_there;
-- case: strings and escapes
SELECT 'it''s', E'a\tb', $$dollar$$, $x$ tagged $$ $x$, U&'\0061', B'101', X'1F';
SELECT 'a' 'b'
-- comment
;
-- case: json and arrays
SELECT extra -> 'n', extra ->> 'even', extra @> '{"n": 3}' FROM product WHERE id BETWEEN 2 AND 4 ORDER BY id;
SELECT unnest(tags) AS tag, count(*) FROM product GROUP BY 1 ORDER BY 1;
SELECT array_agg(id ORDER BY id) FROM product WHERE id < 5;
SELECT jsonb_path_query_array(extra, '$.n') FROM product WHERE id = 3;
-- case: text search, ranges and regular expressions
SELECT name FROM product WHERE name ~ '^product 1[0-3]$' ORDER BY 1;
SELECT to_tsvector('simple', 'a quick fox') @@ to_tsquery('simple', 'fox');
SELECT int4range(1, 5) @> 3, '[2026-01-01,2026-02-01)'::daterange && '[2026-01-15,)'::daterange;
-- case: row values and composites
SELECT (1, 'x') = (1, 'x'), ROW(1, 2) < ROW(1, 3);
SELECT product FROM product WHERE id = 1;
SELECT (p).name FROM product p WHERE id = 1;
-- case: large result
SELECT aid, repeat('x', 50) FROM pgbench_accounts ORDER BY aid LIMIT 20000;
