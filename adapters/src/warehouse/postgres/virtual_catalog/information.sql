-- What information_schema's own definitions need, and the views whose definitions would speak of owners: the session
-- owns every relation it sees as far as the virtual pg_class goes, so privileges come from the bundle instead.

-- information_schema's pair takes pg_catalog's row types; this one takes the virtual ones.
CREATE FUNCTION lanyard_information_schema._pg_truetypid(lanyard_catalog.pg_attribute, lanyard_catalog.pg_type)
RETURNS oid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN ($2).typtype = 'd' THEN ($2).typbasetype ELSE ($1).atttypid END;
CREATE FUNCTION lanyard_information_schema._pg_truetypmod(lanyard_catalog.pg_attribute, lanyard_catalog.pg_type)
RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN ($2).typtype = 'd' THEN ($2).typtypmod ELSE ($1).atttypmod END;

CREATE VIEW lanyard_information_schema.table_privileges WITH (security_barrier) AS
SELECT SESSION_USER::information_schema.sql_identifier AS grantor,
    SESSION_USER::information_schema.sql_identifier AS grantee,
    pg_catalog.current_database()::information_schema.sql_identifier AS table_catalog,
    n.nspname::information_schema.sql_identifier AS table_schema,
    c.relname::information_schema.sql_identifier AS table_name,
    p.word::information_schema.character_data AS privilege_type,
    'NO'::information_schema.yes_or_no AS is_grantable,
    CASE WHEN p.word = 'SELECT' THEN 'YES' ELSE 'NO' END::information_schema.yes_or_no AS with_hierarchy
FROM lanyard_catalog._relation r
JOIN pg_catalog.pg_class c ON c.oid = r.relid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) p (word)
    ON CASE p.word WHEN 'SELECT' THEN r.readable WHEN 'DELETE' THEN r.writable
        ELSE r.writable AND lanyard_catalog._writes_columns(r.relid, 0::smallint, p.word, true) END;
CREATE VIEW lanyard_information_schema.role_table_grants AS
SELECT * FROM lanyard_information_schema.table_privileges;

CREATE VIEW lanyard_information_schema.column_privileges WITH (security_barrier) AS
SELECT SESSION_USER::information_schema.sql_identifier AS grantor,
    SESSION_USER::information_schema.sql_identifier AS grantee,
    pg_catalog.current_database()::information_schema.sql_identifier AS table_catalog,
    n.nspname::information_schema.sql_identifier AS table_schema,
    c.relname::information_schema.sql_identifier AS table_name,
    a.attname::information_schema.sql_identifier AS column_name,
    p.word::information_schema.character_data AS privilege_type,
    'NO'::information_schema.yes_or_no AS is_grantable
FROM lanyard_catalog._relation r
JOIN lanyard_catalog._column v ON v.relid = r.relid
JOIN pg_catalog.pg_attribute a ON a.attrelid = v.relid AND a.attnum = v.attnum
JOIN pg_catalog.pg_class c ON c.oid = r.relid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE')) p (word)
    ON CASE WHEN p.word = 'SELECT' THEN r.readable
        ELSE r.writable AND lanyard_catalog._writes_columns(r.relid, v.attnum, p.word, true) END;
CREATE VIEW lanyard_information_schema.role_column_grants AS
SELECT * FROM lanyard_information_schema.column_privileges;

-- The server's definition joins every object of the database with every other; this one starts from visible columns.
CREATE VIEW lanyard_information_schema.element_types WITH (security_barrier) AS
SELECT pg_catalog.current_database()::information_schema.sql_identifier AS object_catalog,
    n.nspname::information_schema.sql_identifier AS object_schema,
    c.relname::information_schema.sql_identifier AS object_name,
    'TABLE'::information_schema.character_data AS object_type,
    a.attnum::text::information_schema.sql_identifier AS collection_type_identifier,
    CASE WHEN tn.nspname = 'pg_catalog' THEN pg_catalog.format_type(e.oid, NULL) ELSE 'USER-DEFINED' END
        ::information_schema.character_data AS data_type,
    NULL::information_schema.cardinal_number AS character_maximum_length,
    NULL::information_schema.cardinal_number AS character_octet_length,
    NULL::information_schema.sql_identifier AS character_set_catalog,
    NULL::information_schema.sql_identifier AS character_set_schema,
    NULL::information_schema.sql_identifier AS character_set_name,
    NULL::information_schema.sql_identifier AS collation_catalog,
    NULL::information_schema.sql_identifier AS collation_schema,
    NULL::information_schema.sql_identifier AS collation_name,
    NULL::information_schema.cardinal_number AS numeric_precision,
    NULL::information_schema.cardinal_number AS numeric_precision_radix,
    NULL::information_schema.cardinal_number AS numeric_scale,
    NULL::information_schema.cardinal_number AS datetime_precision,
    NULL::information_schema.character_data AS interval_type,
    NULL::information_schema.cardinal_number AS interval_precision,
    -- Of the column's default, which the server leaves out too.
    NULL::information_schema.character_data AS domain_default,
    pg_catalog.current_database()::information_schema.sql_identifier AS udt_catalog,
    tn.nspname::information_schema.sql_identifier AS udt_schema,
    e.typname::information_schema.sql_identifier AS udt_name,
    NULL::information_schema.sql_identifier AS scope_catalog,
    NULL::information_schema.sql_identifier AS scope_schema,
    NULL::information_schema.sql_identifier AS scope_name,
    NULL::information_schema.cardinal_number AS maximum_cardinality,
    ('a' || a.attnum)::information_schema.sql_identifier AS dtd_identifier
FROM lanyard_catalog._column v
JOIN pg_catalog.pg_attribute a ON a.attrelid = v.relid AND a.attnum = v.attnum
JOIN pg_catalog.pg_class c ON c.oid = v.relid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid AND t.typtype = 'b' AND t.typelem <> 0 AND t.typlen = -1
JOIN pg_catalog.pg_type e ON e.oid = t.typelem
JOIN pg_catalog.pg_namespace tn ON tn.oid = e.typnamespace;

-- The server's definition compares every constraint with every column.
CREATE VIEW lanyard_information_schema.constraint_column_usage WITH (security_barrier) AS
SELECT pg_catalog.current_database()::information_schema.sql_identifier AS table_catalog,
    n.nspname::information_schema.sql_identifier AS table_schema,
    c.relname::information_schema.sql_identifier AS table_name,
    a.attname::information_schema.sql_identifier AS column_name,
    pg_catalog.current_database()::information_schema.sql_identifier AS constraint_catalog,
    kn.nspname::information_schema.sql_identifier AS constraint_schema,
    k.conname::information_schema.sql_identifier AS constraint_name
FROM pg_catalog.pg_constraint k
CROSS JOIN LATERAL (
    SELECT CASE k.contype WHEN 'f' THEN k.confrelid ELSE k.conrelid END,
        CASE k.contype WHEN 'f' THEN k.confkey ELSE k.conkey END
) used (relid, attnums)
JOIN pg_catalog.pg_attribute a ON a.attrelid = used.relid AND a.attnum = ANY (used.attnums)
JOIN pg_catalog.pg_class c ON c.oid = used.relid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_namespace kn ON kn.oid = k.connamespace
WHERE k.contype IN ('c', 'f', 'n', 'p', 'u')
  AND k.conrelid IN (SELECT r.relid FROM lanyard_catalog._relation r)
  AND lanyard_catalog._sees_constraint(k.oid);
