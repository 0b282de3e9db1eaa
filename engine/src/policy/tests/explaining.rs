//! `explain`: who lost a column and why, and what would make a refused table pass.

use super::{entitled, parse, principal, snapshot};
use crate::approval::{Approval, Approved, Grantee};
use crate::catalog::RelationName;
use crate::entitlement::Operation;
use crate::policy::{Explanation, explain};

fn told(text: &str, who: &str, table: &str) -> Explanation {
    let (schema, name) = table.split_once('.').expect("schema.table");
    explain(&snapshot(text), &principal(who), &RelationName::new(schema, name))
}

const MASKS: &str = "policy a allow read on tables tagged Sales to everyone
policy shallow mask columns tagged PII with hash
policy deep mask columns tagged PII.Name with partial(first 1) for everyone except users in group hr
policy younger mask columns tagged PII.Name with null
policy others mask columns tagged PII with null for users in group nobody
policy \"floor\" mask columns tagged PII with hash floor for everyone except users in group hr
policy acting when an agent acts mask columns tagged PII with constant('x')
";

#[test]
fn losers_say_why_they_lost() {
    let lost = |who: &str| -> Vec<(String, String)> {
        let told = told(MASKS, who, "public.customer_orders");
        told.columns.into_iter().find(|c| c.column == "lastname").expect("shown").lost
    };
    let said = |who: &str, policy: &str| {
        lost(who).into_iter().find(|(name, _)| name == policy).map(|(_, why)| why).unwrap_or_default()
    };
    assert_eq!(said("taylor", "shallow"), "'deep' matches more deeply");
    assert_eq!(said("taylor", "younger"), "'deep' matches as deeply and is older");
    assert_eq!(said("taylor", "others"), "it is for others");
    assert_eq!(said("taylor", "deep"), "a floor is stricter");
    assert_eq!(said("taylor", "floor"), "");
    assert_eq!(said("taylor", "acting"), "it looks at an acting agent, and none acts");
    assert_eq!(said("harper", "deep"), "it won, and spares this principal");
    assert_eq!(said("harper", "floor"), "it is not for this principal");
    assert_eq!(said("marketing-agent~taylor", "floor"), "another mask is at least as strict");
    assert_eq!(said("marketing-agent~taylor", "acting"), "");
}

const GRANTS: &str = "policy tools allow read on tables tagged Agent.Tool to agents
policy sales allow read on tables tagged Sales to users in group analysts
guardrail trained require users with training = 'privacy' on tables tagged Sales
policy books allow read on tables tagged Finance to agents
";

#[test]
fn what_is_refused_says_what_would_help() {
    for (who, table, grants, obstacles) in [
        ("riley", "public.customer_orders", None, 0),
        ("avery", "public.customer_orders", Some(1), 0),
        ("taylor", "public.customer_orders", Some(1), 1),
        ("taylor", "public.payroll", Some(1), 0),
        ("marketing-agent~taylor", "finance.ledger", Some(1), 0),
        ("narrow-agent~avery", "public.payroll", Some(2), 0),
        ("narrow-agent~avery", "finance.ledger", Some(1), 0),
    ] {
        let told = told(GRANTS, who, table);
        let why = told.why_not.as_ref();
        assert_eq!(why.map(|w| w.grants.len()), grants, "{who} {table} {told}");
        assert_eq!(why.map_or(0, |w| w.obstacles.len()), obstacles, "{who} {table} {told}");
        assert_eq!(why.is_none(), told.verdict == "allowed");
    }
    let why = told(GRANTS, "avery", "public.customer_orders").why_not.expect("refused");
    assert_eq!(why.grants, ["allow read on tables named public.customer_orders to users named avery"]);
    assert_eq!(why.granted_to, ["'sales' grants it to users in group analysts"]);
    let why = told(GRANTS, "taylor", "public.customer_orders").why_not.expect("refused");
    assert!(why.obstacles[0].contains("users with training = 'privacy'"), "{why}");
}

/// What is proposed compiles, and does what it says.
#[test]
fn what_is_proposed_is_enough() {
    for who in
        ["avery", "taylor", "nobody", "marketing-agent~taylor", "narrow-agent~avery", "marketing-agent~"]
    {
        for table in snapshot(GRANTS).catalog.relations.keys() {
            let Some(why) = told(GRANTS, who, &table.to_string()).why_not else {
                continue;
            };
            let lines = why.grants.iter().enumerate().map(|(n, grant)| format!("policy extra{n} {grant}\n"));
            let text = format!("{GRANTS}{}", lines.collect::<String>());
            parse(&text);
            let reached = entitled(&snapshot(&text), who).access(&table.schema, &table.name).is_some();
            assert_eq!(reached, why.obstacles.is_empty(), "{who} {table} {why}");
            // One grant less is not enough.
            for n in 0..why.grants.len() {
                let fewer = why.grants.iter().enumerate().filter(|(k, _)| *k != n);
                let fewer: String = fewer.map(|(k, grant)| format!("policy extra{k} {grant}\n")).collect();
                let text = format!("{GRANTS}{fewer}");
                assert!(entitled(&snapshot(&text), who).access(&table.schema, &table.name).is_none());
            }
        }
    }
}

#[test]
fn supposing_changes_nothing() {
    let mut real = snapshot(GRANTS);
    let before = entitled(&real, "nobody");
    let told = explain(&real, &principal("nobody"), &RelationName::new("public", "payroll"));
    assert!(told.why_not.is_some());
    assert_eq!(before, entitled(&real, "nobody"));
    real.approvals.all.push(Approval {
        id: "one".into(),
        grantee: Grantee::User(super::user_id("nobody")),
        what: Approved::Access {
            relation: RelationName::new("public", "payroll"),
            operations: [Operation::Read].into(),
        },
        expires: None,
    });
    assert_ne!(before, entitled(&real, "nobody"));
}
