//! A private PostgreSQL for the tests of this folder: one for all that run at the same time, gone with the last.

use std::error::Error;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::super::{Endpoint, Login, Secret, TlsMode};

const PASSWORD: &str = "only-for-tests";

pub(super) struct Server {
    child: Child,
    folder: PathBuf,
    pub(super) port: u16,
    /// PEM of the authority that signed the server's certificate for `localhost`.
    pub(super) ca_pem: Vec<u8>,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

impl Server {
    pub(super) fn shared() -> Result<Arc<Self>, Box<dyn Error>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Ok(server);
        }
        let server = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&server);
        Ok(server)
    }

    fn start() -> Result<Self, Box<dyn Error>> {
        let bin = binaries()?;
        let folder = std::env::temp_dir().join(format!("lanyard-test-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&folder)?;
        let account = account();
        if let Some((uid, gid)) = account {
            std::os::unix::fs::chown(&folder, Some(uid), Some(gid))?;
        }
        let command = |program: &str| {
            let mut command = Command::new(bin.join(program));
            command.current_dir(&folder).env_clear().stdin(Stdio::null());
            if let Some((uid, gid)) = account {
                command.uid(uid).gid(gid);
            }
            command
        };
        let write = |name: &str, text: &str| -> Result<(), Box<dyn Error>> {
            let path = folder.join(name);
            let mut file = std::fs::File::create(&path)?;
            file.write_all(text.as_bytes())?;
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
            if let Some((uid, gid)) = account {
                std::os::unix::fs::chown(&path, Some(uid), Some(gid))?;
            }
            Ok(())
        };
        write("password", PASSWORD)?;
        let made = command("initdb")
            .args([
                "-D",
                "data",
                "-U",
                "postgres",
                "-A",
                "scram-sha-256",
                "-E",
                "UTF8",
                "--no-locale",
                "--no-sync",
            ])
            .args(["--pwfile", "password"])
            .output()?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).into());
        }
        let ca_pem = certificate(write)?;
        let port = free_port()?;
        let socket_dir = format!("unix_socket_directories={}", folder.display());
        let log = std::fs::File::create(folder.join("log"))?;
        let child = command("postgres")
            .args(["-D", "data", "-p", &port.to_string()])
            .args(["-c", &socket_dir, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "ssl=on"])
            .args([
                "-c",
                "ssl_cert_file=../cert.pem",
                "-c",
                "ssl_key_file=../key.pem",
                "-c",
                "log_statement=all",
            ])
            .args(["-c", "max_connections=200", "-c", "shared_buffers=32MB"])
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut server = Self { child, folder, port, ca_pem };
        server.wait()?;
        Ok(server)
    }

    /// `postmaster.pid` says `ready` on its eighth line once logins are taken.
    fn wait(&mut self) -> Result<(), Box<dyn Error>> {
        let pid_file = self.folder.join("data/postmaster.pid");
        let ready = || {
            let text = std::fs::read_to_string(&pid_file).unwrap_or_default();
            text.lines().nth(7).is_some_and(|line| line.trim() == "ready")
        };
        let end = Instant::now() + Duration::from_secs(60);
        while !ready() {
            if Instant::now() > end || self.child.try_wait()?.is_some() {
                return Err(format!("postgres does not start: {}", self.log()?).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// What the server has logged, every statement included.
    pub(super) fn log(&self) -> Result<String, Box<dyn Error>> {
        Ok(String::from_utf8_lossy(&std::fs::read(self.folder.join("log"))?).into_owned())
    }

    pub(super) fn endpoint(&self, database: &str) -> Endpoint {
        Endpoint {
            host: self.folder.display().to_string(),
            port: self.port,
            database: database.to_owned(),
            tls: TlsMode::Disable,
        }
    }

    pub(super) fn tcp(&self, database: &str, host: &str, tls: TlsMode) -> Endpoint {
        Endpoint { host: host.to_owned(), tls, ..self.endpoint(database) }
    }

    pub(super) fn dba(&self) -> Login {
        Login::new("postgres", Secret::new(PASSWORD))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The postmaster's children end with it; the data is not kept, so there is nothing to shut down in order.
        let killed = self.child.kill().and_then(|()| self.child.wait());
        let removed = std::fs::remove_dir_all(&self.folder);
        if killed.is_err() || removed.is_err() {
            eprintln!("left behind: {}", self.folder.display());
        }
    }
}

/// A certificate for `localhost`, written as `cert.pem` and `key.pem`; answers its authority's.
fn certificate(write: impl Fn(&str, &str) -> Result<(), Box<dyn Error>>) -> Result<Vec<u8>, Box<dyn Error>> {
    let ca_key = rcgen::KeyPair::generate()?;
    let mut ca = rcgen::CertificateParams::new(Vec::<String>::new())?;
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key)?.pem().into_bytes();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate()?;
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &issuer)?;
    write("cert.pem", &leaf.pem())?;
    write("key.pem", &key.serialize_pem())?;
    Ok(ca_pem)
}

fn binaries() -> Result<PathBuf, Box<dyn Error>> {
    if let Some(bin) = std::env::var_os("LANYARD_TEST_PG_BIN") {
        return Ok(bin.into());
    }
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let major = path.file_name()?.to_str()?.parse().ok()?;
            Some((major, path.join("bin")))
        })
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    found.sort();
    found
        .pop()
        .map(|(_, bin)| bin)
        .ok_or_else(|| "no PostgreSQL under /usr/lib/postgresql; set LANYARD_TEST_PG_BIN".into())
}

/// PostgreSQL refuses root: then it runs as `postgres`, or `nobody`.
fn account() -> Option<(u32, u32)> {
    let me = std::fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m));
    if me.ok()? != 0 {
        return None;
    }
    let accounts = std::fs::read_to_string(Path::new("/etc/passwd")).ok()?;
    ["postgres", "nobody"].iter().find_map(|name| {
        let mut fields =
            accounts.lines().map(|l| l.split(':')).find_map(|mut f| (f.next()? == *name).then_some(f))?;
        Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

/// A free port below the ephemeral range, where no outgoing connection can take it meanwhile.
fn free_port() -> Result<u16, Box<dyn Error>> {
    let start = 20_000 + u16::try_from(uuid::Uuid::new_v4().as_u128() % 10_000)?;
    (start..32_000)
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or_else(|| "no free port".into())
}
