//! The warehouse changes under live sessions: a rename-and-swap, columns that come, go and change, tables dropped and made
//! again, partitions, migrations by the DBA's own tools, and a migration that is killed.
//!
//! In every test a watcher asks all the time, as somebody whose rows are filtered and whose names are masked: what it must
//! never see, it must not see for a moment.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lanyard::demo::setting::{DATABASE, SettingOptions};
use lanyard_tests::wait::{until, until_within};
use lanyard_tests::{Governed, GovernedOptions, Outcome, program_folder};
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// Sees rows of US-EAST, and no last name.
const LOGIN: &str = "marketing-agent~riley";
const ORDERS: &str = "SELECT order_id, lastname, region FROM customer_orders ORDER BY order_id";
/// What riley must never see, whatever happens to the tables.
const HIDDEN: [&str; 8] =
    ["Abernathy", "Brightwater", "Castellanos", "Donnelly", "Eriksen", "US-WEST", "US-CENTRAL", "SECRET"];
/// What an honest answer may be while tables change: changing, ended, no such table, no such column, another plan, no backend,
/// and the victim where a DBA drops a table with its views while somebody reads them.
const ANSWERS: [&str; 7] = ["55P03", "57P01", "42P01", "42703", "0A000", "08006", "40P01"];

/// Asks until it is told to stop.
struct Watcher {
    stop: Arc<AtomicBool>,
    seen: JoinHandle<Result<usize, String>>,
}

impl Watcher {
    fn start(governed: &Arc<Governed>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, governed) = (Arc::clone(&stop), Arc::clone(governed));
        let seen = tokio::spawn(async move {
            let mut answers = 0;
            let mut session = None;
            while !told.load(Ordering::Relaxed) {
                let client = match session.take() {
                    Some(client) => client,
                    None => governed.connect(LOGIN).await.map_err(|e| format!("a login failed: {e:?}"))?,
                };
                match watch(&client).await {
                    Ok(shown) => {
                        answers += 1;
                        if let Some(leaked) = HIDDEN.iter().find(|hidden| shown.contains(**hidden)) {
                            return Err(format!("{leaked} was shown: {shown}"));
                        }
                    }
                    Err(error) => {
                        let code = error.code().map(SqlState::code);
                        if code.is_some_and(|code| !ANSWERS.contains(&code)) {
                            return Err(format!("an answer that explains nothing: {error:?}"));
                        }
                        let said = format!("{error:?}");
                        if let Some(leaked) = HIDDEN.iter().chain(&["lanyard"]).find(|h| said.contains(**h)) {
                            return Err(format!("{leaked} was told: {said}"));
                        }
                    }
                }
                if !client.is_closed() {
                    session = Some(client);
                }
            }
            Ok(answers)
        });
        Self { stop, seen }
    }

    /// Stops; it must have got answers, and nothing it must not see.
    async fn done(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        let answers = self.seen.await??;
        assert!(answers > 10, "the watcher watched: {answers}");
        Ok(())
    }
}

async fn watch(client: &Client) -> Result<String, tokio_postgres::Error> {
    let mut shown = String::new();
    for sql in ["SELECT * FROM customer_orders", "SELECT to_jsonb(o) FROM customer_orders o", ORDERS] {
        shown.push_str(&format!("{:?}", client.simple_query(sql).await?));
    }
    let prepared = client.prepare("SELECT lastname || region FROM customer_orders").await?;
    shown.push_str(&format!("{:?}", client.query(&prepared, &[]).await?));
    Ok(shown)
}

/// The first column, as text.
async fn column(client: &Client, sql: &str) -> Result<Vec<String>, tokio_postgres::Error> {
    let messages = client.simple_query(sql).await?;
    Ok(messages
        .iter()
        .filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL").to_owned()),
            _ => None,
        })
        .collect())
}

async fn code(client: &Client, sql: &str) -> Option<String> {
    client.simple_query(sql).await.err().and_then(|error| error.code().map(|code| code.code().to_owned()))
}

/// Waits until this very session gets exactly this.
async fn until_shown(client: &Client, sql: &str, rows: &[&str]) -> Outcome {
    until(sql, async || match column(client, sql).await {
        Ok(shown) => Ok((shown == rows).then_some(())),
        Err(error) if error.code().is_some_and(|c| ANSWERS.contains(&c.code())) && !client.is_closed() => {
            Ok(None)
        }
        Err(error) => Err(format!("{sql}: {error:?}").into()),
    })
    .await
}

