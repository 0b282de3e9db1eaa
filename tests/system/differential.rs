//! The same questions to the governed warehouse through the proxy, and directly to a copy of it that this test filtered and
//! masked itself, row by row: the same rows, or the same SQLSTATE.
//!
//! The copy must never be made by our views or our SQL: the rules of `tests/queries/differential.policy` are written here a
//! second time, in Rust. `LANYARD_DIFFERENTIAL` sets how many generated queries are asked, `LANYARD_SEED` the first.

pub(crate) mod generate;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Instant;

use lanyard::demo::setting::SettingOptions;
use lanyard_tests::{Governed, GovernedOptions, Outcome};
use tokio_postgres::{Client, SimpleQueryMessage};

const SCHEMA: &str = include_str!("../queries/laboratory.sql");
const POLICY: &str = include_str!("../queries/differential.policy");
const TPCH: &str = include_str!("../queries/tpch.sql");
const QUERIES: u64 = if cfg!(feature = "long") { 100_000 } else { 2_000 };
/// What policy lets through: other regions' people are not the viewer's.
const REGIONS: [&str; 2] = ["EU", "US"];
const MODES: [&str; 5] = ["AIR", "MAIL", "SHIP", "RAIL", "AIR REG"];

type Row = BTreeMap<String, Option<String>>;

/// Does the row exist for the viewer? NULL hides it.
fn is_shown(table: &str, row: &Row) -> bool {
    let is = |column: &str, test: &dyn Fn(&str) -> bool| row[column].as_deref().is_some_and(test);
    match table {
        "lab.people" => is("region", &|v| REGIONS.contains(&v)),
        "lab.sales" => is("channel", &|v| v != "internal"),
        "retail.customer" => is("c_mktsegment", &|v| v != "MACHINERY"),
        "retail.lineitem" => is("l_shipmode", &|v| MODES.contains(&v)),
        _ => true,
    }
}

/// The value as it comes out; NULL stays NULL.
fn masked(table: &str, column: &str, value: &str) -> Option<String> {
    Some(match (table, column) {
        ("lab.people", "email") => partial(value, 1, 4, '*'),
        ("lab.people", "score") => (value.parse::<i64>().ok()?.div_euclid(10) * 10).to_string(),
        ("lab.people", "born") => format!("{}-01", value.get(..7)?),
        ("lab.sales", "note") => "REDACTED".to_owned(),
        ("lab.products", "price") => hundredths(value, 2_500)?,
        ("lab.products", "since") | ("retail.customer", "c_address") => return None,
        ("retail.customer", "c_phone") | ("retail.supplier", "s_phone") => partial(value, 2, 0, '#'),
        ("retail.part", "p_retailprice") => hundredths(value, 10_000)?,
        ("retail.orders", "o_clerk") => "someone".to_owned(),
        _ => value.to_owned(),
    })
}

fn is_denied(table: &str, column: &str) -> bool {
    matches!((table, column), ("lab.products", "cost") | ("retail.partsupp", "ps_comment"))
}

fn partial(value: &str, first: usize, last: usize, fill: char) -> String {
    let letters: Vec<char> = value.chars().collect();
    let ends = letters.len() > first + last;
    let kept = |n: usize| ends && (n < first || n >= letters.len() - last);
    letters.iter().enumerate().map(|(n, c)| if kept(n) { *c } else { fill }).collect()
}

/// A decimal with two places, down to a multiple of so many hundredths.
fn hundredths(value: &str, bucket: i64) -> Option<String> {
    let cents: i64 = value.replace('.', "").parse().ok()?;
    let down = cents.div_euclid(bucket) * bucket;
    Some(format!("{}.{:02}", down / 100, down % 100))
}

async fn texts(client: &Client, sql: &str) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for message in client.simple_query(sql).await? {
        if let SimpleQueryMessage::Row(row) = message {
            let names = row.columns().iter().map(|c| c.name().to_owned());
            rows.push(names.enumerate().map(|(n, name)| (name, row.get(n).map(str::to_owned))).collect());
        }
    }
    Ok(rows)
}

