//! `lanyard-bench`: what Lanyard costs, beside PostgreSQL directly, PgBouncer and a bare forwarder.
//!
//! Must never compare numbers of different runs: every ratio is taken between neighbours of one round. Started by
//! `make bench`.

mod bulk;
mod chart;
mod connect;
mod crowd;
mod enforcement;
mod forwarder;
mod goals;
mod idle;
mod kind;
mod latency;
mod options;
mod pgbench;
mod pgbouncer;
mod publish;
mod raw;
mod ready;
mod report;
mod statement;
mod statistics;
mod targets;
mod usage;

use std::path::Path;
use std::process::ExitCode;

use crate::forwarder::Target;
use crate::options::{Options, Part};
use crate::targets::Stage;

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
        ["enforcement", "--help" | "-h"] => {
            print!("{}", enforcement::HELP);
            Ok(())
        }
        ["enforcement", flags @ ..] => enforcement::run(flags).await,
        ["judge", case, times] => statement::repeat(case, times),
        ["publish"] => publish::publish(&report::earlier(Path::new(options::OUTPUT))),
        ["publish", file] => publish::publish(&report::earlier(Path::new(file))),
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
        done = run(options) => done,
        _ = terminate.recv() => Err(failure("terminated")),
        _ = interrupt.recv() => Err(failure("interrupted")),
    }
}

/// Runs the parts, each written to the file as soon as it has ended.
///
/// Cancel-safe: a dropped future ends every server it has started.
async fn run(options: Options) -> Result<(), Failure> {
    let mut sections = report::earlier(&options.output);
    let stage = match options.parts.iter().any(|part| part.needs_stage()) {
        true => Some(Stage::set(&options).await?),
        false => None,
    };
    for (kind, why) in stage.iter().flat_map(|stage| &stage.skipped) {
        println!("SKIPPED {}: {why}", kind.word());
    }
    for part in &options.parts {
        let section = match (part, &stage) {
            (Part::Latency, Some(stage)) => latency::run(&options, stage).await?,
            (Part::Bulk, Some(stage)) => tokio::task::block_in_place(|| bulk::run(&options, stage))?,
            (Part::Connect, Some(stage)) => connect::run(&options, stage).await?,
            (Part::Idle, Some(stage)) => tokio::task::block_in_place(|| idle::run(&options, stage))?,
            (Part::Crowd, Some(stage)) => tokio::task::block_in_place(|| crowd::run(&options, stage))?,
            (Part::Statement, _) => tokio::task::block_in_place(statement::run)?,
            (Part::Latency | Part::Bulk | Part::Connect | Part::Idle | Part::Crowd, None) => continue,
        };
        let stage = stage.as_ref().filter(|_| part.needs_stage());
        sections.insert(part.word().to_owned(), report::dated(section, stage));
        report::write(&options.output, sections.clone())?;
    }
    goals::print(&goals::goals(&sections));
    println!("\nwritten to {}; README and charts: lanyard-bench publish", options.output.display());
    Ok(())
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
