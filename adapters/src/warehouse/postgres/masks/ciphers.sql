-- Ciphers for masks: AES-SIV (RFC 5297) and FF1 (NIST SP 800-38G) over the AES of pgcrypto. Run by bootstrap.sql's caller,
-- in the same transaction, as often as one likes.
--
-- Every function here takes its key as an argument and holds none. They run with the rights of whoever reads a secured
-- view, who has no USAGE on this schema: so their bodies are parsed now (SQL-standard bodies), and whatever they call is
-- bound by OID. None raises an error on a value.
--
-- Speed: PostgreSQL before 18 plans a SQL function that it cannot inline anew for each call from another one. So those with
-- a query in their body call none of that kind: what they call is an expression that uses an argument twice only where
-- that argument is cheap (hence the nested sub-selects, which give costly values a name).

-- pgcrypto where it is, else in our own schema, where nobody can name its functions. Without it the three functions that
-- need AES answer NULL, and so does every mask built on them; "lanyard doctor" says so.
DO $lanyard$
DECLARE
  place name := (SELECT n.nspname FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace
                 WHERE x.extname = 'pgcrypto');
  shape text := 'CREATE OR REPLACE FUNCTION lanyard.mask_aes_%s(data bytea, key bytea) RETURNS bytea'
                ' LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN %s';
  each record;
  f oid;
BEGIN
  IF place IS NULL AND EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pgcrypto') THEN
    BEGIN
      CREATE EXTENSION pgcrypto SCHEMA lanyard;
      place := 'lanyard';
    EXCEPTION WHEN OTHERS THEN
      RAISE WARNING 'pgcrypto cannot be installed (%): masks that need it show NULL', SQLERRM;
    END;
  END IF;
  FOR each IN
    SELECT * FROM (VALUES ('ecb', 'encrypt', 'aes-ecb'), ('cbc', 'encrypt', 'aes-cbc'), ('undo', 'decrypt', 'aes-ecb'))
      AS v(name, function, cipher)
  LOOP
    f := NULL;
    IF place IS NOT NULL THEN
      -- The extension's own: a function of that name that somebody else put there would be handed the keys.
      SELECT p.oid INTO f FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
        JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
                        AND d.refclassid = 'pg_extension'::regclass
        JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'pgcrypto'
        WHERE p.proname = each.function AND p.proargtypes = '17 17 25'::oidvector AND l.lanname = 'c'
          AND p.probin = '$libdir/pgcrypto';
      IF f IS NULL THEN
        RAISE EXCEPTION 'extension pgcrypto has no function % of its own', each.function USING ERRCODE = '42883';
      END IF;
    END IF;
    EXECUTE format(shape, each.name, CASE WHEN f IS NULL THEN 'NULL::bytea'
      ELSE format('%I.%I(data, key, %L)', place, each.function, each.cipher || '/pad:none') END);
    -- Who reads a view calls what its masks call; turning back is the definer's. Where PUBLIC may already, nothing changes.
    IF f IS NOT NULL AND (place = 'lanyard' OR NOT has_function_privilege('public', f, 'EXECUTE')) THEN
      EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', f::regprocedure,
        CASE each.function WHEN 'encrypt' THEN 'lanyard_definer, lanyard_owner, lanyard_session' ELSE 'lanyard_definer' END);
    END IF;
  END LOOP;
END
$lanyard$;

-- Eight bytes from "place" (from 1) as a number, for PostgreSQL has no XOR of bytea.
CREATE OR REPLACE FUNCTION lanyard.mask_word(b bytea, place int) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ('x' || encode(substr(b, place, 8), 'hex'))::bit(64)::bigint;

