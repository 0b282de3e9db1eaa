//! psql as a client of the proxy, where there is one.
//!
//! Must never inherit connection settings of the person who runs the demo.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::error::{DemoError, story};
use super::stage::Stage;
use crate::demo::setting::DATABASE;

const PATIENCE: Duration = Duration::from_secs(60);

/// What `\d` prints for a login; `None` when this machine has no psql beside the server's programs.
pub(super) async fn list_relations(stage: &Stage, login: &str) -> Result<Option<String>, DemoError> {
    let program: PathBuf = stage.cluster.bin().join("psql");
    if !program.is_file() {
        return Ok(None);
    }
    let failed = |source| DemoError::File { action: "run", path: program.clone(), source };
    let mut command = Command::new(&program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    let run = command
        .args(["-X", "-v", "ON_ERROR_STOP=1", "-P", "pager=off", "-c", "\\d"])
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", stage.setting.port.to_string())
        .env("PGDATABASE", DATABASE)
        .env("PGUSER", login)
        .env("PGPASSWORD", stage.setting.key(login).unwrap_or_default())
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        // Ctrl-C is for us: we end it.
        .process_group(0)
        .kill_on_drop(true)
        .output();
    let ran = match timeout(PATIENCE, run).await {
        Ok(ran) => ran.map_err(failed)?,
        Err(_) => return Err(story("psql's \\d", "psql is not done in time")),
    };
    if !ran.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
        return Err(story("psql's \\d", said));
    }
    Ok(Some(String::from_utf8_lossy(&ran.stdout).into_owned()))
}
