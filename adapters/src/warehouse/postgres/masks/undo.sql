-- The right to undo masks: which bundle may take which keys, and the functions that sessions with the right may call.
--
-- They run with the owner's rights and ask for the bundle of session_user's lease, which nobody can forge. Nobody holds EXECUTE
-- but bundles with the right.

SET LOCAL ROLE lanyard_definer;
CREATE TABLE IF NOT EXISTS lanyard.bundle_unmask (
  bundle name,
  key text,
  PRIMARY KEY (bundle, key)
);
GRANT SELECT, INSERT, DELETE ON lanyard.bundle_unmask TO lanyard_owner;
RESET ROLE;

CREATE OR REPLACE FUNCTION lanyard_secured.unmask(masked text) RETURNS text
LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $unmask$
  SELECT lanyard.unmask(masked)
  FROM lanyard.lease l JOIN lanyard.bundle_unmask u ON u.bundle = l.bundle
  WHERE l.role = session_user
    AND u.key = 'reversible:' || substring(masked COLLATE "C" FROM '^(.+)\.[1-9][0-9]{0,8}\.[A-Za-z0-9_-]+$')
$unmask$;

CREATE OR REPLACE FUNCTION lanyard_secured.detokenize(token text) RETURNS text
LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $detokenize$
  SELECT lanyard.detokenize(token)
  FROM lanyard.lease l JOIN lanyard.bundle_unmask u ON u.bundle = l.bundle
  WHERE l.role = session_user AND u.key = 'token'
$detokenize$;

CREATE OR REPLACE FUNCTION lanyard_secured.detokenize(token uuid) RETURNS uuid
LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $detokenize$
  SELECT lanyard.detokenize(token)
  FROM lanyard.lease l JOIN lanyard.bundle_unmask u ON u.bundle = l.bundle
  WHERE l.role = session_user AND u.key = 'token'
$detokenize$;

ALTER FUNCTION lanyard_secured.unmask(text) OWNER TO lanyard_owner;
ALTER FUNCTION lanyard_secured.detokenize(text) OWNER TO lanyard_owner;
ALTER FUNCTION lanyard_secured.detokenize(uuid) OWNER TO lanyard_owner;
REVOKE ALL ON FUNCTION lanyard_secured.unmask(text), lanyard_secured.detokenize(text), lanyard_secured.detokenize(uuid)
  FROM PUBLIC;
