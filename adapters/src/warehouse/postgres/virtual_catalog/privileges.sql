-- has_*_privilege: what the bundle allows, for base relations; PostgreSQL's own answer for built-in and temporary ones.

-- The words of a privilege list such as 'SELECT, update WITH GRANT OPTION'; unknown ones are an error, as in PostgreSQL.
-- A grant option is never held.
CREATE FUNCTION lanyard_catalog._allowed(list text, known text[], held text[]) RETURNS boolean LANGUAGE plpgsql IMMUTABLE STRICT
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    word text;
    plain text;
    answer boolean := false;
BEGIN
    FOREACH word IN ARRAY string_to_array($1, ',') LOOP
        plain := upper(btrim(word));
        IF regexp_replace(plain, '\s+WITH GRANT OPTION$', '') <> ALL ($2) THEN
            RAISE EXCEPTION 'unrecognized privilege type: "%"', btrim(word) USING ERRCODE = 'invalid_parameter_value';
        END IF;
        answer := answer OR plain = ANY ($3);
    END LOOP;
    RETURN answer;
END $$;

-- What the session holds on a relation (0), or on a column of it; NULL where there is none that it sees. INSERT and UPDATE
-- of a whole relation need every column, "any" needs one.
CREATE FUNCTION lanyard_catalog._held(relid oid, attnum smallint, "any" boolean) RETURNS text[] LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    writes boolean := lanyard_catalog._writes_relation($1);
BEGIN
    IF NOT lanyard_catalog._sees_relation($1) THEN
        RETURN NULL;
    END IF;
    RETURN CASE WHEN lanyard_catalog._reads_relation($1) THEN '{SELECT}'::text[] ELSE '{}' END
        || CASE WHEN writes AND $2 = 0 AND NOT $3 THEN '{DELETE}'::text[] ELSE '{}' END
        || CASE WHEN writes AND lanyard_catalog._writes_columns($1, $2, 'INSERT', NOT $3) THEN '{INSERT}'::text[] ELSE '{}' END
        || CASE WHEN writes AND lanyard_catalog._writes_columns($1, $2, 'UPDATE', NOT $3) THEN '{UPDATE}'::text[] ELSE '{}' END;
END $$;

-- NULL for what the session does not see, as for a missing relation.
CREATE FUNCTION lanyard_catalog._relation_privilege(relid oid, list text) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF $1 < 16384 OR lanyard_catalog._is_own($1) THEN
        RETURN has_table_privilege($1, $2);
    END IF;
    RETURN lanyard_catalog._allowed(
        $2, '{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER,MAINTAIN,RULE}', lanyard_catalog._held($1, 0::smallint, false));
END $$;

CREATE FUNCTION lanyard_catalog._any_column_privilege(relid oid, list text) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF $1 < 16384 OR EXISTS (SELECT FROM pg_class c WHERE c.oid = $1 AND c.relnamespace = pg_my_temp_schema()) THEN
        RETURN has_any_column_privilege($1, $2);
    END IF;
    RETURN lanyard_catalog._allowed($2, '{SELECT,INSERT,UPDATE,REFERENCES}', lanyard_catalog._held($1, 0::smallint, true));
END $$;

