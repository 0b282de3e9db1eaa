-- What the session may see. The views here are granted to nobody: the virtual views read the small ones with their
-- owner's rights, and the functions at the end, SECURITY DEFINER with a pinned search_path, ask the large ones about one
-- object. Such a function is a fence for the planner (inlined into every virtual view, these views made plans of hundreds
-- of nodes), keeps its plan for the session, and tells a session only about what it sees anyway.
-- 16384 is the first OID that initdb does not use (FirstNormalObjectId); 11 is the pinned OID of pg_catalog.

CREATE VIEW lanyard_catalog._self AS
SELECT r.oid, r.rolname FROM pg_catalog.pg_roles r WHERE r.rolname = SESSION_USER;

CREATE VIEW lanyard_catalog._relation AS
SELECT b.relid, b.readable, b.writable
FROM lanyard.bundle_relation b
WHERE b.bundle = (SELECT l.bundle FROM lanyard.lease l WHERE l.role = SESSION_USER);

CREATE VIEW lanyard_catalog._column AS
SELECT b.relid, b.attnum
FROM lanyard.bundle_column b
WHERE b.bundle = (SELECT l.bundle FROM lanyard.lease l WHERE l.role = SESSION_USER);

-- The schema of the session's own, 0 where it has none.
CREATE FUNCTION lanyard_catalog._workspace() RETURNS oid LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN COALESCE(
        (SELECT n.oid FROM lanyard.lease l JOIN pg_namespace n ON n.nspname = l.workspace WHERE l.role = SESSION_USER), 0::oid);
END $$;
CREATE VIEW lanyard_catalog._own_schema AS
SELECT pg_catalog.pg_my_temp_schema() AS oid WHERE pg_catalog.pg_my_temp_schema() <> 0
UNION ALL
SELECT w.oid FROM (SELECT lanyard_catalog._workspace() AS oid) w WHERE w.oid <> 0;

-- The session's own relations: temporary ones, and those in its workspace. The second conditions are decided once per query.
CREATE VIEW lanyard_catalog._own AS
SELECT c.oid
FROM pg_catalog.pg_class c
WHERE c.relnamespace = pg_catalog.pg_my_temp_schema() AND pg_catalog.pg_my_temp_schema() <> 0
UNION ALL
SELECT c.oid
FROM pg_catalog.pg_class c
WHERE c.relnamespace = (SELECT lanyard_catalog._workspace()) AND lanyard_catalog._workspace() <> 0;

-- An index is shown when every column it names is, be it as key, by INCLUDE, in an expression or in its predicate. What
-- an expression names stands in pg_depend; a whole-row reference (attribute number 0) stands in its tree alone.
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
      AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid <> 0
      AND NOT EXISTS (SELECT FROM lanyard_catalog._column c WHERE c.relid = i.indrelid AND c.attnum = d.refobjsubid)))
AND COALESCE(i.indexprs::text, '') !~ ':varattno 0\M'
AND COALESCE(i.indpred::text, '') !~ ':varattno 0\M';

-- Types of visible columns, and those that permits let through. Dependencies on built-in types are not recorded, so this reads
-- few rows.
CREATE VIEW lanyard_catalog._typed AS
SELECT d.refobjid AS typid
FROM pg_catalog.pg_depend d
JOIN lanyard_catalog._column c ON c.relid = d.objid AND c.attnum = d.objsubid
WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_type'::regclass
UNION ALL
SELECT t.oid
FROM lanyard.bundle_type b
JOIN pg_catalog.pg_namespace n ON n.nspname = b.schema
JOIN pg_catalog.pg_type t ON t.typnamespace = n.oid AND t.typname = b.name
WHERE b.bundle = (SELECT l.bundle FROM lanyard.lease l WHERE l.role = SESSION_USER);

-- Those with what they are made of. A composite type made from a table counts by the table.
CREATE VIEW lanyard_catalog._type AS
WITH RECURSIVE used (oid) AS (
    SELECT t.typid FROM lanyard_catalog._typed t
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
    WHERE NOT EXISTS (SELECT FROM lanyard_catalog._column c WHERE c.relid = p.partrelid AND c.attnum = k.attnum))
