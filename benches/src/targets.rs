//! The servers under test, started and ready.
//!
//! A target that cannot be had for a good reason is skipped with a note; a target that is there and fails ends the run.

use std::path::Path;
use std::process::Command;

use lanyard::demo::lanyard_process::{Lanyard, Serving};
use lanyard::demo::setting::{DATABASE, Setting, SettingOptions, secret};
use lanyard_adapters::cluster::{Cluster, ClusterOptions, free_port, scratch_folder};
use lanyard_adapters::process::{Process, Signal};

use crate::kind::Kind;
use crate::options::Options;
use crate::pgbench::{self, Door, Pgbench, Script};
use crate::{Failure, failure, pgbouncer, ready};

const GOVERNANCE: [(&str, &str); 3] = [
    ("identities.json", include_str!("../governance/identities.json")),
    ("tags.json", include_str!("../governance/tags.json")),
    ("bench.policy", include_str!("../governance/bench.policy")),
];
const GOVERNED_SCRIPT: &str = include_str!("../governance/governed.sql");
const GOVERNED_TABLE: &str = "public.governed_accounts";
/// How long a session is idle before its backend goes: enough for the part with backends to be opened and measured.
pub(crate) const DETACH_SECONDS: u64 = 30;
/// Login of the baselines; it holds rights on pgbench's tables, and on the secured view for `direct-governed`.
const BASELINE_ROLE: &str = "bench_direct";

/// One target, ready to be asked.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) kind: Kind,
    pub(crate) door: Door,
    pub(crate) script: Script,
    /// The process in between, if there is one.
    pub(crate) pid: Option<u32>,
}

/// Everything that runs. The servers go before the cluster they stand in front of.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) ready: Vec<Ready>,
    /// Kind and reason.
    pub(crate) skipped: Vec<(Kind, String)>,
    pub(crate) pgbench: Pgbench,
    pub(crate) versions: Vec<(&'static str, String)>,
    peers: Vec<(Kind, Process)>,
    lanyard: Option<Serving>,
    pub(crate) cluster: Cluster,
}

impl Stage {
    /// Starts the cluster, loads the data, starts every server wanted.
    ///
    /// Cancel-safe: a dropped future ends what it has started.
    pub(crate) async fn set(options: &Options) -> Result<Self, Failure> {
        let cluster = start_cluster(options).await?;
        let logs = cluster.folder().join("bench");
        std::fs::create_dir(&logs)?;
        let pgbench = Pgbench {
            program: pgbench::find(cluster.bin()),
            logs,
            scale: options.scale,
            seconds: options.seconds,
        };
        let direct = load(&cluster, &pgbench).await?;
        let mut stage = Self {
            ready: Vec::new(),
            skipped: Vec::new(),
            versions: versions(&cluster).await?,
            pgbench,
            peers: Vec::new(),
            lanyard: None,
            cluster,
        };
        let wants = |kind| options.targets.contains(&kind);
        if wants(Kind::Direct) {
            stage.add(Kind::Direct, direct.clone(), Script::SelectOnly);
        }
        if wants(Kind::Forwarder) {
            stage.start_forwarder(&direct).await?;
        }
        if wants(Kind::PgBouncer) {
            stage.start_pgbouncer(&direct).await?;
        }
        let lanyards = [Kind::LanyardOpen, Kind::DirectGoverned];
        if lanyards.into_iter().any(wants) {
            stage.start_lanyard(&direct, &wants).await?;
        }
        Ok(stage)
    }

    fn add(&mut self, kind: Kind, door: Door, script: Script) {
        let peer = |kind| self.peers.iter().find(|(of, _)| *of == kind).map(|(_, process)| process.id());
        let pid = match kind {
            Kind::Direct | Kind::DirectGoverned => None,
            Kind::Forwarder | Kind::ForwarderGoverned => peer(Kind::Forwarder),
            Kind::PgBouncer | Kind::PgBouncerGoverned => peer(Kind::PgBouncer),
            Kind::LanyardOpen | Kind::LanyardGoverned => self.lanyard.as_ref().map(Serving::id),
        };
        self.ready.push(Ready { kind, door, script, pid });
    }

