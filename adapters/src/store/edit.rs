//! Changing the folder: one editor at a time, each file replaced in one step.
//!
//! Must never write a state that `load` would refuse, and never give a short id twice. Called by the command line and
//! the demo. Order of writes: identities before credentials when adding, after them when removing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lanyard_engine::catalog::{Known, Origin, Tags};
use lanyard_engine::identify::Proposal;
use lanyard_engine::identity::{Agent, AgentId, Attributes, Combination, User, UserId};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::files::{Privacy, lock_folder, read_json, write_json};
use super::load::{IdentitiesFile, check_identities, read_credentials, read_identities};
use super::{
    CREDENTIALS, Credentials, IDENTITIES, KNOWN, PASSWORD_BYTES_MAX, PROPOSALS, ScramVerifier, StoreError,
    TAGS, Who,
};

/// A person to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUser {
    /// Unique among users and agents.
    pub id: UserId,
    /// For people to read.
    pub name: String,
    /// Groups.
    pub groups: BTreeSet<String>,
    /// Attributes.
    pub attributes: Attributes,
}

/// An agent to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAgent {
    /// Unique among users and agents.
    pub id: AgentId,
    /// For people to read.
    pub name: String,
    /// An existing user.
    pub owner: UserId,
    /// Groups.
    pub groups: BTreeSet<String>,
    /// Attributes.
    pub attributes: Attributes,
    /// How its tables and a user's combine.
    pub combination: Combination,
}

