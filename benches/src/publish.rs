//! Charts in `docs/charts`, the table in README and `docs/speed.md`, from the file of numbers and nothing else.
//!
//! README's part stands between two comments; everything outside them stays as it is.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value};

use crate::chart::{Bar, Chart, Group, svg};
use crate::goals::{self, Goal};
use crate::{Failure, failure};

const README: &str = "README.md";
const CHARTS: &str = "docs/charts";
const SPEED: &str = "docs/speed.md";
const SPEED_HEAD: &str = "# Speed: goals and measurements\n\nWritten by `make bench` from `benches/results/latest.json`; each part has its own date, \
                          and no number is computed from two runs.\n\n";
const BEGIN: &str = "<!-- make bench: begin -->";
const END: &str = "<!-- make bench: end -->";
const MODES: [&str; 3] = ["simple", "extended", "prepared"];
/// Compared in the charts: target, its name for readers, ours.
const SHOWN: [(&str, &str, bool); 5] = [
    ("forwarder-governed", "bare forwarder", false),
    ("pgbouncer-governed", "PgBouncer", false),
    ("lanyard-governed", "Lanyard, governed", true),
    ("pgbouncer", "PgBouncer, plain table", false),
    ("lanyard-open", "Lanyard, open grant", true),
];

/// Writes all. Called in the repository's folder.
pub(crate) fn publish(sections: &Map<String, Value>) -> Result<(), Failure> {
    if let Some(latency) = sections.get("latency") {
        std::fs::create_dir_all(CHARTS)?;
        for (name, chart) in charts(latency) {
            std::fs::write(Path::new(CHARTS).join(name), svg(&chart))?;
        }
        readme(latency)?;
    }
    std::fs::write(SPEED, format!("{SPEED_HEAD}{}", speed(sections)?))?;
    Ok(())
}

fn readme(latency: &Value) -> Result<(), Failure> {
    let readme = std::fs::read_to_string(README)?;
    let (head, rest) = readme
        .split_once(BEGIN)
        .ok_or_else(|| failure("README.md has lost the mark where the tables begin"))?;
    let (_, tail) =
        rest.split_once(END).ok_or_else(|| failure("README.md has lost the mark where the tables end"))?;
    let table = table(latency)?;
    std::fs::write(README, format!("{head}{BEGIN}\n{table}{END}{tail}"))?;
    Ok(())
}

fn results(section: &Value) -> &[Value] {
    section["results"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn charts(latency: &Value) -> Vec<(&'static str, Chart)> {
    let foot = foot(latency);
    let chart = |title: &str, axis: &str, field: &str, clients: &[u64]| Chart {
        title: title.to_owned(),
        axis: axis.to_owned(),
        foot: foot.clone(),
        groups: groups(latency, field, clients),
    };
    vec![
        (
            "latency-p50.svg",
            chart(
                "Added median latency, 1 client",
                "µs over the same enforced statement sent directly (95 % interval)",
                "added_p50_us",
                &[1],
            ),
        ),
        (
            "latency-p99.svg",
            chart(
                "Added 99th percentile, 1 client",
                "µs over the same enforced statement sent directly (95 % interval)",
                "added_p99_us",
                &[1],
            ),
        ),
        (
            "throughput.svg",
            chart(
                "Throughput at 8 and 32 clients",
                "share of the same enforced statement sent directly (95 % interval)",
                "throughput_ratio",
                &[8, 32],
            ),
        ),
    ]
}

fn groups(latency: &Value, field: &str, clients: &[u64]) -> Vec<Group> {
    let mut groups = Vec::new();
    for count in clients {
        for mode in MODES {
            let bar = |(target, label, ours): &(&str, &str, bool)| -> Option<Bar> {
                let line = results(latency).iter().find(|line| {
                    line["target"] == *target && line["mode"] == mode && line["clients"] == *count
                })?;
                let estimate = &line[field];
                let interval = estimate["low"].as_f64().zip(estimate["high"].as_f64());
                Some(Bar {
                    label: (*label).to_owned(),
                    value: estimate["median"].as_f64()?,
                    interval,
                    ours: *ours,
                })
            };
            let bars: Vec<Bar> = SHOWN.iter().filter_map(bar).collect();
            if !bars.is_empty() {
                let label =
                    if clients.len() > 1 { format!("{mode}, {count} clients") } else { mode.to_owned() };
                groups.push(Group { label, bars });
            }
        }
    }
    groups
}

/// `2026-11-21, AMD EPYC, 2 cores, PostgreSQL 15.20, …`
fn foot(section: &Value) -> String {
    let mut parts = vec![
        section["date"].as_str().unwrap_or_default().replace('T', " ").trim_end_matches('Z').to_owned()
            + " UTC",
        section["machine"]["cpu"].as_str().unwrap_or_default().to_owned(),
        format!("{} cores", section["machine"]["cpus"]),
    ];
    if let Some(versions) = section["versions"].as_object() {
        parts.extend(versions.iter().map(|(what, version)| {
            let version = version.as_str().unwrap_or_default();
            let number = version.split(' ').find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
            format!("{what} {}", number.unwrap_or(version))
        }));
    }
    if let Some(rounds) = section["rounds"].as_u64() {
        parts.push(format!("{rounds} rounds"));
    }
    parts.join(", ")
}

fn table(latency: &Value) -> Result<String, Failure> {
    let mut out = String::new();
    writeln!(
        out,
        "![added latency](docs/charts/latency-p50.svg)\n\n![throughput](docs/charts/throughput.svg)\n\n\
         | 1 client: added p50 / p99, µs | simple | extended | prepared | CPU s per 100,000 transactions, 32 clients, simple / extended / prepared |\n\
         |---|---|---|---|---|"
    )?;
    for (target, label, _) in SHOWN {
        let line = |mode: &str, clients: u64| {
            results(latency)
                .iter()
                .find(|line| line["target"] == target && line["mode"] == mode && line["clients"] == clients)
        };
        write!(out, "| {label} |")?;
        for mode in MODES {
            let added = |field: &str| {
                let number = line(mode, 1).and_then(|line| line[field]["median"].as_f64());
                number.map_or("-".to_owned(), |number| format!("{number:+.0}"))
            };
            write!(out, " {} / {} |", added("added_p50_us"), added("added_p99_us"))?;
        }
        let cpu = MODES.map(|mode| {
            let number = line(mode, 32).and_then(|line| line["cpu_s"].as_f64());
            number.map_or("-".to_owned(), |number| format!("{number:.2}"))
        });
        writeln!(out, " {} |", cpu.join(" / "))?;
    }
    writeln!(out, "\n{}.", foot(latency))?;
    Ok(out)
}

fn speed(sections: &Map<String, Value>) -> Result<String, Failure> {
    let mut out = String::new();
    let goals = goals::goals(sections);
    let met = goals.iter().filter(|goal| goal.met).count();
    writeln!(out, "{met} of {} goals met.\n\n| goal | bound | measured | |\n|---|---|---|---|", goals.len())?;
    for Goal { what, measured, bound, met } in &goals {
        let verdict = if *met { "met" } else { "**missed**" };
        writeln!(out, "| {what} | {bound} | {measured} | {verdict} |")?;
    }
    writeln!(out, "\nWhy what is missed is missed: [decisions/speed.md](decisions/speed.md).")?;
    writeln!(out, "\nIntervals are 95 % (Student's t over rounds). How each part was measured:\n")?;
    for (part, section) in sections {
        let method = section["method"].as_str().unwrap_or_default();
        writeln!(out, "- **{part}** ({}): {method}.", foot(section))?;
    }
    Ok(out)
}
