-- Workspaces: a schema of its own for each pair of agent and user whose policies allow one.
--
-- Who owns what, and why:
--   the schema     is the definer's, so that no session can drop it, rename it or let others in.
--   what is in it  belongs to the role lanyard_<schema>, NOLOGIN, which every session of the pair is a member of: so sessions
--                  of one pair share it, and it outlives them. Sessions may become that role, which holds nothing else.
-- A schema called workspace_… keeps what is in it; one called scratch_… is dropped with the last lease of its pair.

CREATE OR REPLACE FUNCTION lanyard.is_workspace(name text) RETURNS bool
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
RETURN coalesce(name ~ '^(workspace|scratch)_(0|[1-9][0-9]{0,6})_(0|[1-9][0-9]{0,6})(_[0-9a-f]{16})?$', false);

CREATE OR REPLACE FUNCTION lanyard.is_workspace_role(name text) RETURNS bool
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
RETURN name LIKE 'lanyard\_%' AND lanyard.is_workspace(substr(name, 9));

-- Makes the schema where it is missing, and lets the role in.
CREATE OR REPLACE FUNCTION lanyard.open_workspace(role text, workspace text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $open_workspace$
#variable_conflict use_variable
DECLARE
  owner name := 'lanyard_' || workspace;
  schema_owner oid;
BEGIN
  -- The numbers are those of the agent and the user, in both names.
  IF NOT lanyard.is_workspace(workspace) OR NOT lanyard.is_vended(role)
    OR split_part(workspace, '_', 2) <> split_part(role, '_', 3)
    OR split_part(workspace, '_', 3) <> split_part(role, '_', 4) THEN
    RAISE EXCEPTION 'not a workspace of this role' USING ERRCODE = '22023';
  END IF;
  -- Against the last lease of the pair, which may be ending.
  PERFORM pg_advisory_xact_lock(hashtextextended('lanyard ' || workspace, 0));
  IF to_regrole(owner) IS NULL THEN
    EXECUTE format(
      'CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT', owner);
  END IF;
  SELECT n.nspowner INTO schema_owner FROM pg_namespace n WHERE n.nspname = workspace;
  IF schema_owner IS NULL THEN
    EXECUTE format('CREATE SCHEMA %I', workspace);
  ELSIF schema_owner <> 'lanyard_definer'::regrole THEN
    RAISE EXCEPTION 'schema "%" exists and is not Lanyard''s', workspace USING ERRCODE = '42P06';
  END IF;
  EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', workspace, owner);
  IF current_setting('server_version_num')::int >= 160000 THEN
    EXECUTE format('GRANT %I TO %I WITH ADMIN FALSE, INHERIT TRUE, SET TRUE', owner, role);
    EXECUTE format('GRANT lanyard_workspace TO %I WITH ADMIN FALSE, INHERIT TRUE, SET FALSE', role);
  ELSE
    EXECUTE format('GRANT %I, lanyard_workspace TO %I', owner, role);
  END IF;
END
$open_workspace$;

-- What a session still owns itself at its end goes to the pair: where the event trigger below was switched off.
CREATE OR REPLACE FUNCTION lanyard.hand_over(role text, workspace text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $hand_over$
#variable_conflict use_variable
DECLARE
  owner name := 'lanyard_' || workspace;
BEGIN
  IF to_regrole(owner) IS NULL OR NOT EXISTS (
      SELECT FROM pg_shdepend d
      WHERE d.dbid = (SELECT b.oid FROM pg_database b WHERE b.datname = current_database()) AND d.deptype = 'o'
        AND d.refclassid = 'pg_authid'::regclass AND d.refobjid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = role)) THEN
    RETURN;
  END IF;
  IF current_setting('server_version_num')::int >= 160000 THEN
    EXECUTE format('GRANT %I TO lanyard_definer WITH INHERIT TRUE, SET TRUE', owner);
  ELSE
    EXECUTE format('GRANT %I TO lanyard_definer', owner);
  END IF;
  EXECUTE format('REASSIGN OWNED BY %I TO %I', role, owner);
  IF current_setting('server_version_num')::int >= 160000 THEN
    EXECUTE format('REVOKE %I FROM lanyard_definer GRANTED BY lanyard_definer', owner);
  ELSE
    EXECUTE format('REVOKE %I FROM lanyard_definer', owner);
  END IF;
END
$hand_over$;

-- A lease with this workspace has ended.
CREATE OR REPLACE FUNCTION lanyard.close_workspace(workspace text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $close_workspace$
#variable_conflict use_variable
BEGIN
  IF NOT lanyard.is_workspace(workspace) OR workspace NOT LIKE 'scratch\_%' THEN
    RETURN;
  END IF;
  PERFORM pg_advisory_xact_lock(hashtextextended('lanyard ' || workspace, 0));
  IF NOT EXISTS (SELECT FROM lanyard.lease l WHERE l.workspace = close_workspace.workspace)
    AND EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = workspace AND n.nspowner = 'lanyard_definer'::regrole) THEN
    EXECUTE format('DROP SCHEMA %I CASCADE', workspace);
  END IF;
END
$close_workspace$;

-- After each statement of a session that makes or changes something: it goes to the pair's role, and nothing of Lanyard's may
-- hang on it, nor may it hold types whose text is the name of an object (their output asks for no rights). Runs with the rights
-- of who made it; for everybody but sessions of Lanyard's it does nothing. What is called here must be PostgreSQL's own.
CREATE OR REPLACE FUNCTION lanyard.after_ddl() RETURNS event_trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $after_ddl$
DECLARE
  made record;
BEGIN
  IF session_user !~ '^LANYARD_VENDED_' THEN
    RETURN;
  END IF;
  FOR made IN
    SELECT c.classid, c.objid, c.object_type, c.schema_name, c.object_identity, k.oid AS relid
    FROM pg_event_trigger_ddl_commands() c
    LEFT JOIN pg_type t ON c.classid = 'pg_type'::regclass AND t.oid = c.objid
    LEFT JOIN pg_class k ON k.oid = CASE c.classid WHEN 'pg_class'::regclass THEN c.objid ELSE t.typrelid END
  LOOP
    IF EXISTS (
      SELECT FROM pg_depend d
      LEFT JOIN pg_class c ON d.refclassid = 'pg_class'::regclass AND c.oid = d.refobjid
      LEFT JOIN pg_type t ON d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid
      LEFT JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
      JOIN pg_namespace n ON n.oid IN (c.relnamespace, t.typnamespace, p.pronamespace)
      WHERE n.nspname IN ('lanyard', 'lanyard_catalog', 'lanyard_information_schema', 'lanyard_secured')
        AND (d.classid = made.classid AND d.objid = made.objid
          OR d.classid = 'pg_class'::regclass AND d.objid = made.relid
          OR d.classid = 'pg_rewrite'::regclass AND d.objid IN (SELECT r.oid FROM pg_rewrite r WHERE r.ev_class = made.relid)
          OR d.classid = 'pg_attrdef'::regclass AND d.objid IN (SELECT a.oid FROM pg_attrdef a WHERE a.adrelid = made.relid)
          OR d.classid = 'pg_constraint'::regclass
            AND d.objid IN (SELECT x.oid FROM pg_constraint x WHERE x.conrelid = made.relid OR x.contypid = made.objid)))
    THEN
      RAISE EXCEPTION 'what is made cannot refer to governed relations or system catalogs'
        USING ERRCODE = '0A000', HINT = 'copy the rows with CREATE TABLE ... AS, column by column';
    END IF;
    IF EXISTS (
      SELECT FROM pg_type t
      WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typname ~ '^_?(reg|aclitem$)'
        AND (t.oid IN (SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = made.relid AND a.attnum > 0)
          OR t.oid = (SELECT b.typbasetype FROM pg_type b WHERE b.oid = made.objid AND made.classid = 'pg_type'::regclass)))
    THEN
      RAISE EXCEPTION 'columns of types that name objects cannot be made'
        USING ERRCODE = '0A000', HINT = 'store the value as oid or text';
    END IF;
    IF made.schema_name ~ '^(workspace|scratch)_[0-9_a-f]+$' AND (
        made.classid = 'pg_class'::regclass AND made.object_type IN ('table', 'view', 'materialized view', 'sequence')
          AND EXISTS (SELECT FROM pg_class c WHERE c.oid = made.objid AND c.relowner = quote_ident(session_user)::regrole)
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = made.objid
                          AND d.refclassid = 'pg_class'::regclass AND made.object_type = 'sequence' AND d.deptype IN ('a', 'i'))
        OR made.classid = 'pg_type'::regclass
          AND EXISTS (SELECT FROM pg_type t WHERE t.oid = made.objid AND t.typowner = quote_ident(session_user)::regrole))
    THEN
      EXECUTE format('ALTER %s %s OWNER TO %I',
        CASE made.classid WHEN 'pg_type'::regclass THEN 'TYPE' ELSE made.object_type END, made.object_identity,
        'lanyard_' || made.schema_name);
    END IF;
  END LOOP;
END
$after_ddl$;

DROP EVENT TRIGGER IF EXISTS lanyard_after_ddl;
CREATE EVENT TRIGGER lanyard_after_ddl ON ddl_command_end
  WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'CREATE VIEW', 'CREATE MATERIALIZED VIEW',
               'CREATE SEQUENCE', 'CREATE TYPE', 'CREATE DOMAIN', 'CREATE INDEX', 'ALTER TABLE', 'ALTER TYPE', 'ALTER DOMAIN')
  EXECUTE FUNCTION lanyard.after_ddl();
