//! `lanyard demo`: a private PostgreSQL with sample data, the proxy in front of it, and the story, played and verified.
//!
//! Must never say that something came out as told without having looked, and must leave neither processes, roles nor files
//! behind, whichever way it ends. Called by the command line.

mod acts;
mod client;
mod connections;
mod error;
mod evidence;
mod psql;
mod refusals;
mod retail;
mod stage;
mod tell;

use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

pub use error::DemoError;
use stage::Stage;
use tell::Tell;

/// How the demo is played.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Stay up after the story, with connection strings, until a signal comes.
    pub keep: bool,
    /// Where everything goes; must be empty or absent, and is removed at the end. A folder of its own when absent.
    pub folder: Option<PathBuf>,
    /// PostgreSQL's binaries; looked for when absent.
    pub pg_bin: Option<PathBuf>,
    /// TPC-H's scale factor of the large tables.
    pub scale: f64,
}

/// How it ended when nothing was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every act came out as told.
    Told,
    /// A signal cut it short; everything is cleaned up.
    Interrupted,
}

/// Plays the demo, telling it on `out`. SIGINT, SIGTERM and SIGHUP end it early, and in order.
///
/// Cancel-safe: a dropped future ends the server and removes the folder.
///
/// # Errors
/// [`DemoError`]: what could not be set up, or which act came out differently. Everything is cleaned up then too.
pub async fn run(options: &DemoOptions, out: &mut dyn Write) -> Result<Ended, DemoError> {
    let mut signals = Signals::listen()?;
    let mut tell = Tell::new(out);
    let built = tokio::select! {
        biased;
        () = signals.told() => None,
        stage = Stage::build(options, &mut tell) => Some(stage?),
    };
    let Some(stage) = built else {
        tell.line("stopped before the story began; nothing is left behind")?;
        return Ok(Ended::Interrupted);
    };
    let played = tokio::select! {
        biased;
        () = signals.told() => Ok(Ended::Interrupted),
        played = play(&stage, &mut tell) => played.map(|()| Ended::Told),
    };
    let played = match played {
        Ok(Ended::Told) if options.keep => stay(&stage, &mut tell, &mut signals).await.map(|()| Ended::Told),
        other => other,
    };
    let folder = stage.cluster.folder().to_owned();
    // A reader that is gone must not keep us from cleaning up.
    let said = tell.line("\ncleaning up: proxy, roles, PostgreSQL, folder");
    let clean = stage.close().await;
    let ended = played?;
    said?;
    if !clean || folder.exists() {
        return Err(DemoError::Cleanup(folder));
    }
    tell.line(match ended {
        Ended::Told => "done: every act came out as told, and nothing is left behind",
        Ended::Interrupted => "interrupted; nothing is left behind",
    })?;
    Ok(ended)
}

async fn play(stage: &Stage, tell: &mut Tell<'_>) -> Result<(), DemoError> {
    for (number, act) in (1..).zip(&acts::ACTS) {
        acts::play(stage, tell, number, act).await?;
    }
    acts::nothing_else(stage, tell).await?;
    refusals::play(stage, tell).await?;
    refusals::expire(stage, tell).await?;
    retail::play(stage, tell).await?;
    acts::roles_are_gone(stage, tell).await
}

async fn stay(stage: &Stage, tell: &mut Tell<'_>, signals: &mut Signals) -> Result<(), DemoError> {
    connections::offer(stage, tell)?;
    tokio::select! {
        () = signals.told() => {}
        () = terminal_gone() => {}
    }
    Ok(())
}

/// Ends when the terminal does. SIGHUP says so too, but not to us when `make` is in front and the shell is not:
/// `ssh -t host make demo KEEP=1`. Never ends where there is no terminal.
async fn terminal_gone() {
    const LOOK: Duration = Duration::from_secs(1);
    if !io::stdout().is_terminal() {
        return std::future::pending().await;
    }
    while io::stdout().is_terminal() {
        tokio::time::sleep(LOOK).await;
    }
}

/// The words to stop. Listened for from the start, so that none is lost and none kills us while we clean up.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> Result<Self, DemoError> {
        let listen = || -> io::Result<Self> {
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                hang_up: signal(SignalKind::hangup())?,
            })
        };
        listen().map_err(DemoError::Signals)
    }

    async fn told(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
