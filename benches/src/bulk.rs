//! Large results and COPY out: megabytes per second, processor time per megabyte, and memory with a fast and a slow client.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Failure;
use crate::kind::Kind;
use crate::options::Options;
use crate::raw::Raw;
use crate::report::estimated;
use crate::statistics::{estimate, median};
use crate::targets::{Ready, Stage};
use crate::usage;

const METHOD: &str = "every row of pgbench_accounts as a simple query's result, and by COPY TO STDOUT, read by a client that counts bytes and \
                      does nothing else; rounds interleaved; ratio and processor time are over rounds within a round; memory growth is the peak \
                      resident size during the transfer less the size before, for a client that reads as fast as it can and for one that \
                      reads 2 MB/s";
const COMPARED: [Kind; 4] = [Kind::Direct, Kind::Forwarder, Kind::PgBouncer, Kind::LanyardOpen];
const SLOW_BYTES_PER_SECOND: usize = 2 << 20;
const SLOW_SECONDS: u64 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Result,
    CopyOut,
}

impl Way {
    const ALL: [Self; 2] = [Self::Result, Self::CopyOut];

    fn word(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::CopyOut => "copy-out",
        }
    }

    fn statement(self) -> &'static str {
        match self {
            Self::Result => "SELECT * FROM public.pgbench_accounts",
            Self::CopyOut => "COPY public.pgbench_accounts TO STDOUT",
        }
    }
}

/// One transfer.
#[derive(Debug, Clone, Copy)]
struct Transfer {
    /// 10^6 bytes.
    megabytes: f64,
    seconds: f64,
    rows: u64,
    /// Of the proxy.
    cpu_seconds: f64,
    grown_kib: f64,
}

/// One target and way over all rounds.
#[derive(Debug)]
struct Line {
    kind: Kind,
    way: Way,
    transfers: Vec<Transfer>,
    slow_grown_kib: Option<f64>,
}

/// Blocks the thread.
pub(crate) fn run(options: &Options, stage: &Stage) -> Result<Value, Failure> {
    let targets: Vec<&Ready> = COMPARED.iter().filter_map(|kind| stage.target(*kind)).collect();
    let mut lines: Vec<Line> = Vec::new();
    for way in Way::ALL {
        for ready in &targets {
            lines.push(Line { kind: ready.kind, way, transfers: Vec::new(), slow_grown_kib: None });
        }
    }
    for round in 0..options.rounds {
        println!("bulk: round {} of {}", round + 1, options.rounds);
        lines.reverse();
        for line in &mut lines {
            if let Some(ready) = stage.target(line.kind) {
                line.transfers.push(transfer(ready, line.way)?);
            }
        }
    }
    if options.rounds % 2 == 1 {
        lines.reverse();
    }
    for line in &mut lines {
        if let Some((ready, pid)) = stage.target(line.kind).and_then(|ready| Some((ready, ready.pid?))) {
            line.slow_grown_kib = Some(slow(ready, pid, line.way)?);
        }
    }
    let results: Vec<Value> = lines.iter().map(|line| line.json(&lines)).collect();
    print(&results);
    Ok(
        json!({ "method": METHOD, "rounds": options.rounds, "pgbench_scale": options.scale, "results": results }),
    )
}

fn transfer(ready: &Ready, way: Way) -> Result<Transfer, Failure> {
    let mut client = Raw::for_bulk(&ready.door)?;
    let before = Memory::before(ready.pid)?;
    let cpu = || ready.pid.map_or(Ok(0.0), usage::cpu_seconds);
    let cpu_before = cpu()?;
    let begun = Instant::now();
    client.ask(way.statement())?;
    let (bytes, rows) = client.drain()?;
    let seconds = begun.elapsed().as_secs_f64();
    let transfer = Transfer {
        megabytes: f64::from(u32::try_from(bytes)?) / 1e6,
        seconds,
        rows,
        cpu_seconds: cpu()? - cpu_before,
        grown_kib: before.grown_kib()?,
    };
    client.leave()?;
    Ok(transfer)
}

/// Memory growth behind a client that reads far slower than the warehouse sends, and then goes away.
fn slow(ready: &Ready, pid: u32, way: Way) -> Result<f64, Failure> {
    println!("bulk: {} {} to a slow client", ready.kind.word(), way.word());
    let mut client = Raw::for_bulk(&ready.door)?;
    let before = Memory::before(Some(pid))?;
    client.ask(way.statement())?;
    client.sip(SLOW_BYTES_PER_SECOND, Duration::from_secs(SLOW_SECONDS))?;
    before.grown_kib()
}

/// A process's resident memory at one moment.
#[derive(Debug, Clone, Copy)]
struct Memory {
    process: Option<(u32, f64)>,
}

impl Memory {
    fn before(pid: Option<u32>) -> Result<Self, Failure> {
        let Some(pid) = pid else {
            return Ok(Self { process: None });
        };
        usage::forget_peak(pid)?;
        Ok(Self { process: Some((pid, usage::resident_kib(pid)?)) })
    }

    fn grown_kib(self) -> Result<f64, Failure> {
        self.process.map_or(Ok(0.0), |(pid, before)| Ok(usage::peak_kib(pid)? - before))
    }
}

impl Line {
    fn json(&self, lines: &[Self]) -> Value {
        let of = |number: fn(&Transfer) -> f64| median(self.transfers.iter().map(number));
        let mut value = json!({
            "target": self.kind.word(),
            "way": self.way.word(),
            "rows": self.transfers.first().map(|t| t.rows),
            "megabytes": of(|t| t.megabytes),
            "mb_per_s": of(|t| t.megabytes / t.seconds),
        });
        let forwarder = lines.iter().find(|line| line.kind == Kind::Forwarder && line.way == self.way);
        if let Some(forwarder) = forwarder {
            let quotients: Vec<f64> =
                self.transfers.iter().zip(&forwarder.transfers).map(|(a, b)| b.seconds / a.seconds).collect();
            value["of_forwarder"] = json!(estimate(&quotients).map(estimated));
        }
        if self.kind != Kind::Direct {
            value["cpu_ms_per_mb"] = json!(of(|t| t.cpu_seconds * 1e3 / t.megabytes));
            value["grown_mib_fast"] =
                json!(self.transfers.iter().map(|t| t.grown_kib / 1024.0).reduce(f64::max));
            value["grown_mib_slow"] = json!(self.slow_grown_kib.map(|kib| kib / 1024.0));
        }
        value
    }
}

fn print(results: &[Value]) {
    println!(
        "\n{:<14} {:<9} {:>9} {:>13} {:>14} {:>16} {:>16}",
        "target", "way", "MB/s", "of forwarder", "cpu ms per MB", "MiB grown, fast", "MiB grown, slow"
    );
    for line in results {
        let number = |value: &Value| value.as_f64().map_or_else(|| "-".to_owned(), |n| format!("{n:.2}"));
        println!(
            "{:<14} {:<9} {:>9} {:>13} {:>14} {:>16} {:>16}",
            line["target"].as_str().unwrap_or_default(),
            line["way"].as_str().unwrap_or_default(),
            number(&line["mb_per_s"]),
            number(&line["of_forwarder"]["median"]),
            number(&line["cpu_ms_per_mb"]),
            number(&line["grown_mib_fast"]),
            number(&line["grown_mib_slow"]),
        );
    }
}
