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
    ON CASE WHEN p.word = 'SELECT' THEN r.readable ELSE r.writable END;
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
    ON CASE WHEN p.word = 'SELECT' THEN r.readable ELSE r.writable END;
CREATE VIEW lanyard_information_schema.role_column_grants AS
SELECT * FROM lanyard_information_schema.column_privileges;
