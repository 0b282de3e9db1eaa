-- What the session may see, as sets of OIDs. Owned by lanyard_owner and read by the virtual views with its rights. Only
-- those named at the end are granted to sessions, because functions run with the session's own rights.
-- 16384 is the first OID that initdb does not use (FirstNormalObjectId); 11 is the pinned OID of pg_catalog.

CREATE VIEW lanyard_catalog._self WITH (security_barrier) AS
SELECT r.oid, r.rolname FROM pg_catalog.pg_roles r WHERE r.rolname = SESSION_USER;

CREATE VIEW lanyard_catalog._relation AS
SELECT b.relid, b.readable, b.writable
FROM lanyard.bundle_relation b
WHERE b.bundle = (SELECT l.bundle FROM lanyard.lease l WHERE l.role = SESSION_USER);

CREATE VIEW lanyard_catalog._column AS
SELECT b.relid, b.attnum
FROM lanyard.bundle_column b
WHERE b.bundle = (SELECT l.bundle FROM lanyard.lease l WHERE l.role = SESSION_USER);

-- The session's own temporary relations. The second condition is decided once per query.
CREATE VIEW lanyard_catalog._temporary AS
SELECT c.oid
FROM pg_catalog.pg_class c
WHERE c.relnamespace = pg_catalog.pg_my_temp_schema() AND pg_catalog.pg_my_temp_schema() <> 0;

-- An index is shown when every column it names is, be it as key, by INCLUDE, in an expression or in its predicate. An
-- expression over the whole row depends on column 0, which nobody sees.
CREATE VIEW lanyard_catalog._index AS
SELECT i.indexrelid, i.indrelid
FROM pg_catalog.pg_index i
JOIN lanyard_catalog._relation r ON r.relid = i.indrelid
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.unnest(i.indkey) k (attnum)
    WHERE k.attnum <> 0
      AND NOT EXISTS (SELECT FROM lanyard_catalog._column c WHERE c.relid = i.indrelid AND c.attnum = k.attnum))
AND (i.indexprs IS NULL AND i.indpred IS NULL OR NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = i.indexrelid
      AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = i.indrelid
      AND NOT EXISTS (SELECT FROM lanyard_catalog._column c WHERE c.relid = i.indrelid AND c.attnum = d.refobjsubid)));

-- Types that visible columns use, with what those are made of. A composite type made from a table counts by the table.
CREATE VIEW lanyard_catalog._type AS
WITH RECURSIVE used (oid) AS (
    SELECT a.atttypid
    FROM lanyard_catalog._column c
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.relid AND a.attnum = c.attnum
    WHERE a.atttypid >= 16384
    UNION
    SELECT part.oid
    FROM used u
    JOIN pg_catalog.pg_type t ON t.oid = u.oid
    CROSS JOIN LATERAL (
        SELECT t.typelem
        UNION ALL SELECT t.typbasetype
        UNION ALL SELECT t.typarray
        UNION ALL SELECT a.atttypid
            FROM pg_catalog.pg_attribute a
            JOIN pg_catalog.pg_class k ON k.oid = a.attrelid AND k.relkind = 'c'
            WHERE a.attrelid = t.typrelid AND a.attnum > 0
        UNION ALL SELECT g.rngsubtype FROM pg_catalog.pg_range g WHERE g.rngtypid = t.oid
        UNION ALL SELECT g.rngmultitypid FROM pg_catalog.pg_range g WHERE g.rngtypid = t.oid
    ) part (oid)
    WHERE part.oid >= 16384
)
SELECT u.oid FROM used u;

-- A free-standing composite type's own relation.
CREATE VIEW lanyard_catalog._composite AS
SELECT t.typrelid AS relid
FROM lanyard_catalog._type u
JOIN pg_catalog.pg_type t ON t.oid = u.oid
JOIN pg_catalog.pg_class k ON k.oid = t.typrelid AND k.relkind = 'c';

-- A constraint is shown when every column it names is, on both sides, and so is the index behind it. Expressions in
-- conkey count as column 0.
CREATE VIEW lanyard_catalog._constraint AS
SELECT n.oid, n.contype, n.conrelid, n.confrelid
FROM pg_catalog.pg_constraint n
JOIN lanyard_catalog._relation r ON r.relid = n.conrelid
WHERE n.contype <> 't'
AND NOT EXISTS (
    SELECT FROM pg_catalog.unnest(n.conkey) k (attnum)
    WHERE NOT EXISTS (SELECT FROM lanyard_catalog._column c WHERE c.relid = n.conrelid AND c.attnum = k.attnum))
