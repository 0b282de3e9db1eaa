-- Lanyard's objects in one database. Run by a superuser, in one transaction, as often as one likes: the second run
-- changes nothing. PostgreSQL 15 to 18.
--
-- Who owns what, and why:
--   lanyard_owner    owns the secured views and reads the governed tables for them.
--   lanyard_definer  owns schema lanyard, its tables and functions. Were they lanyard_owner's, the builder login could
--                    hang a trigger on a table these functions write, and act with CREATEROLE.
--   lanyard_builder  logs in to build views and bundles; SET ROLE lanyard_owner is all it has.
--   lanyard_vendor   logs in to call four functions.
--   lanyard_workspace  may make temporary tables; sessions with a workspace are members. See workspace.sql.

DO $lanyard$
DECLARE
  version int := current_setting('server_version_num')::int;
  taken text;
BEGIN
  IF version < 150000 THEN
    RAISE EXCEPTION 'lanyard needs PostgreSQL 15 or later, this is %', current_setting('server_version');
  END IF;
  IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
    RAISE EXCEPTION 'lanyard bootstrap needs a superuser' USING ERRCODE = '42501';
  END IF;
  -- Taking over a schema of somebody else's would make its functions ours.
  SELECT nspname INTO taken FROM pg_namespace
    WHERE nspname IN ('lanyard', 'lanyard_secured', 'lanyard_catalog', 'lanyard_information_schema')
    AND nspowner IS DISTINCT FROM CASE nspname
      WHEN 'lanyard' THEN to_regrole('lanyard_definer') ELSE to_regrole('lanyard_owner') END;
  IF FOUND THEN
    RAISE EXCEPTION 'schema "%" exists and is not Lanyard''s (rename or drop it)', taken USING ERRCODE = '42P06';
  END IF;
  IF to_regrole('lanyard_owner') IS NULL THEN CREATE ROLE lanyard_owner; END IF;
  IF to_regrole('lanyard_definer') IS NULL THEN CREATE ROLE lanyard_definer; END IF;
  IF to_regrole('lanyard_session') IS NULL THEN CREATE ROLE lanyard_session; END IF;
  IF to_regrole('lanyard_workspace') IS NULL THEN CREATE ROLE lanyard_workspace; END IF;
  IF to_regrole('lanyard_builder') IS NULL THEN CREATE ROLE lanyard_builder; END IF;
  IF to_regrole('lanyard_vendor') IS NULL THEN CREATE ROLE lanyard_vendor; END IF;

  ALTER ROLE lanyard_owner NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT PASSWORD NULL;
  ALTER ROLE lanyard_definer NOLOGIN NOSUPERUSER NOCREATEDB CREATEROLE NOREPLICATION NOBYPASSRLS INHERIT PASSWORD NULL;
  ALTER ROLE lanyard_session NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT PASSWORD NULL;
  ALTER ROLE lanyard_workspace NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT PASSWORD NULL;
  ALTER ROLE lanyard_builder LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS NOINHERIT;
  ALTER ROLE lanyard_vendor LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS NOINHERIT;

  IF version >= 160000 THEN
    EXECUTE 'GRANT lanyard_owner TO lanyard_builder WITH ADMIN FALSE, INHERIT FALSE, SET TRUE';
    EXECUTE 'GRANT lanyard_session, lanyard_workspace TO lanyard_definer WITH ADMIN TRUE, INHERIT FALSE, SET FALSE';
  ELSE
    GRANT lanyard_owner TO lanyard_builder;
  END IF;
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO lanyard_session, lanyard_builder, lanyard_vendor', current_database());
  -- Sessions with a workspace make temporary tables; the definer makes the workspaces' schemas.
  EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO lanyard_workspace', current_database());
  EXECUTE format('GRANT CREATE ON DATABASE %I TO lanyard_definer', current_database());
END
$lanyard$;

