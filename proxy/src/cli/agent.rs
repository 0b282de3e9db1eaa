//! `lanyard agent`: agents and their keys.

use std::io::{self, Write};

use clap::{Args, Subcommand, ValueEnum};
use lanyard_adapters::store::{self, NewAgent, Who};
use lanyard_engine::identity::{AgentId, Combination, UserId};
use serde_json::json;

use super::print::{self, safe};
use super::user::{ListArgs, Traits, attributes_text, list_text};
use super::{CliError, ConfigFlag, ExitCode, JsonFlag, Style, secret};

#[derive(Debug, Subcommand)]
pub(super) enum AgentCommand {
    /// Add an agent and print its key, once.
    #[command(after_help = "\
Example:
  lanyard agent add marketing-agent --owner morgan --group marketing_agents
  It then logs in as marketing-agent~taylor (for taylor) or marketing-agent (on its own), with the key as password.")]
    Add(AddArgs),
    /// Who is there?
    List(ListArgs),
    /// Remove an agent and its key. Its number in role names is never given again.
    Remove(OneArgs),
    /// Give an agent a new key and print it, once. The old one is void at once.
    Key(KeyArgs),
    /// Set an agent's key to a line read from standard input.
    SetKey(OneArgs),
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Unique among agents and users: letters, digits, '.', '_', '-', '@'.
    #[arg(value_parser = AgentId::parse)]
    id: AgentId,
    /// The person who answers for it; must exist.
    #[arg(long, value_name = "USER", value_parser = UserId::parse)]
    owner: UserId,
    #[command(flatten)]
    traits: Traits,
    /// How its tables and a user's combine on behalf of that user.
    #[arg(long, value_enum, default_value_t = CombinationArg::Guarded)]
    combination: CombinationArg,
    #[command(flatten)]
    config: ConfigFlag,
    #[command(flatten)]
    json: JsonFlag,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CombinationArg {
    /// The user's tables, and the agent's tagged Agent.Tool.
    Guarded,
    /// The user's tables and the agent's.
    Union,
    /// Only tables both have.
    Intersection,
}

impl From<CombinationArg> for Combination {
    fn from(arg: CombinationArg) -> Self {
        match arg {
            CombinationArg::Guarded => Self::Guarded,
            CombinationArg::Union => Self::Union,
            CombinationArg::Intersection => Self::Intersection,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct OneArgs {
    /// The agent.
    #[arg(value_parser = AgentId::parse)]
    id: AgentId,
    #[command(flatten)]
    config: ConfigFlag,
}

#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    #[command(flatten)]
    one: OneArgs,
    #[command(flatten)]
    json: JsonFlag,
}

pub(super) fn run(command: &AgentCommand, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    match command {
        AgentCommand::Add(args) => add(args, out),
        AgentCommand::List(args) => list(args, out),
        AgentCommand::Remove(args) => {
            store::remove_agent(&args.config.read()?.governance.directory.value, &args.id)?;
            writeln!(out, "agent \"{}\" removed", args.id)?;
            Ok(ExitCode::Done)
        }
        AgentCommand::Key(args) => key(args, out),
        AgentCommand::SetKey(args) => {
            let directory = args.config.read()?.governance.directory.value;
            store::set_key(&directory, Who::Agent(&args.id), &secret::read(&mut io::stdin())?)?;
            writeln!(out, "key of agent \"{}\" set", args.id)?;
            Ok(ExitCode::Done)
        }
    }
}

fn add(args: &AddArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let directory = args.config.read()?.governance.directory.value;
    let key = store::generate_key()?;
    let agent = store::add_agent(
        &directory,
        NewAgent {
            id: args.id.clone(),
            name: args.traits.name_or(args.id.as_str()),
            owner: args.owner.clone(),
            groups: args.traits.groups(),
            attributes: args.traits.attributes(),
            combination: args.combination.into(),
        },
    )?;
    store::set_key(&directory, Who::Agent(&agent.id), &key)?;
    match args.json.style() {
        Style::Json => print::json(out, &json!({ "agent": agent, "key": key }))?,
        Style::People => {
            writeln!(out, "agent \"{}\" added, number {} in role names", agent.id, agent.short.get())?;
            print::secret(out, "key", &key)?;
        }
    }
    Ok(ExitCode::Done)
}

fn key(args: &KeyArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let directory = args.one.config.read()?.governance.directory.value;
    let key = store::generate_key()?;
    store::set_key(&directory, Who::Agent(&args.one.id), &key)?;
    match args.json.style() {
        Style::Json => print::json(out, &json!({ "agent": args.one.id, "key": key }))?,
        Style::People => print::secret(out, "key", &key)?,
    }
    Ok(ExitCode::Done)
}

fn list(args: &ListArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let governance = store::load(&args.config.read()?.governance.directory.value)?;
    let has_key = |id: &AgentId| governance.credentials.of(Who::Agent(id)).is_some();
    let agents = governance.identities.agents.values().map(|agent| {
        let has_key = has_key(&agent.id);
        let row = vec![
            agent.id.to_string(),
            agent.short.get().to_string(),
            safe(&agent.name).into_owned(),
            agent.owner.to_string(),
            if has_key { "yes" } else { "none" }.to_owned(),
            list_text(&agent.groups),
            attributes_text(&agent.attributes),
        ];
        (json!({ "agent": agent, "has_key": has_key }), row)
    });
    let head = ["ID", "NUMBER", "NAME", "OWNER", "KEY", "GROUPS", "ATTRIBUTES"];
    print::list(out, args.json.style(), &head, agents)?;
    Ok(ExitCode::Done)
}
