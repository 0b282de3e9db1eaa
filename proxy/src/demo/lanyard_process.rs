//! The program `lanyard` as a child process: bootstrap, keys, serve.
//!
//! The one place that spells its command lines, so that the tests and the benches use the program as an operator does.
//! A running proxy ends with the value that stands for it.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use lanyard_adapters::process::{Process, Signal};
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::setting::Setting;

const READY_SECONDS_MAX: u64 = 30;
const POLL_MILLISECONDS: u64 = 20;

/// Why the program did not do what it was asked.
#[derive(Debug, Error)]
pub enum LanyardError {
    /// There is no such program.
    #[error("there is no {0:?} (build it with \"cargo build --package lanyard\", or name it in LANYARD_BIN)")]
    Absent(PathBuf),
    /// It cannot be run or talked to.
    #[error("cannot run lanyard {0}")]
    Run(&'static str, #[source] io::Error),
    /// It said no.
    #[error("lanyard {what} failed ({status}): {output}")]
    Failed {
        /// Which command.
        what: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it printed.
        output: String,
    },
    /// It is not ready in time.
    #[error("lanyard serve is not ready after {READY_SECONDS_MAX} s: {0}")]
    NotReady(String),
}

/// A way to the program.
#[derive(Debug, Clone)]
pub struct Lanyard {
    binary: PathBuf,
}

/// A running `lanyard serve`.
#[derive(Debug)]
pub struct Serving {
    process: Process,
    log_file: PathBuf,
}

impl Lanyard {
    /// `LANYARD_BIN`, else the given path.
    ///
    /// # Errors
    /// [`LanyardError::Absent`].
    pub fn find(otherwise: PathBuf) -> Result<Self, LanyardError> {
        let binary = std::env::var_os("LANYARD_BIN").map_or(otherwise, PathBuf::from);
        if binary.is_file() { Ok(Self { binary }) } else { Err(LanyardError::Absent(binary)) }
    }

    /// The program's path.
    #[must_use]
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// `lanyard bootstrap`: Lanyard's objects in the warehouse, with rights for the owner on the schemas named.
    ///
    /// # Errors
    /// [`LanyardError`].
    pub fn bootstrap(
        &self,
        setting: &Setting,
        dba_url: &str,
        schemas: &[&str],
    ) -> Result<String, LanyardError> {
        let mut arguments = vec!["--dba-url", dba_url];
        for schema in schemas {
            arguments.extend(["--grant", schema]);
        }
        self.run("bootstrap", setting, &["bootstrap"], &arguments, "")
    }

    /// Gives every agent and user of the setting the key the setting made for it.
    ///
    /// # Errors
    /// [`LanyardError`].
    pub fn set_keys(&self, setting: &Setting) -> Result<(), LanyardError> {
        for (id, key) in &setting.agent_keys {
            self.run("agent set-key", setting, &["agent", "set-key"], &[id], key)?;
        }
        for (id, key) in &setting.user_keys {
            self.run("user set-key", setting, &["user", "set-key"], &[id], key)?;
        }
        Ok(())
    }

    /// `lanyard serve`, ready: `/readyz` has answered 200. Its output goes to `lanyard.log` in the setting's folder.
    ///
    /// Cancel-safe: a dropped future ends the process.
    ///
    /// # Errors
    /// [`LanyardError`].
    pub async fn serve(&self, setting: &Setting) -> Result<Serving, LanyardError> {
        let log_file = setting.folder.join("lanyard.log");
        let log = File::options().create(true).append(true).open(&log_file);
        let log = log.map_err(|e| LanyardError::Run("serve", e))?;
        let errors = log.try_clone().map_err(|e| LanyardError::Run("serve", e))?;
        let mut command = Command::new(&self.binary);
        command.arg("serve").arg("--config").arg(&setting.config).stdout(log).stderr(errors);
        let process =
            Process::spawn(&mut command, Signal::Terminate).map_err(|e| LanyardError::Run("serve", e))?;
        let mut serving = Serving { process, log_file };
        serving.wait_ready(setting.http_port).await?;
        Ok(serving)
    }

    /// Any other command of the program with this setting's configuration: standard output, when it succeeds.
    ///
    /// # Errors
    /// [`LanyardError`].
    pub fn run(
        &self,
        what: &'static str,
        setting: &Setting,
        command: &[&str],
        arguments: &[&str],
        input: &str,
    ) -> Result<String, LanyardError> {
        let failed = |e| LanyardError::Run(what, e);
        let mut child = Command::new(&self.binary)
            .args(command)
            .arg("--config")
            .arg(&setting.config)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that does not read its input may close it first.
            match stdin.write_all(input.as_bytes()) {
                Err(e) if e.kind() != io::ErrorKind::BrokenPipe => return Err(failed(e)),
                Ok(()) | Err(_) => {}
            }
        }
        let ran = child.wait_with_output().map_err(failed)?;
        if ran.status.success() {
            return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
        }
        Err(LanyardError::Failed {
            what,
            status: ran.status,
            output: last_lines(&String::from_utf8_lossy(&ran.stderr)),
        })
    }
}

impl Serving {
    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log_file).unwrap_or_default()
    }

    /// How it ended, if it has.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.process.status()
    }

    /// Sends a signal.
    pub fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Graceful stop (SIGTERM); `None` when it had to be killed.
    pub async fn stop(mut self) -> Option<ExitStatus> {
        self.process.end_gently(Signal::Terminate).await
    }

    /// kill -9.
    pub async fn kill(mut self) -> Option<ExitStatus> {
        self.process.end_gently(Signal::Kill).await
    }

    async fn wait_ready(&mut self, http_port: u16) -> Result<(), LanyardError> {
        let deadline = Instant::now() + Duration::from_secs(READY_SECONDS_MAX);
        while !ready(http_port).await.unwrap_or(false) {
            if let Some(status) = self.process.status() {
                return Err(LanyardError::Failed { what: "serve", status, output: last_lines(&self.log()) });
            }
            if Instant::now() > deadline {
                return Err(LanyardError::NotReady(last_lines(&self.log())));
            }
            tokio::time::sleep(Duration::from_millis(POLL_MILLISECONDS)).await;
        }
        Ok(())
    }
}

/// One GET of `/readyz`.
async fn ready(http_port: u16) -> io::Result<bool> {
    let ask = async {
        let mut http = TcpStream::connect(("127.0.0.1", http_port)).await?;
        http.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut status = [0; 12];
        http.read_exact(&mut status).await?;
        Ok(status.ends_with(b" 200"))
    };
    tokio::time::timeout(Duration::from_secs(5), ask).await.unwrap_or(Ok(false))
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}
