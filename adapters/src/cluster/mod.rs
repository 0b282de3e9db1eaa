//! A private PostgreSQL: own folder, own port, own random password; gone when its value is dropped.
//!
//! For the demo, the tests and the benches. Must never touch a server or a folder that it did not make, and must leave
//! neither processes nor files behind. Needs a Tokio runtime to start, none to be dropped.

mod account;
mod binaries;
mod error;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};
use tokio_postgres::{Client, NoTls};

use crate::process::{Process, Signal};
use account::Account;
pub use account::scratch_folder;
pub use error::ClusterError;

/// Ports below the range that kernels hand out for outgoing connections, so that nobody takes ours between two starts.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
const PORT_TRIES: usize = 20;
const START_SECONDS_MAX: u64 = 60;
const REMOVE_SECONDS_MAX: u64 = 10;
const POLL_MILLISECONDS: u64 = 20;
/// `sockaddr_un.sun_path` has 108 bytes with its final zero on Linux, 104 elsewhere; PostgreSQL refuses longer ones.
const SOCKET_PATH_BYTES_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
const SUPERUSER: &str = "postgres";
const DEFAULT_SETTINGS: [(&str, &str); 6] = [
    ("log_statement", "all"),
    ("log_line_prefix", "%m [%p] %u@%d "),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("lc_messages", "C"),
    ("max_connections", "200"),
];

/// What to start.
#[derive(Debug, Clone, Default)]
pub struct ClusterOptions {
    /// Folder of the server binaries; looked for when absent.
    pub bin: Option<PathBuf>,
    /// The cluster's folder; made when absent, must be empty. [`scratch_folder`] gives a good one.
    pub data: PathBuf,
    /// Lines for postgresql.conf; they win over the defaults. `fsync = off` is for the caller to choose.
    pub settings: Vec<(String, String)>,
    /// Leave the folder in place at the end.
    pub keep: bool,
}

/// A running private server.
#[derive(Debug)]
pub struct Cluster {
    // Declared before the folder: the server goes before its files.
    server: Option<Process>,
    folder: Folder,
    account: Option<Account>,
    bin: PathBuf,
    port: u16,
    password: String,
    socket_dir: PathBuf,
    log_file: PathBuf,
}

/// Removes itself, whole, when dropped.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    fn claim(path: &Path, keep: bool) -> Result<Self, ClusterError> {
        std::fs::create_dir_all(path).map_err(|e| ClusterError::io("make", path, e))?;
        let mut entries = std::fs::read_dir(path).map_err(|e| ClusterError::io("read", path, e))?;
        if entries.next().is_some() {
            return Err(ClusterError::NotEmpty(path.to_owned()));
        }
        // The server asks for absolute paths, and its working folder is not ours.
        let path = path.canonicalize().map_err(|e| ClusterError::io("resolve", path, e))?;
        Ok(Self { path, keep })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        // An initdb that was cut short leaves a child that may still write for a moment: try again.
        let deadline = Instant::now() + Duration::from_secs(REMOVE_SECONDS_MAX);
        while let Err(error) = std::fs::remove_dir_all(&self.path) {
            if error.kind() == io::ErrorKind::NotFound {
                return;
            }
            if Instant::now() > deadline {
                tracing::warn!(folder = %self.path.display(), %error, "a cluster's folder could not be removed");
                return;
            }
            std::thread::sleep(Duration::from_millis(POLL_MILLISECONDS));
        }
    }
}

impl Cluster {
    /// The folder of the server binaries: the flag, PATH, `pg_config --bindir`, `/usr/lib/postgresql/*/bin` (newest),
    /// Homebrew.
    ///
    /// # Errors
    /// [`ClusterError::NotABinFolder`] for a wrong flag, [`ClusterError::NoBinaries`] when there are none.
    pub fn find_binaries(flag: Option<&Path>) -> Result<PathBuf, ClusterError> {
        binaries::find(flag)
    }

