//! Who: people, agents, and the pair a session stands for.

pub mod ids;
pub mod principal;

pub use ids::{AgentId, IdError, RoleName, SessionId, ShortId, UserId};
pub use principal::{Agent, Attributes, Combination, Identities, Principal, User};