/// A key nobody can guess: `lyk_` and 32 random bytes in base64url. Show it once, store [`set_key`]'s verifier only.
///
/// # Errors
/// [`StoreError::Random`] when the operating system gives no random bytes.
pub fn generate_key() -> Result<String, StoreError> {
    let mut bytes = [0u8; 32];
    let random = SystemRandom::new();
    random.fill(&mut bytes).map_err(|_| StoreError::Random)?;
    Ok(format!("lyk_{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// Adds a person, who cannot log in until [`set_key`]. Makes folder and files when missing.
///
/// # Errors
/// [`StoreError`]: the id is taken, the folder is not valid or cannot be written.
pub fn add_user(dir: &Path, new: NewUser) -> Result<User, StoreError> {
    let mut added = None;
    change_identities(dir, |file| {
        let user = User {
            short: file.give_short()?,
            id: new.id,
            name: new.name,
            groups: new.groups,
            attributes: new.attributes,
        };
        free(file, user.id.as_str())?;
        added = Some(user.clone());
        file.users.push(user);
        Ok(())
    })?;
    // INVARIANT: change_identities ran the closure to its end.
    Ok(added.expect("added above"))
}

/// Adds an agent, which cannot log in until [`set_key`].
///
/// # Errors
/// [`StoreError`]: the id is taken, the owner does not exist, the folder is not valid or cannot be written.
pub fn add_agent(dir: &Path, new: NewAgent) -> Result<Agent, StoreError> {
    let mut added = None;
    change_identities(dir, |file| {
        if !file.users.iter().any(|user| user.id == new.owner) {
            return Err(StoreError::Missing(Who::User(&new.owner).to_string()));
        }
        let agent = Agent {
            short: file.give_short()?,
            id: new.id,
            name: new.name,
            owner: new.owner,
            groups: new.groups,
            attributes: new.attributes,
            combination: new.combination,
        };
        free(file, agent.id.as_str())?;
        added = Some(agent.clone());
        file.agents.push(agent);
        Ok(())
    })?;
    // INVARIANT: change_identities ran the closure to its end.
    Ok(added.expect("added above"))
}

/// Removes a person and their verifier. Their short id is never given again.
///
/// # Errors
/// [`StoreError::Missing`], [`StoreError::Owner`] while they own agents, or the folder cannot be written.
pub fn remove_user(dir: &Path, id: &UserId) -> Result<(), StoreError> {
    let _lock = lock_folder(dir)?;
    let mut file = existing(dir, Who::User(id))?;
    let agents: Vec<_> = file
        .agents
        .iter()
        .filter(|agent| agent.owner == *id)
        .map(|agent| format!("agent \"{}\"", agent.id))
        .collect();
    if !agents.is_empty() {
        return Err(StoreError::Owner { user: id.clone(), agents: agents.join(", ") });
    }
    let mut credentials = read_credentials(dir)?;
    if credentials.users.remove(id).is_some() {
        write_credentials(dir, &credentials)?;
    }
    file.users.retain(|user| user.id != *id);
    write_identities(dir, &file)
}

/// Removes an agent and its verifier. Its short id is never given again.
///
/// # Errors
/// [`StoreError::Missing`], or the folder cannot be written.
pub fn remove_agent(dir: &Path, id: &AgentId) -> Result<(), StoreError> {
    let _lock = lock_folder(dir)?;
    let mut file = existing(dir, Who::Agent(id))?;
    let mut credentials = read_credentials(dir)?;
    if credentials.agents.remove(id).is_some() {
        write_credentials(dir, &credentials)?;
    }
    file.agents.retain(|agent| agent.id != *id);
    write_identities(dir, &file)
}

/// Sets what a principal logs in with (an agent's key, a person's password), replacing what was there. Only the
/// verifier is kept.
///
/// # Errors
/// [`StoreError::Password`] for what drivers could not send alike, [`StoreError::Missing`], or the folder cannot be
/// written.
pub fn set_key(dir: &Path, who: Who<'_>, secret: &str) -> Result<(), StoreError> {
    check_secret(secret)?;
    let verifier = ScramVerifier::generate(secret)?;
    let _lock = lock_folder(dir)?;
    existing(dir, who)?;
    let mut credentials = read_credentials(dir)?;
    match who {
        Who::Agent(id) => credentials.agents.insert(id.clone(), verifier),
        Who::User(id) => credentials.users.insert(id.clone(), verifier),
    };
    write_credentials(dir, &credentials)
}

/// Replaces definitions and assignments of tags.
///
/// # Errors
/// [`StoreError`] when the folder cannot be written.
pub fn set_tags(dir: &Path, tags: &Tags) -> Result<(), StoreError> {
    let _lock = lock_folder(dir)?;
    write_json(&dir.join(TAGS), Privacy::Open, tags)
}

/// Gives columns the tags that were proposed for them, with their origin; their definitions come along. How many tags are
/// new.
///
/// # Errors
/// [`StoreError`] when the folder is not valid or cannot be written.
pub fn apply_proposals<'a>(
    dir: &Path,
    proposals: impl Iterator<Item = &'a Proposal>,
) -> Result<usize, StoreError> {
    let _lock = lock_folder(dir)?;
    let path = dir.join(TAGS);
    let mut tags: Tags = read_json(&path, Privacy::Open)?.unwrap_or_default();
    let mut added = 0;
    for proposal in proposals {
        let key = format!("{}.{}", proposal.relation, proposal.column);
        tags.definitions.insert(proposal.tag.clone());
        // A tag that a person gave stays a person's.
        if tags.columns.entry(key.clone()).or_default().insert(proposal.tag.clone()) {
            let identified = Origin::Identified {
                identifier: proposal.identifier.clone(),
                percent: (proposal.score * 100.0) as u8,
            };
            tags.origins.entry(key).or_default().insert(proposal.tag.clone(), identified);
            added += 1;
        }
    }
    write_json(&path, Privacy::Open, &tags)?;
    Ok(added)
}

/// Changes what is known of a database: the change gets `None` when nobody ever looked.
///
/// # Errors
/// [`StoreError`] when the folder is not valid or cannot be written.
pub fn change_known(
    dir: &Path,
    database: &str,
    change: impl FnOnce(Option<Known>) -> Known,
) -> Result<(), StoreError> {
    let _lock = lock_folder(dir)?;
    let path = dir.join(KNOWN);
    let mut all: BTreeMap<String, Known> = read_json(&path, Privacy::Open)?.unwrap_or_default();
    let known = change(all.remove(database));
    all.insert(database.to_owned(), known);
    write_json(&path, Privacy::Open, &all)
}

/// Writes proposals beside the tags, for people to read.
///
/// # Errors
/// [`StoreError`] when the folder cannot be written.
pub fn write_proposals(dir: &Path, proposals: &[Proposal]) -> Result<PathBuf, StoreError> {
    let _lock = lock_folder(dir)?;
    let path = dir.join(PROPOSALS);
    write_json(&path, Privacy::Open, &proposals)?;
    Ok(path)
}

fn check_secret(secret: &str) -> Result<(), StoreError> {
    if secret.is_empty() {
        return Err(StoreError::Password("an empty password opens nothing"));
    }
    if secret.len() > PASSWORD_BYTES_MAX {
        return Err(StoreError::Password("a password has at most 1024 bytes"));
    }
    // Other characters go through SASLprep, which drivers implement differently or not at all.
    if !secret.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Err(StoreError::Password("a password is made of printable ASCII characters"));
    }
    Ok(())
}

fn change_identities(
    dir: &Path,
    change: impl FnOnce(&mut IdentitiesFile) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let _lock = lock_folder(dir)?;
    let path = dir.join(IDENTITIES);
    let mut file = read_identities(dir)?.unwrap_or_default();
    // A file that is already wrong is told as such, not as the fault of this change.
    check_identities(&path, file.clone())?;
    change(&mut file)?;
    check_identities(&path, file.clone())?;
    write_identities(dir, &file)
}

fn existing(dir: &Path, who: Who<'_>) -> Result<IdentitiesFile, StoreError> {
    let mut file = read_identities(dir)?.unwrap_or_default();
    check_identities(&dir.join(IDENTITIES), file.clone())?;
    file.settle();
    let exists = match who {
        Who::Agent(id) => file.agents.iter().any(|agent| agent.id == *id),
        Who::User(id) => file.users.iter().any(|user| user.id == *id),
    };
    if exists { Ok(file) } else { Err(StoreError::Missing(who.to_string())) }
}

fn free(file: &IdentitiesFile, id: &str) -> Result<(), StoreError> {
    let mut users = file.users.iter().map(|user| user.id.as_str());
    let mut agents = file.agents.iter().map(|agent| agent.id.as_str());
    if users.any(|other| other == id) || agents.any(|other| other == id) {
        return Err(StoreError::Exists(format!("id \"{id}\"")));
    }
    Ok(())
}

fn write_identities(dir: &Path, file: &IdentitiesFile) -> Result<(), StoreError> {
    write_json(&dir.join(IDENTITIES), Privacy::Open, file)
}

fn write_credentials(dir: &Path, credentials: &Credentials) -> Result<(), StoreError> {
    write_json(&dir.join(CREDENTIALS), Privacy::Owner, credentials)
}
