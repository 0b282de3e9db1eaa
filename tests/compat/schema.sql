-- Tables that the suites may read and write, the same in the database asked directly and in the one behind Lanyard.
CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
CREATE TABLE pgbench_tellers (tid int NOT NULL PRIMARY KEY, bid int, tbalance int, filler char(84));
CREATE TABLE pgbench_accounts (aid int NOT NULL PRIMARY KEY, bid int, abalance int, filler char(84));
CREATE TABLE pgbench_branches (bid int NOT NULL PRIMARY KEY, bbalance int, filler char(88));
INSERT INTO pgbench_branches SELECT 1, 0;
INSERT INTO pgbench_tellers SELECT t, 1, 0 FROM generate_series(1, 10) t;
INSERT INTO pgbench_accounts SELECT a, 1, 0, '' FROM generate_series(1, 100000) a;

CREATE TABLE product (
    id int PRIMARY KEY,
    name text NOT NULL UNIQUE,
    price numeric(10, 2) CHECK (price >= 0),
    added date DEFAULT '2026-01-01',
    tags text[] DEFAULT '{}',
    extra jsonb
);
CREATE TABLE sale (
    id bigint PRIMARY KEY,
    product_id int NOT NULL REFERENCES product (id),
    amount int NOT NULL,
    sold_at timestamptz NOT NULL
);
CREATE INDEX sale_sold_at ON sale (sold_at);
COMMENT ON TABLE product IS 'What is sold';
COMMENT ON COLUMN product.name IS 'Shown to customers';
INSERT INTO product
SELECT i, 'product ' || i, i * 1.5, date '2026-01-01' + i, ARRAY['t' || i % 3, 'x'], jsonb_build_object('n', i, 'even', i % 2 = 0)
FROM generate_series(1, 100) i;
INSERT INTO sale
SELECT i, 1 + i % 100, i % 7, timestamptz '2026-01-01 00:00:00+00' + i * interval '1 hour' FROM generate_series(1, 1000) i;
CREATE VIEW revenue AS
SELECT p.name, sum(p.price * s.amount) AS total FROM product p JOIN sale s ON s.product_id = p.id GROUP BY p.name;
ANALYZE;
