-- Mask keys in time: versions, rotation with overlap, and the way back from a reversible value or token.
--
-- lanyard.mask_key holds the version every view uses. Rotation moves it to mask_key_former, where only undoing looks, until it
-- is retired. No function here answers a key.

SET LOCAL ROLE lanyard_definer;
ALTER TABLE lanyard.mask_key ADD COLUMN IF NOT EXISTS version int NOT NULL DEFAULT 1 CHECK (version > 0);
ALTER TABLE lanyard.mask_key ADD COLUMN IF NOT EXISTS created timestamptz NOT NULL DEFAULT pg_catalog.now();
CREATE TABLE IF NOT EXISTS lanyard.mask_key_former (
  id text,
  version int,
  inner_pad bytea NOT NULL,
  outer_pad bytea NOT NULL,
  created timestamptz NOT NULL,
  replaced timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (id, version)
);
RESET ROLE;

-- One block of HKDF-Expand (RFC 5869) from a key's pads: keys for one purpose each.
CREATE OR REPLACE FUNCTION lanyard.mask_subkey(inner_pad bytea, outer_pad bytea, purpose text) RETURNS bytea
LANGUAGE sql STABLE PARALLEL SAFE
RETURN sha256(outer_pad || sha256(inner_pad || convert_to(purpose, 'UTF8') || '\x01'::bytea));

CREATE OR REPLACE FUNCTION lanyard.mask_reversible_schedule(inner_pad bytea, outer_pad bytea, prefix text) RETURNS bytea[]
LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN lanyard.mask_siv_schedule(
  lanyard.mask_subkey(inner_pad, outer_pad, 'reversible mac') || lanyard.mask_subkey(inner_pad, outer_pad, 'reversible ctr'),
  ARRAY[convert_to(prefix, 'UTF8')]);

CREATE OR REPLACE FUNCTION lanyard.mask_token_schedule(inner_pad bytea, outer_pad bytea, subject text) RETURNS bytea[]
LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN lanyard.mask_siv_schedule(
  lanyard.mask_subkey(inner_pad, outer_pad, 'token mac') || lanyard.mask_subkey(inner_pad, outer_pad, 'token ctr'),
  ARRAY[convert_to(subject, 'UTF8')]);

-- The AES key of a subject's tokens for uuids, which are one block each.
CREATE OR REPLACE FUNCTION lanyard.mask_token_key(inner_pad bytea, outer_pad bytea, subject text) RETURNS bytea
LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN lanyard.mask_subkey(inner_pad, outer_pad, 'token uuid ' || subject);

-- A new version of a key; the one in force is kept for undoing. Answers the new version's number, NULL for an unknown id.
-- The key is made here: a parameter would be in the log under log_statement = all.
CREATE OR REPLACE FUNCTION lanyard.rotate_key(id text) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $rotate_key$
#variable_conflict use_variable
DECLARE
  old lanyard.mask_key;
  key bytea := sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
  inner_pad bytea := decode(repeat('36', 64), 'hex');
  outer_pad bytea := decode(repeat('5c', 64), 'hex');
