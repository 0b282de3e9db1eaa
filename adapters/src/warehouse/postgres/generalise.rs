//! Maps of `k_anonymous` masks: worked out inside the warehouse, so that no value leaves it.
//!
//! Must never store a combination that fewer than `k` rows share, nor change a map half. Called by `Warehouse::generalise`.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, IsolationLevel, Transaction};

use lanyard_engine::names;
use lanyard_engine::policy::Generalisation;
use postgres_protocol::escape::{escape_identifier, escape_literal};

use super::error::WarehouseError;
use super::views::ADVISORY_LOCK;

const DOING: &str = "generalising";
/// Rows that may stay hidden so that the others are shown finer: one in this many.
const HIDDEN_PART: i64 = 20;

/// A map that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generalised {
    /// Counts up.
    pub version: i32,
    /// How many times each column was made coarser, in order of name.
    pub levels: Vec<usize>,
    /// Rows whose values, or coarser ones, are shown.
    pub visible: i64,
    /// Rows that show NULL in every column of the map.
    pub hidden: i64,
}

/// Makes one map anew, in one transaction over one state of the table.
pub(super) async fn generalise(
    client: &mut Client,
    plan: &Generalisation,
) -> Result<Generalised, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, DOING);
    let tx = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .start()
        .await
        .map_err(failed)?;
    tx.execute_typed("SELECT pg_advisory_xact_lock($1)", &[(&ADVISORY_LOCK, Type::INT8)])
        .await
        .map_err(failed)?;
    tx.batch_execute(&format!("SET LOCAL ROLE {}", names::OWNER_ROLE)).await.map_err(failed)?;
    let mut levels = vec![0; plan.columns.len()];
    let state = loop {
        let state = weigh(&tx, plan, &levels).await?;
        if state.hidden <= state.rows / HIDDEN_PART {
            break state;
        }
        // The column with most values is made coarser: it tells most (Sweeney's Datafly).
        let finest = (0..levels.len())
            .filter(|n| levels[*n] < plan.columns[*n].levels.len())
            .max_by_key(|n| (state.values[*n], usize::MAX - n));
        match finest {
            Some(n) => levels[n] += 1,
            None => break state,
        }
    };
    let version = store(&tx, plan, &levels, &state).await?;
    tx.commit().await.map_err(failed)?;
    Ok(Generalised { version, levels, visible: state.rows - state.hidden, hidden: state.hidden })
}

/// What a choice of levels would show.
struct State {
    rows: i64,
    hidden: i64,
    /// Groups of fewer rows than this are hidden.
    least: i64,
    /// Values of each column.
    values: Vec<i64>,
}

/// The columns at their levels, as `c1`, `c2`, …
fn list(plan: &Generalisation, levels: &[usize]) -> String {
    let columns = (1..).zip(plan.columns.iter().zip(levels));
    let texts = columns.map(|(n, (column, level))| match column.levels.get(*level) {
        Some(sql) => format!("{sql} AS c{n}"),
        None => format!("CAST(NULL AS text) AS c{n}"),
    });
    texts.collect::<Vec<_>>().join(", ")
}

fn names_of(plan: &Generalisation) -> Vec<String> {
    (1..=plan.columns.len()).map(|n| format!("c{n}")).collect()
}

fn table(plan: &Generalisation) -> String {
    format!("{}.{} AS t", escape_identifier(&plan.relation.schema), escape_identifier(&plan.relation.name))
}

async fn weigh(
    tx: &Transaction<'_>,
    plan: &Generalisation,
    levels: &[usize],
) -> Result<State, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, DOING);
    let names = names_of(plan);
    let counts: Vec<String> = names.iter().map(|n| format!("(SELECT count(DISTINCT {n}) FROM g)")).collect();
    // Rows that are hidden show NULL everywhere: they are a group like any other, and of fewer than k rows it would stand out.
    // Then the smallest visible group goes with them.
    let sql = format!(
        "WITH g AS MATERIALIZED (SELECT {columns}, count(*) AS n FROM (SELECT {list} FROM {table}) AS v GROUP BY {columns}),
         l AS MATERIALIZED (
           SELECT CASE WHEN small.n BETWEEN 1 AND $1 - 1 THEN coalesce(next.n + 1, $1) ELSE $1 END AS least
           FROM (SELECT coalesce(sum(g.n), 0)::bigint AS n FROM g WHERE g.n < $1) AS small,
                (SELECT min(g.n) AS n FROM g WHERE g.n >= $1) AS next)
         SELECT (SELECT coalesce(sum(g.n), 0)::bigint FROM g),
                (SELECT coalesce(sum(g.n), 0)::bigint FROM g, l WHERE g.n < l.least),
                (SELECT least FROM l), ARRAY[{counts}]::bigint[]",
        columns = names.join(", "),
        list = list(plan, levels),
        table = table(plan),
        counts = counts.join(", "),
    );
    let row = tx.query_typed_one(&sql, &[(&i64::from(plan.k), Type::INT8)]).await.map_err(failed)?;
    Ok(State {
        rows: row.try_get(0).map_err(failed)?,
        hidden: row.try_get(1).map_err(failed)?,
        least: row.try_get(2).map_err(failed)?,
        values: row.try_get(3).map_err(failed)?,
    })
}

async fn store(
    tx: &Transaction<'_>,
    plan: &Generalisation,
    levels: &[usize],
    state: &State,
) -> Result<i32, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, DOING);
    let least = i32::try_from(plan.k).unwrap_or(i32::MAX);
    let version: i32 = tx
        .query_typed_one(
            "INSERT INTO lanyard.generalisation AS m (id, version, least, visible, hidden) VALUES ($1, 1, $2, $3, $4)
             ON CONFLICT (id) DO UPDATE SET version = m.version + 1, least = excluded.least, visible = excluded.visible,
               hidden = excluded.hidden, made = now()
             RETURNING version",
            &[
                (&plan.id, Type::TEXT),
                (&least, Type::INT4),
                (&(state.rows - state.hidden), Type::INT8),
                (&state.hidden, Type::INT8),
            ],
        )
        .await
        .map_err(failed)?
        .try_get(0)
        .map_err(failed)?;
    tx.execute_typed("DELETE FROM lanyard.generalised WHERE id = $1", &[(&plan.id, Type::TEXT)])
        .await
        .map_err(failed)?;
    let names = names_of(plan).join(", ");
    let sql = format!(
        "INSERT INTO lanyard.generalised (id, version, combination, shown)
         SELECT {id}, {version}, v.combination, min(ARRAY[{names}])
         FROM (SELECT {combination} AS combination, {list}, count(*) OVER (PARTITION BY {levels}) AS n FROM {table}) AS v
         WHERE v.n >= {least} GROUP BY v.combination",
        id = escape_literal(&plan.id),
        combination = plan.combination,
        list = list(plan, levels),
        levels = partition(plan, levels),
        table = table(plan),
        least = state.least,
    );
    tx.execute_typed(&sql, &[]).await.map_err(failed)?;
    Ok(version)
}

/// The columns' texts, without names.
fn partition(plan: &Generalisation, levels: &[usize]) -> String {
    let columns = plan.columns.iter().zip(levels);
    let texts =
        columns.map(|(column, level)| column.levels.get(*level).map_or("CAST(NULL AS text)", String::as_str));
    texts.collect::<Vec<_>>().join(", ")
}
