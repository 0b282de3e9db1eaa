-- The virtual pg_catalog, one section per relation. `--! name alias [flag ...]` opens a section; `--! column = expression`
-- replaces a column of the server's own list ({type} is the column's type); what follows is put behind
-- `SELECT <columns> FROM pg_catalog.name alias`. Columns an older server lacks are passed over.
-- 99 is the pinned OID of pg_toast. In every section: aclitem[] columns are NULL, owner columns hold the session's own role.
-- Flags: barrier   rows are filtered, so the view must be a security barrier;
--        empty     no rows;
--        shape     only the column list is the server's; the section brings its own FROM, and columns not named are zero
--                  (numbers) or NULL;
--        own       with barrier: the section brings its own FROM;
--        private   not granted to sessions: what information_schema's definitions need.

--! pg_class c barrier
--! relnatts = CASE WHEN c.oid < 16384 THEN c.relnatts ELSE COALESCE(lanyard_catalog._last_column(c.oid), c.relnatts) END
--! reloftype = CASE WHEN c.oid < 16384 THEN c.reloftype ELSE 0 END
--! relfilenode = 0::oid
--! reltablespace = 0::oid
--! relpages = 0
--! reltuples = -1::real
--! relallvisible = 0
--! relallfrozen = 0
--! reltoastrelid = 0::oid
--! relhasindex = c.relhasindex AND (c.oid < 16384 OR c.relnamespace IN (SELECT s.oid FROM lanyard_catalog._own_schema s) OR lanyard_catalog._has_index(c.oid))
--! relchecks = CASE WHEN c.relchecks = 0 OR c.relnamespace IN (SELECT s.oid FROM lanyard_catalog._own_schema s) THEN c.relchecks ELSE lanyard_catalog._checks(c.oid) END
--! relhasrules = c.relhasrules AND c.relkind IN ('v', 'm')
--! relhastriggers = c.relhastriggers AND (c.relnamespace IN (SELECT s.oid FROM lanyard_catalog._own_schema s) OR lanyard_catalog._has_foreign_key(c.oid))
--! relhassubclass = c.relhassubclass AND lanyard_catalog._has_child(c.oid)
--! relrowsecurity = false
--! relforcerowsecurity = false
--! relreplident = CASE WHEN c.oid < 16384 THEN c.relreplident ELSE 'd'::"char" END
--! relispartition = c.relispartition AND lanyard_catalog._has_parent(c.oid)
--! relrewrite = 0::oid
--! relfrozenxid = '0'::xid
--! relminmxid = '0'::xid
--! reloptions = NULL::text[]
--! relpartbound = CASE WHEN c.relispartition AND lanyard_catalog._has_parent(c.oid) THEN c.relpartbound END
WHERE c.oid < 16384 AND c.relnamespace IN (11, 'information_schema'::regnamespace)
   OR c.oid IN (SELECT r.relid FROM lanyard_catalog._relation r)
   OR c.relkind IN ('i', 'I') AND c.oid >= 16384 AND c.relnamespace <> 99 AND c.oid IN (SELECT lanyard_catalog._indexes())
   OR c.relkind = 'c' AND c.oid IN (SELECT lanyard_catalog._composites())
   OR c.relnamespace IN (SELECT s.oid FROM lanyard_catalog._own_schema s)

--! pg_attribute a barrier own
--! attinhcount = 0::{type}
--! attislocal = true
--! atthasdef = a.atthasdef AND (lanyard_catalog._sees_default(a.attrelid, a.attnum) OR a.attrelid IN (SELECT t.oid FROM lanyard_catalog._own t))
--! attgenerated = CASE WHEN a.attgenerated = '' OR lanyard_catalog._sees_default(a.attrelid, a.attnum) OR a.attrelid IN (SELECT t.oid FROM lanyard_catalog._own t) THEN a.attgenerated ELSE ''::"char" END
--! atthasmissing = false
--! attmissingval = NULL::text[]
--! attoptions = NULL::text[]
--! attfdwoptions = NULL::text[]
FROM (
    SELECT b.* FROM pg_catalog.pg_attribute b WHERE b.attrelid < 16384
    UNION ALL
    SELECT b.* FROM lanyard_catalog._column c
    JOIN pg_catalog.pg_attribute b ON b.attrelid = c.relid AND b.attnum = c.attnum
    WHERE NOT b.attisdropped
    UNION ALL
    SELECT b.* FROM pg_catalog.pg_class k
    JOIN pg_catalog.pg_attribute b ON b.attrelid = k.oid
    WHERE k.relkind IN ('i', 'I') AND k.oid >= 16384 AND k.relnamespace <> 99
      AND k.oid IN (SELECT lanyard_catalog._indexes())
    UNION ALL
    SELECT b.* FROM (SELECT lanyard_catalog._composites()) k (oid)
    JOIN pg_catalog.pg_attribute b ON b.attrelid = k.oid
    UNION ALL
    SELECT b.* FROM lanyard_catalog._own t
    JOIN pg_catalog.pg_attribute b ON b.attrelid = t.oid
) a

