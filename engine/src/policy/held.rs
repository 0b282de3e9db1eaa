//! What one person's grants and the policies for them alone reach.
//!
//! Must never decide: a relation or policy offered too much changes nothing, one left out would. Made once per session, used by
//! the judge.

use std::collections::{BTreeSet, HashMap};

use super::holders::named;
use super::matching::Person;
use super::model::Rule;
use super::resolved::Resolved;
use crate::approval::Approved;
use crate::snapshot::Snapshot;

/// Numbers of policies by number of relation, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Held {
    grants: HashMap<u32, Vec<u32>>,
    /// Row, mask and reveal policies that are for this person among few.
    scoped: HashMap<u32, Vec<u32>>,
    permits: Vec<u32>,
    /// Relations an approval names.
    approved: BTreeSet<u32>,
}

impl Held {
    pub(crate) fn of(person: &Person<'_>, snapshot: &Snapshot, resolved: &Resolved) -> Self {
        let mut held = Self::default();
        let mut reached = Vec::new();
        let policies = &snapshot.policies;
        for approval in resolved.approvals(snapshot, person) {
            let (Approved::Access { relation, .. } | Approved::Unmask { relation, .. }) = &approval.what;
            held.approved.extend(resolved.number(relation));
        }
        for number in policies.holders().candidates(person) {
            let Some(policy) = policies.get(number) else {
                continue;
            };
            if !named(policy).is_some_and(|who| person.is(who)) {
                continue;
            }
            reached.clear();
            resolved.reached(policy, &mut reached);
            let list = match policy.rule {
                Rule::Grant(_) => &mut held.grants,
                Rule::Permit(_) => {
                    held.permits.push(number);
                    continue;
                }
                Rule::Rows(_) | Rule::Mask(_) | Rule::Reveal(_) => &mut held.scoped,
                Rule::Guardrail(_) | Rule::Purpose(_) => continue,
            };
            for relation in &reached {
                let numbers = list.entry(*relation).or_default();
                if numbers.last() != Some(&number) {
                    numbers.push(number);
                }
            }
        }
        held
    }

    /// Relations some grant or approval reaches.
    pub(crate) fn relations(&self) -> impl Iterator<Item = u32> {
        self.grants.keys().chain(&self.approved).copied()
    }

    pub(crate) fn is_approved(&self, relation: u32) -> bool {
        self.approved.contains(&relation)
    }

    pub(crate) fn permits(&self) -> &[u32] {
        &self.permits
    }

    pub(crate) fn grants(&self, relation: u32) -> &[u32] {
        self.grants.get(&relation).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn scoped(&self, relation: u32) -> &[u32] {
        self.scoped.get(&relation).map_or(&[], Vec::as_slice)
    }
}

/// Numbers of all lists, oldest first.
pub(crate) fn merged<'n>(lists: impl IntoIterator<Item = &'n [u32]>) -> BTreeSet<u32> {
    lists.into_iter().flatten().copied().collect()
}
