//! A private PostgreSQL for the virtual catalog's tests: its own folder, a unix socket only, gone with the value.

use std::error::Error;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio_postgres::{Client, Config, NoTls};

pub(super) type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Where the server is, unless `LANYARD_POSTGRES_BIN` names another major's.
const BIN: &str = "/usr/lib/postgresql/15/bin";
const START_DEADLINE: Duration = Duration::from_secs(60);

/// A running server. Dropping it stops the server and removes its folder.
pub(super) struct Server {
    folder: PathBuf,
    postmaster: Child,
}

impl Server {
    pub(super) async fn start() -> Outcome<Self> {
        let folder = std::env::temp_dir().join(format!("lanyard-vc-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&folder)?;
        let owner = unprivileged()?;
        if let Some((user, group)) = owner {
            std::os::unix::fs::chown(&folder, Some(user), Some(group))?;
        }
        let data = folder.join("data");
        let made = command("initdb", owner)
            .arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C"])
            .stdout(Stdio::null())
            .status()?;
        if !made.success() {
            return Err("initdb failed".into());
        }
        let postmaster = command("postgres", owner)
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(&folder)
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "autovacuum=off"])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("log"))?)
            .spawn()?;
        let server = Self { folder, postmaster };
        let deadline = Instant::now() + START_DEADLINE;
        while let Err(error) = server.connect("postgres", "postgres").await {
            if Instant::now() > deadline {
                let log = std::fs::read_to_string(server.folder.join("log"))?;
                return Err(format!("{error}\n{log}").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(server)
    }

    /// A client; its connection runs on the test's runtime.
    pub(super) async fn connect(&self, user: &str, database: &str) -> Outcome<Client> {
        let (client, connection) = Config::new()
            .host_path(&self.folder)
            .user(user)
            .dbname(database)
            .application_name("lanyard:0123")
            .options(r#"-c search_path=public,pg_temp"#)
            .connect(NoTls)
            .await?;
        tokio::spawn(connection);
        Ok(client)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Without its postmaster every backend ends by itself.
        let killed = self.postmaster.kill().and_then(|()| self.postmaster.wait());
        let removed = std::fs::remove_dir_all(&self.folder);
        if let (Err(error), _) | (_, Err(error)) = (killed.map(drop), removed) {
            eprintln!("{}: {error}", self.folder.display());
        }
    }
}

/// initdb refuses root: user and group of `postgres` when we are root, nothing otherwise.
fn unprivileged() -> io::Result<Option<(u32, u32)>> {
    use std::os::unix::fs::MetadataExt;
    if std::fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(None);
    }
    let accounts = std::fs::read_to_string("/etc/passwd")?;
    let fields: Vec<&str> = accounts
        .lines()
        .find(|line| line.starts_with("postgres:"))
        .ok_or_else(|| io::Error::other("no user postgres to run a server as"))?
        .split(':')
        .collect();
    match (fields.get(2).map(|f| f.parse()), fields.get(3).map(|f| f.parse())) {
        (Some(Ok(user)), Some(Ok(group))) => Ok(Some((user, group))),
        _ => Err(io::Error::other("/etc/passwd: user postgres has no numbers")),
    }
}

fn command(program: &str, owner: Option<(u32, u32)>) -> Command {
    let bin = std::env::var_os("LANYARD_POSTGRES_BIN").unwrap_or_else(|| BIN.into());
    let mut command = Command::new(Path::new(&bin).join(program));
    command.current_dir("/");
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
    command
}
