//! Interleaved rounds of pgbench: every combination once per round, neighbours compared with neighbours.

use serde_json::{Value, json};

use crate::Failure;
use crate::kind::Kind;
use crate::options::Options;
use crate::pgbench::{Mode, Sample};
use crate::report::estimated;
use crate::statistics::{Estimate, estimate, median};
use crate::targets::Stage;

pub(crate) const METHOD: &str = "pgbench over TCP on 127.0.0.1 to the proxy, unix socket from the proxy to the server; rounds interleaved, \
                                 every target once per round next to its baseline; p50 and p99 from pgbench's per-transaction log (a quarter of \
                                 the transactions); added p50, added p99 and throughput ratio are over rounds of the difference and the quotient \
                                 within a round: median, and the 95 % interval of the mean (Student's t); cpu is processor seconds of the proxy \
                                 per 100,000 transactions, logging in left out; the governed targets all run the same enforced statement: \
                                 Lanyard is sent the table's name, the others the secured view's; fsync off, statement log off, autovacuum off, \
                                 no TLS";

/// One target in one mode with one number of clients, over all rounds.
#[derive(Debug)]
struct Line {
    kind: Kind,
    mode: Mode,
    clients: u32,
    /// One per round, in order.
    samples: Vec<Sample>,
}

/// A line against its baseline, round by round.
#[derive(Debug, Clone, Copy)]
struct Summary {
    p50_us: f64,
    p99_us: f64,
    tps: f64,
    cpu_s: Option<f64>,
    added_p50_us: Estimate,
    added_p99_us: Estimate,
    throughput_ratio: Estimate,
}

impl Line {
    fn summary(&self, lines: &[Self]) -> Option<Summary> {
        let same = |line: &&Self| {
            line.kind == self.kind.baseline() && line.mode == self.mode && line.clients == self.clients
        };
        let baseline = lines.iter().find(same)?;
        let paired = |of: fn(&Sample, &Sample) -> f64| -> Option<Estimate> {
            let pairs: Vec<f64> = self.samples.iter().zip(&baseline.samples).map(|(a, b)| of(a, b)).collect();
            estimate(&pairs)
        };
        Some(Summary {
            p50_us: median(self.samples.iter().map(|s| s.p50_us))?,
            p99_us: median(self.samples.iter().map(|s| s.p99_us))?,
            tps: median(self.samples.iter().map(|s| s.tps))?,
            cpu_s: median(self.samples.iter().filter_map(|s| s.cpu_s)),
            added_p50_us: paired(|a, b| a.p50_us - b.p50_us)?,
            added_p99_us: paired(|a, b| a.p99_us - b.p99_us)?,
            throughput_ratio: paired(|a, b| a.tps / b.tps)?,
        })
    }

    fn json(&self, lines: &[Self]) -> Value {
        let rounds: Vec<Value> = self
            .samples
            .iter()
            .map(|s| json!({ "p50_us": s.p50_us, "p99_us": s.p99_us, "tps": s.tps, "cpu_s": s.cpu_s }))
            .collect();
        let mut value = json!({
            "target": self.kind.word(),
            "baseline": self.kind.baseline().word(),
            "mode": self.mode.word(),
            "clients": self.clients,
            "rounds": rounds,
        });
        if let Some(sum) = self.summary(lines) {
            value["p50_us"] = json!(sum.p50_us);
            value["p99_us"] = json!(sum.p99_us);
            value["tps"] = json!(sum.tps);
            value["cpu_s"] = json!(sum.cpu_s);
            value["added_p50_us"] = estimated(sum.added_p50_us);
            value["added_p99_us"] = estimated(sum.added_p99_us);
            value["throughput_ratio"] = estimated(sum.throughput_ratio);
        }
        value
    }
}

/// Runs all rounds.
///
/// Cancel-safe: a run of pgbench that is under way ends by itself.
pub(crate) async fn run(options: &Options, stage: &Stage) -> Result<Value, Failure> {
    let mut lines = Vec::new();
    for mode in &options.modes {
        for clients in &options.clients {
            for ready in &stage.ready {
                lines.push(Line { kind: ready.kind, mode: *mode, clients: *clients, samples: Vec::new() });
            }
        }
    }
    for round in 0..options.rounds {
        println!("latency: round {} of {}", round + 1, options.rounds);
        // There and back again: what drifts during a round cancels out over two.
        lines.reverse();
        for line in &mut lines {
            let sample = measure(stage, line).await?;
            line.samples.extend(sample);
        }
    }
    if options.rounds % 2 == 1 {
        lines.reverse();
    }
    print(&lines);
    Ok(json!({
        "method": METHOD,
        "rounds": options.rounds,
        "seconds_per_run": options.seconds,
        "pgbench_scale": options.scale,
        "results": lines.iter().map(|line| line.json(&lines)).collect::<Vec<_>>(),
    }))
}

/// `None` never: the lines were made from the stage.
async fn measure(stage: &Stage, line: &Line) -> Result<Option<Sample>, Failure> {
    let Some(ready) = stage.target(line.kind) else {
        return Ok(None);
    };
    let (pgbench, door, pid) = (stage.pgbench.clone(), ready.door.clone(), ready.pid);
    let (script, mode, clients) = (ready.script.clone(), line.mode, line.clients);
    // On another thread, so that a signal is heard meanwhile.
    let measured =
        tokio::task::spawn_blocking(move || pgbench.measure(&door, pid, &script, mode, clients)).await?;
    let sample =
        measured.map_err(|error| format!("{} {} {clients}: {error}", line.kind.word(), mode.word()))?;
    Ok(Some(sample))
}

fn print(lines: &[Line]) {
    println!(
        "\n{:<18} {:<9} {:>7} {:>9} {:>9} {:>9} {:>22} {:>10} {:>6} {:>10}",
        "target",
        "mode",
        "clients",
        "p50 µs",
        "p99 µs",
        "tps",
        "added p50 [95 %]",
        "added p99",
        "ratio",
        "cpu s/100k"
    );
    for line in lines {
        let Some(sum) = line.summary(lines) else {
            continue;
        };
        print!(
            "{:<18} {:<9} {:>7} {:>9.1} {:>9.1} {:>9.0}",
            line.kind.word(),
            line.mode.word(),
            line.clients,
            sum.p50_us,
            sum.p99_us,
            sum.tps
        );
        if line.kind == line.kind.baseline() {
            println!();
            continue;
        }
        let (low, high) = sum.added_p50_us.interval.unwrap_or((f64::NAN, f64::NAN));
        print!(
            " {:>6.1} [{low:>6.1} {high:>6.1}] {:>10.1} {:>6.2}",
            sum.added_p50_us.median, sum.added_p99_us.median, sum.throughput_ratio.median
        );
        match sum.cpu_s {
            Some(seconds) => println!(" {seconds:>10.2}"),
            None => println!(" {:>10}", "-"),
        }
    }
}
