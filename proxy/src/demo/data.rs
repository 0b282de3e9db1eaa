//! Sample data: the story's tables in `public`, and TPC-H in schema `retail`.
//!
//! Must only be loaded into a database of our own: it creates tables and does not look whether they exist. The same scale
//! gives the same rows every time. Called by the demo, the whole-system tests and the benches.

use std::fmt::{Display, Write as _};
use std::pin::pin;

use bytes::Bytes;
use futures_util::SinkExt;
use thiserror::Error;
use tokio_postgres::Client;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};

/// Scale factor of the demo: some 430,000 rows, 80 MB with indexes, loaded in 6 s.
pub const DEMO_SCALE: f64 = 0.05;
/// Scale factor of the tests: some 8,700 rows.
pub const TEST_SCALE: f64 = 0.001;
/// Below this TPC-H runs out of suppliers.
const SCALE_MIN: f64 = 0.001;
const SCALE_MAX: f64 = 10.0;
/// COPY goes out in pieces of about this size, so that memory does not grow with the table.
const PIECE_BYTES: usize = 256 * 1024;

/// Why the sample data could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Too small for every foreign key to have a row, or larger than a demo has any use for.
    #[error("scale {0} is not between {SCALE_MIN} and {SCALE_MAX}")]
    Scale(f64),
    /// PostgreSQL refused a step.
    #[error("cannot load the sample data: {step}")]
    Load {
        /// What was being done.
        step: &'static str,
        /// PostgreSQL's answer.
        #[source]
        source: tokio_postgres::Error,
    },
}

/// Is this a scale that can be loaded? For callers that have something to do before they load.
///
/// # Errors
/// [`LoadError::Scale`].
pub fn check_scale(scale: f64) -> Result<(), LoadError> {
    match (SCALE_MIN..=SCALE_MAX).contains(&scale) {
        true => Ok(()),
        false => Err(LoadError::Scale(scale)),
    }
}

/// Creates and fills everything, in one transaction. `scale` is TPC-H's scale factor ([`DEMO_SCALE`], [`TEST_SCALE`]);
/// `progress` gets one short line per step.
///
/// Cancel-safe as far as the data goes: an unfinished load is rolled back with the connection.
///
/// # Errors
/// [`LoadError`]; nothing is left in the database then, except that the transaction waits for a ROLLBACK.
pub async fn load(client: &Client, scale: f64, progress: &mut dyn FnMut(&str)) -> Result<(), LoadError> {
    check_scale(scale)?;
    run(client, "begin", "BEGIN").await?;
    run(client, "the story's tables", include_str!("sql/shop.sql")).await?;
    progress("customer_orders, campaign_tools, payroll");
    run(client, "the retail schema", include_str!("sql/retail.sql")).await?;
    let rows = copy_retail(client, scale, progress).await?;
    progress("retail: keys, indexes, statistics");
    run(client, "the retail keys", include_str!("sql/retail_keys.sql")).await?;
    run(client, "commit", "COMMIT").await?;
    progress(&format!("{rows} rows in schema retail"));
    Ok(())
}

async fn run(client: &Client, step: &'static str, sql: &str) -> Result<(), LoadError> {
    let ran = client.batch_execute(sql).await;
    ran.map_err(|source| LoadError::Load { step, source })
}

async fn copy_retail(client: &Client, scale: f64, progress: &mut dyn FnMut(&str)) -> Result<u64, LoadError> {
    let mut rows = 0;
    let mut done = |table: &str, copied: u64| {
        rows += copied;
        progress(&format!("retail.{table}: {copied} rows"));
    };
    // One part of one: the whole table in this thread.
    let region = RegionGenerator::new(scale, 1, 1);
    done("region", copy(client, "region", region.iter()).await?);
    let nation = NationGenerator::new(scale, 1, 1);
    done("nation", copy(client, "nation", nation.iter()).await?);
    let supplier = SupplierGenerator::new(scale, 1, 1);
    done("supplier", copy(client, "supplier", supplier.iter()).await?);
    let customer = CustomerGenerator::new(scale, 1, 1);
    done("customer", copy(client, "customer", customer.iter()).await?);
    let part = PartGenerator::new(scale, 1, 1);
    done("part", copy(client, "part", part.iter()).await?);
    let partsupp = PartSuppGenerator::new(scale, 1, 1);
    // Under 230 suppliers TPC-H's formula can give a part the same supplier twice; the primary key wants one.
    let mut seen = std::collections::HashSet::new();
    let distinct = partsupp.iter().filter(|row| seen.insert((row.ps_partkey, row.ps_suppkey)));
    done("partsupp", copy(client, "partsupp", distinct).await?);
    let orders = OrderGenerator::new(scale, 1, 1);
    done("orders", copy(client, "orders", orders.iter()).await?);
    let lineitem = LineItemGenerator::new(scale, 1, 1);
    done("lineitem", copy(client, "lineitem", lineitem.iter()).await?);
    Ok(rows)
}

