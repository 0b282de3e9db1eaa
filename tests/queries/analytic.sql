-- Wide questions as agents ask them, over TPC-H's tables. One statement each, ended by a line that is only a semicolon.
-- Orders are total where a LIMIT cuts, so that rows are the same wherever they are read.
WITH monthly AS (SELECT date_trunc('month', o_orderdate) AS month, sum(o_totalprice) AS revenue FROM orders GROUP BY 1)
SELECT month, revenue, lag(revenue) OVER (ORDER BY month) AS before,
       round(100 * (revenue / nullif(lag(revenue) OVER (ORDER BY month), 0) - 1), 2) AS growth FROM monthly ORDER BY month
;
SELECT n_name, date_part('year', o_orderdate) AS year, sum(o_totalprice) AS total,
       rank() OVER (PARTITION BY date_part('year', o_orderdate) ORDER BY sum(o_totalprice) DESC) AS place
FROM orders JOIN customer ON c_custkey = o_custkey JOIN nation ON n_nationkey = c_nationkey GROUP BY 1, 2
;
SELECT c_mktsegment, o_orderpriority, count(*), sum(o_totalprice) FROM customer JOIN orders ON o_custkey = c_custkey
GROUP BY GROUPING SETS ((c_mktsegment, o_orderpriority), (c_mktsegment), ())
;
SELECT coalesce(r_name, 'all') AS region, coalesce(n_name, 'all') AS nation, count(c_custkey), grouping(r_name, n_name)
FROM region JOIN nation ON n_regionkey = r_regionkey LEFT JOIN customer ON c_nationkey = n_nationkey GROUP BY ROLLUP (r_name, n_name)
;
SELECT l_shipmode, l_returnflag, count(*), avg(l_quantity) FROM lineitem GROUP BY CUBE (l_shipmode, l_returnflag) HAVING count(*) > 3
;
SELECT c.c_name, last.o_orderkey, last.o_totalprice FROM customer c
CROSS JOIN LATERAL (SELECT o_orderkey, o_totalprice FROM orders o WHERE o.o_custkey = c.c_custkey
                    ORDER BY o_orderdate DESC, o_orderkey DESC LIMIT 2) last
;
SELECT c_name, (SELECT count(*) FROM orders WHERE o_custkey = c_custkey) AS orders,
       (SELECT max(o_totalprice) FROM orders o WHERE o.o_custkey = customer.c_custkey) AS largest FROM customer
;
SELECT o_orderpriority, count(*) AS everything, count(*) FILTER (WHERE o_orderstatus = 'F') AS finished,
       sum(o_totalprice) FILTER (WHERE o_orderdate >= DATE '1996-01-01') AS recent FROM orders GROUP BY o_orderpriority
;
SELECT l_shipmode, percentile_cont(0.5) WITHIN GROUP (ORDER BY l_extendedprice) AS median,
       percentile_cont(ARRAY[0.25, 0.75]) WITHIN GROUP (ORDER BY l_extendedprice) AS quartiles,
       percentile_disc(0.9) WITHIN GROUP (ORDER BY l_quantity) AS p90, mode() WITHIN GROUP (ORDER BY l_returnflag) AS usual
FROM lineitem GROUP BY l_shipmode
;
SELECT n_name, json_agg(json_build_object('name', s_name, 'balance', s_acctbal) ORDER BY s_suppkey) AS suppliers
FROM supplier JOIN nation ON n_nationkey = s_nationkey GROUP BY n_name
;
SELECT jsonb_object_agg(r_name, nations) FROM (SELECT r_name, jsonb_agg(n_name ORDER BY n_name) AS nations
  FROM region JOIN nation ON n_regionkey = r_regionkey GROUP BY r_name) x