/// What a DBA does without `lanyard migrate`; once more where the server chose it to end a deadlock with a reader.
async fn by_hand(dba: &Client, sql: &str) -> Outcome {
    until("the DBA's change", async || match dba.batch_execute(sql).await {
        Ok(()) => Ok(Some(())),
        Err(error) if error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED) => {
            dba.batch_execute("ROLLBACK").await?;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    })
    .await
}

fn psql(governed: &Governed) -> PathBuf {
    let beside = governed.cluster().bin().join("psql");
    if beside.is_file() { beside } else { "psql".into() }
}

/// `lanyard migrate` with these arguments in front of `-- psql -c SQL`, as the DBA.
async fn migrate(governed: &Arc<Governed>, options: &[&str], sql: &str) -> Outcome<String> {
    let url = governed.cluster().url(DATABASE);
    let program = psql(governed).display().to_string();
    let tail = ["--", &program, "-qX", "-v", "ON_ERROR_STOP=1", "-d", &url, "-c", sql];
    let arguments: Vec<String> = options.iter().copied().chain(tail).map(str::to_owned).collect();
    let governed = Arc::clone(governed);
    tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Ok(governed.lanyard().run("migrate", governed.setting(), &["migrate"], &arguments, "")?)
    })
    .await?
}

fn release(governed: &Governed, name: &str) -> Outcome {
    governed.lanyard().run("release", governed.setting(), &["release"], &[name], "")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_follows_a_table_that_is_swapped_dropped_or_grown() -> Outcome {
    let governed = Arc::new(Governed::start().await?);
    let (dba, session) = (governed.dba().await?, governed.connect(LOGIN).await?);
    until_shown(&session, ORDERS, &["1", "2", "5"]).await?;
    let prepared = session.prepare("SELECT order_id FROM customer_orders WHERE order_id > $1").await?;
    let watcher = Watcher::start(&governed);

    // As dbt does it; the new table has a column more, that nobody has looked at.
    by_hand(&dba, "BEGIN;
         CREATE TABLE public.customer_orders__new (LIKE public.customer_orders INCLUDING ALL, note text DEFAULT 'SECRET');
         INSERT INTO public.customer_orders__new VALUES (7, 'Abernathy', 'US-EAST', 1, 2), (8, 'Donnelly', 'US-WEST', 3, 4);
         ALTER TABLE public.customer_orders RENAME TO customer_orders__old;
         ALTER TABLE public.customer_orders__new RENAME TO customer_orders;
         COMMIT").await?;
    until_shown(&session, ORDERS, &["7"]).await?;
    // Only now: the old one had to go on until the new one was seen.
    by_hand(&dba, "DROP TABLE public.customer_orders__old CASCADE").await?;
    until_shown(&session, ORDERS, &["7"]).await?;
    let oid: u32 = dba.query_one("SELECT 'public.customer_orders'::regclass::oid", &[]).await?.get(0);
    until_shown(&session, "SELECT 'customer_orders'::regclass::oid", &[&oid.to_string()]).await?;
    let described = session.prepare("SELECT order_id FROM customer_orders").await?;
    assert_eq!(described.columns()[0].table_oid(), Some(oid), "the table is told by the OID it has now");

    // Dropped with all that depends on it, and made again.
    by_hand(&dba, "BEGIN; CREATE TABLE public.kept AS TABLE public.customer_orders; DROP TABLE public.customer_orders CASCADE;
         ALTER TABLE public.kept RENAME TO customer_orders; INSERT INTO public.customer_orders VALUES (9, 'Eriksen', 'US-EAST');
         COMMIT").await?;
    until_shown(&session, ORDERS, &["7", "9"]).await?;
    assert_eq!(session.query(&prepared, &[&7]).await?.len(), 1, "what was prepared before runs after");

    // Another column; the session goes on and does not see it, with or without a name.
    by_hand(&dba, "ALTER TABLE public.customer_orders ADD COLUMN more text DEFAULT 'SECRET'").await?;
    by_hand(&dba, "ALTER TABLE public.customer_orders RENAME COLUMN note TO lastname2").await?;
    for sql in ["SELECT more FROM customer_orders", "SELECT lastname2 FROM customer_orders"] {
        assert_eq!(code(&session, sql).await.as_deref(), Some("42703"));
    }
    until_shown(&session, ORDERS, &["7", "9"]).await?;
    watcher.done().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dba_changes_columns_that_secured_views_read() -> Outcome {
    let governed = Arc::new(Governed::start().await?);
    let (dba, session) = (governed.dba().await?, governed.connect(LOGIN).await?);
    until_shown(&session, ORDERS, &["1", "2", "5"]).await?;
    let watcher = Watcher::start(&governed);

    let in_the_way = "ALTER TABLE public.customer_orders ALTER COLUMN order_total TYPE text";
    let refused = dba.batch_execute(in_the_way).await;
    assert!(refused.is_err(), "without `migrate` the views stand in the way");
    // Nothing that anybody sees changes: this very session goes on.
    migrate(&governed, &[], "ALTER TABLE public.customer_orders ALTER COLUMN region SET STORAGE EXTERNAL")
        .await?;
    until_shown(&session, ORDERS, &["1", "2", "5"]).await?;

    migrate(&governed, &["--table", "public.customer_orders"], in_the_way).await?;
    until("the session is ended: what it may see has changed", async || {
        Ok((code(&session, "SELECT 1").await.as_deref() == Some("57P01") || session.is_closed())
            .then_some(()))
    })
    .await?;
    let session = governed.connect(LOGIN).await?;
    until_shown(&session, ORDERS, &["1", "2", "5"]).await?;
    let retyped = "SELECT order_total FROM customer_orders";
    assert_eq!(code(&session, retyped).await.as_deref(), Some("42703"), "another type is new");
    release(&governed, "public.customer_orders.order_total")?;
    let session = until("the released column", async || {
        let session = governed.connect(LOGIN).await?;
        Ok(code(&session, retyped).await.is_none().then_some(session))
    })
    .await?;

    // Dropped, and one of its name and type made again; the tag on it is there before it is.
    migrate(
        &governed,
        &[],
        "ALTER TABLE public.customer_orders DROP COLUMN lastname;
         ALTER TABLE public.customer_orders ADD COLUMN lastname varchar(40) NOT NULL DEFAULT 'SECRET';
         ALTER TABLE public.customer_orders DROP COLUMN total_with_shipping",
    )
    .await?;
    until("the column is gone", async || {
        // Until the proxy has looked at the tables again nobody can log in.
        let Ok(session) = governed.connect(LOGIN).await else { return Ok(None) };
        let gone = code(&session, "SELECT total_with_shipping FROM customer_orders").await;
        let shown = column(&session, "SELECT DISTINCT lastname FROM customer_orders").await;
        Ok((gone.as_deref() == Some("42703") && shown.is_ok_and(|s| s == ["REDACTED"])).then_some(()))
    })
    .await?;
    drop(session);

    // What fails leaves nothing closed, and says so.
    let failed = migrate(&governed, &[], "SELECT 1 / 0").await;
    assert!(failed.is_err_and(|error| error.to_string().contains("the tables are open again")));
    let missing = migrate(&governed, &["--table", "public.nothing"], "SELECT 1").await;
    assert!(missing.is_err_and(|error| error.to_string().contains("there is no table")));
    let session = governed.connect(LOGIN).await?;
    until_shown(&session, ORDERS, &["1", "2", "5"]).await?;
    watcher.done().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_partition_is_seen_through_its_table_alone() -> Outcome {
    let governed = Arc::new(
        Governed::start_with(&GovernedOptions {
            sql: "CREATE TABLE public.events (id int, region text) PARTITION BY RANGE (id);
                  CREATE TABLE public.events_1 PARTITION OF public.events FOR VALUES FROM (0) TO (10);
                  INSERT INTO public.events VALUES (1, 'US-EAST'), (2, 'US-WEST')",
            setting: SettingOptions {
                governance: &with_tags(&[("public.events", "Sales")], &[("public.events.region", "Region")])
                    .each_ref()
                    .map(|(name, text)| (*name, text.as_str())),
                ..SettingOptions::default()
            },
            ..GovernedOptions::default()
        })
        .await?,
    );
    let (dba, session) = (governed.dba().await?, governed.connect(LOGIN).await?);
    let events = "SELECT id FROM events ORDER BY 1";
    until_shown(&session, events, &["1"]).await?;
    let watcher = Watcher::start(&governed);
    dba.batch_execute(
        "CREATE TABLE public.events_2 PARTITION OF public.events FOR VALUES FROM (10) TO (20);
         INSERT INTO public.events VALUES (11, 'US-EAST'), (12, 'US-WEST')",
    )
    .await?;
    until_shown(&session, events, &["1", "11"]).await?;
    for partition in ["events_1", "events_2"] {
        let sql = format!("SELECT id FROM {partition}");
        assert_eq!(code(&session, &sql).await.as_deref(), Some("42P01"));
    }
    migrate(&governed, &["--table", "public.events"], "ALTER TABLE public.events DETACH PARTITION events_1")
        .await?;
    until_shown(&session, events, &["11"]).await?;
    watcher.done().await
}

/// The story's governance with more tags.
fn with_tags(tables: &[(&str, &str)], columns: &[(&str, &str)]) -> [(&'static str, String); 3] {
    lanyard::demo::governance::FILES.map(|(name, text)| {
        if name != "tags.json" {
            return (name, text.to_owned());
        }
        let mut tags: serde_json::Value = serde_json::from_str(text).expect("the story's tags are JSON");
        for (of, list) in [("tables", tables), ("columns", columns)] {
            for (on, tag) in list {
                tags[of][on] = serde_json::json!([tag]);
            }
        }
        (name, tags.to_string())
    })
}

const ALEMBIC: &str = r#"
import sys, os, pathlib
from alembic.config import Config
from alembic import command
folder = pathlib.Path(sys.argv[1])
config = Config()
config.set_main_option("script_location", str(folder))
config.set_main_option("sqlalchemy.url", os.environ["DBA_URL"])
command.upgrade(config, sys.argv[2])
"#;
const ALEMBIC_ENV: &str = r#"
from alembic import context
from sqlalchemy import create_engine
engine = create_engine(context.config.get_main_option("sqlalchemy.url"))
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"#;
const ALEMBIC_FIRST: &str = r#"
revision = "first"
down_revision = None
import sqlalchemy as sa
from alembic import op
def upgrade():
    op.add_column("customer_orders", sa.Column("note", sa.Text(), server_default="SECRET"))
    op.alter_column("customer_orders", "lastname", type_=sa.String(60))
    op.drop_column("customer_orders", "total_with_shipping")
    op.create_table("followers", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("lastname", sa.Text()))
    op.execute("INSERT INTO followers VALUES (1, 'SECRET')")
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_alembic_migration_runs_as_it_is() -> Outcome {
    let governed = Arc::new(Governed::start().await?);
    let folder = governed.setting().folder.join("alembic");
    std::fs::create_dir_all(folder.join("versions"))?;
    std::fs::write(folder.join("env.py"), ALEMBIC_ENV)?;
    std::fs::write(folder.join("versions/first.py"), ALEMBIC_FIRST)?;
    let script = governed.setting().folder.join("upgrade.py");
    std::fs::write(&script, ALEMBIC)?;
    let python = program_folder()?.join("../venv/bin/python");
    let url = governed.cluster().url(DATABASE);
    let url =
        url.split_once("://").map(|(_, rest)| format!("postgresql+psycopg://{rest}")).ok_or("no URL")?;
    let alembic = |wrapped: bool| -> Outcome<std::process::Output> {
        let mut command = Command::new(if wrapped { governed.lanyard().binary() } else { &python });
        if wrapped {
            command.args(["migrate", "--config"]).arg(&governed.setting().config).arg("--").arg(&python);
        }
        Ok(command.arg(&script).arg(&folder).arg("head").env("DBA_URL", &url).output()?)
    };
    let session = governed.connect(LOGIN).await?;
    until_shown(&session, ORDERS, &["1", "2", "5"]).await?;
    let watcher = Watcher::start(&governed);
    let alone = alembic(false)?;
    assert!(
        String::from_utf8_lossy(&alone.stderr).contains("cannot alter type of a column used by a view"),
        "without `migrate`: {alone:?}"
    );
    let wrapped = alembic(true)?;
    assert!(wrapped.status.success(), "{wrapped:?}");
    until("access comes back, to what policy knows", async || {
        let session = governed.connect(LOGIN).await?;
        Ok((column(&session, ORDERS).await.is_ok_and(|rows| rows == ["1", "2", "5"])
            && code(&session, "SELECT total_with_shipping FROM customer_orders").await.as_deref()
                == Some("42703"))
        .then_some(()))
    })
    .await?;
    let session = governed.connect(LOGIN).await?;
    for (sql, state) in [
        ("SELECT note FROM customer_orders", "42703"),
        ("SELECT * FROM followers", "42P01"),
        ("SELECT * FROM alembic_version", "42P01"),
    ] {
        assert_eq!(code(&session, sql).await.as_deref(), Some(state), "{sql}");
    }
    // Another type, and a tag of its own: somebody has looked, and the mask is on it.
    until_shown(&session, "SELECT DISTINCT lastname FROM customer_orders", &["REDACTED"]).await?;
    watcher.done().await
}

/// `lanyard migrate -- sh -c 'say the shell's number; wait for the end of standard input'`: the command ends with this value,
/// whatever became of `lanyard migrate`, because its standard input does.
struct Stuck {
    migrate: Child,
}

impl Stuck {
    async fn start(governed: &Governed, options: &[&str]) -> Outcome<Self> {
        let begun = governed.setting().folder.join("command.begun");
        drop(std::fs::remove_file(&begun));
        let script = format!("touch {}; exec cat > /dev/null", begun.display());
        let migrate = Command::new(governed.lanyard().binary())
            .args(["migrate", "--config"])
            .arg(&governed.setting().config)
            .args(options)
            .args(["--", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let stuck = Self { migrate };
        until("the command runs", async || Ok(begun.exists().then_some(()))).await?;
        Ok(stuck)
    }

    /// kill -9 of `lanyard migrate`; its command goes on.
    fn kill(&mut self) -> Outcome {
        self.migrate.kill()?;
        // Not `wait`: it would close the command's standard input.
        until_dead(&mut self.migrate)
    }
}

fn until_dead(child: &mut Child) -> Outcome {
    while child.try_wait()?.is_none() {
        std::thread::yield_now();
    }
    Ok(())
}

impl Drop for Stuck {
    fn drop(&mut self) {
        drop(self.migrate.kill());
        drop(self.migrate.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_is_killed_leaves_the_tables_closed_until_somebody_says_it_is_over() -> Outcome {
    let governed = Arc::new(Governed::start().await?);
    let finish = || governed.lanyard().run("migrate", governed.setting(), &["migrate"], &["--finish"], "");
    let session = governed.connect(LOGIN).await?;
    until_shown(&session, ORDERS, &["1", "2", "5"]).await?;
    let mut raw = governed.raw_session(LOGIN).await?;
    raw.query("BEGIN; SELECT count(*) FROM customer_orders").await?;
    let watcher = Watcher::start(&governed);
    // An open transaction reads the table and ends nothing: it is waited for, then it is ended.
    let mut stuck = Stuck::start(&governed, &[]).await?;
    until("the session in the way is ended", async || Ok(raw.query("SELECT 1").await.is_err().then_some(())))
        .await?;
    assert_eq!(code(&session, ORDERS).await.as_deref(), Some("55P03"));
    assert_eq!(code(&session, "SELECT 1").await, None, "the session itself goes on");
    // Who comes meanwhile, also somebody who was never there.
    for login in [LOGIN, "harper"] {
        let newcomer = governed.connect(login).await?;
        assert_eq!(code(&newcomer, ORDERS).await.as_deref(), Some("55P03"), "{login}");
        assert_eq!(code(&newcomer, "SELECT 1").await, None);
    }
    let said = governed.connect(LOGIN).await?.simple_query(ORDERS).await.expect_err("closed");
    let said = said.as_db_error().map(|e| format!("{} {:?}", e.message(), e.hint())).unwrap_or_default();
    assert!(
        said.contains("\"public.customer_orders\" is being changed") && said.contains("try again"),
        "{said}"
    );
    // Another one, and a hasty word that it is over, are refused while it lives.
    let second = migrate(&governed, &[], "SELECT 1").await;
    assert!(second.is_err_and(|error| error.to_string().contains("is under way")));
    assert!(finish().is_err_and(|error| error.to_string().contains("its process lives")));

    stuck.kill()?;
    assert_eq!(code(&session, ORDERS).await.as_deref(), Some("55P03"), "dead is not over");
    // A restart of the proxy changes nothing of that.
    governed.kill_proxy().await?;
    governed.start_proxy().await?;
    assert!(governed.proxy_log().await.contains("lanyard migrate --finish"));
    let session = governed.connect(LOGIN).await?;
    assert_eq!(code(&session, ORDERS).await.as_deref(), Some("55P03"));
    assert!(finish()?.contains("is over"));
    until_shown(&session, ORDERS, &["1", "2", "5"]).await?;
    assert!(finish()?.contains("no migration"));

    // What a dead one left, the next one takes over; other tables stay open when one is named.
    let mut dead = Stuck::start(&governed, &["--table", "public.customer_orders"]).await?;
    assert_eq!(code(&session, ORDERS).await.as_deref(), Some("55P03"));
    let harper = governed.connect("harper").await?;
    assert_eq!(code(&harper, "SELECT count(*) FROM retail.customer").await, None, "not concerned");
    dead.kill()?;
    migrate(&governed, &[], "SELECT 1").await?;
    until_shown(&session, ORDERS, &["1", "2", "5"]).await?;
    // The proxy was killed under the watcher.
    watcher.stop.store(true, Ordering::Relaxed);
    if let Err(wrong) = watcher.seen.await? {
        assert!(wrong.starts_with("a login failed"), "{wrong}");
    }
    Ok(())
}

const BY_TERRITORY: &str = "
policy readers
  allow read on tables named public.customer_orders to everyone
policy territories
  show rows of tables named public.customer_orders
  using lookup public.territories
  where region in (select region from public.territories where manager = @user.id)
  for everyone
";

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_a_row_rule_looks_into_is_swapped() -> Outcome {
    let files = with_tags(&[], &[]).map(|(name, text)| match name {
        "sample.policy" => (name, BY_TERRITORY.to_owned()),
        _ => (name, text),
    });
    let governed = Governed::start_with(&GovernedOptions {
        sql: "CREATE TABLE public.territories (manager text, region text);
              INSERT INTO public.territories VALUES ('riley', 'US-EAST'), ('taylor', 'US-WEST')",
        setting: SettingOptions {
            governance: &files.each_ref().map(|(name, text)| (*name, text.as_str())),
            ..SettingOptions::default()
        },
        ..GovernedOptions::default()
    })
    .await?;
    let (dba, session) = (governed.dba().await?, governed.connect("riley").await?);
    let orders = "SELECT order_id FROM customer_orders ORDER BY 1";
    until_shown(&session, orders, &["1", "2", "5"]).await?;
    // The same signature, other rows: what the old table said must not go on deciding.
    dba.batch_execute(
        "BEGIN; CREATE TABLE public.fresh (LIKE public.territories);
         INSERT INTO public.fresh VALUES ('riley', 'US-CENTRAL');
         ALTER TABLE public.territories RENAME TO stale; ALTER TABLE public.fresh RENAME TO territories; COMMIT",
    )
    .await?;
    until_within(15, "the new territories decide", async || {
        Ok(column(&session, orders).await.is_ok_and(|rows| rows == ["4"]).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_whose_access_changes_under_it_begins_again() -> Outcome {
    let governed = Arc::new(Governed::start().await?);
    let path = governed.setting().governance.join("tags.json");
    let before = std::fs::read_to_string(&path)?;
    let mut tags: serde_json::Value = serde_json::from_str(&before)?;
    tags["columns"]["public.customer_orders.order_total"] = serde_json::json!(["PII.Name"]);
    let stop = Arc::new(AtomicBool::new(false));
    let (told, logging_in) = (Arc::clone(&stop), Arc::clone(&governed));
    let logins = tokio::spawn(async move {
        let mut count = 0;
        while !told.load(Ordering::Relaxed) {
            drop(logging_in.connect(LOGIN).await.map_err(|error| format!("login {count}: {error:?}"))?);
            count += 1;
        }
        Ok::<usize, String>(count)
    });
    for text in [tags.to_string(), before.clone(), tags.to_string(), before] {
        std::fs::write(&path, &text)?;
        let masked = text.contains("order_total");
        until("the change is in force", async || {
            let Ok(client) = governed.connect(LOGIN).await else { return Ok(None) };
            let shown = column(&client, "SELECT max(order_total)::text FROM customer_orders").await;
            Ok(shown.is_ok_and(|rows| (rows == ["117.00"]) != masked).then_some(()))
        })
        .await?;
    }
    stop.store(true, Ordering::Relaxed);
    assert!(logins.await?? > 4);
    Ok(())
}
