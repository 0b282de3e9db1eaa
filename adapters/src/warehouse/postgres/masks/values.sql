-- What masks do with one value, beside the ciphers. Same rules as there: no key inside, no error on a value, no dependence on
-- a setting of the session.

-- fpe: the letters of the alphabet in a value. NULL where another letter or digit is among them, which would stay in sight,
-- and where there are fewer than 10^6 values of that length (NIST SP 800-38G) or more than 512 letters.
CREATE OR REPLACE FUNCTION lanyard.mask_letters(alphabet text, value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
  SELECT l.letters
  FROM (SELECT f.others, translate(value, f.others, '') AS letters
        FROM (SELECT translate(value, alphabet, '') AS others OFFSET 0) AS f OFFSET 0) AS l
  WHERE l.others COLLATE "C" !~ '[^ -/:-@\[-`{-~]' AND length(l.letters) BETWEEN 2 AND 512
    AND round(length(alphabet)::numeric ^ least(length(l.letters), 20)) >= 1000000;
END;

-- fpe: the value with its letters replaced, one by one.
CREATE OR REPLACE FUNCTION lanyard.mask_merge(alphabet text, value text, letters text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
  SELECT CASE WHEN length(value) = length(letters) THEN letters ELSE (
    SELECT string_agg(CASE WHEN c.known THEN substr(letters, c.rank::int, 1) ELSE c.letter END, '' ORDER BY c.place)
    FROM (SELECT v.letter, v.place, strpos(alphabet, v.letter) > 0 AS known,
                 count(*) FILTER (WHERE strpos(alphabet, v.letter) > 0) OVER (ORDER BY v.place) AS rank
          FROM string_to_table(value, NULL) WITH ORDINALITY AS v(letter, place)) AS c) END;
END;

-- reversible and token: as text without characters that need quoting (RFC 4648, base64url without padding).
CREATE OR REPLACE FUNCTION lanyard.mask_base64(b bytea) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN translate(encode(b, 'base64'), E'+/=\n', '-_');

-- randomized: a number in [0, 1) from seven bytes of a seed.
CREATE OR REPLACE FUNCTION lanyard.mask_unit(seed bytea, place int) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (('x' || encode(substr(seed, place, 7), 'hex'))::bit(56)::bigint >> 4) / 4503599627370496::double precision;

-- randomized: other than zero, from -spread to spread, each as likely.
CREATE OR REPLACE FUNCTION lanyard.mask_shift(spread numeric, unit double precision) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN floor(unit::numeric * 2 * spread) - spread
     + CASE WHEN floor(unit::numeric * 2 * spread) >= spread THEN 1 ELSE 0 END;

-- randomized: a quarter of the value to either side, at least five steps of the last digit kept; what would leave the
-- type's range goes to the other side.
CREATE OR REPLACE FUNCTION lanyard.mask_noise(value numeric, digits int, lowest numeric, highest numeric, unit double precision)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
  SELECT CASE WHEN value + s.shift BETWEEN coalesce(lowest, value + s.shift) AND coalesce(highest, value + s.shift)
           THEN value + s.shift ELSE value - s.shift END
  FROM (
    SELECT lanyard.mask_shift(p.spread, unit) * p.step AS shift
    FROM (SELECT 10::numeric ^ -digits AS step, greatest(ceil(abs(value) / 4 * 10::numeric ^ digits), 5) AS spread
          WHERE abs(value) < 1e1000 OFFSET 0) AS p OFFSET 0
  ) AS s;
END;

CREATE OR REPLACE FUNCTION lanyard.mask_noise(value double precision, highest double precision, unit double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN abs(value) < highest / 2
  THEN value + (2 * unit - 1) * CASE WHEN abs(value) < 4 THEN 1 ELSE abs(value) / 4 END END;

-- randomized: up to thirty days to either side, never none.
CREATE OR REPLACE FUNCTION lanyard.mask_noise(value date, unit double precision) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN value BETWEEN '0002-01-01'::date AND '9998-12-31'::date
  THEN value + lanyard.mask_shift(30, unit)::int END;

CREATE OR REPLACE FUNCTION lanyard.mask_noise(value timestamp, unit double precision) RETURNS timestamp
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN value BETWEEN '0002-01-01'::timestamp AND '9998-12-31'::timestamp
  THEN value + '1 microsecond'::interval * lanyard.mask_shift(2592000000000, unit)::double precision END;

-- redact: each entity found in free text becomes its name in brackets. Cards first, for the others' patterns are parts of
-- theirs. A card is 13 to 19 digits between separators that pass Luhn's test; a run too long to test is taken for one.
CREATE OR REPLACE FUNCTION lanyard.mask_redact(value text, entities text[]) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
  SELECT CASE WHEN 'phone' = ANY (entities) THEN
    regexp_replace(i.v,
      '\+[0-9](?:[ ()./-]{0,2}[0-9]){6,14}'
      '|(?<![0-9])0(?:[ ()./-]{0,2}[0-9]){6,13}(?![0-9])'
      '|(?<![0-9])(?:1[ .-]?)?\([2-9][0-9]{2}\) ?[0-9]{3}[ .-]?[0-9]{4}(?![0-9])'
      '|(?<![0-9])(?:1[ .-]?)?[2-9][0-9]{2}[ .-]?[0-9]{3}[ .-]?[0-9]{4}(?![0-9])', '[phone]', 'g') ELSE i.v END
  FROM (
    SELECT CASE WHEN 'national_id' = ANY (entities) THEN
      regexp_replace(c.v,
        -- US; UK; ES; IT; SE; CH; BR; FR; IN; DE and others of eleven digits
        '(?<![0-9])[0-9]{3}[ -][0-9]{2}[ -][0-9]{4}(?![0-9])'
        '|(?<![A-Za-z0-9])[A-Za-z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-Da-d](?![A-Za-z0-9])'
        '|(?<![0-9])[0-9]{8}[ -]?[A-Za-z](?![A-Za-z0-9])|(?<![A-Za-z0-9])[XYZxyz][ -]?[0-9]{7}[ -]?[A-Za-z](?![A-Za-z0-9])'
        '|(?<![A-Za-z0-9])[A-Za-z]{6}[0-9]{2}[A-Za-z][0-9]{2}[A-Za-z][0-9]{3}[A-Za-z](?![A-Za-z0-9])'
        '|(?<![0-9])(?:[0-9]{2})?[0-9]{6}[-+][0-9]{4}(?![0-9])'
        '|(?<![0-9])756[.][0-9]{4}[.][0-9]{4}[.][0-9]{2}(?![0-9])'
        '|(?<![0-9])[0-9]{3}[.][0-9]{3}[.][0-9]{3}-[0-9]{2}(?![0-9])'
        '|(?<![0-9])[12] ?[0-9]{2} ?[0-9]{2} ?[0-9][0-9ABab] ?[0-9]{3} ?[0-9]{3}(?: ?[0-9]{2})?(?![0-9])'
        '|(?<![0-9])[2-9][0-9]{3} [0-9]{4} [0-9]{4}(?![0-9])'
        '|(?<![0-9])[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}(?![0-9])', '[national id]', 'g') ELSE c.v END AS v
    FROM (
      SELECT CASE WHEN 'card' = ANY (entities) AND e.v ~ '[0-9](?:[ -]?[0-9]){12,}' THEN (
        SELECT string_agg(p.part || CASE
          WHEN h.hit IS NULL THEN ''
          WHEN length(h.hit[1]) > 400 OR EXISTS (
            SELECT FROM
              (SELECT string_to_array(translate(h.hit[1], '-', ' '), ' ') AS groups OFFSET 0) AS g,
              generate_series(1, cardinality(g.groups)) AS one,
              generate_series(one, least(cardinality(g.groups), one + 18)) AS last,
              LATERAL (SELECT array_to_string(g.groups[one:last], '') AS digits OFFSET 0) AS d
            WHERE length(d.digits) BETWEEN 13 AND 19 AND (
              SELECT sum(CASE WHEN (length(d.digits) - place) % 2 = 1
                              THEN (ARRAY[0, 2, 4, 6, 8, 1, 3, 5, 7, 9])[n.digit::int + 1] ELSE n.digit::int END) % 10 = 0
              FROM string_to_table(d.digits, NULL) WITH ORDINALITY AS n(digit, place))
          ) THEN '[card]' ELSE h.hit[1] END, '' ORDER BY p.place)
        FROM regexp_split_to_table(e.v, '[0-9](?:[ -]?[0-9]){12,}') WITH ORDINALITY AS p(part, place)
        LEFT JOIN regexp_matches(e.v, '[0-9](?:[ -]?[0-9]){12,}', 'g') WITH ORDINALITY AS h(hit, place) ON h.place = p.place
        ) ELSE e.v END AS v
      FROM (
        SELECT CASE WHEN 'email' = ANY (entities) THEN
          regexp_replace(value COLLATE "C", '[^[:space:]@<>"''(),;:\\\[\]]+@[^[:space:]@<>"''(),;:\\\[\]./]+(?:[.][^[:space:]@<>"''(),;:\\\[\]./]+)+',
                         '[email]', 'g') ELSE value COLLATE "C" END AS v OFFSET 0
      ) AS e OFFSET 0
    ) AS c OFFSET 0
  ) AS i;
END;

-- redact in json: long numbers become marked strings, so that what is found in them may be replaced; then those that were
-- left alone become numbers again.
CREATE OR REPLACE FUNCTION lanyard.mask_json_opened(value jsonb) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
  SELECT string_agg(regexp_replace(p.part, '-?[0-9][0-9.eE+-]{6,}', '"\\u001f\&"', 'g')
                    || coalesce(regexp_replace(h.hit[1], '^"\\u001f', '"\\u001f\\u001f'), ''), '' ORDER BY p.place)
  FROM regexp_split_to_table(value::text COLLATE "C", '"(?:[^"\\]|\\.)*"') WITH ORDINALITY AS p(part, place)
  LEFT JOIN regexp_matches(value::text COLLATE "C", '"(?:[^"\\]|\\.)*"', 'g') WITH ORDINALITY AS h(hit, place) ON h.place = p.place;
END;

CREATE OR REPLACE FUNCTION lanyard.mask_json_closed(value text) RETURNS jsonb
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN replace(regexp_replace(value, '"\\u001f(-?(?:0|[1-9][0-9]*)(?:[.][0-9]+)?(?:[eE][+-]?[0-9]{1,3})?)"', '\1', 'g'),
               '"\u001f', '"')::jsonb;

-- A json that jsonb takes; NULL for one it would refuse with an error: a zero character, half a surrogate pair, a number
-- out of its range.
CREATE OR REPLACE FUNCTION lanyard.mask_json_binary(value json) RETURNS jsonb
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
  SELECT CASE
    WHEN regexp_replace(c.v, '\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}', '', 'g')
         ~ '\\u0000|\\u[dD][89a-fA-F]|[0-9][eE][+-]?[0-9]{4,}|[0-9]{255}'
      THEN NULL ELSE value::jsonb END
  FROM (SELECT replace(value::text COLLATE "C", '\\', '') AS v OFFSET 0) AS c;
END;
