//! PostgreSQL's own regression files, statement by statement, directly and through the proxy.
//!
//! A file's tables, views and functions are made by the owner before the proxy looks at the warehouse, because they are the
//! owner's work; a table that is dropped and made anew gets a schema of its own in front of the path. Everything else
//! happens in the file's order, on both sides: work of owners on a connection of theirs, the rest on the session under
//! test. The files come from PostgreSQL's source package (`scripts/setup.sh test` fetches it) and are not ours to keep.

use std::collections::HashSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use lanyard::demo::setting::SettingOptions;
use lanyard_adapters::cluster::Cluster;
use lanyard_tests::governed::warehouse;
use lanyard_tests::{Governed, GovernedOptions, Outcome, program_folder};
use pg_raw_parse::{Node, nodes};
use tokio_postgres::{Client, NoTls};

use crate::majors;

use super::compare::{Answer, Tally, answer};
use super::script::{Kind, Statement, statements};
use super::{GOVERNANCE, report};

/// The files of the issue, in its order.
const FILES: [&str; 21] = [
    "join",
    "aggregates",
    "select",
    "select_distinct",
    "subselect",
    "union",
    "groupingsets",
    "window",
    "with",
    "insert",
    "update",
    "delete",
    "merge",
    "returning",
    "limit",
    "case",
    "arrays",
    "jsonb",
    "strings",
    "date",
    "numeric",
];
/// What `make test` runs.
const SHORT: [&str; 8] =
    ["select", "select_distinct", "delete", "returning", "limit", "case", "union", "date"];
/// Percent of the statements of every file that have to be alike.
const SHARE_MIN: f64 = 95.0;
/// What stays under it, and how far, for reasons that docs/what-works.md counts: MERGE into views needs PostgreSQL 17, secured
/// views have no system columns, and functions that read base tables fail.
const SHORT_OF: [(&str, f64); 4] =
    [("merge", 58.0), ("merge on 17", 90.0), ("update", 72.0), ("insert", 89.0)];
const PASSWORD: &str = "regression";

/// Where the source package was unpacked; absent where it could not be fetched.
fn folder() -> Outcome<Option<PathBuf>> {
    let target = program_folder()?;
    let target = target.parent().ok_or("no target folder")?;
    let folder = target.join("regress");
    Ok(folder.join("sql").is_dir().then_some(folder))
}

struct Step {
    statement: Statement,
    /// Schemas of the file made so far.
    epoch: usize,
    /// Does it succeed when PostgreSQL alone runs the file?
    succeeds: bool,
}

struct Planned {
    name: String,
    steps: Vec<Step>,
    /// Schemas of the file in all.
    schemas: usize,
}

fn schema(file: &str, number: usize) -> String {
    format!("regress_{file}_{number}")
}

/// `SET search_path` to the schemas of a file made so far, the newest first.
fn path(file: &str, epoch: usize) -> String {
    let schemas: Vec<String> = (1..=epoch).rev().map(|number| schema(file, number)).collect();
    format!("SET search_path = {}, public", schemas.join(", "))
}

/// Runs a file's shaping statements as the owner, and notes where in the file each schema begins.
async fn plan(dba: &Client, truth: &Client, file: &str, all: Vec<Statement>) -> Outcome<Planned> {
    let mut steps = Vec::new();
    // Names made so far, those of them that the newest schema holds, and whether a statement has looked at that.
    let (mut epoch, mut made, mut here, mut looked) = (1, HashSet::new(), HashSet::new(), false);
    dba.batch_execute(&format!("CREATE SCHEMA {}; {}", schema(file, 1), path(file, 1))).await?;
    for mut statement in all {
        let succeeds = truth.simple_query(&statement.text).await.is_ok();
        if matches!(statement.kind, Kind::Shape | Kind::Fill) {
            statement.text = lasting(&statement.text);
            if let Some(name) = created(&statement.text) {
                // One that is made again while nothing has been asked of the newest schema can stand in it, too.
                if here.contains(&name) || looked && made.contains(&name) {
                    epoch += 1;
                    here.clear();
                    looked = false;
                    dba.batch_execute(&format!(
                        "CREATE SCHEMA {}; {}",
                        schema(file, epoch),
                        path(file, epoch)
                    ))
                    .await?;
                }
                here.insert(name.clone());
                made.insert(name);
            }
            let ran = dba.simple_query(&statement.text).await;
            if let (Kind::Fill, Ok(_), Some(name)) = (statement.kind, ran, created(&statement.text)) {
                dba.batch_execute(&format!("TRUNCATE {}.\"{name}\"", schema(file, epoch))).await.ok();
            }
        }
        looked |= statement.kind.is_counted();
        steps.push(Step { statement, epoch, succeeds });
    }
    truth.batch_execute("ROLLBACK; RESET ALL; DISCARD TEMP").await.ok();
    Ok(Planned { name: file.to_owned(), steps, schemas: epoch })
}

