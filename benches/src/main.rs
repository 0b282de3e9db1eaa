//! `lanyard-bench`: pgbench against PostgreSQL directly, PgBouncer, a bare forwarder and Lanyard.
//!
//! Must never compare numbers of different runs: every ratio is taken between neighbours of one round. Started by
//! `make bench`.

mod forwarder;
mod options;
mod pgbench;
mod pgbouncer;
mod ready;
mod report;
mod rounds;
mod statistics;
mod targets;

use std::process::ExitCode;

use crate::forwarder::Target;
use crate::options::Options;

/// What ends a run.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(crate) fn failure(text: &str) -> Failure {
    text.into()
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["--help" | "-h"] => {
            print!("{}", options::HELP);
            Ok(())
        }
        ["forwarder", "--listen", listen, "--to", to] => {
            let served = forwarder::serve(listen, Target::parse(to)).await;
            served.map_err(Failure::from)
        }
        flags => match Options::parse(flags) {
            Ok(options) => run_until_signalled(options).await,
            Err(error) => Err(error),
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lanyard-bench: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// Ctrl-C and SIGTERM drop the run, and with it every server it has started.
async fn run_until_signalled(options: Options) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        done = rounds::run(options) => done,
        _ = terminate.recv() => Err(failure("terminated")),
        _ = interrupt.recv() => Err(failure("interrupted")),
    }
}

/// An error and its sources, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(&format!(": {source}"));
        next = source.source();
    }
    text
}
