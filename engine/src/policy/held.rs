//! What one person's grants and the policies for them alone reach.
//!
//! Must never decide: a relation or policy offered too much changes nothing, one left out would. Made once per session, used by
//! the judge.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::holders::named;
use super::matching::Person;
use super::model::Rule;
use super::resolved::{Reached, Resolved};
use crate::approval::Approved;
use crate::snapshot::Snapshot;

/// See the module's words.
#[derive(Debug, Default)]
pub(crate) struct Held {
    grants: ByRelation,
    /// Row, mask and reveal policies that are for this person among few.
    scoped: ByRelation,
    permits: Vec<u32>,
    /// Relations an approval names.
    approved: BTreeSet<u32>,
    /// Relations that `scoped` is about, in order.
    within: Arc<[u32]>,
}

/// Numbers of policies by number of relation, oldest first. Three lists instead of a map of lists: this is built at every
/// login.
#[derive(Debug, Default)]
struct ByRelation {
    relations: Vec<u32>,
    /// Where the policies of the relation at the same place begin; they end where the next one's begin.
    starts: Vec<usize>,
    policies: Vec<u32>,
}

impl ByRelation {
    fn of(mut pairs: Vec<(u32, u32)>) -> Self {
        pairs.sort_unstable();
        pairs.dedup();
        let mut by = Self { policies: Vec::with_capacity(pairs.len()), ..Self::default() };
        for (relation, policy) in pairs {
            if by.relations.last() != Some(&relation) {
                by.relations.push(relation);
                by.starts.push(by.policies.len());
            }
            by.policies.push(policy);
        }
        by
    }

    fn get(&self, relation: u32) -> &[u32] {
        let Ok(place) = self.relations.binary_search(&relation) else {
            return &[];
        };
        let end = self.starts.get(place + 1).copied().unwrap_or(self.policies.len());
        &self.policies[self.starts[place]..end]
    }
}

/// A person's policies before it is known which relations matter.
pub(crate) struct Reach {
    held: Held,
    scoped: Vec<u32>,
}

impl Reach {
    pub(crate) fn of(person: &Person<'_>, snapshot: &Snapshot, resolved: &Resolved) -> Self {
        let (mut grants, mut scoped, mut permits) = (Vec::new(), Vec::new(), Vec::new());
        let mut reached = Reached { within: None, found: Vec::new() };
        for number in snapshot.policies.holders().candidates(person) {
            let Some(policy) = snapshot.policies.get(number) else {
                continue;
            };
            if !named(policy).is_some_and(|who| person.is(who)) {
                continue;
            }
            match policy.rule {
                Rule::Grant(_) => {
                    resolved.reached(policy, &mut reached);
                    grants.extend(reached.found.drain(..).map(|relation| (relation, number)));
                }
                Rule::Permit(_) => permits.push(number),
                Rule::Rows(_) | Rule::Mask(_) | Rule::Reveal(_) => scoped.push(number),
                Rule::Guardrail(_) | Rule::Purpose(_) => {}
            }
        }
        let approved = resolved.approvals(snapshot, person).filter_map(|approval| {
            let (Approved::Access { relation, .. } | Approved::Unmask { relation, .. }) = &approval.what;
            resolved.number(relation)
        });
        let approved = approved.collect();
        let held = Held { grants: ByRelation::of(grants), permits, approved, ..Held::default() };
        Self { held, scoped }
    }

    /// Relations some grant or approval reaches.
    pub(crate) fn relations(&self) -> impl Iterator<Item = u32> {
        self.held.grants.relations.iter().chain(&self.held.approved).copied()
    }

    /// Looks up the policies for this person on the relations that somebody in the session can reach, in order, and on no
    /// others.
    pub(crate) fn within(self, within: &Arc<[u32]>, snapshot: &Snapshot, resolved: &Resolved) -> Held {
        let mut scoped = Vec::new();
        let mut reached = Reached { within: Some(within), found: Vec::new() };
        for number in self.scoped {
            if let Some(policy) = snapshot.policies.get(number) {
                resolved.reached(policy, &mut reached);
                scoped.extend(reached.found.drain(..).map(|relation| (relation, number)));
            }
        }
        Held { scoped: ByRelation::of(scoped), within: Arc::clone(within), ..self.held }
    }
}

impl Held {
    pub(crate) fn is_approved(&self, relation: u32) -> bool {
        self.approved.contains(&relation)
    }

    pub(crate) fn permits(&self) -> &[u32] {
        &self.permits
    }

    pub(crate) fn grants(&self, relation: u32) -> &[u32] {
        self.grants.get(relation)
    }

    /// Row, mask and reveal policies for this person; nothing is known of relations that nobody in the session can reach.
    pub(crate) fn scoped(&self, relation: u32) -> Option<&[u32]> {
        self.within.binary_search(&relation).ok().map(|_| self.scoped.get(relation))
    }
}

/// Numbers of all lists, oldest first.
pub(crate) fn merged<'n>(lists: impl IntoIterator<Item = &'n [u32]>) -> BTreeSet<u32> {
    lists.into_iter().flatten().copied().collect()
}
