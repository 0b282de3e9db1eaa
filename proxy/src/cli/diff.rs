//! `lanyard diff`: who gains and who loses what between two governance folders.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use lanyard_adapters::store;
use lanyard_engine::policy::{self, Changed};
use lanyard_engine::snapshot::Snapshot;

use super::governed::{policies, snapshot};
use super::{CliError, ConfigFlag, ExitCode, JsonFlag, Style, database, print};
use crate::config::{Config, Database};

/// Arguments of `lanyard diff`.
#[derive(Debug, Args)]
#[command(after_help = "\
Both folders are judged over the warehouse's tables of now: users, tags and policies of each.
A change counts as widening unless it surely shows less: masks by the table of strictness, row rules
when a condition was added.

Examples:
  lanyard diff main/governance branch/governance
  lanyard diff main/governance branch/governance --deny-widening    for a pull request
  lanyard diff main/governance branch/governance --json             one line per group of principals")]
pub(super) struct DiffArgs {
    /// The governance folder as it was.
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The governance folder as it would be.
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// Exit with 1 when somebody could see or do more.
    #[arg(long)]
    deny_widening: bool,
    /// The [databases.NAME] entry; may be left out when there is one only.
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    #[command(flatten)]
    config: ConfigFlag,
    #[command(flatten)]
    json: JsonFlag,
}

pub(super) fn run(args: &DiffArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let config = args.config.read()?;
    let entry = database(&config, args.database.as_deref())?;
    let (old, new) = (governed(&config, entry, &args.old)?, governed(&config, entry, &args.new)?);
    let changed = policy::diff(&old, &new).map_err(CliError::failed)?;
    tell(&changed, args.json.style(), out)?;
    let widens = changed.iter().flat_map(|group| &group.changes).any(|change| change.widens);
    Ok(if widens && args.deny_widening { ExitCode::Findings } else { ExitCode::Done })
}

fn governed(config: &Config, entry: &Database, folder: &Path) -> Result<Snapshot, CliError> {
    let governance = store::load(folder)?;
    let compiled = policies(&governance).map_err(|findings| {
        let first = findings.first().map_or(String::new(), |finding| format!(": {finding}"));
        CliError::failed(format!("the policies of \"{}\" do not compile{first}", folder.display()))
    })?;
    snapshot(config, entry, &governance, compiled)
}

fn tell(changed: &[Changed], style: Style, out: &mut dyn Write) -> Result<(), CliError> {
    if style == Style::Json {
        for group in changed {
            print::json(out, group)?;
        }
        return Ok(());
    }
    if changed.is_empty() {
        writeln!(out, "nobody gains or loses anything")?;
    }
    for group in changed {
        let names: Vec<_> = group.who.iter().map(|name| print::safe(name)).collect();
        let more = group.count.saturating_sub(group.who.len());
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        writeln!(out, "{}{more}", names.join(", "))?;
        for change in &group.changes {
            let sign = if change.widens { '+' } else { '-' };
            let column = change.column.as_ref().map_or(String::new(), |column| format!(".{column}"));
            let line = format!("{}{column}: {}", change.what, change.how);
            writeln!(out, "  {sign} {}", print::safe(&line))?;
        }
    }
    Ok(())
}