;
SELECT day::date, count(o_orderkey) AS orders FROM generate_series('1995-01-01'::timestamp, '1995-03-31', '1 day') AS day
LEFT JOIN orders ON o_orderdate = day::date GROUP BY day ORDER BY day
;
WITH calendar AS (SELECT generate_series(DATE '1994-01-01', DATE '1994-12-01', INTERVAL '1 month')::date AS month)
SELECT c.month, coalesce(sum(o.o_totalprice), 0) AS revenue FROM calendar c
LEFT JOIN orders o ON o.o_orderdate >= c.month AND o.o_orderdate < (c.month + INTERVAL '1 month')::date GROUP BY c.month ORDER BY c.month
;
WITH RECURSIVE days(d) AS (SELECT DATE '1995-01-01' UNION ALL SELECT d + 7 FROM days WHERE d < DATE '1995-12-31')
SELECT d, (SELECT count(*) FROM orders WHERE o_orderdate BETWEEN d AND d + 6) AS week FROM days ORDER BY d
;
WITH RECURSIVE tree AS (
  SELECT n_nationkey AS id, n_regionkey AS parent, n_name::text AS path, 1 AS depth FROM nation WHERE n_nationkey < 5
  UNION ALL SELECT n.n_nationkey, t.id, t.path || ' > ' || n.n_name, t.depth + 1 FROM nation n JOIN tree t ON n.n_regionkey = t.id WHERE t.depth < 3)
SELECT * FROM tree ORDER BY path
;
WITH first AS (SELECT o_custkey, min(date_trunc('quarter', o_orderdate)) AS cohort FROM orders GROUP BY o_custkey),
activity AS (SELECT f.cohort, date_trunc('quarter', o.o_orderdate) AS quarter, o.o_custkey FROM orders o JOIN first f USING (o_custkey))
SELECT cohort, quarter, count(DISTINCT o_custkey) AS customers, round(100.0 * count(DISTINCT o_custkey)
       / first_value(count(DISTINCT o_custkey)) OVER (PARTITION BY cohort ORDER BY quarter), 1) AS retained
FROM activity GROUP BY cohort, quarter ORDER BY cohort, quarter
;
SELECT c_nationkey, string_agg(c_name, ', ' ORDER BY c_name) AS names, array_agg(DISTINCT c_mktsegment ORDER BY c_mktsegment) AS segments
FROM customer GROUP BY c_nationkey
;
SELECT c_custkey, segments FROM (SELECT o_custkey AS c_custkey, array_agg(DISTINCT o_orderpriority) AS segments FROM orders GROUP BY 1) x
WHERE segments @> ARRAY['1-URGENT'::varchar] AND NOT segments && ARRAY['5-LOW'::varchar]
;
SELECT DISTINCT ON (o_custkey) o_custkey, o_orderkey, o_orderdate, o_totalprice FROM orders ORDER BY o_custkey, o_orderdate DESC, o_orderkey
;
SELECT v.label, count(o_orderkey) FROM (VALUES ('small', 0, 50000), ('middle', 50000, 150000), ('large', 150000, 10000000)) AS v(label, low, high)
LEFT JOIN orders ON o_totalprice >= v.low AND o_totalprice < v.high GROUP BY v.label
;
SELECT c_custkey, c_name, sum(o_totalprice) AS total, ntile(4) OVER (ORDER BY sum(o_totalprice) DESC, c_custkey) AS quartile
FROM customer JOIN orders ON o_custkey = c_custkey GROUP BY c_custkey, c_name
;
SELECT c.c_custkey, c.c_name, c.c_acctbal, count(o.o_orderkey) AS orders FROM customer c LEFT JOIN orders o ON o.o_custkey = c.c_custkey
GROUP BY c.c_custkey ORDER BY orders DESC, c.c_custkey LIMIT 20
;
SELECT o_orderkey, o_orderdate, o_totalprice, sum(o_totalprice) OVER (ORDER BY o_orderdate, o_orderkey ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) AS running,
       avg(o_totalprice) OVER (ORDER BY o_orderdate RANGE BETWEEN INTERVAL '7 days' PRECEDING AND CURRENT ROW) AS week
FROM orders WHERE o_orderdate < DATE '1993-01-01'
;
SELECT p_brand, p_size, avg(p_retailprice) AS price, avg(avg(p_retailprice)) OVER (PARTITION BY p_brand) AS brand,
       cume_dist() OVER w, percent_rank() OVER w FROM part GROUP BY p_brand, p_size WINDOW w AS (ORDER BY avg(p_retailprice), p_brand, p_size)
