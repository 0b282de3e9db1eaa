//! The fuzz targets in every `cargo test`: the corpus as it is, and texts of it changed at random from a seed.
//!
//! Invariants: nothing panics or loops; a frame is cut exactly; a startup packet that decodes says who; a policy that parses is
//! printed and read back the same; what the judge releases parses, has as many statements, and names no relation but secured
//! views, the virtual catalog and its own CTEs, and no function outside pg_catalog and ours.
//! `LANYARD_FUZZ` sets how many inputs each target gets, `LANYARD_SEED` where it starts; a failure prints the input. What
//! coverage finds is the business of `guided.rs`.

mod mutate;
mod targets;

use std::path::Path;

use targets::Target;

/// Inputs per target.
const INPUTS: u64 = if cfg!(feature = "long") { 2_000_000 } else { 20_000 };

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Gives a target its inputs; an `Err` or a panic names the input.
fn run(name: &str) {
    use std::io::Write as _;
    let target = target(name);
    let corpus = corpus(&target);
    let mut mutator = mutate::Mutator::new(number("LANYARD_SEED", 1), &corpus, &target.words);
    let (inputs, mut taken) = (number("LANYARD_FUZZ", INPUTS), 0u64);
    for input in corpus.iter().cloned().chain((0..inputs).map(|_| mutator.next())) {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (target.check)(&input)));
        match outcome {
            Ok(Ok(accepted)) => taken += u64::from(accepted),
            Ok(Err(what)) => panic!("{name}: {what}: {:?}", String::from_utf8_lossy(&input)),
            Err(_) => panic!("{name} panicked: {input:?} {:?}", String::from_utf8_lossy(&input)),
        }
    }
    let line = format!("fuzz {name}: {inputs} inputs, {taken} accepted");
    writeln!(std::io::stderr(), "{line}").expect("standard error");
    assert!(taken > 0, "{line}");
}

/// The seeds, and what is kept in `corpus/<name>`: inputs that guided runs found worth keeping, or that once failed.
fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target.name);
    let entries = std::fs::read_dir(folder).expect("the corpus of a target");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry of the corpus").path()).collect();
    files.sort();
    let kept = files.iter().map(|file| std::fs::read(file).expect("a file of the corpus"));
    target.seeds.iter().cloned().chain(kept).collect()
}

fn target(name: &str) -> Target {
    targets::all().into_iter().find(|target| target.name == name).expect("a target of this name")
}

#[test]
fn frames_are_cut_exactly_or_refused() {
    run("frames");
}

#[test]
fn startup_packets_say_who_or_are_refused() {
    run("startup");
}

#[test]
fn policies_are_printed_and_read_back_the_same() {
    run("policy");
}

#[test]
fn what_the_judge_releases_names_nothing_but_what_is_secured_or_its_own() {
    run("judge");
}
