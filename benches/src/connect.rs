//! Connect, first row, goodbye: what a session costs that asks once.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::options::Options;
use crate::raw::Raw;
use crate::report::estimated;
use crate::statistics::{estimate, median};
use crate::targets::{Ready, Stage};
use crate::{Failure, failure, usage};

const METHOD: &str = "one client at a time: TCP connection, SCRAM-SHA-256, one row of pgbench_accounts, Terminate, and until the other side has \
                      closed; Lanyard vends an ephemeral role for each and drops it, \"dropped\" is until no such role is left in the \
                      warehouse; targets in turn; added and ratio are over turns against the bare connection of the same turn; cpu is the \
                      proxy's own per session, vending and dropping included";
const COMPARED: [Kind; 4] = [Kind::Direct, Kind::Forwarder, Kind::PgBouncer, Kind::LanyardOpen];
const STATEMENT: &str = "SELECT abalance FROM public.pgbench_accounts WHERE aid = 1";
/// Nobody should need so long to see a role go.
const DROP_SECONDS_MAX: u64 = 10;
const READ_BYTES: usize = 4 << 10;

#[derive(Debug, Clone, Copy)]
struct Times {
    first_row_ms: f64,
    closed_ms: f64,
    dropped_ms: f64,
}

#[derive(Debug)]
struct Line<'a> {
    ready: &'a Ready,
    turns: Vec<Times>,
    cpu_seconds: f64,
}

/// Cancel-safe: a connection that is under way ends with its thread.
pub(crate) async fn run(options: &Options, stage: &Stage) -> Result<Value, Failure> {
    let dba = stage.cluster.connect("postgres").await?;
    let mut lines: Vec<Line<'_>> = COMPARED
        .iter()
        .filter_map(|kind| stage.target(*kind))
        .map(|ready| Line { ready, turns: Vec::new(), cpu_seconds: 0.0 })
        .collect();
    println!("connect: {} turns", options.connects);
    for _ in 0..options.connects {
        lines.reverse();
        for line in &mut lines {
            let cpu = || line.ready.pid.map_or(Ok(0.0), usage::cpu_seconds);
            let before = cpu()?;
            let begun = Instant::now();
            let door = line.ready.door.clone();
            let (first_row_ms, closed_ms) = tokio::task::spawn_blocking(move || -> Result<_, Failure> {
                let mut client = Raw::log_in(&door, READ_BYTES)?;
                client.ask(STATEMENT)?;
                client.first_row()?;
                let first_row = ms(begun);
                client.leave()?;
                Ok((first_row, ms(begun)))
            })
            .await??;
            until_dropped(&dba).await?;
            line.turns.push(Times { first_row_ms, closed_ms, dropped_ms: ms(begun) });
            line.cpu_seconds += cpu()? - before;
        }
    }
    if options.connects % 2 == 1 {
        lines.reverse();
    }
    let results: Vec<Value> = lines.iter().map(|line| line.json(&lines)).collect();
    print(&results);
    Ok(json!({ "method": METHOD, "turns": options.connects, "results": results }))
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// Returns at once where nothing was vended.
async fn until_dropped(dba: &tokio_postgres::Client) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(DROP_SECONDS_MAX);
    while Instant::now() < deadline {
        let left = dba
            .query_one("SELECT count(*) FROM pg_authid WHERE rolname LIKE 'LANYARD\\_VENDED\\_%'", &[])
            .await?
            .get::<_, i64>(0);
        if left == 0 {
            return Ok(());
        }
    }
    Err(failure("a vended role outlives its session"))
}

impl Line<'_> {
    fn json(&self, lines: &[Self]) -> Value {
        let of = |number: fn(&Times) -> f64| median(self.turns.iter().map(number));
        let mut value = json!({
            "target": self.ready.kind.word(),
            "first_row_ms": of(|t| t.first_row_ms),
            "closed_ms": of(|t| t.closed_ms),
            "dropped_ms": of(|t| t.dropped_ms),
        });
        let turns = f64::from(u32::try_from(self.turns.len()).unwrap_or(u32::MAX));
        if self.ready.pid.is_some() && turns > 0.0 {
            value["cpu_ms"] = json!(self.cpu_seconds * 1e3 / turns);
        }
        if let Some(bare) = lines.iter().find(|line| line.ready.kind == Kind::Direct) {
            let paired = |of: fn(&Times, &Times) -> f64| {
                let pairs: Vec<f64> = self.turns.iter().zip(&bare.turns).map(|(a, b)| of(a, b)).collect();
                estimate(&pairs).map(estimated)
            };
            value["added_ms"] = json!(paired(|a, b| a.closed_ms - b.closed_ms));
            value["ratio"] = json!(paired(|a, b| a.closed_ms / b.closed_ms));
            value["ratio_dropped"] = json!(paired(|a, b| a.dropped_ms / b.dropped_ms));
        }
        value
    }
}

fn print(results: &[Value]) {
    println!(
        "\n{:<14} {:>13} {:>10} {:>11} {:>9} {:>7} {:>14} {:>8}",
        "target", "first row ms", "closed ms", "dropped ms", "added ms", "ratio", "ratio dropped", "cpu ms"
    );
    for line in results {
        let number = |value: &Value| value.as_f64().map_or_else(|| "-".to_owned(), |n| format!("{n:.2}"));
        println!(
            "{:<14} {:>13} {:>10} {:>11} {:>9} {:>7} {:>14} {:>8}",
            line["target"].as_str().unwrap_or_default(),
            number(&line["first_row_ms"]),
            number(&line["closed_ms"]),
            number(&line["dropped_ms"]),
            number(&line["added_ms"]["median"]),
            number(&line["ratio"]["median"]),
            number(&line["ratio_dropped"]["median"]),
            number(&line["cpu_ms"]),
        );
    }
}
