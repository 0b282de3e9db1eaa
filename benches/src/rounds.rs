//! Interleaved rounds: every combination once per round, neighbours compared with neighbours.

use crate::Failure;
use crate::options::Options;
use crate::pgbench::{Mode, Sample};
use crate::report;
use crate::statistics::median;
use crate::targets::{Kind, Stage};

/// One target in one mode with one number of clients, over all rounds.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) kind: Kind,
    pub(crate) mode: Mode,
    pub(crate) clients: u32,
    /// One per round, in order.
    pub(crate) samples: Vec<Sample>,
}

/// A line's medians.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Summary {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) tps: f64,
    /// Median over rounds of the difference to the baseline in the same round, µs.
    pub(crate) added_p50_us: f64,
    /// Median over rounds of the quotient by the baseline in the same round.
    pub(crate) throughput_ratio: f64,
}

impl Line {
    /// `None` without a baseline among the lines, or without rounds.
    pub(crate) fn summary(&self, lines: &[Self]) -> Option<Summary> {
        let same = |other: &&Self| {
            other.kind == self.kind.baseline() && other.mode == self.mode && other.clients == self.clients
        };
        let baseline = lines.iter().find(same)?;
        let pairs = || self.samples.iter().zip(&baseline.samples);
        Some(Summary {
            p50_us: median(self.samples.iter().map(|s| s.p50_us))?,
            p99_us: median(self.samples.iter().map(|s| s.p99_us))?,
            tps: median(self.samples.iter().map(|s| s.tps))?,
            added_p50_us: median(pairs().map(|(a, b)| a.p50_us - b.p50_us))?,
            throughput_ratio: median(pairs().map(|(a, b)| a.tps / b.tps))?,
        })
    }
}

/// Sets the stage, runs all rounds, prints and writes the results.
///
/// Cancel-safe: a dropped future ends every server it has started.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let stage = Stage::set(&options).await?;
    for (kind, why) in &stage.skipped {
        println!("SKIPPED {}: {why}", kind.word());
    }
    let mut lines = Vec::new();
    for mode in &options.modes {
        for clients in &options.clients {
            for ready in &stage.ready {
                lines.push(Line { kind: ready.kind, mode: *mode, clients: *clients, samples: Vec::new() });
            }
        }
    }
    for round in 0..options.rounds {
        println!("round {} of {}", round + 1, options.rounds);
        // There and back again: what drifts during a round cancels out over two.
        lines.reverse();
        for line in &mut lines {
            // Always present: the lines were made from the stage.
            for ready in stage.ready.iter().filter(|ready| ready.kind == line.kind) {
                let (pgbench, door) = (stage.pgbench.clone(), ready.door.clone());
                let (script, mode, clients) = (ready.script.clone(), line.mode, line.clients);
                // On another thread, so that a signal is heard meanwhile.
                let measured =
                    tokio::task::spawn_blocking(move || pgbench.measure(&door, &script, mode, clients));
                let sample = measured
                    .await?
                    .map_err(|error| format!("{} {} {clients}: {error}", line.kind.word(), mode.word()))?;
                line.samples.push(sample);
            }
        }
    }
    if options.rounds % 2 == 1 {
        lines.reverse();
    }
    report::print(&lines);
    report::write(&options, &stage, &lines)?;
    println!("\nwritten to {}", options.output.display());
    Ok(())
}
