-- Functions that answer in place of pg_catalog's. They run with the session's own rights, read nothing but granted
-- virtual views and pg_catalog, and are bound at creation (SQL-standard bodies), so no search_path of a client reaches
-- them; PL/pgSQL ones pin it, or qualify every name where they must read the client's.
--
-- Clients call them once per row. So what is built in (OID below 16384) is answered by PostgreSQL itself in a body that
-- the planner inlines (no sub-select, not STRICT), and the rest by PL/pgSQL, which keeps its plans, over the smallest
-- view that can tell: starting a plan over pg_class's virtual view costs a millisecond.

-- ---- what the session sees -------------------------------------------------------------------------------------

CREATE FUNCTION lanyard_catalog._own_schemas() RETURNS SETOF oid LANGUAGE plpgsql STABLE ROWS 2
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT s.oid FROM lanyard_catalog._own_schema s;
END $$;
CREATE FUNCTION lanyard_catalog._is_own(relid oid) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM pg_class c WHERE c.oid = $1 AND c.relnamespace IN (SELECT lanyard_catalog._own_schemas()));
END $$;
-- Its name; NULL where there is none.
CREATE FUNCTION lanyard_catalog._workspace_name() RETURNS name LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (SELECT n.nspname FROM pg_namespace n WHERE n.oid = lanyard_catalog._workspace());
END $$;
-- A text that names what is in it by its bare name, as the session does.
CREATE FUNCTION lanyard_catalog._bare(definition text) RETURNS text LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN replace($1, COALESCE(lanyard_catalog._workspace_name(), 'pg_temp') || '.', '');
END $$;

-- Of these types, those the session may name for a parameter: its own, and of others that it sees those that are no rows and hold
-- none (base types, enums, ranges and arrays of them). A row or a domain of somebody else's may print what policy hides.
CREATE FUNCTION lanyard_catalog._parameter_types(oids oid[]) RETURNS SETOF oid LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT t.oid FROM lanyard_catalog.pg_type t
        LEFT JOIN lanyard_catalog.pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
        WHERE t.oid = ANY (oids) AND (
            t.typnamespace = lanyard_catalog._workspace()
            OR COALESCE(e.typtype, t.typtype) IN ('b', 'e', 'r', 'm') AND (t.typcategory <> 'A' OR e.oid IS NOT NULL));
END $$;

CREATE FUNCTION lanyard_catalog._visible_made(relid oid) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kind "char";
    schema oid;
BEGIN
    IF lanyard_catalog._sees_relation($1) THEN
        RETURN true;
    END IF;
    SELECT c.relkind, c.relnamespace INTO kind, schema FROM pg_class c WHERE c.oid = $1;
    RETURN kind IS NOT NULL
        AND (schema IN (SELECT lanyard_catalog._own_schemas()) OR kind IN ('i', 'I') AND lanyard_catalog._sees_index($1));
END $$;
CREATE FUNCTION lanyard_catalog._visible(relid oid) RETURNS boolean LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN true ELSE lanyard_catalog._visible_made($1) END;

-- Schemas in the order in which a bare relation name is looked up: the session's temporary schema, pg_catalog unless it
-- is named, then search_path as written. Names that do not exist match nothing.
CREATE FUNCTION lanyard_catalog._named_path() RETURNS name[] LANGUAGE sql STABLE
RETURN (
    SELECT COALESCE(pg_catalog.array_agg(p.name ORDER BY p.position), '{}')
    FROM (
        SELECT COALESCE(pg_catalog.replace(m.part[1], '""', '"'), pg_catalog.lower(m.part[2]))::name AS name, m.position
        FROM pg_catalog.regexp_matches(
            pg_catalog.current_setting('search_path'), '"((?:[^"]|"")*)"|([^",\s]+)', 'g'
        ) WITH ORDINALITY m (part, position)
    ) p
    WHERE p.name NOT IN ('pg_temp', '$user'));

CREATE FUNCTION lanyard_catalog._path() RETURNS name[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    named pg_catalog.name[] := lanyard_catalog._named_path();
BEGIN
    IF NOT 'pg_catalog' OPERATOR(pg_catalog.=) ANY (named) THEN
        named := pg_catalog.array_prepend('pg_catalog'::pg_catalog.name, named);
    END IF;
    IF pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.<>) 0 THEN
        SELECT pg_catalog.array_prepend(n.nspname, named) INTO named
        FROM pg_catalog.pg_namespace n WHERE n.oid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema();
    END IF;
    -- What is the session's own is found where nothing else is.
    IF lanyard_catalog._workspace() OPERATOR(pg_catalog.<>) 0 THEN
        named := pg_catalog.array_append(
            pg_catalog.array_remove(named, lanyard_catalog._workspace_name()), lanyard_catalog._workspace_name());
    END IF;
    RETURN named;
END $$;
-- What is made goes to the workspace, so that is the current schema.
CREATE FUNCTION lanyard_catalog._schemas_of_path(implicit boolean) RETURNS name[] LANGUAGE sql STABLE
RETURN CASE
    WHEN $1 THEN lanyard_catalog._path()
    WHEN lanyard_catalog._workspace() = 0 THEN lanyard_catalog._named_path()
    ELSE pg_catalog.array_prepend(lanyard_catalog._workspace_name(),
        pg_catalog.array_remove(lanyard_catalog._named_path(), lanyard_catalog._workspace_name()))
END;