    /// The target of this kind, if it was wanted and could be had.
    pub(crate) fn target(&self, kind: Kind) -> Option<&Ready> {
        self.ready.iter().find(|ready| ready.kind == kind)
    }

    async fn start_forwarder(&mut self, direct: &Door) -> Result<(), Failure> {
        let port = free_port()?;
        let socket = format!(".s.PGSQL.{}", self.cluster.port());
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["forwarder", "--listen", &format!("127.0.0.1:{port}"), "--to"])
            .arg(self.cluster.socket_dir().join(socket));
        let mut process = Process::spawn(&mut command, Signal::Terminate)?;
        ready::tcp(port, &mut process).await?;
        self.peers.push((Kind::Forwarder, process));
        let door = Door { port, ..direct.clone() };
        self.add(Kind::Forwarder, door, Script::SelectOnly);
        Ok(())
    }

    async fn start_pgbouncer(&mut self, direct: &Door) -> Result<(), Failure> {
        let Some(program) = pgbouncer::find() else {
            let why = "there is no pgbouncer on this machine (apt-get install pgbouncer)";
            self.skipped.push((Kind::PgBouncer, why.to_owned()));
            return Ok(());
        };
        let port = free_port()?;
        let process = pgbouncer::start(&program, &self.cluster, port, direct).await?;
        self.peers.push((Kind::PgBouncer, process));
        self.versions.push(("pgbouncer", pgbouncer::version(&program)));
        let door = Door { port, ..direct.clone() };
        self.add(Kind::PgBouncer, door, Script::SelectOnly);
        Ok(())
    }

    async fn start_lanyard(&mut self, direct: &Door, wants: &impl Fn(Kind) -> bool) -> Result<(), Failure> {
        let lanyard = Lanyard::find(std::env::current_exe()?.with_file_name("lanyard"))?;
        let folder = self.cluster.folder().join("lanyard");
        std::fs::create_dir(&folder)?;
        // Room for the idle sessions.
        let (clients, detach) = ("clients_max = 20000", format!("detach_seconds = {DETACH_SECONDS}"));
        let options = SettingOptions {
            governance: &GOVERNANCE,
            agents: &["bench-agent"],
            users: &[],
            lines: &[("listen", clients), ("session", &detach)],
        };
        let setting = Setting::write(&folder, &self.cluster, &options)?;
        lanyard.bootstrap(&setting, &self.cluster.url(DATABASE), &["public"])?;
        lanyard.set_keys(&setting)?;
        self.lanyard = Some(lanyard.serve(&setting).await?);
        let version = lanyard_version(lanyard.binary());
        self.versions.push(("lanyard", version));
        let door = |user: &str| Door {
            port: setting.port,
            user: format!("bench-agent~{user}"),
            password: setting.agent_keys.get("bench-agent").cloned().unwrap_or_default(),
            database: DATABASE.to_owned(),
        };
        if wants(Kind::LanyardOpen) {
            self.add(Kind::LanyardOpen, door("open"), Script::SelectOnly);
        }
        if wants(Kind::DirectGoverned) {
            let governed = self.script("governed.sql", GOVERNED_SCRIPT)?;
            let script = self.governed_baseline(&door("governed"), &governed).await?;
            self.add(Kind::DirectGoverned, direct.clone(), script.clone());
            for (kind, peer) in
                [(Kind::ForwarderGoverned, Kind::Forwarder), (Kind::PgBouncerGoverned, Kind::PgBouncer)]
            {
                let door = self.target(peer).map(|ready| ready.door.clone());
                if let Some(door) = door.filter(|_| wants(kind)) {
                    self.add(kind, door, script.clone());
                }
            }
            if wants(Kind::LanyardGoverned) {
                self.add(Kind::LanyardGoverned, door("governed"), governed);
            }
        }
        Ok(())
    }

    fn script(&self, name: &str, text: &str) -> Result<Script, Failure> {
        let path = self.pgbench.logs.join(name);
        std::fs::write(&path, text)?;
        Ok(Script::File(path))
    }

    /// The same enforced statement without the stamp, for a role that holds the same bundle: one session through Lanyard
    /// has the view and the bundle built, and the superuser lends both to the baseline's login.
    async fn governed_baseline(&self, lanyard: &Door, script: &Script) -> Result<Script, Failure> {
        let once = Pgbench { seconds: 1, ..self.pgbench.clone() };
        once.measure(lanyard, None, script, pgbench::Mode::Simple, 1)?;
        let dba = self.cluster.connect(DATABASE).await?;
        let found = dba
            .query_opt(
                "SELECT r.bundle::text, v.oid::regclass::text FROM lanyard.bundle_relation r JOIN pg_class v ON v.oid = r.view \
                 WHERE r.relid = $1::text::regclass AND r.readable",
                &[&GOVERNED_TABLE],
            )
            .await?;
        let found = found.ok_or_else(|| failure("no bundle has the governed table"))?;
        let (bundle, view): (String, String) = (found.get(0), found.get(1));
        dba.batch_execute(&format!(
            "GRANT {bundle} TO {BASELINE_ROLE}; GRANT USAGE ON SCHEMA lanyard_secured TO {BASELINE_ROLE}; \
             INSERT INTO lanyard.lease (role, bundle, node, created, expires) \
             VALUES ('{BASELINE_ROLE}', '{bundle}', 'bench', now(), now() + interval '1 day'); \
             INSERT INTO lanyard.session_attribute (role, key, value) VALUES ('{BASELINE_ROLE}', 'user.region', 'US-EAST')"
        ))
        .await?;
        let text = GOVERNED_SCRIPT.replace(GOVERNED_TABLE, &view);
        self.script("governed-direct.sql", &text)
    }
}

