//! A private PostgreSQL with the demo's data, bootstrapped, and `lanyard serve` in front of it.
//!
//! Everything ends with the value, also when a test panics. Not bound to a runtime, so that tests with runtimes of their
//! own can share one.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Weak};

use lanyard::demo::data::{self, TEST_SCALE};
use lanyard::demo::lanyard_process::{Lanyard, Serving};
use lanyard::demo::setting::{DATABASE, Setting, SettingOptions};
use lanyard_adapters::cluster::{Cluster, ClusterOptions, scratch_folder};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls};

use crate::raw::Raw;
use crate::{Outcome, TestError};

/// Schemas whose tables the owner of the secured views may read and write.
pub const SCHEMAS: [&str; 2] = ["public", "retail"];

/// What differs from the usual environment.
#[derive(Debug, Clone, Default)]
pub struct GovernedOptions<'a> {
    /// Governance, keys and configuration lines.
    pub setting: SettingOptions<'a>,
    /// More lines for postgresql.conf.
    pub postgres: &'a [(&'a str, &'a str)],
    /// SQL the superuser runs after the data is loaded and before the bootstrap.
    pub sql: &'a str,
    /// More schemas for [`SCHEMAS`].
    pub schemas: &'a [&'a str],
    /// Folder of the server binaries, where it is not the usual one.
    pub bin: Option<&'a Path>,
}

/// The environment. Fields drop in order: the proxy, then the warehouse with all folders.
#[derive(Debug)]
pub struct Governed {
    serving: Mutex<Option<Serving>>,
    lanyard: Lanyard,
    setting: Setting,
    cluster: Cluster,
}

static SHARED: Mutex<Weak<Governed>> = Mutex::const_new(Weak::new());

impl Governed {
    /// An environment of one's own: for tests that kill, restart, reload or count.
    ///
    /// # Errors
    /// Whatever did not start.
    pub async fn start() -> Outcome<Self> {
        Self::start_with(&GovernedOptions::default()).await
    }

    /// The same, with differences.
    ///
    /// # Errors
    /// Whatever did not start.
    pub async fn start_with(options: &GovernedOptions<'_>) -> Outcome<Self> {
        Self::over(warehouse(options).await?, options).await
    }

    /// The same over a warehouse that its caller has filled further ([`warehouse`]).
    ///
    /// # Errors
    /// Whatever did not start.
    pub async fn over(cluster: Cluster, options: &GovernedOptions<'_>) -> Outcome<Self> {
        let lanyard = Lanyard::find(program_folder()?.join("lanyard"))?;
        let folder = cluster.folder().join("lanyard");
        std::fs::create_dir(&folder)?;
        let setting = Setting::write(&folder, &cluster, &options.setting)?;
        let schemas: Vec<&str> = SCHEMAS.iter().chain(options.schemas).copied().collect();
        lanyard.bootstrap(&setting, &cluster.url(DATABASE), &schemas)?;
        lanyard.set_keys(&setting)?;
        let serving = lanyard.serve(&setting).await?;
        Ok(Self { serving: Mutex::new(Some(serving)), lanyard, setting, cluster })
    }

    /// The environment that tests share which only read. It ends with the last test that holds it.
    ///
    /// # Errors
    /// Whatever did not start.
    pub async fn shared() -> Outcome<Arc<Self>> {
        let mut shared = SHARED.lock().await;
        if let Some(running) = shared.upgrade() {
            return Ok(running);
        }
        let started = Arc::new(Self::start().await?);
        *shared = Arc::downgrade(&started);
        Ok(started)
    }

    /// The warehouse.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Folders, ports and keys of the proxy.
    #[must_use]
    pub fn setting(&self) -> &Setting {
        &self.setting
    }

    /// The program, for other commands of it.
    #[must_use]
    pub fn lanyard(&self) -> &Lanyard {
        &self.lanyard
    }

    /// The key of a login: `agent~user`, `agent` or `user`.
    ///
    /// # Errors
    /// Nobody of that name has a key.
    pub fn key(&self, login: &str) -> Outcome<&str> {
        let key = self.setting.key(login);
        key.ok_or_else(|| format!("no key for {login:?}").into())
    }

    /// A tokio-postgres session through the proxy; its connection task ends with the client.
    ///
    /// # Errors
    /// What the proxy refused with: a `tokio_postgres::Error`, or a login without a key.
    pub async fn connect(&self, login: &str) -> Outcome<Client> {
        Ok(self.connect_with(login, self.key(login)?).await?)
    }

