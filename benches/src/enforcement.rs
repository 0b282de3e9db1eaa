//! What enforcement costs inside the database: secured views as Lanyard makes them, beside the plain table and PostgreSQL's own row
//! security.
//!
//! Must never compare times of different rounds. Writes `benches/results/enforcement.json` and `docs/cost-of-enforcement.md`.

use std::fmt::Write as _;
use std::path::Path;

use lanyard::demo::lanyard_process::{Lanyard, Serving};
use lanyard::demo::setting::{DATABASE, Setting, SettingOptions, secret};
use lanyard_adapters::cluster::{Cluster, ClusterOptions, scratch_folder};
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};

use crate::statistics::median;
use crate::{Failure, failure, options, report};

pub(crate) const HELP: &str = "\
lanyard-bench enforcement: what secured views cost in the database

  --rounds N   rounds, each with every query on every relation (5)
  --rows N     rows of the table (1000000)
  --pages 0|1  write docs/cost-of-enforcement.md and benches/results/enforcement.json (1)
";
const RESULTS: &str = "benches/results/enforcement.json";
const PAGE: &str = "docs/cost-of-enforcement.md";
const METHOD: &str = "EXPLAIN (ANALYZE, TIMING OFF, BUFFERS OFF): execution time without planning, best of three within a round, median over \
                      rounds; one session, everything in shared buffers; jit off; the same query on every relation, relations in turn";
const GOVERNANCE: [(&str, &str); 3] = [
    ("identities.json", include_str!("../governance/enforcement/identities.json")),
    ("tags.json", include_str!("../governance/enforcement/tags.json")),
    ("enforcement.policy", include_str!("../governance/enforcement/enforcement.policy")),
];
const SCHEMA: &str = include_str!("../governance/enforcement/schema.sql");
const ROLE: &str = "bench_direct";

/// How the same rows are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    Masked,
    Filtered,
    Both,
    RowSecurity,
}

impl Way {
    const ALL: [Self; 5] = [Self::Plain, Self::Masked, Self::Filtered, Self::Both, Self::RowSecurity];

    fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain table",
            Self::Masked => "view, mask only",
            Self::Filtered => "view, filter",
            Self::Both => "view, both",
            Self::RowSecurity => "native row security",
        }
    }

    /// Whose view it is.
    fn user(self) -> Option<&'static str> {
        match self {
            Self::Plain | Self::RowSecurity => None,
            Self::Masked => Some("masked"),
            Self::Filtered => Some("filtered"),
            Self::Both => Some("both"),
        }
    }
}

/// Name, and text with `{t}` for the relation.
const QUERIES: [(&str, &str); 8] = [
    ("point, by key", "SELECT balance FROM {t} WHERE id = 4242"),
    ("range, 2,000 keys", "SELECT count(*), sum(balance) FROM {t} WHERE id BETWEEN 10000 AND 12000"),
    ("prefix LIKE, as written", "SELECT count(*) FROM {t} WHERE name LIKE 'name 12345%'"),
    (
        "prefix LIKE, as Lanyard sends it",
        "SELECT count(*) FROM {t} WHERE (\"name\" OPERATOR(pg_catalog.^@) 'name 12345' AND name LIKE 'name 12345%')",
    ),
    ("lower(), with its index", "SELECT count(*) FROM {t} WHERE lower(name) = 'name 4242'"),
    ("numeric, with its index", "SELECT count(*) FROM {t} WHERE balance = 4242.42"),
    (
        "join, 20 rows by index",
        "SELECT count(*), sum(a.balance) FROM {t} a JOIN public.branch b ON b.id = a.branch_id WHERE b.code = 'code 77'",
    ),
    ("aggregate over all", "SELECT branch_id % 10, count(*), avg(balance) FROM {t} GROUP BY 1"),
];

/// One query by one way.
#[derive(Debug)]
struct Cell {
    way: Way,
    query: usize,
    /// Milliseconds, one per round.
    times: Vec<f64>,
    /// How the table was read: the scan's name.
    scan: String,
}

#[derive(Debug)]
struct Flags {
    rounds: u32,
    rows: u32,
    pages: bool,
}

impl Flags {
    fn parse(flags: &[&str]) -> Result<Self, Failure> {
        let mut parsed = Self { rounds: 5, rows: 1_000_000, pages: true };
        for pair in flags.chunks(2) {
            match pair {
                ["--rounds", value] => parsed.rounds = options::number(value)?,
                ["--rows", value] => parsed.rows = options::number(value)?,
                ["--pages", value] => parsed.pages = *value != "0",
                _ => return Err(failure(&format!("unknown flags {pair:?} (see enforcement --help)"))),
            }
        }
        Ok(parsed)
    }
}

