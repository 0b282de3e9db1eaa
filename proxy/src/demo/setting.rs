//! A folder with everything `lanyard serve` needs in front of one private cluster: configuration, governance, passwords.
//!
//! For the demo, the whole-system tests and the benches. Secrets are random for each folder, readable by its owner alone,
//! and must never be printed here.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use lanyard_adapters::cluster::{Cluster, ClusterError, free_port};
use ring::rand::{SecureRandom, SystemRandom};
use thiserror::Error;

/// Name of the database entry, and of the database itself, in the story.
pub const DATABASE: &str = "shop";

/// Why the folder could not be made.
#[derive(Debug, Error)]
pub enum SettingError {
    /// A file cannot be written.
    #[error("cannot write {path:?}")]
    Write {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// No port for the proxy.
    #[error("no port for the proxy")]
    Port(#[source] ClusterError),
    /// The system has no randomness to give.
    #[error("the system's random number generator failed")]
    Random,
}

/// What a setting is made from.
#[derive(Debug, Clone)]
pub struct SettingOptions<'a> {
    /// Governance files: name and text. [`super::governance::FILES`] for the story.
    pub governance: &'a [(&'a str, &'a str)],
    /// Ids of the agents that get a key.
    pub agents: &'a [&'a str],
    /// Ids of the users that get a key for direct logins.
    pub users: &'a [&'a str],
    /// Lines for `lanyard.toml`, by table: `("audit", "statement = \"fingerprint\"")`. The defaults of the same name give way.
    pub lines: &'a [(&'a str, &'a str)],
}

impl Default for SettingOptions<'_> {
    fn default() -> Self {
        Self {
            governance: &super::governance::FILES,
            agents: &["marketing-agent"],
            users: &["taylor", "riley", "harper", "morgan"],
            lines: &[],
        }
    }
}

/// The folder, and what a caller must know of it.
#[derive(Debug)]
pub struct Setting {
    /// The folder itself.
    pub folder: PathBuf,
    /// `lanyard.toml` in it.
    pub config: PathBuf,
    /// `governance/` in it.
    pub governance: PathBuf,
    /// `audit/` in it; the proxy makes it.
    pub audit: PathBuf,
    /// Where the proxy will listen on 127.0.0.1.
    pub port: u16,
    /// Where `/metrics`, `/healthz` and `/readyz` will be on 127.0.0.1.
    pub http_port: u16,
    /// Agent id -> key.
    pub agent_keys: BTreeMap<String, String>,
    /// User id -> key.
    pub user_keys: BTreeMap<String, String>,
}

impl Setting {
    /// Writes the folder. It is made when absent; nothing else in it is touched, and nothing removes it but its owner.
    ///
    /// # Errors
    /// [`SettingError`].
    pub fn write(
        folder: &Path,
        cluster: &Cluster,
        options: &SettingOptions<'_>,
    ) -> Result<Self, SettingError> {
        let keys = |ids: &[&str]| -> Result<BTreeMap<String, String>, SettingError> {
            ids.iter().map(|id| Ok(((*id).to_owned(), secret()?))).collect()
        };
        let port = free_port().map_err(SettingError::Port)?;
        let mut http_port = port;
        while http_port == port {
            http_port = free_port().map_err(SettingError::Port)?;
        }
        let setting = Self {
            folder: folder.to_owned(),
            config: folder.join("lanyard.toml"),
            governance: folder.join("governance"),
            audit: folder.join("audit"),
            port,
            http_port,
            agent_keys: keys(options.agents)?,
            user_keys: keys(options.users)?,
        };
        std::fs::create_dir_all(&setting.governance)
            .map_err(|source| SettingError::Write { path: setting.governance.clone(), source })?;
        for (name, text) in options.governance {
            private(&setting.governance.join(name), text)?;
        }
        for name in ["builder.password", "vendor.password"] {
            private(&folder.join(name), &secret()?)?;
        }
        private(&setting.config, &setting.toml(cluster, options.lines))?;
        Ok(setting)
    }

    /// The key with which a login (`agent~user`, `agent` or `user`) proves itself.
    #[must_use]
    pub fn key(&self, login: &str) -> Option<&str> {
        let head = login.split('~').next().unwrap_or(login);
        let key = self.agent_keys.get(head).or(self.user_keys.get(head));
        key.map(String::as_str)
    }

    fn toml(&self, cluster: &Cluster, lines: &[(&str, &str)]) -> String {
        // JSON's strings are TOML's basic strings.
        let text = |path: &Path| serde_json::Value::from(path.to_string_lossy()).to_string();
        let database = format!("databases.{DATABASE}");
        let defaults = [
            ("", "node", "\"lanyard-1\"".to_owned()),
            ("listen", "address", format!("\"127.0.0.1:{}\"", self.port)),
            ("listen", "http", format!("\"127.0.0.1:{}\"", self.http_port)),
            ("governance", "directory", text(&self.governance)),
            ("audit", "directory", text(&self.audit)),
            (&database, "host", text(cluster.socket_dir())),
            (&database, "port", cluster.port().to_string()),
            (&database, "database", format!("\"{DATABASE}\"")),
            (&database, "tls", "\"disable\"".to_owned()),
            (&database, "search_path", "[\"public\"]".to_owned()),
            (&database, "builder_password_file", text(&self.folder.join("builder.password"))),
            (&database, "vendor_password_file", text(&self.folder.join("vendor.password"))),
        ];
        let replaced = |table: &str, key: &str| {
            lines
                .iter()
                .any(|(t, line)| *t == table && line.split('=').next().is_some_and(|k| k.trim() == key))
        };
        let mut tables: BTreeMap<&str, String> = BTreeMap::new();
        for (table, key, value) in &defaults {
            if !replaced(table, key) {
                let lines = tables.entry(table).or_default();
                lines.push_str(&format!("{key} = {value}\n"));
            }
        }
        for (table, line) in lines {
            let lines = tables.entry(table).or_default();
            lines.push_str(&format!("{line}\n"));
        }
        // The nameless table sorts first, as TOML wants it.
        let print = |(name, lines): (&&str, &String)| match *name {
            "" => lines.clone(),
            name => format!("\n[{name}]\n{lines}"),
        };
        tables.iter().map(print).collect()
    }
}

/// 256 random bits as 64 hexadecimal digits.
///
/// # Errors
/// [`SettingError::Random`].
pub fn secret() -> Result<String, SettingError> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| SettingError::Random)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes a file that only its owner may read.
fn private(path: &Path, text: &str) -> Result<(), SettingError> {
    let written = std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| SettingError::Write { path: path.to_owned(), source })
}
