//! Who reaches which table, and how columns come out.

use std::collections::BTreeSet;

use super::{SAMPLE, access, entitled, operations, principal, rule, snapshot};
use crate::catalog::{Relation, RelationKind, RelationName, TagPath};
use crate::entitlement::{ColumnRule, Operation, RowRule};
use crate::identity::{AgentId, Principal, UserId};
use crate::policy::{entitle, explain};
use crate::refusal::Code;

const ORDERS: &str = "public.customer_orders";
const TOOLS: &str = "public.campaign_tools";

fn reaches(text: &str, who: &str, table: &str) -> bool {
    access(text, who, table).is_some()
}

#[test]
fn without_a_policy_nothing_is_reached() {
    for who in ["taylor", "avery", "marketing-agent~", "union-agent~harper"] {
        assert_eq!(entitled(&snapshot(""), who).iter().count(), 0);
        assert!(entitled(&snapshot(SAMPLE), who).iter().all(|a| a.relation.name != "payroll"));
    }
}

#[test]
fn unknown_principals_are_refused() {
    let snapshot = snapshot(SAMPLE);
    let ghost = UserId::parse("ghost").expect("id");
    let agent = AgentId::parse("ghost").expect("id");
    for unknown in [
        Principal::direct(ghost.clone()),
        Principal::autonomous(agent.clone()),
        Principal::on_behalf_of(AgentId::parse("marketing-agent").expect("id"), ghost),
        Principal::on_behalf_of(agent, UserId::parse("taylor").expect("id")),
    ] {
        assert_eq!(entitle(&snapshot, &unknown).map_err(|r| r.code), Err(Code::NoIdentity));
    }
}

#[test]
fn grants() {
    let finance = |to: &str| format!("policy g allow read on tables tagged Finance to {to}");
    for (to, who, expect) in [
        ("users in group accountants and with training = 'security-awareness'", "avery", true),
        ("users named avery", "avery", true),
        ("everyone", "taylor", true),
        ("users in group hr or accountants", "harper", true),
        ("users not in group hr", "taylor", true),
        ("users in group accountants and with training = 'other'", "avery", false),
        ("users in group Accountants", "avery", false),
        ("users in group accountants", "taylor", false),
        ("users not in group hr", "harper", false),
        ("users named taylo", "taylor", false),
        ("users with nothing = 'x'", "taylor", false),
        ("agents", "avery", false),
        ("agents in group accountants", "avery", false),
        ("users", "marketing-agent~", false),
    ] {
        assert_eq!(reaches(&finance(to), who, "finance.ledger"), expect, "{to} {who}");
    }
    for (on, expect) in [
        ("tagged Finance", true),
        ("tagged Finance.Books", true),
        ("named finance.ledger", true),
        ("like 'finance.%'", true),
        ("with columns tagged PII", true),
        ("with columns named token", true),
        ("tagged Finance.Books.Old", false),
        ("tagged Fin", false),
        ("tagged finance", false),
        ("tagged PII", false),
        ("named finance.\"Ledger\"", false),
        ("named public.ledger", false),
        ("like 'finance'", false),
        ("with columns tagged Region", false),
        ("with columns named public.ledger.token", false),
        ("with columns like 'tok'", false),
    ] {
        let text = format!("policy g allow read on tables {on} to users");
        assert_eq!(reaches(&text, "taylor", "finance.ledger"), expect, "{on}");
    }
    for state in ["draft", "staged", "shadow", "disabled"] {
        let text = format!("policy g ({state}) allow read on tables tagged Finance to users");
        assert!(!reaches(&text, "taylor", "finance.ledger"), "{state}");
    }
}