/// Not cancel-safe beyond ending what it has started.
pub(crate) async fn run(flags: &[&str]) -> Result<(), Failure> {
    let flags = Flags::parse(flags)?;
    let stage = Stage::set(flags.rows).await?;
    let mut cells = Vec::new();
    for query in 0..QUERIES.len() {
        for way in Way::ALL {
            cells.push(Cell { way, query, times: Vec::new(), scan: String::new() });
        }
    }
    for round in 0..flags.rounds {
        println!("enforcement: round {} of {}", round + 1, flags.rounds);
        cells.reverse();
        for cell in &mut cells {
            stage.measure(cell).await?;
        }
    }
    if flags.rounds % 2 == 1 {
        cells.reverse();
    }
    let page = page(&cells, &flags, &stage.version);
    println!("{page}");
    if flags.pages {
        std::fs::write(PAGE, page)?;
        let results: Vec<Value> = cells.iter().map(Cell::json).collect();
        let section = json!({ "method": METHOD, "rounds": flags.rounds, "rows": flags.rows, "results": results,
                              "machine": report::machine(), "postgresql": stage.version,
                              "date": report::run("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]) });
        std::fs::create_dir_all(Path::new(RESULTS).parent().unwrap_or(Path::new(".")))?;
        std::fs::write(RESULTS, format!("{section:#}\n"))?;
    }
    Ok(())
}

/// A database with the table, its views, and a session that may read them all.
#[derive(Debug)]
struct Stage {
    session: Client,
    relations: Vec<(Way, String)>,
    version: String,
    _lanyard: Serving,
    _cluster: Cluster,
}

impl Stage {
    async fn set(rows: u32) -> Result<Self, Failure> {
        let settings = [
            ("log_statement", "none"),
            ("fsync", "off"),
            ("shared_buffers", "1GB"),
            ("work_mem", "64MB"),
            ("jit", "off"),
            ("autovacuum", "off"),
        ];
        let cluster = Cluster::start(ClusterOptions {
            bin: None,
            data: scratch_folder("lanyard-bench")?,
            settings: settings.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec(),
            keep: false,
        })
        .await?;
        let password = secret()?;
        let dba = load(&cluster, rows, &password).await?;
        let lanyard = Lanyard::find(std::env::current_exe()?.with_file_name("lanyard"))?;
        let folder = cluster.folder().join("lanyard");
        std::fs::create_dir(&folder)?;
        let setting_options = SettingOptions {
            governance: &GOVERNANCE,
            agents: &[],
            users: &["masked", "filtered", "both"],
            lines: &[],
        };
        let setting = Setting::write(&folder, &cluster, &setting_options)?;
        lanyard.bootstrap(&setting, &cluster.url(DATABASE), &["public"])?;
        lanyard.set_keys(&setting)?;
        let serving = lanyard.serve(&setting).await?;
        let mut relations = vec![(Way::Plain, "public.account".to_owned())];
        for way in Way::ALL {
            if let Some(user) = way.user() {
                relations.push((way, lend(&dba, &setting, user).await?));
            }
        }
        relations.push((Way::RowSecurity, "public.account_secured".to_owned()));
        dba.batch_execute(&format!(
            "INSERT INTO lanyard.session_attribute (role, key, value) VALUES ('{ROLE}', 'user.region', 'US-EAST')"
        ))
        .await?;
        let session = connect(cluster.port(), ROLE, &password).await?;
        session.batch_execute("SET app.region = 'US-EAST'").await?;
        let version = session.query_one("SHOW server_version", &[]).await?.get(0);
        Ok(Self { session, relations, version, _lanyard: serving, _cluster: cluster })
    }

    async fn measure(&self, cell: &mut Cell) -> Result<(), Failure> {
        let (_, relation) = self
            .relations
            .iter()
            .find(|(way, _)| *way == cell.way)
            .ok_or_else(|| failure("no such relation"))?;
        let (_, text) = QUERIES.get(cell.query).ok_or_else(|| failure("no such query"))?;
        let explain = format!("EXPLAIN (ANALYZE, TIMING OFF, BUFFERS OFF) {}", text.replace("{t}", relation));
        let mut best = f64::INFINITY;
        for _ in 0..3 {
            let rows = self.session.query(&explain, &[]).await?;
            let lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            best = best.min(execution(&lines)?);
            cell.scan = scan(&lines);
        }
        cell.times.push(best);
        Ok(())
    }
}

async fn load(cluster: &Cluster, rows: u32, password: &str) -> Result<Client, Failure> {
    let postgres = cluster.connect("postgres").await?;
    postgres.batch_execute(&format!("CREATE DATABASE {DATABASE}")).await?;
    postgres.batch_execute(&format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{password}'")).await?;
    let dba = cluster.connect(DATABASE).await?;
    println!("enforcement: loading {rows} rows, twice");
    dba.batch_execute(&SCHEMA.replace("{rows}", &rows.to_string()).replace("{role}", ROLE)).await?;
    dba.batch_execute("VACUUM ANALYZE").await?;
    Ok(dba)
}

/// Has the user's view built by one session, and lends its bundle to our role; the view's name.
async fn lend(dba: &Client, setting: &Setting, user: &str) -> Result<String, Failure> {
    let key = setting.key(user).ok_or_else(|| failure("the user has no key"))?;
    let session = connect(setting.port, user, key).await?;
    session.query("SELECT balance FROM public.account WHERE id = 1", &[]).await?;
    let found = dba
        .query_one(
            "SELECT l.bundle::text, v.oid::regclass::text \
             FROM lanyard.lease l JOIN lanyard.bundle_relation r ON r.bundle = l.bundle JOIN pg_class v ON v.oid = r.view \
             WHERE r.relid = 'public.account'::regclass ORDER BY l.created DESC LIMIT 1",
            &[],
        )
        .await?;
    let (bundle, view): (String, String) = (found.get(0), found.get(1));
    dba.batch_execute(&format!(
        "GRANT {bundle} TO {ROLE}; GRANT USAGE ON SCHEMA lanyard_secured TO {ROLE}; \
         INSERT INTO lanyard.lease (role, bundle, node, created, expires) \
         VALUES ('{ROLE}', '{bundle}', 'bench', now(), now() + interval '1 day') ON CONFLICT DO NOTHING"
    ))
    .await?;
    Ok(view)
}

async fn connect(port: u16, user: &str, password: &str) -> Result<Client, Failure> {
    let (client, connection) = tokio_postgres::Config::new()
        .host("127.0.0.1")
        .port(port)
        .user(user)
        .password(password)
        .dbname(DATABASE)
        .connect(NoTls)
        .await?;
    // How it ends is told to the client's next statement.
    tokio::spawn(async move { connection.await.ok() });
    Ok(client)
}

/// `Execution Time: 0.031 ms`
fn execution(lines: &[String]) -> Result<f64, Failure> {
    let time = lines.iter().find_map(|line| line.trim().strip_prefix("Execution Time: "));
    time.and_then(|rest| rest.trim_end_matches(" ms").parse().ok())
        .ok_or_else(|| failure("EXPLAIN told no execution time"))
}

/// How the table itself is read: `Index Scan using account_pkey`, `Parallel Seq Scan`.
fn scan(lines: &[String]) -> String {
    let of_table = |line: &&String| line.contains(" on account") || line.contains("using account");
    let found = lines.iter().find(of_table).map(|line| line.trim().trim_start_matches("->").trim());
    let words = found.unwrap_or_default().split(" on ").next().unwrap_or_default();
    words.split(" using ").next().unwrap_or_default().trim().to_owned()
}

impl Cell {
    fn ms(&self) -> f64 {
        median(self.times.iter().copied()).unwrap_or(f64::NAN)
    }

    fn json(&self) -> Value {
        json!({ "query": QUERIES.get(self.query).map(|(name, _)| *name), "way": self.way.word(), "ms": self.ms(),
                "rounds": self.times, "scan": self.scan })
    }
}

fn page(cells: &[Cell], flags: &Flags, version: &str) -> String {
    let mut out = String::from(
        "# What enforcement costs in the database\n\nWritten by `make bench-enforcement`. Milliseconds, and in brackets the multiple of the \
         plain table.\n\n| query |",
    );
    for way in Way::ALL {
        write!(out, " {} |", way.word()).unwrap_or_default();
    }
    out.push_str("\n|---|");
    out.push_str(&"---|".repeat(Way::ALL.len()));
    for (query, (name, _)) in QUERIES.iter().enumerate() {
        write!(out, "\n| {name} |").unwrap_or_default();
        let plain = cells.iter().find(|c| c.query == query && c.way == Way::Plain).map_or(f64::NAN, Cell::ms);
        for cell in cells.iter().filter(|cell| cell.query == query) {
            let times =
                if cell.way == Way::Plain { String::new() } else { format!(" ({:.1}x)", cell.ms() / plain) };
            write!(out, " {:.3}{times}<br>{} |", cell.ms(), cell.scan).unwrap_or_default();
        }
    }
    let machine = report::machine();
    write!(
        out,
        "\n\n{}, {} with {} cores, PostgreSQL {version}, {} rows, {} rounds. {METHOD}.\n{REMEDIES}",
        report::run("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        machine["cpu"].as_str().unwrap_or_default(),
        machine["cpus"],
        flags.rows,
        flags.rounds,
    )
    .unwrap_or_default();
    out
}

const REMEDIES: &str = "
The filter is `region IN (the session's regions)`, read from a table by `session_user`; row security asks `region =
current_setting('app.region')`, as is usual. A third of the rows passes.

## Why, and what is done about it
- **A mask costs no index.** A view that only masks is no security barrier, so conditions and joins go below it.
- **A filter is a barrier**: only leakproof operators go below it, in native row security as in ours. `=`, `IN`, ranges on integers,
  text, dates, timestamps and uuid, and `^@` are leakproof and keep their indexes. LIKE, `lower()`, numeric and casts are not: they are
  asked of every row that passes the filter.
- **`LIKE 'abc%'` is sent with what it implies**, `^@ 'abc'`, where the column is text as it is in the table, unmasked, under a
  deterministic collation, and stands in a WHERE's conjunction (`engine/src/sql/prefix.rs`).
- **What is left**: compare `lower(x)` through a generated or stored column; store money as integers of the smallest unit where it is
  searched by; or have the DBA mark a function leakproof that is.
";