CREATE FUNCTION lanyard_catalog._lookup(parts text[]) RETURNS oid LANGUAGE sql STABLE STRICT
RETURN (
    SELECT c.oid
    FROM (SELECT lanyard_catalog._path() AS path, pg_catalog.cardinality($1) AS n) p
    JOIN pg_catalog.pg_class c ON c.relname = $1[p.n]::name
    JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace
    WHERE CASE p.n
            WHEN 1 THEN s.nspname = ANY (p.path)
            WHEN 2 THEN s.nspname = $1[1]::name OR $1[1] = 'pg_temp' AND s.oid = pg_catalog.pg_my_temp_schema()
            WHEN 3 THEN s.nspname = $1[2]::name AND $1[1] = pg_catalog.current_database()
            ELSE false
        END
      AND lanyard_catalog._visible(c.oid)
    ORDER BY pg_catalog.array_position(p.path, s.nspname)
    LIMIT 1);

CREATE FUNCTION lanyard_catalog._lookup(name text) RETURNS oid LANGUAGE sql STABLE STRICT
RETURN CASE
    WHEN $1 ~ '^\d{1,10}$' THEN (SELECT $1::oid WHERE lanyard_catalog._visible($1::oid))
    ELSE lanyard_catalog._lookup(pg_catalog.parse_ident($1))
END;

-- A number is taken as an OID unseen, as regclass does: what it is asked for answers as for a missing one. No pinned
-- search_path here, because _lookup reads the client's; every name below is qualified.
CREATE FUNCTION lanyard_catalog._resolve(name text) RETURNS oid LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE found pg_catalog.oid;
BEGIN
    IF $1 OPERATOR(pg_catalog.~) '^\d{1,10}$' THEN
        RETURN $1::pg_catalog.oid;
    END IF;
    found := lanyard_catalog._lookup($1);
    IF found IS NULL THEN
        RAISE EXCEPTION 'relation "%" does not exist', $1 USING ERRCODE = 'undefined_table';
    END IF;
    RETURN found;
END $$;

CREATE FUNCTION lanyard_catalog._schema(name text) RETURNS oid LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp AS $$
DECLARE found oid;
BEGIN
    SELECT n.oid INTO found FROM lanyard_catalog.pg_namespace n WHERE n.nspname = $1;
    IF found IS NULL THEN
        RAISE EXCEPTION 'schema "%" does not exist', $1 USING ERRCODE = 'invalid_schema_name';
    END IF;
    RETURN found;
END $$;

CREATE FUNCTION lanyard_catalog._attnum(relid oid, attname text) RETURNS smallint LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp AS $$
DECLARE found smallint;
BEGIN
    SELECT a.attnum INTO found FROM lanyard_catalog.pg_attribute a
    WHERE a.attrelid = $1 AND a.attname = $2::name AND NOT a.attisdropped;
    IF found IS NULL THEN
        RAISE EXCEPTION 'column "%" of relation does not exist', $2 USING ERRCODE = 'undefined_column';
    END IF;
    RETURN found;
END $$;

-- Is this the session's own role? By name, any other does not exist.
CREATE FUNCTION lanyard_catalog._me(role name) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF $1 <> SESSION_USER THEN
        RAISE EXCEPTION 'role "%" does not exist', $1 USING ERRCODE = 'undefined_object';
    END IF;
    RETURN true;
END $$;
-- CASE, because the planner takes a bare comparison for one that few rows pass.
CREATE FUNCTION lanyard_catalog._me(role oid) RETURNS boolean LANGUAGE sql STABLE
RETURN CASE WHEN pg_catalog.pg_get_userbyid($1) = SESSION_USER THEN true ELSE false END;

-- ---- names and visibility --------------------------------------------------------------------------------------

CREATE FUNCTION lanyard_catalog.current_schemas(implicit boolean) RETURNS name[] LANGUAGE sql STABLE STRICT
RETURN (
    SELECT COALESCE(pg_catalog.array_agg(p.name ORDER BY p.position), '{}')
    FROM pg_catalog.unnest(lanyard_catalog._schemas_of_path($1))
        WITH ORDINALITY p (name, position)
    WHERE EXISTS (SELECT FROM lanyard_catalog.pg_namespace n WHERE n.nspname = p.name));
CREATE FUNCTION lanyard_catalog.current_schema() RETURNS name LANGUAGE sql STABLE
RETURN (lanyard_catalog.current_schemas(false))[1];

