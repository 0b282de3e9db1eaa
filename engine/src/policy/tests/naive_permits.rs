//! What permits give, by the naive evaluator: functions, types, extensions, channels, workspaces, and the right to undo masks.
//!
//! Must never call the engine's `permits` or `openable`. Used by `differential`.

use std::collections::BTreeSet;

use super::naive::{Being, Naive, verdict};
use super::naive_parts::mask_depth;
use crate::catalog::{Column, Relation, RelationName};
use crate::entitlement::{Extras, Leftovers};
use crate::identity::{Combination, Principal};
use crate::policy::model::{Permit, Permitted, Rule};
use crate::snapshot::Snapshot;

/// What somebody may call beyond the lists, in words; `None` when there is no session.
pub(super) fn extras(snapshot: &Snapshot, principal: &Principal) -> Option<BTreeSet<String>> {
    let naive = Naive::of(snapshot, principal);
    if !naive.may_have_its_purpose() {
        return None;
    }
    let combination = principal.agent().map(|id| snapshot.identities.agents[id].combination);
    let narrow = combination == Some(Combination::Intersection);
    let mut all = match (naive.user, naive.agent) {
        (Some(user), Some(agent)) => {
            let (mut mine, its) = (naive.permitted(user), naive.permitted(agent));
            if narrow {
                // To keep what is left is more than to have it dropped.
                if mine.contains("workspace kept") && !its.contains("workspace kept") {
                    mine.insert("workspace dropped".to_owned());
                }
                let its_own = its.contains("workspace kept").then(|| "workspace dropped".to_owned());
                let its: BTreeSet<String> = its.into_iter().chain(its_own).collect();
                mine.retain(|one| its.contains(one));
            }
            mine
        }
        (Some(one), None) | (None, Some(one)) => naive.permitted(one),
        (None, None) => BTreeSet::new(),
    };
    all.retain(|what| naive.is_open(what));
    // What masks a column for this very session may be undone by who has the right for the column.
    let subject = naive.user.or(naive.agent)?;
    for relation in snapshot.catalog.relations.values() {
        let Some(verdict) = verdict(snapshot, principal, relation) else {
            continue;
        };
        for (name, keys) in &verdict.undone_by {
            let column = relation.columns.iter().find(|c| c.name == *name).expect("its own");
            let agents_too = || !narrow || naive.agent.is_none_or(|a| naive.may_unmask(a, relation, column));
            if naive.may_unmask(subject, relation, column) && agents_too() {
                all.extend(keys.iter().map(|key| format!("unmask {}.{name} {key}", relation.name)));
            }
        }
    }
    Some(all)
}

/// The engine's extras in the same words.
pub(super) fn told(extras: &Extras) -> BTreeSet<String> {
    let workspace = extras.workspace.map(|left| match left {
        Leftovers::Dropped => "workspace dropped".to_owned(),
        Leftovers::Kept => "workspace kept".to_owned(),
    });
    let functions = extras.functions.iter().map(|f| format!("function {}.{}", f.schema, f.name));
    let types = extras.types.iter().map(|t| format!("type {}.{}", t.schema, t.name));
    let extensions = extras.extensions.iter().map(|e| format!("extension {e}"));
    let channels = extras.channels.iter().map(|c| format!("channel {c}"));
    let members = extras.members.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
    assert_eq!(members, extras.extensions.iter().cloned().collect::<Vec<_>>());
    let mut all: BTreeSet<String> =
        workspace.into_iter().chain(functions).chain(types).chain(extensions).chain(channels).collect();
    for (key, columns) in &extras.unmask {
        all.extend(columns.iter().map(|column| format!("unmask {column} {key}")));
    }
    all
}

impl<'a> Naive<'a> {
    /// Has one of them the right to undo what masks a column?
    fn may_unmask(&self, being: Being<'a>, relation: &Relation, column: &Column) -> bool {
        self.active().any(|policy| match &policy.rule {
            Rule::Permit(Permit { what: Permitted::Unmask(columns), to }) => {
                mask_depth(columns, relation, column).is_some()
                    && self.looks_at(policy, being).iter().all(|one| one.is(to))
            }
            _ => false,
        })
    }

    /// Is it in the warehouse, and does it do no more than its caller may?
    fn is_open(&self, what: &str) -> bool {
        let catalog = &self.snapshot.catalog;
        let named = |full: &str| full.split_once('.').map(|(schema, name)| RelationName::new(schema, name));
        match what.split_once(' ').expect("two words") {
            ("function", full) => {
                named(full).and_then(|name| catalog.functions.get(&name)).is_some_and(|all| {
                    all.iter().all(|one| {
                        let known =
                            if one.extension.is_none() { one.trusted } else { full != "public.dblink" };
                        !one.definer && !one.names_objects && known
                    })
                })
            }
            ("type", full) => named(full)
                .and_then(|name| catalog.types.get(&name))
                .is_some_and(|one| !one.row && !one.names_objects),
            ("extension", name) => name != "dblink" && catalog.extensions.contains(name),
            _ => true,
        }
    }

    /// §3: what permits give to one of them; the greater of two workspaces.
    fn permitted(&self, being: Being<'a>) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for policy in self.active() {
            let Rule::Permit(permit) = &policy.rule else {
                continue;
            };
            if !self.looks_at(policy, being).iter().all(|one| one.is(&permit.to)) {
                continue;
            }
            match &permit.what {
                Permitted::Workspace(Leftovers::Dropped) => drop(all.insert("workspace dropped".to_owned())),
                Permitted::Workspace(Leftovers::Kept) => drop(all.insert("workspace kept".to_owned())),
                Permitted::Functions(list) => {
                    all.extend(list.iter().map(|f| format!("function {}.{}", f.schema, f.name)));
                }
                Permitted::Types(list) => {
                    all.extend(list.iter().map(|t| format!("type {}.{}", t.schema, t.name)));
                }
                Permitted::Extensions(list) => all.extend(list.iter().map(|e| format!("extension {e}"))),
                Permitted::Channels(list) => all.extend(list.iter().map(|c| format!("channel {c}"))),
                // It depends on what is masked.
                Permitted::Unmask(_) => {}
            }
        }
        if all.contains("workspace kept") {
            all.remove("workspace dropped");
        }
        all
    }
}
