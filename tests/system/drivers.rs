//! Real clients through the proxy: psql, pgbench, psycopg, psycopg2, SQLAlchemy, asyncpg, pg8000.
//!
//! What a driver does is in `tests/drivers/*.py`; each script asserts for itself and prints `done`. All share one proxy
//! that offers TLS, so drivers that try it speak it.

use std::sync::{Arc, Weak};

use lanyard::demo::governance;
use lanyard::demo::setting::SettingOptions;
use lanyard_tests::programs::Printed;
use lanyard_tests::{Governed, GovernedOptions, Outcome};
use tokio::process::Command;
use tokio::sync::Mutex;

const PGBENCH_POLICY: (&str, &str) = (
    "pgbench.policy",
    "policy bench\n  allow read, write on tables named public.pgbench_branches, public.pgbench_tellers,\n    \
     public.pgbench_accounts, public.pgbench_history\n  to users named morgan\n",
);
/// What `pgbench -i` makes at scale 1, with fewer accounts.
const PGBENCH_TABLES: &str = "
    CREATE TABLE public.pgbench_branches (bid int PRIMARY KEY, bbalance int, filler char(88));
    CREATE TABLE public.pgbench_tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84));
    CREATE TABLE public.pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
    CREATE TABLE public.pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
    INSERT INTO pgbench_branches SELECT b, 0 FROM generate_series(1, 1) b;
    INSERT INTO pgbench_tellers SELECT t, 1, 0 FROM generate_series(1, 10) t;
    INSERT INTO pgbench_accounts SELECT a, 1, 0, '' FROM generate_series(1, 1000) a;
    ANALYZE;";

const PSQL_COMMANDS: [&str; 54] = [
    r"\dd",
    r"\dL",
    r"\dL+",
    r"\dFd",
    r"\dFp",
    r"\dFt",
    r"\dAf",
    r"\dAo",
    r"\dAp",
    r"\drds",
    r"\d",
    r"\dt",
    r"\d+",
    r"\dt+",
    r"\d retail.*",
    r"\d+ customer_orders",
    r"\d+ retail.lineitem",
    r"\di",
    r"\dv",
    r"\dm",
    r"\ds",
    r"\dn",
    r"\dn+",
    r"\l",
    r"\du",
    r"\dg",
    r"\df",
    r"\df+",
    r"\dT",
    r"\dT+",
    r"\dD",
    r"\dO",
    r"\dx",
    r"\dp",
    r"\z",
    r"\ddp",
    r"\db",
    r"\dy",
    r"\des",
    r"\dew",
    r"\det",
    r"\deu",
    r"\dP",
    r"\dRp",
    r"\dRs",
    r"\dX",
    r"\dE",
    r"\dF",
    r"\da",
    r"\do",
    r"\dc",
    r"\dA",
    r"\dAc",
    r"\dC",
];

static SHARED: Mutex<Weak<Governed>> = Mutex::const_new(Weak::new());

/// The environment of the driver tests: it offers TLS, and `morgan` may write pgbench's tables.
pub(crate) async fn environment() -> Outcome<Arc<Governed>> {
    let mut shared = SHARED.lock().await;
    if let Some(running) = shared.upgrade() {
        return Ok(running);
    }
    let folder = lanyard_adapters::cluster::scratch_folder("lanyard-tls")?;
    std::fs::create_dir_all(&folder)?;
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, pair.cert.pem())?;
    std::fs::write(&key, pair.signing_key.serialize_pem())?;
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let certificate = format!("tls_certificate = \"{}\"", certificate.display());
    let key = format!("tls_key = \"{}\"", key.display());
    let mut files = governance::FILES.to_vec();
    files.push(PGBENCH_POLICY);
    let options = GovernedOptions {
        setting: SettingOptions {
            governance: &files,
            lines: &[("listen", &certificate), ("listen", &key)],
            ..SettingOptions::default()
        },
        sql: PGBENCH_TABLES,
        ..GovernedOptions::default()
    };
    let started = Governed::start_with(&options).await;
    std::fs::remove_dir_all(&folder)?;
    let started = Arc::new(started?);
    *shared = Arc::downgrade(&started);
    Ok(started)
}