;
SELECT CASE WHEN c_acctbal < 0 THEN 'debt' WHEN c_acctbal < 5000 THEN 'usual' ELSE 'rich' END AS class, count(*), round(avg(c_acctbal), 2)
FROM customer GROUP BY 1 ORDER BY 2 DESC, 1
;
SELECT width_bucket(o_totalprice, 0, 500000, 10) AS bucket, count(*), min(o_totalprice), max(o_totalprice) FROM orders GROUP BY bucket ORDER BY bucket
;
SELECT extract(dow FROM o_orderdate) AS weekday, to_char(o_orderdate, 'Dy') AS name, count(*) FROM orders GROUP BY 1, 2
;
SELECT to_char(date_trunc('month', l_shipdate), 'YYYY-MM') AS month, sum(l_extendedprice * (1 - l_discount)) AS net,
       sum(sum(l_extendedprice * (1 - l_discount))) OVER (ORDER BY date_trunc('month', l_shipdate)) AS cumulated
FROM lineitem GROUP BY date_trunc('month', l_shipdate)
;
SELECT s_name FROM supplier s WHERE NOT EXISTS (SELECT 1 FROM partsupp ps JOIN part p ON p.p_partkey = ps.ps_partkey
  WHERE ps.ps_suppkey = s.s_suppkey AND p.p_size > 45)
;
SELECT c_name FROM customer WHERE c_custkey IN (SELECT o_custkey FROM orders GROUP BY o_custkey HAVING sum(o_totalprice) > (SELECT avg(t) * 1.5
  FROM (SELECT sum(o_totalprice) AS t FROM orders GROUP BY o_custkey) x))
;
SELECT o_orderkey, o_totalprice FROM orders WHERE o_totalprice > ALL (SELECT avg(o_totalprice) FROM orders GROUP BY o_orderpriority)
;
SELECT c_custkey FROM customer EXCEPT SELECT o_custkey FROM orders
;
(SELECT 'customer' AS kind, count(*) FROM customer) UNION ALL (SELECT 'supplier', count(*) FROM supplier) UNION ALL SELECT 'part', count(*) FROM part ORDER BY 1
;
SELECT l_suppkey, count(*) FROM lineitem GROUP BY l_suppkey INTERSECT ALL SELECT ps_suppkey, count(*) FROM partsupp GROUP BY ps_suppkey
;
SELECT a.n_name, b.n_name, count(*) FROM orders JOIN customer ON c_custkey = o_custkey JOIN nation a ON a.n_nationkey = c_nationkey
JOIN lineitem ON l_orderkey = o_orderkey JOIN supplier ON s_suppkey = l_suppkey JOIN nation b ON b.n_nationkey = s_nationkey
WHERE a.n_nationkey <> b.n_nationkey GROUP BY 1, 2 HAVING count(*) >= 5
;
SELECT regr_slope(l_extendedprice, l_quantity), regr_intercept(l_extendedprice, l_quantity), round(corr(l_extendedprice, l_quantity)::numeric, 6),
       covar_pop(l_discount, l_tax) FROM lineitem
;
SELECT stddev_samp(o_totalprice)::numeric(20,4), variance(o_totalprice)::numeric(30,4), bool_or(o_orderstatus = 'P'), every(o_totalprice > 0), bit_or(o_orderkey) FROM orders
;
WITH ranked AS (SELECT *, row_number() OVER (PARTITION BY o_custkey ORDER BY o_totalprice DESC, o_orderkey) AS n FROM orders)
SELECT r.o_custkey, max(o_totalprice) FILTER (WHERE n = 1) AS first, max(o_totalprice) FILTER (WHERE n = 2) AS second,
       max(o_totalprice) FILTER (WHERE n = 3) AS third FROM ranked r WHERE n <= 3 GROUP BY r.o_custkey
;
WITH steps AS (SELECT o_custkey, o_orderdate, o_orderdate - lag(o_orderdate) OVER (PARTITION BY o_custkey ORDER BY o_orderdate, o_orderkey) AS gap FROM orders),
sessions AS (SELECT *, sum(CASE WHEN gap IS NULL OR gap > 365 THEN 1 ELSE 0 END) OVER (PARTITION BY o_custkey ORDER BY o_orderdate, gap) AS session FROM steps)
SELECT o_custkey, session, min(o_orderdate), max(o_orderdate), count(*) FROM sessions GROUP BY 1, 2
;
SELECT split_part(p_type, ' ', 3) AS metal, count(*), round(avg(p_retailprice), 2), min(p_name COLLATE "C") FROM part GROUP BY 1
;
SELECT upper(left(c_mktsegment, 1)) || lower(substring(c_mktsegment FROM 2)) AS segment, regexp_replace(c_phone, '\D', '', 'g') AS digits,
       position('-' IN c_phone), length(c_address), md5(c_name) FROM customer WHERE c_phone ~ '^1[0-9]-' ORDER BY c_custkey