--! pg_attrdef d barrier
WHERE lanyard_catalog._sees_default(d.oid)
   OR d.adrelid IN (SELECT t.oid FROM lanyard_catalog._own t)

--! pg_constraint n barrier
WHERE n.oid < 16384
   OR CASE
        WHEN n.conrelid = 0 THEN n.contypid IN (SELECT lanyard_catalog._types())
        WHEN n.conrelid NOT IN (SELECT r.relid FROM lanyard_catalog._relation r) THEN false
        -- Servers from 18 on have one of these for every column that is NOT NULL.
        WHEN n.contype = 'n' THEN (n.conrelid, n.conkey[1]) IN (
            SELECT c.relid, c.attnum FROM lanyard_catalog._column c)
        ELSE lanyard_catalog._sees_constraint(n.oid)
    END
   OR n.conrelid IN (SELECT t.oid FROM lanyard_catalog._own t)

--! pg_index i barrier
WHERE i.indrelid < 16384
   OR i.indrelid IN (SELECT r.relid FROM lanyard_catalog._relation r) AND lanyard_catalog._sees_index(i.indexrelid)
   OR i.indrelid IN (SELECT t.oid FROM lanyard_catalog._own t)

--! pg_namespace n barrier own
FROM lanyard_catalog._namespaces() n

--! pg_type t barrier
WHERE t.oid < 16384
   OR t.typnamespace IN (SELECT s.oid FROM lanyard_catalog._own_schema s)
   OR t.oid IN (SELECT lanyard_catalog._types())

--! pg_enum e barrier
WHERE e.enumtypid < 16384 OR e.enumtypid IN (SELECT lanyard_catalog._types())

--! pg_range g barrier
WHERE g.rngtypid < 16384 OR g.rngtypid IN (SELECT lanyard_catalog._types())

--! pg_description d barrier
WHERE d.objoid < 16384 AND d.classoid <> 'pg_catalog.pg_largeobject'::regclass
   OR d.classoid = 'pg_catalog.pg_class'::regclass AND (
        d.objsubid = 0 AND (
            d.objoid IN (SELECT r.relid FROM lanyard_catalog._relation r)
            OR lanyard_catalog._sees_index(d.objoid))
        OR (d.objoid, d.objsubid) IN (SELECT c.relid, c.attnum FROM lanyard_catalog._column c)
        OR d.objoid IN (SELECT lanyard_catalog._composites())
        OR d.objoid IN (SELECT t.oid FROM lanyard_catalog._own t))
   OR d.classoid = 'pg_catalog.pg_constraint'::regclass AND (
        d.objoid IN (SELECT n.oid FROM pg_catalog.pg_constraint n WHERE n.conrelid IN (SELECT t.oid FROM lanyard_catalog._own t))
        OR lanyard_catalog._sees_constraint(d.objoid))
   OR d.classoid = 'pg_catalog.pg_type'::regclass AND d.objoid IN (SELECT lanyard_catalog._types())
   OR d.classoid = 'pg_catalog.pg_namespace'::regclass AND d.objoid IN (SELECT lanyard_catalog._schemas())

--! pg_sequence s barrier
WHERE s.seqrelid IN (SELECT t.oid FROM lanyard_catalog._own t)

--! pg_sequences s barrier
--! sequenceowner = SESSION_USER
WHERE s.schemaname IN (
    SELECT n.nspname FROM pg_catalog.pg_namespace n JOIN lanyard_catalog._own_schema o ON o.oid = n.oid)