CREATE OR REPLACE FUNCTION lanyard.mask_xor16(a bytea, b bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN int8send(lanyard.mask_word(a, 1) # lanyard.mask_word(b, 1))
    || int8send(lanyard.mask_word(a, 9) # lanyard.mask_word(b, 9));

-- Doubling in GF(2^128), RFC 5297 2.3.
CREATE OR REPLACE FUNCTION lanyard.mask_double(b bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN int8send((lanyard.mask_word(b, 1) << 1) | ((lanyard.mask_word(b, 9) >> 63) & 1))
    || int8send((lanyard.mask_word(b, 9) << 1) # CASE WHEN lanyard.mask_word(b, 1) < 0 THEN 135::bigint ELSE 0 END);

-- Fewer than sixteen bytes, then 10*: RFC 5297 2.4.
CREATE OR REPLACE FUNCTION lanyard.mask_pad16(b bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN substr(b || '\x80000000000000000000000000000000'::bytea, 1, 16);

-- The message over which CBC ends in its CMAC (RFC 4493): with the last block changed by a subkey.
CREATE OR REPLACE FUNCTION lanyard.mask_mac_input(k1 bytea, k2 bytea, m bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN length(m) > 0 AND length(m) % 16 = 0
    THEN substr(m, 1, length(m) - 16) || lanyard.mask_xor16(substr(m, length(m) - 15), k1)
  ELSE substr(m, 1, length(m) - length(m) % 16)
    || lanyard.mask_xor16(lanyard.mask_pad16(substr(m, length(m) - length(m) % 16 + 1)), k2)
  END;

-- The last block of CBC over whole blocks.
CREATE OR REPLACE FUNCTION lanyard.mask_cbc_end(key bytea, m bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN substr(lanyard.mask_aes_cbc(m, key), length(m) - 15);

-- What of S2V depends on key and associated data alone, worked out once per statement:
-- {MAC key, CTR key, k1, k2, D before the plaintext, the same doubled}.
CREATE OR REPLACE FUNCTION lanyard.mask_siv_schedule(key bytea, associated bytea[]) RETURNS bytea[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
  WITH RECURSIVE half AS MATERIALIZED (
    SELECT substr(key, 1, length(key) / 2) AS mac, substr(key, length(key) / 2 + 1) AS ctr
  ), zero AS MATERIALIZED (
    SELECT mac, ctr, lanyard.mask_aes_ecb('\x00000000000000000000000000000000', mac) AS l FROM half
  ), one AS MATERIALIZED (
    SELECT mac, ctr, lanyard.mask_double(l) AS k1 FROM zero
  ), sub AS MATERIALIZED (
    SELECT mac, ctr, k1, lanyard.mask_double(k1) AS k2 FROM one
  ), d(place, value) AS (
    SELECT 0, lanyard.mask_cbc_end(mac, lanyard.mask_mac_input(k1, k2, '\x00000000000000000000000000000000')) FROM sub
    UNION ALL
    SELECT d.place + 1,
           lanyard.mask_xor16(lanyard.mask_double(d.value),
             lanyard.mask_cbc_end(s.mac, lanyard.mask_mac_input(s.k1, s.k2, associated[d.place + 1])))
    FROM d, sub AS s WHERE d.place < cardinality(associated)
  )
  SELECT ARRAY[s.mac, s.ctr, s.k1, s.k2, d.value, lanyard.mask_double(d.value)] FROM sub AS s, d
  WHERE d.place = cardinality(associated) AND d.value IS NOT NULL;
END;

-- Up to 16 bytes, or a longer text, XOR the stream of CTR from an IV (RFC 5297 2.5). Two bits of the counter are cleared, so
-- its last four bytes never carry.
CREATE OR REPLACE FUNCTION lanyard.mask_siv_counter(iv bytea, block int) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN set_byte(substr(iv, 1, 12), 8, get_byte(iv, 8) & 127)
    || substr(int8send((lanyard.mask_word(iv, 9) & 2147483647) + block), 5);

-- IV and ciphertext.
CREATE OR REPLACE FUNCTION lanyard.mask_siv_seal(schedule bytea[], plain bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
  SELECT v.iv || CASE
    WHEN length(plain) <= 16 THEN
      substr(lanyard.mask_xor16(v.stream, lanyard.mask_pad16(plain)), 1, length(plain))
    ELSE (
      SELECT substr(string_agg(int8send(lanyard.mask_word(k.stream, 8 * w + 1) # lanyard.mask_word(k.padded, 8 * w + 1)),
                               ''::bytea ORDER BY w), 1, length(plain))
      FROM (SELECT lanyard.mask_aes_ecb(string_agg(lanyard.mask_siv_counter(v.iv, block), ''::bytea ORDER BY block),
                                        schedule[2]) AS stream,
                   plain || '\x00000000000000000000000000000000'::bytea AS padded
            FROM generate_series(0, (length(plain) - 1) / 16) AS block) AS k,
           generate_series(0, (length(plain) - 1) / 8) AS w)
    END
  FROM (
    SELECT i.iv, lanyard.mask_aes_ecb(lanyard.mask_siv_counter(i.iv, 0), schedule[2]) AS stream
    FROM (
      SELECT lanyard.mask_cbc_end(schedule[1], m.m) AS iv
      FROM (
        SELECT lanyard.mask_mac_input(schedule[3], schedule[4], t.t) AS m
        FROM (
          SELECT CASE WHEN length(plain) < 16
            THEN lanyard.mask_xor16(schedule[6], lanyard.mask_pad16(plain))
            ELSE substr(plain, 1, length(plain) - 16) || lanyard.mask_xor16(substr(plain, length(plain) - 15), schedule[5])
            END AS t OFFSET 0
        ) AS t OFFSET 0
      ) AS m OFFSET 0
    ) AS i OFFSET 0
  ) AS v;
END;

-- The plaintext; NULL where a bit was changed. Sealing again is the test: the IV is the tag. For few values, not for a mask.
CREATE OR REPLACE FUNCTION lanyard.mask_siv_open(schedule bytea[], sealed bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
  SELECT p.plain
  FROM (
    SELECT coalesce(substr(string_agg(
             int8send(lanyard.mask_word(k.stream, 8 * w + 1) # lanyard.mask_word(k.padded, 8 * w + 1)),
             ''::bytea ORDER BY w), 1, length(sealed) - 16), ''::bytea) AS plain
    FROM (SELECT lanyard.mask_aes_ecb(string_agg(lanyard.mask_siv_counter(substr(sealed, 1, 16), block),
                                                 ''::bytea ORDER BY block), schedule[2]) AS stream,
                 substr(sealed, 17) || '\x00000000000000000000000000000000'::bytea AS padded
          FROM generate_series(0, (length(sealed) - 17) / 16) AS block
          WHERE length(sealed) >= 16) AS k,
         generate_series(0, (length(sealed) - 9) / 8 - 1) AS w
    WHERE k.stream IS NOT NULL OR length(sealed) = 16
  ) AS p
  WHERE length(sealed) >= 16 AND lanyard.mask_siv_seal(schedule, p.plain) = sealed;
END;

-- FF1.Encrypt (algorithm 7) over the letters of an alphabet, the first of which is zero. NULL for a text of fewer than two
-- letters, or of others. Numerals are numbers here, so an intermediate value never passes through text.
CREATE OR REPLACE FUNCTION lanyard.mask_ff1(key bytea, tweak bytea, alphabet text, value text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
  WITH RECURSIVE given AS MATERIALIZED (
    SELECT length(alphabet) AS radix, length(value) / 2 AS u, length(value) - length(value) / 2 AS v,
           ceil(ceil((length(value) - length(value) / 2) * round(log(2::numeric, length(alphabet)::numeric), 15)) / 8)::int
             AS width
    WHERE length(value) >= 2 AND length(alphabet) >= 2 AND translate(value, alphabet, '') = ''
  ), c AS MATERIALIZED (
    SELECT u, v, width, 4 * ((width + 3) / 4) + 4 AS d, round(radix::numeric ^ u) AS mu, round(radix::numeric ^ v) AS mv,
           '\x010201'::bytea || substr(int4send(radix), 2) || '\x0a'::bytea || substr(int4send(u % 256), 4)
             || int4send(u + v) || int4send(length(tweak)) || tweak
             || substr('\x00000000000000000000000000000000'::bytea, 1, (31 - (length(tweak) + width) % 16) % 16) AS head
    FROM given
  ), round(i, a, b) AS (
    SELECT 0,
           CASE WHEN alphabet = '0123456789' THEN left(value, u)::numeric ELSE (
             SELECT sum((strpos(alphabet, n.letter) - 1) * (radix::numeric ^ (u - n.place)))
             FROM string_to_table(left(value, u), NULL) WITH ORDINALITY AS n(letter, place)) END,
           CASE WHEN alphabet = '0123456789' THEN right(value, v)::numeric ELSE (
             SELECT sum((strpos(alphabet, n.letter) - 1) * (radix::numeric ^ (v - n.place)))
             FROM string_to_table(right(value, v), NULL) WITH ORDINALITY AS n(letter, place)) END
    FROM given
    UNION ALL
    SELECT s.i + 1, s.b,
           mod(s.a + CASE WHEN s.d = 8
             THEN ('x' || encode(substr(s.r, 1, 4), 'hex'))::bit(32)::bigint * 4294967296::numeric
                  + ('x' || encode(substr(s.r, 5, 4), 'hex'))::bit(32)::bigint
             ELSE (SELECT sum((('x' || encode(substr(s.s, 4 * place + 1, 4), 'hex'))::bit(32)::bigint)
                              * (4294967296::numeric ^ (s.d / 4 - 1 - place)))
                   FROM generate_series(0, s.d / 4 - 1) AS place)
             END, s.m)
    FROM (
      SELECT p.*, CASE WHEN p.d <= 16 THEN p.r ELSE p.r || (
          SELECT string_agg(lanyard.mask_aes_ecb(set_byte(p.r, 15, get_byte(p.r, 15) # j), key), ''::bytea ORDER BY j)
          FROM generate_series(1, (p.d + 15) / 16 - 1) AS j) END AS s
      FROM (
        SELECT q.i, q.a, q.b, q.d, q.m, lanyard.mask_cbc_end(key, q.q) AS r
        FROM (
          SELECT r.i, r.a, r.b, c.d, CASE WHEN r.i % 2 = 0 THEN c.mu ELSE c.mv END AS m,
                 c.head || substr(int4send(r.i), 4) || CASE WHEN c.width <= 7
                   THEN substr(int8send(r.b::bigint), 9 - c.width)
                   ELSE (SELECT substr(string_agg(substr(int8send(mod(div(r.b, 4294967296::numeric ^ place), 4294967296)::bigint), 5),
                                                  ''::bytea ORDER BY place DESC), (c.width + 3) / 4 * 4 - c.width + 1)
                         FROM generate_series(0, (c.width + 3) / 4 - 1) AS place)
                   END AS q
          FROM round AS r, c WHERE r.i < 10 OFFSET 0
        ) AS q OFFSET 0
      ) AS p OFFSET 0
    ) AS s
  )
  SELECT CASE WHEN alphabet = '0123456789' THEN lpad(round(r.a)::text, c.u, '0') || lpad(round(r.b)::text, c.v, '0') ELSE (
    SELECT string_agg(substr(alphabet, 1 + mod(div(h.n, length(alphabet)::numeric ^ place), length(alphabet))::int, 1), ''
                      ORDER BY h.half, place DESC)
    FROM (VALUES (1, r.a, c.u), (2, r.b, c.v)) AS h(half, n, width), generate_series(0, h.width - 1) AS place) END
  FROM round AS r, c WHERE r.i = 10;
END;
