//! Bundle roles: what they hold on secured views, and what the virtual catalog shows for them.
//!
//! Must never grant anything on a base table, nor INSERT and UPDATE together on a filtered view of a server with the
//! ON CONFLICT hole. Called by `views::prepare`, in its transaction, as the owner role.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use postgres_protocol::escape::escape_identifier;
use serde::Serialize;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Transaction};

use lanyard_engine::catalog::RelationName;
use lanyard_engine::entitlement::{Access, Fingerprint, Operation};
use lanyard_engine::names;

use super::error::WarehouseError;
use super::views::{State, json};

const DOING: &str = "preparing a bundle";

/// Does `INSERT … ON CONFLICT DO UPDATE` through a barrier view reach hidden rows on this server?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UpsertHole {
    Open,
    Closed,
}

/// The bundle role of a fingerprint.
pub(super) fn bundle_name(fingerprint: Fingerprint) -> String {
    format!("{}{fingerprint}", names::BUNDLE_PREFIX)
}

/// What a bundle holds on a view.
#[derive(Clone, Copy)]
pub(super) struct Rights {
    pub(super) select: bool,
    pub(super) insert: bool,
    pub(super) update: bool,
    pub(super) delete: bool,
}

impl Rights {
    pub(super) fn of(access: &Access, hole: UpsertHole) -> Self {
        let write = access.operations.contains(&Operation::Write);
        let columns = write && access.view.columns.iter().any(|c| c.writable);
        Self {
            select: access.operations.contains(&Operation::Read),
            insert: columns,
            // Where the hole is open, INSERT and UPDATE together would move hidden rows into sight.
            update: columns && !(access.view.barrier && hole == UpsertHole::Open),
            delete: write,
        }
    }
}

/// Sequences that the owner may hand on, as SQL spells them: a default is evaluated with the rights of who inserts.
const SEQUENCES: &str = "
    SELECT format('%I.%I', n.nspname, s.relname)
    FROM jsonb_to_recordset($1::jsonb) AS w(schema name, name name)
    JOIN pg_namespace n ON n.nspname = w.schema
    JOIN pg_class s ON s.relnamespace = n.oid AND s.relname = w.name
    WHERE CASE WHEN s.relkind = 'S' THEN has_sequence_privilege(s.oid, 'USAGE WITH GRANT OPTION') ELSE false END
    ORDER BY 1";

/// Sets what the bundle holds on each view, and on the sequences that its inserts draw from.
pub(super) async fn grant(
    tx: &Transaction<'_>,
    bundle: &str,
    accesses: &[&Access],
    states: &[State],
    hole: UpsertHole,
) -> Result<(), WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, "granting to a bundle");
    let mut sql = String::new();
    let mut sequences: BTreeSet<&RelationName> = BTreeSet::new();
    for (access, _) in accesses.iter().zip(states).filter(|(_, state)| state.view.is_some()) {
        let rights = Rights::of(access, hole);
        let columns: Vec<String> =
            access.view.columns.iter().filter(|c| c.writable).map(|c| escape_identifier(&c.name)).collect();
        let columns = columns.join(", ");
        let mut words = Vec::new();
        words.extend(rights.select.then(|| "SELECT".to_owned()));
        words.extend(rights.insert.then(|| format!("INSERT ({columns})")));
        words.extend(rights.update.then(|| format!("UPDATE ({columns})")));
        words.extend(rights.delete.then(|| "DELETE".to_owned()));
        let view = &access.view.name;
        // INVARIANT: writing to a String cannot fail.
        writeln!(
            sql,
            "REVOKE ALL ON lanyard_secured.{view} FROM {bundle};\n\
             GRANT {} ON lanyard_secured.{view} TO {bundle};",
            words.join(", ")
        )
        .expect("writing to a String");
        if rights.insert {
            sequences.extend(&access.sequences);
        }
    }
    if !sequences.is_empty() {
        let wanted = json(&sequences)?;
        for row in tx.query_typed(SEQUENCES, &[(&wanted, Type::TEXT)]).await.map_err(failed)? {
            let sequence: &str = row.try_get(0).map_err(failed)?;
            writeln!(sql, "GRANT USAGE ON SEQUENCE {sequence} TO {bundle};").expect("writing to a String");
        }
    }
    tx.batch_execute(&sql).await.map_err(failed)
}

/// A row of `lanyard.bundle_relation` with its columns.
#[derive(Debug, Serialize)]
struct Announced<'a> {
    relid: u32,
    view: u32,
    readable: bool,
    writable: bool,
    columns: Vec<(i16, &'a str)>,
}

