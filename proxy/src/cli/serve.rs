//! `lanyard serve`: the proxy until a signal ends it.

use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{CliError, ConfigFlag, ExitCode};
use crate::config::Config;
use crate::net::files;
use crate::observe::logging;
use crate::server::Server;

/// Stack of a worker thread, in bytes: the deepest statement that is judged (`limits::TREE_DEPTH_MAX`) prints its tree
/// recursively, and must not come near the end.
const WORKER_STACK_BYTES: usize = 8 << 20;

/// Arguments of `lanyard serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
SIGTERM and SIGINT stop it: no new clients, open transactions finish, every vended role is removed. A second one ends
it at once; roles then left over are removed by the next start. Changes of policies and identities need no signal.")]
pub struct ServeArgs {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigFlag,
    /// How long open transactions may take to finish when it stops, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub drain_seconds: u64,
}

/// Serves until told to stop. [`ExitCode::Findings`] when something had to be cut off.
///
/// # Errors
/// [`CliError`] when it cannot start.
pub(super) fn run(args: &ServeArgs) -> Result<ExitCode, CliError> {
    logging::init().map_err(|error| CliError::usage(error.to_string()))?;
    let config = args.config.read()?;
    tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(WORKER_STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|error| CliError::because("cannot start the runtime", error))?
        .block_on(serve(&config, Duration::from_secs(args.drain_seconds)))
}

async fn serve(config: &Config, drain: Duration) -> Result<ExitCode, CliError> {
    let listen = |kind| signal(kind).map_err(|error| CliError::because("cannot listen for signals", error));
    // Before the start: a signal during it must not be lost.
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let mut told = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    files::make_room(config);
    let server = tokio::select! {
        server = Server::start(config) => server.map_err(|error| CliError::because("cannot serve", error))?,
        () = told() => return Ok(ExitCode::Findings),
    };
    told().await;
    let clean = tokio::select! {
        clean = server.stop(drain) => clean,
        () = told() => false,
    };
    Ok(if clean { ExitCode::Done } else { ExitCode::Findings })
}