UNION ALL
SELECT p.partrelid
FROM pg_catalog.pg_partitioned_table p
WHERE EXISTS (SELECT FROM lanyard_catalog._own o WHERE o.oid = p.partrelid);

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
WHERE EXISTS (SELECT FROM lanyard_catalog._own o WHERE o.oid = h.inhrelid)
UNION ALL
SELECT h.inhrelid, h.inhparent
FROM pg_catalog.pg_inherits h
WHERE EXISTS (SELECT FROM lanyard_catalog._index i WHERE i.indexrelid = h.inhrelid)
  AND EXISTS (SELECT FROM lanyard_catalog._index i WHERE i.indexrelid = h.inhparent);

-- ---- about one object ------------------------------------------------------------------------------------------

CREATE FUNCTION lanyard_catalog._sees_relation(relid oid) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM lanyard_catalog._relation r WHERE r.relid = $1);
END $$;
CREATE FUNCTION lanyard_catalog._writes_relation(relid oid) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM lanyard_catalog._relation r WHERE r.relid = $1 AND r.writable);
END $$;
CREATE FUNCTION lanyard_catalog._reads_relation(relid oid) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM lanyard_catalog._relation r WHERE r.relid = $1 AND r.readable);
END $$;
-- What the bundle really holds on the secured view's columns: masked ones take no values. 0 stands for all columns, and
-- "every" for what a right on the whole table needs.
CREATE FUNCTION lanyard_catalog._writes_columns(relid oid, attnum smallint, kind text, every boolean) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (
        SELECT CASE WHEN $4 THEN bool_and(held) ELSE bool_or(held) END
        FROM (
            SELECT has_column_privilege(SESSION_USER, r.view, c.name::text, $3) AS held
            FROM lanyard.bundle_relation r JOIN lanyard.bundle_column c ON c.bundle = r.bundle AND c.relid = r.relid
            WHERE r.bundle = (SELECT l.bundle FROM lanyard.lease l WHERE l.role = SESSION_USER)
              AND r.relid = $1 AND $2 IN (0, c.attnum)) x);
END $$;
CREATE FUNCTION lanyard_catalog._sees_column(relid oid, attnum integer) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM lanyard_catalog._column c WHERE c.relid = $1 AND c.attnum = $2::smallint);
END $$;
CREATE FUNCTION lanyard_catalog._sees_index(indexrelid oid) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM lanyard_catalog._index i WHERE i.indexrelid = $1);
END $$;
CREATE FUNCTION lanyard_catalog._sees_constraint(id oid) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM lanyard_catalog._constraint n WHERE n.oid = $1);
END $$;
CREATE FUNCTION lanyard_catalog._sees_default(id oid) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM lanyard_catalog._default d WHERE d.oid = $1);
END $$;
CREATE FUNCTION lanyard_catalog._sees_default(relid oid, attnum smallint) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM lanyard_catalog._default d WHERE d.adrelid = $1 AND d.adnum = $2);
END $$;
CREATE FUNCTION lanyard_catalog._sees_partitioned(relid oid) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM lanyard_catalog._partitioned p WHERE p.partrelid = $1);
END $$;
CREATE FUNCTION lanyard_catalog._sees_inheritance(child oid, parent oid) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM lanyard_catalog._inheritance h WHERE h.inhrelid = $1 AND h.inhparent = $2);
END $$;

-- ---- what pg_class says about one relation ---------------------------------------------------------------------

CREATE FUNCTION lanyard_catalog._has_index(relid oid) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM lanyard_catalog._index i WHERE i.indrelid = $1);
END $$;
CREATE FUNCTION lanyard_catalog._has_foreign_key(relid oid) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM lanyard_catalog._constraint n WHERE n.contype = 'f' AND n.conrelid = $1)
        OR EXISTS (SELECT FROM lanyard_catalog._constraint n WHERE n.contype = 'f' AND n.confrelid = $1);
END $$;
CREATE FUNCTION lanyard_catalog._has_parent(relid oid) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM lanyard_catalog._inheritance h WHERE h.inhrelid = $1);
END $$;
CREATE FUNCTION lanyard_catalog._has_child(relid oid) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM lanyard_catalog._inheritance h WHERE h.inhparent = $1);
END $$;
CREATE FUNCTION lanyard_catalog._checks(relid oid) RETURNS smallint LANGUAGE plpgsql STABLE STRICT
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT count(*) FROM lanyard_catalog._constraint n WHERE n.conrelid = $1 AND n.contype = 'c')::smallint;
END $$;
CREATE FUNCTION lanyard_catalog._last_column(relid oid) RETURNS smallint LANGUAGE plpgsql STABLE STRICT
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT max(c.attnum) FROM lanyard_catalog._column c WHERE c.relid = $1);
END $$;

