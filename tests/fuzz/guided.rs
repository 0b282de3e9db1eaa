//! The fuzz targets under libFuzzer, which keeps what reaches code that nothing reached before.
//!
//! `scripts/fuzz.sh` builds and runs it; built otherwise it has no coverage to go by. `LANYARD_FUZZ_TARGET` names the target; with
//! `LANYARD_FUZZ_SEEDS` it writes the target's seeds and dictionary into that folder instead, and ends. What breaks a promise
//! panics, and libFuzzer leaves the input behind.
#![no_main]

mod targets;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use targets::Target;

static TARGET: OnceLock<Target> = OnceLock::new();

fn target() -> &'static Target {
    TARGET.get_or_init(|| {
        let name = std::env::var("LANYARD_FUZZ_TARGET").expect("LANYARD_FUZZ_TARGET names a target");
        targets::all().into_iter().find(|target| target.name == name).expect("a target of this name")
    })
}

/// `<folder>/seeds`: one file each; `<folder>/words`: libFuzzer's form of a dictionary.
fn write_seeds(folder: &Path) -> std::io::Result<()> {
    let seeds = folder.join("seeds");
    std::fs::create_dir_all(&seeds)?;
    for (number, seed) in target().seeds.iter().enumerate() {
        std::fs::write(seeds.join(number.to_string()), seed)?;
    }
    let mut dictionary = String::new();
    for word in &target().words {
        let letters = word.iter().fold(String::new(), |mut text, byte| {
            write!(text, "\\x{byte:02x}").ok();
            text
        });
        writeln!(dictionary, "\"{letters}\"").ok();
    }
    std::fs::write(folder.join("words"), dictionary)
}

fuzz_target!(
    init: {
        if let Some(folder) = std::env::var_os("LANYARD_FUZZ_SEEDS") {
            write_seeds(Path::new(&folder)).expect("a folder for the seeds");
            std::process::exit(0);
        }
        target();
    },
    |input: &[u8]| {
        if let Err(what) = (target().check)(input) {
            panic!("{}: {what}", target().name);
        }
    }
);