#[test]
fn guardrails_beat_grants() {
    let text =
        |guardrail: &str| format!("policy g allow read on tables tagged Plain to everyone\n{guardrail}");
    for (guardrail, who, expect) in [
        ("guardrail x require users with training = 'privacy' on tables tagged Plain", "riley", true),
        ("guardrail x require users with training = 'privacy' on tables tagged Plain", "taylor", false),
        ("guardrail x require users with training = 'privacy' on tables tagged Plain", "nobody", false),
        (
            "guardrail x require users with training = 'privacy' on tables tagged Plain",
            "marketing-agent~",
            false,
        ),
        (
            "guardrail x require users with training = 'privacy' or agents on tables tagged Plain",
            "marketing-agent~",
            true,
        ),
        ("guardrail x require users with training = 'privacy' on tables tagged Sales", "taylor", true),
        ("guardrail x (shadow) require users in group none_such on tables tagged Plain", "taylor", true),
        ("guardrail x require users in group none_such on tables tagged Plain", "taylor", false),
        (
            "guardrail x require users on tables tagged Plain guardrail y require users in group hr on tables tagged Plain",
            "taylor",
            false,
        ),
        (
            "guardrail x when an agent acts require agents with certified = 'yes' on tables tagged Plain",
            "marketing-agent~taylor",
            true,
        ),
        (
            "guardrail x when an agent acts require agents with certified = 'no' on tables tagged Plain",
            "taylor",
            true,
        ),
        (
            "guardrail x when an agent acts require agents with certified = 'no' on tables tagged Plain",
            "marketing-agent~taylor",
            false,
        ),
        (
            "guardrail x when an agent acts require agents with certified = 'no' on tables tagged Plain",
            "marketing-agent~",
            false,
        ),
        (
            "guardrail x when an agent acts require users on tables tagged Plain",
            "marketing-agent~taylor",
            false,
        ),
    ] {
        assert_eq!(reaches(&text(guardrail), who, "public.plain"), expect, "{guardrail} {who}");
    }
}

#[test]
fn on_behalf_of() {
    const AGENT: &str =
        "policy t allow read on tables tagged Agent.Tool, Plain to agents in group marketing_agents\n";
    const USER: &str = "policy u allow read on tables tagged Sales to users\n";
    const BOTH: &str = "policy b allow read on tables tagged Sales to agents\n";
    let all = format!("{AGENT}{USER}");
    for (text, who, table, expect) in [
        (&all, "marketing-agent~taylor", TOOLS, true),
        (&all, "marketing-agent~taylor", ORDERS, true),
        (&all, "union-agent~taylor", "public.plain", true),
        (&all, "marketing-agent~", "public.plain", true),
        (&format!("{USER}{BOTH}"), "narrow-agent~taylor", ORDERS, true),
        (&all, "marketing-agent~taylor", "public.plain", false),
        (&all, "marketing-agent~", ORDERS, false),
        (&all, "taylor", TOOLS, false),
        (&all, "taylor", "public.plain", false),
        (&all, "narrow-agent~taylor", TOOLS, false),
        (&all, "narrow-agent~taylor", ORDERS, false),
        (&all, "narrow-agent~taylor", "public.plain", false),
    ] {
        assert_eq!(reaches(text, who, table), expect, "{who} {table}");
    }
}

#[test]
fn a_guardrail_on_the_user_is_not_passed_by_way_of_the_agent() {
    let text = "policy g allow read on tables tagged Agent.Tool to everyone
        guardrail x require users with training = 'privacy' or agents on tables tagged Agent.Tool";
    assert!(reaches(text, "marketing-agent~", TOOLS));
    assert!(reaches(text, "marketing-agent~riley", TOOLS));
    assert!(!reaches(text, "marketing-agent~taylor", TOOLS));
    assert!(!reaches(text, "union-agent~taylor", TOOLS));
}

#[test]
fn a_tool_is_judged_as_the_agent_and_the_rest_as_the_user() {
    let text = "policy g allow read on tables tagged Agent.Tool to agents
        policy u allow read on tables tagged Sales to everyone
        policy m mask columns tagged PII with null for everyone except agents";
    let tool = access(text, "marketing-agent~taylor", TOOLS).expect("reached");
    assert_eq!(rule(&tool, "email"), "clear");
    // The agent's exception lifts nothing of the user's.
    let orders = access(text, "union-agent~taylor", ORDERS).expect("reached");
    assert_eq!(rule(&orders, "lastname"), "null");
    assert_eq!(rule(&access(text, "union-agent~", ORDERS).expect("reached"), "lastname"), "clear");
}

