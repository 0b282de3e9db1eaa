//! Child processes that never outlive the value that stands for them.
//!
//! Must never signal a process it did not start. Used by the private cluster, and by the tests and benches for the
//! servers they start. Needs no runtime.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to end after a signal before it is killed.
const PATIENCE_SECONDS: u64 = 20;
const POLL_MILLISECONDS: u64 = 10;

/// Signals we send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
    /// SIGQUIT: PostgreSQL's immediate shutdown.
    Quit,
    /// SIGHUP.
    HangUp,
    /// SIGKILL.
    Kill,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Terminate => "TERM",
            Self::Interrupt => "INT",
            Self::Quit => "QUIT",
            Self::HangUp => "HUP",
            Self::Kill => "KILL",
        }
    }
}

/// A child process in a process group of its own; ended when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    on_drop: Signal,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts it without standard input. `on_drop` is the signal a drop begins with; SIGKILL follows when it does not help.
    /// A group of its own, because Ctrl-C in a terminal is for us: we end our children in order.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn spawn(command: &mut Command, on_drop: Signal) -> io::Result<Self> {
        let child = command.stdin(Stdio::null()).process_group(0).spawn()?;
        Ok(Self { child, on_drop, status: None })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has. A process we cannot ask about counts as running, so that it is still signalled.
    pub fn status(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status
    }

    /// Sends a signal, unless it has ended: its id may belong to somebody else then.
    pub fn signal(&mut self, signal: Signal) {
        if self.status().is_some() {
            return;
        }
        // Through the shell's `kill`: the workspace forbids the unsafe call, and every system has a shell.
        let sent = Command::new("/bin/sh")
            .args(["-c", r#"kill -s "$1" "$2""#, "sh", signal.name()])
            .arg(self.id().to_string())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if let Err(error) = sent {
            tracing::warn!(%error, "a child process could not be signalled");
        }
    }

    /// Signals it and waits, with a deadline, then kills it. Blocks the thread.
    ///
    /// # Errors
    /// The system does not let us wait for it.
    pub fn end(&mut self, signal: Signal) -> io::Result<ExitStatus> {
        self.signal(signal);
        if let Some(status) = self.wait_until(Instant::now() + Duration::from_secs(PATIENCE_SECONDS)) {
            return Ok(status);
        }
        self.child.kill()?;
        self.child.wait()
    }

    /// Signals it and waits, with a deadline, without blocking the thread.
    ///
    /// Cancel-safe: a dropped future leaves the rest to the drop of the process.
    pub async fn end_gently(&mut self, signal: Signal) -> Option<ExitStatus> {
        self.signal(signal);
        let deadline = Instant::now() + Duration::from_secs(PATIENCE_SECONDS);
        while self.status().is_none() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(POLL_MILLISECONDS)).await;
        }
        self.status()
    }

    fn wait_until(&mut self, deadline: Instant) -> Option<ExitStatus> {
        while self.status().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(POLL_MILLISECONDS));
        }
        self.status()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status().is_none()
            && let Err(error) = self.end(self.on_drop)
        {
            tracing::warn!(%error, "a child process could not be ended");
        }
    }
}

/// Was the process ended by this signal (by number, as the shell knows it)?
#[must_use]
pub fn ended_by(status: ExitStatus, number: i32) -> bool {
    status.signal() == Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> io::Result<Process> {
        Process::spawn(Command::new("/bin/sh").args(["-c", script]), Signal::Terminate)
    }

    fn alive(pid: u32) -> bool {
        Command::new("/bin/sh")
            .args(["-c", "kill -0 \"$1\" 2>/dev/null", "sh"])
            .arg(pid.to_string())
            .status()
            .is_ok_and(|status| status.success())
    }

    #[test]
    fn a_dropped_process_is_gone() -> io::Result<()> {
        let process = shell("exec sleep 600")?;
        let pid = process.id();
        assert!(alive(pid));
        drop(process);
        assert!(!alive(pid));
        Ok(())
    }

    #[test]
    fn how_it_ended_is_known_and_stays_known() -> io::Result<()> {
        let mut process = shell("exit 7")?;
        let deadline = Instant::now() + Duration::from_secs(10);
        assert_eq!(process.wait_until(deadline).and_then(|s| s.code()), Some(7));
        process.signal(Signal::Kill);
        assert_eq!(process.end(Signal::Kill)?.code(), Some(7));
        let mut killed = shell("exec sleep 600")?;
        assert!(ended_by(killed.end(Signal::Kill)?, 9));
        Ok(())
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let absent = Process::spawn(&mut Command::new("/nonexistent"), Signal::Quit);
        assert!(absent.is_err());
    }
}