BEGIN
  SELECT k.* INTO old FROM lanyard.mask_key k WHERE k.id = id FOR UPDATE;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  FOR i IN 0..31 LOOP
    inner_pad := set_byte(inner_pad, i, get_byte(key, i) # 54);
    outer_pad := set_byte(outer_pad, i, get_byte(key, i) # 92);
  END LOOP;
  INSERT INTO lanyard.mask_key_former (id, version, inner_pad, outer_pad, created)
    VALUES (old.id, old.version, old.inner_pad, old.outer_pad, old.created);
  UPDATE lanyard.mask_key k SET version = old.version + 1, inner_pad = inner_pad, outer_pad = outer_pad, created = now()
    WHERE k.id = old.id;
  RETURN old.version + 1;
END
$rotate_key$;

-- Forgets a former version: what was masked with it stays masked. True when there was one. The version in force stays.
CREATE OR REPLACE FUNCTION lanyard.retire_key(id text, version int) RETURNS bool
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $retire_key$
#variable_conflict use_variable
BEGIN
  DELETE FROM lanyard.mask_key_former f WHERE f.id = id AND f.version = version;
  RETURN FOUND;
END
$retire_key$;

-- Ids, versions and times, without the keys.
CREATE OR REPLACE FUNCTION lanyard.list_keys()
RETURNS TABLE (id text, version int, created timestamptz, replaced timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $list_keys$
  SELECT k.id, k.version, k.created, NULL::timestamptz FROM lanyard.mask_key k
  UNION ALL SELECT f.id, f.version, f.created, f.replaced FROM lanyard.mask_key_former f
  ORDER BY 1, 2 DESC
$list_keys$;

-- Back from lanyard.mask_base64; NULL for a text that it never makes.
CREATE OR REPLACE FUNCTION lanyard.mask_unbase64(t text) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
  SELECT d.b
  FROM (SELECT CASE WHEN t COLLATE "C" ~ '^(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2,3})?$' THEN
          decode(rpad(translate(t, '-_', '+/'), (length(t) + 3) / 4 * 4, '='), 'base64') END AS b OFFSET 0) AS d
  WHERE lanyard.mask_base64(d.b) = t;
END;

-- What a reversible value hides. NULL where its key is unknown or retired, or a character was changed. A right of its own:
-- nobody holds EXECUTE until it is granted.
CREATE OR REPLACE FUNCTION lanyard.unmask(masked text) RETURNS text
LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $unmask$
  SELECT convert_from(lanyard.mask_siv_open(
           lanyard.mask_reversible_schedule(k.inner_pad, k.outer_pad, p.part[1] || '.' || p.part[2] || '.'),
           lanyard.mask_unbase64(p.part[3])), 'UTF8')
  FROM regexp_match(masked COLLATE "C", '^(.+)\.([1-9][0-9]{0,8})\.([A-Za-z0-9_-]+)$') AS p(part)
  JOIN (SELECT c.id, c.version, c.inner_pad, c.outer_pad FROM lanyard.mask_key c
        UNION ALL SELECT f.id, f.version, f.inner_pad, f.outer_pad FROM lanyard.mask_key_former f) AS k
    ON k.id = 'reversible:' || p.part[1] AND k.version = p.part[2]::int
$unmask$;

-- What a token hides, for the subject of this session alone: tokens are another subject's nonsense.
CREATE OR REPLACE FUNCTION lanyard.detokenize(token text) RETURNS text
LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $detokenize$
  SELECT convert_from(o.plain, 'UTF8')
  FROM regexp_match(token COLLATE "C", '^tok_([A-Za-z0-9_-]+)$') AS p(part)
  CROSS JOIN LATERAL (
    SELECT lanyard.mask_siv_open(lanyard.mask_token_schedule(k.inner_pad, k.outer_pad, a.value),
             lanyard.mask_unbase64(p.part[1]))
    FROM (SELECT c.id, c.inner_pad, c.outer_pad FROM lanyard.mask_key c
          UNION ALL SELECT f.id, f.inner_pad, f.outer_pad FROM lanyard.mask_key_former f) AS k
    CROSS JOIN lanyard.session_attribute AS a
    WHERE k.id = 'token' AND a.role = session_user AND a.key = 'subject'
  ) AS o(plain)
  WHERE o.plain IS NOT NULL
$detokenize$;

-- A uuid's token is one block without a tag, so only the key in force turns it back.
CREATE OR REPLACE FUNCTION lanyard.detokenize(token uuid) RETURNS uuid
LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $detokenize$
  SELECT encode(lanyard.mask_aes_undo(uuid_send(token), lanyard.mask_token_key(k.inner_pad, k.outer_pad, a.value)), 'hex')::uuid
  FROM lanyard.mask_key k CROSS JOIN lanyard.session_attribute a
  WHERE k.id = 'token' AND a.role = session_user AND a.key = 'subject'
$detokenize$;