--! pg_inherits h barrier
WHERE lanyard_catalog._sees_inheritance(h.inhrelid, h.inhparent)

--! pg_partitioned_table p barrier
--! partdefid = 0::oid
WHERE lanyard_catalog._sees_partitioned(p.partrelid)

--! pg_proc p barrier
WHERE p.oid < 16384

--! pg_aggregate a barrier
WHERE a.aggfnoid::oid < 16384

--! pg_operator o barrier
WHERE o.oid < 16384

--! pg_opclass o barrier
WHERE o.oid < 16384 OR o.oid IN (SELECT lanyard_catalog._operator_classes())

--! pg_opfamily f barrier
WHERE f.oid < 16384

--! pg_am a barrier
WHERE a.oid < 16384 OR a.oid IN (SELECT lanyard_catalog._access_methods())

--! pg_amop a barrier
WHERE a.oid < 16384

--! pg_amproc a barrier
WHERE a.oid < 16384

--! pg_cast k barrier
WHERE k.oid < 16384

--! pg_collation k barrier
WHERE k.oid < 16384 OR k.oid IN (SELECT lanyard_catalog._collations())

--! pg_conversion k barrier
WHERE k.oid < 16384

--! pg_language l barrier
WHERE l.oid < 16384

--! pg_transform t empty
--! pg_ts_config t barrier
WHERE t.oid < 16384

--! pg_ts_config_map t barrier
WHERE t.mapcfg < 16384

--! pg_ts_dict t barrier
--! dictinitoption = NULL::text
WHERE t.oid < 16384

--! pg_ts_parser t barrier
WHERE t.oid < 16384

--! pg_ts_template t barrier
WHERE t.oid < 16384

--! pg_extension x barrier
--! extconfig = NULL::oid[]
--! extcondition = NULL::text[]
WHERE x.oid < 16384 OR x.oid IN (SELECT lanyard_catalog._extensions())

--! pg_database d barrier
--! dattablespace = 1663
WHERE d.datname = pg_catalog.current_database()

--! pg_tablespace s barrier
--! spcoptions = NULL::text[]
WHERE s.oid < 16384

--! pg_roles r barrier
--! rolconfig = NULL::text[]
WHERE r.rolname = SESSION_USER

--! pg_user u barrier
--! useconfig = NULL::text[]
WHERE u.usename = SESSION_USER

--! pg_authid a private shape
--! oid = r.oid
--! rolname = r.rolname
--! rolsuper = false
--! rolinherit = true
--! rolcreaterole = false
--! rolcreatedb = false
--! rolcanlogin = true
--! rolreplication = false
--! rolbypassrls = false
FROM lanyard_catalog._self r

--! pg_settings s barrier
--! setting = CASE s.name WHEN 'application_name' THEN '' WHEN 'search_path' THEN pg_catalog.regexp_replace(s.setting, '\s*,?\s*pg_temp\s*$', '') ELSE s.setting END
--! reset_val = CASE s.name WHEN 'application_name' THEN '' WHEN 'search_path' THEN pg_catalog.regexp_replace(s.reset_val, '\s*,?\s*pg_temp\s*$', '') ELSE s.reset_val END
--! sourcefile = NULL::text
--! sourceline = NULL::integer
WHERE s.category NOT IN ('File Locations', 'Customized Options')
  AND s.category !~ '^(Reporting and Logging|Replication|Connections and Authentication|Write-Ahead Log|Developer Options)'
  AND s.name !~ '(_file|_command|_librar(y|ies)|_libraries_path|_directory|_directories|_path|_conninfo|_slot_names?)$|^(cluster_name|role|session_authorization|lanyard\..*)$'
   OR s.name IN ('search_path', 'ssl', 'password_encryption', 'max_connections')

--! pg_stat_activity s barrier
--! usename = SESSION_USER
--! application_name = ''::text
--! client_addr = NULL::inet
--! client_hostname = NULL::text
--! client_port = NULL::integer
--! query = ''::text
--! query_id = NULL::bigint
--! leader_pid = NULL::integer
WHERE s.pid = pg_catalog.pg_backend_pid()