CREATE FUNCTION lanyard_catalog.to_regclass(name text) RETURNS regclass LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._lookup($1)::regclass;
CREATE FUNCTION lanyard_catalog.regclass(relid oid) RETURNS regclass LANGUAGE sql STABLE STRICT
RETURN CASE WHEN lanyard_catalog._visible($1) THEN $1::regclass END;
CREATE FUNCTION lanyard_catalog.regclass(name text) RETURNS regclass LANGUAGE sql STABLE STRICT
RETURN CASE WHEN $1 = '-' THEN 0::regclass ELSE lanyard_catalog.regclass(lanyard_catalog._resolve($1)) END;
-- For casts of a column or parameter: NULL for what the session does not see.
CREATE FUNCTION lanyard_catalog._regtype(id oid) RETURNS regtype LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 OR $1 IN (SELECT t FROM lanyard_catalog._types() t) THEN $1::regtype END;
CREATE FUNCTION lanyard_catalog._regtypes(ids oid[]) RETURNS regtype[] LANGUAGE sql STABLE STRICT
RETURN ARRAY(SELECT lanyard_catalog._regtype(t.id) FROM unnest($1) WITH ORDINALITY AS t (id, place) ORDER BY t.place);
CREATE FUNCTION lanyard_catalog._regnamespace(id oid) RETURNS regnamespace LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 OR $1 IN (SELECT s FROM lanyard_catalog._schemas() s) THEN $1::regnamespace END;
CREATE FUNCTION lanyard_catalog._regproc(id oid) RETURNS regproc LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN $1::regproc END;
CREATE FUNCTION lanyard_catalog._regprocedure(id oid) RETURNS regprocedure LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN $1::regprocedure END;
CREATE FUNCTION lanyard_catalog._regoperator(id oid) RETURNS regoperator LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN $1::regoperator END;
CREATE FUNCTION lanyard_catalog.to_regnamespace(name text) RETURNS regnamespace LANGUAGE sql STABLE STRICT
RETURN (SELECT n.oid FROM lanyard_catalog.pg_namespace n WHERE n.nspname = (pg_catalog.parse_ident($1))[1]::name)::regnamespace;
CREATE FUNCTION lanyard_catalog.to_regrole(name text) RETURNS regrole LANGUAGE sql STABLE STRICT
RETURN CASE WHEN (pg_catalog.parse_ident($1))[1] = SESSION_USER THEN pg_catalog.to_regrole($1) END;
-- A bare name of a type of the session's own, or of an array of it.
CREATE FUNCTION lanyard_catalog._own_type(name text) RETURNS oid LANGUAGE sql STABLE STRICT
RETURN (
    SELECT CASE WHEN $1 ~ '\[\s*\]\s*$' THEN t.typarray ELSE t.oid END
    FROM (SELECT pg_catalog.parse_ident(pg_catalog.regexp_replace($1, '(\s*\[\s*\])+\s*$', ''), false) AS part) q
    JOIN pg_catalog.pg_type t ON t.typname = q.part[1]::name
    WHERE pg_catalog.cardinality(q.part) = 1 AND t.typnamespace = lanyard_catalog._workspace());
-- A schema in front is looked up among the visible ones, because PostgreSQL's own answer tells whether it exists.
CREATE FUNCTION lanyard_catalog._qualified_type(name text) RETURNS oid LANGUAGE sql STABLE STRICT
RETURN (
    SELECT CASE WHEN $1 ~ '\[\s*\]\s*$' THEN t.typarray ELSE t.oid END
    FROM (SELECT pg_catalog.parse_ident(pg_catalog.regexp_replace($1, '(\s*\[\s*\])+\s*$', ''), false) AS part) q
    JOIN lanyard_catalog.pg_type t ON t.typname = q.part[2]::name
    JOIN lanyard_catalog.pg_namespace n ON n.oid = t.typnamespace AND n.nspname = q.part[1]::name
    WHERE pg_catalog.cardinality(q.part) = 2);
-- In PL/pgSQL, because only the branch that is taken is planned, and once: drivers ask with this in their WHERE clauses, which
-- the planner evaluates several times over. Qualified throughout, because to_regtype reads the client's search_path.
CREATE FUNCTION lanyard_catalog.to_regtype(name text) RETURNS regtype LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE
    bare pg_catalog.text;
    found pg_catalog.oid;
BEGIN
    IF pg_catalog.strpos($1, '.') OPERATOR(pg_catalog.>) 0 THEN
        RETURN lanyard_catalog._qualified_type($1);
    END IF;
    -- PostgreSQL complains of "name(3)" where a type of that name is there, and be it a hidden table's row.
    bare := pg_catalog.regexp_replace($1, '\([^)]*\)', '', 'g');
    found := COALESCE(pg_catalog.to_regtype(bare)::pg_catalog.oid, lanyard_catalog._own_type(bare));
    IF found OPERATOR(pg_catalog.<) 16384::pg_catalog.oid THEN
        RETURN pg_catalog.to_regtype($1);
    END IF;
    IF EXISTS (
        SELECT FROM pg_catalog.pg_type t WHERE t.oid OPERATOR(pg_catalog.=) found
            AND t.typnamespace OPERATOR(pg_catalog.=) lanyard_catalog._workspace()) THEN
        RETURN found;
    END IF;
    RETURN (SELECT t.oid FROM lanyard_catalog.pg_type t WHERE t.oid OPERATOR(pg_catalog.=) found);
END $$;
-- For casts of a parameter that is sent as text: a name, or the number of a type.
CREATE FUNCTION lanyard_catalog._regtype(name text) RETURNS regtype LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE
    found pg_catalog.regtype;
BEGIN
    IF $1 OPERATOR(pg_catalog.~) '^[0-9]+$' THEN
        RETURN lanyard_catalog._regtype($1::pg_catalog.oid);
    END IF;
    found := lanyard_catalog.to_regtype($1);
    IF found IS NULL THEN
        RAISE EXCEPTION 'type "%" does not exist', $1 USING ERRCODE = 'undefined_object';
    END IF;
    RETURN found;
END $$;
CREATE FUNCTION lanyard_catalog.to_regproc(name text) RETURNS regproc LANGUAGE sql STABLE STRICT
RETURN CASE WHEN $1 !~ '\.' OR $1 ~ '^\s*pg_catalog\s*\.' THEN (
    SELECT r.p FROM (SELECT pg_catalog.to_regproc($1) AS p) r WHERE r.p::oid < 16384) END;
CREATE FUNCTION lanyard_catalog.to_regprocedure(name text) RETURNS regprocedure LANGUAGE sql STABLE STRICT
RETURN CASE WHEN $1 !~ '\.' OR $1 ~ '^\s*pg_catalog\s*\.[^.]*$' THEN (
    SELECT r.p FROM (SELECT pg_catalog.to_regprocedure($1) AS p) r WHERE r.p::oid < 16384) END;

-- Qualified throughout, because _path reads the client's search_path.
CREATE FUNCTION lanyard_catalog.pg_table_is_visible(relid oid) RETURNS boolean LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE
    path pg_catalog.name[];
    bare pg_catalog.name;
    rank pg_catalog.int4;
