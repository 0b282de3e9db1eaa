//! The table people read and the file machines read.

use std::process::Command;

use serde_json::{Value, json};

use crate::Failure;
use crate::options::Options;
use crate::rounds::Line;
use crate::targets::Stage;

const METHOD: &str = "pgbench over TCP on 127.0.0.1 to the proxy, unix socket from the proxy to the server; rounds interleaved, every \
                      target once per round next to its baseline; p50 from pgbench's per-transaction log (a quarter of the \
                      transactions); added p50 and throughput ratio are medians over rounds of the difference and the quotient \
                      within a round; direct-governed asks the secured view itself, without the stamp; fsync off, statement \
                      log off, autovacuum off, no TLS";

pub(crate) fn print(lines: &[Line]) {
    println!(
        "\n{:<18} {:<9} {:>7} {:>9} {:>9} {:>10} {:>11} {:>7}",
        "target", "mode", "clients", "p50 µs", "p99 µs", "tps", "added p50", "ratio"
    );
    for line in lines {
        let Some(sum) = line.summary(lines) else {
            continue;
        };
        print!(
            "{:<18} {:<9} {:>7} {:>9.1} {:>9.1} {:>10.0}",
            line.kind.word(),
            line.mode.word(),
            line.clients,
            sum.p50_us,
            sum.p99_us,
            sum.tps
        );
        if line.kind == line.kind.baseline() {
            println!(" {:>11} {:>7}", "-", "-");
        } else {
            println!(" {:>11.1} {:>7.2}", sum.added_p50_us, sum.throughput_ratio);
        }
    }
}

/// Writes beside the file and renames, so that a run cut short leaves the last one's numbers.
pub(crate) fn write(options: &Options, stage: &Stage, lines: &[Line]) -> Result<(), Failure> {
    let skipped: Vec<Value> =
        stage.skipped.iter().map(|(kind, why)| json!({ "target": kind.word(), "why": why })).collect();
    let report = json!({
        "date": run("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
        "machine": machine(),
        "versions": stage.versions.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        "method": METHOD,
        "rounds": options.rounds,
        "seconds_per_run": options.seconds,
        "pgbench_scale": options.scale,
        "skipped": skipped,
        "results": lines.iter().map(|line| result(line, lines)).collect::<Vec<_>>(),
    });
    if let Some(folder) = options.output.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let draft = options.output.with_extension("json.part");
    std::fs::write(&draft, format!("{report:#}\n"))?;
    std::fs::rename(&draft, &options.output)?;
    Ok(())
}

fn result(line: &Line, lines: &[Line]) -> Value {
    let rounds: Vec<Value> = line
        .samples
        .iter()
        .map(|s| json!({ "p50_us": s.p50_us, "p99_us": s.p99_us, "tps": s.tps }))
        .collect();
    let mut value = json!({
        "target": line.kind.word(),
        "baseline": line.kind.baseline().word(),
        "mode": line.mode.word(),
        "clients": line.clients,
        "rounds": rounds,
    });
    if let Some(sum) = line.summary(lines) {
        value["p50_us"] = json!(sum.p50_us);
        value["p99_us"] = json!(sum.p99_us);
        value["tps"] = json!(sum.tps);
        value["added_p50_us"] = json!(sum.added_p50_us);
        value["throughput_ratio"] = json!(sum.throughput_ratio);
    }
    value
}

fn machine() -> Value {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown", |(_, model)| model.trim());
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = meminfo.lines().next().unwrap_or("unknown");
    json!({
        "cpu": model,
        "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": memory.trim_start_matches("MemTotal:").trim(),
        "system": run("uname", &["-srm"]),
    })
}

fn run(program: &str, arguments: &[&str]) -> String {
    let printed = Command::new(program).args(arguments).output();
    let text = printed.map_or_else(|_| Vec::new(), |p| p.stdout);
    String::from_utf8_lossy(&text).trim().to_owned()
}
