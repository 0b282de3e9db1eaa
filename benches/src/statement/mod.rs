//! What judging and splicing one statement costs, in time and in instructions.
//!
//! Instructions are callgrind's, counted over many judgements less those over few, so that what happens once is left out.
//! They say the same on a loud machine.

mod world;

use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

use lanyard_engine::released::RawSql;
use lanyard_engine::sql::{Context, judge};
use serde_json::{Value, json};

use crate::statistics::median;
use crate::{Failure, failure};
use world::World;

const METHOD: &str = "judge and splice in one thread: median over 25 interleaved batches; instructions by valgrind's callgrind, the \
                      difference of two runs by the difference of their counts; first: a text never seen; shared: a new whole number in a \
                      text seen; again: the same text";
const BATCHES: usize = 25;
const BATCH_SECONDS: f64 = 0.02;
/// Counts for callgrind: what happens once is in both.
const FEW: u32 = 20;
const MANY: u32 = 120;

/// What is judged, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    PointFirst,
    PointShared,
    PointAgain,
    TpchFirst,
    TpchAgain,
    AnalyticFirst,
    AnalyticAgain,
}

impl Case {
    const ALL: [Self; 7] = [
        Self::PointFirst,
        Self::PointShared,
        Self::PointAgain,
        Self::TpchFirst,
        Self::TpchAgain,
        Self::AnalyticFirst,
        Self::AnalyticAgain,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::PointFirst => "point-first",
            Self::PointShared => "point-shared",
            Self::PointAgain => "point-again",
            Self::TpchFirst => "tpch-q5-first",
            Self::TpchAgain => "tpch-q5-again",
            Self::AnalyticFirst => "analytic-4kb-first",
            Self::AnalyticAgain => "analytic-4kb-again",
        }
    }

    /// Most it may take, µs.
    fn goal_us(self) -> Option<f64> {
        match self {
            Self::PointFirst => Some(12.0),
            Self::PointShared => None,
            Self::PointAgain | Self::TpchAgain | Self::AnalyticAgain => Some(0.5),
            Self::TpchFirst => Some(60.0),
            Self::AnalyticFirst => Some(600.0),
        }
    }

    fn text(self, world: &World) -> &str {
        match self {
            Self::PointFirst | Self::PointShared => world::POINT,
            Self::PointAgain => world::POINT_PREPARED,
            Self::TpchFirst | Self::TpchAgain => world::TPCH_Q5,
            Self::AnalyticFirst | Self::AnalyticAgain => &world.analytic,
        }
    }

    /// Does it once.
    fn run(self, world: &World, turn: u32) -> Result<(), Failure> {
        let text = self.text(world);
        match self {
            Self::PointFirst | Self::TpchFirst | Self::AnalyticFirst => {
                let context = Context {
                    entitlement: &world.granted.entitlement,
                    search_path: &world.search_path,
                    paths: None,
                    workspace: None,
                    database: world::DATABASE,
                };
                let judged = judge(RawSql::new(text), &context);
                black_box(judged.map_err(|refusal| failure(&refusal.to_string()))?);
            }
            Self::PointShared => {
                let text = format!("{}{turn}", text.trim_end_matches("42"));
                let judged = world.granted.judge(RawSql::new(&text), None);
                black_box(judged.map_err(|refusal| failure(&refusal.to_string()))?);
            }
            Self::PointAgain | Self::TpchAgain | Self::AnalyticAgain => {
                let judged = world.granted.judge(RawSql::new(text), None);
                black_box(judged.map_err(|refusal| failure(&refusal.to_string()))?);
            }
        }
        Ok(())
    }
}

/// Blocks the thread.
pub(crate) fn run() -> Result<Value, Failure> {
    let world = World::new();
    let mut batches: Vec<(Case, u32, Vec<f64>)> = Vec::new();
    for case in Case::ALL {
        batches.push((case, batch_size(case, &world)?, Vec::new()));
    }
    println!("statement: {} batches of {} cases", BATCHES, batches.len());
    for _ in 0..BATCHES {
        for (case, size, times) in &mut batches {
            times.push(time(*case, &world, *size)? * 1e6);
        }
    }
    let counted = has_valgrind();
    if !counted {
        println!("statement: no valgrind on this machine, so no instruction counts");
    }
    println!("\n{:<20} {:>7} {:>10} {:>14} {:>8}", "case", "bytes", "median µs", "instructions", "goal µs");
    let mut results = Vec::new();
    for (case, _, times) in batches {
        let instructions = if counted { Some(instructions(case)?) } else { None };
        let median_us = median(times).unwrap_or(f64::NAN);
        let or_none = |number: Option<f64>| number.map_or("-".to_owned(), |n| n.to_string());
        println!(
            "{:<20} {:>7} {median_us:>10.2} {:>14} {:>8}",
            case.word(),
            case.text(&world).len(),
            or_none(instructions),
            or_none(case.goal_us())
        );
        results.push(json!({
            "case": case.word(),
            "bytes": case.text(&world).len(),
            "median_us": median_us,
            "instructions": instructions,
            "goal_us": case.goal_us(),
        }));
    }
    Ok(json!({ "method": METHOD, "results": results }))
}

/// `lanyard-bench judge CASE TIMES`.
pub(crate) fn repeat(case: &str, times: &str) -> Result<(), Failure> {
    let found = Case::ALL.into_iter().find(|known| known.word() == case);
    let case = found.ok_or_else(|| failure(&format!("no case {case:?}")))?;
    let world = World::new();
    for turn in 0..times.parse()? {
        case.run(&world, turn)?;
    }
    Ok(())
}

/// Seconds for one.
fn time(case: Case, world: &World, size: u32) -> Result<f64, Failure> {
    let begun = Instant::now();
    for turn in 0..size {
        case.run(world, turn)?;
    }
    Ok(begun.elapsed().as_secs_f64() / f64::from(size))
}

/// How many make a batch long enough for the clock.
fn batch_size(case: Case, world: &World) -> Result<u32, Failure> {
    // What is made once, at the first use, does not count.
    case.run(world, 0)?;
    let mut size = 1;
    while time(case, world, size)? * f64::from(size) < BATCH_SECONDS {
        size *= 2;
    }
    Ok(size)
}

fn has_valgrind() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok_and(|ran| ran.status.success())
}

/// Instructions of one judgement.
fn instructions(case: Case) -> Result<f64, Failure> {
    let (few, many) = (count(case, FEW)?, count(case, MANY)?);
    Ok(((many - few) / f64::from(MANY - FEW)).round())
}

fn count(case: Case, times: u32) -> Result<f64, Failure> {
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["judge", case.word(), &times.to_string()])
        .output()?;
    let said = String::from_utf8_lossy(&ran.stderr);
    let line = said.lines().find_map(|line| line.split_once("Collected :"));
    line.and_then(|(_, number)| number.trim().parse().ok())
        .ok_or_else(|| failure(&format!("callgrind counted nothing: {}", said.trim())))
}
