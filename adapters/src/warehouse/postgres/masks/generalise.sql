-- Maps of k_anonymous masks. Made by "lanyard generalise" as the owner, read by secured views: what is not in a map is NULL.

SET LOCAL ROLE lanyard_definer;
CREATE TABLE IF NOT EXISTS lanyard.generalisation (
  id text PRIMARY KEY,
  version int NOT NULL,
  least int NOT NULL,
  visible bigint NOT NULL,
  hidden bigint NOT NULL,
  made timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE TABLE IF NOT EXISTS lanyard.generalised (
  id text,
  version int,
  combination bytea,
  shown text[] NOT NULL,
  PRIMARY KEY (id, version, combination)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON lanyard.generalisation, lanyard.generalised TO lanyard_owner;
RESET ROLE;