async fn start_cluster(options: &Options) -> Result<Cluster, Failure> {
    let settings = [
        ("log_statement", "none"),
        ("fsync", "off"),
        ("shared_buffers", "512MB"),
        ("autovacuum", "off"),
        ("jit", "off"),
        ("max_connections", "1300"),
    ];
    let started = Cluster::start(ClusterOptions {
        bin: options.pg_bin.clone(),
        data: scratch_folder("lanyard-bench")?,
        settings: settings.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec(),
        keep: false,
    });
    Ok(started.await?)
}

/// pgbench's tables, the governed copy of its accounts, and the baseline's login.
async fn load(cluster: &Cluster, pgbench: &Pgbench) -> Result<Door, Failure> {
    let postgres = cluster.connect("postgres").await?;
    let password = secret()?;
    postgres.batch_execute(&format!("CREATE DATABASE {DATABASE}")).await?;
    postgres.batch_execute(&format!("CREATE ROLE {BASELINE_ROLE} LOGIN PASSWORD '{password}'")).await?;
    println!("loading pgbench's tables, scale {}", pgbench.scale);
    pgbench.initialise(&Door {
        port: cluster.port(),
        user: cluster.superuser().to_owned(),
        password: cluster.password().to_owned(),
        database: DATABASE.to_owned(),
    })?;
    let shop = cluster.connect(DATABASE).await?;
    shop.batch_execute(&format!(
        "CREATE TABLE {GOVERNED_TABLE} (aid int PRIMARY KEY, lastname varchar(40) NOT NULL, region varchar(16) NOT NULL, \
         abalance int NOT NULL); \
         INSERT INTO {GOVERNED_TABLE} SELECT aid, 'name ' || aid, (ARRAY['US-EAST', 'US-WEST', 'US-CENTRAL'])[1 + aid % 3], \
         abalance FROM pgbench_accounts; \
         GRANT SELECT ON pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers TO {BASELINE_ROLE}"
    ))
    .await?;
    shop.batch_execute("VACUUM ANALYZE").await?;
    shop.batch_execute("CHECKPOINT").await?;
    Ok(Door { port: cluster.port(), user: BASELINE_ROLE.to_owned(), password, database: DATABASE.to_owned() })
}

async fn versions(cluster: &Cluster) -> Result<Vec<(&'static str, String)>, Failure> {
    let client = cluster.connect("postgres").await?;
    let row = client.query_one("SHOW server_version", &[]).await?;
    Ok(vec![("postgresql", row.get(0))])
}

fn lanyard_version(binary: &Path) -> String {
    let printed = Command::new(binary).arg("--version").output();
    let text = printed.map_or_else(|_| Vec::new(), |p| p.stdout);
    String::from_utf8_lossy(&text).trim().to_owned()
}
