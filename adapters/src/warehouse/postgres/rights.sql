-- Who owns and who may call what the files before have made. The end of a bootstrap.

DO $lanyard$
DECLARE
  f regprocedure;
  ours bool;
  mask bool;
  r name;
BEGIN
  -- Roles made under PostgreSQL 15 have no administrator: after an upgrade the definer could neither vend nor end them.
  IF current_setting('server_version_num')::int >= 160000 THEN
    FOR r IN
      SELECT rolname FROM pg_roles p
        WHERE (lanyard.is_bundle(rolname) OR lanyard.is_vended(rolname) OR lanyard.is_workspace_role(rolname))
        AND NOT EXISTS (SELECT FROM pg_auth_members m
                        WHERE m.roleid = p.oid AND m.member = 'lanyard_definer'::regrole AND m.admin_option)
    LOOP
      EXECUTE format('GRANT %I TO lanyard_definer WITH ADMIN TRUE, INHERIT FALSE, SET FALSE', r);
    END LOOP;
  END IF;
  -- An extension's functions keep their owner, and lose PUBLIC all the same.
  FOR f, ours, mask IN
    SELECT oid::regprocedure,
           NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
             -- Whoever owned this one could act as anybody who makes a table: it stays the superuser's.
             AND proname <> 'after_ddl',
           proname ~ '^mask_' AND NOT proname = ANY (ARRAY['mask_aes_undo', 'mask_siv_open', 'mask_unbase64'])
    FROM pg_proc p WHERE pronamespace = 'lanyard'::regnamespace
  LOOP
    IF ours THEN
      EXECUTE format('ALTER FUNCTION %s OWNER TO lanyard_definer', f);
    END IF;
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
    -- Whoever reads a view runs its masks, bound by OID; without USAGE on the schema nobody can call them by name.
    IF mask THEN
      EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO lanyard_session, lanyard_owner', f);
      -- From 18 on a SQL function with a query in it is planned for each value, unless told not to.
      IF current_setting('server_version_num')::int >= 180000
        AND (SELECT prosqlbody::text LIKE '((%' FROM pg_proc WHERE oid = f) THEN
        EXECUTE format('ALTER FUNCTION %s SET plan_cache_mode = force_generic_plan', f);
      END IF;
    END IF;
  END LOOP;
END
$lanyard$;
GRANT EXECUTE ON FUNCTION
  lanyard.vend(text, text, text, timestamptz, int, text, jsonb, text),
  lanyard.terminate(text),
  lanyard.end_lease(text),
  lanyard.leftovers(text)
TO lanyard_vendor;
-- For the functions that sessions with the right to undo masks may call.
GRANT EXECUTE ON FUNCTION lanyard.unmask(text), lanyard.detokenize(text), lanyard.detokenize(uuid) TO lanyard_owner;
GRANT EXECUTE ON FUNCTION
  lanyard.create_bundle(text),
  lanyard.drop_bundle(text),
  lanyard.rotate_key(text),
  lanyard.retire_key(text, int),
  lanyard.list_keys()
TO lanyard_builder;