CREATE FUNCTION lanyard_catalog._column_privilege(relid oid, attnum smallint, list text) RETURNS boolean LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF $1 < 16384 OR lanyard_catalog._is_own($1) THEN
        RETURN has_column_privilege($1, $2, $3);
    END IF;
    IF lanyard_catalog._sees_column($1, $2) THEN
        RETURN lanyard_catalog._allowed($3, '{SELECT,INSERT,UPDATE,REFERENCES}', lanyard_catalog._held($1, $2, false));
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION lanyard_catalog._schema_privilege(schemaid oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN (
    SELECT lanyard_catalog._allowed($2, '{CREATE,USAGE}',
        CASE WHEN $1 IN (SELECT s.oid FROM lanyard_catalog._own_schemas() s (oid)) THEN '{CREATE,USAGE}'::text[] ELSE '{USAGE}' END)
    FROM lanyard_catalog.pg_namespace n WHERE n.oid = $1);

CREATE FUNCTION lanyard_catalog._database_privilege(databaseid oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN (
    SELECT lanyard_catalog._allowed($2, '{CREATE,CONNECT,TEMP,TEMPORARY}',
        CASE WHEN pg_catalog.has_database_privilege($1, 'TEMP') THEN '{CONNECT,TEMP,TEMPORARY}'::text[] ELSE '{CONNECT}' END)
    FROM lanyard_catalog.pg_database d WHERE d.oid = $1);

CREATE FUNCTION lanyard_catalog._database(name text) RETURNS oid LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF $1 <> current_database() THEN
        RAISE EXCEPTION 'database "%" does not exist', $1 USING ERRCODE = '3D000';
    END IF;
    RETURN (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
END $$;

CREATE FUNCTION lanyard_catalog._type_privilege(typid oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN (SELECT lanyard_catalog._allowed($2, '{USAGE}', '{USAGE}') FROM lanyard_catalog.pg_type t WHERE t.oid = $1);

CREATE FUNCTION lanyard_catalog._function_privilege(id oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN CASE WHEN $1 < 16384 THEN pg_catalog.has_function_privilege($1, $2) END;

-- Sequences of others are hidden: by name they do not exist, by OID nothing is known.
CREATE FUNCTION lanyard_catalog._sequence_privilege(relid oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN CASE WHEN lanyard_catalog._is_own($1) THEN pg_catalog.has_sequence_privilege($1, $2) END;

-- One body for every way to name the role and the object.

CREATE FUNCTION lanyard_catalog.has_table_privilege(object oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._relation_privilege($1, $2);
CREATE FUNCTION lanyard_catalog.has_table_privilege(object text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._relation_privilege(lanyard_catalog._resolve($1), $2);
CREATE FUNCTION lanyard_catalog.has_table_privilege(role name, object oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._relation_privilege($2, $3);
CREATE FUNCTION lanyard_catalog.has_table_privilege(role name, object text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._relation_privilege(lanyard_catalog._resolve($2), $3);
CREATE FUNCTION lanyard_catalog.has_table_privilege(role oid, object oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._relation_privilege($2, $3);
CREATE FUNCTION lanyard_catalog.has_table_privilege(role oid, object text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._relation_privilege(lanyard_catalog._resolve($2), $3);

CREATE FUNCTION lanyard_catalog.has_any_column_privilege(object oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._any_column_privilege($1, $2);
CREATE FUNCTION lanyard_catalog.has_any_column_privilege(object text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._any_column_privilege(lanyard_catalog._resolve($1), $2);
CREATE FUNCTION lanyard_catalog.has_any_column_privilege(role name, object oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._any_column_privilege($2, $3);
CREATE FUNCTION lanyard_catalog.has_any_column_privilege(role name, object text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._any_column_privilege(lanyard_catalog._resolve($2), $3);
CREATE FUNCTION lanyard_catalog.has_any_column_privilege(role oid, object oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._any_column_privilege($2, $3);
CREATE FUNCTION lanyard_catalog.has_any_column_privilege(role oid, object text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._any_column_privilege(lanyard_catalog._resolve($2), $3);

CREATE FUNCTION lanyard_catalog.has_schema_privilege(object oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._schema_privilege($1, $2);
CREATE FUNCTION lanyard_catalog.has_schema_privilege(object text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._schema_privilege(lanyard_catalog._schema($1), $2);
CREATE FUNCTION lanyard_catalog.has_schema_privilege(role name, object oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._schema_privilege($2, $3);
CREATE FUNCTION lanyard_catalog.has_schema_privilege(role name, object text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._schema_privilege(lanyard_catalog._schema($2), $3);
CREATE FUNCTION lanyard_catalog.has_schema_privilege(role oid, object oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._schema_privilege($2, $3);
CREATE FUNCTION lanyard_catalog.has_schema_privilege(role oid, object text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._schema_privilege(lanyard_catalog._schema($2), $3);

CREATE FUNCTION lanyard_catalog.has_database_privilege(object oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._database_privilege($1, $2);
CREATE FUNCTION lanyard_catalog.has_database_privilege(object text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._database_privilege(lanyard_catalog._database($1), $2);
CREATE FUNCTION lanyard_catalog.has_database_privilege(role name, object oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._database_privilege($2, $3);
CREATE FUNCTION lanyard_catalog.has_database_privilege(role name, object text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._database_privilege(lanyard_catalog._database($2), $3);
CREATE FUNCTION lanyard_catalog.has_database_privilege(role oid, object oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._database_privilege($2, $3);
CREATE FUNCTION lanyard_catalog.has_database_privilege(role oid, object text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._database_privilege(lanyard_catalog._database($2), $3);

CREATE FUNCTION lanyard_catalog.has_type_privilege(object oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._type_privilege($1, $2);
CREATE FUNCTION lanyard_catalog.has_type_privilege(object text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._type_privilege(lanyard_catalog.to_regtype($1), $2);
CREATE FUNCTION lanyard_catalog.has_type_privilege(role name, object oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._type_privilege($2, $3);
CREATE FUNCTION lanyard_catalog.has_type_privilege(role name, object text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._type_privilege(lanyard_catalog.to_regtype($2), $3);
CREATE FUNCTION lanyard_catalog.has_type_privilege(role oid, object oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._type_privilege($2, $3);
CREATE FUNCTION lanyard_catalog.has_type_privilege(role oid, object text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._type_privilege(lanyard_catalog.to_regtype($2), $3);

CREATE FUNCTION lanyard_catalog.has_function_privilege(object oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._function_privilege($1, $2);
CREATE FUNCTION lanyard_catalog.has_function_privilege(object text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._function_privilege(lanyard_catalog.to_regprocedure($1), $2);
CREATE FUNCTION lanyard_catalog.has_function_privilege(role name, object oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._function_privilege($2, $3);
CREATE FUNCTION lanyard_catalog.has_function_privilege(role name, object text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._function_privilege(lanyard_catalog.to_regprocedure($2), $3);
CREATE FUNCTION lanyard_catalog.has_function_privilege(role oid, object oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._function_privilege($2, $3);
CREATE FUNCTION lanyard_catalog.has_function_privilege(role oid, object text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._function_privilege(lanyard_catalog.to_regprocedure($2), $3);

CREATE FUNCTION lanyard_catalog.has_sequence_privilege(object oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._sequence_privilege($1, $2);
CREATE FUNCTION lanyard_catalog.has_sequence_privilege(object text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._sequence_privilege(lanyard_catalog._resolve($1), $2);
CREATE FUNCTION lanyard_catalog.has_sequence_privilege(role name, object oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._sequence_privilege($2, $3);
CREATE FUNCTION lanyard_catalog.has_sequence_privilege(role name, object text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._sequence_privilege(lanyard_catalog._resolve($2), $3);
CREATE FUNCTION lanyard_catalog.has_sequence_privilege(role oid, object oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._sequence_privilege($2, $3);
CREATE FUNCTION lanyard_catalog.has_sequence_privilege(role oid, object text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._sequence_privilege(lanyard_catalog._resolve($2), $3);

CREATE FUNCTION lanyard_catalog.has_column_privilege(object oid, attribute text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._column_privilege($1, lanyard_catalog._attnum($1, $2), $3);
CREATE FUNCTION lanyard_catalog.has_column_privilege(role name, object oid, attribute text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._column_privilege($2, lanyard_catalog._attnum($2, $3), $4);
CREATE FUNCTION lanyard_catalog.has_column_privilege(role oid, object oid, attribute text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._column_privilege($2, lanyard_catalog._attnum($2, $3), $4);
CREATE FUNCTION lanyard_catalog.has_column_privilege(object oid, attribute smallint, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._column_privilege($1, $2, $3);
CREATE FUNCTION lanyard_catalog.has_column_privilege(role name, object oid, attribute smallint, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._column_privilege($2, $3, $4);
CREATE FUNCTION lanyard_catalog.has_column_privilege(role oid, object oid, attribute smallint, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._column_privilege($2, $3, $4);
CREATE FUNCTION lanyard_catalog.has_column_privilege(object text, attribute text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._column_privilege(lanyard_catalog._resolve($1), lanyard_catalog._attnum(lanyard_catalog._resolve($1), $2), $3);
CREATE FUNCTION lanyard_catalog.has_column_privilege(role name, object text, attribute text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._column_privilege(lanyard_catalog._resolve($2), lanyard_catalog._attnum(lanyard_catalog._resolve($2), $3), $4);
CREATE FUNCTION lanyard_catalog.has_column_privilege(role oid, object text, attribute text, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._column_privilege(lanyard_catalog._resolve($2), lanyard_catalog._attnum(lanyard_catalog._resolve($2), $3), $4);
CREATE FUNCTION lanyard_catalog.has_column_privilege(object text, attribute smallint, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._column_privilege(lanyard_catalog._resolve($1), $2, $3);
CREATE FUNCTION lanyard_catalog.has_column_privilege(role name, object text, attribute smallint, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._column_privilege(lanyard_catalog._resolve($2), $3, $4);
CREATE FUNCTION lanyard_catalog.has_column_privilege(role oid, object text, attribute smallint, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog._column_privilege(lanyard_catalog._resolve($2), $3, $4);

-- The session belongs to nothing but itself, and no other role can be told from a missing one.
CREATE FUNCTION lanyard_catalog.pg_has_role(role name, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN $1 = SESSION_USER;
CREATE FUNCTION lanyard_catalog.pg_has_role(role oid, list text) RETURNS boolean LANGUAGE sql STABLE
RETURN lanyard_catalog._me($1);
CREATE FUNCTION lanyard_catalog.pg_has_role(member name, role name, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog.pg_has_role($2, $3);
CREATE FUNCTION lanyard_catalog.pg_has_role(member name, role oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog.pg_has_role($2, $3);
CREATE FUNCTION lanyard_catalog.pg_has_role(member oid, role name, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog.pg_has_role($2, $3);
CREATE FUNCTION lanyard_catalog.pg_has_role(member oid, role oid, list text) RETURNS boolean LANGUAGE sql STABLE STRICT
RETURN lanyard_catalog._me($1) AND lanyard_catalog.pg_has_role($2, $3);
