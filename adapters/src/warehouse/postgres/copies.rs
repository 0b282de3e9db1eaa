//! Views that COPY FROM fills, one beside each secured view that takes copies.
//!
//! PostgreSQL copies into a view only where an INSTEAD OF trigger takes each row. On the secured view itself such a trigger
//! would take INSERT's place too, so there is a second view with the same columns that reads nothing: each row that is
//! copied into it is inserted into the secured view, with the session's own rights. It depends on types only, so it stands
//! in nobody's way. A column that a COPY leaves out gets the table's default, evaluated with the session's rights as an
//! INSERT would: fast while the defaults are those that the view was made with, looked up row by row when they have changed.
//!
//! SELECT on it is what the WHERE of a COPY needs; there is nothing to read.
//!
//! Must never hold a right that the session has not: nothing here is SECURITY DEFINER. Called by `views::prepare`, in its
//! transaction, as the owner role.

use serde::Serialize;
use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use lanyard_engine::entitlement::Access;
use lanyard_engine::names;

use super::error::WarehouseError;
use super::views::json;

const DOING: &str = "preparing views for COPY";

/// What all such views share. `copy_default` is the default of a column, looked up by names, because a view outlives the
/// table that it was made for; `copy_digest` stands for all defaults of a table; `copy_begins` tells a COPY whether they are
/// still those that the view was made with. Operators are qualified; defaults are printed and read under one search_path.
const SHARED: &str = "
    CREATE OR REPLACE FUNCTION lanyard_secured.copy_default(pg_catalog.name, pg_catalog.name, pg_catalog.name, anyelement)
    RETURNS anyelement LANGUAGE plpgsql AS $lanyard$
    DECLARE
      result ALIAS FOR $0;
      expression pg_catalog.text;
    BEGIN
      SELECT CASE
          WHEN a.attidentity OPERATOR(pg_catalog.<>) '' THEN (
            SELECT pg_catalog.format('pg_catalog.nextval(%L::pg_catalog.regclass)', p.objid)
            FROM pg_catalog.pg_depend p
            WHERE p.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
              AND p.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
              AND p.refobjid OPERATOR(pg_catalog.=) a.attrelid
              AND p.refobjsubid OPERATOR(pg_catalog.=) a.attnum::pg_catalog.int4
              AND p.deptype OPERATOR(pg_catalog.=) 'i')
          ELSE COALESCE(pg_catalog.pg_get_expr(d.adbin, d.adrelid), pg_catalog.pg_get_expr(t.typdefaultbin, 0))
        END
      INTO expression
      FROM pg_catalog.pg_namespace n
      JOIN pg_catalog.pg_class c ON c.relnamespace OPERATOR(pg_catalog.=) n.oid
      JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
      JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) a.atttypid
      LEFT JOIN pg_catalog.pg_attrdef d
        ON d.adrelid OPERATOR(pg_catalog.=) a.attrelid AND d.adnum OPERATOR(pg_catalog.=) a.attnum
      WHERE n.nspname OPERATOR(pg_catalog.=) $1 AND c.relname OPERATOR(pg_catalog.=) $2
        AND a.attname OPERATOR(pg_catalog.=) $3;
      IF expression IS NOT NULL THEN
        EXECUTE pg_catalog.concat('SELECT ', expression) INTO result;
      END IF;
      RETURN result;
    END $lanyard$;
    CREATE OR REPLACE FUNCTION lanyard_secured.copy_digest(pg_catalog.name, pg_catalog.name) RETURNS pg_catalog.text
    LANGUAGE sql STABLE RETURN (
      SELECT pg_catalog.md5(pg_catalog.string_agg(
        pg_catalog.concat_ws('/', a.attname, a.attidentity, d.adbin, t.typdefaultbin), ',' ORDER BY a.attnum))
      FROM pg_catalog.pg_namespace n
      JOIN pg_catalog.pg_class c ON c.relnamespace OPERATOR(pg_catalog.=) n.oid
      JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
      JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) a.atttypid
      LEFT JOIN pg_catalog.pg_attrdef d
        ON d.adrelid OPERATOR(pg_catalog.=) a.attrelid AND d.adnum OPERATOR(pg_catalog.=) a.attnum
      WHERE n.nspname OPERATOR(pg_catalog.=) $1 AND c.relname OPERATOR(pg_catalog.=) $2
        AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND NOT a.attisdropped);
    CREATE OR REPLACE FUNCTION lanyard_secured.copy_begins() RETURNS trigger LANGUAGE plpgsql AS $lanyard$
    BEGIN
      PERFORM pg_catalog.set_config('lanyard.defaults',
        (lanyard_secured.copy_digest(TG_ARGV[0], TG_ARGV[1]) OPERATOR(pg_catalog.=) TG_ARGV[2])::pg_catalog.text, true);
      RETURN NULL;
    END $lanyard$;
    REVOKE ALL ON FUNCTION lanyard_secured.copy_begins() FROM PUBLIC;
    REVOKE ALL ON FUNCTION lanyard_secured.copy_default(pg_catalog.name, pg_catalog.name, pg_catalog.name, anyelement),
      lanyard_secured.copy_digest(pg_catalog.name, pg_catalog.name) FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION lanyard_secured.copy_default(pg_catalog.name, pg_catalog.name, pg_catalog.name, anyelement),
      lanyard_secured.copy_digest(pg_catalog.name, pg_catalog.name) TO lanyard_session;
