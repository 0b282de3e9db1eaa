//! What must never show more, on the worlds of `differential`: an exception taken away, and a narrower way to combine agent and
//! user.

use std::collections::BTreeSet;

use super::differential::{WHO, asked, world};
use super::parse;
use crate::entitlement::{Access, ColumnRule, Entitlement, Operation, RowRule};
use crate::identity::Combination;
use crate::policy::entitle;
use crate::snapshot::Snapshot;

const WORLDS: u64 = 120;

/// More is stricter.
fn strictness(access: &Access, column: &str) -> usize {
    const STEPS: [&[&str]; 11] = [
        &["custom"],
        &["regex", "partial", "redact"],
        &["reversible", "fpe"],
        &["token"],
        &["hash"],
        &["round"],
        &["randomized"],
        &["k_anonymous"],
        &["constant"],
        &["null"],
        &["denied"],
    ];
    let word = match access.columns.get(column) {
        None | Some(ColumnRule::Denied { .. }) => "denied",
        Some(ColumnRule::Clear) => return 0,
        Some(ColumnRule::Masked { mask, .. }) => mask,
    };
    STEPS.iter().position(|words| words.contains(&word)).expect("a mask of the generator's") + 1
}

fn limits(access: &Access) -> BTreeSet<&String> {
    match &access.rows {
        RowRule::All => BTreeSet::new(),
        RowRule::Filtered { policies, .. } => policies.iter().collect(),
    }
}

fn shows_no_more(new: &Entitlement, old: &Entitlement) -> Result<(), String> {
    for access in new.iter() {
        let name = &access.relation;
        let was = old.access(&name.schema, &name.name).ok_or_else(|| format!("{name} is gained"))?;
        if !access.operations.is_subset(&was.operations) {
            return Err(format!("{name}: more operations"));
        }
        if !limits(was).is_subset(&limits(access)) {
            return Err(format!("{name}: a filter is gone"));
        }
        for column in was.columns.keys() {
            if strictness(access, column) < strictness(was, column) {
                return Err(format!("{name}.{column}: less strict"));
            }
        }
    }
    Ok(())
}

#[test]
fn an_exception_taken_away_never_shows_more() {
    let mut differences = 0;
    for seed in 0..WORLDS {
        let (before, text) = world(seed);
        let without: String = text
            .lines()
            .map(|line| format!("{}\n", line.split(" for everyone except").next().unwrap_or(line)))
            .collect();
        let mut after: Snapshot = before.clone();
        after.policies = parse(&without);
        for who in WHO {
            let asked = asked(who);
            let (Ok(old), Ok(new)) = (entitle(&before, &asked), entitle(&after, &asked)) else {
                continue;
            };
            differences += usize::from(old.fingerprint != new.fingerprint);
            shows_no_more(&new, &old).unwrap_or_else(|why| panic!("world {seed}, {who}: {why}\n{text}"));
        }
    }
    assert!(differences > 20, "{differences}");
}

#[test]
fn union_is_guarded_and_more_and_guarded_is_intersection_and_more() {
    let mut differences = 0;
    for seed in 0..WORLDS {
        let (mut snapshot, text) = world(seed);
        for who in WHO.into_iter().filter(|who| who.contains('~') && !who.ends_with('~')) {
            let asked = asked(who);
            let reached =
                [Combination::Union, Combination::Guarded, Combination::Intersection].map(|combination| {
                    snapshot.identities.agents.values_mut().for_each(|agent| agent.combination = combination);
                    let entitlement = entitle(&snapshot, &asked).ok();
                    let all = entitlement.iter().flat_map(Entitlement::iter);
                    all.flat_map(|a| {
                        a.operations.iter().map(|o| (a.relation.clone(), *o)).collect::<Vec<_>>()
                    })
                    .collect::<BTreeSet<(_, Operation)>>()
                });
            let [union, guarded, intersection] = &reached;
            assert!(guarded.is_subset(union), "world {seed}, {who}\n{text}");
            assert!(intersection.is_subset(guarded), "world {seed}, {who}\n{text}");
            differences += usize::from(union != guarded) + usize::from(guarded != intersection);
        }
    }
    assert!(differences > 20, "{differences}");
}
