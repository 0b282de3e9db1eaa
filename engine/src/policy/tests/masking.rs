//! Which mask is in force on a column.

use super::{access, rule};

const ORDERS: &str = "public.customer_orders";

fn masked(masks: &str, who: &str, table: &str, column: &str) -> &'static str {
    let text =
        format!("policy g allow read on tables tagged Sales, Agent.Tool, Finance to everyone\n{masks}");
    rule(&access(&text, who, table).expect("reached"), column)
}

#[test]
fn the_deepest_tag_wins_then_the_older_policy() {
    for (masks, who, expect) in [
        (
            "policy a mask columns tagged PII with null policy b mask columns tagged PII.Name with hash",
            "taylor",
            "hash",
        ),
        (
            "policy b mask columns tagged PII.Name with hash policy a mask columns tagged PII with null",
            "taylor",
            "hash",
        ),
        (
            "policy a mask columns tagged PII with null policy b mask columns tagged PII with hash",
            "taylor",
            "null",
        ),
        (
            "policy a mask columns tagged PII.Name with null policy b mask columns named lastname with hash",
            "taylor",
            "hash",
        ),
        (
            "policy a mask columns tagged PII.Name with null policy b mask columns like 'last%' with hash",
            "taylor",
            "hash",
        ),
        // A table's tag applies to what it contains, and is as deep as it is written.
        (
            "policy a mask columns tagged Sales with null policy b mask columns tagged PII.Name with hash",
            "taylor",
            "hash",
        ),
        ("policy a mask columns tagged Sales with hash", "taylor", "hash"),
        // The winner's exception shows the column; the policy it beat does not come back.
        (
            "policy a mask columns tagged PII with null policy b mask columns tagged PII.Name with hash for everyone except users in group hr",
            "harper",
            "clear",
        ),
        (
            "policy a mask columns tagged PII with null for everyone except users in group hr",
            "taylor",
            "null",
        ),
        // A mask for some is no candidate for others.
        (
            "policy a mask columns tagged PII with null policy b mask columns tagged PII.Name with hash for users in group hr",
            "harper",
            "hash",
        ),
        (
            "policy a mask columns tagged PII with null policy b mask columns tagged PII.Name with hash for users in group hr",
            "taylor",
            "null",
        ),
        (
            "policy b mask columns tagged PII.Name with hash for everyone who is in group hr",
            "taylor",
            "clear",
        ),
        ("policy a mask columns tagged PII.Email with null", "taylor", "clear"),
        ("policy a mask columns tagged PI with null", "taylor", "clear"),
        ("policy a (shadow) mask columns tagged PII with null", "taylor", "clear"),
        ("policy a mask columns tagged PII of tables tagged Finance with null", "taylor", "clear"),
        ("policy a mask columns tagged PII with deny", "taylor", "denied"),
    ] {
        assert_eq!(masked(masks, who, ORDERS, "lastname"), expect, "{masks} {who}");
    }
}

#[test]
fn floors_and_actors_only_restrict() {
    for (masks, who, expect) in [
        ("policy f mask columns tagged PII with hash floor", "taylor", "hash"),
        (
            "policy f mask columns tagged PII with hash floor policy a mask columns tagged PII.Name with partial(first 1)",
            "taylor",
            "hash",
        ),
        (
            "policy f mask columns tagged PII with hash floor policy a mask columns tagged PII.Name with null",
            "taylor",
            "null",
        ),
        (
            "policy f mask columns tagged PII.Name with hash floor policy a mask columns tagged PII with null",
            "taylor",
            "null",
        ),
        (
            "policy f mask columns tagged PII with hash floor policy a mask columns tagged PII.Name with null for everyone except users in group hr",
            "harper",
            "hash",
        ),
        (
            "policy f mask columns tagged PII with hash floor for everyone except users in group hr",
            "harper",
            "clear",
        ),
        (
            "policy f mask columns tagged PII with hash floor policy h mask columns tagged PII with constant('x') floor",
            "taylor",
            "constant",
        ),
        (
            "policy f mask columns tagged PII with deny floor policy h mask columns tagged PII.Name with null",
            "taylor",
            "denied",
        ),
        // Of one kind and different: neither surely shows less.
        (
            "policy f mask columns tagged PII with partial(first 1) floor policy a mask columns tagged PII.Name with partial(last 1)",
            "taylor",
            "null",
        ),
        (
            "policy f mask columns tagged PII with partial(first 1) floor policy a mask columns tagged PII.Name with partial(first 1)",
            "taylor",
            "partial",
        ),
        ("policy p when an agent acts mask columns tagged PII with null", "taylor", "clear"),
        ("policy p when an agent acts mask columns tagged PII with null", "marketing-agent~taylor", "null"),
        ("policy p when an agent acts mask columns tagged PII with null", "marketing-agent~", "null"),
        (
            "policy p when an agent acts mask columns tagged PII with null policy a mask columns tagged PII.Name with hash",
            "marketing-agent~taylor",
            "null",
        ),
        (
            "policy p when an agent acts mask columns tagged PII with hash policy a mask columns tagged PII.Name with null",
            "marketing-agent~taylor",
            "null",
        ),
        (
            "policy p when an agent acts mask columns tagged PII with null for everyone except agents with certified = 'yes'",
            "marketing-agent~taylor",
            "clear",
        ),
        // Exceptions of an actor policy are for actors, never for the user behind.
        (
            "policy p when an agent acts mask columns tagged PII with null for everyone except users in group hr",
            "marketing-agent~harper",
            "null",
        ),
    ] {
        assert_eq!(masked(masks, who, ORDERS, "lastname"), expect, "{masks} {who}");
    }
    // What does not fit is null, and as strict as null.
    let masks = "policy f mask columns tagged Sales with constant('x') floor policy a mask columns named level with hash";
    assert_eq!(masked(masks, "taylor", ORDERS, "level"), "null");
}