;
SELECT c_name, p.part FROM customer, regexp_split_to_table(c_phone, '-') WITH ORDINALITY AS p(part, place) WHERE place = 1 AND c_custkey < 20
;
SELECT tag, count(*) FROM part, unnest(string_to_array(p_name, ' ')) AS tag GROUP BY tag ORDER BY count(*) DESC, tag LIMIT 15
;
SELECT o.o_orderkey, i.doc -> 'lines' -> 0 ->> 'part' AS first_part, jsonb_array_length(i.doc -> 'lines') AS lines FROM orders o
JOIN LATERAL (SELECT jsonb_build_object('lines', jsonb_agg(jsonb_build_object('part', l_partkey, 'price', l_extendedprice) ORDER BY l_linenumber)) AS doc
              FROM lineitem WHERE l_orderkey = o.o_orderkey) i ON true WHERE o.o_orderkey < 100
;
SELECT x.key, count(*) FROM customer c, LATERAL jsonb_each_text(to_jsonb(c)) AS x(key, value) WHERE x.value LIKE '%a%' GROUP BY x.key
;
SELECT r.id, r.size FROM part, LATERAL jsonb_to_record(jsonb_build_object('id', p_partkey, 'size', p_size)) AS r(id int, size int) WHERE p_size = 10
;
SELECT row_to_json(t) FROM (SELECT n_name, n_regionkey FROM nation ORDER BY n_name LIMIT 5) t
;
SELECT jsonb_path_query_array(jsonb_agg(o_totalprice ORDER BY o_orderkey), '$[*] ? (@ > 300000)') FROM orders
;
SELECT c_custkey, c_acctbal, greatest(c_acctbal, 0) AS positive, least(c_acctbal, 1000), nullif(c_nationkey, 0), coalesce(nullif(c_comment, ''), 'none')
FROM customer ORDER BY c_acctbal DESC NULLS LAST, c_custkey OFFSET 5 FETCH FIRST 10 ROWS ONLY
;
SELECT o_orderdate, age(DATE '1999-01-01', o_orderdate), DATE '1999-01-01' - o_orderdate AS days, o_orderdate + INTERVAL '1 month' AS due,
       make_date(extract(year FROM o_orderdate)::int, 12, 31) AS year_end, (o_orderdate, o_orderdate + 30) OVERLAPS (DATE '1995-01-01', DATE '1995-02-01')
FROM orders WHERE o_orderkey < 50
;
SELECT date_bin('10 days', l_shipdate::timestamp, TIMESTAMP '1992-01-01') AS slot, count(*) FROM lineitem GROUP BY 1 ORDER BY 1
;
SELECT l_shipdate AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York' AS local, count(*) FROM lineitem WHERE l_orderkey < 40 GROUP BY 1
;
WITH big AS MATERIALIZED (SELECT * FROM lineitem WHERE l_quantity > 40), small AS NOT MATERIALIZED (SELECT * FROM part WHERE p_size < 5)
SELECT count(*), sum(big.l_extendedprice) FROM big JOIN small ON p_partkey = l_partkey
;
SELECT p_brand, count(DISTINCT ps_suppkey) AS suppliers, sum(ps_supplycost * ps_availqty) AS value FROM part JOIN partsupp ON ps_partkey = p_partkey
WHERE p_type NOT LIKE 'PROMO%' AND p_size = ANY ('{1,5,9,13,17,21}') GROUP BY p_brand ORDER BY value DESC, p_brand
;
SELECT n_name, sum(CASE WHEN extract(year FROM o_orderdate) = 1995 THEN o_totalprice END) AS y1995,
       sum(CASE WHEN extract(year FROM o_orderdate) = 1996 THEN o_totalprice END) AS y1996 FROM nation