    /// initdb, a free port, a random password, start, and wait until a superuser can log in.
    ///
    /// Cancel-safe: dropping the future ends the server and removes the folder.
    ///
    /// # Errors
    /// [`ClusterError`]; nothing is left behind.
    pub async fn start(options: ClusterOptions) -> Result<Self, ClusterError> {
        let bin = Self::find_binaries(options.bin.as_deref())?;
        let folder = Folder::claim(&options.data, options.keep)?;
        let account = Account::to_run_as(&folder.path)?;
        let socket_dir = folder.path.join("run");
        let longest = socket_dir.join(format!(".s.PGSQL.{}", PORTS.end));
        if longest.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(ClusterError::SocketPath(longest));
        }
        let mut cluster = Self {
            server: None,
            log_file: folder.path.join("postgres.log"),
            folder,
            account,
            bin,
            port: 0,
            password: random_hex(16)?,
            socket_dir,
        };
        cluster.lay_out()?;
        cluster.initdb().await?;
        cluster.write_configuration(&options.settings)?;
        for _ in 0..PORT_TRIES {
            cluster.port = free_port()?;
            if cluster.launch().await? {
                return Ok(cluster);
            }
        }
        Err(ClusterError::NoPort)
    }

    /// The TCP port on 127.0.0.1, also the number in the socket's name.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Folder of the unix socket, absolute.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// Name of the superuser.
    #[must_use]
    pub fn superuser(&self) -> &str {
        SUPERUSER
    }

    /// The superuser's password: 32 hexadecimal digits, for this cluster alone.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The server's log.
    #[must_use]
    pub fn log_file(&self) -> &Path {
        &self.log_file
    }

    /// Folder of the binaries in use.
    #[must_use]
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// The cluster's own folder; everything in it goes with the cluster.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder.path
    }

    /// `postgres://…` of the superuser over TCP. Holds the password: not for logs.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// A superuser's session over the unix socket; its connection task ends with the client.
    ///
    /// # Errors
    /// [`ClusterError::Connect`].
    pub async fn connect(&self, database: &str) -> Result<Client, ClusterError> {
        self.log_in(database).await.map_err(ClusterError::Connect)
    }

    /// Stops (sessions are cut, data is written) and removes the folder unless it is to be kept.
    ///
    /// Cancel-safe: a dropped future stops at once instead.
    pub async fn stop(mut self) {
        self.shut_down().await;
    }

    /// Stops and starts again: same port, same data.
    ///
    /// Not cancel-safe: a dropped future may leave the server down.
    ///
    /// # Errors
    /// [`ClusterError::NoPort`] when somebody took the port meanwhile, else what starting can say.
    pub async fn restart(&mut self) -> Result<(), ClusterError> {
        self.shut_down().await;
        if self.launch().await? { Ok(()) } else { Err(ClusterError::NoPort) }
    }

    /// Lets a command run as the server does: as another account when we are root. For servers beside this one that refuse
    /// root too.
    pub fn as_server_account(&self, command: &mut Command) {
        if let Some(account) = self.account {
            command.uid(account.uid).gid(account.gid);
        }
    }

    /// Gives a file in the cluster's folder to that account.
    ///
    /// # Errors
    /// The owner cannot be changed.
    pub fn give(&self, path: &Path) -> Result<(), ClusterError> {
        self.account.map_or(Ok(()), |account| account.own(path))
    }

    fn pgdata(&self) -> PathBuf {
        self.folder.path.join("pg")
    }

    /// Subfolders, with the server's account as their owner.
    fn lay_out(&self) -> Result<(), ClusterError> {
        set_mode(&self.folder.path, 0o755)?;
        for (path, mode) in [(&self.pgdata(), 0o700), (&self.socket_dir, 0o755)] {
            std::fs::create_dir(path).map_err(|e| ClusterError::io("make", path, e))?;
            set_mode(path, mode)?;
            self.give(path)?;
        }
        match self.account {
            Some(account) => account.can_reach(&self.pgdata()),
            None => Ok(()),
        }
    }

    /// A program of this PostgreSQL, as the server's account, in a folder it may enter, without our locale.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        command.current_dir(self.pgdata()).stdin(Stdio::null()).env("LC_ALL", "C");
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("PG") {
                command.env_remove(key);
            }
        }
        self.as_server_account(&mut command);
        command
    }

    async fn initdb(&self) -> Result<(), ClusterError> {
        let password_file = self.folder.path.join("password");
        std::fs::write(&password_file, &self.password)
            .and_then(|()| std::fs::set_permissions(&password_file, std::fs::Permissions::from_mode(0o600)))
            .map_err(|e| ClusterError::io("write", &password_file, e))?;
        self.give(&password_file)?;
        let mut command = self.program("initdb");
        command
            .args(["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8"])
            .args(["--locale=C", "--username", SUPERUSER])
            .arg("--pwfile")
            .arg(&password_file)
            .arg("--pgdata")
            .arg(self.pgdata())
            // Ctrl-C in a terminal is for us, as it is with the server.
            .process_group(0);
        let ran = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|e| ClusterError::io("run", &self.bin.join("initdb"), e))?;
        std::fs::remove_file(&password_file).map_err(|e| ClusterError::io("remove", &password_file, e))?;
        if ran.status.success() {
            Ok(())
        } else {
            Err(ClusterError::Program {
                program: "initdb",
                output: last_lines(&String::from_utf8_lossy(&ran.stderr)),
            })
        }
    }

    fn write_configuration(&self, settings: &[(String, String)]) -> Result<(), ClusterError> {
        let hba = "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n";
        let mut conf = String::from("listen_addresses = '127.0.0.1'\n");
        let ours = [("unix_socket_directories", self.socket_dir.to_string_lossy().into_owned())];
        let lines = ours
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .chain(DEFAULT_SETTINGS)
            .chain(settings.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        for (key, value) in lines {
            let quoted = value.replace('\\', "\\\\").replace('\'', "''");
            conf.push_str(&format!("{key} = '{quoted}'\n"));
        }
        // initdb made both files; writing keeps their owner.
        for (name, text) in [("pg_hba.conf", hba), ("postgresql.conf", conf.as_str())] {
            let path = self.pgdata().join(name);
            std::fs::write(&path, text).map_err(|e| ClusterError::io("write", &path, e))?;
        }
        Ok(())
    }

    /// Starts the server on `self.port`. `false`: somebody else has the port.
    async fn launch(&mut self) -> Result<bool, ClusterError> {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&self.log_file)
            .map_err(|e| ClusterError::io("open", &self.log_file, e))?;
        let errors = log.try_clone().map_err(|e| ClusterError::io("open", &self.log_file, e))?;
        let postgres = self.bin.join("postgres");
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.pgdata()).args(["-p", &self.port.to_string()]).stdout(log).stderr(errors);
        // A postmaster that quits ends its children, which have sessions of their own: no signal to a group reaches them.
        let process =
            Process::spawn(&mut command, Signal::Quit).map_err(|e| ClusterError::io("run", &postgres, e))?;
        self.server = Some(process);
        self.wait_ready().await
    }

    async fn wait_ready(&mut self) -> Result<bool, ClusterError> {
        let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        loop {
            if self.server.as_mut().is_none_or(|s| s.status().is_some()) {
                self.server = None;
                let log = self.log_tail();
                return if log.contains("Address already in use") {
                    Ok(false)
                } else {
                    Err(ClusterError::Program { program: "postgres", output: log })
                };
            }
            match self.log_in("postgres").await {
                Ok(_client) => return Ok(true),
                Err(source) if Instant::now() > deadline => {
                    let log = self.log_tail();
                    return Err(ClusterError::NotReady { log, source });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(POLL_MILLISECONDS)).await,
            }
        }
    }

    async fn log_in(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::Config::new()
            .host_path(&self.socket_dir)
            .port(self.port)
            .user(SUPERUSER)
            .password(&self.password)
            .dbname(database)
            .connect_timeout(Duration::from_secs(10))
            .connect(NoTls)
            .await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a private cluster's connection ended");
            }
        });
        Ok(client)
    }

    fn log_tail(&self) -> String {
        last_lines(&std::fs::read_to_string(&self.log_file).unwrap_or_default())
    }

    /// Fast shutdown: sessions are cut, data is written. Dropping the process does the rest when that takes too long.
    async fn shut_down(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.end_gently(Signal::Interrupt).await;
        }
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<(), ClusterError> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(|e| ClusterError::io("set the mode of", path, e))
}

fn last_lines(text: &str) -> String {
    const LINES_MAX: usize = 6;
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LINES_MAX)..].join(" | ")
}

fn random_bytes<const N: usize>() -> Result<[u8; N], ClusterError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| ClusterError::Random)?;
    Ok(bytes)
}

/// Up to 32 random bytes as hexadecimal digits.
fn random_hex(bytes: usize) -> Result<String, ClusterError> {
    let random = random_bytes::<32>()?;
    Ok(random.iter().take(bytes).map(|b| format!("{b:02x}")).collect())
}

/// A port on 127.0.0.1 below 32000 that nobody listens on now. Somebody may take it before the caller does: try again then.
///
/// # Errors
/// [`ClusterError::NoPort`] after some tries.
pub fn free_port() -> Result<u16, ClusterError> {
    for _ in 0..PORT_TRIES {
        let random = u16::from_le_bytes(random_bytes::<2>()?);
        let port = PORTS.start + random % (PORTS.end - PORTS.start);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(ClusterError::NoPort)
}

#[cfg(test)]
pub(crate) mod tests;