";

/// For each wanted table that is one: the SQL that makes what is missing and grants it, nothing where all is there. A
/// function for the defaults, because nobody may be kept from dropping a sequence by a view of ours.
const MISSING: &str = "
    SELECT concat_ws(E';\\n',
      CASE WHEN v.oid IS NULL THEN concat_ws(E';\\n',
        format('CREATE OR REPLACE FUNCTION lanyard_secured.%I(pg_catalog.int2, anyelement) RETURNS anyelement '
               'LANGUAGE plpgsql AS %L', w.copy || '_default', format(
                 E'BEGIN\\nIF pg_catalog.current_setting(''lanyard.defaults'') OPERATOR(pg_catalog.<>) ''true'' THEN\\n'
                 'RETURN lanyard_secured.copy_default(%L, %L, (%L::pg_catalog.name[])[$1], $2);\\nEND IF;\\n'
                 '%sRETURN NULL;\\nEND', w.schema, w.name, k.every, k.branches)),
        format('REVOKE ALL ON FUNCTION lanyard_secured.%I(pg_catalog.int2, anyelement) FROM PUBLIC', w.copy || '_default'),
        format('GRANT EXECUTE ON FUNCTION lanyard_secured.%I(pg_catalog.int2, anyelement) TO lanyard_session', w.copy || '_default'),
        format('CREATE VIEW lanyard_secured.%I AS SELECT %s', w.copy, k.nulls),
        format('ALTER VIEW lanyard_secured.%I %s', w.copy, k.defaults),
        format('CREATE OR REPLACE FUNCTION lanyard_secured.%I() RETURNS trigger LANGUAGE plpgsql AS %L', w.copy,
               format('BEGIN INSERT INTO lanyard_secured.%I (%s) OVERRIDING SYSTEM VALUE VALUES (%s); RETURN NEW; END',
                      w.view, k.names, k.news)),
        format('REVOKE ALL ON FUNCTION lanyard_secured.%I() FROM PUBLIC', w.copy),
        format('CREATE TRIGGER copy INSTEAD OF INSERT ON lanyard_secured.%I FOR EACH ROW '
               'EXECUTE FUNCTION lanyard_secured.%I()', w.copy, w.copy),
        format('CREATE TRIGGER copy_begins BEFORE INSERT ON lanyard_secured.%I FOR EACH STATEMENT '
               'EXECUTE FUNCTION lanyard_secured.copy_begins(%L, %L, %L)', w.copy, w.schema, w.name,
               lanyard_secured.copy_digest(w.schema, w.name))) END,
      CASE WHEN v.oid IS NULL OR NOT has_table_privilege(b.oid, v.oid, 'INSERT') THEN concat_ws(E';\\n',
        format('GRANT INSERT, SELECT ON lanyard_secured.%I TO %I', w.copy, b.rolname),
        (SELECT string_agg(format('GRANT USAGE ON SEQUENCE %s TO %I', p.objid::regclass, b.rolname), E';\\n')
         FROM pg_depend p
         WHERE p.classid = 'pg_class'::regclass AND p.refclassid = 'pg_class'::regclass
           AND p.refobjid = c.oid AND p.deptype = 'i'
           AND CASE WHEN (SELECT s.relkind FROM pg_class s WHERE s.oid = p.objid) = 'S'
                    THEN has_sequence_privilege(p.objid, 'USAGE WITH GRANT OPTION') ELSE false END)) END)
    FROM jsonb_to_recordset($1::jsonb) AS w(schema name, name name, view name, copy text, columns int2[])
    JOIN pg_namespace n ON n.nspname = w.schema
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name AND c.relkind IN ('r', 'p', 'f')
    JOIN pg_roles b ON b.rolname = $2
    LEFT JOIN pg_class v ON v.relname = w.copy AND v.relnamespace = 'lanyard_secured'::regnamespace
    CROSS JOIN LATERAL (
      SELECT string_agg(format('NULL::%s AS %I', a.type, a.attname), ', ' ORDER BY a.attnum) AS nulls,
             array_agg(a.attname ORDER BY a.attnum) AS every,
             string_agg(format('ALTER COLUMN %I SET DEFAULT lanyard_secured.%I(%s::pg_catalog.int2, NULL::%s)',
                               a.attname, w.copy || '_default', a.place, a.type), ', ' ORDER BY a.attnum) AS defaults,
             string_agg(format(E'IF $1 OPERATOR(pg_catalog.=) %s::pg_catalog.int2 THEN\\nRETURN %s;\\nEND IF;\\n',
                               a.place, a.expression), '' ORDER BY a.attnum) FILTER (WHERE a.expression <> '') AS branches,
             string_agg(format('%I', a.attname), ', ' ORDER BY a.attnum) AS names,
             string_agg(format('NEW.%I', a.attname), ', ' ORDER BY a.attnum) AS news
      FROM (SELECT t.attnum, t.attname, format_type(t.atttypid, t.atttypmod) AS type,
                   row_number() OVER (ORDER BY t.attnum) AS place,
                   CASE WHEN t.attidentity <> '' THEN (
                     SELECT format('pg_catalog.nextval(%L::pg_catalog.regclass)', p.objid::regclass) FROM pg_depend p
                     WHERE p.classid = 'pg_class'::regclass AND p.refclassid = 'pg_class'::regclass
                       AND p.refobjid = c.oid AND p.refobjsubid = t.attnum AND p.deptype = 'i')
                   ELSE COALESCE(pg_get_expr(d.adbin, d.adrelid), pg_get_expr(y.typdefaultbin, 0)) END AS expression
            FROM pg_attribute t
            JOIN pg_type y ON y.oid = t.atttypid
            LEFT JOIN pg_attrdef d ON d.adrelid = t.attrelid AND d.adnum = t.attnum
            WHERE t.attrelid = c.oid AND t.attnum = ANY (w.columns) AND NOT t.attisdropped AND t.attgenerated = '') a
    ) k
    WHERE k.names IS NOT NULL
      AND (v.oid IS NULL OR NOT has_table_privilege(b.oid, v.oid, 'INSERT'))";