AND (n.confrelid = 0
    OR EXISTS (SELECT FROM lanyard_catalog._relation f WHERE f.relid = n.confrelid)
    AND NOT EXISTS (
        SELECT FROM pg_catalog.unnest(n.confkey) k (attnum)
        WHERE NOT EXISTS (SELECT FROM lanyard_catalog._column c WHERE c.relid = n.confrelid AND c.attnum = k.attnum)))
AND (n.contype NOT IN ('p', 'u', 'x')
    OR EXISTS (SELECT FROM lanyard_catalog._index i WHERE i.indexrelid = n.conindid));

-- A default or generation expression is shown when it names no hidden column and no other relation than a sequence
-- that belongs to a visible column.
CREATE VIEW lanyard_catalog._default AS
SELECT d.oid, d.adrelid, d.adnum
FROM pg_catalog.pg_attrdef d
JOIN lanyard_catalog._column v ON v.relid = d.adrelid AND v.attnum = d.adnum
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend p
    WHERE p.classid = 'pg_catalog.pg_attrdef'::regclass AND p.objid = d.oid
      AND p.refclassid = 'pg_catalog.pg_class'::regclass
      AND NOT (
        p.refobjid = d.adrelid
        AND EXISTS (SELECT FROM lanyard_catalog._column c WHERE c.relid = d.adrelid AND c.attnum = p.refobjsubid))
      AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend o
        JOIN lanyard_catalog._column c ON c.relid = o.refobjid AND c.attnum = o.refobjsubid
        WHERE o.classid = 'pg_catalog.pg_class'::regclass AND o.objid = p.refobjid
          AND o.refclassid = 'pg_catalog.pg_class'::regclass AND o.deptype IN ('a', 'i')));

-- Partitioned tables whose whole key is visible.
CREATE VIEW lanyard_catalog._partitioned AS
SELECT p.partrelid
FROM pg_catalog.pg_partitioned_table p
JOIN lanyard_catalog._relation r ON r.relid = p.partrelid
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.unnest(p.partattrs) k (attnum)
    WHERE NOT EXISTS (SELECT FROM lanyard_catalog._column c WHERE c.relid = p.partrelid AND c.attnum = k.attnum));

-- Parent and child, both visible; for a partition, with its parent's key.
CREATE VIEW lanyard_catalog._inheritance AS
SELECT h.inhrelid, h.inhparent
FROM pg_catalog.pg_inherits h
JOIN pg_catalog.pg_class k ON k.oid = h.inhparent
WHERE EXISTS (SELECT FROM lanyard_catalog._relation r WHERE r.relid = h.inhrelid)
  AND EXISTS (SELECT FROM lanyard_catalog._relation r WHERE r.relid = h.inhparent)
  AND (k.relkind <> 'p' OR EXISTS (SELECT FROM lanyard_catalog._partitioned p WHERE p.partrelid = h.inhparent))
UNION ALL
SELECT h.inhrelid, h.inhparent
FROM pg_catalog.pg_inherits h
WHERE EXISTS (SELECT FROM lanyard_catalog._index i WHERE i.indexrelid = h.inhrelid)
  AND EXISTS (SELECT FROM lanyard_catalog._index i WHERE i.indexrelid = h.inhparent);

-- Granted: every relation and index the session sees beyond the built-in ones, and what it may do there.
CREATE VIEW lanyard_catalog._seen WITH (security_barrier) AS
SELECT r.relid, r.readable, r.writable FROM lanyard_catalog._relation r
UNION ALL
SELECT i.indexrelid, false, false FROM lanyard_catalog._index i
UNION ALL
SELECT t.oid, true, true FROM lanyard_catalog._temporary t;

-- Granted: types of visible columns, found from the type's end (the dependency index) without building the whole set.
CREATE VIEW lanyard_catalog._typed WITH (security_barrier) AS
SELECT d.refobjid AS typid
FROM pg_catalog.pg_depend d
JOIN lanyard_catalog._column c ON c.relid = d.objid AND c.attnum = d.objsubid
WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_type'::regclass;

-- Granted: visible columns.
CREATE VIEW lanyard_catalog._seen_column WITH (security_barrier) AS
SELECT c.relid, c.attnum FROM lanyard_catalog._column c;

GRANT SELECT ON lanyard_catalog._self, lanyard_catalog._seen, lanyard_catalog._typed, lanyard_catalog._seen_column
TO lanyard_session;