CREATE SCHEMA IF NOT EXISTS lanyard AUTHORIZATION lanyard_definer;
CREATE SCHEMA IF NOT EXISTS lanyard_secured AUTHORIZATION lanyard_owner;
CREATE SCHEMA IF NOT EXISTS lanyard_catalog AUTHORIZATION lanyard_owner;
CREATE SCHEMA IF NOT EXISTS lanyard_information_schema AUTHORIZATION lanyard_owner;
REVOKE ALL ON SCHEMA lanyard, lanyard_secured, lanyard_catalog, lanyard_information_schema FROM PUBLIC;
GRANT USAGE ON SCHEMA lanyard TO lanyard_owner, lanyard_builder, lanyard_vendor;
GRANT USAGE ON SCHEMA lanyard_secured, lanyard_catalog, lanyard_information_schema TO lanyard_session;

-- As the definer, so that nobody's ALTER DEFAULT PRIVILEGES reaches these tables.
SET LOCAL ROLE lanyard_definer;
CREATE TABLE IF NOT EXISTS lanyard.lease (
  role name PRIMARY KEY,
  bundle name NOT NULL,
  node text NOT NULL,
  created timestamptz NOT NULL DEFAULT pg_catalog.now(),
  expires timestamptz NOT NULL
);
ALTER TABLE lanyard.lease ADD COLUMN IF NOT EXISTS workspace name;
CREATE TABLE IF NOT EXISTS lanyard.session_attribute (
  role name,
  key text,
  value text,
  PRIMARY KEY (role, key, value)
);
CREATE TABLE IF NOT EXISTS lanyard.mask_key (
  id text PRIMARY KEY,
  inner_pad bytea NOT NULL CHECK (pg_catalog.length(inner_pad) = 64),
  outer_pad bytea NOT NULL CHECK (pg_catalog.length(outer_pad) = 64)
);
CREATE TABLE IF NOT EXISTS lanyard.bundle_relation (
  bundle name,
  relid oid,
  view oid NOT NULL,
  readable bool NOT NULL,
  writable bool NOT NULL,
  PRIMARY KEY (bundle, relid)
);
CREATE TABLE IF NOT EXISTS lanyard.bundle_column (
  bundle name,
  relid oid,
  attnum int2,
  name name NOT NULL,
  PRIMARY KEY (bundle, relid, attnum)
);
-- Types that permits let through, by name: one that is made again is the same.
CREATE TABLE IF NOT EXISTS lanyard.bundle_type (
  bundle name,
  schema name,
  name name,
  PRIMARY KEY (bundle, schema, name)
);
-- What a DBA is changing through "lanyard migrate": no secured view of these tables is made until the row is gone. No
-- tables: all. Names are quoted as views spell them.
CREATE TABLE IF NOT EXISTS lanyard.migration (
  one bool PRIMARY KEY DEFAULT true CHECK (one),
  token text NOT NULL,
  tables text[],
  begun timestamptz NOT NULL DEFAULT pg_catalog.now()
);
-- By name: what else is in this schema is not the owner's to read.
GRANT SELECT ON lanyard.lease, lanyard.session_attribute, lanyard.mask_key, lanyard.bundle_relation, lanyard.bundle_column,
  lanyard.bundle_type TO lanyard_owner;
GRANT INSERT ON lanyard.mask_key TO lanyard_owner;
GRANT INSERT, DELETE ON lanyard.bundle_relation, lanyard.bundle_column, lanyard.bundle_type TO lanyard_owner;
GRANT SELECT, INSERT, UPDATE, DELETE ON lanyard.migration TO lanyard_owner;
RESET ROLE;

-- Checks of what the functions below are given. Anchored; "$" is the end of the text in PostgreSQL's regular expressions.
CREATE OR REPLACE FUNCTION lanyard.is_vended(name text) RETURNS bool
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
RETURN coalesce(name ~ '^LANYARD_VENDED_(0|[1-9][0-9]{0,6})_(0|[1-9][0-9]{0,6})_[0-9a-f]{32}$', false);

CREATE OR REPLACE FUNCTION lanyard.is_bundle(name text) RETURNS bool
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
RETURN coalesce(name ~ '^lanyard_bundle_[0-9a-f]{32}$', false);

-- Made under another list of arguments by earlier builds.
DROP FUNCTION IF EXISTS lanyard.vend(text, text, text, timestamptz, int, text, jsonb);

