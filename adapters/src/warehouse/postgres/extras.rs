//! What a bundle holds beyond secured views: the keys it may undo, and rights to what permits let through.
//!
//! Rights are given only where PUBLIC lacks them, and only those that the owner may hand on; what is missing then ends in 42501
//! in the warehouse. Must never grant anything on a relation. Called by `views::prepare`, in its transaction, as the owner role.

use std::collections::BTreeSet;

use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use lanyard_engine::catalog::RelationName;
use lanyard_engine::entitlement::Entitlement;
use lanyard_engine::sql;

use super::error::WarehouseError;
use super::views::json;

const DOING: &str = "granting what permits let through";

/// `$1`: bundle, `$2`: keys.
const KEYS: &str = "
    INSERT INTO lanyard.bundle_unmask (bundle, key)
    SELECT $1::name, k FROM jsonb_array_elements_text($2::jsonb) AS k ON CONFLICT DO NOTHING";

/// `$1`: bundle, `$2`: `[schema, name]` of types, which the virtual catalog shows.
const TYPES: &str = "
    INSERT INTO lanyard.bundle_type (bundle, schema, name)
    SELECT $1::name, t.pair ->> 0, t.pair ->> 1 FROM jsonb_array_elements($2::jsonb) AS t(pair) ON CONFLICT DO NOTHING";

/// `$1`: bundle, `$2`: `[schema, name]` of functions, `$3`: schemas. A schema's USAGE lets its objects be named and no more.
const MISSING: &str = "
    SELECT format('GRANT USAGE ON SCHEMA %I TO %I;', n.nspname, $1)
    FROM jsonb_array_elements_text($3::jsonb) AS s(name) JOIN pg_namespace n ON n.nspname = s.name
    WHERE NOT has_schema_privilege($1, n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'USAGE WITH GRANT OPTION')
    UNION ALL
    SELECT format('GRANT EXECUTE ON FUNCTION %s TO %I;', p.oid::regprocedure, $1)
    FROM jsonb_array_elements($2::jsonb) AS f(pair)
    JOIN pg_namespace n ON n.nspname = f.pair ->> 0
    JOIN pg_proc p ON p.pronamespace = n.oid AND p.proname = f.pair ->> 1 AND p.prokind IN ('f', 'a', 'w')
    WHERE NOT p.prosecdef AND NOT has_function_privilege($1, p.oid, 'EXECUTE')
      AND has_function_privilege(p.oid, 'EXECUTE WITH GRANT OPTION')
    ORDER BY 1";

pub(super) async fn grant(
    tx: &Transaction<'_>,
    bundle: &str,
    entitlement: &Entitlement,
) -> Result<(), WarehouseError> {
    let extras = &entitlement.extras;
    let failed = |e| WarehouseError::from_client(e, DOING);
    let mut script = String::new();
    if !extras.unmask.is_empty() {
        let keys = json(&extras.unmask.keys().collect::<Vec<_>>())?;
        tx.execute_typed(KEYS, &[(&bundle, Type::TEXT), (&keys, Type::TEXT)]).await.map_err(failed)?;
        script.push_str(&format!(
            "GRANT EXECUTE ON FUNCTION lanyard_secured.unmask(text), lanyard_secured.detokenize(text),
             lanyard_secured.detokenize(uuid) TO {bundle};"
        ));
    }
    let types: BTreeSet<&RelationName> =
        extras.types.iter().chain(extras.members.iter().flat_map(|one| &one.types)).collect();
    if !types.is_empty() {
        let types = json(&pairs(&types))?;
        tx.execute_typed(TYPES, &[(&bundle, Type::TEXT), (&types, Type::TEXT)]).await.map_err(failed)?;
    }
    let functions: BTreeSet<&RelationName> =
        extras.functions.iter().chain(extras.members.iter().flat_map(|one| &one.functions)).collect();
    let schemas = sql::schemas_beyond(entitlement);
    if !schemas.is_empty() {
        let (pairs, schemas) = (json(&pairs(&functions))?, json(&schemas)?);
        let given = [(&bundle as _, Type::TEXT), (&pairs as _, Type::TEXT), (&schemas as _, Type::TEXT)];
        for row in tx.query_typed(MISSING, &given).await.map_err(failed)? {
            script.push_str(row.try_get(0).map_err(failed)?);
        }
    }
    if script.is_empty() { Ok(()) } else { tx.batch_execute(&script).await.map_err(failed) }
}

fn pairs<'n>(names: &BTreeSet<&'n RelationName>) -> Vec<[&'n str; 2]> {
    names.iter().map(|name| [name.schema.as_str(), name.name.as_str()]).collect()
}
