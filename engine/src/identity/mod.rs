//! Who: people, agents, and the pair a session stands for.

pub mod ids;
pub mod principal;
pub mod purpose;

pub use ids::{AgentId, IdError, RoleName, SessionId, ShortId, UserId};
pub use principal::{Agent, Attributes, Combination, Identities, Parties, Principal, User};
pub use purpose::{PurposeError, PurposeName};
