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
        ("policy a allow read on tables like 'nope.%' to users", WARNING, "matches nothing"),
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
    ] {
        let found = found(text);
        assert!(found.iter().any(|(s, m)| *s == severity && m.contains(says)), "{text}\n{found:?}");
    }
    assert!(found("policy a (disabled) allow read on tables tagged Sale to users").is_empty());
    assert!(found("policy a mask columns tagged PII.Name with partial(first 1)").is_empty());
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
