//! Reading the folder as one state, and noticing that it changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use lanyard_engine::approval::Approval;
use lanyard_engine::identity::{Agent, Identities, ShortId, User};
use lanyard_engine::limits;
use serde::{Deserialize, Serialize};

use super::files::{Privacy, read_json, read_text};
use super::{APPROVALS, CREDENTIALS, Credentials, Governance, IDENTITIES, KNOWN, StoreError, TAGS};

/// How often a load starts over because the folder changed meanwhile.
const TRIES_MAX: usize = 5;

/// `identities.json` as it is on disk.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IdentitiesFile {
    /// The next short id to give away; never goes down, so that a role name in an old log names one principal for ever.
    /// A file written by hand may leave it out: then it is above every short id in the file.
    #[serde(default)]
    next_short: Option<u32>,
    #[serde(default)]
    pub(super) users: Vec<User>,
    #[serde(default)]
    pub(super) agents: Vec<Agent>,
}

impl IdentitiesFile {
    /// Writes the counter down. An editor calls it before it removes anybody: the highest number may be theirs.
    pub(super) fn settle(&mut self) -> u32 {
        let users = self.users.iter().map(|user| user.short.get());
        let agents = self.agents.iter().map(|agent| agent.short.get());
        let above = users.chain(agents).max().map_or(1, |last| last + 1);
        *self.next_short.get_or_insert(above)
    }

    /// Takes the next short id.
    pub(super) fn give_short(&mut self) -> Result<ShortId, StoreError> {
        let next = self.settle();
        let short = ShortId::new(next).map_err(|_| StoreError::ShortIds)?;
        self.next_short = Some(next + 1);
        Ok(short)
    }
}

/// Tells one state of the folder from another: equal stamps, equal files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp(BTreeMap<PathBuf, (u64, u64, i64, i64)>);

/// Looks at names, sizes, inodes and change times only: cheap enough for once a second.
///
/// # Errors
/// [`StoreError::Io`] when the folder cannot be listed.
pub fn stamp(dir: &Path) -> Result<Stamp, StoreError> {
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::Io { action: "list", path, source }
    };
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).map_err(fail(dir))? {
        let path = entry.map_err(fail(dir))?.path();
        if !is_ours(&path) {
            continue;
        }
        // Through symbolic links: mounted configuration is switched by changing one.
        match std::fs::metadata(&path) {
            Ok(m) => {
                let state = (m.ino(), m.len(), m.ctime(), m.ctime_nsec());
                files.insert(path, state);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fail(&path)(error)),
        }
    }
    Ok(Stamp(files))
}

fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| [IDENTITIES, CREDENTIALS, TAGS, KNOWN, APPROVALS].contains(&name))
        || is_policy(path)
}

fn is_policy(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| {
        (name.ends_with(".policy") || name.ends_with(".policy.json")) && !name.starts_with('.')
    })
}

/// Reads the folder. Without `credentials.json` nobody can log in, without `tags.json` nothing is tagged, without
/// policies and `approvals.json` nothing is granted; without `identities.json` it is not a governance folder.
///
/// # Errors
/// [`StoreError`] names the file and what is wrong with it.
pub fn load(dir: &Path) -> Result<Governance, StoreError> {
    for _ in 0..TRIES_MAX {
        let before = stamp(dir)?;
        let loaded = load_once(dir, &before);
        // An error may come of reading half a change, so it counts only when nothing changed.
        if stamp(dir)? == before {
            return loaded;
        }
    }
    Err(StoreError::Unsettled(dir.to_owned()))
}

fn load_once(dir: &Path, stamp: &Stamp) -> Result<Governance, StoreError> {
    let file = read_identities(dir)?.ok_or_else(|| StoreError::Io {
        action: "read",
        path: dir.join(IDENTITIES),
        source: io::ErrorKind::NotFound.into(),
    })?;
    let identities = check_identities(&dir.join(IDENTITIES), file)?;
    let credentials = read_credentials(dir)?;
    check_credentials(&dir.join(CREDENTIALS), &identities, &credentials)?;
    let tags = read_json(&dir.join(TAGS), Privacy::Open)?.unwrap_or_default();
    let mut policies = Vec::new();
    for path in stamp.0.keys().filter(|path| is_policy(path)) {
        let bytes_max = limits::POLICY_FILE_BYTES_MAX as u64;
        if let Some(text) = read_text(path, Privacy::Open, bytes_max)? {
            policies.push((path.display().to_string(), text));
        }
    }
    let known = read_json(&dir.join(KNOWN), Privacy::Open)?.unwrap_or_default();
    let approvals: Vec<Approval> = read_json(&dir.join(APPROVALS), Privacy::Open)?.unwrap_or_default();
    check_approvals(&dir.join(APPROVALS), &approvals)?;
    Ok(Governance { identities, credentials, tags, known, policies, approvals })
}

