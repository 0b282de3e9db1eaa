-- What the attacks in catalogue.json attack: tables, and the bystanders an earlier DBA left (an owner-rights view, a
-- materialized view, a SECURITY DEFINER function, partition and inheritance children, extended statistics, a large
-- object). Loaded by the superuser before the bootstrap. The secrets are named at the end.
CREATE SCHEMA app; SET search_path = app, public;
CREATE TABLE customers (
  id int PRIMARY KEY, firstname text NOT NULL, lastname text NOT NULL, ssn text NOT NULL UNIQUE,
  email text, region text NOT NULL, balance numeric(12,2) NOT NULL, created date NOT NULL DEFAULT '2024-01-01',
  attrs jsonb NOT NULL DEFAULT '{}');
INSERT INTO customers VALUES
 (1,'Ada','Lovelace','111-11-1111','ada@eu.example','EU',  100.00,'2024-01-01','{"vip":true}'),
 (2,'Alan','Turing','222-22-2222','alan@eu.example','EU', 200.00,'2024-02-01','{}'),
 (3,'Grace','Hopper','333-33-3333','grace@us.example','US', 999999.99,'2024-03-01','{"vip":true}'),   -- hidden row (region US)
 (4,'Mallory','SECRETNAME','666-66-6666','mal@us.example','US', 0.00,'2024-04-01','{}');               -- hidden row, balance 0 => 1/0 oracle
INSERT INTO customers SELECT g,'F'||g,'L'||lpad(g::text,6,'0'), lpad((g%999)::text,3,'0')||'-'||lpad((g%97)::text,2,'0')||'-'||lpad(g::text,6,'0'),
   'u'||g||'@x.example', (ARRAY['EU','US','APAC','LATAM'])[1+g%4], g, date '2024-01-01'+(g%300), '{}' FROM generate_series(100,2099) g;
CREATE INDEX customers_lastname ON customers(lastname text_pattern_ops);
CREATE INDEX customers_region_created ON customers(region, created);
CREATE INDEX customers_lower_lastname ON customers(lower(lastname));
CREATE INDEX customers_balance ON customers(balance);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers(id), amount numeric(12,2) NOT NULL, note text);
INSERT INTO orders SELECT g, CASE WHEN g<10 THEN 1+g%4 ELSE 100+g%2000 END, g*1.5, 'note '||g FROM generate_series(1,4000) g;
CREATE INDEX ON orders(customer_id);
CREATE TABLE employees (id int PRIMARY KEY, name text NOT NULL, manager_id int REFERENCES employees(id), salary int NOT NULL, ssn text NOT NULL, region text NOT NULL);
INSERT INTO employees VALUES (1,'Root',NULL,500000,'900-00-0001','US'),(2,'Bob',1,100000,'900-00-0002','EU'),(3,'Eve',1,120000,'900-00-0003','US');
-- partitioned table: children are separately addressable
CREATE TABLE events (id int, region text, payload text) PARTITION BY LIST (region);
CREATE TABLE events_eu PARTITION OF events FOR VALUES IN ('EU');
CREATE TABLE events_us PARTITION OF events FOR VALUES IN ('US');
INSERT INTO events VALUES (1,'EU','eu-payload'),(2,'US','US-SECRET-PAYLOAD');
-- inheritance child
CREATE TABLE customers_archive (archived_at date) INHERITS (customers);
INSERT INTO customers_archive(id,firstname,lastname,ssn,email,region,balance,archived_at) VALUES (9001,'Old','ARCHIVED-US','777-77-7777','o@x','US',1,'2020-01-01');
-- things a DBA made earlier and that read the protected table
CREATE VIEW v_all_customers AS SELECT * FROM customers;                     -- owner-rights view = bypass if granted
CREATE MATERIALIZED VIEW mv_customers AS SELECT id,lastname,ssn,region FROM customers WHERE id < 100;
CREATE FUNCTION sd_customer(i int) RETURNS customers LANGUAGE sql SECURITY DEFINER AS 'SELECT * FROM app.customers WHERE id=i';
CREATE TABLE audit_log (at timestamptz DEFAULT now(), who text DEFAULT session_user, what text);
CREATE STATISTICS customers_st (mcv) ON region, lastname FROM customers;
SELECT lo_from_bytea(770001, 'LO-SECRET'::bytea);
ANALYZE;
-- What the attacks on writing aim at.
CREATE TABLE notes(id int PRIMARY KEY, region text NOT NULL, body text NOT NULL, ref int REFERENCES customers(id), slug text UNIQUE);
INSERT INTO notes VALUES (1,'EU','eu body',1,'s1'),(2,'US','US-SECRET-BODY',3,'s2');
-- Executable by PUBLIC, as functions are unless somebody revokes it: no floor stops it.
CREATE FUNCTION public.leak_customer(i int) RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT lastname FROM app.customers WHERE id=i';
-- Nobody is granted these.
CREATE TABLE ledger (id int PRIMARY KEY, secret text); INSERT INTO ledger VALUES (1, 'LEDGER-SECRET');
CREATE TABLE public.hidden_thing (id int PRIMARY KEY, secret text); INSERT INTO public.hidden_thing VALUES (1, 'HIDDEN-SECRET');
-- What a writer's statements could speak of: where a granted table leads, what leads to one, and names of objects in a column.
ALTER TABLE notes ADD gold int REFERENCES ledger DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE order_marks (id int PRIMARY KEY REFERENCES orders); INSERT INTO order_marks VALUES (7);
CREATE TABLE kinds (id int PRIMARY KEY, region text NOT NULL, k regclass); INSERT INTO kinds VALUES (1, 'EU', 'app.orders');
CREATE SCHEMA vault; CREATE TABLE vault.gold (id int PRIMARY KEY);
ANALYZE;
RESET search_path;
-- Protected: eu_analyst sees rows of region EU alone; ssn comes out with its last four digits, salary as NULL. Secrets:
-- names and ssn of US rows, every whole ssn, salaries, US-SECRET-PAYLOAD, US-SECRET-BODY, ARCHIVED-US, LO-SECRET,
-- balance 999999.99, LEDGER-SECRET, HIDDEN-SECRET, and that app.ledger,
-- app.order_marks, public.hidden_thing and schema vault exist.