BEGIN
    IF NOT lanyard_catalog._visible($1) THEN
        RETURN NULL;
    END IF;
    path := lanyard_catalog._path();
    SELECT c.relname, pg_catalog.array_position(path, n.nspname) INTO bare, rank
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE c.oid OPERATOR(pg_catalog.=) $1;
    IF bare IS NULL OR rank IS NULL THEN
        RETURN CASE WHEN bare IS NOT NULL THEN false END;
    END IF;
    RETURN NOT EXISTS (
        SELECT FROM pg_catalog.pg_class o
        JOIN pg_catalog.pg_namespace s ON s.oid OPERATOR(pg_catalog.=) o.relnamespace
        WHERE o.relname OPERATOR(pg_catalog.=) bare AND o.oid OPERATOR(pg_catalog.<>) $1
          AND pg_catalog.array_position(path, s.nspname) OPERATOR(pg_catalog.<) rank
          AND lanyard_catalog._visible(o.oid));
END $$;
CREATE FUNCTION lanyard_catalog._pg_type_is_visible(id oid) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN (
    SELECT n.nspname = ANY (lanyard_catalog._path())
    FROM lanyard_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    WHERE t.oid = $1);
CREATE FUNCTION lanyard_catalog.pg_type_is_visible(id oid) RETURNS boolean LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN pg_catalog.pg_type_is_visible($1) ELSE lanyard_catalog._pg_type_is_visible($1) END;
CREATE FUNCTION lanyard_catalog._pg_collation_is_visible(id oid) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN (
    SELECT n.nspname = ANY (lanyard_catalog._path())
    FROM lanyard_catalog.pg_collation t JOIN pg_catalog.pg_namespace n ON n.oid = t.collnamespace
    WHERE t.oid = $1);
CREATE FUNCTION lanyard_catalog.pg_collation_is_visible(id oid) RETURNS boolean LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN pg_catalog.pg_collation_is_visible($1) ELSE lanyard_catalog._pg_collation_is_visible($1) END;
CREATE FUNCTION lanyard_catalog._pg_opclass_is_visible(id oid) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN (
    SELECT n.nspname = ANY (lanyard_catalog._path())
    FROM lanyard_catalog.pg_opclass t JOIN pg_catalog.pg_namespace n ON n.oid = t.opcnamespace
    WHERE t.oid = $1);
CREATE FUNCTION lanyard_catalog.pg_opclass_is_visible(id oid) RETURNS boolean LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN pg_catalog.pg_opclass_is_visible($1) ELSE lanyard_catalog._pg_opclass_is_visible($1) END;
CREATE FUNCTION lanyard_catalog.pg_function_is_visible(id oid) RETURNS boolean LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN pg_catalog.pg_function_is_visible($1) END;
CREATE FUNCTION lanyard_catalog.pg_operator_is_visible(id oid) RETURNS boolean LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN pg_catalog.pg_operator_is_visible($1) END;
CREATE FUNCTION lanyard_catalog.pg_opfamily_is_visible(id oid) RETURNS boolean LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN pg_catalog.pg_opfamily_is_visible($1) END;
CREATE FUNCTION lanyard_catalog.pg_conversion_is_visible(id oid) RETURNS boolean LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN pg_catalog.pg_conversion_is_visible($1) END;
CREATE FUNCTION lanyard_catalog.pg_statistics_obj_is_visible(id oid) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN NULL::boolean;
CREATE FUNCTION lanyard_catalog.pg_ts_config_is_visible(id oid) RETURNS boolean LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN pg_catalog.pg_ts_config_is_visible($1) END;
CREATE FUNCTION lanyard_catalog.pg_ts_dict_is_visible(id oid) RETURNS boolean LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN pg_catalog.pg_ts_dict_is_visible($1) END;
CREATE FUNCTION lanyard_catalog.pg_ts_parser_is_visible(id oid) RETURNS boolean LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN pg_catalog.pg_ts_parser_is_visible($1) END;
CREATE FUNCTION lanyard_catalog.pg_ts_template_is_visible(id oid) RETURNS boolean LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN pg_catalog.pg_ts_template_is_visible($1) END;

-- The modifier may be NULL. The set of all types in use is asked for last.
CREATE FUNCTION lanyard_catalog._type_visible(typid oid) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM lanyard_catalog._typed t WHERE t.typid = $1) THEN
        RETURN true;
    END IF;
    RETURN EXISTS (SELECT FROM lanyard_catalog.pg_type t WHERE t.oid = $1);
END $$;
CREATE FUNCTION lanyard_catalog.format_type(typid oid, typmod integer) RETURNS text LANGUAGE sql STABLE
RETURN CASE
    WHEN $1 < 16384 THEN pg_catalog.format_type($1, $2)
    WHEN lanyard_catalog._type_visible($1) THEN lanyard_catalog._bare(pg_catalog.format_type($1, $2))
    WHEN $1 IS NOT NULL THEN '???'
END;
CREATE FUNCTION lanyard_catalog.pg_get_userbyid(roleid oid) RETURNS name LANGUAGE sql STABLE
RETURN CASE WHEN lanyard_catalog._me($1) THEN SESSION_USER ELSE ('unknown (OID=' || $1 || ')')::name END;

-- ---- comments --------------------------------------------------------------------------------------------------