-- ---- whole sets, asked for when a row beyond the built-in ones comes up ----------------------------------------

CREATE FUNCTION lanyard_catalog._types() RETURNS SETOF oid LANGUAGE plpgsql STABLE ROWS 100
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
        SELECT u.oid FROM lanyard_catalog._type u
        UNION ALL
        SELECT unnest(ARRAY[t.oid, t.typarray])
        FROM lanyard_catalog._relation r
        JOIN pg_class c ON c.oid = r.relid
        JOIN pg_type t ON t.oid = c.reltype
        UNION ALL
        SELECT t.oid FROM pg_type t WHERE t.typnamespace IN (SELECT s.oid FROM lanyard_catalog._own_schema s);
END $$;
-- For scans of pg_class: one by one, its indexes take ten times as long.
CREATE FUNCTION lanyard_catalog._indexes() RETURNS SETOF oid LANGUAGE plpgsql STABLE ROWS 1000
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT i.indexrelid FROM lanyard_catalog._index i;
END $$;
CREATE FUNCTION lanyard_catalog._composites() RETURNS SETOF oid LANGUAGE plpgsql STABLE ROWS 100
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT k.relid FROM lanyard_catalog._composite k;
END $$;
CREATE FUNCTION lanyard_catalog._schemas() RETURNS SETOF oid LANGUAGE plpgsql STABLE ROWS 100
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
        SELECT DISTINCT c.relnamespace FROM lanyard_catalog._relation r JOIN pg_class c ON c.oid = r.relid
        UNION SELECT t.typnamespace FROM lanyard_catalog._type u JOIN pg_type t ON t.oid = u.oid;
END $$;
-- Nearly every catalog query joins pg_namespace. Behind a security barrier the planner takes 200 distinct values for every
-- column, so it expects a join with four rows to keep a fiftieth of the other side, and after two of them chooses nested
-- loops that take minutes. Announced as 200 rows, it keeps everything, which is true.
CREATE FUNCTION lanyard_catalog._namespaces() RETURNS SETOF pg_catalog.pg_namespace LANGUAGE plpgsql STABLE ROWS 200
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
        SELECT n.* FROM pg_namespace n
        WHERE n.nspname IN ('pg_catalog', 'information_schema', 'public')
           OR n.oid IN (SELECT s.oid FROM lanyard_catalog._own_schema s)
           OR n.oid IN (SELECT lanyard_catalog._schemas());
END $$;
CREATE FUNCTION lanyard_catalog._access_methods() RETURNS SETOF oid LANGUAGE plpgsql STABLE ROWS 100
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT c.relam FROM lanyard_catalog._relation r JOIN pg_class c ON c.oid = r.relid
        UNION SELECT c.relam FROM lanyard_catalog._index i JOIN pg_class c ON c.oid = i.indexrelid;
END $$;
CREATE FUNCTION lanyard_catalog._operator_classes() RETURNS SETOF oid LANGUAGE plpgsql STABLE ROWS 100
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT DISTINCT k.oid
        FROM lanyard_catalog._index v
        JOIN pg_index i ON i.indexrelid = v.indexrelid
        CROSS JOIN LATERAL unnest(i.indclass) k (oid);
END $$;
CREATE FUNCTION lanyard_catalog._collations() RETURNS SETOF oid LANGUAGE plpgsql STABLE ROWS 100
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT DISTINCT d.refobjid
        FROM pg_depend d
        JOIN lanyard_catalog._column c ON c.relid = d.objid AND c.attnum = d.objsubid
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_collation'::regclass;
END $$;
CREATE FUNCTION lanyard_catalog._extensions() RETURNS SETOF oid LANGUAGE plpgsql STABLE ROWS 100
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT DISTINCT d.refobjid
        FROM pg_depend d
        JOIN lanyard_catalog._type u ON u.oid = d.objid
        WHERE d.classid = 'pg_catalog.pg_type'::regclass AND d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::regclass;
END $$;
