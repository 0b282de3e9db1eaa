//! `lanyard explain`: what somebody may see of a table, which policy decides, and the SQL that would run.

use std::io::Write;

use clap::Args;
use lanyard_adapters::store::{self, StoreError, Who};
use lanyard_engine::catalog::{Catalog, RelationName};
use lanyard_engine::identity::{AgentId, Identities, Principal, PurposeName, UserId};
use lanyard_engine::policy;

use super::governed::{policies, snapshot};
use super::{CliError, ConfigFlag, ExitCode, JsonFlag, Style, database, print};

/// Arguments of `lanyard explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanyard explain --as taylor --table public.customer_orders                        taylor's own tool
  lanyard explain --as taylor --via marketing-agent --table public.customer_orders  the agent, for taylor
  lanyard explain --via marketing-agent --table public.campaign_tools               the agent on its own")]
pub(super) struct ExplainArgs {
    /// The person.
    #[arg(long = "as", value_name = "USER", value_parser = UserId::parse, required_unless_present = "via")]
    user: Option<UserId>,
    /// The acting agent.
    #[arg(long, value_name = "AGENT", value_parser = AgentId::parse)]
    via: Option<AgentId>,
    /// What the session is for, as with the startup option lanyard.purpose.
    #[arg(long, value_name = "PURPOSE", value_parser = PurposeName::parse)]
    purpose: Option<PurposeName>,
    /// schema.table, or table in the entry's search_path.
    #[arg(long, value_name = "TABLE")]
    table: String,
    /// The [databases.NAME] entry; may be left out when there is one only.
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    #[command(flatten)]
    config: ConfigFlag,
    #[command(flatten)]
    json: JsonFlag,
}

pub(super) fn run(args: &ExplainArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let config = args.config.read()?;
    let entry = database(&config, args.database.as_deref())?;
    let governance = store::load(&config.governance.directory.value)?;
    let principal = principal(args, &governance.identities)?;
    let compiled = policies(&governance).map_err(|findings| {
        let first = findings.first().map_or(String::new(), |finding| format!(": {finding}"));
        CliError::failed(format!("the policies do not compile{first}"))
            .hint("`lanyard check` shows every finding")
    })?;
    let snapshot = snapshot(&config, entry, &governance, compiled)?;
    let relation = relation(&args.table, &entry.search_path, &snapshot.catalog);
    let explanation = policy::explain(&snapshot, &principal, &relation);
    match args.json.style() {
        Style::Json => print::json(out, &explanation)?,
        Style::People => writeln!(out, "{explanation}")?,
    }
    Ok(ExitCode::Done)
}

fn principal(args: &ExplainArgs, identities: &Identities) -> Result<Principal, CliError> {
    let missing = |who: Who<'_>| CliError::from(StoreError::Missing(who.to_string()));
    if let Some(user) = args.user.as_ref().filter(|user| !identities.users.contains_key(user)) {
        return Err(missing(Who::User(user)));
    }
    if let Some(agent) = args.via.as_ref().filter(|agent| !identities.agents.contains_key(agent)) {
        return Err(missing(Who::Agent(agent)));
    }
    let principal = match (args.user.clone(), args.via.clone()) {
        (Some(user), Some(agent)) => Principal::on_behalf_of(agent, user),
        (Some(user), None) => Principal::direct(user),
        (None, Some(agent)) => Principal::autonomous(agent),
        (None, None) => {
            return Err(CliError::usage("explain as whom?").hint("add --as USER, --via AGENT, or both"));
        }
    };
    Ok(Principal { purpose: args.purpose.clone(), ..principal })
}

/// A bare name is the first of that name in the search path, as in a session; one that is nowhere stays in the first
/// schema, and the explanation says that it is missing.
fn relation(table: &str, search_path: &[String], catalog: &Catalog) -> RelationName {
    if let Some((schema, name)) = table.split_once('.') {
        return RelationName::new(schema, name);
    }
    let mut candidates = search_path.iter().map(|schema| RelationName::new(schema, table));
    let found = candidates.clone().find(|name| catalog.relations.contains_key(name));
    found.or_else(|| candidates.next()).unwrap_or_else(|| RelationName::new("public", table))
}

#[cfg(test)]
mod tests {
    use lanyard_engine::catalog::{Relation, RelationKind};

    use super::*;

    #[test]
    fn bare_names_are_looked_up_as_a_session_would() {
        let mut catalog = Catalog::default();
        for (schema, name) in [("a", "x"), ("b", "x"), ("b", "y")] {
            let name = RelationName::new(schema, name);
            let relation = Relation {
                name: name.clone(),
                oid: 1,
                kind: RelationKind::Table,
                columns: Vec::new(),
                primary_key: Vec::new(),
                keys: Default::default(),
                row_security: false,
                tags: Default::default(),
            };
            catalog.relations.insert(name, relation);
        }
        let path = ["a".to_owned(), "b".to_owned()];
        for (table, expected) in [("x", "a.x"), ("y", "b.y"), ("z", "a.z"), ("b.x", "b.x"), ("c.x", "c.x")] {
            assert_eq!(relation(table, &path, &catalog).to_string(), expected);
        }
        assert_eq!(relation("x", &[], &catalog).to_string(), "public.x");
    }
}
