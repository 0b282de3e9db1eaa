//! `lanyard release`: what appeared in a warehouse since somebody last looked, and the word that it may be seen.

use std::io::Write;

use clap::Args;
use lanyard_adapters::store;
use lanyard_engine::catalog::{Catalog, Column, Known, Relation, RelationName};
use serde_json::json;

use super::governed::{cannot, connect};
use super::{CliError, ConfigFlag, ExitCode, JsonFlag, block_on, database, print};

/// Arguments of `lanyard release`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanyard release                               what is new; changes nothing
  lanyard release public.orders.discount        one column
  lanyard release public.returns                a table, with all its columns
  lanyard release --all

A table or column that appears after the first look, or whose type changed, is hidden from everybody whatever the policies
say. Tagging it shows it too: `lanyard identify` says what it may hold.")]
pub(super) struct ReleaseArgs {
    /// schema.table or schema.table.column; several may follow.
    #[arg(value_name = "NAME", conflicts_with = "all")]
    names: Vec<String>,
    /// Everything that is new.
    #[arg(long)]
    all: bool,
    /// The [databases.NAME] entry; may be left out when there is one only.
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    #[command(flatten)]
    config: ConfigFlag,
    #[command(flatten)]
    json: JsonFlag,
}

/// Something new.
struct New<'a> {
    relation: &'a Relation,
    /// The whole table without.
    column: Option<&'a Column>,
}

impl New<'_> {
    fn name(&self) -> String {
        match self.column {
            Some(column) => format!("{}.{}", self.relation.name, column.name),
            None => self.relation.name.to_string(),
        }
    }

    /// Is it this, or part of it?
    fn is_in(&self, wanted: &str) -> bool {
        self.name() == wanted || self.relation.name.to_string() == wanted
    }
}

pub(super) fn run(args: &ReleaseArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let config = args.config.read()?;
    let entry = database(&config, args.database.as_deref())?;
    let folder = &config.governance.directory.value;
    let catalog: Catalog = block_on(async {
        let warehouse = connect(&config, entry).await?;
        warehouse.catalog().await.map_err(|error| cannot("read the catalog of", entry, error))
    })?;
    let known = store::load(folder)?.known.remove(&entry.name).unwrap_or_default();
    let new = news(&catalog, &known);
    if let Some(wrong) = args.names.iter().find(|wanted| !new.iter().any(|new| new.is_in(wanted))) {
        return Err(CliError::failed(format!("\"{wrong}\" is not new in database \"{}\"", entry.name))
            .hint("`lanyard release` without a name shows what is"));
    }
    let chosen: Vec<&New<'_>> = match (args.all, args.names.is_empty()) {
        (false, true) => {
            let rows = new
                .iter()
                .map(|new| (json!({ "new": new.name() }), vec![print::safe(&new.name()).into_owned()]));
            print::list(out, args.json.style(), &["new, and hidden"], rows)?;
            return Ok(ExitCode::Done);
        }
        (true, _) => new.iter().collect(),
        (false, false) => {
            new.iter().filter(|new| args.names.iter().any(|wanted| new.is_in(wanted))).collect()
        }
    };
    store::change_known(folder, &entry.name, |known| released(known.unwrap_or_default(), &chosen))?;
    let rows = chosen
        .iter()
        .map(|new| (json!({ "released": new.name() }), vec![print::safe(&new.name()).into_owned()]));
    print::list(out, args.json.style(), &["released"], rows)?;
    Ok(ExitCode::Done)
}

fn released(mut known: Known, chosen: &[&New<'_>]) -> Known {
    for new in chosen {
        let name: &RelationName = &new.relation.name;
        match new.column {
            Some(column) => known.learn_column(name, column),
            None => known.learn(new.relation),
        }
    }
    known
}

fn news<'a>(catalog: &'a Catalog, known: &Known) -> Vec<New<'a>> {
    let mut news = Vec::new();
    for relation in catalog.relations.values() {
        match known.0.get(&relation.name.to_string()) {
            None => news.push(New { relation, column: None }),
            Some(columns) => news.extend(
                relation
                    .columns
                    .iter()
                    .filter(|column| columns.get(&column.name) != Some(&column.type_sql))
                    .map(|column| New { relation, column: Some(column) }),
            ),
        }
    }
    news
}
