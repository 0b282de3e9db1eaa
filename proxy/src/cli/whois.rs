//! `lanyard whois ROLE`: who a vended role was, from its name and the audit.
//!
//! The name alone carries the numbers of agent and user; the audit adds when, from where and what.

use std::io::Write;

use clap::Args;
use lanyard_adapters::ledger::{Entry, Filter, search};
use lanyard_adapters::store::{self, Governance};
use lanyard_engine::identity::{Agent, RoleName, User};
use serde::Serialize;

use super::print::{self, safe};
use super::time::rfc3339;
use super::{CliError, ConfigFlag, ExitCode, JsonFlag, Style};

/// Records of one role that are looked at, newest ones.
const ENTRIES_MAX: usize = 10_000;

/// Arguments of `lanyard whois`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: a line of the database's log says
  2026-11-21 10:21:49 UTC [4711] LANYARD_VENDED_5_1_018f6a…@shop  LOG:  statement: …
  lanyard whois LANYARD_VENDED_5_1_018f6a…")]
pub(super) struct WhoisArgs {
    /// The role's name as the log shows it.
    role: String,
    #[command(flatten)]
    config: ConfigFlag,
    #[command(flatten)]
    json: JsonFlag,
}

#[derive(Debug, Serialize)]
struct Whois<'a> {
    role: &'a str,
    /// Number in the name; 0 stands for none.
    agent_number: u32,
    user_number: u32,
    /// Who has that number today.
    agent: Option<&'a Agent>,
    user: Option<&'a User>,
    session: Option<Session<'a>>,
}

/// What the audit adds.
#[derive(Debug, Serialize)]
struct Session<'a> {
    mode: &'a str,
    agent: Option<&'a str>,
    agent_owner: Option<&'a str>,
    user: Option<&'a str>,
    user_proof: &'a str,
    authentication: &'a str,
    client_address: &'a str,
    client_application: &'a str,
    database: &'a str,
    node: &'a str,
    /// Microseconds since 1970.
    first_us: u64,
    last_us: u64,
    /// Seconds since 1970.
    expires: u64,
    attempts: usize,
    refused: usize,
}

pub(super) fn run(args: &WhoisArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let role = RoleName::parse(&args.role).map_err(|error| {
        CliError::usage(format!("\"{}\" is {error}", safe(&args.role)))
            .hint("such a name is LANYARD_VENDED_<agent>_<user>_<32 hexadecimal digits>")
    })?;
    let config = args.config.read()?;
    let governance = store::load(&config.governance.directory.value)?;
    let directory = &config.audit.directory.value;
    let entries = match directory.is_dir() {
        false => Vec::new(),
        true => {
            let role = Some(role.as_str().to_owned());
            search(directory, &Filter { role, limit: Some(ENTRIES_MAX), ..Filter::default() })?.entries
        }
    };
    let answer = whois(&role, &governance, &entries);
    match args.json.style() {
        Style::Json => print::json(out, &answer)?,
        Style::People => print_people(out, &answer)?,
    }
    let known = answer.agent.is_some() || answer.user.is_some() || answer.session.is_some();
    Ok(if known { ExitCode::Done } else { ExitCode::Findings })
}

fn whois<'a>(role: &'a RoleName, governance: &'a Governance, entries: &'a [Entry]) -> Whois<'a> {
    // INVARIANT: a RoleName holds both numbers between its prefix and its session.
    let mut numbers =
        role.as_str()[RoleName::PREFIX.len()..].split('_').map(|part| part.parse().unwrap_or(0));
    let agent_number = numbers.next().unwrap_or(0);
    let user_number = numbers.next().unwrap_or(0);
    let session = entries.first().zip(entries.last()).map(|(first, last)| Session {
        mode: &first.mode,
        agent: first.agent.as_deref(),
        agent_owner: first.agent_owner.as_deref(),
        user: first.user.as_deref(),
        user_proof: &first.user_proof,
        authentication: &first.authentication,
        client_address: &first.client_address,
        client_application: &first.client_application,
        database: &first.database,
        node: &first.node,
        first_us: first.time_us,
        last_us: last.time_us,
        expires: first.expires,
        attempts: entries.len(),
        refused: entries.iter().filter(|entry| entry.disposition == "refused").count(),
    });
    Whois {
        role: role.as_str(),
        agent_number,
        user_number,
        agent: governance.identities.agents.values().find(|agent| agent.short.get() == agent_number),
        user: governance.identities.users.values().find(|user| user.short.get() == user_number),
        session,
    }
}

fn print_people(out: &mut dyn Write, answer: &Whois<'_>) -> Result<(), CliError> {
    let session = answer.session.as_ref();
    writeln!(out, "role     {}", answer.role)?;
    let agent = match (answer.agent, answer.agent_number) {
        (_, 0) => "none: the person's own tool".to_owned(),
        (Some(agent), _) => format!("{} ({}), owner {}", agent.id, safe(&agent.name), agent.owner),
        (None, number) => gone(number, session.and_then(|session| session.agent)),
    };
    writeln!(out, "agent    {agent}")?;
    let user = match (answer.user, answer.user_number) {
        (_, 0) => "none: the agent on its own".to_owned(),
        (Some(user), _) => format!("{} ({})", user.id, safe(&user.name)),
        (None, number) => gone(number, session.and_then(|session| session.user)),
    };
    writeln!(out, "user     {user}")?;
    let Some(session) = session else {
        writeln!(out, "session  no record of it in this audit")?;
        return Ok(());
    };
    writeln!(
        out,
        "session  {} on {} through {}",
        safe(session.mode),
        safe(session.database),
        safe(session.node)
    )?;
    writeln!(
        out,
        "client   {} at {}, login {}, user {}",
        safe(session.client_application),
        safe(session.client_address),
        safe(session.authentication),
        safe(session.user_proof)
    )?;
    writeln!(out, "when     {} to {}", rfc3339(session.first_us), rfc3339(session.last_us))?;
    let more = if session.attempts == ENTRIES_MAX { " or more" } else { "" };
    writeln!(out, "did      {}{more} statements, {} refused", session.attempts, session.refused)?;
    writeln!(out, "         lanyard audit query --role {}", answer.role)?;
    Ok(())
}

fn gone(number: u32, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{} (number {number}, removed since)", safe(name)),
        None => format!("number {number}, who does not exist here any more"),
    }
}
