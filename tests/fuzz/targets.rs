//! The four targets.

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

use crate::run;

fn bytes(texts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<Vec<u8>> {
    texts.into_iter().map(|text| text.as_ref().to_vec()).collect()
}

#[test]
fn frames_are_cut_exactly_or_refused() {
    let corpus = bytes([
        &b"Q\0\0\0\x0dSELECT 1\0"[..],
        b"P\0\0\0\x10s\0SELECT $1\0\0\0",
        b"B\0\0\0\x0cp\0s\0\0\0\0\0\0\0",
        b"X\0\0\0\x04Q\0\0\0\x05\0",
        b"d\0\0\0\x09abcde",
        b"Q\xff\xff\xff\xff",
    ]);
    run("frames", &corpus, &["\0\0\0\u{4}", "Q", "\0\0\0\0"], |input| {
        let mut buffer = BytesMut::from(input);
        let mut used = 0;
        loop {
            let before = buffer.len();
            match frame::cut(&mut buffer, 4_096) {
                Ok(Some(cut)) => {
                    used += 1;
                    if cut.body.len() + frame::HEADER_BYTES != before - buffer.len() || cut.body.len() > 4_096
                    {
                        return Err(format!(
                            "{} bytes were cut for a body of {}",
                            before - buffer.len(),
                            cut.body.len()
                        ));
                    }
                }
                Ok(None) if buffer.len() == before => return Ok(used > 0),
                Ok(None) => return Err("bytes went without a frame".into()),
                Err(_) => return Ok(used > 0),
            }
        }
    });
}

#[test]
fn startup_packets_say_who_or_are_refused() {
    let corpus = bytes([
        &b"\0\0\0\x29\0\x03\0\0user\0agent~user\0database\0shop\0\0"[..],
        b"\0\0\0\x35\0\x03\0\x02user\0a\0options\0-c lanyard.user=b -c role=x\0\0",
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01abcd",
        b"\0\0\0\x1c\0\x03\0\0user\0a\0_pq_.x\0y\0\0",
    ]);
    let words = ["user\0", "options\0", "-c role=x", "replication\0", "\0\u{3}\0\0", "\\ ", "--"];
    run("startup", &corpus, &words, |input| {
        // The length the packet says, or that of the bytes there are.
        if let Ok(Some(length)) = startup::length(input)
            && !(8..=1 << 20).contains(&length)
        {
            return Err(format!("a first packet of {length} bytes"));
        }
        match startup::decode(input) {
            Ok(startup::First::Startup(_)) => Ok(true),
            Ok(_) | Err(_) => {
                // Any text at all may be asked for its options.
                startup::options(&String::from_utf8_lossy(input)).ok();
                Ok(false)
            }
        }
    });
}

#[test]
fn policies_are_printed_and_read_back_the_same() {
    let files = [
        include_str!("../queries/differential.policy"),
        include_str!("../attacks/governance/attacks.policy"),
        include_str!("../../docs/reference/policy.md"),
    ];
    let pieces = files
        .iter()
        .flat_map(|file| file.split("\n\n"))
        .filter(|p| p.trim_start().starts_with(['p', 'g', '`']));
    let corpus = bytes(pieces.map(|piece| piece.trim_start_matches("```policy\n").trim_end_matches("```")));
    let words = [
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
    run("policy", &corpus, &words, |input| {
        let Ok(text) = std::str::from_utf8(input) else { return Ok(false) };
        let read = |text: &str| PolicySet::parse(&[Source { file: "fuzz.policy", text }]);
        let Ok(first) = read(text) else { return Ok(false) };
        let printed: Vec<String> = first.iter().map(policy::print).collect();
        let second = read(&printed.join("\n\n"))
            .map_err(|errors| format!("what was printed does not parse: {errors:?}"))?;
        let again: Vec<String> = second.iter().map(policy::print).collect();
        if printed == again { Ok(!printed.is_empty()) } else { Err(format!("{printed:?} became {again:?}")) }
    });
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

fn statements() -> Vec<Vec<u8>> {
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

#[test]
fn what_the_judge_releases_names_nothing_but_what_is_secured() {
    released("judge", None, JUDGED);
}

#[test]
fn with_a_workspace_it_names_that_besides() {
    released("own", Some("workspace_0_1"), &[JUDGED, OWN].concat());
}

/// What is released for a session with this workspace, or without one, names what is secured and what is its own.
fn released(target: &str, workspace: Option<&str>, words: &[&str]) {
    let entitlement = entitlement();
    let path = ["app".to_owned(), "public".to_owned(), "lab".to_owned()];
    let context =
        Context { entitlement: &entitlement, search_path: &path, paths: None, workspace, database: "shop" };
    let mut views: BTreeSet<String> = entitlement.iter().map(|access| access.view.name.clone()).collect();
    // COPY FROM fills the view beside, which reads nothing.
    let filled = entitlement
        .iter()
        .filter(|access| access.operations.contains(&Operation::Write) && access.takes_copies());
    views.extend(filled.map(|access| format!("{}{}", access.view.name, names::COPY_SUFFIX)));
    run(target, &statements(), words, |input| {
        let Ok(text) = std::str::from_utf8(input) else { return Ok(false) };
        let Ok(judged) = judge(RawSql::new(text), &context) else { return Ok(false) };
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
    });
}

fn makes_temporary(judged: &Judged, name: &str) -> bool {
    judged
        .effects
        .iter()
        .any(|(_, effect)| matches!(effect, Effect::Path(Step::Made { name: made, .. }) if **made == *name))
}
