//! psql and Python drivers as clients of the proxy.
//!
//! Must never inherit connection settings of the person who runs the tests.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::governed::program_folder;
use crate::wait::PATIENCE_SECONDS;
use crate::{Governed, Outcome};
use lanyard::demo::setting::DATABASE;

/// What a program printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error: notices and errors.
    pub err: String,
}

impl Printed {
    /// Standard output of a program that succeeded.
    ///
    /// # Errors
    /// It failed; with what it printed.
    pub fn success(self) -> Outcome<String> {
        if self.code == Some(0) {
            Ok(self.out)
        } else {
            Err(format!("exit code {:?}: {}\n{}", self.code, self.err, self.out).into())
        }
    }
}

impl Governed {
    /// psql, unaligned (`-XAt`, fields separated by `|`, errors with SQLSTATE), with the text as its standard input, so that
    /// backslash commands work too. It stops at the first error with code 3.
    ///
    /// # Errors
    /// It cannot be run, or is not done in time. What the proxy refuses is in [`Printed`].
    pub async fn psql(&self, login: &str, script: &str) -> Outcome<Printed> {
        let beside = self.cluster().bin().join("psql");
        let program = if beside.is_file() { beside } else { "psql".into() };
        let mut command = Command::new(program);
        command.args(["-XAt", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose"]).args([
            "-v",
            "SHOW_CONTEXT=never",
            "-f",
            "-",
        ]);
        self.run(login, command, script).await
    }

    /// Python from `target/venv` with psycopg, psycopg2 and SQLAlchemy. The script finds its connection in libpq's own
    /// variables, so `psycopg.connect("")` and `create_engine("postgresql+psycopg://")` need no arguments.
    ///
    /// # Errors
    /// It cannot be run (`scripts/setup.sh test` makes the environment), or is not done in time.
    pub async fn python(&self, login: &str, script: &str) -> Outcome<Printed> {
        self.python_with(login, script, &[]).await
    }

    /// The same with arguments, `sys.argv[1:]` in the script.
    ///
    /// # Errors
    /// As [`Self::python`].
    pub async fn python_with(&self, login: &str, script: &str, arguments: &[&str]) -> Outcome<Printed> {
        let mut command = Command::new(python()?);
        command.arg("-").args(arguments);
        self.run(login, command, script).await
    }

    /// Any client program that takes its connection from libpq's variables, with a text as its standard input.
    ///
    /// # Errors
    /// It cannot be run, or is not done in time.
    pub async fn run(&self, login: &str, mut command: Command, input: &str) -> Outcome<Printed> {
        use tokio::io::AsyncWriteExt as _;
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.setting().port.to_string())
            .env("PGDATABASE", DATABASE)
            .env("PGUSER", login)
            .env("PGPASSWORD", self.setting().key(login).unwrap_or_default())
            .env("PGCONNECT_TIMEOUT", "20")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut stdin = child.stdin.take().ok_or("no standard input")?;
        let input = input.to_owned();
        // A program that has enough closes its input early; that is not a failure of ours.
        let feed = tokio::spawn(async move { stdin.write_all(input.as_bytes()).await.ok() });
        let patience = Duration::from_secs(PATIENCE_SECONDS * 2);
        let ran = tokio::time::timeout(patience, child.wait_with_output()).await??;
        feed.await?;
        Ok(Printed {
            code: ran.status.code(),
            out: String::from_utf8_lossy(&ran.stdout).into_owned(),
            err: String::from_utf8_lossy(&ran.stderr).into_owned(),
        })
    }
}

/// `target/venv/bin/python`, beside the folder this test was built into.
fn python() -> Outcome<PathBuf> {
    let folder = program_folder()?;
    let target = folder.parent().ok_or("a program folder without a parent")?;
    let python = target.join("venv/bin/python");
    if python.exists() {
        Ok(python)
    } else {
        Err(format!("no {} (make it with \"scripts/setup.sh test\")", python.display()).into())
    }
}