fn announcement<'a>(accesses: &[&'a Access], states: &[State]) -> Vec<Announced<'a>> {
    accesses
        .iter()
        .zip(states)
        .map(|(access, state)| Announced {
            relid: access.oid,
            view: state.view.unwrap_or_default(),
            readable: access.operations.contains(&Operation::Read),
            writable: access.operations.contains(&Operation::Write),
            columns: access.view.columns.iter().map(|c| (c.base_number, c.name.as_str())).collect(),
        })
        .collect()
}

/// Is what the virtual catalog shows for this bundle what it should show?
const ALIKE: &str = "
    WITH w AS (SELECT * FROM jsonb_to_recordset($2::jsonb)
                 AS w(relid oid, view oid, readable bool, writable bool, columns jsonb)),
    r AS (SELECT relid, view, readable, writable FROM lanyard.bundle_relation WHERE bundle = $1::name),
    c AS (SELECT relid, attnum, name::text FROM lanyard.bundle_column WHERE bundle = $1::name),
    wr AS (SELECT relid, view, readable, writable FROM w),
    wc AS (SELECT w.relid, (e.v ->> 0)::int2, e.v ->> 1 FROM w, jsonb_array_elements(w.columns) AS e(v))
    SELECT NOT EXISTS ((TABLE r EXCEPT TABLE wr) UNION ALL (TABLE wr EXCEPT TABLE r))
       AND NOT EXISTS ((TABLE c EXCEPT TABLE wc) UNION ALL (TABLE wc EXCEPT TABLE c))";

pub(super) async fn announced_alike(
    tx: &Transaction<'_>,
    bundle: &str,
    accesses: &[&Access],
    states: &[State],
) -> Result<bool, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, DOING);
    let wanted = json(&announcement(accesses, states))?;
    tx.query_typed_one(ALIKE, &[(&bundle, Type::TEXT), (&wanted, Type::TEXT)])
        .await
        .map_err(failed)?
        .try_get(0)
        .map_err(failed)
}

const ANNOUNCE: &str = "
    WITH w AS (SELECT * FROM jsonb_to_recordset($2::jsonb)
                 AS w(relid oid, view oid, readable bool, writable bool, columns jsonb)),
    r AS (INSERT INTO lanyard.bundle_relation (bundle, relid, view, readable, writable)
          SELECT $1::name, relid, view, readable, writable FROM w)
    INSERT INTO lanyard.bundle_column (bundle, relid, attnum, name)
    SELECT $1::name, w.relid, (e.v ->> 0)::int2, e.v ->> 1 FROM w, jsonb_array_elements(w.columns) AS e(v)";

pub(super) async fn announce(
    tx: &Transaction<'_>,
    bundle: &str,
    accesses: &[&Access],
    states: &[State],
) -> Result<(), WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, "announcing a bundle");
    for table in ["bundle_column", "bundle_relation"] {
        let sql = format!("DELETE FROM lanyard.{table} WHERE bundle = $1::name");
        tx.execute_typed(&sql, &[(&bundle, Type::TEXT)]).await.map_err(failed)?;
    }
    let rows = json(&announcement(accesses, states))?;
    tx.execute_typed(ANNOUNCE, &[(&bundle, Type::TEXT), (&rows, Type::TEXT)]).await.map_err(failed)?;
    Ok(())
}

/// Tries it, in a transaction that is rolled back: does an upsert through a filtered view hand out a hidden row?
pub(super) async fn probe_upsert_hole(client: &mut Client) -> Result<UpsertHole, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, "probing ON CONFLICT through a view");
    let tx = client.transaction().await.map_err(failed)?;
    tx.batch_execute(
        "SET LOCAL ROLE lanyard_owner;
         CREATE TABLE lanyard_secured.probe_table (id int PRIMARY KEY, region text, hidden text);
         INSERT INTO lanyard_secured.probe_table VALUES (1, 'there', 'hidden');
         CREATE VIEW lanyard_secured.probe_view WITH (security_barrier=true, check_option=cascaded)
           AS SELECT id, region, hidden FROM lanyard_secured.probe_table WHERE region = 'here';",
    )
    .await
    .map_err(failed)?;
    let upsert = tx
        .execute_typed(
            "INSERT INTO lanyard_secured.probe_view (id, region) VALUES (1, 'here')
             ON CONFLICT (id) DO UPDATE SET region = 'here' RETURNING hidden",
            &[],
        )
        .await;
    let hole = match upsert {
        // 55000: the server looked at the hidden row and refused.
        Err(e) if e.code().is_some_and(|c| c.code() == "55000") => UpsertHole::Closed,
        Err(e) if e.is_closed() => return Err(failed(e)),
        Ok(_) | Err(_) => UpsertHole::Open,
    };
    tx.rollback().await.map_err(failed)?;
    Ok(hole)
}