/// A table that lasts longer than its session: the owner makes it on another.
fn lasting(text: &str) -> String {
    let mut out = text.to_owned();
    for word in [
        "temporary ",
        "temp ",
        "unlogged ",
        "on commit drop",
        "on commit delete rows",
        "on commit preserve rows",
    ] {
        let lower = out.to_ascii_lowercase();
        let before_query = lower.find(" as ").unwrap_or(lower.len());
        if let Some(at) = lower.find(word).filter(|at| *at < before_query || word.starts_with("on")) {
            out.replace_range(at..at + word.len(), "");
        }
    }
    out
}

fn name_of(relation: Option<&nodes::RangeVar>) -> Option<String> {
    relation.filter(|r| r.schemaname().is_none())?.relname().map(str::to_owned)
}

/// The relation that a statement makes, where its name is bare and nothing is replaced.
fn created(text: &str) -> Option<String> {
    let parsed = pg_raw_parse::parse(text).ok()?.into_inner();
    let statement = parsed.iter().next()?;
    match statement.stmt() {
        Node::CreateStmt(create) => name_of(create.relation()),
        Node::ViewStmt(view) if !view.replace => name_of(view.view()),
        Node::CreateSeqStmt(sequence) => name_of(sequence.sequence()),
        Node::CreateTableAsStmt(create) => name_of(create.into()?.rel()),
        Node::SelectStmt(select) => leftmost(select),
        _ => None,
    }
}

fn leftmost(select: &nodes::SelectStmt) -> Option<String> {
    match select.into_clause() {
        Some(into) => name_of(into.rel()),
        None => leftmost(select.larg()?),
    }
}

/// One side: the session under test, and the owner of the same database.
struct Side {
    session: Client,
    dba: Client,
    path: String,
}

impl Side {
    async fn look(&mut self, path: &str) -> Outcome {
        if self.path != path {
            self.session.batch_execute(path).await?;
            self.dba.batch_execute(path).await?;
            path.clone_into(&mut self.path);
        }
        Ok(())
    }

    async fn owner(&self, step: &Step, file: &str) {
        // Whether it succeeds is the file's affair.
        self.dba.simple_query(&step.statement.text).await.ok();
        if step.statement.kind != Kind::Fill {
            return;
        }
        let Some(name) = created(&step.statement.text) else { return };
        let own = schema(file, step.epoch);
        let script = [
            "CREATE SCHEMA filling".to_owned(),
            format!("SET search_path = filling, {}", self.path.trim_start_matches("SET search_path = ")),
            step.statement.text.clone(),
            format!("INSERT INTO {own}.\"{name}\" SELECT * FROM filling.\"{name}\""),
            "DROP SCHEMA IF EXISTS filling CASCADE".to_owned(),
            self.path.clone(),
        ];
        for statement in script {
            self.dba.simple_query(&statement).await.ok();
        }
    }
}

struct Sides {
    direct: Side,
    proxied: Side,
    in_transaction: bool,
}

impl Sides {
    async fn both(&self, sql: &str) -> (Answer, Answer) {
        tokio::join!(answer(&self.direct.session, sql), answer(&self.proxied.session, sql))
    }

    /// One counted statement. What only one side did is undone, so that both have the same rows afterwards.
    async fn counted(&mut self, step: &Step) -> (Answer, Answer) {
        let (begin, keep, undo) = if self.in_transaction {
            ("SAVEPOINT compared", "RELEASE compared", "ROLLBACK TO compared; RELEASE compared")
        } else {
            ("BEGIN", "COMMIT", "ROLLBACK")
        };
        self.both(begin).await;
        let (mut direct, mut proxied) = self.both(&step.statement.text).await;
        let alike = direct.is_like(&proxied) && direct.is_rows();
        if alike {
            let (one, other) = self.both(keep).await;
            // Deferred constraints speak here.
            if !one.is_rows() || !other.is_rows() {
                (direct, proxied) = (one, other);
            }
        }
        if !alike {
            for statement in undo.split("; ") {
                self.both(statement).await;
            }
        }
        (direct, proxied)
    }