pub(super) fn read_identities(dir: &Path) -> Result<Option<IdentitiesFile>, StoreError> {
    read_json(&dir.join(IDENTITIES), Privacy::Open)
}

pub(super) fn read_credentials(dir: &Path) -> Result<Credentials, StoreError> {
    Ok(read_json(&dir.join(CREDENTIALS), Privacy::Owner)?.unwrap_or_default())
}

/// A role name has a place for each, so agents and users may have equal numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Agent,
    User,
}

/// One list of ids for agents and users (a login name must mean one of them), short ids that differ, owners that exist.
pub(super) fn check_identities(path: &Path, file: IdentitiesFile) -> Result<Identities, StoreError> {
    let invalid = |message: String, hint: &str| StoreError::Invalid {
        path: path.to_owned(),
        message,
        hint: hint.to_owned(),
    };
    let mut ids = BTreeSet::new();
    let mut shorts: HashMap<(Kind, ShortId), &str> = HashMap::new();
    let users = file.users.iter().map(|u| (u.id.as_str(), Kind::User, u.short));
    let agents = file.agents.iter().map(|a| (a.id.as_str(), Kind::Agent, a.short));
    for (id, kind, short) in users.chain(agents) {
        if !ids.insert(id) {
            return Err(invalid(
                format!("id \"{id}\" stands here twice"),
                "agents and users share one list of ids; rename one of them",
            ));
        }
        let number = short.get();
        if let Some(other) = shorts.insert((kind, short), id) {
            return Err(invalid(
                format!("\"{other}\" and \"{id}\" have the same short id {number}"),
                "give the newer one a number that was never used",
            ));
        }
        if let Some(next) = file.next_short.filter(|next| number >= *next) {
            return Err(invalid(
                format!("next_short {next} is not above short id {number} of \"{id}\""),
                "set next_short above every short id that was ever given",
            ));
        }
    }
    // A set: with as many agents as users, a walk for each would be quadratic.
    let owners: BTreeSet<&str> = file.users.iter().map(|user| user.id.as_str()).collect();
    for agent in &file.agents {
        if !owners.contains(agent.owner.as_str()) {
            return Err(invalid(
                format!("owner \"{}\" of agent \"{}\" is not a user", agent.owner, agent.id),
                "add the owner with `lanyard user add`, or name another one",
            ));
        }
    }
    Ok(Identities {
        users: file.users.into_iter().map(|u| (u.id.clone(), u)).collect(),
        agents: file.agents.into_iter().map(|a| (a.id.clone(), a)).collect(),
    })
}

/// Ids name approvals in records, so each is given once.
fn check_approvals(path: &Path, approvals: &[Approval]) -> Result<(), StoreError> {
    let mut ids = BTreeSet::new();
    match approvals.iter().find(|a| a.id.is_empty() || !ids.insert(a.id.as_str())) {
        None => Ok(()),
        Some(twice) => Err(StoreError::Invalid {
            path: path.to_owned(),
            message: format!("approval id \"{}\" is empty or stands here twice", twice.id),
            hint: "give each approval an id of its own".to_owned(),
        }),
    }
}

fn check_credentials(
    path: &Path,
    identities: &Identities,
    credentials: &Credentials,
) -> Result<(), StoreError> {
    let stray_user = credentials.users.keys().find(|id| !identities.users.contains_key(id));
    let stray_agent = credentials.agents.keys().find(|id| !identities.agents.contains_key(id));
    let stray = stray_user
        .map(|id| format!("user \"{id}\""))
        .or_else(|| stray_agent.map(|id| format!("agent \"{id}\"")));
    match stray {
        None => Ok(()),
        Some(who) => Err(StoreError::Invalid {
            path: path.to_owned(),
            message: format!("a credential of {who}, who does not exist"),
            hint: format!(
                "remove the line, or add the {} again",
                if stray_user.is_some() { "user" } else { "agent" }
            ),
        }),
    }
}
