//! What a bundle holds beyond secured views: the keys it may undo, and EXECUTE on what permits let through.
//!
//! EXECUTE is given only where PUBLIC lacks it, and only what the owner may hand on; what is missing then ends in 42501 in the
//! warehouse. Must never grant anything on a relation. Called by `views::prepare`, in its transaction, as the owner role.

use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use lanyard_engine::entitlement::Extras;

use super::error::WarehouseError;
use super::views::json;

const DOING: &str = "granting what permits let through";

/// `$1`: bundle, `$2`: keys.
const KEYS: &str = "
    INSERT INTO lanyard.bundle_unmask (bundle, key)
    SELECT $1::name, k FROM jsonb_array_elements_text($2::jsonb) AS k ON CONFLICT DO NOTHING";

/// `$1`: bundle, `$2`: `[schema, name]` of functions.
const MISSING: &str = "
    SELECT format('GRANT EXECUTE ON FUNCTION %s TO %I;', p.oid::regprocedure, $1)
    FROM jsonb_array_elements($2::jsonb) AS f(pair)
    JOIN pg_namespace n ON n.nspname = f.pair ->> 0
    JOIN pg_proc p ON p.pronamespace = n.oid AND p.proname = f.pair ->> 1 AND p.prokind IN ('f', 'a', 'w')
    WHERE NOT p.prosecdef AND NOT has_function_privilege($1, p.oid, 'EXECUTE')
      AND has_function_privilege(p.oid, 'EXECUTE WITH GRANT OPTION')
    ORDER BY 1";

pub(super) async fn grant(tx: &Transaction<'_>, bundle: &str, extras: &Extras) -> Result<(), WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, DOING);
    let mut sql = String::new();
    if !extras.unmask.is_empty() {
        let keys = json(&extras.unmask.keys().collect::<Vec<_>>())?;
        tx.execute_typed(KEYS, &[(&bundle, Type::TEXT), (&keys, Type::TEXT)]).await.map_err(failed)?;
        sql.push_str(&format!(
            "GRANT EXECUTE ON FUNCTION lanyard_secured.unmask(text), lanyard_secured.detokenize(text),
             lanyard_secured.detokenize(uuid) TO {bundle};"
        ));
    }
    let functions = extras.functions.iter().chain(extras.members.iter().flat_map(|one| &one.functions));
    let pairs: Vec<[&str; 2]> = functions.map(|f| [f.schema.as_str(), f.name.as_str()]).collect();
    if !pairs.is_empty() {
        let pairs = json(&pairs)?;
        let given = [(&bundle as _, Type::TEXT), (&pairs as _, Type::TEXT)];
        for row in tx.query_typed(MISSING, &given).await.map_err(failed)? {
            sql.push_str(row.try_get(0).map_err(failed)?);
        }
    }
    if sql.is_empty() { Ok(()) } else { tx.batch_execute(&sql).await.map_err(failed) }
}
