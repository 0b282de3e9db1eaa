//! What the tests of this folder found, as lines on standard error and as pieces of `docs/what-works.md`.
//!
//! Each test leaves its part under `target/what-works`; `LANYARD_WHAT_WORKS=write` puts the parts together.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use lanyard_tests::{Outcome, program_folder};

use super::compare::Tally;

/// Reasons that are told with their own words in the table; others are cut.
const REASON_LETTERS: usize = 110;

fn folder() -> Outcome<PathBuf> {
    let target = program_folder()?;
    let folder = target.parent().ok_or("no target folder")?.join("what-works");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn refused(tally: &Tally) -> usize {
    tally.refused.values().map(|(count, _)| count).sum()
}

/// Prints the tallies, and leaves tables and every refused statement in the folder.
pub(crate) fn tell(part: &str, tallies: &[Tally]) -> Outcome {
    let mut table = String::from(
        "| | succeed directly | not compared | compared | alike | refused | other rows | share | fail alike | fail otherwise |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut list = String::new();
    for tally in tallies {
        let (share, no) = (tally.share(), refused(tally));
        writeln!(
            std::io::stderr(),
            "{part}: {:16} {share:6.1} % of {}: {no} refused, {} other rows; not compared {}, fail otherwise {}",
            tally.name,
            tally.compared(),
            tally.different.len(),
            tally.left,
            tally.fail_otherwise,
        )?;
        writeln!(
            table,
            "| {} | {} | {} | {} | {} | {no} | {} | {share:.1} % | {} | {} |",
            tally.name,
            tally.succeed,
            tally.left,
            tally.compared(),
            tally.alike,
            tally.different.len(),
            tally.fail_alike,
            tally.fail_otherwise
        )?;
        writeln!(list, "=== {}", tally.name)?;
        for (reason, (count, example)) in &tally.refused {
            writeln!(list, "{count:4} {reason}\n       {}", example.replace('\n', "\n       "))?;
        }
        for different in tally.different.iter().chain(&tally.otherwise) {
            writeln!(list, "DIFF {different}")?;
        }
    }
    let folder = folder()?;
    std::fs::write(folder.join(part).with_extension("md"), table + "\n" + &reasons(tallies))?;
    std::fs::write(folder.join(part).with_extension("txt"), list)?;
    Ok(())
}

/// The reasons of all tallies together, the most frequent first.
fn reasons(tallies: &[Tally]) -> String {
    let mut all: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for (reason, (count, _)) in tallies.iter().flat_map(|t| &t.refused) {
        *all.entry(reason).or_default() += count;
    }
    let different: usize = tallies.iter().map(|t| t.different.len()).sum();
    let mut all: Vec<(&str, usize)> = all.into_iter().collect();
    if different > 0 {
        all.push(("other rows", different));
    }
    all.sort_by_key(|(reason, count)| (std::cmp::Reverse(*count), *reason));
    let mut out = String::from("| not alike | why |\n|---|---|\n");
    for (reason, count) in all {
        let cut: String = reason.chars().take(REASON_LETTERS).collect();
        out.push_str(&format!("| {count} | {} |\n", cut.replace('|', "\\|")));
    }
    out
}
