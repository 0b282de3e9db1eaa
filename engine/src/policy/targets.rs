//! Masks by what they name: policies that name the same columns share a target, and equal masks on it share a place.
//!
//! So that what a mask comes to on a column is worked out once, however many policies ask for it. Must never decide whom a mask
//! is for. Built once per set of policies; read by `facts` and `shape`.

use std::collections::HashMap;

use super::index::Lane;
use super::model::{MaskRule, Masking, Policy, Rule, State};
use super::text::printer;

/// Active masks.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    /// Which targets could mean a relation.
    pub(crate) lane: Lane,
    list: Vec<Target>,
    of_policy: HashMap<u32, Aim>,
}

/// Columns that some policy masks, and with what.
#[derive(Debug)]
pub(crate) struct Target {
    /// A policy that names these columns; the oldest.
    pub(crate) policy: u32,
    /// Where each mask stands: a policy, and the place among its maskings. No two are equal.
    pub(crate) masks: Vec<(u32, usize)>,
}

/// One policy's target, and the places there of its maskings, in their order; none for `clear`.
#[derive(Debug)]
pub(crate) struct Aim {
    pub(crate) target: u32,
    pub(crate) masks: Vec<Option<usize>>,
}

impl Targets {
    pub(crate) fn of(policies: &[Policy]) -> Self {
        let mut targets = Self::default();
        let mut known: HashMap<String, u32> = HashMap::new();
        let mut places: HashMap<(u32, String), usize> = HashMap::new();
        for (number, policy) in (0u32..).zip(policies) {
            let (State::Active, Rule::Mask(rule)) = (policy.state, &policy.rule) else {
                continue;
            };
            let next = u32::try_from(targets.list.len()).unwrap_or(u32::MAX);
            let target = *known.entry(printer::columns(&rule.columns)).or_insert(next);
            if target == next {
                targets.list.push(Target { policy: number, masks: Vec::new() });
                targets.lane.add(policy, target);
            }
            let masks = targets.places(number, rule, target, &mut places);
            targets.of_policy.insert(number, Aim { target, masks });
        }
        targets
    }

    fn places(
        &mut self,
        policy: u32,
        rule: &MaskRule,
        target: u32,
        places: &mut HashMap<(u32, String), usize>,
    ) -> Vec<Option<usize>> {
        let Some(on) = self.list.get_mut(index(target)) else {
            return Vec::new();
        };
        let mut place = |(n, masking): (usize, &Masking)| match masking {
            Masking::Clear => None,
            Masking::With { mask, .. } => {
                let place = *places.entry((target, printer::mask(mask))).or_insert(on.masks.len());
                if place == on.masks.len() {
                    on.masks.push((policy, n));
                }
                Some(place)
            }
        };
        rule.maskings().enumerate().map(&mut place).collect()
    }

    pub(crate) fn get(&self, target: u32) -> Option<&Target> {
        self.list.get(index(target))
    }

    pub(crate) fn aim(&self, policy: u32) -> Option<&Aim> {
        self.of_policy.get(&policy)
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
