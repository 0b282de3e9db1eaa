//! Counting what the identifiers find in a sample of a table's columns, inside the warehouse.
//!
//! Must never fetch a value: only counts leave the server. Reads as the owner role, in a transaction that cannot write.
//! Called by `Warehouse::count`.

use std::collections::BTreeMap;

use lanyard_engine::catalog::{Column, Relation, RelationKind};
use lanyard_engine::identify::{Counts, candidates};
use lanyard_engine::names;
use postgres_protocol::escape::escape_identifier;
use tokio_postgres::Client;

use super::error::WarehouseError;

/// Characters of a value that are looked at.
const VALUE_CHARACTERS_MAX: u32 = 200;
/// Longest look at one table, in milliseconds.
const TABLE_MILLISECONDS_MAX: u32 = 60_000;

/// Column name -> what was counted, for the columns that any identifier fits.
pub(super) async fn count(
    client: &mut Client,
    relation: &Relation,
    sample: u32,
) -> Result<BTreeMap<String, Counts>, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, "sampling a table");
    let transaction = client.build_transaction().read_only(true).start().await.map_err(failed)?;
    let setting = format!(
        "SET LOCAL statement_timeout = {TABLE_MILLISECONDS_MAX}; SET LOCAL ROLE {}",
        names::OWNER_ROLE
    );
    transaction.batch_execute(&setting).await.map_err(failed)?;
    let rows: f32 = transaction
        .query_typed_one(&format!("SELECT reltuples FROM pg_class WHERE oid = {}", relation.oid), &[])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed)?;
    let mut counted = BTreeMap::new();
    for column in &relation.columns {
        if candidates(column).next().is_none() {
            continue;
        }
        let row = transaction
            .query_typed_one(&counting(relation, column, sample, f64::from(rows)), &[])
            .await
            .map_err(failed)?;
        let number = |at: usize| row.try_get::<_, i64>(at).map(i64::unsigned_abs).map_err(failed);
        let mut counts = Counts { sampled: number(0)?, hits: BTreeMap::new() };
        for (at, identifier) in candidates(column).enumerate() {
            counts.hits.insert(identifier.id, number(at + 1)?);
        }
        counted.insert(column.name.clone(), counts);
    }
    transaction.commit().await.map_err(failed)?;
    Ok(counted)
}

fn counting(relation: &Relation, column: &Column, sample: u32, rows: f64) -> String {
    let tests: String = candidates(column)
        .map(|identifier| format!(", count(*) FILTER (WHERE {})", identifier.test))
        .collect();
    let name = &relation.name;
    format!(
        "SELECT count(*){tests} FROM (
           SELECT btrim(left(raw, {VALUE_CHARACTERS_MAX})) AS v
           FROM (SELECT {}::text AS raw FROM {}.{}{} LIMIT {sample}) AS sampled
         ) AS trimmed WHERE v <> ''",
        escape_identifier(&column.name),
        escape_identifier(&name.schema),
        escape_identifier(&name.name),
        share(relation.kind, sample, rows)
    )
}

/// Large tables are sampled by pages, twice as many rows as are wanted; others are read from the front.
fn share(kind: RelationKind, sample: u32, rows: f64) -> String {
    let wanted = 2.0 * f64::from(sample);
    match kind {
        RelationKind::Table | RelationKind::PartitionedTable | RelationKind::MaterializedView
            if rows > 10.0 * wanted =>
        {
            // REPEATABLE, so that a second look says the same.
            format!(" TABLESAMPLE SYSTEM ({:.6}) REPEATABLE (1)", 100.0 * wanted / rows)
        }
        RelationKind::Table
        | RelationKind::PartitionedTable
        | RelationKind::MaterializedView
        | RelationKind::View
        | RelationKind::ForeignTable => String::new(),
    }
}
