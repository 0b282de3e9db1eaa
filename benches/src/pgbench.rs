//! Runs pgbench once and reads what it measured.
//!
//! Must never fold a failed run into a number: a run with errors is an error.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::usage::Watch;
use crate::{Failure, failure};

/// How statements travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Simple,
    Extended,
    Prepared,
}

impl Mode {
    pub(crate) const ALL: [Self; 3] = [Self::Simple, Self::Extended, Self::Prepared];

    /// pgbench's word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Extended => "extended",
            Self::Prepared => "prepared",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.word() == word)
    }
}

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) enum Script {
    /// pgbench's own `-S`: one row of `pgbench_accounts` by its key.
    SelectOnly,
    /// A script file.
    File(PathBuf),
}

/// Whom to ask, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) database: String,
}

/// One run's numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Median time of a transaction, µs.
    pub(crate) p50_us: f64,
    /// 99th percentile, µs.
    pub(crate) p99_us: f64,
    /// Transactions per second, connecting left out.
    pub(crate) tps: f64,
    /// Processor seconds of the proxy per 100,000 transactions, logging in left out; absent where there is none to ask.
    pub(crate) cpu_s: Option<f64>,
}

/// What stays the same over all runs.
#[derive(Debug, Clone)]
pub(crate) struct Pgbench {
    pub(crate) program: PathBuf,
    /// Where transaction logs go; they are removed after they are read.
    pub(crate) logs: PathBuf,
    pub(crate) scale: u32,
    pub(crate) seconds: u32,
}

impl Pgbench {
    /// Creates and fills pgbench's tables.
    pub(crate) fn initialise(&self, door: &Door) -> Result<(), Failure> {
        let mut command = self.command(door);
        command.args(["-i", "-q", "-s", &self.scale.to_string()]);
        run(command).map(drop)
    }

    /// One run. `clients` connections on as many threads, two at most: the machine has other work to do. `pid` is the proxy's.
    pub(crate) fn measure(
        &self,
        door: &Door,
        pid: Option<u32>,
        script: &Script,
        mode: Mode,
        clients: u32,
    ) -> Result<Sample, Failure> {
        let prefix = self.logs.join("transactions");
        let mut command = self.command(door);
        command
            .args(["-n", "-M", mode.word()])
            .args(["-c", &clients.to_string()])
            .args(["-j", &clients.min(2).to_string()])
            .args(["-T", &self.seconds.to_string()])
            // A quarter of the transactions give the same percentiles and leave the disk in peace.
            .args(["--log", "--sampling-rate=0.25"])
            .arg(format!("--log-prefix={}", prefix.display()));
        match script {
            Script::SelectOnly => command.arg("-S"),
            Script::File(path) => command.args(["-D", &format!("scale={}", self.scale), "-f"]).arg(path),
        };
        let watch = pid.map(Watch::start);
        let output = run(command)?;
        // pgbench's clock starts before its clients log in; its last half is transactions and nothing else.
        let long = Duration::from_secs(self.seconds.into());
        let rate = watch.and_then(|watch| watch.rate(long.mul_f64(0.5), long.mul_f64(0.05)));
        let mut times = self.take_logs()?;
        times.sort_unstable();
        let tps = tps(&output)?;
        Ok(Sample {
            p50_us: percentile(&times, 50).ok_or_else(|| failure("pgbench logged no transaction"))?,
            p99_us: percentile(&times, 99).ok_or_else(|| failure("pgbench logged no transaction"))?,
            tps,
            cpu_s: rate.map(|rate| rate / tps * 1e5),
        })
    }

    fn command(&self, door: &Door) -> Command {
        let mut command = Command::new(&self.program);
        command
            .current_dir(&self.logs)
            .args(["-h", "127.0.0.1", "-p", &door.port.to_string()])
            .args(["-U", &door.user])
            .env("PGPASSWORD", &door.password)
            .env("PGDATABASE", &door.database)
            .env("PGSSLMODE", "disable")
            .env("PGGSSENCMODE", "disable")
            .env("LC_ALL", "C");
        command
    }

    /// Reads and removes `transactions.<pid>[.<thread>]`: the third field is the transaction's time in µs
    /// (pgbench documentation, "Per-Transaction Logging").
    fn take_logs(&self) -> Result<Vec<u32>, Failure> {
        let mut times = Vec::new();
        for entry in std::fs::read_dir(&self.logs)? {
            let path = entry?.path();
            let ours = |name: &str| name.starts_with("transactions.");
            if !path.file_name().and_then(|n| n.to_str()).is_some_and(ours) {
                continue;
            }
            for line in std::fs::read_to_string(&path)?.lines() {
                let time = line.split(' ').nth(2).and_then(|field| field.parse().ok());
                times.push(time.ok_or_else(|| failure(&format!("pgbench logged {line:?}")))?);
            }
            std::fs::remove_file(&path)?;
        }
        Ok(times)
    }
}

fn run(mut command: Command) -> Result<String, Failure> {
    let ran = command.stdin(Stdio::null()).output()?;
    let output = String::from_utf8_lossy(&ran.stdout).into_owned();
    let errors = String::from_utf8_lossy(&ran.stderr);
    // Aborted clients end pgbench with code 2 and numbers all the same.
    if !ran.status.success() || output.contains("aborted") {
        let tail: Vec<&str> = errors.trim().lines().rev().take(4).collect();
        return Err(failure(&format!("pgbench failed: {}", tail.join(" | "))));
    }
    Ok(output)
}

fn tps(output: &str) -> Result<f64, Failure> {
    let line = output.lines().find_map(|line| line.strip_prefix("tps = "));
    line.and_then(|rest| rest.split(' ').next()?.parse().ok())
        .ok_or_else(|| failure("pgbench ran no transaction (does logging in take all of --seconds?)"))
}

/// Nearest rank in a sorted list.
fn percentile(sorted: &[u32], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map(|time| f64::from(*time))
}

/// `pgbench` beside the server, else in PATH.
pub(crate) fn find(bin: &Path) -> PathBuf {
    let beside = bin.join("pgbench");
    if beside.is_file() { beside } else { "pgbench".into() }
}
