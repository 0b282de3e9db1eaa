//! Tests of policy as a whole: a small shop, its people, and what they may do.

mod checks;
pub(super) mod differential;
mod diffs;
mod errors;
mod explaining;
mod generators;
mod json;
mod judging;
mod language;
mod masking;
mod naive;
mod naive_parts;
mod naive_permits;
mod orders;
mod predicates;
mod properties;
mod shapes;
mod texts;
mod undoing;

use std::collections::{BTreeMap, BTreeSet};

use super::{PolicySet, Source};
use crate::approval::Approvals;
use crate::catalog::{
    Catalog, Column, Keys, NamedType, Relation, RelationKind, RelationName, Routine, TagPath, Tags,
};
use crate::entitlement::{Access, ColumnRule, Entitlement, Operation};
use crate::identity::{
    Agent, AgentId, Attributes, Combination, Identities, Principal, ShortId, User, UserId,
};
use crate::snapshot::{Parts, Snapshot};

/// The six policies of policy.md §7, word for word.
const SAMPLE: &str = r"policy finance_readers
  allow read on tables tagged Finance
  to users in group accountants and with training = 'security-awareness'

guardrail pii_training
  require users with training = 'privacy'
  on tables with columns tagged PII

policy hide_pii
  mask columns tagged PII with constant('REDACTED')
  for everyone except users in group hr

policy own_region
  show rows of tables tagged Sales where @tagged(Region) in (@user.region)
  for everyone except users in group global_analysts

policy agents_never_see_secrets
  when an agent acts
  mask columns tagged Secret with null floor

policy sales_tools
  allow read on tables tagged Agent.Tool to agents in group marketing_agents
";

fn tags(list: &[&str]) -> BTreeSet<TagPath> {
    list.iter().map(|t| TagPath((*t).to_owned())).collect()
}

/// `name type` or `name type #Tag #Tag`; the category follows from the type.
fn column(number: i16, spec: &str) -> Column {
    let mut parts = spec.split(" #");
    let (name, type_sql) = parts.next().and_then(|c| c.split_once(' ')).expect("name and type");
    let category = match type_sql {
        t if t.ends_with("[]") => 'A',
        t if t.starts_with("character") || t == "text" => 'S',
        "date" => 'D',
        t if t.starts_with("timestamp") => 'D',
        "boolean" => 'B',
        "public.mood" => 'E',
        "uuid" | "jsonb" | "bytea" => 'U',
        _ => 'N',
    };
    Column {
        name: name.to_owned(),
        number,
        type_oid: 0,
        type_sql: type_sql.to_owned(),
        category,
        not_null: false,
        deterministic: false,
        tags: parts.map(|t| TagPath(t.to_owned())).collect(),
    }
}

fn relation(oid: u32, name: &str, own: &[&str], columns: &[&str]) -> Relation {
    let (schema, table) = name.split_once('.').expect("schema.table");
    Relation {
        name: RelationName::new(schema, table),
        oid,
        kind: RelationKind::Table,
        columns: (1..).zip(columns).map(|(n, c)| column(n, c)).collect(),
        primary_key: Vec::new(),
        keys: Keys::default(),
        row_security: false,
        tags: tags(own),
    }
}

fn attributes(list: &[(&str, &[&str])]) -> Attributes {
    list.iter().map(|(k, v)| ((*k).to_owned(), v.iter().map(|v| (*v).to_owned()).collect())).collect()
}

fn groups(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|g| (*g).to_owned()).collect()
}

fn user_id(id: &str) -> UserId {
    UserId::parse(id).expect("an id")
}

fn agent_id(id: &str) -> AgentId {
    AgentId::parse(id).expect("an id")
}