--! pg_locks l barrier
WHERE l.pid = pg_catalog.pg_backend_pid()
  AND (l.relation IS NULL OR l.relation < 16384 OR l.relation IN (SELECT v.relid FROM lanyard_catalog._relation v))

-- Cursors of the session's own; portals of the protocol have names of ours. What a cursor runs is our text.
--! pg_cursors c barrier
--! statement = ''::text
WHERE c.name !~ '^lanyard_'

-- Behind a name of ours stands the client's. What runs is our text.
--! pg_prepared_statements p barrier
--! name = pg_catalog.regexp_replace(p.name, '^lanyard_[0-9]+_', '')
--! statement = ''::text

--! pg_timezone_names z
--! pg_timezone_abbrevs z

--! pg_stat_all_tables s shape
--! relid = c.oid
--! schemaname = n.nspname
--! relname = c.relname
FROM lanyard_catalog.pg_class c JOIN lanyard_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'p')

--! pg_stat_user_tables s shape
--! relid = c.oid
--! schemaname = n.nspname
--! relname = c.relname
FROM lanyard_catalog.pg_class c JOIN lanyard_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'p') AND c.oid >= 16384

--! pg_statio_all_tables s shape
--! relid = c.oid
--! schemaname = n.nspname
--! relname = c.relname
FROM lanyard_catalog.pg_class c JOIN lanyard_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm')

--! pg_statio_user_tables s shape
--! relid = c.oid
--! schemaname = n.nspname
--! relname = c.relname
FROM lanyard_catalog.pg_class c JOIN lanyard_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND c.oid >= 16384

--! pg_stat_all_indexes s shape
--! relid = c.oid
--! indexrelid = i.oid
--! schemaname = n.nspname
--! relname = c.relname
--! indexrelname = i.relname
FROM lanyard_catalog.pg_index x JOIN lanyard_catalog.pg_class c ON c.oid = x.indrelid
JOIN lanyard_catalog.pg_class i ON i.oid = x.indexrelid JOIN lanyard_catalog.pg_namespace n ON n.oid = c.relnamespace

--! pg_stat_user_indexes s shape
--! relid = c.oid
--! indexrelid = i.oid
--! schemaname = n.nspname
--! relname = c.relname
--! indexrelname = i.relname
FROM lanyard_catalog.pg_index x JOIN lanyard_catalog.pg_class c ON c.oid = x.indrelid
JOIN lanyard_catalog.pg_class i ON i.oid = x.indexrelid JOIN lanyard_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid >= 16384

--! pg_depend d barrier
WHERE d.classid = 'pg_catalog.pg_constraint'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
  AND EXISTS (SELECT FROM lanyard_catalog._constraint n WHERE n.oid = d.objid)
  AND (d.refobjid, d.refobjsubid) IN (SELECT c.relid, c.attnum FROM lanyard_catalog._column c)
   OR d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid IN (SELECT t.oid FROM lanyard_catalog._own t)

--! pg_auth_members m empty
--! pg_db_role_setting s empty
--! pg_default_acl a empty
--! pg_event_trigger e empty
--! pg_foreign_data_wrapper f empty
--! pg_foreign_server f empty
--! pg_foreign_table f empty
--! pg_group g empty
--! pg_init_privs i empty
--! pg_largeobject_metadata l empty
--! pg_parameter_acl p empty
--! pg_policies p empty
--! pg_policy p empty
--! pg_prepared_xacts p empty
--! pg_publication p empty
--! pg_publication_namespace p empty
--! pg_publication_rel p empty
--! pg_publication_tables p empty
--! pg_rewrite r empty
--! pg_rules r empty
--! pg_seclabel s empty
--! pg_seclabels s empty
--! pg_shdepend s empty
--! pg_shdescription s empty
--! pg_shseclabel s empty
--! pg_stat_user_functions s empty
--! pg_statio_user_sequences s empty
--! pg_statistic_ext s empty
--! pg_stats s empty
--! pg_stats_ext s empty
--! pg_stats_ext_exprs s empty
--! pg_subscription s empty
--! pg_subscription_rel s empty
--! pg_trigger t empty
--! pg_user_mapping u private empty
--! pg_user_mappings u empty