    /// The same with a key of the caller's choice.
    ///
    /// # Errors
    /// What the proxy refused with.
    pub async fn connect_with(&self, login: &str, key: &str) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::Config::new()
            .host("127.0.0.1")
            .port(self.setting.port)
            .user(login)
            .password(key)
            .dbname(DATABASE)
            .connect(NoTls)
            .await?;
        // How it ends is told to the client's next statement.
        tokio::spawn(async move { connection.await.ok() });
        Ok(client)
    }

    /// `lanyard bootstrap` with `--harden` or `--unharden`; what it printed.
    ///
    /// # Errors
    /// It failed.
    pub fn harden(&self, flag: &str) -> Outcome<String> {
        let url = self.cluster.url(DATABASE);
        Ok(self.lanyard.run("bootstrap", &self.setting, &["bootstrap"], &["--dba-url", &url, flag], "")?)
    }

    /// A superuser's session in the warehouse itself.
    ///
    /// # Errors
    /// The warehouse does not answer.
    pub async fn dba(&self) -> Outcome<Client> {
        Ok(self.cluster.connect(DATABASE).await?)
    }

    /// A TCP connection to the proxy, nothing sent yet.
    ///
    /// # Errors
    /// Nobody accepts.
    pub async fn raw(&self) -> Outcome<Raw> {
        Raw::connect(self.setting.port).await
    }

    /// A raw session, logged in and ready.
    ///
    /// # Errors
    /// What the proxy refused with.
    pub async fn raw_session(&self, login: &str) -> Outcome<Raw> {
        let mut raw = self.raw().await?;
        raw.log_in(login, self.key(login)?, DATABASE).await?;
        Ok(raw)
    }

    /// What the warehouse logged so far; every line names the role.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn server_log(&self) -> Outcome<String> {
        Ok(std::fs::read_to_string(self.cluster.log_file())?)
    }

    /// What the proxy printed so far.
    pub async fn proxy_log(&self) -> String {
        let serving = self.serving.lock().await;
        serving.as_ref().map(Serving::log).unwrap_or_default()
    }

    /// Every audit line so far, file by file in order of name. A line that is still being written is left out.
    ///
    /// # Errors
    /// A file cannot be read, or a whole line is not JSON.
    pub fn audit(&self) -> Outcome<Vec<Value>> {
        let mut lines = Vec::new();
        self.each_audit_line(&mut |line| lines.push(line))?;
        Ok(lines)
    }

    /// The same one by one, where all together would be too many.
    ///
    /// # Errors
    /// As [`Self::audit`].
    pub fn each_audit_line(&self, take: &mut dyn FnMut(Value)) -> Outcome {
        let mut files = Vec::new();
        files_under(&self.setting.audit, &mut files)?;
        files.sort();
        for file in files {
            let text = std::fs::read_to_string(&file)?;
            for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
                if line.starts_with('{') {
                    let parsed = serde_json::from_str(line);
                    take(parsed.map_err(|e| format!("{}: {e}: {line}", file.display()))?);
                }
            }
        }
        Ok(())
    }

    /// Roles of Lanyard's leases that are in the warehouse now.
    ///
    /// # Errors
    /// The warehouse does not answer.
    pub async fn vended_roles(&self) -> Outcome<Vec<String>> {
        let sql = r"SELECT rolname FROM pg_roles WHERE rolname LIKE 'LANYARD\_VENDED\_%' ORDER BY 1";
        let rows = self.dba().await?.query(sql, &[]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// One answer of the proxy's HTTP side: status line, headers and body as they came.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn http(&self, path: &str) -> Outcome<String> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut http = tokio::net::TcpStream::connect(("127.0.0.1", self.setting.http_port)).await?;
        let ask = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        http.write_all(ask.as_bytes()).await?;
        let mut answer = String::new();
        http.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// The proxy's process.
    ///
    /// # Errors
    /// It is not running.
    pub async fn proxy_id(&self) -> Outcome<u32> {
        let serving = self.serving.lock().await;
        serving.as_ref().map(Serving::id).ok_or_else(|| "the proxy is not running".into())
    }

    /// kill -9 of the proxy.
    ///
    /// # Errors
    /// It is not running.
    pub async fn kill_proxy(&self) -> Outcome {
        self.take_proxy().await?.kill().await;
        Ok(())
    }

    /// Graceful stop of the proxy; its exit status, `None` when it had to be killed.
    ///
    /// # Errors
    /// It is not running.
    pub async fn stop_proxy(&self) -> Outcome<Option<ExitStatus>> {
        Ok(self.take_proxy().await?.stop().await)
    }

    /// Starts the proxy again after [`Self::kill_proxy`] or [`Self::stop_proxy`].
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_proxy(&self) -> Outcome {
        let mut serving = self.serving.lock().await;
        *serving = Some(self.lanyard.serve(&self.setting).await?);
        Ok(())
    }

    async fn take_proxy(&self) -> Outcome<Serving> {
        let running = self.serving.lock().await.take();
        running.ok_or_else(|| "the proxy is not running".into())
    }
}

/// The private cluster with database and data, not yet bootstrapped.
///
/// # Errors
/// Whatever did not start.
pub async fn warehouse(options: &GovernedOptions<'_>) -> Outcome<Cluster> {
    let mut settings = vec![("fsync".to_owned(), "off".to_owned())];
    let more = options.postgres.iter();
    settings.extend(more.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    let cluster = Cluster::start(ClusterOptions {
        bin: options.bin.map(Path::to_owned),
        data: scratch_folder("lanyard-test")?,
        settings,
        ..ClusterOptions::default()
    })
    .await?;
    let postgres = cluster.connect("postgres").await?;
    let create = format!("CREATE DATABASE {DATABASE}");
    postgres.batch_execute(&create).await?;
    let client = cluster.connect(DATABASE).await?;
    data::load(&client, TEST_SCALE, &mut |_| {}).await?;
    client.batch_execute(options.sql).await?;
    Ok(cluster)
}

/// Where cargo puts programs: tests are in `deps` below it.
///
/// # Errors
/// This program is nowhere, or in the root folder.
pub fn program_folder() -> Outcome<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(Path::parent);
    folder.map(Path::to_owned).ok_or_else(|| TestError::from("a test without a folder"))
}

fn files_under(folder: &Path, files: &mut Vec<PathBuf>) -> Outcome {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files_under(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