/// User id, groups, attributes.
type UserSpec = (&'static str, &'static [&'static str], &'static [(&'static str, &'static [&'static str])]);

const USERS: [UserSpec; 6] = [
    ("taylor", &["marketing"], &[("region", &["US-EAST"]), ("level", &["7", "x"])]),
    ("riley", &["analysts"], &[("region", &["US-EAST"]), ("training", &["privacy"])]),
    ("casey", &["analysts"], &[("region", &["EU"]), ("training", &["privacy"]), ("level", &["3"])]),
    ("harper", &["hr", "analysts"], &[("region", &["US-EAST", "US-WEST"]), ("training", &["privacy"])]),
    ("avery", &["global_analysts", "accountants"], &[("training", &["privacy", "security-awareness"])]),
    ("nobody", &[], &[]),
];

fn identities() -> Identities {
    let mut all = Identities::default();
    for (n, (id, of, has)) in (1..).zip(USERS) {
        let user = User {
            id: user_id(id),
            name: id.to_owned(),
            short: ShortId::new(n).expect("short"),
            groups: groups(of),
            attributes: attributes(has),
        };
        all.users.insert(user.id.clone(), user);
    }
    for (n, (id, of, combination)) in (1..).zip([
        ("marketing-agent", "marketing_agents", Combination::Guarded),
        ("union-agent", "marketing_agents", Combination::Union),
        ("narrow-agent", "marketing_agents", Combination::Intersection),
    ]) {
        let agent = Agent {
            id: agent_id(id),
            name: id.to_owned(),
            owner: user_id("avery"),
            short: ShortId::new(n).expect("short"),
            groups: groups(&[of]),
            attributes: attributes(&[("certified", &["yes"])]),
            combination,
        };
        all.agents.insert(agent.id.clone(), agent);
    }
    all
}

fn catalog() -> Catalog {
    let relations = [
        relation(
            100,
            "public.customer_orders",
            &["Sales"],
            &[
                "order_id integer",
                "lastname character varying(40) #PII.Name",
                "region character varying(20) #Region",
                "order_total numeric(12,2)",
                "placed date",
                "seen timestamp with time zone",
                "level integer",
                "code character(8)",
                "active boolean",
                "mood public.mood",
                "extra jsonb",
            ],
        ),
        relation(
            101,
            "public.campaign_tools",
            &["Agent.Tool"],
            &["id integer", "note text", "email text #PII.Email"],
        ),
        relation(102, "public.payroll", &[], &["person text", "salary numeric(12,2)"]),
        relation(
            103,
            "finance.ledger",
            &["Finance.Books"],
            &["id bigint", "amount numeric", "token text #Secret", "phone character varying(31) #PII.Phone"],
        ),
        relation(104, "public.\"odd\" name", &["Odd"], &["a\"b text", "c text #PII.Name"]),
        relation(105, "public.plain", &["Plain"], &["id integer", "note text"]),
        relation(106, "public.no_region", &["Broken"], &["id integer"]),
    ];
    Catalog {
        relations: relations.into_iter().map(|r| (r.name.clone(), r)).collect(),
        functions: functions(),
        types: ["public.mood", "public.citext"].map(own_type).into(),
        operators: [(RelationName::new("public", "<->"), BTreeSet::from(["pg_trgm".to_owned()]))].into(),
        extensions: ["citext", "dblink", "pg_trgm"].map(str::to_owned).into(),
    }
}

/// Two of the DBA's own, one that runs with its owner's rights, and some of extensions.
fn functions() -> BTreeMap<RelationName, Vec<Routine>> {
    let routine = |name: &str, definer, extension: Option<&str>| {
        let extension = extension.map(str::to_owned);
        let trusted = extension.is_none();
        let routine = Routine { definer, trusted, names_objects: false, extension };
        (RelationName::new("public", name), vec![routine])
    };
    [
        routine("score", false, None),
        routine("rank", false, None),
        routine("as_owner", true, None),
        routine("similarity", false, Some("pg_trgm")),
        routine("replace", false, Some("citext")),
        routine("dblink", false, Some("dblink")),
    ]
    .into()
}

fn own_type(name: &str) -> (RelationName, NamedType) {
    let (schema, name) = name.split_once('.').expect("schema.type");
    let extension = (name == "citext").then(|| name.to_owned());
    (RelationName::new(schema, name), NamedType { row: false, names_objects: false, extension })
}

fn definitions() -> BTreeSet<TagPath> {
    tags(&[
        "Sales",
        "PII.Name",
        "PII.Email",
        "PII.Phone",
        "Region",
        "Finance.Books",
        "Secret",
        "Agent.Tool",
        "Odd",
        "Plain",
        "Broken",
    ])
}

fn parse(text: &str) -> PolicySet {
    match PolicySet::parse(&[Source { file: "test.policy", text }]) {
        Ok(set) => set,
        Err(found) => panic!("{}", found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

pub(super) fn snapshot(text: &str) -> Snapshot {
    Snapshot::new(Parts {
        version: 1,
        identities: identities(),
        tags: Tags { definitions: definitions(), ..Tags::default() },
        policies: parse(text),
        catalog: catalog(),
        approvals: Approvals::default(),
    })
}

/// `taylor`, `marketing-agent~taylor` or `marketing-agent~`.
pub(super) fn principal(who: &str) -> Principal {
    match who.split_once('~') {
        None => Principal::direct(user_id(who)),
        Some((agent, "")) => Principal::autonomous(agent_id(agent)),
        Some((agent, user)) => Principal::on_behalf_of(agent_id(agent), user_id(user)),
    }
}

fn entitled(snapshot: &Snapshot, who: &str) -> Entitlement {
    super::entitle(snapshot, &principal(who)).expect("known")
}

fn access(text: &str, who: &str, table: &str) -> Option<Access> {
    let entitlement = entitled(&snapshot(text), who);
    let (schema, name) = table.split_once('.').expect("schema.table");
    entitlement.access(schema, name).cloned()
}

/// The rule of a column as `clear`, `denied` or the mask's word.
fn rule(access: &Access, column: &str) -> &'static str {
    match access.columns.get(column) {
        Some(ColumnRule::Clear) => "clear",
        Some(ColumnRule::Masked { mask, .. }) => mask,
        Some(ColumnRule::Denied { .. }) => "denied",
        None => "absent",
    }
}

fn operations(access: &Access) -> Vec<Operation> {
    access.operations.iter().copied().collect()
}

/// Key -> values, for comparison.
fn values(entitlement: &Entitlement) -> BTreeMap<&str, Vec<&str>> {
    entitlement
        .session_attributes
        .iter()
        .map(|(k, v)| (k.as_str(), v.iter().map(String::as_str).collect()))
        .collect()
}
