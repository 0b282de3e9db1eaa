//! The story's governance folder, as texts compiled into the binary.
//!
//! `customer_orders` is read by marketing, analysts and hr who are trained in privacy; names show for hr alone; everyone
//! but marketing sees their own regions; the agent on its own has its tool table; nobody has `payroll`. Must never hold a
//! credential. Written to a folder by the demo, the tests and the benches.

use std::io;
use std::path::Path;

/// `identities.json`: taylor, riley, harper and morgan, and morgan's `marketing-agent`.
pub const IDENTITIES: &str = include_str!("identities.json");
/// `tags.json`.
pub const TAGS: &str = include_str!("tags.json");
/// `sample.policy`.
pub const POLICIES: &str = include_str!("sample.policy");
/// `retail.policy`: what the demo adds, so that its large tables are filtered too.
pub const RETAIL: (&str, &str) = ("retail.policy", include_str!("retail.policy"));

/// Every file of the folder: name and text.
pub const FILES: [(&str, &str); 3] =
    [("identities.json", IDENTITIES), ("tags.json", TAGS), ("sample.policy", POLICIES)];

/// Makes the folder and writes the files into it. Credentials are for the caller to add: they are random.
///
/// # Errors
/// A file cannot be written.
pub fn write(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (name, text) in FILES {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use lanyard_engine::catalog::{TagPath, Tags};
    use lanyard_engine::identity::{Agent, User};
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        next_short: u32,
        users: Vec<User>,
        agents: Vec<Agent>,
    }

    #[test]
    fn identities_are_the_engines_and_every_number_is_used_once() -> Result<(), serde_json::Error> {
        let file: File = serde_json::from_str(IDENTITIES)?;
        let (users, agents) = (file.users.iter(), file.agents.iter());
        let ids: BTreeSet<&str> = users.map(|u| u.id.as_str()).chain(agents.map(|a| a.id.as_str())).collect();
        let (users, agents) = (file.users.iter(), file.agents.iter());
        let shorts: BTreeSet<u32> =
            users.map(|u| u.short.get()).chain(agents.map(|a| a.short.get())).collect();
        let all = file.users.len() + file.agents.len();
        assert_eq!((ids.len(), shorts.len()), (all, all));
        assert!(shorts.last() < Some(&file.next_short));
        for agent in &file.agents {
            assert!(file.users.iter().any(|u| u.id == agent.owner), "{}", agent.id);
        }
        Ok(())
    }

    #[test]
    fn every_tag_in_use_is_defined_and_payroll_has_none() -> Result<(), serde_json::Error> {
        let tags: Tags = serde_json::from_str(TAGS)?;
        let used = tags.schemas.values().chain(tags.tables.values());
        let used: BTreeSet<&TagPath> = used.chain(tags.columns.values()).flatten().collect();
        for tag in used {
            assert!(tags.definitions.contains(tag), "{tag}");
        }
        let names = tags.tables.keys().chain(tags.columns.keys());
        assert!(!names.into_iter().any(|name| name.contains("payroll")));
        assert!(!tags.schemas.contains_key("public"), "a tag on public would cover payroll");
        Ok(())
    }
}
