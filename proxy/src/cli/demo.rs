//! `lanyard demo`: the whole story on a private PostgreSQL.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{CliError, ExitCode};
use crate::demo::data::DEMO_SCALE;
use crate::demo::play::{self, DemoError, DemoOptions, Ended};
use crate::observe::logging;

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
    /// Where everything goes: an empty or new folder, removed at the end; one of its own when left out.
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// PostgreSQL's binaries, when they are not where they usually are.
    #[arg(long, value_name = "FOLDER")]
    pub pg_bin: Option<PathBuf>,
    /// Size of the large tables: TPC-H's scale factor, 0.001 to 10.
    #[arg(long, value_name = "FACTOR", default_value_t = DEMO_SCALE)]
    pub scale: f64,
}

/// Plays the story.
///
/// # Errors
/// [`CliError`] when it could not be set up, came out differently, or was interrupted.
pub(super) fn run(args: &DemoArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    logging::init_or("warn").map_err(|error| CliError::usage(error.to_string()))?;
    let options = DemoOptions {
        keep: args.keep,
        folder: args.folder.clone(),
        pg_bin: args.pg_bin.clone(),
        scale: args.scale,
    };
    let ended = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::because("cannot start the runtime", error))?
        .block_on(play::run(&options, out));
    match ended {
        Ok(Ended::Told) => Ok(ExitCode::Done),
        Ok(Ended::Interrupted) => Err(CliError::failed("the demo was interrupted")),
        Err(DemoError::Output(error)) => Err(CliError::Output(error)),
        Err(error) => Err(CliError::because("the demo failed", error)),
    }
}