CREATE FUNCTION lanyard_catalog._obj_description(object oid, catalog name) RETURNS text LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF $2 = 'pg_class' AND lanyard_catalog._visible($1) OR $2 = 'pg_constraint' AND lanyard_catalog._sees_constraint($1) THEN
        RETURN obj_description($1, $2);
    END IF;
    IF NOT EXISTS (SELECT FROM pg_description d WHERE d.objoid = $1) THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT d.description FROM lanyard_catalog.pg_description d
        WHERE d.objoid = $1 AND d.objsubid = 0
          AND d.classoid = (SELECT c.oid FROM pg_class c WHERE c.relname = $2 AND c.relnamespace = 11));
END $$;
CREATE FUNCTION lanyard_catalog.obj_description(object oid, catalog name) RETURNS text LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN pg_catalog.obj_description($1, $2) ELSE lanyard_catalog._obj_description($1, $2) END;
CREATE FUNCTION lanyard_catalog.obj_description(object oid) RETURNS text LANGUAGE sql STABLE STRICT
RETURN (SELECT d.description FROM lanyard_catalog.pg_description d WHERE d.objoid = $1 AND d.objsubid = 0 LIMIT 1);
CREATE FUNCTION lanyard_catalog._col_description(relid oid, attnum integer) RETURNS text LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF lanyard_catalog._sees_column($1, $2) THEN
        RETURN col_description($1, $2);
    END IF;
    IF NOT EXISTS (SELECT FROM pg_description d WHERE d.objoid = $1 AND d.objsubid = $2) THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT d.description FROM lanyard_catalog.pg_description d
        WHERE d.objoid = $1 AND d.classoid = 'pg_catalog.pg_class'::regclass AND d.objsubid = $2);
END $$;
CREATE FUNCTION lanyard_catalog.col_description(relid oid, attnum integer) RETURNS text LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN pg_catalog.col_description($1, $2) ELSE lanyard_catalog._col_description($1, $2) END;
CREATE FUNCTION lanyard_catalog.shobj_description(object oid, catalog name) RETURNS text LANGUAGE sql STABLE STRICT
RETURN NULL::text;

-- ---- definitions -----------------------------------------------------------------------------------------------

CREATE FUNCTION lanyard_catalog.pg_get_indexdef(relid oid) RETURNS text LANGUAGE sql STABLE
RETURN CASE WHEN lanyard_catalog._visible($1) THEN pg_catalog.pg_get_indexdef($1) END;
CREATE FUNCTION lanyard_catalog.pg_get_indexdef(relid oid, attnum integer, pretty boolean) RETURNS text LANGUAGE sql STABLE
RETURN CASE WHEN lanyard_catalog._visible($1) THEN pg_catalog.pg_get_indexdef($1, $2, $3) END;
CREATE FUNCTION lanyard_catalog._constraint_visible(id oid) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF lanyard_catalog._sees_constraint($1) THEN
        RETURN true;
    END IF;
    RETURN EXISTS (SELECT FROM lanyard_catalog.pg_constraint n WHERE n.oid = $1);
END $$;
CREATE FUNCTION lanyard_catalog.pg_get_constraintdef(id oid) RETURNS text LANGUAGE sql STABLE
RETURN CASE WHEN lanyard_catalog._constraint_visible($1) THEN lanyard_catalog._bare(pg_catalog.pg_get_constraintdef($1)) END;
CREATE FUNCTION lanyard_catalog.pg_get_constraintdef(id oid, pretty boolean) RETURNS text LANGUAGE sql STABLE
RETURN CASE WHEN lanyard_catalog._constraint_visible($1) THEN lanyard_catalog._bare(pg_catalog.pg_get_constraintdef($1, $2)) END;

-- An expression is read against the relation it belongs to only: against another one it would name that one's columns.
CREATE FUNCTION lanyard_catalog._belongs(expression pg_node_tree, relid oid) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF lanyard_catalog._is_own($2) THEN
        RETURN true;
    END IF;
    IF EXISTS (
        SELECT FROM pg_attrdef d
        WHERE d.adrelid = $2 AND d.adbin::text = $1::text
          AND lanyard_catalog._sees_default(d.oid))
    THEN
        RETURN true;
    END IF;
    IF EXISTS (
        SELECT FROM pg_index i
        WHERE i.indrelid = $2 AND (i.indexprs::text = $1::text OR i.indpred::text = $1::text)
          AND lanyard_catalog._visible(i.indexrelid))
    THEN
        RETURN true;
    END IF;
    RETURN EXISTS (SELECT FROM lanyard_catalog.pg_constraint n WHERE n.conrelid = $2 AND n.conbin::text = $1::text)
        OR EXISTS (SELECT FROM lanyard_catalog.pg_class c WHERE c.oid = $2 AND c.relpartbound::text = $1::text);
END $$;
CREATE FUNCTION lanyard_catalog.pg_get_expr(expression pg_node_tree, relid oid) RETURNS text LANGUAGE sql STABLE
RETURN CASE
    WHEN $2 < 16384 THEN pg_catalog.pg_get_expr($1, $2)
    WHEN lanyard_catalog._belongs($1, $2) THEN pg_catalog.pg_get_expr($1, $2)
END;
CREATE FUNCTION lanyard_catalog.pg_get_expr(expression pg_node_tree, relid oid, pretty boolean) RETURNS text LANGUAGE sql STABLE
RETURN CASE
    WHEN $2 < 16384 THEN pg_catalog.pg_get_expr($1, $2, $3)
    WHEN lanyard_catalog._belongs($1, $2) THEN pg_catalog.pg_get_expr($1, $2, $3)
END;

