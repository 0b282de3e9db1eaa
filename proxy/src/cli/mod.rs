//! The command line: `lanyard serve`, and what an operator does around it.
//!
//! Must never print a secret but the one a command was asked to make, and never SQL into logs. Exit codes: 0 done,
//! 1 findings or failed, 2 wrong usage. Called by the binary, which does nothing else.

mod agent;
mod audit;
mod bootstrap;
mod check;
mod demo;
mod diff;
mod doctor;
mod error;
mod explain;
mod generalise;
mod governed;
mod identify;
mod key;
mod migrate;
mod print;
mod release;
mod secret;
mod serve;
mod time;
mod user;
mod whois;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Database};

pub use demo::DemoArgs;
pub use error::CliError;
pub use serve::ServeArgs;

/// How a command ended when it ran to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// Done, nothing to tell: 0.
    Done,
    /// Done, and there is something to mend: 1.
    Findings,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        match code {
            ExitCode::Done => Self::SUCCESS,
            ExitCode::Findings => Self::from(1),
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  lanyard demo                                      the whole story on a PostgreSQL of its own
  lanyard user add morgan --name 'Morgan Castle'    a person, who may own agents
  lanyard agent add marketing-agent --owner morgan  an agent; prints its key once
  lanyard bootstrap --dba-url postgres://dba@db/shop --grant-schema public
  lanyard check                                     do the policies compile against the warehouse?
  lanyard explain --as taylor --via marketing-agent --table public.customer_orders
  lanyard identify                                  which columns hold personal data?
  lanyard generalise                                make the maps of k_anonymous masks
  lanyard key rotate reversible:customers           a new version of a mask's key
  lanyard migrate -- alembic upgrade head           change tables without the secured views in the way
  lanyard diff main/governance branch/governance    who gains, who loses what?
  lanyard serve                                     start the proxy
  lanyard whois LANYARD_VENDED_1_2_018f…            who was this role in the database's log?

Exit codes: 0 done, 1 findings or failed, 2 wrong usage.
Logs go to standard error: LANYARD_LOG=info|debug|…, LANYARD_LOG_FORMAT=plain|json.";

/// A governance proxy for PostgreSQL: AI agents get exactly the access their person has.
#[derive(Debug, Parser)]
#[command(name = "lanyard", version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the proxy.
    Serve(ServeArgs),
    /// Play the whole story on a private PostgreSQL, and clean up.
    Demo(DemoArgs),
    /// Make Lanyard's roles, schemas and functions in a database; running it again is safe.
    Bootstrap(bootstrap::BootstrapArgs),
    /// Do the policies compile, and do they fit the warehouse?
    Check(check::CheckArgs),
    /// What may somebody see of a table, by which policy, and which SQL would run?
    Explain(explain::ExplainArgs),
    /// Which columns hold personal data? Counts over a sample, proposals, and tags when told to.
    Identify(identify::IdentifyArgs),
    /// What appeared in the warehouse since somebody last looked, and the word that it may be seen.
    Release(release::ReleaseArgs),
    /// Who gains and who loses what between two governance folders?
    Diff(diff::DiffArgs),
    /// Who, for whom, when and why: from a vended role's name as a database log shows it.
    Whois(whois::WhoisArgs),
    /// Add, list and remove agents, and give them keys.
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// Add, list and remove people, and give them passwords.
    #[command(subcommand)]
    User(user::UserCommand),
    /// What in the warehouse goes round Lanyard, and the SQL that mends it.
    Doctor(doctor::DoctorArgs),
    /// Make the maps that `k_anonymous` masks read.
    Generalise(generalise::GeneraliseArgs),
    /// List, rotate and retire the keys of masks.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Run a DBA's command with the secured views out of its way, then let access come back.
    Migrate(migrate::MigrateArgs),
    /// Read the audit.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
}

/// Where the configuration is.
#[derive(Debug, Clone, Args)]
pub struct ConfigFlag {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "lanyard.toml")]
    pub config: PathBuf,
}

impl ConfigFlag {
    /// Reads it.
    pub(crate) fn read(&self) -> Result<Config, CliError> {
        Ok(Config::read(&self.config)?)
    }
}

/// For people, or for a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    People,
    Json,
}

#[derive(Debug, Clone, Args)]
struct JsonFlag {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl JsonFlag {
    fn style(&self) -> Style {
        match self.json {
            true => Style::Json,
            false => Style::People,
        }
    }
}

/// The database entry that was named, or the only one.
fn database<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a Database, CliError> {
    let known = || config.databases.keys().cloned().collect::<Vec<_>>().join(", ");
    match name {
        Some(name) => config.databases.get(name).ok_or_else(|| {
            CliError::failed(format!("no [databases.{name}] in \"{}\"", config.file.display()))
                .hint(format!("there are: {}", known()))
        }),
        None => {
            let mut all = config.databases.values();
            match (all.next(), all.next()) {
                (Some(only), None) => Ok(only),
                (Some(_), Some(_)) | (None, _) => {
                    Err(CliError::usage("which database?")
                        .hint(format!("add --database, one of: {}", known())))
                }
            }
        }
    }
}

/// A runtime for one command that talks to the warehouse.
fn block_on<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| CliError::failed(format!("cannot start the runtime: {source}")))?
        .block_on(work)
}

/// Runs the process's command line.
#[must_use]
pub fn main() -> std::process::ExitCode {
    match run(std::env::args_os(), &mut io::stdout().lock()) {
        Ok(code) => code.into(),
        Err(CliError::Clap(error)) => {
            // Help and version are not mistakes; clap knows which stream each belongs to.
            let code = match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
                _ => 2,
            };
            drop(error.print());
            std::process::ExitCode::from(code)
        }
        // A reader that had enough (`| head`) is no failure.
        Err(CliError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            std::process::ExitCode::SUCCESS
        }
        Err(error) => {
            drop(writeln!(io::stderr(), "{}", error.report()));
            std::process::ExitCode::from(error.exit_code())
        }
    }
}

/// Runs one command line, its answer going to `out`. What it logs goes to standard error.
///
/// # Errors
/// [`CliError`] says what is wrong and which exit code it has.
pub fn run(arguments: impl IntoIterator<Item = OsString>, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let cli = Cli::try_parse_from(arguments)?;
    let code = match &cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Demo(args) => demo::run(args, out),
        Command::Bootstrap(args) => bootstrap::run(args, out),
        Command::Check(args) => check::run(args, out),
        Command::Explain(args) => explain::run(args, out),
        Command::Identify(args) => identify::run(args, out),
        Command::Release(args) => release::run(args, out),
        Command::Diff(args) => diff::run(args, out),
        Command::Whois(args) => whois::run(args, out),
        Command::Agent(command) => agent::run(command, out),
        Command::User(command) => user::run(command, &mut io::stdin(), out),
        Command::Doctor(args) => doctor::run(args, out),
        Command::Generalise(args) => generalise::run(args, out),
        Command::Key(command) => key::run(command, out),
        Command::Migrate(args) => migrate::run(args, out),
        Command::Audit(command) => audit::run(command, out),
    }?;
    out.flush()?;
    Ok(code)
}

#[cfg(test)]
mod tests;