-- Creates the role of one lease. "attributes" is an object of arrays of texts; "workspace" is the schema of the session's own,
-- NULL for none.
CREATE OR REPLACE FUNCTION lanyard.vend(
  role text, bundle text, verifier text, expires timestamptz, connections int, node text, attributes jsonb,
  workspace text DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $vend$
#variable_conflict use_variable
BEGIN
  IF NOT lanyard.is_vended(role) THEN
    RAISE EXCEPTION 'not the name of a vended role' USING ERRCODE = '22023';
  END IF;
  -- From this look at the bundle to the end of the transaction nobody drops it (drop_bundle): a role made for a bundle that is
  -- gone could read nothing for as long as it lives.
  LOCK TABLE lanyard.lease IN ROW EXCLUSIVE MODE;
  IF NOT lanyard.is_bundle(bundle) OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = bundle) THEN
    RAISE EXCEPTION 'no such bundle' USING ERRCODE = '22023';
  END IF;
  -- One iteration is enough for a secret of 256 random bits, and nothing weaker is vended.
  IF verifier IS NULL
    OR verifier !~ '^SCRAM-SHA-256\$1:[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$' THEN
    RAISE EXCEPTION 'not a SCRAM-SHA-256 verifier of a vended secret' USING ERRCODE = '22023';
  END IF;
  IF expires IS NULL OR expires <= clock_timestamp() OR expires > clock_timestamp() + interval '31 days' THEN
    RAISE EXCEPTION 'a lease ends within 31 days from now' USING ERRCODE = '22023';
  END IF;
  IF connections IS NULL OR connections NOT BETWEEN 1 AND 1000 THEN
    RAISE EXCEPTION 'a lease has 1 to 1000 connections' USING ERRCODE = '22023';
  END IF;
  IF node IS NULL OR attributes IS NULL OR jsonb_typeof(attributes) <> 'object' THEN
    RAISE EXCEPTION 'a lease has a node and attributes' USING ERRCODE = '22023';
  END IF;

  EXECUTE format(
    'CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT'
    ' CONNECTION LIMIT %s VALID UNTIL %L PASSWORD %L', role, connections, expires, verifier);
  IF current_setting('server_version_num')::int >= 160000 THEN
    EXECUTE format('GRANT %I, lanyard_session TO %I WITH ADMIN FALSE, INHERIT TRUE, SET FALSE', bundle, role);
  ELSE
    EXECUTE format('GRANT %I, lanyard_session TO %I', bundle, role);
  END IF;
  IF workspace IS NOT NULL THEN
    PERFORM lanyard.open_workspace(role, workspace);
  END IF;
  INSERT INTO lanyard.lease (role, bundle, node, expires, workspace) VALUES (role, bundle, node, expires, workspace);
  INSERT INTO lanyard.session_attribute (role, key, value)
    SELECT role, e.key, v.value
    FROM jsonb_each(attributes) AS e(key, members), jsonb_array_elements_text(e.members) AS v(value)
    ON CONFLICT DO NOTHING;
END
$vend$;