    /// An owner's work in the file changed what the session may do, and ended it: the next one goes on.
    async fn again(&mut self, governed: &Governed) -> Outcome {
        self.proxied.session = governed.connect("tester").await?;
        self.proxied.path.clear();
        self.direct.session.batch_execute("ROLLBACK").await?;
        self.in_transaction = false;
        Ok(())
    }

    async fn session(&mut self, text: &str) {
        let lower = text.to_ascii_lowercase();
        let starts = |words: &[&str]| words.iter().any(|word| lower.starts_with(word));
        let of_transaction = starts(&[
            "begin",
            "start",
            "commit",
            "end",
            "abort",
            "rollback",
            "savepoint",
            "release",
            "prepare transaction",
        ]);
        // A setting that only one side takes must not end the other's transaction.
        let kept = self.in_transaction && !of_transaction;
        if kept {
            self.both("SAVEPOINT kept").await;
        }
        let (direct, proxied) = self.both(text).await;
        if kept {
            for (side, said) in [(&self.direct, &direct), (&self.proxied, &proxied)] {
                if !said.is_rows() {
                    answer(&side.session, "ROLLBACK TO kept").await;
                }
                answer(&side.session, "RELEASE kept").await;
            }
        }
        if direct.is_rows() && begins(text) {
            self.in_transaction = true;
        } else if ends(text) {
            self.in_transaction = false;
            // The path may have gone back with it.
            self.direct.path.clear();
            self.proxied.path.clear();
        }
    }

    async fn file(&mut self, planned: &Planned, governed: &Governed) -> Outcome<Tally> {
        let mut tally = Tally::new(&planned.name);
        for (at, step) in planned.steps.iter().enumerate() {
            // The path stays as it is while a transaction is open: its tables are those of its end.
            let rest = planned.steps.get(at..).unwrap_or_default();
            let end =
                rest.iter().find(|one| ends(&one.statement.text)).filter(|_| begins(&step.statement.text));
            let path = path(&planned.name, end.unwrap_or(step).epoch);
            if !self.in_transaction {
                self.direct.look(&path).await?;
                if self.proxied.look(&path).await.is_err() {
                    self.again(governed).await?;
                    self.proxied.look(&path).await?;
                }
            }
            match step.statement.kind {
                kind if kind.is_counted() => {
                    let (direct, proxied) = self.counted(step).await;
                    if self.proxied.session.is_closed() || proxied.is_ended() {
                        self.again(governed).await?;
                        self.direct.look(&path).await?;
                        self.proxied.look(&path).await?;
                        let (direct, proxied) = self.counted(step).await;
                        note(step, &direct, &proxied, &mut tally);
                    } else {
                        note(step, &direct, &proxied, &mut tally);
                    }
                }
                Kind::Owner | Kind::Fill => {
                    tokio::join!(
                        self.direct.owner(step, &planned.name),
                        self.proxied.owner(step, &planned.name)
                    );
                }
                Kind::Session => self.session(&step.statement.text).await,
                _ => {}
            }
        }
        self.both("ROLLBACK").await;
        self.both("RESET ALL").await;
        self.in_transaction = false;
        Ok(tally)
    }
}

fn starts(text: &str, words: &[&str]) -> bool {
    let lower = text.to_ascii_lowercase();
    words.iter().any(|word| lower.starts_with(word))
}

/// Does it begin a transaction?
fn begins(text: &str) -> bool {
    starts(text, &["begin", "start transaction"])
}

/// Does it end one?
fn ends(text: &str) -> bool {
    starts(text, &["commit", "end", "abort", "prepare transaction"])
        || starts(text, &["rollback"]) && !text.to_ascii_lowercase().contains(" to ")
}

fn note(step: &Step, direct: &Answer, proxied: &Answer, tally: &mut Tally) {
    if step.succeeds && !direct.is_rows() {
        tally.succeed += 1;
        tally.left += 1;
        tally.apart.push(format!("{}\n  {}", direct.shown(), step.statement.text));
    } else {
        tally.note(&step.statement.text, direct, proxied);
    }
}

