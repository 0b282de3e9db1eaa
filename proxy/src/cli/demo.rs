//! `lanyard demo`: the whole story on a private PostgreSQL.

use std::path::PathBuf;

use clap::Args;

use super::{CliError, ExitCode};

/// Arguments of `lanyard demo`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanyard demo           play, and clean up
  lanyard demo --keep    play, stay up, and write connections.json; Ctrl-C cleans up")]
pub struct DemoArgs {
    /// Stay up after the story and print how to connect.
    #[arg(long)]
    pub keep: bool,
    /// Where everything goes; a folder of its own when left out.
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// PostgreSQL's binaries, when they are not where they usually are.
    #[arg(long, value_name = "FOLDER")]
    pub pg_bin: Option<PathBuf>,
}

/// Plays the story.
///
/// # Errors
/// [`CliError`]: this build has no demo yet.
pub(super) fn run(_: &DemoArgs) -> Result<ExitCode, CliError> {
    Err(CliError::failed("the demo is not part of this build"))
}
