//! What compiling one principal's entitlement costs, and what makes it grow.
//!
//! Every line changes one size ten times over and leaves the others at the full world: 100,000 users, 10,000 policies, 100,000
//! columns, of which the principal matches 50 policies and 200 tables of 10 columns. `steady` is a login under a snapshot that
//! has served others, `first` the first login under a fresh one, `before` one that comes before what is worked out beside the first
//! sessions (`warm`), `index` what publishing a snapshot adds before it is in force. Started by
//! `make bench-entitlement`; writes `benches/results/entitlement.json`.

#![allow(missing_docs, reason = "criterion's macros")]

mod world;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, SamplingMode};
use lanyard_engine::policy::{entitle, prepare, warm};
use lanyard_engine::snapshot::Snapshot;
use serde_json::{Value, json};
use world::{Size, World};

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let mut lines = Vec::new();
    for (varied, size) in sizes() {
        lines.push(measure(&mut criterion, varied, size));
    }
    criterion.final_summary();
    report(&lines);
}

/// The full world first; then each size in steps of ten.
fn sizes() -> Vec<(&'static str, Size)> {
    let full = Size::FULL;
    let mut sizes = vec![("full", full)];
    sizes.extend([100, 1_000, 10_000].map(|users| ("users", Size { users, ..full })));
    sizes.extend([100, 1_000].map(|policies| ("policies", Size { policies, ..full })));
    sizes.extend([2_000, 20_000].map(|columns| ("columns", Size { columns, ..full })));
    sizes.extend([2, 20, 2_000].map(|tables| ("matched tables", Size { tables, ..full })));
    sizes
}

/// One line of the curve.
struct Line {
    varied: &'static str,
    size: Size,
    id: String,
}

fn measure(criterion: &mut Criterion, varied: &'static str, size: Size) -> Line {
    let world = World::of(size);
    let snapshot = world.snapshot();
    let matched = entitle(&snapshot, &world.principal(0)).expect("known");
    assert_eq!(matched.iter().count(), size.tables, "the world matches what it says");
    let id = format!("{}u_{}p_{}c_{}t", size.users, size.policies, size.columns, size.tables);
    let mut turn = 0;
    let mut group = criterion.benchmark_group("entitlement");
    group.bench_function(BenchmarkId::new("steady", &id), |b| {
        b.iter_with_large_drop(|| {
            turn = (turn + 1) % world.principals();
            black_box(entitle(&snapshot, &world.principal(turn)).expect("known"))
        });
    });
    // A clone shares nothing that was worked out: writing to one of its parts drops the index.
    let fresh = || {
        let mut fresh = snapshot.clone();
        fresh.version += 1;
        fresh
    };
    let indexed = || {
        let fresh = fresh();
        prepare(&fresh);
        fresh
    };
    let warmed = || {
        let fresh = indexed();
        warm(&fresh, []);
        fresh
    };
    // Making a snapshot takes longer than what is measured on it: few samples.
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_millis(20));
    // By reference: giving a snapshot back to the allocator is not what is measured.
    let once = BatchSize::PerIteration;
    group.bench_function(BenchmarkId::new("index", &id), |b| {
        b.iter_batched_ref(fresh, |fresh| prepare(black_box(fresh)), once);
    });
    group.bench_function(BenchmarkId::new("warm", &id), |b| {
        b.iter_batched_ref(indexed, |fresh| warm(black_box(fresh), []), once);
    });
    let login = |fresh: &mut Snapshot| black_box(entitle(fresh, &world.principal(0)).expect("known"));
    group.bench_function(BenchmarkId::new("first", &id), |b| b.iter_batched_ref(warmed, login, once));
    group.bench_function(BenchmarkId::new("before", &id), |b| b.iter_batched_ref(indexed, login, once));
    group.finish();
    Line { varied, size, id }
}

fn report(lines: &[Line]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let measured = |kind: &str, id: &str| -> Option<f64> {
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("../target"), PathBuf::from);
        let file = target.join("criterion/entitlement").join(kind).join(id).join("new/estimates.json");
        let estimates: Value = serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
        Some(estimates["median"]["point_estimate"].as_f64()? / 1e3)
    };
    println!(
        "\n{:<15} {:>8} {:>9} {:>8} {:>7} {:>11} {:>11} {:>11} {:>9} {:>9}",
        "varied",
        "users",
        "policies",
        "columns",
        "tables",
        "steady µs",
        "first µs",
        "before µs",
        "index ms",
        "warm ms"
    );
    let mut results = Vec::new();
    for line in lines {
        let [Some(steady), Some(first), Some(before), Some(index), Some(warm)] =
            ["steady", "first", "before", "index", "warm"].map(|kind| measured(kind, &line.id))
        else {
            println!("{:<15} not measured", line.varied);
            continue;
        };
        let Size { users, policies, columns, tables } = line.size;
        println!(
            "{:<15} {users:>8} {policies:>9} {columns:>8} {tables:>7} {steady:>11.0} {first:>11.0} {before:>11.0} {:>9.1} {:>9.1}",
            line.varied,
            index / 1e3,
            warm / 1e3
        );
        results.push(json!({
            "varied": line.varied, "users": users, "policies": policies, "columns": columns, "matched_tables": tables,
            "steady_us": steady, "first_us": first, "before_us": before, "index_us": index, "warm_us": warm,
        }));
    }
    let report = json!({
        "date": run("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
        "machine": machine(),
        "versions": { "rustc": run("rustc", &["--version"]), "lanyard": env!("CARGO_PKG_VERSION") },
        "method": "criterion, medians; the principal matches 50 policies; steady: principals in turn under one snapshot; \
                   first: one under a snapshot that is indexed and warm and has served nobody; before: the same before it is warm; index: building the index; warm: working \
                   out what policies come to on every table",
        "results": results,
    });
    let output = root.join("results/entitlement.json");
    std::fs::write(&output, format!("{report:#}\n")).expect("benches/results can be written");
}

fn machine() -> Value {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown", |(_, model)| model.trim());
    json!({
        "cpu": model,
        "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        "system": run("uname", &["-srm"]),
    })
}

fn run(program: &str, arguments: &[&str]) -> String {
    let printed = Command::new(program).args(arguments).output();
    let text = printed.map_or_else(|_| Vec::new(), |p| p.stdout);
    String::from_utf8_lossy(&text).trim().to_owned()
}