/// The warehouse with three databases of the same tables: governed, direct, and one where the files run as they are.
async fn prepare(folder: &Path, files: &[&str], bin: Option<&Path>) -> Outcome<(Cluster, Vec<Planned>)> {
    let cluster = warehouse(&options(&GOVERNANCE, &[], bin)).await?;
    let postgres = cluster.connect("postgres").await?;
    let read = |name: &str| std::fs::read_to_string(folder.join("sql").join(name).with_extension("sql"));
    let shop = cluster.connect(lanyard::demo::setting::DATABASE).await?;
    for statement in statements(&read("test_setup")?, folder)? {
        // What needs PostgreSQL's test library fails, and nothing of it is used.
        shop.simple_query(&statement.text).await.ok();
    }
    drop(shop);
    copy_database(&postgres, "truth").await?;
    let shop = cluster.connect(lanyard::demo::setting::DATABASE).await?;
    let truth = cluster.connect("truth").await?;
    let mut planned = Vec::new();
    for file in files {
        planned.push(plan(&shop, &truth, file, statements(&read(file)?, folder)?).await?);
    }
    drop((shop, truth));
    copy_database(&postgres, "direct").await?;
    let direct = cluster.connect("direct").await?;
    direct.batch_execute(&format!("CREATE ROLE direct LOGIN PASSWORD '{PASSWORD}'")).await?;
    let own = planned.iter().flat_map(|p| (1..=p.schemas).map(|n| schema(&p.name, n)));
    for schema in own.chain(["public".to_owned(), "retail".to_owned()]) {
        direct
            .batch_execute(&format!(
                "GRANT USAGE ON SCHEMA {schema} TO direct; GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO direct;
                 GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO direct"
            ))
            .await?;
    }
    Ok((cluster, planned))
}

/// A copy of the governed database; it waits for connections that are just closing.
async fn copy_database(postgres: &Client, name: &str) -> Outcome {
    let sql = format!("CREATE DATABASE {name} TEMPLATE {}", lanyard::demo::setting::DATABASE);
    lanyard_tests::wait::until("a database nobody uses", async || Ok(postgres.batch_execute(&sql).await.ok()))
        .await
}

const OPEN: &str = "policy open
  allow read, write on tables like 'public.%' or like 'regress%' or like 'retail.%'
  to users named tester
";

/// Everything is granted: the files' tables, functions and types.
async fn open_policy(dba: &Client) -> Outcome<String> {
    let named = async |word: &str, sql: &str| -> Outcome<String> {
        let rows = dba.query(sql, &[]).await?;
        let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let list = names.join(", ");
        Ok(if names.is_empty() {
            String::new()
        } else {
            format!("\npolicy {word}s\n  allow {word} {list}\n  to users named tester\n")
        })
    };
    let schemas = "n.nspname IN ('public') OR n.nspname LIKE 'regress%'";
    let functions = format!(
        "SELECT DISTINCT n.nspname || '.' || p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE ({schemas}) AND p.proname ~ '^[a-z_][a-z0-9_]*$' AND p.prorettype <> 'trigger'::regtype ORDER BY 1"
    );
    let types = format!(
        "SELECT DISTINCT n.nspname || '.' || t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
         LEFT JOIN pg_class c ON c.oid = t.typrelid
         WHERE ({schemas}) AND t.typname ~ '^[a-z][a-z0-9_]*$' AND coalesce(c.relkind, 'c') = 'c' ORDER BY 1"
    );
    Ok(format!("{OPEN}{}{}", named("function", &functions).await?, named("type", &types).await?))
}

/// Policy has no word for sequences: who may write a column may draw from what the column draws from. So those of no column get one.
async fn draw(dba: &Client) -> Outcome {
    let alone = "SELECT format('CREATE TABLE %I.%I (n bigint DEFAULT nextval(%L))', n.nspname, 'draws_' || c.relname, c.oid::regclass)
                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE c.relkind = 'S' AND n.nspname LIKE 'regress%'
                 AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i'))";
    for row in dba.query(alone, &[]).await? {
        dba.batch_execute(row.get(0)).await?;
    }
    Ok(())
}

