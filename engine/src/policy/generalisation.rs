//! The maps that the `k_anonymous` masks of a snapshot need.
//!
//! Must never leave one out that an entitlement could read. Called by `lanyard generalise`.

use std::collections::BTreeMap;

use super::mask::anonymous::{Generalisation, plan};
use super::matching::column_depth;
use super::model::{Mask, Masking, Rule, State};
use crate::snapshot::Snapshot;

/// Every map that a policy in force needs, each once, in order of id. Tables on which such a mask does not fit are left out:
/// their columns are NULL, and `check` says so.
#[must_use]
pub fn generalisations(snapshot: &Snapshot) -> Vec<Generalisation> {
    let mut found = BTreeMap::new();
    for policy in snapshot.policies.iter().filter(|p| p.state == State::Active) {
        let Rule::Mask(rule) = &policy.rule else {
            continue;
        };
        for masking in rule.maskings() {
            let Masking::With { mask: Mask::KAnonymous { columns, k }, .. } = masking else {
                continue;
            };
            for relation in snapshot.catalog.relations.values() {
                let meant =
                    relation.columns.iter().any(|c| column_depth(&rule.columns, relation, c).is_some());
                if meant && let Ok(plan) = plan(relation, columns, *k) {
                    found.insert(plan.id.clone(), plan);
                }
            }
        }
    }
    found.into_values().collect()
}
