SELECT current_database();
SELECT version();
SELECT current_schema(), session_user;
SHOW search_path;
SELECT current_setting('server_version_num');
SELECT db.oid, db.* FROM pg_catalog.pg_database db WHERE datallowconn AND NOT datistemplate OR db.datname = current_database() ORDER BY db.datname;
SELECT n.oid, n.*, d.description FROM pg_catalog.pg_namespace n
LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = n.oid AND d.objsubid = 0 AND d.classoid = 'pg_namespace'::regclass ORDER BY nspname;
SELECT c.oid, c.*, d.description, pg_catalog.pg_get_expr(c.relpartbound, c.oid) AS partition_expr, pg_catalog.pg_get_partkeydef(c.oid) AS partition_key
FROM pg_catalog.pg_class c LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = c.oid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind NOT IN ('i', 'I', 'c');
SELECT c.relname, a.*, pg_catalog.pg_get_expr(ad.adbin, ad.adrelid, true) AS def_value, dsc.description, dep.objid
FROM pg_catalog.pg_attribute a INNER JOIN pg_catalog.pg_class c ON (a.attrelid = c.oid)
LEFT OUTER JOIN pg_catalog.pg_attrdef ad ON (a.attrelid = ad.adrelid AND a.attnum = ad.adnum)
LEFT OUTER JOIN pg_catalog.pg_description dsc ON (c.oid = dsc.objoid AND a.attnum = dsc.objsubid)
LEFT OUTER JOIN pg_depend dep ON dep.refobjid = a.attrelid AND dep.deptype = 'i' AND dep.refobjsubid = a.attnum AND dep.classid = dep.refclassid
WHERE NOT a.attisdropped AND c.oid = 'public.customer_orders'::regclass ORDER BY a.attnum;
SELECT c.oid, c.*, t.relname AS tabrelname, rt.relnamespace AS refnamespace, d.description,
  CASE WHEN c.contype = 'c' THEN substring(pg_get_constraintdef(c.oid), 7) ELSE null END AS consrc_copy
FROM pg_catalog.pg_constraint c INNER JOIN pg_catalog.pg_class t ON t.oid = c.conrelid
LEFT OUTER JOIN pg_catalog.pg_class rt ON rt.oid = c.confrelid
LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = c.oid AND d.objsubid = 0 AND d.classoid = 'pg_constraint'::regclass
WHERE t.relnamespace = 'retail'::regnamespace ORDER BY c.oid;
SELECT i.*, i.indkey AS keys, c.relname, c.relnamespace, c.relam, c.reltablespace, tc.relname AS tabrelname, dsc.description,
  pg_catalog.pg_get_expr(i.indpred, i.indrelid) AS pred_expr, pg_catalog.pg_get_expr(i.indexprs, i.indrelid, true) AS expr, pg_get_indexdef(i.indexrelid)
FROM pg_catalog.pg_index i INNER JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid INNER JOIN pg_catalog.pg_class tc ON tc.oid = i.indrelid
LEFT OUTER JOIN pg_catalog.pg_description dsc ON i.indexrelid = dsc.objoid WHERE tc.relnamespace = 'retail'::regnamespace ORDER BY tabrelname, c.relname;
SELECT t.oid, t.*, c.relkind, format_type(nullif(t.typbasetype, 0), t.typtypmod) AS base_type_name, d.description
FROM pg_catalog.pg_type t LEFT OUTER JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
LEFT OUTER JOIN pg_catalog.pg_description d ON t.oid = d.objoid WHERE t.typname IS NOT NULL
AND (c.relkind IS NULL OR c.relkind = 'c') AND (t.typcategory <> 'A' OR t.typelem = 0 OR EXISTS (SELECT 1 FROM pg_catalog.pg_type e WHERE e.oid = t.typelem));
SELECT e.oid, e.* FROM pg_catalog.pg_enum e ORDER BY e.enumtypid, e.enumsortorder;
SELECT a.oid, a.* FROM pg_catalog.pg_am a ORDER BY a.oid;
SELECT l.oid, l.* FROM pg_catalog.pg_language l ORDER BY l.oid;
SELECT c.oid, c.* FROM pg_catalog.pg_collation c ORDER BY c.oid;
SELECT a.oid, a.*, pd.description FROM pg_catalog.pg_roles a LEFT JOIN pg_catalog.pg_shdescription pd ON a.oid = pd.objoid ORDER BY a.rolname;
SELECT t.oid, t.*, pg_tablespace_location(t.oid) AS loc FROM pg_catalog.pg_tablespace t ORDER BY t.oid;
SELECT f.oid, f.* FROM pg_catalog.pg_foreign_data_wrapper f ORDER BY f.fdwname;
SELECT s.oid, s.* FROM pg_catalog.pg_foreign_server s ORDER BY s.srvname;
SELECT e.oid, e.extname, e.extversion, n.nspname AS schema_name FROM pg_catalog.pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace;
SELECT * FROM pg_catalog.pg_settings;
SELECT p.oid, p.*, CASE WHEN p.prokind = 'a' THEN true ELSE false END AS is_agg, pg_catalog.pg_get_expr(p.proargdefaults, 0) AS arg_defaults, d.description
FROM pg_catalog.pg_proc p LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = p.oid WHERE p.pronamespace = 'public'::regnamespace ORDER BY p.proname;
SELECT x.oid, x.*, p.pronamespace AS func_schema_id, d.description FROM pg_catalog.pg_trigger x
LEFT OUTER JOIN pg_catalog.pg_proc p ON p.oid = x.tgfoid LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = x.oid AND d.objsubid = 0
WHERE x.tgrelid = 'public.customer_orders'::regclass AND NOT x.tgisinternal;
SELECT r.oid, r.* FROM pg_catalog.pg_rewrite r WHERE r.ev_class = 'public.order_regions'::regclass;
SELECT pg_get_viewdef('public.order_regions'::regclass, true);
SELECT i.*, c.relnamespace FROM pg_catalog.pg_inherits i, pg_catalog.pg_class c WHERE i.inhrelid = 'retail.orders'::regclass AND c.oid = i.inhparent ORDER BY i.inhseqno;
SELECT DISTINCT dep.deptype, dep.classid, dep.objid, cl.relkind FROM pg_depend dep LEFT JOIN pg_class cl ON dep.objid = cl.oid WHERE dep.refobjid = 'retail.nation'::regclass;
SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c WHERE c.relnamespace = 'retail'::regnamespace;
SELECT pid, datname, usename, state, query FROM pg_catalog.pg_stat_activity;
SELECT * FROM pg_catalog.pg_class LIMIT 1;
SELECT * FROM information_schema.table_privileges WHERE table_schema = 'public' AND table_name = 'customer_orders';
SELECT has_schema_privilege('public', 'USAGE'), has_database_privilege(current_database(), 'CONNECT');
SELECT proc.oid, proc.proname, pg_catalog.pg_get_function_identity_arguments(proc.oid) FROM pg_catalog.pg_proc proc WHERE proc.proname ILIKE 'customer%' LIMIT 100;
SELECT pc.oid, pc.relname, pc.relnamespace, pc.relkind FROM pg_catalog.pg_class pc WHERE pc.relkind IN ('r', 'v', 'm', 'f', 'p') AND pc.relname ILIKE 'cust%' ORDER BY pc.relname LIMIT 100;
SELECT pc.tableoid, pc.oid, pd.description FROM pg_catalog.pg_class pc LEFT JOIN pg_description pd ON pd.objoid = pc.oid AND pd.classoid = pc.tableoid WHERE pc.relname = 'customer_orders';