fn options<'a>(
    governance: &'a [(&'a str, &'a str)],
    schemas: &'a [&'a str],
    bin: Option<&'a Path>,
) -> GovernedOptions<'a> {
    GovernedOptions {
        setting: SettingOptions { governance, agents: &[], users: &["tester"], lines: &[] },
        postgres: &[("log_statement", "none"), ("statement_timeout", "30s")],
        schemas,
        bin,
        ..GovernedOptions::default()
    }
}

async fn direct_session(cluster: &Cluster) -> Outcome<Client> {
    let (client, connection) = tokio_postgres::Config::new()
        .host("127.0.0.1")
        .port(cluster.port())
        .user("direct")
        .password(PASSWORD)
        .dbname("direct")
        .connect(NoTls)
        .await?;
    tokio::spawn(async move { connection.await.ok() });
    Ok(client)
}

/// Runs the files on a server, the usual one where none is named; `None` where they could not be fetched.
pub(crate) async fn run(files: &[&str], bin: Option<&Path>) -> Outcome<Option<Vec<Tally>>> {
    let Some(folder) = folder()? else { return Ok(None) };
    let (cluster, planned) = prepare(&folder, files, bin).await?;
    let schemas: Vec<String> =
        planned.iter().flat_map(|p| (1..=p.schemas).map(|n| schema(&p.name, n))).collect();
    let schemas: Vec<&str> = schemas.iter().map(String::as_str).collect();
    let dba = cluster.connect(lanyard::demo::setting::DATABASE).await?;
    let policy = open_policy(&dba).await?;
    draw(&dba).await?;
    drop(dba);
    let governance = [GOVERNANCE[0], GOVERNANCE[1], ("open.policy", &*policy)];
    let governed = Governed::over(cluster, &options(&governance, &schemas, bin)).await?;
    let owner = async |database: &str| -> Outcome<Client> {
        let client = governed.cluster().connect(database).await?;
        client.batch_execute("SET lock_timeout = '300ms'; SET client_min_messages = error").await?;
        Ok(client)
    };
    let mut sides = Sides {
        direct: Side {
            session: direct_session(governed.cluster()).await?,
            dba: owner("direct").await?,
            path: String::new(),
        },
        proxied: Side {
            session: governed.connect("tester").await?,
            dba: owner(lanyard::demo::setting::DATABASE).await?,
            path: String::new(),
        },
        in_transaction: false,
    };
    let mut tallies = Vec::new();
    for file in &planned {
        tallies.push(sides.file(file, &governed).await?);
    }
    Ok(Some(tallies))
}

/// All files on the usual server, and what has MERGE in it on 17: before that PostgreSQL has no MERGE into views.
pub(crate) async fn all() -> Outcome<Option<Vec<Tally>>> {
    let Some(mut tallies) = run(&FILES, None).await? else { return Ok(None) };
    if let Some(bin) = majors::server(17)? {
        let later = run(&["merge", "with"], Some(&bin)).await?.unwrap_or_default();
        tallies
            .extend(later.into_iter().map(|tally| Tally { name: format!("{} on 17", tally.name), ..tally }));
    }
    Ok(Some(tallies))
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_of_postgresqls_regression_files_behave_as_they_do_directly() -> Outcome {
    let chosen = std::env::var("LANYARD_REGRESSION").unwrap_or_default();
    let chosen: Vec<&str> = chosen.split_whitespace().collect();
    let ran = match chosen.as_slice() {
        [] if cfg!(feature = "long") => all().await?,
        [] => run(&SHORT, None).await?,
        ["all"] => all().await?,
        chosen => run(chosen, None).await?,
    };
    let Some(tallies) = ran else {
        writeln!(
            std::io::stderr(),
            "regression files: NOT RUN, PostgreSQL's source package is not there (scripts/setup.sh test)"
        )?;
        return Ok(());
    };
    report::tell("regression", &tallies)?;
    let low: Vec<&str> =
        tallies.iter().filter(|t| t.share() < share_min(&t.name)).map(|t| t.name.as_str()).collect();
    assert!(low.is_empty(), "under {SHARE_MIN} %: {low:?}");
    Ok(())
}

/// Files known to fall short, with what they reach; see docs/what-works.md for the reasons.
fn share_min(file: &str) -> f64 {
    let known = SHORT_OF.iter().find(|(name, _)| *name == file);
    known.map_or(SHARE_MIN, |(_, share)| *share)
}
