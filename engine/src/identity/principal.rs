//! Users, agents, and the pair a session stands for (policy.md §1).
//!
//! Credentials are not here: the engine never sees a key or a verifier.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::ids::{AgentId, ShortId, UserId};
use super::purpose::PurposeName;

/// Attribute name -> set of values.
pub type Attributes = BTreeMap<String, BTreeSet<String>>;

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Unique id; what an agent writes after the `~`.
    pub id: UserId,
    /// For people to read.
    pub name: String,
    /// Number in role names.
    pub short: ShortId,
    /// Groups this person is in.
    #[serde(default)]
    pub groups: BTreeSet<String>,
    /// Attributes, each a set of values.
    #[serde(default)]
    pub attributes: Attributes,
}

/// A program with an owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Unique id; what comes before the `~`.
    pub id: AgentId,
    /// For people to read.
    pub name: String,
    /// The person who answers for it.
    pub owner: UserId,
    /// Number in role names.
    pub short: ShortId,
    /// Groups this agent is in.
    #[serde(default)]
    pub groups: BTreeSet<String>,
    /// Attributes, each a set of values.
    #[serde(default)]
    pub attributes: Attributes,
    /// How its tables and a user's combine on behalf of that user.
    #[serde(default)]
    pub combination: Combination,
}

/// On-behalf-of combination (policy.md §1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Combination {
    /// T(user) ∪ T(agent).
    Union,
    /// T(user) ∪ those of T(agent) tagged `Agent.Tool`.
    #[default]
    Guarded,
    /// T(user) ∩ T(agent).
    Intersection,
}

/// Everybody Lanyard knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identities {
    /// People by id.
    pub users: BTreeMap<UserId, User>,
    /// Agents by id.
    pub agents: BTreeMap<AgentId, Agent>,
}

/// Whose data, and who is typing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Parties {
    /// An agent for a user: subject is the user, actor the agent.
    OnBehalfOf {
        /// The actor.
        agent: AgentId,
        /// The subject.
        user: UserId,
    },
    /// An agent on its own: it is subject and actor.
    Autonomous {
        /// The agent.
        agent: AgentId,
    },
    /// A person or their own tool.
    Direct {
        /// The person.
        user: UserId,
    },
}

/// Who a session stands for, and what for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    /// Subject and actor.
    pub parties: Parties,
    /// What the session says it is for (policy.md §6). It must be declared, and allowed to subject and actor.
    pub purpose: Option<PurposeName>,
}

impl Principal {
    /// An agent for a user, without a purpose.
    #[must_use]
    pub fn on_behalf_of(agent: AgentId, user: UserId) -> Self {
        Self { parties: Parties::OnBehalfOf { agent, user }, purpose: None }
    }

    /// An agent on its own, without a purpose.
    #[must_use]
    pub fn autonomous(agent: AgentId) -> Self {
        Self { parties: Parties::Autonomous { agent }, purpose: None }
    }

    /// A person, without a purpose.
    #[must_use]
    pub fn direct(user: UserId) -> Self {
        Self { parties: Parties::Direct { user }, purpose: None }
    }

    /// The same parties under a purpose.
    #[must_use]
    pub fn under(mut self, purpose: PurposeName) -> Self {
        self.purpose = Some(purpose);
        self
    }

    /// The acting agent, where there is one.
    #[must_use]
    pub fn agent(&self) -> Option<&AgentId> {
        match &self.parties {
            Parties::OnBehalfOf { agent, .. } | Parties::Autonomous { agent } => Some(agent),
            Parties::Direct { .. } => None,
        }
    }

    /// The person, where there is one.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        match &self.parties {
            Parties::OnBehalfOf { user, .. } | Parties::Direct { user } => Some(user),
            Parties::Autonomous { .. } => None,
        }
    }

    /// `on_behalf_of`, `autonomous` or `direct`: the word in the audit.
    #[must_use]
    pub fn mode(&self) -> &'static str {
        match self.parties {
            Parties::OnBehalfOf { .. } => "on_behalf_of",
            Parties::Autonomous { .. } => "autonomous",
            Parties::Direct { .. } => "direct",
        }
    }
}
