//! The floor and the bypass tests on every major of PostgreSQL that can be had, beside the one all other tests use.
//!
//! A major whose server is not there is told as NOT RUN, on standard error itself: the test harness swallows what a test
//! prints, and a version nobody tried must not look as if it had passed.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use lanyard_adapters::cluster::Cluster;
use lanyard_tests::{Outcome, program_folder};

use crate::{attacks, bypass, floor};

/// Every major Lanyard is for.
const MAJORS: [u32; 4] = [15, 16, 17, 18];

fn tell(line: &str) -> Outcome {
    Ok(writeln!(std::io::stderr(), "{line}")?)
}

/// The major of the server in this folder.
fn major(bin: &Path) -> Outcome<u32> {
    let said = Command::new(bin.join("postgres")).arg("--version").output()?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let number = text.split_whitespace().find_map(|word| word.split('.').next()?.parse().ok());
    number.ok_or_else(|| format!("{}: {text:?} names no version", bin.display()).into())
}

/// Where `scripts/setup.sh test` and Debian put the server of a major.
fn server(major: u32) -> Outcome<Option<PathBuf>> {
    let fetched = program_folder()?.parent().map(|target| target.join(format!("servers/{major}/bin")));
    let debian = PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"));
    Ok(fetched.into_iter().chain([debian]).find(|bin| bin.join("postgres").is_file()))
}

async fn on(bin: &Path) -> Outcome {
    let governed = attacks::attacked_on(Some(bin)).await?;
    floor::no_value_leaks(&governed, 101).await?;
    bypass::nothing_leaks(&governed).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_on_every_major() -> Outcome {
    let usual = major(&Cluster::find_binaries(None)?)?;
    let mut failed = Vec::new();
    for number in MAJORS.into_iter().filter(|number| *number != usual) {
        match server(number)? {
            None => tell(&format!(
                "PostgreSQL {number}: floor and bypass NOT RUN (no server; see scripts/setup.sh)"
            ))?,
            Some(bin) => match on(&bin).await {
                Ok(()) => tell(&format!("PostgreSQL {number}: floor and bypass held"))?,
                Err(error) => failed.push(format!("PostgreSQL {number}: {error}")),
            },
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}