-- Views in a workspace stand over the session's own; temporary ones may stand over secured views, whose names are ours.
CREATE FUNCTION lanyard_catalog._is_kept(relid oid) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM pg_class c WHERE c.oid = $1 AND c.relnamespace = lanyard_catalog._workspace());
END $$;
-- What a granted view reads may be hidden. Its columns are known: they are said as pg_dump itself says those of a view whose
-- definition has to come later.
CREATE FUNCTION lanyard_catalog._view_shape(relid oid) RETURNS text LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (
        SELECT ' SELECT ' || string_agg(
            format('NULL::%s AS %I', format_type(a.atttypid, a.atttypmod), a.attname), E',\n    ' ORDER BY a.attnum
        ) || E'\n    /* what it reads is not shown */;'
        FROM lanyard_catalog.pg_class c JOIN lanyard_catalog.pg_attribute a ON a.attrelid = c.oid
        WHERE c.oid = $1 AND c.relkind IN ('v', 'm') AND a.attnum > 0 AND NOT a.attisdropped
    );
END $$;
CREATE FUNCTION lanyard_catalog.pg_get_viewdef(relid oid) RETURNS text LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 OR lanyard_catalog._is_kept($1) THEN pg_catalog.pg_get_viewdef($1) ELSE lanyard_catalog._view_shape($1) END;
CREATE FUNCTION lanyard_catalog.pg_get_viewdef(relid oid, pretty boolean) RETURNS text LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 OR lanyard_catalog._is_kept($1) THEN pg_catalog.pg_get_viewdef($1, $2) ELSE lanyard_catalog._view_shape($1) END;
CREATE FUNCTION lanyard_catalog.pg_get_viewdef(relid oid, wrap integer) RETURNS text LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 OR lanyard_catalog._is_kept($1) THEN pg_catalog.pg_get_viewdef($1, $2) ELSE lanyard_catalog._view_shape($1) END;
CREATE FUNCTION lanyard_catalog.pg_get_viewdef(name text) RETURNS text LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog.pg_get_viewdef(lanyard_catalog._resolve($1));
CREATE FUNCTION lanyard_catalog.pg_get_viewdef(name text, pretty boolean) RETURNS text LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog.pg_get_viewdef(lanyard_catalog._resolve($1), $2);

CREATE FUNCTION lanyard_catalog.pg_get_functiondef(id oid) RETURNS text LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN pg_catalog.pg_get_functiondef($1) END;
CREATE FUNCTION lanyard_catalog.pg_get_function_arguments(id oid) RETURNS text LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN pg_catalog.pg_get_function_arguments($1) END;
CREATE FUNCTION lanyard_catalog.pg_get_function_identity_arguments(id oid) RETURNS text LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN pg_catalog.pg_get_function_identity_arguments($1) END;
CREATE FUNCTION lanyard_catalog.pg_get_function_result(id oid) RETURNS text LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN pg_catalog.pg_get_function_result($1) END;
CREATE FUNCTION lanyard_catalog.pg_get_function_arg_default(id oid, argument integer) RETURNS text LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN pg_catalog.pg_get_function_arg_default($1, $2) END;
CREATE FUNCTION lanyard_catalog.pg_get_function_sqlbody(id oid) RETURNS text LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN pg_catalog.pg_get_function_sqlbody($1) END;
CREATE FUNCTION lanyard_catalog.pg_get_partkeydef(relid oid) RETURNS text LANGUAGE sql STABLE STRICT
RETURN (SELECT pg_catalog.pg_get_partkeydef(p.partrelid) FROM lanyard_catalog.pg_partitioned_table p WHERE p.partrelid = $1);

-- Always unknown: what these print is hidden whole.
CREATE FUNCTION lanyard_catalog.pg_get_partition_constraintdef(relid oid) RETURNS text LANGUAGE sql STABLE STRICT
RETURN NULL::text;
CREATE FUNCTION lanyard_catalog.pg_get_ruledef(id oid) RETURNS text LANGUAGE sql STABLE STRICT RETURN NULL::text;
CREATE FUNCTION lanyard_catalog.pg_get_ruledef(id oid, pretty boolean) RETURNS text LANGUAGE sql STABLE STRICT RETURN NULL::text;
CREATE FUNCTION lanyard_catalog.pg_get_triggerdef(id oid) RETURNS text LANGUAGE sql STABLE STRICT RETURN NULL::text;
CREATE FUNCTION lanyard_catalog.pg_get_triggerdef(id oid, pretty boolean) RETURNS text LANGUAGE sql STABLE STRICT RETURN NULL::text;
CREATE FUNCTION lanyard_catalog.pg_get_statisticsobjdef(id oid) RETURNS text LANGUAGE sql STABLE STRICT RETURN NULL::text;
CREATE FUNCTION lanyard_catalog.pg_get_statisticsobjdef_columns(id oid) RETURNS text LANGUAGE sql STABLE STRICT RETURN NULL::text;
CREATE FUNCTION lanyard_catalog.pg_get_statisticsobjdef_expressions(id oid) RETURNS text[] LANGUAGE sql STABLE STRICT RETURN NULL::text[];
CREATE FUNCTION lanyard_catalog.pg_get_serial_sequence(name text, attname text) RETURNS text LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE found pg_catalog.oid := lanyard_catalog._lookup($1);
BEGIN
    IF found IS NULL OR NOT lanyard_catalog._is_own(found) THEN
        RETURN NULL;
    END IF;
    RETURN pg_catalog.pg_get_serial_sequence(found::pg_catalog.regclass::pg_catalog.text, $2);