#[derive(Serialize)]
struct Wanted<'a> {
    schema: &'a str,
    name: &'a str,
    view: &'a str,
    copy: String,
    columns: Vec<i16>,
}

/// Makes the views that are missing and grants them to the bundle.
pub(super) async fn prepare(
    tx: &Transaction<'_>,
    bundle: &str,
    accesses: &[&Access],
) -> Result<(), WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, DOING);
    let wanted: Vec<Wanted<'_>> = accesses
        .iter()
        .filter(|access| access.takes_copies())
        .map(|access| Wanted {
            schema: &access.relation.schema,
            name: &access.relation.name,
            view: &access.view.name,
            copy: format!("{}{}", access.view.name, names::COPY_SUFFIX),
            columns: access.view.columns.iter().filter(|c| c.writable).map(|c| c.base_number).collect(),
        })
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let wanted = json(&wanted)?;
    let there = "SELECT EXISTS (SELECT FROM pg_proc WHERE proname = 'copy_begins'
                                AND pronamespace = 'lanyard_secured'::regnamespace)";
    if !tx.query_typed_one(there, &[]).await.map_err(failed)?.try_get::<_, bool>(0).map_err(failed)? {
        tx.batch_execute(SHARED).await.map_err(failed)?;
    }
    let rows =
        tx.query_typed(MISSING, &[(&wanted, Type::TEXT), (&bundle, Type::TEXT)]).await.map_err(failed)?;
    let mut sql = String::new();
    for row in &rows {
        let one: &str = row.try_get(0).map_err(failed)?;
        sql.push_str(one);
        sql.push_str(";\n");
    }
    if sql.is_empty() { Ok(()) } else { tx.batch_execute(&sql).await.map_err(failed) }
}

/// Views to collect: of secured views that are gone or that no bundle shows.
pub(super) const UNUSED: &str = "
    SELECT v.relname::text FROM pg_class v
    WHERE v.relnamespace = 'lanyard_secured'::regnamespace AND v.relkind = 'v'
      AND v.relowner = 'lanyard_owner'::regrole AND v.relname ~ '^v_[0-9a-f]{32}_copy$'
      AND NOT EXISTS (SELECT FROM lanyard.bundle_relation r JOIN pg_class m ON m.oid = r.view
                      WHERE m.relname = left(v.relname, 34)) ORDER BY 1";
