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
    tally.refused.values().map(Vec::len).sum()
}

/// Prints the tallies, and leaves their table in the folder for the document.
pub(crate) fn tell(part: &str, tallies: &[Tally]) -> Outcome {
    let table = table(part, tallies)?;
    leave(part, &table)
}

/// Prints the tallies, leaves every statement that is not alike in the folder, and gives their table.
pub(crate) fn table(part: &str, tallies: &[Tally]) -> Outcome<String> {
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
        for (reason, statements) in &tally.refused {
            writeln!(list, "{:4} {reason}", statements.len())?;
            for statement in statements {
                writeln!(list, "       {}", statement.replace('\n', "\n       "))?;
            }
        }
        for (statement, how) in &tally.different {
            writeln!(list, "DIFF {how}\n  {statement}")?;
        }
        for (word, statements) in [("FAILS", &tally.otherwise), ("LEFT", &tally.apart)] {
            for statement in statements {
                writeln!(list, "{word} {statement}")?;
            }
        }
    }
    std::fs::write(folder()?.join(part).with_extension("txt"), list)?;
    Ok(table + "\n" + &reasons(tallies))
}

/// Leaves what a program printed, to look at.
pub(crate) fn keep(name: &str, printed: &str) -> Outcome {
    Ok(std::fs::write(folder()?.join(name).with_extension("out"), printed)?)
}

/// Leaves a part that is not a table of tallies.
pub(crate) fn leave(part: &str, text: &str) -> Outcome {
    // Not of every run: the short form's table would stand in the document for the whole.
    if !writes() {
        return Ok(());
    }
    std::fs::write(folder()?.join(part).with_extension("md"), text)?;
    assemble()
}

/// Parts of the document, in order: file, heading, what stands under it.
const PARTS: [(&str, &str, &str); 3] = [
    (
        "regression",
        "PostgreSQL's regression files",
        "SELECT, INSERT, UPDATE, DELETE and MERGE of PostgreSQL's own files, on a role that may read and write the tables and call \
         the functions that the files make. Not compared: statements that succeed when PostgreSQL runs the file alone and not \
         here, because a table has its last shape from the start. `on 17`: the same file on a server of that major; before \
         it, PostgreSQL has no MERGE into views.",
    ),
    (
        "analytic",
        "Analytic questions",
        "`tests/queries/analytic.sql` and `tests/queries/tpch.sql` over the sample data, on a role that may read all of it.",
    ),
    (
        "tools",
        "Tools that read the catalog",
        "What each tool lists through the proxy against what policy shows: nothing missing, nothing of what is hidden.",
    ),
];

/// Does this run write the document (`LANYARD_WHAT_WORKS=write`)?
fn writes() -> bool {
    std::env::var_os("LANYARD_WHAT_WORKS").is_some_and(|how| how == "write")
}

/// Writes `docs/what-works.md` from the parts there are.
fn assemble() -> Outcome {
    let mut out = format!(
        "# What works\n\nWritten by `make what-works` on {} ({}, {}). Alike means the same rows, whatever their order where none is asked \
         for, the same column names and the same count of rows touched.\n",
        said("date", &["-u", "+%-d %B %Y"])?,
        machine()?,
        said(
            &lanyard_adapters::cluster::Cluster::find_binaries(None)?.join("postgres").to_string_lossy(),
            &["--version"]
        )?,
    );
    for (part, heading, words) in PARTS {
        let text = std::fs::read_to_string(folder()?.join(part).with_extension("md"));
        let text = text.unwrap_or_else(|_| "NOT RUN\n".to_owned());
        write!(out, "\n## {heading}\n\n{words}\n\n{text}")?;
    }
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/what-works.md");
    Ok(std::fs::write(docs, out)?)
}

fn said(program: &str, arguments: &[&str]) -> Outcome<String> {
    let output = std::process::Command::new(program).args(arguments).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn machine() -> Outcome<String> {
    let cores = std::thread::available_parallelism()?;
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    Ok(format!("{cores} cores, {}", model.map_or("an unknown processor", |(_, name)| name.trim())))
}

/// What is known of statements that are not alike: part of what was said, words of which one is in the statement, why.
const BECAUSE: [(&str, &[&str], &str); 14] = [
    (
        "does not exist",
        &["tableoid", "ctid", "xmin", "xmax"],
        "by design: a view has no system columns; ctid and xmin tell of hidden rows beside a row, and tableoid stays out with them",
    ),
    ("ONLY is not supported", &[], "by design: the table has children, and its view reads them all"),
    ("cannot execute MERGE", &[], "PostgreSQL before 17 has no MERGE into views"),
    ("other rows", &["from target"], "PostgreSQL before 17: a MERGE in front of it is missing"),
    (
        "trigger, default or function behind",
        &[],
        "by design: functions and triggers run with the session's rights, and those reach no table",
    ),
    ("a relation named here does not exist", &[], "by design: the same of a trigger that writes partitions"),
    ("other rows", &["pg_get_viewdef"], "by design: what a view is made of names what may be hidden"),
    ("other rows", &["pg_relation_size"], "by design: a size counts hidden rows"),
    (
        "other rows",
        &["::regclass"],
        "a relation's name comes with its schema: the role has no right on schemas of tables",
    ),
    (
        "relation … does not exist",
        &["onerow", "nocol"],
        "a table without columns: policy shows columns, and there are none",
    ),
    (
        "must appear in the GROUP BY",
        &["grouping sets"],
        "a key that is in each of several grouping sets is not followed",
    ),
    (
        "not on the list of functions",
        &[],
        "by design: no policy opens a function of PostgreSQL's inside or in C",
    ),
    (
        "TABLESAMPLE",
        &[],
        "by design: PostgreSQL samples tables and no views, and a sample of the table's pages would tell how many rows are hidden",
    ),
    (
        "4250",
        &["regnamespace", "expensivefunc"],
        "the guard against names by coercion knows no types, and refuses what it is not sure of",
    ),
];

fn because(said: &str, statement: &str) -> &'static str {
    let statement = statement.to_lowercase();
    let known = BECAUSE.iter().find(|(part, words, _)| {
        said.contains(part) && (words.is_empty() || words.iter().any(|word| statement.contains(word)))
    });
    known.map_or("not looked into", |(_, _, why)| why)
}

/// The reasons of all tallies together, the most frequent first.
fn reasons(tallies: &[Tally]) -> String {
    let refused = tallies.iter().flat_map(|t| &t.refused);
    let refused = refused.flat_map(|(said, all)| all.iter().map(move |sql| (said.as_str(), sql)));
    let different = tallies.iter().flat_map(|t| &t.different).map(|(sql, _)| ("other rows", sql));
    let mut all: std::collections::BTreeMap<(&str, &str), usize> = std::collections::BTreeMap::new();
    for (said, sql) in refused.chain(different) {
        *all.entry((said, because(said, sql))).or_default() += 1;
    }
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by_key(|(reason, count)| (std::cmp::Reverse(*count), *reason));
    let mut out = String::from("| not alike | what is said | why |\n|---|---|---|\n");
    for ((said, why), count) in all {
        let cut: String = said.chars().take(REASON_LETTERS).collect();
        out.push_str(&format!("| {count} | {} | {why} |\n", cut.replace('|', "\\|")));
    }
    out
}
