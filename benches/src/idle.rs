//! What a session costs that does nothing, with its backend and without: resident memory of the proxy for each.

use std::time::{Duration, Instant};

use lanyard::demo::setting::DATABASE;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::kind::Kind;
use crate::options::Options;
use crate::raw::Raw;
use crate::statistics::median;
use crate::targets::{DETACH_SECONDS, Ready, Stage};
use crate::{Failure, failure, usage};

const METHOD: &str = "so many sessions, each logged in and asked once, then idle; resident memory of the proxy before and after, less that of \
                      the first twenty, divided by their number. Behind `backend`: each with its backend. Behind `nothing`: after Lanyard has \
                      let their backends go. First again: the median time of the first statement after that, \
                      and beside it, one by one in turn, a bare login with its first statement";
/// PgBouncer keeps what it has opened, and so comes last.
const COMPARED: [Kind; 3] = [Kind::Forwarder, Kind::LanyardOpen, Kind::PgBouncer];
const STATEMENT: &str = "SELECT abalance FROM public.pgbench_accounts WHERE aid = 1";
/// The first sessions touch code and tables that all later ones share.
const WARM_UP: usize = 20;
/// For what a proxy does after a login.
const SETTLE: Duration = Duration::from_millis(500);
const READ_BYTES: usize = 512;
/// Detached sessions are opened in parts of this, for which the warehouse has room.
const PART: u32 = 1_000;
const ASKED_AGAIN: usize = 60;
const BACKENDS: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'lanyard:%'";

/// Blocks the thread.
pub(crate) fn run(options: &Options, stage: &Stage) -> Result<Value, Failure> {
    let mut results = Vec::new();
    for ready in COMPARED.iter().filter_map(|kind| stage.target(*kind)) {
        let Some(pid) = ready.pid else {
            continue;
        };
        println!("idle: {} sessions through {}", options.idle, ready.kind.word());
        let mut idle = Idle::begin(ready, pid)?;
        idle.open(options.idle)?;
        results.push(idle.line("backend")?);
        if ready.kind == Kind::LanyardOpen {
            results.push(idle.detached(options.detached, stage)?);
        }
        idle.end()?;
    }
    println!(
        "\n{:<14} {:<8} {:>9} {:>16} {:>15} {:>14}",
        "target", "behind", "sessions", "KiB per session", "first again ms", "bare login ms"
    );
    for line in &results {
        let ms = |name: &str| line[name].as_f64().map_or("-".to_owned(), |ms| format!("{ms:.2}"));
        println!(
            "{:<14} {:<8} {:>9} {:>16.1} {:>15} {:>14}",
            line["target"].as_str().unwrap_or_default(),
            line["behind"].as_str().unwrap_or_default(),
            line["sessions"],
            line["kib_per_session"].as_f64().unwrap_or(f64::NAN),
            ms("first_again_ms"),
            ms("login_ms"),
        );
    }
    Ok(json!({ "method": METHOD, "results": results }))
}

/// The sessions that are open through one proxy.
struct Idle<'a> {
    ready: &'a Ready,
    pid: u32,
    before: f64,
    clients: Vec<Raw>,
}

impl<'a> Idle<'a> {
    fn begin(ready: &'a Ready, pid: u32) -> Result<Self, Failure> {
        let mut idle = Self { ready, pid, before: 0.0, clients: Vec::new() };
        idle.open(u32::try_from(WARM_UP)?)?;
        idle.before = usage::resident_kib(pid)?;
        Ok(idle)
    }

    fn open(&mut self, sessions: u32) -> Result<(), Failure> {
        for _ in 0..sessions {
            let mut client = Raw::log_in(&self.ready.door, READ_BYTES)?;
            ask(&mut client)?;
            self.clients.push(client);
        }
        std::thread::sleep(SETTLE);
        Ok(())
    }

    fn line(&self, behind: &str) -> Result<Value, Failure> {
        let sessions = self.clients.len() - WARM_UP;
        let grown = usage::resident_kib(self.pid)? - self.before;
        Ok(json!({
            "target": self.ready.kind.word(),
            "behind": behind,
            "sessions": sessions,
            "kib_per_session": grown / f64::from(u32::try_from(sessions)?),
        }))
    }

    /// Opens more, up to so many, and measures when none has a backend any more.
    fn detached(&mut self, sessions: u32, stage: &Stage) -> Result<Value, Failure> {
        loop {
            until_detached(stage)?;
            let open = u32::try_from(self.clients.len() - WARM_UP)?;
            if open >= sessions {
                break;
            }
            println!("idle: {open} of {sessions} sessions without a backend");
            self.open(PART.min(sessions - open))?;
        }
        let mut line = self.line("nothing")?;
        let (mut again, mut bare) = (Vec::new(), Vec::new());
        for client in self.clients.iter_mut().take(ASKED_AGAIN) {
            again.push(timed(|| ask(client))?);
            if let Some(direct) = stage.target(Kind::Direct) {
                bare.push(timed(|| {
                    let mut client = Raw::log_in(&direct.door, READ_BYTES)?;
                    ask(&mut client)?;
                    client.leave()
                })?);
            }
        }
        line["first_again_ms"] = json!(median(again));
        line["login_ms"] = json!(median(bare));
        Ok(line)
    }

    fn end(self) -> Result<(), Failure> {
        self.clients.into_iter().try_for_each(Raw::leave)
    }
}

fn ask(client: &mut Raw) -> Result<(), Failure> {
    client.ask(STATEMENT)?;
    client.drain()?;
    Ok(())
}

/// In milliseconds.
fn timed(what: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let begun = Instant::now();
    what()?;
    Ok(begun.elapsed().as_secs_f64() * 1_000.0)
}

fn until_detached(stage: &Stage) -> Result<(), Failure> {
    let patience = Duration::from_secs(DETACH_SECONDS * 4);
    let begun = Instant::now();
    let dba = Handle::current().block_on(stage.cluster.connect(DATABASE))?;
    loop {
        let backends: i64 = Handle::current().block_on(dba.query_one(BACKENDS, &[]))?.get(0);
        if backends == 0 {
            std::thread::sleep(SETTLE);
            return Ok(());
        }
        if begun.elapsed() > patience {
            return Err(failure("sessions keep their backends"));
        }
        std::thread::sleep(SETTLE);
    }
}
