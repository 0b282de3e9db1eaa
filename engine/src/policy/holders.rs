//! Which policies could be about a person, without looking at all of them.
//!
//! Must never leave one out: a phrase that no group, attribute or id decides is offered to everyone of its kind. Built once
//! per set of policies; `held` asks it once per session.

use std::collections::{BTreeSet, HashMap};

use super::matching::Person;
use super::model::{Condition, Party, PartyKind, Policy, Question, Rule, Scope, State, Who};

/// Active policies by the person they name: grants, permits, reveals, and row and mask policies that are `for` somebody.
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
        Rule::Permit(permit) => return Some(&permit.to),
        Rule::Reveal(reveal) => return Some(&reveal.to),
        Rule::Guardrail(_) | Rule::Purpose(_) => return None,
        Rule::Rows(rows) => &rows.scope,
        Rule::Mask(mask) => &mask.scope,
    };
    match scope {
        Scope::Only(who) => Some(who),
        Scope::Everyone | Scope::Except(_) => None,
    }
}

/// Every phrase by which a policy means somebody.
pub(crate) fn whos(policy: &Policy) -> Vec<&Who> {
    let scoped = |scope| match scope {
        &Scope::Everyone => None,
        Scope::Except(who) | Scope::Only(who) => Some(who),
    };
    match &policy.rule {
        Rule::Grant(grant) => vec![&grant.to],
        Rule::Permit(permit) => vec![&permit.to],
        Rule::Guardrail(guardrail) => vec![&guardrail.require],
        Rule::Rows(rows) => rows.branches.iter().map(|b| &b.who).chain(scoped(&rows.scope)).collect(),
        Rule::Mask(mask) => mask.branches.iter().map(|b| &b.who).chain(scoped(&mask.scope)).collect(),
        Rule::Reveal(reveal) => vec![&reveal.to],
        Rule::Purpose(purpose) => vec![&purpose.to],
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

    /// Under tests of which one must hold: whoever passes none of them cannot be meant.
    fn add(&mut self, party: &Party, number: u32) {
        let Some(questions) = party.condition.as_ref().and_then(needed) else {
            if matches!(party.kind, PartyKind::Users | PartyKind::Everyone) {
                self.any_user.push(number);
            }
            if matches!(party.kind, PartyKind::Agents | PartyKind::Everyone) {
                self.any_agent.push(number);
            }
            return;
        };
        for question in questions {
            match question {
                Question::Group(groups) => {
                    groups.iter().for_each(|group| note(self.by_group.entry(group.clone()), number));
                }
                Question::Id(ids) => {
                    ids.iter().for_each(|id| note(self.by_id.entry(id.clone()), number));
                }
                Question::Attribute { name, values } => {
                    let of_name = self.by_attribute.entry(name.clone()).or_default();
                    values.iter().for_each(|value| note(of_name.entry(value.clone()), number));
                }
                // `needed` offers none: a session's purpose is no list to look things up in.
                Question::Purpose(_) => {}
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
        let mut found = self.telling(person);
        found.extend(any);
        found
    }

    /// Those of them that a group, an attribute or the id of the person leads to: what tells one person from another, but for
    /// conditions that no list can be looked up by.
    pub(crate) fn telling(&self, person: &Person<'_>) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
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

/// Questions of which one must be answered with yes wherever the condition holds; `None` when there are none such. Recursion is
/// bounded by the depth the parser keeps.
fn needed(condition: &Condition) -> Option<Vec<&Question>> {
    match condition {
        Condition::All(terms) => terms.iter().filter_map(needed).min_by_key(|questions| breadth(questions)),
        Condition::Any(terms) => {
            let all: Option<Vec<Vec<&Question>>> = terms.iter().map(needed).collect();
            all.map(|lists| lists.into_iter().flatten().collect())
        }
        Condition::Not(_) => None,
        Condition::Test(test) => match &test.question {
            Question::Purpose(_) => None,
            Question::Group(_) | Question::Attribute { .. } | Question::Id(_) => Some(vec![&test.question]),
        },
    }
}

/// An id names the fewest, then an attribute's value, then a group.
fn breadth(questions: &[&Question]) -> u32 {
    let of = |question: &&Question| match question {
        Question::Id(_) => 0,
        Question::Attribute { .. } => 1,
        Question::Group(_) | Question::Purpose(_) => 2,
    };
    questions.iter().map(of).max().unwrap_or(u32::MAX)
}

fn note(entry: std::collections::hash_map::Entry<'_, String, Vec<u32>>, number: u32) {
    entry.or_default().push(number);
}
