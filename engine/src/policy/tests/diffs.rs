//! What `diff` calls a gain, and what a loss.

use super::{identities, snapshot, user_id};
use crate::policy::{Changed, diff};

const BASE: &str = "policy a allow read on tables tagged Sales, Plain to users
policy m mask columns tagged PII with hash for everyone except users in group hr
policy r show rows of tables tagged Sales where region = @user.region for everyone except users in group hr
";

fn changed(old: &str, new: &str) -> Vec<Changed> {
    diff(&snapshot(old), &snapshot(new)).expect("few")
}

fn widens(old: &str, new: &str) -> bool {
    changed(old, new).iter().flat_map(|c| &c.changes).any(|c| c.widens)
}

#[test]
fn what_surely_shows_less_is_no_widening() {
    assert!(changed(BASE, BASE).is_empty());
    let with = |from: &str, to: &str| BASE.replace(from, to);
    for (from, to) in [
        ("policy a allow", "policy a allow read on tables tagged Plain to users policy b (draft) allow"),
        ("with hash", "with null"),
        ("with hash", "with constant('x')"),
        ("with hash", "with deny"),
        (" for everyone except users in group hr\npolicy r", "\npolicy r"),
        ("policy r", "policy r2 show rows of tables tagged Sales where active policy r"),
        ("where region = @user.region", "where false"),
    ] {
        let new = with(from, to);
        assert!(!changed(BASE, &new).is_empty(), "{new}");
        assert!(!widens(BASE, &new), "{new}");
        // And back again it widens.
        assert!(widens(&new, BASE), "{new}");
    }
}

#[test]
fn what_cannot_be_proven_less_is_a_widening() {
    for (from, to) in [
        ("allow read", "allow read, write"),
        ("Sales, Plain", "Sales, Plain, Finance"),
        ("with hash", "with partial(first 1)"),
        ("with hash", "with hash joinable in people"),
        ("with hash", "with null where active"),
        ("policy m", "policy m (shadow)"),
        ("where region = @user.region", "where region = 'EU'"),
        ("where region = @user.region", "where region = @user.region and active"),
        ("where region = @user.region", "where true"),
        ("policy r", "policy w allow workspace to users policy r"),
    ] {
        let new = BASE.replace(from, to);
        assert!(widens(BASE, &new), "{new}");
    }
}

#[test]
fn people_count_as_policies_do() {
    let (old, mut new) = (snapshot(BASE), snapshot(BASE));
    new.identities = identities();
    let riley = new.identities.users.get_mut(&user_id("riley")).expect("riley");
    riley.attributes.entry("region".to_owned()).or_default().insert("EU".to_owned());
    let found = diff(&old, &new).expect("few");
    let told: Vec<&String> = found.iter().flat_map(|c| &c.who).collect();
    assert!(
        told.iter().all(|who| who.ends_with("riley")) && told.iter().any(|who| *who == "riley"),
        "{told:?}"
    );
    assert!(found.iter().flat_map(|c| &c.changes).all(|c| c.widens));
    new.identities.users.remove(&user_id("riley"));
    let found = diff(&old, &new).expect("few");
    assert!(
        found.iter().flat_map(|c| &c.changes).all(|c| !c.widens && c.how == "loses the table"),
        "{found:?}"
    );
}
