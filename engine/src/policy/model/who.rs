//! Whom a policy means.
//!
//! Values only; `matching` says whether they mean a user or an agent.

use serde::{Deserialize, Serialize};

use super::Place;
use crate::identity::PurposeName;

/// Whom: any of the parties.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Who {
    /// Never empty.
    pub any: Vec<Party>,
}

/// Users, agents or both, perhaps under a condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// What they are.
    pub kind: PartyKind,
    /// Must hold; all of the kind without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
}

/// What a party is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartyKind {
    /// People.
    Users,
    /// Programs.
    Agents,
    /// Both.
    Everyone,
}

/// A boolean condition over one person. `All` and `Any` are flat: neither holds its own kind directly, and both have at least
/// two terms. Never deeper than [`crate::limits::POLICY_DEPTH_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// All hold.
    All(Vec<Condition>),
    /// One holds.
    Any(Vec<Condition>),
    /// Does not hold.
    Not(Box<Condition>),
    /// One test.
    Test(Test),
}

impl Condition {
    /// Every test in it, with whether it stands under an even number of `not`. The stack grows, not the call depth.
    pub fn tests(&self) -> impl Iterator<Item = &Test> {
        let mut stack = vec![self];
        std::iter::from_fn(move || {
            loop {
                match stack.pop()? {
                    Self::All(terms) | Self::Any(terms) => stack.extend(terms.iter().rev()),
                    Self::Not(one) => stack.push(one),
                    Self::Test(test) => return Some(test),
                }
            }
        })
    }
}

/// One test of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Test {
    /// What is asked.
    pub question: Question,
    /// Where it stands.
    #[serde(skip)]
    pub place: Place,
}

/// What a test asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Question {
    /// In one of these groups?
    Group(Vec<String>),
    /// Has the attribute one of these values?
    Attribute {
        /// Its name.
        name: String,
        /// The values.
        values: Vec<String>,
    },
    /// One of these ids?
    Id(Vec<String>),
    /// Is the session under one of these purposes, or one below?
    Purpose(Vec<PurposeName>),
}
