-- Primary keys, foreign keys, the indexes joins need, and statistics. After the data, because that is faster.
ALTER TABLE retail.region ADD PRIMARY KEY (r_regionkey);
ALTER TABLE retail.nation ADD PRIMARY KEY (n_nationkey);
ALTER TABLE retail.supplier ADD PRIMARY KEY (s_suppkey);
ALTER TABLE retail.customer ADD PRIMARY KEY (c_custkey);
ALTER TABLE retail.part ADD PRIMARY KEY (p_partkey);
ALTER TABLE retail.partsupp ADD PRIMARY KEY (ps_partkey, ps_suppkey);
ALTER TABLE retail.orders ADD PRIMARY KEY (o_orderkey);
ALTER TABLE retail.lineitem ADD PRIMARY KEY (l_orderkey, l_linenumber);
ALTER TABLE retail.nation ADD FOREIGN KEY (n_regionkey) REFERENCES retail.region;
ALTER TABLE retail.supplier ADD FOREIGN KEY (s_nationkey) REFERENCES retail.nation;
ALTER TABLE retail.customer ADD FOREIGN KEY (c_nationkey) REFERENCES retail.nation;
ALTER TABLE retail.partsupp ADD FOREIGN KEY (ps_partkey) REFERENCES retail.part;
ALTER TABLE retail.partsupp ADD FOREIGN KEY (ps_suppkey) REFERENCES retail.supplier;
ALTER TABLE retail.orders ADD FOREIGN KEY (o_custkey) REFERENCES retail.customer;
ALTER TABLE retail.lineitem ADD FOREIGN KEY (l_orderkey) REFERENCES retail.orders;
ALTER TABLE retail.lineitem ADD FOREIGN KEY (l_partkey, l_suppkey) REFERENCES retail.partsupp;
CREATE INDEX customer_nation ON retail.customer (c_nationkey);
CREATE INDEX orders_customer ON retail.orders (o_custkey);
CREATE INDEX orders_date ON retail.orders (o_orderdate);
CREATE INDEX lineitem_part_supplier ON retail.lineitem (l_partkey, l_suppkey);
CREATE INDEX lineitem_shipdate ON retail.lineitem (l_shipdate);
CREATE INDEX partsupp_supplier ON retail.partsupp (ps_suppkey);
ANALYZE retail.region, retail.nation, retail.supplier, retail.customer, retail.part, retail.partsupp, retail.orders,
    retail.lineitem, public.customer_orders, public.campaign_tools, public.payroll;
