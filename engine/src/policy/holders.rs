//! Which policies could be about a person, without looking at all of them.
//!
//! Must never leave one out: a phrase that no group, attribute or id decides is offered to everyone of its kind. Built once
//! per set of policies; `held` asks it once per session.

use std::collections::{BTreeSet, HashMap};

use super::matching::Person;
use super::model::{Party, PartyKind, Policy, Question, Rule, Scope, Sense, State, Who};

/// Active policies by the person they name: grants, and row and mask policies that are `for` somebody.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    by_group: HashMap<String, Vec<u32>>,
    by_attribute: HashMap<String, HashMap<String, Vec<u32>>>,
    by_id: HashMap<String, Vec<u32>>,
    any_user: Vec<u32>,
    any_agent: Vec<u32>,
}

/// Those a policy is for, where it is for somebody in particular; a policy without is about everyone its target means.
pub(crate) fn named(policy: &Policy) -> Option<&Who> {
    let scope = match &policy.rule {
        Rule::Grant(grant) => return Some(&grant.to),
        Rule::Guardrail(_) => return None,
        Rule::Rows(rows) => &rows.scope,
        Rule::Mask(mask) => &mask.scope,
    };
    match scope {
        Scope::Only(who) => Some(who),
        Scope::Everyone | Scope::Except(_) => None,
    }
}

impl Holders {
    pub(crate) fn of(policies: &[Policy]) -> Self {
        let mut holders = Self::default();
        for (number, policy) in (0u32..).zip(policies) {
            if let (State::Active, Some(who)) = (policy.state, named(policy)) {
                who.any.iter().for_each(|party| holders.add(party, number));
            }
        }
        holders
    }

    /// Under one test that must hold: whoever passes it is offered the policy, and nobody else could be meant.
    fn add(&mut self, party: &Party, number: u32) {
        // An id names the fewest, then an attribute's value, then a group.
        let rank = |question: &Question| match question {
            Question::Id(_) => 0,
            Question::Attribute { .. } => 1,
            Question::Group(_) => 2,
        };
        let must = party.all.iter().filter(|test| test.sense == Sense::Is).map(|test| &test.question);
        match must.min_by_key(|question| rank(question)) {
            Some(Question::Group(groups)) => {
                groups.iter().for_each(|group| note(self.by_group.entry(group.clone()), number));
            }
            Some(Question::Id(ids)) => {
                ids.iter().for_each(|id| note(self.by_id.entry(id.clone()), number));
            }
            Some(Question::Attribute { name, values }) => {
                let of_name = self.by_attribute.entry(name.clone()).or_default();
                values.iter().for_each(|value| note(of_name.entry(value.clone()), number));
            }
            None => {
                if matches!(party.kind, PartyKind::Users | PartyKind::Everyone) {
                    self.any_user.push(number);
                }
                if matches!(party.kind, PartyKind::Agents | PartyKind::Everyone) {
                    self.any_agent.push(number);
                }
            }
        }
    }

    /// Numbers of the policies that could be for the person, oldest first.
    pub(crate) fn candidates(&self, person: &Person<'_>) -> BTreeSet<u32> {
        let any = match person.kind {
            PartyKind::Users => &self.any_user,
            PartyKind::Agents => &self.any_agent,
            // INVARIANT of `Person`: never both. Nobody could be left out this way.
            PartyKind::Everyone => return self.any_user.iter().chain(&self.any_agent).copied().collect(),
        };
        let mut found: BTreeSet<u32> = any.iter().copied().collect();
        let mut add = |numbers: Option<&Vec<u32>>| found.extend(numbers.into_iter().flatten());
        add(self.by_id.get(person.id));
        person.groups.iter().for_each(|group| add(self.by_group.get(group)));
        for (name, values) in person.attributes {
            if let Some(of_name) = self.by_attribute.get(name) {
                values.iter().for_each(|value| add(of_name.get(value)));
            }
        }
        found
    }
}

fn note(entry: std::collections::hash_map::Entry<'_, String, Vec<u32>>, number: u32) {
    entry.or_default().push(number);
}