#[test]
fn row_security_new_things_and_empty_tables_are_denied() {
    let text = "policy g allow read on tables tagged Plain, Sales, New to everyone";
    let mut own = snapshot(text);
    let plain = RelationName::new("public", "plain");
    let set = |s: &mut crate::snapshot::Snapshot, f: &dyn Fn(&mut crate::catalog::Relation)| {
        f(s.catalog.relations.get_mut(&plain).expect("there"));
    };
    set(&mut own, &|r| r.row_security = true);
    assert!(entitled(&own, "taylor").access("public", "plain").is_none());
    assert!(entitled(&own, "taylor").access("public", "customer_orders").is_some());

    let mut new = snapshot(text);
    set(&mut new, &|r| {
        r.tags.insert(TagPath("New".into()));
    });
    assert!(entitled(&new, "taylor").access("public", "plain").is_none());
    let own_tags = [TagPath("New".into()), TagPath("Plain".into())].into();
    new.tags.tables.insert("public.plain".into(), own_tags);
    assert!(entitled(&new, "taylor").access("public", "plain").is_some());

    let mut drifted = snapshot(text);
    set(&mut drifted, &|r| {
        r.columns[1].tags.insert(TagPath("New".into()));
    });
    let seen = entitled(&drifted, "taylor");
    let seen = seen.access("public", "plain").expect("still there");
    assert_eq!(rule(seen, "note"), "denied");
    assert_eq!(seen.view.columns.len(), 1);

    let mut bare = snapshot(text);
    set(&mut bare, &|r| r.columns.clear());
    assert!(entitled(&bare, "taylor").access("public", "plain").is_none());
    let hidden = format!("{text}\npolicy d mask columns tagged Plain with deny");
    assert!(access(&hidden, "taylor", "public.plain").is_none());
}

#[test]
fn where_rows_are_hidden_only_tables_are_written() {
    let grant = "policy g allow read, write on tables tagged Sales to everyone\n";
    let write = |text: &str, who: &str| {
        operations(&access(text, who, ORDERS).expect("reached")).contains(&Operation::Write)
    };
    assert!(write(grant, "taylor"));
    let masked = format!("{grant}policy m mask columns tagged PII with null");
    let access_masked = access(&masked, "taylor", ORDERS).expect("reached");
    let unwritable: Vec<&str> =
        access_masked.view.columns.iter().filter(|c| !c.writable).map(|c| c.name.as_str()).collect();
    assert_eq!(unwritable, ["lastname"]);
    let filtered = format!(
        "{grant}policy r show rows of tables tagged Sales where region = @user.region for everyone except users in group hr"
    );
    assert!(access(&filtered, "taylor", ORDERS).expect("reached").view.barrier);
    let of_kind = |text: &str, kind: RelationKind| {
        let mut other = snapshot(text);
        let orders = RelationName::new("public", "customer_orders");
        other.catalog.relations.get_mut(&orders).expect("there").kind = kind;
        let seen = entitled(&other, "taylor");
        seen.access("public", "customer_orders").map(operations)
    };
    let both = Some(vec![Operation::Read, Operation::Write]);
    let only = "policy g allow write on tables tagged Sales to everyone\npolicy r show rows of tables tagged Sales where level = 1";
    for kind in [RelationKind::Table, RelationKind::PartitionedTable] {
        assert_eq!(of_kind(&filtered, kind), both);
        assert_eq!(of_kind(only, kind), Some(vec![Operation::Write]));
    }
    // PostgreSQL does not see to it that what is written through these stays in sight.
    for kind in [RelationKind::View, RelationKind::ForeignTable, RelationKind::MaterializedView] {
        assert_eq!(of_kind(&filtered, kind), Some(vec![Operation::Read]));
        assert_eq!(of_kind(only, kind), None);
    }
    let mut stored = snapshot(grant);
    let orders = RelationName::new("public", "customer_orders");
    stored.catalog.relations.get_mut(&orders).expect("there").kind = RelationKind::MaterializedView;
    let seen = entitled(&stored, "taylor");
    assert_eq!(operations(seen.access("public", "customer_orders").expect("read")), [Operation::Read]);
}

#[test]
fn rows_for_some() {
    let shown = |policies: &str, who: &str| {
        let text = format!("policy g allow read on tables tagged Sales to everyone\n{policies}");
        match access(&text, who, ORDERS).expect("reached").rows {
            RowRule::All => "all".to_owned(),
            RowRule::Filtered { condition, .. } => condition,
        }
    };
    let branches = "policy r show rows of tables tagged Sales who is in group hr all who users in group marketing where level = 1";
    assert_eq!(shown(branches, "harper"), "all");
    assert_eq!(shown(branches, "taylor"), "(t.\"level\") = (1)");
    assert_eq!(shown(branches, "casey"), "FALSE");
    let otherwise = format!("{branches} otherwise where level = 2");
    assert_eq!(shown(&otherwise, "casey"), "(t.\"level\") = (2)");
    let two = "policy b show rows of tables tagged Sales where level = 1 or level = 2 policy a show rows of tables tagged Sales where active";
    assert_eq!(shown(two, "casey"), "(t.\"active\") AND (((t.\"level\") = (1)) OR ((t.\"level\") = (2)))");
    let actor =
        "policy a when an agent acts show rows of tables tagged Sales where active for everyone except users";
    assert_eq!(shown(actor, "taylor"), "all");
    assert_eq!(shown(actor, "marketing-agent~taylor"), "t.\"active\"");
    let only = "policy a show rows of tables tagged Sales where active for users in group hr";
    assert_eq!(shown(only, "taylor"), "all");
    assert_eq!(shown(only, "harper"), "t.\"active\"");
}

