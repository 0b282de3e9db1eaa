//! What we set out to reach, and what was measured: one line per goal, from the file's numbers alone.

use serde_json::{Map, Value};

/// One goal.
#[derive(Debug)]
pub(crate) struct Goal {
    pub(crate) what: String,
    /// What was measured, with its unit and interval.
    pub(crate) measured: String,
    pub(crate) bound: String,
    pub(crate) met: bool,
}

/// Every goal whose part has numbers.
pub(crate) fn goals(sections: &Map<String, Value>) -> Vec<Goal> {
    let mut goals = Vec::new();
    if let Some(latency) = sections.get("latency") {
        latency_goals(latency, &mut goals);
    }
    if let Some(bulk) = sections.get("bulk") {
        bulk_goals(bulk, &mut goals);
    }
    if let Some(connect) = sections.get("connect") {
        connect_goals(connect, &mut goals);
    }
    if let Some(idle) = sections.get("idle") {
        idle_goals(idle, &mut goals);
    }
    if let Some(crowd) = sections.get("crowd") {
        crowd_goals(crowd, &mut goals);
    }
    if let Some(statement) = sections.get("statement") {
        statement_goals(statement, &mut goals);
    }
    goals
}

fn results(section: &Value) -> &[Value] {
    section["results"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn goal(goals: &mut Vec<Goal>, what: String, measured: (f64, String), bound: (f64, String)) {
    goals.push(Goal { what, measured: measured.1, bound: bound.1, met: measured.0 <= bound.0 });
}

/// `12.3 µs [10.1, 14.5]`
fn interval(estimate: &Value, unit: &str) -> Option<(f64, String)> {
    let median = estimate["median"].as_f64()?;
    let range = match (estimate["low"].as_f64(), estimate["high"].as_f64()) {
        (Some(low), Some(high)) => format!(" [{low:.2}, {high:.2}]"),
        _ => String::new(),
    };
    Some((median, format!("{median:.2}{unit}{range}")))
}

fn latency_goals(section: &Value, goals: &mut Vec<Goal>) {
    let line = |target: &str, mode: &Value, clients: &Value| {
        let same =
            |line: &&Value| line["target"] == target && line["mode"] == *mode && line["clients"] == *clients;
        results(section).iter().find(same)
    };
    for ours in results(section).iter().filter(|line| line["target"] == "lanyard-governed") {
        let (mode, clients) = (&ours["mode"], &ours["clients"]);
        let (Some(forwarder), Some(pgbouncer)) =
            (line("forwarder-governed", mode, clients), line("pgbouncer-governed", mode, clients))
        else {
            continue;
        };
        let place = format!("{}, {clients} client(s)", mode.as_str().unwrap_or_default());
        match clients.as_u64() {
            Some(1) => {
                added(&place, ours, forwarder, pgbouncer, goals);
            }
            Some(32) => {
                throughput(&place, ours, pgbouncer, goals);
                processor(&place, ours, forwarder, goals);
            }
            _ => {
                throughput(&place, ours, pgbouncer, goals);
            }
        }
    }
}

fn added(
    place: &str,
    ours: &Value,
    forwarder: &Value,
    pgbouncer: &Value,
    goals: &mut Vec<Goal>,
) -> Option<()> {
    let p50 = |line: &Value| line["added_p50_us"]["median"].as_f64();
    let bound = (1.25 * p50(pgbouncer)?).max(p50(forwarder)? + 5.0);
    let words = format!(
        "{bound:.2} µs: the larger of 1.25 x PgBouncer's {:.2} and the forwarder's {:.2} + 5",
        p50(pgbouncer)?,
        p50(forwarder)?
    );
    goal(goals, format!("added p50, {place}"), interval(&ours["added_p50_us"], " µs")?, (bound, words));
    let p99 = pgbouncer["added_p99_us"]["median"].as_f64()?;
    let words = format!("{:.2} µs: 1.25 x PgBouncer's {p99:.2}", 1.25 * p99);
    goal(goals, format!("added p99, {place}"), interval(&ours["added_p99_us"], " µs")?, (1.25 * p99, words));
    Some(())
}

fn throughput(place: &str, ours: &Value, pgbouncer: &Value, goals: &mut Vec<Goal>) -> Option<()> {
    let share = pgbouncer["throughput_ratio"]["median"].as_f64()?;
    let (ratio, words) = interval(&ours["throughput_ratio"], " of direct")?;
    // A floor: both signs turned, so that "at most" holds.
    goal(
        goals,
        format!("throughput, {place}"),
        (-ratio, words),
        (-share, format!("at least PgBouncer's {share:.2}")),
    );
    Some(())
}

fn processor(place: &str, ours: &Value, forwarder: &Value, goals: &mut Vec<Goal>) -> Option<()> {
    let (cpu, bare) = (ours["cpu_s"].as_f64()?, forwarder["cpu_s"].as_f64()?);
    let words = format!("{:.2} s: the forwarder's {bare:.2} + 0.4", bare + 0.4);
    goal(
        goals,
        format!("CPU per 100,000 transactions, {place}"),
        (cpu, format!("{cpu:.2} s")),
        (bare + 0.4, words),
    );
    Some(())
}

fn bulk_goals(section: &Value, goals: &mut Vec<Goal>) {
    for line in results(section).iter().filter(|line| line["target"] == "lanyard-open") {
        let way = line["way"].as_str().unwrap_or_default();
        if let Some((share, words)) = interval(&line["of_forwarder"], " of the forwarder's MB/s") {
            goal(goals, format!("bulk, {way}"), (-share, words), (-0.97, "at least 0.97".into()));
        }
        if let Some(cpu) = line["cpu_ms_per_mb"].as_f64() {
            goal(
                goals,
                format!("bulk CPU, {way}"),
                (cpu, format!("{cpu:.2} ms per MB")),
                (1.2, "1.2 ms per MB".into()),
            );
        }
        for (field, client) in [("grown_mib_fast", "fast"), ("grown_mib_slow", "slow")] {
            if let Some(grown) = line[field].as_f64() {
                goal(
                    goals,
                    format!("memory growth, {way}, {client} client"),
                    (grown, format!("{grown:.1} MiB")),
                    (64.0, "64 MiB".into()),
                );
            }
        }
    }
}

fn connect_goals(section: &Value, goals: &mut Vec<Goal>) {
    for line in results(section).iter().filter(|line| line["target"] == "lanyard-open") {
        let what = "connect, vend, first row, drop".to_owned();
        if let Some(ratio) = interval(&line["ratio_dropped"], " x a bare connection") {
            goal(goals, what.clone(), ratio, (1.5, "1.5 x".into()));
        }
        if let Some(cpu) = line["cpu_ms"].as_f64() {
            goal(goals, format!("{what}: ours"), (cpu, format!("{cpu:.2} ms of CPU")), (3.0, "3 ms".into()));
        }
    }
}

fn idle_goals(section: &Value, goals: &mut Vec<Goal>) {
    for line in results(section).iter().filter(|line| line["target"] == "lanyard-open") {
        if let Some(kib) = line["kib_per_session"].as_f64() {
            let what = format!(
                "{} idle sessions, behind each: {}",
                line["sessions"],
                line["behind"].as_str().unwrap_or_default()
            );
            goal(goals, what, (kib, format!("{kib:.1} KiB each")), (24.0, "24 KiB".into()));
        }
        if let (Some(again), Some(login)) = (line["first_again_ms"].as_f64(), line["login_ms"].as_f64()) {
            let what = "first statement after its backend was let go".to_owned();
            let bound = (login, format!("a bare login with its first statement, {login:.2} ms"));
            goal(goals, what, (again, format!("{again:.2} ms")), bound);
        }
    }
}

fn crowd_goals(section: &Value, goals: &mut Vec<Goal>) {
    for line in results(section).iter().filter(|line| line["target"] == "lanyard-open") {
        if let Some(ratio) = interval(&line["p99_ratio"], " x") {
            let what = format!("p99 of one client beside {}", line["crowd"].as_str().unwrap_or_default());
            goal(goals, what, ratio, (2.0, "2 x what it is alone".into()));
        }
    }
}

fn statement_goals(section: &Value, goals: &mut Vec<Goal>) {
    for line in results(section) {
        if let (Some(us), Some(bound)) = (line["median_us"].as_f64(), line["goal_us"].as_f64()) {
            goal(
                goals,
                format!("judge and splice: {}", line["case"].as_str().unwrap_or_default()),
                (us, format!("{us:.2} µs")),
                (bound, format!("{bound} µs")),
            );
        }
    }
}

pub(crate) fn print(goals: &[Goal]) {
    println!("\ngoals");
    for goal in goals {
        let verdict = if goal.met { "met   " } else { "MISSED" };
        println!("  {verdict} {}: {} (bound {})", goal.what, goal.measured, goal.bound);
    }
}