END $$;
CREATE FUNCTION lanyard_catalog.pg_get_replica_identity_index(relid oid) RETURNS regclass LANGUAGE sql STABLE STRICT RETURN NULL::regclass;
CREATE FUNCTION lanyard_catalog.pg_get_replica_identity_index(name text) RETURNS regclass LANGUAGE sql STABLE STRICT
RETURN NULLIF(lanyard_catalog._resolve($1), lanyard_catalog._resolve($1))::regclass;
CREATE FUNCTION lanyard_catalog.pg_relation_is_publishable(relid oid) RETURNS boolean LANGUAGE sql STABLE STRICT RETURN false;
CREATE FUNCTION lanyard_catalog.pg_relation_is_publishable(name text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._resolve($1) = 0;
-- An aclitem prints the name of any role.
CREATE FUNCTION lanyard_catalog.acldefault(kind "char", owner oid) RETURNS aclitem[] LANGUAGE sql STABLE STRICT
RETURN CASE WHEN lanyard_catalog._me($2) THEN pg_catalog.acldefault($1, $2) END;
CREATE FUNCTION lanyard_catalog.row_security_active(relid oid) RETURNS boolean LANGUAGE sql STABLE STRICT RETURN false;
CREATE FUNCTION lanyard_catalog.row_security_active(name text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._resolve($1) = 0;

-- ---- sizes and files: they tell how many rows are hidden -------------------------------------------------------

CREATE FUNCTION lanyard_catalog.pg_relation_size(relid oid) RETURNS bigint LANGUAGE sql STABLE STRICT RETURN NULL::bigint;
CREATE FUNCTION lanyard_catalog.pg_relation_size(relid oid, fork text) RETURNS bigint LANGUAGE sql STABLE STRICT RETURN NULL::bigint;
CREATE FUNCTION lanyard_catalog.pg_relation_size(name text) RETURNS bigint LANGUAGE sql STABLE STRICT
RETURN NULLIF(lanyard_catalog._resolve($1)::bigint, lanyard_catalog._resolve($1)::bigint);
CREATE FUNCTION lanyard_catalog.pg_relation_size(name text, fork text) RETURNS bigint LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog.pg_relation_size($1);
CREATE FUNCTION lanyard_catalog.pg_table_size(relid oid) RETURNS bigint LANGUAGE sql STABLE STRICT RETURN NULL::bigint;
CREATE FUNCTION lanyard_catalog.pg_table_size(name text) RETURNS bigint LANGUAGE sql STABLE STRICT RETURN lanyard_catalog.pg_relation_size($1);
CREATE FUNCTION lanyard_catalog.pg_indexes_size(relid oid) RETURNS bigint LANGUAGE sql STABLE STRICT RETURN NULL::bigint;
CREATE FUNCTION lanyard_catalog.pg_indexes_size(name text) RETURNS bigint LANGUAGE sql STABLE STRICT RETURN lanyard_catalog.pg_relation_size($1);
CREATE FUNCTION lanyard_catalog.pg_total_relation_size(relid oid) RETURNS bigint LANGUAGE sql STABLE STRICT RETURN NULL::bigint;
CREATE FUNCTION lanyard_catalog.pg_total_relation_size(name text) RETURNS bigint LANGUAGE sql STABLE STRICT RETURN lanyard_catalog.pg_relation_size($1);
CREATE FUNCTION lanyard_catalog.pg_database_size(id oid) RETURNS bigint LANGUAGE sql STABLE STRICT RETURN NULL::bigint;
CREATE FUNCTION lanyard_catalog.pg_database_size(name name) RETURNS bigint LANGUAGE sql STABLE STRICT RETURN NULL::bigint;
CREATE FUNCTION lanyard_catalog.pg_tablespace_size(id oid) RETURNS bigint LANGUAGE sql STABLE STRICT RETURN NULL::bigint;
CREATE FUNCTION lanyard_catalog.pg_tablespace_size(name name) RETURNS bigint LANGUAGE sql STABLE STRICT RETURN NULL::bigint;
CREATE FUNCTION lanyard_catalog.pg_tablespace_location(id oid) RETURNS text LANGUAGE sql STABLE STRICT RETURN ''::text;
CREATE FUNCTION lanyard_catalog.pg_relation_filenode(relid oid) RETURNS oid LANGUAGE sql STABLE STRICT RETURN NULL::oid;
CREATE FUNCTION lanyard_catalog.pg_relation_filepath(relid oid) RETURNS text LANGUAGE sql STABLE STRICT RETURN NULL::text;
CREATE FUNCTION lanyard_catalog.pg_relation_filenode(name text) RETURNS oid LANGUAGE sql STABLE STRICT
RETURN NULLIF(lanyard_catalog._resolve($1), lanyard_catalog._resolve($1));
CREATE FUNCTION lanyard_catalog.pg_relation_filepath(name text) RETURNS text LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog.pg_relation_filenode($1)::text;
CREATE FUNCTION lanyard_catalog.pg_filenode_relation(tablespace oid, filenode oid) RETURNS regclass LANGUAGE sql STABLE STRICT RETURN NULL::regclass;

-- ---- partitions and index properties ---------------------------------------------------------------------------

CREATE FUNCTION lanyard_catalog.pg_partition_ancestors(partitionid oid, OUT relid regclass) RETURNS SETOF regclass LANGUAGE sql STABLE STRICT ROWS 5
BEGIN ATOMIC
    SELECT a.relid FROM pg_catalog.pg_partition_ancestors($1) a (relid)
    WHERE lanyard_catalog._visible($1) AND lanyard_catalog._visible(a.relid);
END;
CREATE FUNCTION lanyard_catalog.pg_partition_ancestors(name text, OUT relid regclass) RETURNS SETOF regclass LANGUAGE sql STABLE STRICT ROWS 5
BEGIN ATOMIC
    SELECT a.relid FROM lanyard_catalog.pg_partition_ancestors(lanyard_catalog._resolve($1)) a (relid);
END;
CREATE FUNCTION lanyard_catalog.pg_partition_root(relid oid) RETURNS regclass LANGUAGE sql STABLE STRICT
RETURN (SELECT r.relid FROM (SELECT pg_catalog.pg_partition_root($1) AS relid) r
    WHERE lanyard_catalog._visible($1) AND lanyard_catalog._visible(r.relid));
CREATE FUNCTION lanyard_catalog.pg_partition_root(name text) RETURNS regclass LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog.pg_partition_root(lanyard_catalog._resolve($1));
CREATE FUNCTION lanyard_catalog.pg_partition_tree(rootid oid, OUT relid regclass, OUT parentrelid regclass, OUT isleaf boolean, OUT level integer)
RETURNS SETOF record LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
    SELECT t.relid, CASE WHEN lanyard_catalog._visible(t.parentrelid) THEN t.parentrelid END, t.isleaf, t.level
    FROM pg_catalog.pg_partition_tree($1) t
    WHERE lanyard_catalog._visible($1) AND lanyard_catalog._visible(t.relid);
END;
CREATE FUNCTION lanyard_catalog.pg_partition_tree(name text, OUT relid regclass, OUT parentrelid regclass, OUT isleaf boolean, OUT level integer)
RETURNS SETOF record LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
    SELECT t.relid, t.parentrelid, t.isleaf, t.level
    FROM lanyard_catalog.pg_partition_tree(lanyard_catalog._resolve($1)) t;
END;
CREATE FUNCTION lanyard_catalog.pg_index_has_property(relid oid, property text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN CASE WHEN lanyard_catalog._visible($1) THEN pg_catalog.pg_index_has_property($1, $2) END;
CREATE FUNCTION lanyard_catalog.pg_index_has_property(name text, property text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog.pg_index_has_property(lanyard_catalog._resolve($1), $2);
CREATE FUNCTION lanyard_catalog.pg_index_column_has_property(relid oid, attnum integer, property text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN CASE WHEN lanyard_catalog._visible($1) THEN pg_catalog.pg_index_column_has_property($1, $2, $3) END;
CREATE FUNCTION lanyard_catalog.pg_index_column_has_property(name text, attnum integer, property text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog.pg_index_column_has_property(lanyard_catalog._resolve($1), $2, $3);
-- 28 = INSERT | UPDATE | DELETE (CMD bits of pg_relation_is_updatable).
CREATE FUNCTION lanyard_catalog.pg_relation_is_updatable(relid oid, triggers boolean) RETURNS integer LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 THEN 0 WHEN lanyard_catalog._writes_relation($1) THEN 28 ELSE 0 END;
CREATE FUNCTION lanyard_catalog.pg_column_is_updatable(relid oid, attnum smallint, triggers boolean) RETURNS boolean LANGUAGE sql STABLE
RETURN CASE WHEN $1 < 16384 OR $2 <= 0 THEN false
    ELSE lanyard_catalog._writes_relation($1) AND coalesce(lanyard_catalog._writes_columns($1, $2, 'UPDATE', true), false) END;
-- information_schema's definitions call these two with regclass, which PostgreSQL's own would match better than oid.
CREATE FUNCTION lanyard_catalog.pg_relation_is_updatable(relid regclass, triggers boolean) RETURNS integer LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog.pg_relation_is_updatable($1::oid, $2);
CREATE FUNCTION lanyard_catalog.pg_column_is_updatable(relid regclass, attnum smallint, triggers boolean) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog.pg_column_is_updatable($1::oid, $2, $3);
CREATE FUNCTION lanyard_catalog.pg_relation_is_updatable(name text, triggers boolean) RETURNS integer LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog.pg_relation_is_updatable(lanyard_catalog._resolve($1), $2);
CREATE FUNCTION lanyard_catalog.pg_column_is_updatable(name text, attnum smallint, triggers boolean) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog.pg_column_is_updatable(lanyard_catalog._resolve($1), $2, $3);

-- ---- settings: those that SHOW may show -------------------------------------------------------------------------

CREATE FUNCTION lanyard_catalog.current_setting(setting_name text, missing_ok boolean) RETURNS text LANGUAGE plpgsql STABLE STRICT AS $$
BEGIN
    IF NOT pg_catalog.lower($1) OPERATOR(pg_catalog.=) ANY ('{{shown}}'::pg_catalog.text[]) THEN
        RAISE EXCEPTION 'setting "%" may not be shown', $1 USING ERRCODE = '42501';
    END IF;
    RETURN CASE pg_catalog.lower($1)
        WHEN 'application_name' THEN ''
        WHEN 'search_path' THEN pg_catalog.replace(
            pg_catalog.regexp_replace(pg_catalog.current_setting($1), '(, )?pg_temp$', ''), 'lanyard_outside_', '')
        ELSE pg_catalog.current_setting($1, $2) END;
END $$;
CREATE FUNCTION lanyard_catalog.current_setting(setting_name text) RETURNS text LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog.current_setting($1, false);

-- ---- settings: those that SET may set, where the statement does not say which or to what --------------------------

CREATE FUNCTION lanyard_catalog.set_config(setting_name text, new_value text, is_local boolean) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF pg_catalog.lower($1) OPERATOR(pg_catalog.=) ANY ('{{free}}'::pg_catalog.text[])
        OR pg_catalog.lower($1) OPERATOR(pg_catalog.||) '=' OPERATOR(pg_catalog.||) pg_catalog.lower($2)
            OPERATOR(pg_catalog.=) ANY ('{{kept}}'::pg_catalog.text[])
    THEN
        RETURN pg_catalog.set_config($1, $2, $3);
    END IF;
    RAISE EXCEPTION 'setting "%" may not be changed here', $1 USING ERRCODE = '42501';
END $$;
