//! What a startup message asks for: whose session, which database, which settings. By allow-list; identity is read here
//! once and never from anything the client can write later. Called by `login`.

use std::sync::Arc;
use std::time::Duration;

use lanyard_engine::identity::{AgentId, Principal, PurposeName, UserId};
use lanyard_engine::refusal::{Code, Refusal};
use lanyard_engine::sql;

use crate::server::Shared;
use crate::vend::Governor;
use crate::wire::startup::{self, Startup};

/// Longest application name and task that go to the audit, in bytes.
const LABEL_BYTES_MAX: usize = 128;

/// What the startup message asks for.
pub(super) struct Wish {
    pub(super) principal: Principal,
    pub(super) prover: Prover,
    pub(super) database: String,
    pub(super) application: String,
    pub(super) task: Option<String>,
    pub(super) lease: Option<Duration>,
    /// The search path, as text.
    pub(super) path: Option<String>,
    /// Settings for the warehouse.
    pub(super) settings: Vec<(String, String)>,
}

pub(super) enum Prover {
    Agent(AgentId),
    User(UserId),
}

pub(super) fn read_wish(startup: Startup, shared: &Shared) -> Result<(Arc<Governor>, Wish), Refusal> {
    let mut parameters = startup.parameters;
    let user = parameters
        .remove("user")
        .filter(|u| !u.is_empty())
        .ok_or_else(|| Refusal::new(Code::NoIdentity, "no user name is given in the startup packet"))?;
    let database = parameters.remove("database").unwrap_or_else(|| user.clone());
    let governor = shared.governors.get(&database).map(Arc::clone).ok_or_else(|| {
        Refusal::new(Code::UnknownDatabase, format!("database \"{database}\" is not configured here"))
            .hint("name an entry [databases.NAME] of lanyard.toml")
    })?;
    let mut wish = Wish {
        principal: Principal::direct(UserId::parse("nobody").map_err(|_| no_identity(&user))?),
        prover: Prover::User(UserId::parse("nobody").map_err(|_| no_identity(&user))?),
        database,
        application: String::new(),
        task: None,
        lease: None,
        path: None,
        settings: Vec::new(),
    };
    let mut on_behalf_of = None;
    let mut purpose = None;
    let options = match parameters.remove("options") {
        Some(text) => startup::options(&text)?,
        None => Vec::new(),
    };
    for (name, value) in parameters.into_iter().chain(options) {
        match name.as_str() {
            "application_name" => wish.application = label(&value),
            "lanyard.user" => on_behalf_of = Some(value),
            "lanyard.purpose" => purpose = Some(value),
            "lanyard.task" => wish.task = Some(label(&value)),
            "lanyard.lease_seconds" => wish.lease = Some(seconds(&value)?),
            "replication" if matches!(value.as_str(), "false" | "off" | "no" | "0") => {}
            "replication" => {
                return Err(Refusal::new(Code::Unsupported, "replication connections are not served"));
            }
            // A parameter of its own counts before the options, as in PostgreSQL.
            _ if name.eq_ignore_ascii_case("search_path") => drop(wish.path.get_or_insert(value)),
            _ => setting(&mut wish.settings, name, value)?,
        }
    }
    (wish.principal, wish.prover) = who(&user, on_behalf_of.as_deref(), &governor)?;
    if let Some(purpose) = purpose {
        let purpose = PurposeName::parse(&purpose).map_err(|error| {
            Refusal::new(Code::NoIdentity, error.to_string())
                .hint("name a purpose that a policy declares, or none")
        })?;
        wish.principal = wish.principal.under(purpose);
    }
    Ok((governor, wish))
}

fn setting(settings: &mut Vec<(String, String)>, name: String, value: String) -> Result<(), Refusal> {
    match sql::setting(&name) {
        Some(sql::Setting::Free) => {
            settings.push((name, value));
            Ok(())
        }
        Some(sql::Setting::Name) if sql::is_plain_name(&value) => {
            settings.push((name, value));
            Ok(())
        }
        Some(sql::Setting::Only(allowed)) if sql::says(&value, allowed) => Ok(()),
        Some(sql::Setting::Only(_) | sql::Setting::Name | sql::Setting::Ours) | None => {
            Err(Refusal::new(Code::Policy, format!("startup option \"{name}\" may not be set to this here"))
                .hint("leave it out of the connection string"))
        }
    }
}

fn seconds(value: &str) -> Result<Duration, Refusal> {
    match value.parse::<u64>() {
        Ok(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err(Refusal::new(Code::Syntax, "lanyard.lease_seconds takes 1 to 86400")),
    }
}

/// A label for the audit: cut to a length, control characters out.
fn label(text: &str) -> String {
    let mut label: String = text.chars().filter(|c| !c.is_control()).collect();
    while label.len() > LABEL_BYTES_MAX {
        label.pop();
    }
    label
}

/// `agent~user`, `agent` (with `lanyard.user`, or autonomous), or `user`.
fn who(name: &str, option: Option<&str>, governor: &Governor) -> Result<(Principal, Prover), Refusal> {
    let (first, behalf) = match (name.split_once('~'), option) {
        (Some((_, user)), Some(option)) if user != option => {
            return Err(Refusal::new(
                Code::NoIdentity,
                "the user name and the option lanyard.user name different users",
            ));
        }
        (Some((agent, user)), _) => (agent, Some(user)),
        (None, option) => (name, option),
    };
    let agent = AgentId::parse(first).map_err(|_| no_identity(name))?;
    if let Some(user) = behalf {
        let user = UserId::parse(user).map_err(|_| no_identity(name))?;
        return Ok((Principal::on_behalf_of(agent.clone(), user), Prover::Agent(agent)));
    }
    let user = UserId::parse(first).map_err(|_| no_identity(name))?;
    let known = governor.with(|snapshot, _| {
        (snapshot.identities.agents.contains_key(&agent), snapshot.identities.users.contains_key(&user))
    });
    match known {
        (true, true) => Err(Refusal::new(
            Code::NoIdentity,
            format!("\"{first}\" names an agent and a user: one of them must be renamed"),
        )),
        (true, false) => Ok((Principal::autonomous(agent.clone()), Prover::Agent(agent))),
        // An unknown name goes through the same exchange as a known one, and fails at its end.
        (false, _) => Ok((Principal::direct(user.clone()), Prover::User(user))),
    }
}

fn no_identity(name: &str) -> Refusal {
    Refusal::new(Code::NoIdentity, format!("\"{name}\" is not a name of the form agent~user, agent or user"))
        .hint("ids have letters, digits, '.', '_', '-' and '@'")
}
