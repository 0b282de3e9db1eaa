//! The four targets: what each is given, and what must hold of every input.
//!
//! `main.rs` runs them from a seed in every `cargo test`, `guided.rs` under libFuzzer. Nothing here may depend on chance, a clock
//! or an earlier input, or a failure could not be had again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::BytesMut;
use lanyard::wire::{frame, startup};
use lanyard_engine::catalog::RelationName;
use lanyard_engine::entitlement::{
    Access, Beneath, ColumnRule, Entitlement, Extras, Fingerprint, Operation, RowRule, SecuredView,
    ViewColumn,
};
use lanyard_engine::names;
use lanyard_engine::policy::{self, PolicySet, Source};
use lanyard_engine::released::RawSql;
use lanyard_engine::sql::paths::Step;
use lanyard_engine::sql::{Context, Effect, Judged, judge};
use lanyard_tests::trees;

/// The session's own schema, where it has one.
const WORKSPACE: &str = "workspace_0_1";
/// The cap under which frames are cut.
const FRAME_BYTES_MAX: usize = 4_096;

/// Says whether an input was accepted, or which promise it breaks.
pub(crate) type Check = Box<dyn Fn(&[u8]) -> Result<bool, String> + Send + Sync>;

/// One target.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// Inputs that say something, for a start.
    pub(crate) seeds: Vec<Vec<u8>>,
    /// What mutations put in.
    pub(crate) words: Vec<&'static [u8]>,
    pub(crate) check: Check,
}

/// All of them.
pub(crate) fn all() -> [Target; 4] {
    [frames(), startups(), policies(), statements()]
}

