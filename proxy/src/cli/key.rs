//! `lanyard key`: versions of the mask keys in a warehouse.
//!
//! Must never see a key: the warehouse makes, moves and forgets them itself.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use lanyard_adapters::warehouse::postgres::Warehouse;
use serde_json::json;

use super::governed::connect;
use super::print::{self, safe};
use super::time::rfc3339;
use super::{CliError, ConfigFlag, ExitCode, JsonFlag, block_on, database};

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Which keys are there, in which versions?
    List(ListArgs),
    /// Put a new version of a key in force, at once for every session; the old one still undoes what it masked.
    #[command(after_help = "\
Examples:
  lanyard key rotate reversible:customers       the key of `reversible(customers)`
  lanyard key rotate table:public.orders        the key of a table's `hash`: its values change
  lanyard key rotate token                      every subject's tokens change; old ones can still be turned back")]
    Rotate(OneArgs),
    /// Forget a replaced version: what it masked can no longer be undone.
    Retire(RetireArgs),
}

#[derive(Debug, Args)]
pub(super) struct Place {
    /// The [databases.NAME] entry; may be left out when there is one only.
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    #[command(flatten)]
    config: ConfigFlag,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    json: JsonFlag,
}

#[derive(Debug, Args)]
pub(super) struct OneArgs {
    /// Its id, as `lanyard key list` prints it.
    id: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct RetireArgs {
    /// Its id, as `lanyard key list` prints it.
    id: String,
    /// The version to forget; never the one in force.
    version: i32,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(command: &KeyCommand, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    match command {
        KeyCommand::List(args) => list(args, out),
        KeyCommand::Rotate(args) => rotate(args, out),
        KeyCommand::Retire(args) => retire(args, out),
    }
}

/// Does one thing in the warehouse.
fn within<T>(place: &Place, work: impl AsyncFnOnce(Warehouse) -> Result<T, CliError>) -> Result<T, CliError> {
    let config = place.config.read()?;
    let entry = database(&config, place.database.as_deref())?;
    block_on(async { work(connect(&config, entry).await?).await })
}

fn list(args: &ListArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let failed = |error| CliError::because("cannot list the mask keys".to_owned(), error);
    let keys = within(&args.place, async |warehouse: Warehouse| warehouse.keys().await.map_err(failed))?;
    let time = |at: SystemTime| {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        rfc3339(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    };
    let entries = keys.iter().map(|key| {
        let replaced = key.replaced.map(time);
        let state = replaced.as_ref().map_or_else(|| "in force".to_owned(), |at| format!("replaced {at}"));
        (
            json!({ "id": key.id, "version": key.version, "created": time(key.created), "replaced": replaced }),
            vec![safe(&key.id).into_owned(), key.version.to_string(), time(key.created), state],
        )
    });
    print::list(out, args.json.style(), &["key", "version", "made", "state"], entries)?;
    Ok(ExitCode::Done)
}

fn rotate(args: &OneArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let failed = |error| CliError::because(format!("cannot rotate the key \"{}\"", args.id), error);
    let version = within(&args.place, async |warehouse: Warehouse| {
        warehouse.rotate_key(&args.id).await.map_err(failed)
    })?;
    let Some(version) = version else {
        return Err(unknown(&args.id));
    };
    writeln!(out, "key \"{}\": version {version} is in force", safe(&args.id))?;
    writeln!(out, "version {} still undoes what it masked, until it is retired", version - 1)?;
    Ok(ExitCode::Done)
}

fn retire(args: &RetireArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let failed = |error| CliError::because(format!("cannot retire the key \"{}\"", args.id), error);
    let gone = within(&args.place, async |warehouse: Warehouse| {
        warehouse.retire_key(&args.id, args.version).await.map_err(failed)
    })?;
    if !gone {
        return Err(CliError::failed(format!(
            "the key \"{}\" has no replaced version {}",
            args.id, args.version
        ))
        .hint("`lanyard key list` shows them; the version in force is never retired"));
    }
    writeln!(out, "key \"{}\": version {} is forgotten", safe(&args.id), args.version)?;
    Ok(ExitCode::Done)
}

fn unknown(id: &str) -> CliError {
    CliError::failed(format!("no key \"{id}\""))
        .hint("`lanyard key list` shows them; keys are made when a policy first needs them")
}