async fn script(text: &str, arguments: &[&str]) -> Outcome {
    let governed = environment().await?;
    let printed = governed.python_with("harper", text, arguments).await?;
    assert_eq!(printed.success()?.trim(), "done");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn psycopg() -> Outcome {
    script(include_str!("../drivers/psycopg3.py"), &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn psycopg2() -> Outcome {
    script(include_str!("../drivers/psycopg2_.py"), &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn asyncpg() -> Outcome {
    script(include_str!("../drivers/asyncpg_.py"), &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn pg8000() -> Outcome {
    script(include_str!("../drivers/pg8000_.py"), &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlalchemy_over_psycopg() -> Outcome {
    script(include_str!("../drivers/sqlalchemy_.py"), &["psycopg"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlalchemy_over_psycopg2() -> Outcome {
    script(include_str!("../drivers/sqlalchemy_.py"), &["psycopg2"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlalchemy_over_pg8000() -> Outcome {
    script(include_str!("../drivers/sqlalchemy_.py"), &["pg8000"]).await
}

async fn psql(script: &str) -> Outcome<Printed> {
    environment().await?.psql("harper", script).await
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_describes_what_may_be_queried_and_nothing_else() -> Outcome {
    // One session for all: the commands cost milliseconds, a login costs more.
    let script: String = PSQL_COMMANDS.iter().map(|command| format!("{command}\n")).collect();
    let printed = psql(&format!("\\set ON_ERROR_STOP 0\n{script}\\echo the end\n")).await?;
    let said = format!("{}{}", printed.out, printed.err);
    assert!(said.contains("customer_orders") && said.contains("the end"), "{said}");
    assert!(!said.contains("ERROR"), "{}", printed.err);
    let lower = said.to_lowercase();
    for word in ["payroll", "lanyard_secured", "lanyard_catalog", "lanyard_owner", "|v_", "lanyard_bundle"] {
        let line = lower.lines().find(|line| line.contains(word));
        assert!(line.is_none(), "psql shows {word}: {line:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_shows_a_table_as_it_is() -> Outcome {
    let out = psql("\\t off\n\\d customer_orders\n\\d+ customer_orders\n\\dt\n").await?.success()?;
    for part in [
        "order_id|integer||not null|",
        "lastname|character varying(40)||not null|",
        "\"customer_orders_pkey\" PRIMARY KEY, btree (order_id)",
        "\"customer_orders_region\" btree (region)",
        "Last name of the person who ordered",
        "public|customer_orders|table|",
    ] {
        assert!(out.contains(part), "{part} is not in {out}");
    }
    let out = psql("\\t off\n\\d retail.lineitem\n").await?.success()?;
    assert!(out.contains("REFERENCES retail.orders(o_orderkey)"), "{out}");
    let none = psql("\\d payroll\n").await?;
    assert!(none.err.contains("Did not find any relation named \"payroll\""), "{none:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_commands_work() -> Outcome {
    let script = "\\x\nSELECT order_id FROM customer_orders WHERE order_id = 1;\n\\x\n\\conninfo\n\
        \\copy (SELECT order_id, lastname FROM customer_orders ORDER BY 1) TO STDOUT\n\
        COPY (SELECT region FROM customer_orders WHERE order_id = 3) TO STDOUT WITH CSV HEADER;\n\
        BEGIN;\nDECLARE c CURSOR FOR SELECT order_id FROM customer_orders ORDER BY 1;\n\
        FETCH 2 FROM c;\nMOVE c;\nFETCH c;\nCLOSE c;\nCOMMIT;\n\
        SELECT 1; SELECT 2;\nSELECT 3 \\; SELECT 4;\n\
        \\set FETCH_COUNT 2\nSELECT order_id * 100 FROM customer_orders ORDER BY 1;\n\\set FETCH_COUNT 0\n\
        EXPLAIN SELECT * FROM retail.nation;\n\\timing on\nSELECT 5;\n\\timing off\n\
        SELECT order_id FROM customer_orders WHERE order_id = 2 \\gset\n\\echo got :order_id\n\
        SELECT 'SELECT 6 AS six' \\gexec\nSELECT order_id, region FROM customer_orders \\gdesc\n\
        TABLE retail.region;\nVALUES (7);\n\\encoding\nSHOW search_path;\n";
    let out = psql(script).await?.success()?;
    for part in [
        "order_id|1\n",
        "as user \"harper\"",
        "SSL connection",
        "1\tAbernathy\n",
        "region\nUS-WEST\n",
        "BEGIN\nDECLARE CURSOR\n1\n2\nMOVE 1\n4\n",
        "1\n2\n3\n4\n",
        "100\n200\n300\n400\n500\n",
        "Seq Scan on nation",
        "Time: ",
        "got 2\n",
        "\n6\n",
        "order_id|integer\n",
        "AFRICA",
        "\n7\n",
        "UTF8\n",
        "\npublic\n",
    ] {
        assert!(out.contains(part), "{part:?} is not in {out}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_point_into_the_clients_own_text() -> Outcome {
    let cases = [
        (
            "SELECT order_id, nope FROM customer_orders;",
            "42703",
            "LINE 1: SELECT order_id, nope FROM customer_orders;",
            25,
        ),
        (
            "/* h\u{e9} */ SELECT o.order_id,\n   o.nope FROM public.customer_orders o;",
            "42703",
            "LINE 2:    o.nope FROM public.customer_orders o;",
            11,
        ),
        (
            "SELECT public.customer_orders.order_id,\n  nope FROM public.customer_orders;",
            "42703",
            "LINE 2:   nope FROM public.customer_orders;",
            10,
        ),
        (
            "SELECT lower(region), nope(1) FROM customer_orders;",
            "42501",
            "LINE 1: SELECT lower(region), nope(1) FROM customer_orders;",
            30,
        ),
        (
            "SELECT lower(region), lower(1, 2) FROM customer_orders;",
            "42883",
            "LINE 1: SELECT lower(region), lower(1, 2) FROM customer_orders;",
            30,
        ),
        ("SELECT * FROM   payroll;", "42P01", "LINE 1: SELECT * FROM   payroll;", 24),
        (
            "SELECT\n*\nFROM customer_orders c, payroll;",
            "42P01",
            "LINE 3: FROM customer_orders c, payroll;",
            32,
        ),
        (
            "SELECT '\u{fc}\u{fc}', order_id FORM customer_orders;",
            "42601",
            "LINE 1: SELECT '\u{fc}\u{fc}', order_id FORM customer_orders;",
            35,
        ),
        ("SELECT 1 + 'x'::int;", "22P02", "LINE 1: SELECT 1 + 'x'::int;", 19),
        (
            "WITH a AS (SELECT 1) SELECT * FROM a, b;",
            "42P01",
            "LINE 1: WITH a AS (SELECT 1) SELECT * FROM a, b;",
            46,
        ),
    ];
    for (sql, state, line, caret) in cases {
        let printed = psql(&format!("{sql}\n")).await?;
        let lines: Vec<&str> = printed.err.lines().collect();
        assert!(printed.err.contains(&format!("ERROR:  {state}:")), "{sql}: {}", printed.err);
        let at = lines.iter().position(|l| *l == line);
        let at = at.ok_or_else(|| format!("{sql}: no {line:?} in {}", printed.err))?;
        let column = lines.get(at + 1).and_then(|l| l.chars().position(|c| c == '^'));
        assert_eq!(column, Some(caret), "{sql}: {}", printed.err);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_statement_fails_its_transaction() -> Outcome {
    let governed = environment().await?;
    let script = "\\set ON_ERROR_STOP 0\nBEGIN;\nSELECT * FROM payroll;\nSELECT 1;\nCOMMIT;\nSELECT 2;\n";
    let printed = governed.psql("harper", script).await?;
    assert!(printed.err.contains("42P01") && printed.err.contains("25P02"), "{}", printed.err);
    assert_eq!(printed.out, "BEGIN\nROLLBACK\n2\n");
    // One message is refused as a whole: nothing of it runs, not even the BEGIN.
    let mut raw = governed.raw_session("harper").await?;
    let frames = raw.query("BEGIN; SELECT * FROM payroll; SELECT 1").await?;
    let tags: Vec<char> = frames.iter().map(|f| char::from(f.tag)).collect();
    assert_eq!(tags, ['E', 'Z']);
    assert_eq!(frames[1].body, b"I");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn channel_binding_holds_under_tls() -> Outcome {
    let governed = environment().await?;
    for (settings, works) in [
        ("sslmode=require channel_binding=require", true),
        ("sslmode=require channel_binding=disable", true),
        ("sslmode=disable channel_binding=disable", true),
        ("sslmode=disable channel_binding=require", false),
        ("sslmode=verify-full sslrootcert=/nonexistent", false),
    ] {
        let script = format!("\\connect \"{settings}\"\nSELECT 'in';\n");
        let printed = governed.psql("harper", &script).await?;
        assert_eq!(printed.out.contains("in\n"), works, "{settings}: {printed:?}");
    }
    let seen = governed.audit()?;
    let by_plus = seen.iter().any(|line| line.to_string().contains("scram-sha-256-plus"));
    assert!(by_plus, "no login with channel binding is on record");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pgbench_runs_in_every_query_mode() -> Outcome {
    let governed = environment().await?;
    for mode in ["simple", "extended", "prepared"] {
        for script in [&["-S", "-t", "50"][..], &["-t", "10"]] {
            let mut command = Command::new(governed.cluster().bin().join("pgbench"));
            command.args(["-n", "-c", "4", "-M", mode]).args(script);
            let printed = governed.run("morgan", command, "").await?;
            let said = format!("{}{}", printed.out, printed.err);
            assert!(said.contains("number of failed transactions: 0 "), "{mode} {script:?}: {said}");
            assert!(!said.contains("ERROR"), "{mode} {script:?}: {said}");
        }
    }
    let refused = governed.psql("harper", "UPDATE pgbench_accounts SET abalance = 0;\n").await?;
    assert!(refused.err.contains("42P01"), "{refused:?}");
    Ok(())
}
