//! `lanyard identify`: which columns hold personal data, from counts over a sample; proposals, and tags when told to.

use std::io::{self, IsTerminal as _, Write};

use clap::Args;
use lanyard_adapters::store;
use lanyard_engine::catalog::Relation;
use lanyard_engine::identify::{Evidence, Proposal, propose};

use super::governed::{cannot, connect};
use super::{CliError, ConfigFlag, ExitCode, JsonFlag, block_on, database, print};
use crate::config::{Config, Database};

/// Arguments of `lanyard identify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanyard identify                          every table; prints what it would tag, and changes nothing
  lanyard identify --table public.customers --sample 5000
  lanyard identify --write                  also writes proposals.json into the governance folder
  lanyard identify --apply                  tags the columns whose values are sure (90 % or more)

The values are looked at inside the warehouse, as the owner role; only counts leave it.")]
pub(super) struct IdentifyArgs {
    /// The [databases.NAME] entry; may be left out when there is one only.
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// Only these tables, schema.table; may be given several times.
    #[arg(long, value_name = "TABLE")]
    table: Vec<String>,
    /// Rows looked at in each table, at most.
    #[arg(long, value_name = "ROWS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    sample: u32,
    /// Write the proposals to proposals.json in the governance folder.
    #[arg(long)]
    write: bool,
    /// Tag the columns whose values are sure. What only the name says is never applied.
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    config: ConfigFlag,
    #[command(flatten)]
    json: JsonFlag,
}

pub(super) fn run(args: &IdentifyArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let config = args.config.read()?;
    let entry = database(&config, args.database.as_deref())?;
    let proposals = block_on(look(args, &config, entry))?;
    let head = ["column", "tag", "score", "sampled", "because of"];
    let rows = proposals.iter().map(|proposal| {
        let cells = vec![
            print::safe(&format!("{}.{}", proposal.relation, proposal.column)).into_owned(),
            proposal.tag.to_string(),
            format!("{:.0} %", proposal.score * 100.0),
            proposal.sampled.to_string(),
            because(proposal),
        ];
        (serde_json::to_value(proposal).unwrap_or_default(), cells)
    });
    print::list(out, args.json.style(), &head, rows)?;
    let folder = &config.governance.directory.value;
    if args.write {
        let path = store::write_proposals(folder, &proposals)?;
        say(&format!("{} proposals are in \"{}\"", proposals.len(), path.display()));
    }
    if args.apply {
        let sure = proposals.iter().filter(|proposal| proposal.is_sure());
        say(&format!("{} new tags", store::apply_proposals(folder, sure)?));
    } else if proposals.iter().any(Proposal::is_sure) && !args.write {
        say("nothing was changed; --apply tags what the values are sure of");
    }
    Ok(ExitCode::Done)
}

/// For people, beside the answer.
fn say(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}

fn because(proposal: &Proposal) -> String {
    let identifier = &proposal.identifier;
    match proposal.evidence {
        Evidence::Values => format!("its values ({identifier})"),
        Evidence::ValuesAndName => format!("its values and its name ({identifier})"),
        Evidence::Name => format!("its name only ({identifier}): look at it"),
    }
}

async fn look(args: &IdentifyArgs, config: &Config, entry: &Database) -> Result<Vec<Proposal>, CliError> {
    let warehouse = connect(config, entry).await?;
    let catalog = warehouse.catalog().await.map_err(|error| cannot("read the catalog of", entry, error))?;
    for wanted in &args.table {
        if !catalog.relations.keys().any(|name| name.to_string() == *wanted) {
            return Err(CliError::failed(format!(
                "there is no table \"{wanted}\" in database \"{}\"",
                entry.name
            ))
            .hint("write schema.table; tables that the owner role may not read are not seen"));
        }
    }
    let wanted =
        |relation: &&Relation| args.table.is_empty() || args.table.contains(&relation.name.to_string());
    let relations: Vec<&Relation> = catalog.relations.values().filter(wanted).collect();
    let mut proposals = Vec::new();
    for (done, relation) in relations.iter().enumerate() {
        progress(done, relations.len(), &relation.name.to_string());
        match warehouse.count(relation, args.sample).await {
            Ok(counted) => proposals.extend(
                relation
                    .columns
                    .iter()
                    .filter_map(|column| propose(&relation.name, column, counted.get(&column.name)?)),
            ),
            // One table that cannot be read keeps nobody from looking at the others.
            Err(error) => say(&format!("skipped {}: {}", relation.name, crate::vend::chain(&error))),
        }
    }
    warehouse.close().await;
    Ok(proposals)
}

/// Where we are, for somebody who watches.
fn progress(done: usize, all: usize, name: &str) {
    let mut err = io::stderr();
    if err.is_terminal() {
        drop(write!(err, "\r\x1b[K{}/{all} {}", done + 1, print::short(name, 60)));
        if done + 1 == all {
            drop(write!(err, "\r\x1b[K"));
        }
    }
}
