//! What shadow policies would change, for the record (policy.md §7): the same judge, under the same snapshot with its shadow
//! policies active.
//!
//! Must never be enforced, nor stand in a fingerprint. Made once per entitlement, so that a statement only reads it. Called by
//! `entitle`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::entitle;
use super::judge::{Reason, Session};
use super::resolved::SnapshotIndex;
use crate::catalog::RelationName;
use crate::entitlement::{Access, ColumnRule, RowRule};
use crate::identity::Principal;
use crate::snapshot::Snapshot;

/// Relations of an entitlement that shadow policies would change, and how. Empty where there are none.
pub(crate) fn changes(
    snapshot: &Snapshot,
    principal: &Principal,
    relations: &BTreeMap<String, BTreeMap<String, Arc<Access>>>,
) -> BTreeMap<RelationName, Vec<String>> {
    let resolved = SnapshotIndex::of(snapshot);
    let Some(what_if) = resolved.what_if(snapshot) else {
        return BTreeMap::new();
    };
    let would = entitle(what_if, principal);
    let all = relations.values().flat_map(BTreeMap::values);
    let changed = all.map(|was| {
        let name = &was.relation;
        let how = match &would {
            Err(refusal) => vec![format!("no session: {}", refusal.message)],
            Ok(would) => match would.access(&name.schema, &name.name) {
                Some(is) => differences(was, is),
                None => vec![format!("refused: {}", why(what_if, principal, name))],
            },
        };
        (name.clone(), how)
    });
    changed.filter(|(_, how)| !how.is_empty()).collect()
}

fn why(what_if: &Snapshot, principal: &Principal, name: &RelationName) -> String {
    let Ok(session) = Session::of(what_if, principal) else {
        return "no session".to_owned();
    };
    let reasons = what_if.catalog.relations.get(name).and_then(|relation| session.judge(relation).err());
    reasons.unwrap_or_default().iter().map(Reason::to_string).collect::<Vec<_>>().join("; ")
}

fn differences(was: &Access, is: &Access) -> Vec<String> {
    let mut told = Vec::new();
    let lost = was.operations.difference(&is.operations).map(|o| format!("{} lost", o.word()));
    told.extend(lost);
    told.extend(is.operations.difference(&was.operations).map(|o| format!("{} gained", o.word())));
    let (limits, more) = (limits(was), limits(is));
    told.extend(more.difference(&limits).map(|policy| format!("rows limited ({policy})")));
    for (column, rule) in &is.columns {
        let before = was.columns.get(column).unwrap_or(rule);
        if before != rule {
            told.push(format!("{column}: {} -> {}", word(before), words(rule)));
        }
    }
    told
}

fn limits(access: &Access) -> BTreeSet<&str> {
    match &access.rows {
        RowRule::All => BTreeSet::new(),
        RowRule::Filtered { policies, .. } => policies.iter().map(String::as_str).collect(),
    }
}

fn word(rule: &ColumnRule) -> &'static str {
    match rule {
        ColumnRule::Clear => "clear",
        ColumnRule::Masked { mask, .. } => mask,
        ColumnRule::Denied { .. } => "denied",
    }
}

fn words(rule: &ColumnRule) -> String {
    match rule {
        ColumnRule::Clear => "clear".to_owned(),
        ColumnRule::Masked { policy, .. } | ColumnRule::Denied { policy } => {
            format!("{} ({policy})", word(rule))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::{principal, snapshot};

    const GRANT: &str =
        "policy g allow read, write on tables named public.plain, public.payroll to everyone ";

    fn told(policies: &str, who: &str) -> BTreeMap<String, Vec<String>> {
        let snapshot = snapshot(&format!("{GRANT}{policies}"));
        let entitlement = entitle(&snapshot, &principal(who)).expect("known");
        entitlement.shadow.into_iter().map(|(name, how)| (name.to_string(), how)).collect()
    }

    fn only(table: &str, how: &[&str]) -> BTreeMap<String, Vec<String>> {
        BTreeMap::from([(table.to_owned(), how.iter().map(|h| (*h).to_owned()).collect())])
    }

    #[test]
    fn what_would_change_is_told_and_not_done() {
        let mask = "policy s (shadow) mask columns named public.plain.note with hash for users in group hr";
        assert_eq!(told(mask, "harper"), only("public.plain", &["note: clear -> hash (s)"]));
        assert!(told(mask, "taylor").is_empty(), "it is not for them");
        let rows = "policy s (shadow) show rows of tables tagged Plain where id > 3";
        assert_eq!(told(rows, "taylor"), only("public.plain", &["rows limited (s)"]));
        let rail = "guardrail s (shadow) require users in group hr on tables tagged Plain";
        let refused = "refused: the user does not meet the guardrail 's'";
        assert_eq!(told(rail, "taylor"), only("public.plain", &[refused]));
        assert!(told(rail, "harper").is_empty());
        let reveal =
            "policy m mask columns named public.plain.note with null for everyone except users in group hr
            policy s (shadow) reveal columns named public.plain.note to users named taylor";
        assert_eq!(told(reveal, "taylor"), only("public.plain", &["note: null -> clear"]));
    }

    #[test]
    fn what_would_change_nothing_is_not_told() {
        for policies in [
            "",
            "policy s (shadow) mask columns tagged Secret with null",
            "policy s (draft) mask columns named public.plain.note with null",
            "policy s (shadow) allow read on tables named public.plain to everyone",
            "policy m mask columns named public.plain.note with null
             policy s (shadow) mask columns named public.plain.note with hash",
            "policy s (shadow) show rows of tables tagged Plain where id > 3 for everyone except users named taylor",
        ] {
            assert!(told(policies, "taylor").is_empty(), "{policies}");
        }
    }

    #[test]
    fn shadows_are_not_in_the_fingerprint() {
        let with = "policy s (shadow) mask columns named public.plain.note with null";
        let fingerprint = |policies: &str| {
            let snapshot = snapshot(&format!("{GRANT}{policies}"));
            entitle(&snapshot, &principal("taylor")).expect("known").fingerprint
        };
        assert_eq!(fingerprint(with), fingerprint(""));
    }
}
