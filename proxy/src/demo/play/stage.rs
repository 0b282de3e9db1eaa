//! What the story is played on: a private PostgreSQL with sample data, bootstrapped, and the proxy in this process.
//!
//! Must never touch a server or a folder it did not make. Built and closed by [`super::run`].

use std::path::PathBuf;
use std::time::Duration;

use lanyard_adapters::cluster::{Cluster, ClusterOptions, scratch_folder};
use lanyard_adapters::store::{self, Who};
use lanyard_adapters::warehouse::postgres::{self, BootstrapOptions, Login, Secret};
use lanyard_engine::identity::{AgentId, UserId};
use tokio_postgres::Client;

use super::DemoOptions;
use super::error::DemoError;
use super::tell::Tell;
use crate::config::Config;
use crate::demo::setting::{DATABASE, Setting, SettingOptions};
use crate::demo::{data, governance};
use crate::server::{Server, endpoint};

/// Schemas whose tables policy may speak of.
const SCHEMAS: [&str; 2] = ["public", "retail"];
/// How long sessions may take to end at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// Everything that runs. Fields drop in order: the proxy, then the warehouse with all folders.
pub(super) struct Stage {
    server: Server,
    /// A superuser's session in the warehouse itself.
    pub(super) dba: Client,
    /// Folders, ports and keys of the proxy.
    pub(super) setting: Setting,
    /// The warehouse.
    pub(super) cluster: Cluster,
}

impl Stage {
    /// Cancel-safe: a dropped future ends what has been started and removes the folder.
    pub(super) async fn build(options: &DemoOptions, tell: &mut Tell<'_>) -> Result<Self, DemoError> {
        data::check_scale(options.scale)?;
        let bin = Cluster::find_binaries(options.pg_bin.as_deref())?;
        tell.step(&format!("PostgreSQL's programs are in {}", bin.display()))?;
        let cluster = start_cluster(bin, options.folder.clone()).await?;
        tell.step(&format!(
            "a PostgreSQL of our own runs on 127.0.0.1:{}, in {}",
            cluster.port(),
            cluster.folder().display()
        ))?;
        load(&cluster, options.scale, tell).await?;

        let folder = cluster.folder().join("lanyard");
        let made = std::fs::create_dir(&folder);
        made.map_err(|source| DemoError::File { action: "make", path: folder.clone(), source })?;
        let files: Vec<(&str, &str)> = governance::FILES.into_iter().chain([governance::RETAIL]).collect();
        let lines = [("session", "login_seconds = 60")];
        let told = SettingOptions { governance: &files, lines: &lines, ..SettingOptions::default() };
        let setting = Setting::write(&folder, &cluster, &told)?;
        give_keys(&setting)?;
        tell.step(&format!(
            "governance is in {}: identities, tags, policies, verifiers",
            setting.governance.display()
        ))?;

        let config = Config::read(&setting.config)?;
        bootstrap(&cluster, &config).await?;
        tell.step("bootstrapped: lanyard's roles, schemas and functions are in the warehouse")?;
        let server = Server::start(&config).await.map_err(|error| DemoError::Start(Box::new(error)))?;
        tell.step(&format!("lanyard listens on {}", server.address()))?;
        let dba = cluster.connect(DATABASE).await?;
        Ok(Self { server, dba, setting, cluster })
    }

    /// Ends the proxy's sessions, drops their roles, stops the server, removes the folder. `true` when all went in time.
    pub(super) async fn close(self) -> bool {
        let Self { server, dba, setting: _, cluster } = self;
        let clean = server.stop(DRAIN).await;
        drop(dba);
        cluster.stop().await;
        clean
    }
}

async fn start_cluster(bin: PathBuf, folder: Option<PathBuf>) -> Result<Cluster, DemoError> {
    let data = match folder {
        Some(folder) => folder,
        None => scratch_folder("lanyard-demo")?,
    };
    // The data is thrown away: nothing in it has to survive a power cut.
    let settings = vec![("fsync".to_owned(), "off".to_owned())];
    Ok(Cluster::start(ClusterOptions { bin: Some(bin), data, settings, keep: false }).await?)
}

async fn load(cluster: &Cluster, scale: f64, tell: &mut Tell<'_>) -> Result<(), DemoError> {
    let create = format!("CREATE DATABASE {DATABASE}");
    let made = cluster.connect("postgres").await?.batch_execute(&create).await;
    made.map_err(|source| DemoError::Warehouse { what: "create the database", source })?;
    let client = cluster.connect(DATABASE).await?;
    let mut said = Ok(());
    let mut progress = |line: &str| {
        if said.is_ok() {
            said = tell.step(&format!("  {line}"));
        }
    };
    data::load(&client, scale, &mut progress).await?;
    Ok(said?)
}

fn give_keys(setting: &Setting) -> Result<(), DemoError> {
    let directory = &setting.governance;
    for (id, key) in &setting.agent_keys {
        let id =
            AgentId::parse(id).map_err(|_| super::error::story("the setting", "an agent's id is no id"))?;
        store::set_key(directory, Who::Agent(&id), key)?;
    }
    for (id, key) in &setting.user_keys {
        let id = UserId::parse(id).map_err(|_| super::error::story("the setting", "a user's id is no id"))?;
        store::set_key(directory, Who::User(&id), key)?;
    }
    Ok(())
}

async fn bootstrap(cluster: &Cluster, config: &Config) -> Result<(), DemoError> {
    for database in config.databases.values() {
        let material = config.database_material(database)?;
        let login = Login::new(cluster.superuser(), Secret::new(cluster.password()));
        let options = BootstrapOptions {
            grant: SCHEMAS.map(str::to_owned).to_vec(),
            builder_password: Secret::new(material.builder_password.as_str()),
            vendor_password: Secret::new(material.vendor_password.as_str()),
        };
        postgres::bootstrap(&endpoint(database, &material), &login, &options).await?;
    }
    Ok(())
}