/// Copies one table into schema `copy_<schema>`, filtered and masked.
async fn copy(dba: &Client, schema: &str, name: &str) -> Outcome {
    let table = format!("{schema}.{name}");
    dba.batch_execute(&format!("CREATE TABLE copy_{table} (LIKE {table})")).await?;
    let sql = format!(
        "SELECT attname::text, attnotnull::text FROM pg_attribute
         WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    );
    let mut columns = Vec::new();
    for row in texts(dba, &sql).await? {
        let column = row["attname"].clone().ok_or("a column without a name")?;
        if is_denied(&table, &column) {
            dba.batch_execute(&format!("ALTER TABLE copy_{table} DROP COLUMN {column}")).await?;
        } else {
            dba.batch_execute(&format!("ALTER TABLE copy_{table} ALTER {column} DROP NOT NULL")).await?;
            columns.push(column);
        }
    }
    let rows = texts(dba, &format!("SELECT * FROM {table}")).await?;
    let shown: Vec<&Row> = rows.iter().filter(|row| is_shown(&table, row)).collect();
    for batch in shown.chunks(500) {
        let tuple = |row: &&Row| {
            let value = |column: &String| match row[column].as_deref().and_then(|v| masked(&table, column, v))
            {
                Some(value) => format!("'{}'", value.replace('\'', "''")),
                None => "NULL".to_owned(),
            };
            format!("({})", columns.iter().map(value).collect::<Vec<_>>().join(", "))
        };
        let tuples: Vec<String> = batch.iter().map(tuple).collect();
        let list = columns.join(", ");
        dba.batch_execute(&format!("INSERT INTO copy_{table} ({list}) VALUES {}", tuples.join(", "))).await?;
    }
    dba.batch_execute(&format!("ANALYZE copy_{table}")).await?;
    Ok(())
}

/// SQLSTATE of a statement that took longer than either side lets it.
const TIMED_OUT: &str = "57014";

/// An error: sides agree when the SQLSTATE is the same, the words are for whoever reads of a difference.
struct Failure {
    state: String,
    words: String,
}

impl PartialEq for Failure {
    fn eq(&self, other: &Self) -> bool {
        self.state == other.state
    }
}

type Answer = Result<Vec<Vec<Option<String>>>, Failure>;

/// Rows as a multiset, or the SQLSTATE.
async fn answer(client: &Client, sql: &str) -> Answer {
    let messages = client.simple_query(sql).await.map_err(|e| match e.as_db_error() {
        Some(said) => Failure { state: said.code().code().to_owned(), words: said.message().to_owned() },
        None => Failure { state: e.to_string(), words: String::new() },
    })?;
    let mut rows: Vec<Vec<Option<String>>> = messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|n| row.get(n).map(str::to_owned)).collect())
            }
            _ => None,
        })
        .collect();
    rows.sort();
    Ok(rows)
}

struct Sides {
    governed: Client,
    copy: Client,
}

#[derive(Default)]
struct Tally {
    asked: u64,
    with_rows: u64,
    rows: usize,
    failed: BTreeMap<String, u64>,
    /// One side alone ran out of time, so there is nothing to compare; with what took so long.
    unanswered: Vec<String>,
    different: Vec<String>,
}

impl Sides {
    async fn compare(&self, sql: &str, tally: &mut Tally) {
        let (ours, theirs) = tokio::join!(answer(&self.governed, sql), answer(&self.copy, sql));
        tally.asked += 1;
        if ours != theirs {
            let show = |side: &Answer| match side {
                Ok(rows) => format!("{} rows, first {:?}", rows.len(), rows.first()),
                Err(failure) => format!("{} {}", failure.state, failure.words),
            };
            let both = format!("{}\n  against {}\n  {sql}", show(&ours), show(&theirs));
            let late = |side: &Answer| side.as_ref().is_err_and(|failure| failure.state == TIMED_OUT);
            let list =
                if late(&ours) || late(&theirs) { &mut tally.unanswered } else { &mut tally.different };
            list.push(both);
        }
        match theirs {
            Ok(rows) => {
                tally.with_rows += u64::from(!rows.is_empty());
                tally.rows += rows.len();
            }
            Err(failure) => *tally.failed.entry(failure.state).or_default() += 1,
        }
    }
}

