//! What a session costs that does nothing: resident memory of the proxy for each.

use std::time::Duration;

use serde_json::{Value, json};

use crate::Failure;
use crate::kind::Kind;
use crate::options::Options;
use crate::raw::Raw;
use crate::targets::{Ready, Stage};
use crate::usage;

const METHOD: &str = "so many sessions, each logged in and asked once, then idle with its backend; resident memory of the proxy before and \
                      after, less that of the first twenty, divided by their number";
const COMPARED: [Kind; 3] = [Kind::Forwarder, Kind::PgBouncer, Kind::LanyardOpen];
const STATEMENT: &str = "SELECT abalance FROM public.pgbench_accounts WHERE aid = 1";
/// The first sessions touch code and tables that all later ones share.
const WARM_UP: usize = 20;
/// For what a proxy does after a login.
const SETTLE: Duration = Duration::from_millis(500);
const READ_BYTES: usize = 512;

/// What stands behind an idle session.
#[derive(Debug, Clone, Copy)]
enum Behind {
    /// A backend of its own in the warehouse.
    Backend,
}

impl Behind {
    fn word(self) -> &'static str {
        match self {
            Self::Backend => "backend",
        }
    }
}

/// Blocks the thread.
pub(crate) fn run(options: &Options, stage: &Stage) -> Result<Value, Failure> {
    let mut results = Vec::new();
    for ready in COMPARED.iter().filter_map(|kind| stage.target(*kind)) {
        let Some(pid) = ready.pid else {
            continue;
        };
        println!("idle: {} sessions through {}", options.idle, ready.kind.word());
        results.push(measure(ready, pid, options.idle, Behind::Backend)?);
    }
    println!("\n{:<14} {:<8} {:>9} {:>16}", "target", "behind", "sessions", "KiB per session");
    for line in &results {
        println!(
            "{:<14} {:<8} {:>9} {:>16.1}",
            line["target"].as_str().unwrap_or_default(),
            line["behind"].as_str().unwrap_or_default(),
            line["sessions"],
            line["kib_per_session"].as_f64().unwrap_or(f64::NAN),
        );
    }
    Ok(json!({ "method": METHOD, "results": results }))
}

fn measure(ready: &Ready, pid: u32, sessions: u32, behind: Behind) -> Result<Value, Failure> {
    let open = || -> Result<Raw, Failure> {
        let mut client = Raw::log_in(&ready.door, READ_BYTES)?;
        client.ask(STATEMENT)?;
        client.drain()?;
        Ok(client)
    };
    let mut clients = (0..WARM_UP).map(|_| open()).collect::<Result<Vec<_>, _>>()?;
    std::thread::sleep(SETTLE);
    let before = usage::resident_kib(pid)?;
    for _ in 0..sessions {
        clients.push(open()?);
    }
    std::thread::sleep(SETTLE);
    let grown = usage::resident_kib(pid)? - before;
    for client in clients {
        client.leave()?;
    }
    Ok(json!({
        "target": ready.kind.word(),
        "behind": behind.word(),
        "sessions": sessions,
        "kib_per_session": grown / f64::from(sessions),
    }))
}
