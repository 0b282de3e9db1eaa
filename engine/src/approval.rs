//! Individual grants and approved requests, as data with an end.
//!
//! The engine has no clock: the snapshot says what time it is. Whoever publishes snapshots publishes a new one when an approval
//! ends. No workflow here: who asked, and who may approve, is decided before one of these exists.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::catalog::RelationName;
use crate::entitlement::Operation;
use crate::identity::{AgentId, UserId};

/// Whom an approval is for: the subject of a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grantee {
    /// A person, also when an agent acts for them.
    User(UserId),
    /// An agent that acts on its own.
    Agent(AgentId),
}

/// What was approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Approved {
    /// To use a table. Guardrails, filters and masks stay.
    Access {
        /// Which.
        relation: RelationName,
        /// For what; never empty.
        operations: BTreeSet<Operation>,
    },
    /// To see a column that a mask `for everyone except` hides. Floors and masks `for everyone who` stay.
    Unmask {
        /// Of which table.
        relation: RelationName,
        /// Which column.
        column: String,
    },
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Names it in explanations and records; unique.
    pub id: String,
    /// For whom.
    #[serde(rename = "for")]
    pub grantee: Grantee,
    /// What.
    pub what: Approved,
    /// When it ends, in seconds since 1970; a grant without an end has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

/// All of them, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Approvals {
    /// The time of the snapshot, in seconds since 1970.
    pub now: u64,
    /// In any order.
    pub all: Vec<Approval>,
}

impl Approvals {
    /// Has it not ended?
    #[must_use]
    pub fn is_live(&self, approval: &Approval) -> bool {
        approval.expires.is_none_or(|end| end > self.now)
    }

    /// Those that have not ended.
    pub fn live(&self) -> impl Iterator<Item = &Approval> {
        self.all.iter().filter(|approval| self.is_live(approval))
    }

    /// When the next one ends, in seconds since 1970: a new snapshot is due then.
    #[must_use]
    pub fn next_end(&self) -> Option<u64> {
        self.live().filter_map(|a| a.expires).min()
    }
}
