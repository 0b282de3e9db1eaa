//! What a process uses: processor time and memory, as the kernel tells it in `/proc`.
//!
//! Must never be asked about a process that may have ended: a missing file is an error, not a zero.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::{Failure, failure};

/// How often a [`Watch`] looks. Looking costs about 20 µs.
const LOOK_MILLISECONDS: u64 = 40;

/// Processor seconds of all threads that are alive. `schedstat` counts nanoseconds where `stat` samples ticks of 10 ms; a
/// kernel without it gets the ticks.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64, Failure> {
    let mut nanoseconds = 0.0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) else {
            return ticks(pid);
        };
        nanoseconds += text.split(' ').next().and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0);
    }
    if nanoseconds > 0.0 { Ok(nanoseconds / 1e9) } else { ticks(pid) }
}

/// `utime` + `stime` of `/proc/PID/stat` (proc(5)), in ticks of 1/100 s.
fn ticks(pid: u32) -> Result<f64, Failure> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in parentheses and may hold anything.
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let field = |number: usize| fields.get(number).and_then(|word| word.parse::<f64>().ok());
    match (field(11), field(12)) {
        (Some(user), Some(system)) => Ok((user + system) / 100.0),
        _ => Err(failure("an unknown form of /proc/PID/stat")),
    }
}

/// Resident memory now, KiB.
pub(crate) fn resident_kib(pid: u32) -> Result<f64, Failure> {
    status(pid, "VmRSS:")
}

/// Most resident memory since [`forget_peak`], KiB.
pub(crate) fn peak_kib(pid: u32) -> Result<f64, Failure> {
    status(pid, "VmHWM:")
}

/// Lets the peak start afresh (proc(5), `clear_refs`).
pub(crate) fn forget_peak(pid: u32) -> Result<(), Failure> {
    Ok(std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

fn status(pid: u32, field: &str) -> Result<f64, Failure> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| failure(&format!("no {field} in /proc/{pid}/status")))
}

/// Looks at a process's processor time again and again, on a thread of its own.
#[derive(Debug)]
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    looks: JoinHandle<Vec<(Instant, f64)>>,
}

impl Watch {
    pub(crate) fn start(pid: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let looks = std::thread::spawn(move || {
            let mut looks = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                if let Ok(seconds) = cpu_seconds(pid) {
                    looks.push((Instant::now(), seconds));
                }
                std::thread::sleep(Duration::from_millis(LOOK_MILLISECONDS));
            }
            looks
        });
        Self { stop, looks }
    }

    /// Processor seconds per second between `from` and `to` before now: so that what happened outside (logging in, ending) is
    /// not counted. `None` when there were too few looks.
    pub(crate) fn rate(self, from: Duration, to: Duration) -> Option<f64> {
        let now = Instant::now();
        self.stop.store(true, Ordering::Relaxed);
        let looks = self.looks.join().ok()?;
        let within = |at: Instant| (to..=from).contains(&now.saturating_duration_since(at));
        let first = looks.iter().find(|(at, _)| within(*at))?;
        let last = looks.iter().rev().find(|(at, _)| within(*at))?;
        let seconds = last.0.saturating_duration_since(first.0).as_secs_f64();
        (seconds > 0.0).then(|| (last.1 - first.1) / seconds)
    }
}