fn bytes(texts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<Vec<u8>> {
    texts.into_iter().map(|text| text.as_ref().to_vec()).collect()
}

fn words(texts: &[&'static str]) -> Vec<&'static [u8]> {
    texts.iter().map(|text| text.as_bytes()).collect()
}

fn frames() -> Target {
    Target {
        name: "frames",
        seeds: bytes([
            &b"Q\0\0\0\x0dSELECT 1\0"[..],
            b"P\0\0\0\x10s\0SELECT $1\0\0\0",
            b"B\0\0\0\x0cp\0s\0\0\0\0\0\0\0",
            b"X\0\0\0\x04Q\0\0\0\x05\0",
            b"d\0\0\0\x09abcde",
            b"Q\xff\xff\xff\xff",
        ]),
        words: vec![b"\0\0\0\x04", b"Q", b"\0\0\0\0"],
        check: Box::new(cuts_frames_exactly),
    }
}

/// A frame is its length, no more and no less; it lies in the bytes that came, and cutting it takes no memory.
fn cuts_frames_exactly(input: &[u8]) -> Result<bool, String> {
    let mut buffer = BytesMut::from(input);
    let (start, mut left) = (buffer.as_ptr() as usize, input);
    loop {
        let capacity = buffer.capacity();
        match frame::cut(&mut buffer, FRAME_BYTES_MAX) {
            Ok(Some(cut)) => {
                let total = frame::HEADER_BYTES + cut.body.len();
                let at = start + (input.len() - left.len()) + frame::HEADER_BYTES;
                let (whole, rest) = left.split_at_checked(total).ok_or("a frame longer than what came")?;
                if total > FRAME_BYTES_MAX || whole.first() != Some(&cut.kind) || whole[5..] != *cut.body {
                    return Err(format!("{whole:?} was cut as {cut:?}"));
                }
                if !cut.body.is_empty() && cut.body.as_ptr() as usize != at {
                    return Err("a body was copied".into());
                }
                left = rest;
            }
            Ok(None) if *buffer == *left && buffer.capacity() == capacity => {
                return Ok(left.len() < input.len());
            }
            Ok(None) => return Err("the bytes that wait for more are not those that came".into()),
            Err(_) => return Ok(left.len() < input.len()),
        }
        if *buffer != *left {
            return Err("what follows a frame is not what came behind it".into());
        }
    }
}

fn startups() -> Target {
    Target {
        name: "startup",
        seeds: bytes([
            &b"\0\0\0\x29\0\x03\0\0user\0agent~user\0database\0shop\0\0"[..],
            b"\0\0\0\x35\0\x03\0\x02user\0a\0options\0-c lanyard.user=b -c role=x\0\0",
            b"\0\0\0\x08\x04\xd2\x16\x2f",
            b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01abcd",
            b"\0\0\0\x1c\0\x03\0\0user\0a\0_pq_.x\0y\0\0",
        ]),
        words: words(&["user\0", "options\0", "-c role=x", "replication\0", "\0\u{3}\0\0", "\\ ", "--"]),
        check: Box::new(says_who),
    }
}

/// A first packet has a length in bounds; what is read out of it stands in it, and is no longer than it.
fn says_who(input: &[u8]) -> Result<bool, String> {
    if let Ok(Some(length)) = startup::length(input)
        && !(8..=startup::STARTUP_BYTES_MAX).contains(&length)
    {
        return Err(format!("a first packet of {length} bytes"));
    }
    let split = |text: &str| -> Result<(), String> {
        let Ok(settings) = startup::options(text) else { return Ok(()) };
        let bytes: usize = settings.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > text.len() { Err(format!("{text:?} became {settings:?}")) } else { Ok(()) }
    };
    match startup::decode(input) {
        Ok(startup::First::Startup(startup)) => {
            let pairs = startup.parameters.iter().flat_map(|(name, value)| [name, value]);
            let texts: Vec<&String> = pairs.chain(&startup.unknown_options).collect();
            // Each with the byte that ends it.
            let total: usize = texts.iter().map(|text| text.len() + 1).sum();
            let stands = |text: &String| input.windows(text.len().max(1)).any(|w| w == text.as_bytes());
            if total > input.len() || !texts.iter().all(|text| text.is_empty() || stands(text)) {
                return Err(format!("{startup:?} was read out of {} bytes", input.len()));
            }
            startup.parameters.get("options").map_or(Ok(()), |text| split(text))?;
            Ok(true)
        }
        Ok(startup::First::Cancel(_, secret)) if secret.len() + 12 != input.len() => {
            Err("a secret that is not the packet's".into())
        }
        Ok(startup::First::Tls | startup::First::Gss) if input.len() != 8 => {
            Err("a request with bytes behind it".into())
        }
        // Any text at all may be asked for its options.
        Ok(startup::First::Cancel(..) | startup::First::Tls | startup::First::Gss) | Err(_) => {
            split(&String::from_utf8_lossy(input)).map(|()| false)
        }
    }
}

fn policies() -> Target {
    let files = [
        include_str!("../queries/differential.policy"),
        include_str!("../attacks/governance/attacks.policy"),
        include_str!("../../docs/reference/policy.md"),
    ];
    let pieces = files
        .iter()
        .flat_map(|file| file.split("\n\n"))
        .filter(|p| p.trim_start().starts_with(['p', 'g', '`']));
    Target {
        name: "policy",
        seeds: bytes(pieces.map(|piece| piece.trim_start_matches("```policy\n").trim_end_matches("```"))),
        words: words(&POLICY_WORDS),
        check: Box::new(is_read_back_the_same),
    }
}

const POLICY_WORDS: [&str; 19] = [
    "policy",
    "mask",
    "columns",
    "where",
    "(",
    ")",
    "'x'",
    "@user.region",
    "floor",
    "for everyone",
    "except",
    "and",
    "or",
    "not",
    "in",
    "tagged",
    "named",
    "like",
    "--",
];

/// What is printed of a policy is that policy.
fn is_read_back_the_same(input: &[u8]) -> Result<bool, String> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(false) };
    let read = |text: &str| PolicySet::parse(&[Source { file: "fuzz.policy", text }]);
    let Ok(first) = read(text) else { return Ok(false) };
    let printed: Vec<String> = first.iter().map(policy::print).collect();
    let second = read(&printed.join("\n\n"))
        .map_err(|errors| format!("what was printed does not parse: {errors:?}"))?;
    let again: Vec<String> = second.iter().map(policy::print).collect();
    if printed == again { Ok(!printed.is_empty()) } else { Err(format!("{printed:?} became {again:?}")) }
}

fn statements() -> Target {
    let entitlement = entitlement();
    Target {
        name: "judge",
        seeds: texts(),
        words: words(&[JUDGED, OWN].concat()),
        check: Box::new(move |input| {
            let Ok(text) = std::str::from_utf8(input) else { return Ok(false) };
            let without = names_what_is_secured(text, &entitlement, None)?;
            Ok(names_what_is_secured(text, &entitlement, Some(WORKSPACE))? || without)
        }),
    }
}

fn entitlement() -> Entitlement {
    let mut relations: BTreeMap<String, BTreeMap<String, Arc<Access>>> = BTreeMap::new();
    for (schema, name, view, write) in [
        ("app", "customers", "v_1", false),
        ("app", "orders", "v_2", true),
        ("public", "orders", "v_3", false),
        ("app", "employees", "v_4", false),
        ("app", "events", "v_5", false),
        ("app", "notes", "v_6", true),
        ("lab", "people", "v_7", false),
        ("lab", "Odd \"name", "v_8", false),
    ] {
        let mut operations = BTreeSet::from([Operation::Read]);
        operations.extend(write.then_some(Operation::Write));
        let column = |name: &str, type_sql: &str| ViewColumn {
            name: name.into(),
            type_sql: type_sql.into(),
            base_number: 1,
            writable: write,
            by_prefix: type_sql == "text",
        };
        let access = Access {
            relation: RelationName::new(schema, name),
            oid: 16_401,
            operations,
            rows: RowRule::All,
            columns: BTreeMap::from([("id".to_owned(), ColumnRule::Clear)]),
            granted_by: vec!["grant".into()],
            sequences: BTreeSet::new(),
            undone_by: BTreeMap::new(),
            beneath: Beneath {
                key: vec!["id".into()],
                childless: write,
                defaults: write.then(|| BTreeMap::from([("name".into(), Some("'none'::text".into()))])),
            },
            view: SecuredView {
                name: view.into(),
                select_sql: String::new(),
                barrier: false,
                columns: vec![column("id", "integer"), column("name", "text"), column("mood", "public.mood")],
                keys: BTreeSet::new(),
            },
        };
        relations.entry(schema.into()).or_default().insert(name.into(), Arc::new(access));
    }
    Entitlement {
        relations,
        extras: Extras::default(),
        shadow: BTreeMap::new(),
        fingerprint: Fingerprint([0; 16]),
        session_attributes: BTreeMap::new(),
    }
}

fn texts() -> Vec<Vec<u8>> {
    let attacks: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../attacks/catalogue.json")).expect("the catalogue is JSON");
    let mut texts = bytes(attacks.iter().filter_map(|attack| attack["sql"].as_str()));
    texts.extend(bytes(include_str!("../queries/tpch.sql").split("\n;\n")));
    texts.extend(bytes(include_str!("../../adapters/src/warehouse/postgres/fixtures/psql.sql").split(";\n")));
    texts.extend(bytes([
        "COPY app.orders (id) TO STDOUT",
        "TABLE app.orders",
        "SELECT app.orders.id, lower('x'), 'x'::mood FROM app.orders -- comment",
        "WITH orders AS (SELECT 1) SELECT * FROM orders, app.orders o",
        "INSERT INTO app.notes (id) VALUES (1) ON CONFLICT DO NOTHING RETURNING *",
        "DECLARE c CURSOR FOR SELECT * FROM app.orders; FETCH ALL FROM c",
        "SET statement_timeout = 5; SHOW search_path",
        "SELECT o.name, count(*) FROM app.orders o, app.notes n GROUP BY o.id, n.id HAVING n.name > 'a'",
        "UPDATE app.orders SET (id, name) = (1, DEFAULT); SELECT id FROM ONLY app.orders",
        "SELECT c.oid::regclass::text, o.* FROM pg_class c, app.orders o GROUP BY id",
        "SELECT * FROM lab.\"Odd \"\"name\" AS \"x\"",
    ]));
    texts
}

/// Words that mutations put in.
const JUDGED: &[&str] = &[
    "SELECT",
    "FROM",
    "app.customers",
    "app.orders",
    "orders",
    "hidden_thing",
    "public.hidden_thing",
    "WITH orders AS (SELECT 1)",
    "UNION",
    "(",
    ")",
    "::regclass",
    "'x'",
    "\"",
    "--",
    "/*",
    "*/",
    "$$",
    "ONLY",
    "TABLE",
    "LATERAL",
    "pg_class",
    "NULL::hidden_thing",
    "pg_read_file('x')",
    "E'\\'",
    "U&\"orders\"",
    "AS",
    ",",
    ";",
    "JOIN app.employees e ON true",
    "query_to_xml('x',true,true,'')",
];
/// And of workspaces.
const OWN: &[&str] = &[
    "CREATE TABLE t (a int)",
    "CREATE TEMP TABLE x AS",
    "CREATE VIEW v AS",
    "CREATE INDEX ON t",
    "DROP TABLE IF EXISTS",
    "ALTER TABLE t ADD COLUMN",
    "REFERENCES app.orders",
    "INHERITS (app.orders)",
    "LIKE app.orders",
    "DEFAULT",
    "CHECK (",
    "INTO TEMP t",
    "workspace_0_1.t",
    "workspace_0_2.t",
    "pg_temp.x",
    "COMMENT ON TABLE t IS 'x'",
    "TRUNCATE",
    "nextval('s')",
    "'t'::regclass",
];

/// What is released for a session with this workspace, or without one, parses, has as many statements, and names what is
/// secured and what is its own.
fn names_what_is_secured(
    text: &str,
    entitlement: &Entitlement,
    workspace: Option<&str>,
) -> Result<bool, String> {
    let path = ["app".to_owned(), "public".to_owned(), "lab".to_owned()];
    let context = Context { entitlement, search_path: &path, paths: None, workspace, database: "shop" };
    let Ok(judged) = judge(RawSql::new(text), &context) else { return Ok(false) };
    let mut views: BTreeSet<String> = entitlement.iter().map(|access| access.view.name.clone()).collect();
    // COPY FROM fills the view beside, which reads nothing.
    let filled = entitlement
        .iter()
        .filter(|access| access.operations.contains(&Operation::Write) && access.takes_copies());
    views.extend(filled.map(|access| format!("{}{}", access.view.name, names::COPY_SUFFIX)));
    let sent = judged.enforced.for_record();
    let named = trees::named(sent).map_err(|e| format!("{sent:?} does not parse: {e}"))?;
    if named.statements != judged.statements {
        return Err(format!("{} statements became {}: {sent:?}", judged.statements, named.statements));
    }
    for (schema, name) in &named.relations {
        let allowed = match schema.as_deref() {
            Some("lanyard_secured") => views.contains(name.as_str()),
            Some("lanyard_catalog" | "lanyard_information_schema") => true,
            Some("pg_temp") => workspace.is_some(),
            Some(other) => Some(other) == workspace,
            None => named.ctes.contains(name) || makes_temporary(&judged, name),
        };
        if !allowed {
            return Err(format!("{schema:?}.{name} is in {sent:?}"));
        }
    }
    for (schema, name) in &named.types {
        let allowed = match schema.as_str() {
            "pg_catalog" | "information_schema" => true,
            "lanyard_secured" => views.contains(name.as_str()),
            "public" => name == "mood",
            "pg_temp" => workspace.is_some(),
            other => Some(other) == workspace,
        };
        if !allowed {
            return Err(format!("type {schema}.{name} is in {sent:?}"));
        }
    }
    for function in &named.functions {
        let parts: Vec<&str> = function.iter().map(String::as_str).collect();
        if !matches!(parts.as_slice(), ["pg_catalog" | "lanyard_catalog", _] | ["unnest"]) {
            return Err(format!("function {function:?} is in {sent:?}"));
        }
    }
    Ok(true)
}

fn makes_temporary(judged: &Judged, name: &str) -> bool {
    judged
        .effects
        .iter()
        .any(|(_, effect)| matches!(effect, Effect::Path(Step::Made { name: made, .. }) if **made == *name))
}