/// Rows print themselves in TPC-H's own exchange form: every field is followed by `|`, no field holds `|` or `\`.
async fn copy(
    client: &Client,
    table: &'static str,
    rows: impl Iterator<Item = impl Display>,
) -> Result<u64, LoadError> {
    let failed = |source| LoadError::Load { step: table, source };
    let sql = format!("COPY retail.{table} FROM STDIN (DELIMITER '|')");
    let sink = client.copy_in::<_, Bytes>(&sql).await.map_err(failed)?;
    let mut sink = pin!(sink);
    let mut piece = String::with_capacity(PIECE_BYTES + 1024);
    for row in rows {
        // INVARIANT: writing to a String cannot fail.
        write!(piece, "{row}").expect("a String takes any text");
        piece.pop();
        piece.push('\n');
        if piece.len() >= PIECE_BYTES {
            let full = std::mem::replace(&mut piece, String::with_capacity(PIECE_BYTES + 1024));
            sink.feed(Bytes::from(full)).await.map_err(failed)?;
        }
    }
    sink.feed(Bytes::from(piece)).await.map_err(failed)?;
    sink.finish().await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use lanyard_adapters::cluster::{Cluster, ClusterOptions, scratch_folder};

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    async fn count(client: &Client, from: &str) -> Result<i64, tokio_postgres::Error> {
        let sql = format!("SELECT count(*) FROM {from}");
        client.query_one(&sql, &[]).await.map(|row| row.get(0))
    }

    #[tokio::test]
    async fn the_story_and_the_retail_schema_are_complete() -> Outcome {
        let cluster = Cluster::start(ClusterOptions {
            data: scratch_folder("lanyard-data")?,
            settings: vec![("fsync".into(), "off".into())],
            ..ClusterOptions::default()
        })
        .await?;
        let client = cluster.connect("postgres").await?;
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 0.0001, 11.0] {
            let refused = load(&client, wrong, &mut |_| {}).await;
            assert!(matches!(refused, Err(LoadError::Scale(_))), "{wrong}");
        }
        let mut lines = Vec::new();
        load(&client, TEST_SCALE, &mut |line| lines.push(line.to_owned())).await?;
        assert!(lines.iter().any(|line| line.starts_with("retail.lineitem")), "{lines:?}");

        let story = "public.customer_orders WHERE (order_total, total_with_shipping, region) IN ((89.00, 95.67, \
                     'US-EAST'), (117.00, 127.95, 'US-EAST'), (225.00, 245.73, 'US-WEST'), (356.00, 370.16, \
                     'US-CENTRAL'), (50.00, 54.13, 'US-EAST'))";
        assert_eq!(count(&client, story).await?, 5);
        assert_eq!(count(&client, "retail.nation").await?, 25);
        assert_eq!(count(&client, "retail.customer").await?, 150);
        assert_eq!(count(&client, "retail.orders").await?, 1500);
        assert!(count(&client, "retail.lineitem").await? > 5000);
        let keys = "pg_constraint WHERE connamespace = 'retail'::regnamespace AND contype IN ('p', 'f')";
        assert_eq!(count(&client, keys).await?, 16);

        let twice = load(&client, TEST_SCALE, &mut |_| {}).await;
        assert!(matches!(twice, Err(LoadError::Load { .. })), "existing tables are not touched");
        cluster.stop().await;
        Ok(())
    }
}
