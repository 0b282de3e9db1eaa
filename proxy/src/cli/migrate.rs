//! `lanyard migrate -- COMMAND`: the secured views step aside, a DBA's command changes the tables, access comes back.
//!
//! Must never give the command anything of Lanyard's: it runs with the DBA's own environment. Must never leave the tables
//! open: what is not over stays closed.

use std::io::{self, Write};
use std::process::ExitStatus;

use clap::Args;
use lanyard_adapters::warehouse::postgres::{READERS_SECONDS_MAX, Warehouse, WarehouseError};
use lanyard_engine::catalog::RelationName;

use super::governed::connect;
use super::{CliError, ConfigFlag, ExitCode, block_on, database};
use crate::config::Database;

/// Arguments of `lanyard migrate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanyard migrate -- alembic upgrade head
  lanyard migrate --database shop -- psql -f change.sql
  lanyard migrate --table public.orders --table public.returns -- dbt run
  lanyard migrate --finish                    after a kill -9 or a power cut: says that the change is over

PostgreSQL does not drop or retype a column, nor drop a table, while a view reads it, and Lanyard's secured views do. This
command drops them, runs yours with your own environment and credentials, and says when it is over; every proxy then
looks at the tables again and makes the views as policy wants them now, within a second or two.

Meanwhile statements on these tables are refused with 55P03 (\"is being changed in the warehouse\"); sessions stay, and go
on afterwards unless the change touched what they may see. Transactions that have read these tables are waited for,
10 seconds at most, then their sessions are ended. All tables of the database are concerned unless --table names some:
name every table that your command alters, drops or swaps, and those that their foreign keys point to.

What is new afterwards, a column or a table or another type, is hidden until `lanyard release` or a tag. The exit code is
1 when your command fails; the tables are opened all the same. Ctrl-C reaches your command; Lanyard waits for its end.

If `lanyard migrate` itself is killed, your command may still be running, and the tables stay closed. See that it is over,
then run `lanyard migrate --finish`, or simply your `lanyard migrate` again: it takes over.")]
pub(super) struct MigrateArgs {
    /// A table the command changes, as schema.table; may be repeated. All tables without.
    #[arg(long = "table", value_name = "SCHEMA.TABLE")]
    tables: Vec<String>,
    /// Say that a change is over whose `lanyard migrate` was killed, and do nothing else.
    #[arg(long, conflicts_with_all = ["tables", "command"])]
    finish: bool,
    /// The [databases.NAME] entry; may be left out when there is one only.
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    #[command(flatten)]
    config: ConfigFlag,
    /// The command, after "--".
    #[arg(last = true, value_name = "COMMAND", required_unless_present = "finish")]
    command: Vec<String>,
}

pub(super) fn run(args: &MigrateArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let config = args.config.read()?;
    let entry = database(&config, args.database.as_deref())?;
    let tables = args.tables.iter().map(|name| table(name)).collect::<Result<Vec<_>, _>>()?;
    block_on(async {
        let warehouse = connect(&config, entry).await?;
        let done = match args.finish {
            true => finish_dead(&warehouse, entry, out).await,
            false => migrate(&warehouse, entry, &tables, &args.command, out).await,
        };
        warehouse.close().await;
        done
    })
}

fn table(name: &str) -> Result<RelationName, CliError> {
    match name.split_once('.') {
        Some((schema, table)) if !schema.is_empty() && !table.is_empty() => {
            Ok(RelationName::new(schema, table))
        }
        Some(_) | None => Err(CliError::usage(format!("\"{name}\" names no table"))
            .hint("write schema.table, as in: --table public.orders")),
    }
}

async fn finish_dead(
    warehouse: &Warehouse,
    entry: &Database,
    out: &mut dyn Write,
) -> Result<ExitCode, CliError> {
    let found = warehouse.finish_dead_migration().await.map_err(|error| closed(entry, error))?;
    match found {
        true => writeln!(out, "the migration of database \"{}\" is over; access comes back", entry.name)?,
        false => writeln!(out, "no migration of database \"{}\" was under way", entry.name)?,
    }
    Ok(ExitCode::Done)
}

async fn migrate(
    warehouse: &Warehouse,
    entry: &Database,
    tables: &[RelationName],
    command: &[String],
    out: &mut dyn Write,
) -> Result<ExitCode, CliError> {
    let token = uuid::Uuid::new_v4().to_string();
    let migration =
        warehouse.begin_migration(tables, token).await.map_err(|error| not_begun(entry, error))?;
    let which = match tables {
        [] => "all tables".to_owned(),
        some => some.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    writeln!(io::stderr(), "closed while the command runs: {which} of database \"{}\"", entry.name)?;
    // Whatever became of the command, the change is over when it has ended.
    let ended = attend(command).await;
    let ours = warehouse.finish_migration(migration).await.map_err(|error| closed(entry, error))?;
    if !ours {
        return Err(CliError::failed("somebody else finished or took over this migration meanwhile"));
    }
    let status = ended?;
    if !status.success() {
        return Err(CliError::failed(format!("the command failed ({status}); the tables are open again")));
    }
    writeln!(out, "done: the tables are open again, as policy has them now")?;
    Ok(ExitCode::Done)
}

/// Runs the command to its end. Signals that would end us are the command's: it gets Ctrl-C from the terminal itself.
async fn attend(command: &[String]) -> Result<ExitStatus, CliError> {
    use tokio::signal::unix::{SignalKind, signal};
    let (program, arguments) =
        command.split_first().ok_or_else(|| CliError::usage("there is no command after \"--\""))?;
    let listen =
        |kind| signal(kind).map_err(|error| CliError::because("cannot listen for signals".to_owned(), error));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .spawn()
        .map_err(|error| CliError::because(format!("cannot run \"{program}\""), error))?;
    loop {
        tokio::select! {
            ended = child.wait() => {
                return ended.map_err(|error| CliError::because(format!("cannot wait for \"{program}\""), error));
            }
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {
                writeln!(io::stderr(), "waiting for the command to end: the tables stay closed until then")?;
            }
        }
    }
}

fn not_begun(entry: &Database, error: WarehouseError) -> CliError {
    let hint = match error.sqlstate() {
        Some("55006") => "wait until it is over",
        Some("42P01") => "name tables that are there now, as schema.table",
        Some(_) | None => "the command was not run; nothing is changed",
    };
    CliError::because(format!("cannot begin a migration of database \"{}\"", entry.name), error).hint(hint)
}

fn closed(entry: &Database, error: WarehouseError) -> CliError {
    let hint = match error.sqlstate() {
        Some("55006") => "its process lives: wait until it is over",
        Some(_) | None => "the tables stay closed until `lanyard migrate --finish` succeeds",
    };
    CliError::because(format!("cannot end the migration of database \"{}\"", entry.name), error).hint(hint)
}

const _: () = assert!(READERS_SECONDS_MAX == 10, "the help says so");
