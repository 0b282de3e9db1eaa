//! A private PostgreSQL with two equal databases, and Lanyard in front of one of them, for other projects' test suites.
//!
//! Prints where both are as one line of JSON, and ends with its standard input. Started by `tests/compat/run.py`.

use std::io::Read as _;

use lanyard::demo::lanyard_process::Lanyard;
use lanyard::demo::setting::{DATABASE, Setting, SettingOptions, secret};
use lanyard_adapters::cluster::{Cluster, ClusterOptions, scratch_folder};
use lanyard_tests::Outcome;
use serde_json::json;

const GOVERNANCE: [(&str, &str); 3] = [
    ("identities.json", include_str!("governance/identities.json")),
    ("tags.json", include_str!("governance/tags.json")),
    ("compat.policy", include_str!("governance/compat.policy")),
];
const SCHEMA: &str = include_str!("schema.sql");
/// The database that is asked without Lanyard.
const DIRECT: &str = "direct";
/// Its login: it owns the tables, as the agent owns its workspace.
const DIRECT_ROLE: &str = "compat_direct";
const AGENT: &str = "compat-agent";
const LOGIN: &str = "compat-agent~compat";

#[tokio::main]
async fn main() -> Outcome {
    let settings = [("fsync", "off"), ("log_statement", "none")];
    let cluster = Cluster::start(ClusterOptions {
        bin: None,
        data: scratch_folder("lanyard-compat")?,
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        keep: false,
    })
    .await?;
    let password = secret()?;
    load(&cluster, &password).await?;
    let lanyard = Lanyard::find(std::env::current_exe()?.with_file_name("lanyard"))?;
    let folder = cluster.folder().join("lanyard");
    std::fs::create_dir(&folder)?;
    let options = SettingOptions { governance: &GOVERNANCE, agents: &[AGENT], users: &[], lines: &[] };
    let setting = Setting::write(&folder, &cluster, &options)?;
    lanyard.bootstrap(&setting, &cluster.url(DATABASE), &["public"])?;
    lanyard.set_keys(&setting)?;
    let serving = lanyard.serve(&setting).await?;
    let key = setting.key(LOGIN).ok_or("the agent has a key")?;
    let door = |port: u16, user: &str, password: &str, database: &str| json!({ "host": "127.0.0.1", "port": port, "user": user, "password": password, "database": database });
    println!(
        "{}",
        json!({
            "direct": door(cluster.port(), DIRECT_ROLE, &password, DIRECT),
            "proxied": door(setting.port, LOGIN, key, DATABASE),
            "bin": cluster.bin(),
            "log": folder.join("lanyard.log"),
        })
    );
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    serving.stop().await;
    Ok(())
}

async fn load(cluster: &Cluster, password: &str) -> Outcome {
    let postgres = cluster.connect("postgres").await?;
    postgres.batch_execute(&format!("CREATE ROLE {DIRECT_ROLE} LOGIN PASSWORD '{password}'")).await?;
    for database in [DIRECT, DATABASE] {
        postgres.batch_execute(&format!("CREATE DATABASE {database}")).await?;
        let dba = cluster.connect(database).await?;
        dba.batch_execute("CREATE EXTENSION citext; CREATE EXTENSION hstore").await?;
        if database == DIRECT {
            dba.batch_execute(&format!(
                "GRANT CREATE ON DATABASE {DIRECT} TO {DIRECT_ROLE}; GRANT CREATE ON SCHEMA public TO {DIRECT_ROLE}; \
                 SET ROLE {DIRECT_ROLE}"
            ))
            .await?;
        }
        dba.batch_execute(SCHEMA).await?;
    }
    Ok(())
}
