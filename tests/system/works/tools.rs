//! Tools that read the catalog, each through its own code: what they list is what policy shows, by its own names.
//!
//! Every script in `tests/tools` prints one fact a line, `kind<tab>fact`: `table schema.name`, `column schema.name.column`,
//! `primary schema.name(columns)`, `foreign schema.name(columns)->schema.parent(columns)`, `index schema.name.index`,
//! `comment schema.name[.column]=text`, `value` a masked value, `other` whatever else it was told, `version` the tool's own.
//! A kind that a tool prints at all is compared whole. A tool that is not installed is told as NOT RUN.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use lanyard::demo::setting::SettingOptions;
use lanyard_tests::{Governed, GovernedOptions, Outcome, program_folder};
use tokio::process::Command;
use tokio_postgres::Client;

use super::compare::{Tally, answer};
use super::{GOVERNANCE, report};

const POLICY: &str = "policy open
  allow read on tables named public.customer_orders, public.order_regions or like 'retail.%'
  to users named tester

policy writers
  allow write on tables named public.customer_orders, retail.region, retail.customer
  to users named tester

policy names
  mask columns named public.customer_orders.lastname with constant('REDACTED')
  for everyone

policy segments
  show rows of tables named retail.customer where c_mktsegment <> 'MACHINERY'
  for everyone

policy comments
  mask columns named retail.partsupp.ps_comment with deny
  for everyone
";
/// A view that is shown, and beside it what nobody is granted.
const SQL: &str = "
    CREATE VIEW public.order_regions AS SELECT region, count(*) AS orders FROM public.customer_orders GROUP BY region;
    COMMENT ON VIEW public.order_regions IS 'Orders of each region';
    CREATE SCHEMA hidden_schema;
    CREATE TABLE hidden_schema.hidden_table (hidden_column int PRIMARY KEY, hidden_kind text);
    CREATE TYPE hidden_schema.hidden_type AS ENUM ('hidden_label');
    CREATE FUNCTION public.hidden_function(hidden_argument int) RETURNS int LANGUAGE sql RETURN 1;
    CREATE SEQUENCE public.hidden_sequence;";
/// Words that no tool may be told.
const HIDDEN: [&str; 9] = [
    "payroll",
    "hidden_",
    "ps_comment",
    "lanyard_secured",
    "lanyard_owner",
    "lanyard_bundle",
    "lanyard_catalog",
    "lanyard_builder",
    "v_0",
];
const VISIBLE: &str =
    "(n.nspname = 'retail' OR n.nspname = 'public' AND c.relname IN ('customer_orders', 'order_regions'))";

type Facts = BTreeMap<String, BTreeSet<String>>;

