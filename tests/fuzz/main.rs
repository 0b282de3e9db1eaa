//! Fuzz targets that need nothing but stable Rust: bytes from a corpus, changed at random from a seed.
//!
//! Invariants: nothing panics or loops; a frame is cut exactly; a startup packet that decodes says who; a policy that parses is
//! printed and read back the same; what the judge releases parses, has as many statements, and names no relation but secured
//! views, the virtual catalog and its own CTEs, and no function outside pg_catalog and ours.
//! `LANYARD_FUZZ` sets how many inputs each target gets, `LANYARD_SEED` where it starts; a failure prints the input.

mod mutate;
mod targets;

/// Inputs per target.
const INPUTS: u64 = if cfg!(feature = "long") { 2_000_000 } else { 20_000 };

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Gives a target its inputs; an `Err` or a panic names the input.
fn run(target: &str, corpus: &[Vec<u8>], words: &[&str], check: impl Fn(&[u8]) -> Result<bool, String>) {
    use std::io::Write as _;
    let mut mutator = mutate::Mutator::new(number("LANYARD_SEED", 1), corpus, words);
    let (inputs, mut taken) = (number("LANYARD_FUZZ", INPUTS), 0u64);
    for input in corpus.iter().cloned().chain((0..inputs).map(|_| mutator.next())) {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&input)));
        match outcome {
            Ok(Ok(accepted)) => taken += u64::from(accepted),
            Ok(Err(what)) => panic!("{target}: {what}: {:?}", String::from_utf8_lossy(&input)),
            Err(_) => panic!("{target} panicked: {input:?} {:?}", String::from_utf8_lossy(&input)),
        }
    }
    let line = format!("fuzz {target}: {inputs} inputs, {taken} accepted");
    writeln!(std::io::stderr(), "{line}").expect("standard error");
    assert!(taken > 0, "{line}");
}
