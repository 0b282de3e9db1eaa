//! What `check` finds.

use super::{SAMPLE, snapshot};
use crate::catalog::TagPath;
use crate::policy::{Severity, check};

fn found(text: &str) -> Vec<(Severity, String)> {
    check(&snapshot(text)).into_iter().map(|d| (d.severity, d.to_string())).collect()
}

#[test]
fn the_sample_is_clean_but_for_what_the_shop_lacks() {
    let found = found(SAMPLE);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn errors_and_warnings() {
    const ERROR: Severity = Severity::Error;
    const WARNING: Severity = Severity::Warning;
    for (text, severity, says) in [
        ("policy a allow read on tables tagged Sale to users", ERROR, "the tag 'Sale' is not defined"),
        ("policy a allow read on tables tagged Sale to users", ERROR, "did you mean 'Sales'?"),
        ("policy a allow read on tables with columns tagged PII.Fone to users", ERROR, "'PII.Fone'"),
        ("policy a mask columns tagged Pii with null", ERROR, "'Pii'"),
        ("policy a mask columns tagged PII of tables tagged Nope with null", ERROR, "'Nope'"),
        (
            "policy a allow read on tables tagged Sales to users with regoin = 'x'",
            ERROR,
            "did you mean 'region'?",
        ),
        (
            "policy a allow read on tables tagged Sales to agents with region = 'x'",
            ERROR,
            "nobody has the attribute 'region'",
        ),
        (
            "policy a show rows of tables tagged Sales where region = @user.regoin",
            ERROR,
            "nobody has the attribute 'regoin'",
        ),
        (
            "policy a show rows of tables tagged Sales where region = @agent.region",
            ERROR,
            "nobody has the attribute 'region'",
        ),
        (
            "policy a show rows of tables tagged Sales where regio = 'x'",
            ERROR,
            "'public.customer_orders' is denied to everyone: 'public.customer_orders' has no column 'regio'",
        ),
        (
            "policy a show rows of tables tagged Broken where @tagged(Region) = 'x'",
            ERROR,
            "no column of 'public.no_region' carries",
        ),
        (
            "policy a show rows of tables tagged Sales where @tagged(Regin) = 'x'",
            ERROR,
            "the tag 'Regin' is not defined",
        ),
        ("policy a show rows of tables tagged Sales where level = 'x'", ERROR, "does not read as integer"),
        (
            "policy a mask columns named public.customer_orders.lastnam with null",
            ERROR,
            "did you mean 'lastname'?",
        ),
        ("policy a mask columns named nowhere with null", ERROR, "no table has a column 'nowhere'"),
        (
            "policy a (draft) allow read on tables tagged Sale to users",
            WARNING,
            "the tag 'Sale' is not defined",
        ),
        (
            "policy a allow read on tables named public.customer_order to users",
            WARNING,
            "did you mean 'public.customer_orders'?",
        ),
        ("policy a allow read on tables like 'nope.%' to users", WARNING, "matches no table"),
        (
            "policy a allow read on tables tagged Sales to users in group analyst",
            WARNING,
            "did you mean 'analysts'?",
        ),
        (
            "policy a allow read on tables tagged Sales to agents in group analysts",
            WARNING,
            "nobody is in the group",
        ),
        (
            "policy a allow read on tables tagged Sales to users named ghost",
            WARNING,
            "nobody is called 'ghost'",
        ),
        (
            "policy a mask columns named level with hash",
            WARNING,
            "the mask 'hash' becomes 'null' on 'public.customer_orders.level' (integer)",
        ),
        ("policy a mask columns tagged PII.Phone with hash", WARNING, "the column holds 31"),
        (
            "policy a mask columns tagged PII.Phone with constant('this is longer than thirty-one characters')",
            WARNING,
            "does not fit",
        ),
        (
            "policy a when an agent acts mask columns tagged PII with null for everyone except users in group hr",
            WARNING,
            "looks at the acting agent",
        ),
        (
            "policy a allow write on tables tagged Sales to users policy b show rows of tables tagged Sales where active",
            WARNING,
            "cannot be written by those whose rows are filtered",
        ),
        ("policy a mask columns like 'nope%' with null", WARNING, "the policy 'a' matches no column"),
        (
            "policy a mask columns tagged PII.Name or named order_id or like 'gone%' with null",
            WARNING,
            "no column is like 'gone%': this part of 'a' masks nothing",
        ),
        (
            "policy a show rows of tables tagged Sales who everyone all who is in group hr none",
            WARNING,
            "branch 2 of 'a' is never reached",
        ),
        (
            "policy a mask columns tagged PII who is in group hr clear who is in group hr with null otherwise with hash",
            WARNING,
            "branch 2 of 'a' is never reached",
        ),
        (
            "policy a mask columns tagged PII who users or agents clear otherwise with hash",
            WARNING,
            "'otherwise' of 'a' is never reached",
        ),
        (
            "policy a mask columns tagged PII with null for everyone except users or agents",
            WARNING,
            "everyone is excepted from 'a'",
        ),
        (
            "policy a mask columns tagged PII with null policy b mask columns tagged PII with hash",
            WARNING,
            "'b' never decides about 'finance.ledger.phone': 'a' is as deep and older",
        ),
        (
            "policy a mask columns tagged PII with null policy b mask columns tagged PII with hash for users",
            WARNING,
            "'b' never decides",
        ),
        (
            "policy a allow read on tables tagged Sales to users under purpose Markting purpose Marketing 'x' to users",
            ERROR,
            "did you mean 'Marketing'?",
        ),
        (
            "policy a show rows of tables tagged Sales only for purpose Marketing",
            ERROR,
            "the purpose 'Marketing' is not declared",
        ),
        (
            "policy a show rows of tables tagged Sales whose Region matches regoin",
            ERROR,
            "did you mean 'region'?",
        ),
        (
            "policy a show rows of tables tagged Sales whose Regon matches region",
            ERROR,
            "did you mean 'Region'?",
        ),
        (
            "policy a show rows of tables tagged Sales newer than 1 day by plced",
            ERROR,
            "did you mean 'placed'?",
        ),
        ("policy a show rows of tables tagged Sales newer than 1 day by level", ERROR, "neither a date nor"),
        ("policy a show rows of tables tagged Sales only 10 %", ERROR, "no primary key to choose rows by"),
        (
            "policy a show rows of tables tagged Sales through customer_orders.order_id where active",
            ERROR,
            "is no foreign key of its own",
        ),
        (
            "policy a show rows of tables tagged Sales through customer_orders.order_id to public.plain.id where note = 'x'",
            ERROR,
            "nothing makes 'id' of 'public.plain' unique",
        ),
        (
            "policy a show rows of tables tagged Sales using lookup public.plan where order_id in (select id from public.plan)",
            WARNING,
            "did you mean 'public.plain'?",
        ),
        (
            "policy a show rows of tables tagged Sales using lookup public.plain where order_id in (select note from public.plain)",
            ERROR,
            "do not compare",
        ),
        (
            "policy a mask columns tagged PII with null where activ",
            ERROR,
            "the mask is in force in every row",
        ),
        ("policy a mask columns named level with custom(lower(@column))", WARNING, "is not text"),
        ("policy a reveal columns like 'nope%' to users", WARNING, "the policy 'a' matches no column"),
        ("policy a allow workspace to users in group analyst", WARNING, "did you mean 'analysts'?"),
        ("purpose A 'x' to users in group analyst", WARNING, "did you mean 'analysts'?"),
    ] {
        let found = found(text);
        assert!(found.iter().any(|(s, m)| *s == severity && m.contains(says)), "{text}\n{found:?}");
    }
    assert!(found("policy a (disabled) allow read on tables tagged Sale to users").is_empty());
    for fine in [
        "policy a mask columns tagged PII.Name with partial(first 1)",
        "policy a mask columns tagged PII with null policy b mask columns tagged PII.Name with hash",
        "policy a mask columns tagged PII with null for users policy b mask columns tagged PII with constant('x')",
        "policy a mask columns tagged PII with null policy b mask columns tagged PII with null floor",
        "policy a mask columns tagged PII with null policy b (shadow) mask columns tagged PII with constant('x')",
        "policy a show rows of tables with columns tagged Region whose Region matches region",
        "policy a show rows of tables tagged Sales, Broken whose Region matches region on missing skip",
        "policy a allow read on tables tagged Sales to users under purpose A purpose A.B 'x' to users",
    ] {
        assert!(found(fine).is_empty(), "{fine}: {:?}", found(fine));
    }
}

#[test]
fn approvals_that_name_nothing_or_add_nothing_are_told() {
    use super::{RelationName, user_id};
    use crate::approval::{Approval, Approved, Grantee};
    use crate::entitlement::Operation;
    let orders = || RelationName::new("public", "customer_orders");
    let access = |id: &str, user: &str, relation: RelationName, operations: &[Operation]| Approval {
        id: id.to_owned(),
        grantee: Grantee::User(user_id(user)),
        what: Approved::Access { relation, operations: operations.iter().copied().collect() },
        expires: None,
    };
    let mut shop = snapshot(
        "policy r allow read on tables tagged Sales to users policy w allow write on tables tagged Sales to users in group hr",
    );
    let both = [Operation::Read, Operation::Write];
    shop.approvals.all = vec![
        access("a1", "taylor", orders(), &both[..1]),
        access("a2", "harper", orders(), &both),
        access("a3", "taylor", orders(), &both),
        access("a4", "ghost", orders(), &both),
        access("a5", "taylor", RelationName::new("public", "ghost"), &both),
        Approval {
            what: Approved::Unmask { relation: orders(), column: "ghost".into() },
            ..access("a6", "taylor", orders(), &both)
        },
        Approval { expires: Some(0), ..access("a7", "ghost", orders(), &both) },
    ];
    let told: Vec<String> =
        check(&shop).into_iter().filter(|d| d.file == "approvals.json").map(|d| d.message).collect();
    assert_eq!(
        told,
        [
            "'r' makes the approval 'a1' pointless: 'taylor' has access to 'public.customer_orders' already",
            "'r' and 'w' make the approval 'a2' pointless: 'harper' has access to 'public.customer_orders' already",
            "the approval 'a4' is for nobody known",
            "the approval 'a5' names 'public.ghost', and the warehouse has no such table",
            "the approval 'a6' names 'ghost', and 'public.customer_orders' has no such column",
        ]
    );
}

#[test]
fn findings_point_at_the_word() {
    let all = check(&snapshot("policy a\n  allow read on tables tagged Plain, Sale\n  to users"));
    let first = all.first().expect("a finding");
    assert_eq!((first.line, first.column), (2, 38));
    assert!(first.excerpt.as_ref().is_some_and(|e| e.ends_with("                                     ^")));
}

#[test]
fn tags_that_name_nothing_are_told() {
    let mut shop = snapshot("");
    let assigned = || [TagPath("Sales".into()), TagPath("Undefined".into())].into();
    shop.tags.tables.insert("public.ghost".into(), assigned());
    shop.tags.columns.insert("public.plain.ghost".into(), assigned());
    let all = check(&shop);
    assert_eq!(all.len(), 4, "{all:?}");
    assert!(all.iter().all(|d| d.severity == Severity::Warning && d.file == "tags.json"));
}