-- Ends the sessions of a vended role and keeps new ones out. Answers how many were there; call again until none is.
-- The definer becomes a member of the role only here: a member of every live role would pay for each of them whenever
-- its own rights are looked up.
CREATE OR REPLACE FUNCTION lanyard.terminate(role text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $terminate$
#variable_conflict use_variable
DECLARE
  id oid;
  sessions bigint;
BEGIN
  IF NOT lanyard.is_vended(role) THEN
    RAISE EXCEPTION 'not the name of a vended role' USING ERRCODE = '22023';
  END IF;
  SELECT r.oid INTO id FROM pg_roles r WHERE r.rolname = role;
  IF id IS NULL THEN
    RETURN 0;
  END IF;
  IF (SELECT r.rolcanlogin FROM pg_roles r WHERE r.oid = id) THEN
    EXECUTE format('ALTER ROLE %I NOLOGIN', role);
    IF current_setting('server_version_num')::int >= 160000 THEN
      EXECUTE format('GRANT %I TO lanyard_definer WITH INHERIT TRUE, SET FALSE', role);
    ELSE
      EXECUTE format('GRANT %I TO lanyard_definer', role);
    END IF;
  END IF;
  SELECT count(pg_terminate_backend(a.pid)) INTO sessions FROM pg_stat_activity a WHERE a.usesysid = id;
  RETURN sessions;
END
$terminate$;

-- Drops a vended role that "terminate" has emptied, with what it owns in this database, and its rows.
CREATE OR REPLACE FUNCTION lanyard.end_lease(role text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $end_lease$
#variable_conflict use_variable
DECLARE
  id oid;
  home text;
BEGIN
  IF NOT lanyard.is_vended(role) THEN
    RAISE EXCEPTION 'not the name of a vended role' USING ERRCODE = '22023';
  END IF;
  SELECT l.workspace INTO home FROM lanyard.lease l WHERE l.role = end_lease.role;
  SELECT r.oid INTO id FROM pg_roles r WHERE r.rolname = role;
  IF id IS NOT NULL THEN
    IF EXISTS (SELECT FROM pg_stat_activity a WHERE a.usesysid = id) THEN
      RAISE EXCEPTION 'the role still has sessions' USING ERRCODE = '55006';
    END IF;
    IF home IS NOT NULL THEN
      PERFORM lanyard.hand_over(role, home);
    END IF;
    EXECUTE format('DROP OWNED BY %I', role);
    EXECUTE format('DROP ROLE %I', role);
  END IF;
  DELETE FROM lanyard.session_attribute a WHERE a.role = end_lease.role;
  DELETE FROM lanyard.lease l WHERE l.role = end_lease.role;
  IF home IS NOT NULL THEN
    PERFORM lanyard.close_workspace(home);
  END IF;
END
$end_lease$;

-- Leases of that node, and those of any node whose time is over.
CREATE OR REPLACE FUNCTION lanyard.leftovers(node text)
RETURNS TABLE (role text, expired bool)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $leftovers$
  SELECT l.role::text, l.expires <= pg_catalog.clock_timestamp()
  FROM lanyard.lease l
  WHERE l.node = leftovers.node OR l.expires <= pg_catalog.clock_timestamp()
  ORDER BY 1
$leftovers$;

-- Creates the role that carries the rights of one entitlement, without any.
CREATE OR REPLACE FUNCTION lanyard.create_bundle(name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $create_bundle$
BEGIN
  IF NOT lanyard.is_bundle(name) THEN
    RAISE EXCEPTION 'not the name of a bundle' USING ERRCODE = '22023';
  END IF;
  -- Roles are shared by the databases of a server: another one may have made it.
  IF to_regrole(name) IS NULL THEN
    EXECUTE format(
      'CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT', name);
  END IF;
END
$create_bundle$;

-- Drops a bundle that no role carries any more. Its rights are taken back before, by who granted them.
CREATE OR REPLACE FUNCTION lanyard.drop_bundle(name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $drop_bundle$
#variable_conflict use_variable
BEGIN
  IF NOT lanyard.is_bundle(name) THEN
    RAISE EXCEPTION 'not the name of a bundle' USING ERRCODE = '22023';
  END IF;
  -- Leases that are being made are waited for; their memberships cannot be seen before.
  LOCK TABLE lanyard.lease IN SHARE MODE;
  IF to_regrole(name) IS NOT NULL THEN
    IF EXISTS (SELECT FROM lanyard.lease l WHERE l.bundle = name)
      OR EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = to_regrole(name)
                 AND m.member <> to_regrole('lanyard_definer')) THEN
      RAISE EXCEPTION 'the bundle is in use' USING ERRCODE = '55006';
    END IF;
    EXECUTE format('DROP ROLE %I', name);
  END IF;
  DELETE FROM lanyard.bundle_column c WHERE c.bundle = drop_bundle.name;
  DELETE FROM lanyard.bundle_relation r WHERE r.bundle = drop_bundle.name;
  DELETE FROM lanyard.bundle_type t WHERE t.bundle = drop_bundle.name;
  DELETE FROM lanyard.bundle_unmask u WHERE u.bundle = drop_bundle.name;
END
$drop_bundle$;