/// What policy shows, from the owner's own catalogs.
async fn expected(dba: &Client) -> Outcome<Facts> {
    let keys = |kind: char| {
        format!(
            "SELECT n.nspname || '.' || c.relname || '(' || (SELECT string_agg(a.attname, ',' ORDER BY k.place)
                 FROM unnest(x.conkey) WITH ORDINALITY AS k(number, place)
                 JOIN pg_attribute a ON a.attrelid = x.conrelid AND a.attnum = k.number) || ')'
             || CASE x.contype WHEN 'f' THEN '->' || (SELECT m.nspname || '.' || p.relname FROM pg_class p
                 JOIN pg_namespace m ON m.oid = p.relnamespace WHERE p.oid = x.confrelid)
                 || '(' || (SELECT string_agg(a.attname, ',' ORDER BY k.place)
                 FROM unnest(x.confkey) WITH ORDINALITY AS k(number, place)
                 JOIN pg_attribute a ON a.attrelid = x.confrelid AND a.attnum = k.number) || ')' ELSE '' END
             FROM pg_constraint x JOIN pg_class c ON c.oid = x.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE x.contype = '{kind}' AND {VISIBLE}"
        )
    };
    let asks = [
        ("table", format!("SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'v') AND {VISIBLE}")),
        ("column", format!("SELECT n.nspname || '.' || c.relname || '.' || a.attname FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
            WHERE c.relkind IN ('r', 'v') AND {VISIBLE} AND a.attname <> 'ps_comment'")),
        ("primary", keys('p')),
        ("foreign", keys('f')),
        ("index", format!("SELECT n.nspname || '.' || c.relname || '.' || i.relname FROM pg_index x
            JOIN pg_class c ON c.oid = x.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_class i ON i.oid = x.indexrelid WHERE {VISIBLE}")),
        ("comment", format!("SELECT n.nspname || '.' || c.relname || coalesce('.' || a.attname, '') || '=' || d.description
            FROM pg_description d JOIN pg_class c ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid
            JOIN pg_namespace n ON n.oid = c.relnamespace
            LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0 WHERE {VISIBLE}")),
    ];
    let mut facts = Facts::new();
    for (kind, sql) in asks {
        let rows = dba.query(&sql, &[]).await?;
        assert!(!rows.is_empty(), "nothing to compare: {kind}");
        facts.insert(kind.to_owned(), rows.iter().map(|row| row.get(0)).collect());
    }
    facts.insert("value".to_owned(), BTreeSet::from(["REDACTED".to_owned()]));
    Ok(facts)
}

fn read(printed: &str) -> Facts {
    let mut facts = Facts::new();
    for line in printed.lines() {
        let (kind, fact) = line.split_once('\t').unwrap_or(("other", line));
        facts.entry(kind.to_owned()).or_default().insert(fact.to_owned());
    }
    facts
}

/// One tool: what it is called, whether it is there, and its command.
struct Tool {
    name: &'static str,
    there: bool,
    command: Vec<String>,
}

fn python(name: &'static str, module: &str, script: &str) -> Outcome<Tool> {
    let venv = program_folder()?.parent().ok_or("no target folder")?.join("venv/bin/python");
    let tried =
        std::process::Command::new(&venv).args(["-W", "ignore", "-c", &format!("import {module}")]).output();
    let script = tools().join(script).to_string_lossy().into_owned();
    Ok(Tool {
        name,
        there: tried.is_ok_and(|output| output.status.success()),
        command: vec![venv.to_string_lossy().into_owned(), script],
    })
}

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tools")
}

fn all() -> Outcome<Vec<Tool>> {
    const JAR: &str = "/usr/share/java/postgresql.jar";
    let java = std::process::Command::new("java").arg("-version").output();
    let source = tools().join("Catalog.java").to_string_lossy().into_owned();
    let mut found = vec![
        Tool {
            name: "pgjdbc DatabaseMetaData",
            there: Path::new(JAR).is_file() && java.is_ok_and(|output| output.status.success()),
            command: ["java", "-cp", JAR, &source].map(str::to_owned).to_vec(),
        },
        python("SQLAlchemy Inspector", "sqlalchemy", "sqlalchemy_tool.py")?,
        python("Django inspectdb", "django", "django_.py")?,
        python("pgcli", "pgcli", "pgcli_.py")?,
        python("psqlODBC", "pyodbc", "odbc_.py")?,
        python("LangChain SQLDatabase", "langchain_community.utilities", "langchain_.py")?,
    ];
    if let Some(odbc) = found.iter_mut().find(|tool| tool.name == "psqlODBC") {
        let mut folders = std::fs::read_dir("/usr/lib")?.flatten();
        odbc.there &= folders.any(|folder| folder.path().join("odbc/psqlodbcw.so").is_file());
    }
    Ok(found)
}

/// What a tool says beyond or short of what it should.
fn faults(found: &Facts, expected: &Facts) -> Vec<String> {
    let mut faults = Vec::new();
    for (kind, facts) in found {
        let Some(wanted) = expected.get(kind) else { continue };
        // Which sample rows come first is the tool's affair, not what masks left of them.
        faults.extend(wanted.difference(facts).map(|fact| format!("missing {kind} {fact}")));
        faults.extend(facts.difference(wanted).map(|fact| format!("beyond {kind} {fact}")));
    }
    for (kind, fact) in found.iter().flat_map(|(kind, facts)| facts.iter().map(move |fact| (kind, fact))) {
        let lower = fact.to_lowercase();
        faults.extend(
            HIDDEN
                .iter()
                .filter(|word| lower.contains(**word))
                .map(|word| format!("{word} in {kind} {fact}")),
        );
    }
    if !found.contains_key("table") || !found.contains_key("column") {
        faults.push("it lists no tables and columns".to_owned());
    }
    faults
}

pub(super) async fn environment() -> Outcome<Governed> {
    let governance = [GOVERNANCE[0], GOVERNANCE[1], ("tools.policy", POLICY)];
    let options = GovernedOptions {
        setting: SettingOptions { governance: &governance, agents: &[], users: &["tester"], lines: &[] },
        sql: SQL,
        ..GovernedOptions::default()
    };
    Governed::start_with(&options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_list_what_policy_shows_and_nothing_else() -> Outcome {
    let governed = environment().await?;
    let dba = governed.dba().await?;
    let expected = expected(&dba).await?;
    let mut table = String::from("| tool | version | compared | result |\n|---|---|---|---|\n");
    let mut wrong = Vec::new();
    for tool in all()? {
        if !tool.there {
            writeln!(
                std::io::stderr(),
                "tools: {} NOT RUN, it is not installed (scripts/setup.sh test)",
                tool.name
            )?;
            writeln!(table, "| {} | | | NOT RUN |", tool.name)?;
            continue;
        }
        let mut command = Command::new(&tool.command[0]);
        command.args(&tool.command[1..]);
        let printed = governed.run("tester", command, "").await?;
        report::keep(tool.name, &printed.out)?;
        let found = read(&printed.out);
        let mut faults = faults(&found, &expected);
        if printed.code != Some(0) {
            faults.push(format!("it failed: {}", printed.err));
        }
        let version: String = found.get("version").into_iter().flatten().cloned().collect();
        let compared: Vec<String> = found
            .iter()
            .filter(|(kind, _)| expected.contains_key(*kind))
            .map(|(kind, facts)| format!("{} {kind}", facts.len()))
            .collect();
        writeln!(
            table,
            "| {} | {version} | {} | {} |",
            tool.name,
            compared.join(", "),
            if faults.is_empty() { "as policy shows".to_owned() } else { format!("{} wrong", faults.len()) }
        )?;
        wrong.extend(faults.into_iter().map(|fault| format!("{}: {fault}", tool.name)));
    }
    let tallies = questions(&governed, &dba).await?;
    let questions = report::table("questions", &tallies)?;
    report::leave("tools", &format!("{table}\n{questions}"))?;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let refused: Vec<&Tally> = tallies.iter().filter(|t| t.alike != t.compared()).collect();
    assert!(refused.is_empty(), "{refused:?}");
    Ok(())
}

/// What tools ask that are not run here, statement by statement: each that succeeds directly succeeds through the proxy, with
/// the same columns, and names nothing that is hidden.
async fn questions(governed: &Governed, dba: &Client) -> Outcome<Vec<Tally>> {
    let client = governed.connect("tester").await?;
    let mut tallies = Vec::new();
    for (name, text) in [
        ("DBeaver", include_str!("../../tools/dbeaver.sql")),
        ("Metabase", include_str!("../../tools/metabase.sql")),
    ] {
        let mut tally = Tally::new(name);
        for sql in text.split(";\n").filter(|sql| !sql.trim().is_empty()) {
            let (direct, proxied) = tokio::join!(answer(dba, sql), answer(&client, sql));
            // Rows differ where the catalogs do: what they may not say is looked for, what they may was compared above.
            tally.note(sql, &direct.shape(), &proxied.shape());
            let said = format!("{proxied:?}").to_lowercase();
            for word in HIDDEN.iter().filter(|word| said.contains(**word) && !sql.contains(**word)) {
                tally.different.push((sql.to_owned(), format!("{word} is told")));
            }
        }
        tallies.push(tally);
    }
    Ok(tallies)
}