JOIN customer ON c_nationkey = n_nationkey JOIN orders ON o_custkey = c_custkey GROUP BY n_name
;
SELECT * FROM (SELECT o_custkey, o_orderkey, dense_rank() OVER (PARTITION BY o_custkey ORDER BY o_totalprice DESC) AS place FROM orders) x WHERE place = 2
;
SELECT c_custkey, o_orderkey FROM customer FULL OUTER JOIN orders ON o_custkey = c_custkey AND o_totalprice > 200000 WHERE c_custkey IS NULL OR o_orderkey IS NULL
;
SELECT a.l_partkey, b.l_partkey, count(*) AS together FROM lineitem a JOIN lineitem b ON a.l_orderkey = b.l_orderkey AND a.l_partkey < b.l_partkey
GROUP BY 1, 2 ORDER BY together DESC, 1, 2 LIMIT 10
;
SELECT customer.*, nation.n_name FROM customer JOIN nation ON nation.n_nationkey = customer.c_nationkey WHERE customer.c_custkey BETWEEN 10 AND 15
;
SELECT retail.customer.c_name, retail.nation.n_name FROM retail.customer, retail.nation WHERE retail.customer.c_nationkey = retail.nation.n_nationkey AND c_custkey < 12
;
SELECT c FROM customer c WHERE c.c_custkey = 7
;
SELECT (ROW(n_name, n_regionkey)) = (ROW('FRANCE'::bpchar, 3)) AS same, n_name FROM nation
;
SELECT o_orderstatus, array_agg(o_orderkey ORDER BY o_orderkey) FILTER (WHERE o_totalprice > 400000) AS large, (array_agg(o_orderkey ORDER BY o_totalprice DESC, o_orderkey))[1:3] AS top
FROM orders GROUP BY o_orderstatus
;
SELECT nth_value(o_orderkey, 2) OVER w AS second, last_value(o_orderkey) OVER w AS last, o_custkey FROM orders
WINDOW w AS (PARTITION BY o_custkey ORDER BY o_orderdate, o_orderkey ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
;
SELECT sum(o_totalprice) OVER (ORDER BY o_orderdate GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE CURRENT ROW) AS near, o_orderkey FROM orders WHERE o_orderkey < 200
;
WITH RECURSIVE walk(a, b) AS (SELECT n_nationkey, n_regionkey FROM nation WHERE n_nationkey = 3 UNION SELECT n.n_nationkey, n.n_regionkey FROM nation n, walk w
  WHERE n.n_nationkey = w.b) SEARCH DEPTH FIRST BY a SET place CYCLE a SET again USING path SELECT a, b, again FROM walk
;
SELECT hashtext(c_name) % 4 AS shard, count(*) FROM customer GROUP BY 1
;
SELECT sha256(c_name::bytea), encode(decode('aGk=', 'base64'), 'hex'), format('%s has %s', c_name, c_acctbal) FROM customer WHERE c_custkey < 5
;
SELECT to_tsvector('english', p_name) @@ to_tsquery('english', 'green | blue') AS hit, count(*) FROM part GROUP BY 1
;
SELECT numrange(min(c_acctbal), max(c_acctbal), '[]'), range_merge(numrange(0, 1), numrange(5, 6)), daterange(min(o_orderdate), max(o_orderdate)) FROM customer, orders
;
SELECT n_name FROM nation WHERE n_regionkey = (SELECT r_regionkey FROM region WHERE r_name ILIKE 'eur%') ORDER BY n_name COLLATE "C" DESC
;
SELECT count(*) FROM nation NATURAL JOIN (SELECT r_regionkey AS n_regionkey, r_name FROM region) r JOIN (SELECT 1 AS n_regionkey) one USING (n_regionkey)
;
TABLE region
;
VALUES (1, 'one'), (2, 'two')
;
SELECT p.p_partkey, p.p_name, s.suppliers FROM part p, (SELECT ps_partkey, count(*) AS suppliers, sum(ps_availqty) FROM partsupp GROUP BY ps_partkey) AS s(id, suppliers, stock)
WHERE s.id = p.p_partkey AND s.stock > 15000 ORDER BY 1 LIMIT 25
;
SELECT o_orderkey FROM orders TABLESAMPLE BERNOULLI (50) REPEATABLE (7) LIMIT 0
;
SELECT setseed(0.5), random() >= 0, gen_random_uuid() IS NOT NULL, now() IS NOT NULL, current_date IS NOT NULL
;
