//! The schema of a session's own: what it is called, for whom.
//!
//! Must never be the same for two sessions of which one may see what the other may not by nature: so agent and user stand in
//! its name (a policy that looks at the actor shows an agent less than its user), and so does the purpose. Made by the proxy at
//! login; read by the judge of statements and by the warehouse.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::entitlement::Leftovers;
use crate::identity::{PurposeName, ShortId};

/// `workspace_<agent>_<user>` where leftovers are kept, `scratch_<agent>_<user>` where they are dropped, 0 for none; under a
/// purpose, `_` and the first 16 hexadecimal digits of its SHA-256 follow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Workspace(Box<str>);

impl Workspace {
    /// The one of these two, under that purpose.
    #[must_use]
    pub fn of(
        agent: Option<ShortId>,
        user: Option<ShortId>,
        purpose: Option<&PurposeName>,
        leftovers: Leftovers,
    ) -> Self {
        let kind = match leftovers {
            Leftovers::Kept => "workspace",
            Leftovers::Dropped => "scratch",
        };
        let number = |id: Option<ShortId>| id.map_or(0, ShortId::get);
        let mut name = format!("{kind}_{}_{}", number(agent), number(user));
        if let Some(purpose) = purpose {
            name.push('_');
            for byte in Sha256::digest(purpose.as_str()).iter().take(8) {
                name.push_str(&format!("{byte:02x}"));
            }
        }
        Self(name.into())
    }

    /// The schema's name.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_see_more_has_another_one() -> Result<(), Box<dyn std::error::Error>> {
        let (agent, user) = (ShortId::new(5)?, ShortId::new(1)?);
        let (ads, research) = (PurposeName::parse("Ads")?, PurposeName::parse("Research")?);
        let all: Vec<String> = [
            Workspace::of(Some(agent), Some(user), None, Leftovers::Kept),
            Workspace::of(Some(agent), Some(user), None, Leftovers::Dropped),
            Workspace::of(None, Some(user), None, Leftovers::Kept),
            Workspace::of(Some(agent), None, None, Leftovers::Kept),
            Workspace::of(None, Some(agent), None, Leftovers::Kept),
            Workspace::of(None, Some(user), Some(&ads), Leftovers::Kept),
            Workspace::of(None, Some(user), Some(&research), Leftovers::Kept),
        ]
        .iter()
        .map(ToString::to_string)
        .collect();
        assert_eq!(
            &all[..5],
            ["workspace_5_1", "scratch_5_1", "workspace_0_1", "workspace_5_0", "workspace_0_5"]
        );
        assert!(all[5].starts_with("workspace_0_1_") && all[5].len() == "workspace_0_1_".len() + 16);
        let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        Ok(())
    }
}
