//! The file machines read: one section per part, each with the date, machine and versions of its own run.
//!
//! A part that was not run keeps the section it had; no number is ever computed from two sections' rounds.

use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::Failure;
use crate::options::Part;
use crate::statistics::Estimate;
use crate::targets::Stage;

/// As it stands in the file.
pub(crate) fn estimated(estimate: Estimate) -> Value {
    match estimate.interval {
        Some((low, high)) => json!({ "median": estimate.median, "low": low, "high": high }),
        None => json!({ "median": estimate.median }),
    }
}

/// The sections of an earlier run, empty where there is none or it is of another form.
pub(crate) fn earlier(file: &Path) -> Map<String, Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut sections = match serde_json::from_str(&text) {
        Ok(Value::Object(sections)) => sections,
        Ok(_) | Err(_) => Map::new(),
    };
    sections.retain(|name, _| Part::ALL.iter().any(|part| part.word() == name));
    sections
}

/// A part's numbers with when, where and what.
pub(crate) fn dated(mut section: Value, stage: Option<&Stage>) -> Value {
    section["date"] = json!(run("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]));
    section["machine"] = machine();
    section["versions"] = match stage {
        Some(stage) => json!(stage.versions.iter().cloned().collect::<std::collections::BTreeMap<_, _>>()),
        None => json!({ "lanyard": env!("CARGO_PKG_VERSION"), "rustc": run("rustc", &["--version"]) }),
    };
    let skipped = stage.map(|stage| stage.skipped.as_slice()).unwrap_or_default();
    if !skipped.is_empty() {
        section["skipped"] =
            skipped.iter().map(|(kind, why)| json!({ "target": kind.word(), "why": why })).collect();
    }
    section
}

/// Writes beside the file and renames, so that a run cut short leaves the last one's numbers.
pub(crate) fn write(file: &Path, sections: Map<String, Value>) -> Result<(), Failure> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let draft = file.with_extension("json.part");
    std::fs::write(&draft, format!("{:#}\n", Value::Object(sections)))?;
    std::fs::rename(&draft, file)?;
    Ok(())
}

pub(crate) fn machine() -> Value {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown", |(_, model)| model.trim());
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = meminfo.lines().next().unwrap_or("unknown");
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    json!({
        "cpu": model,
        "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": memory.trim_start_matches("MemTotal:").trim(),
        "system": run("uname", &["-srm"]),
        "load_after": load.split(' ').next().unwrap_or_default(),
    })
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let printed = Command::new(program).args(arguments).output();
    let text = printed.map_or_else(|_| Vec::new(), |p| p.stdout);
    String::from_utf8_lossy(&text).trim().to_owned()
}