#[test]
fn views_are_named_by_what_they_show() {
    let text =
        "policy g allow read on tables tagged Odd to everyone\npolicy m mask columns tagged PII with hash";
    let one = access(text, "taylor", "public.\"odd\" name").expect("reached");
    assert!(one.view.select_sql.starts_with("SELECT t.\"a\"\"b\" AS \"a\"\"b\", CAST("));
    assert!(one.view.select_sql.ends_with("AS \"c\" FROM \"public\".\"\"\"odd\"\" name\" AS t"));
    assert!(!one.view.barrier);
    assert_eq!(one.view.name.len(), 34);
    assert!(one.view.name.starts_with("v_"));
    assert!(one.view.keys.iter().eq(["table:public.\"\"\"odd\"\" name\""]));
    assert!(matches!(&one.columns["c"], ColumnRule::Masked { mask: "hash", policy } if policy == "m"));
    let name = |change: &dyn Fn(&mut Relation)| {
        let mut changed = snapshot(text);
        changed.catalog.relations.values_mut().for_each(change);
        entitled(&changed, "taylor").iter().next().expect("reached").view.name.clone()
    };
    let again = name(&|relation| {
        relation.oid += 1_000;
        relation.columns.iter_mut().for_each(|column| column.number += 7);
    });
    assert_eq!(again, one.view.name, "made again as it was");
    let hidden = name(&|relation| {
        let mut column = relation.columns[0].clone();
        column.name = "fresh".to_owned();
        column.tags = BTreeSet::from([TagPath(TagPath::NEW.to_owned())]);
        relation.columns.push(column);
    });
    assert_eq!(hidden, one.view.name, "what nobody is shown changes nobody's access");
    for change in [
        &(|relation: &mut Relation| relation.columns[0].type_sql = "bigint".to_owned())
            as &dyn Fn(&mut Relation),
        &|relation| relation.columns[0].name = "other".to_owned(),
        &|relation| drop(relation.columns.remove(0)),
        &|relation| {
            let mut column = relation.columns[0].clone();
            column.name = "more".to_owned();
            relation.columns.push(column);
        },
    ] {
        assert_ne!(name(change), one.view.name);
    }
    let shared = text.replace("hash", "hash joinable in people");
    let shared = access(&shared, "taylor", "public.\"odd\" name").expect("reached");
    assert!(shared.view.keys.iter().eq(["group:people"]));
}

#[test]
fn explanations_say_who_decided_and_why_not() {
    let snapshot = snapshot(&format!(
        "{SAMPLE}\npolicy sales allow read, write on tables tagged Sales to users
         policy tryout (shadow) mask columns named order_total with null"
    ));
    let orders = RelationName::new("public", "customer_orders");
    let told = |who: &str, table: &RelationName| explain(&snapshot, &principal(who), table).to_string();
    let riley = told("riley", &orders);
    for part in [
        "public.customer_orders for user 'riley': allowed (read, write)",
        "granted by sales",
        "lastname: constant (hide_pii)",
        "order_id: clear",
        "own_region: (t.\"region\") IN ('US-EAST')",
        "view v_",
        "shadow: 'tryout' would mask order_total with null",
    ] {
        assert!(riley.contains(part), "{part}\n{riley}");
    }
    assert!(
        told("taylor", &orders).contains("refused\n  the user does not meet the guardrail 'pii_training'")
    );
    assert!(told("taylor", &RelationName::new("public", "payroll")).contains("no grant matches the user"));
    assert!(told("taylor", &RelationName::new("public", "ghost")).contains("no such table"));
    assert!(told("marketing-agent~taylor", &RelationName::new("public", "plain")).contains("refused"));
    assert!(told("avery", &orders).contains("own_region: all rows"));
    let json = serde_json::to_value(explain(&snapshot, &principal("riley"), &orders)).expect("json");
    assert_eq!(json["verdict"], "allowed");
    assert_eq!(json["columns"][1]["rule"], "constant");
    let ghost = Principal::direct(UserId::parse("ghost").expect("id"));
    assert!(explain(&snapshot, &ghost, &orders).to_string().contains("user 'ghost' is not known"));
}