async fn sides() -> Outcome<(Governed, Sides)> {
    let identities = r#"{"next_short": 2, "users": [{"id": "viewer", "name": "Vera Viewer", "short": 1, "groups": [],
        "attributes": {"region": ["EU", "US"]}}], "agents": []}"#;
    let tags = r#"{"definitions": [], "schemas": {}, "tables": {}, "columns": {}}"#;
    let options = GovernedOptions {
        setting: SettingOptions {
            governance: &[
                ("identities.json", identities),
                ("tags.json", tags),
                ("differential.policy", POLICY),
            ],
            agents: &[],
            users: &["viewer"],
            lines: &[("databases.shop", "search_path = [\"lab\", \"retail\"]")],
        },
        postgres: &[("log_statement", "none"), ("statement_timeout", "60s")],
        sql: SCHEMA,
        schemas: &["lab"],
        ..GovernedOptions::default()
    };
    let governed = Governed::start_with(&options).await?;
    let dba = governed.dba().await?;
    dba.batch_execute("CREATE SCHEMA copy_lab; CREATE SCHEMA copy_retail").await?;
    let lab = ["people", "sales", "products", "visits"].map(|name| ("lab", name));
    let retail = ["region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem"];
    for (schema, name) in lab.into_iter().chain(retail.map(|name| ("retail", name))) {
        copy(&dba, schema, name).await?;
    }
    dba.batch_execute("SET search_path = copy_lab, copy_retail").await?;
    let viewer = governed.connect("viewer").await?;
    Ok((governed, Sides { governed: viewer, copy: dba }))
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[tokio::test(flavor = "multi_thread")]
async fn governed_answers_are_those_of_a_copy_filtered_and_masked_by_hand() -> Outcome {
    let (_governed, sides) = sides().await?;
    // The sides differ where they should: what is compared below is not the same data twice.
    let counts =
        answer(&sides.copy, "SELECT (SELECT count(*) FROM people), (SELECT count(*) FROM lab.people)")
            .await
            .map_err(|failure| failure.words)?;
    assert_ne!(counts[0][0], counts[0][1], "{counts:?}");

    let mut tally = Tally::default();
    for query in TPCH.split("\n;\n").filter(|q| !q.trim().is_empty()) {
        sides.compare(query, &mut tally).await;
    }
    assert_eq!((tally.asked, tally.failed.len()), (22, 0), "{:?} {:?}", tally.failed, tally.different);
    assert!(tally.with_rows >= 18, "only {} of TPC-H's questions have an answer", tally.with_rows);

    let (first, count, began) =
        (number("LANYARD_SEED", 1), number("LANYARD_DIFFERENTIAL", QUERIES), Instant::now());
    for seed in first..first + count {
        sides.compare(&generate::Generator::new(seed).statement(), &mut tally).await;
        if tally.different.len() >= 20 {
            break;
        }
    }
    let line = format!(
        "differential: TPC-H's 22 and {} generated queries from seed {first}: {} with rows, {} rows, failed alike {:?}, {} unanswered, {} different; {} s",
        tally.asked - 22,
        tally.with_rows,
        tally.rows,
        tally.failed,
        tally.unanswered.len(),
        tally.different.len(),
        began.elapsed().as_secs()
    );
    writeln!(std::io::stderr(), "{line}")?;
    for slow in &tally.unanswered {
        writeln!(std::io::stderr(), "unanswered: {slow}")?;
    }
    assert!(tally.different.is_empty(), "{line}\n{}", tally.different.join("\n"));
    let failed: u64 = tally.failed.values().sum();
    assert!(
        tally.with_rows * 2 > tally.asked && failed * 20 < tally.asked,
        "the questions say little: {line}"
    );
    assert!(tally.unanswered.len() <= 1 + tally.asked as usize / 1_000, "too many take too long: {line}");
    Ok(())
}
