//! `lanyard audit query`: the records, for people and for programs.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use lanyard_adapters::ledger::{Entry, Filter, Relation, search};

use super::print::{self, safe, short};
use super::time::{now_us, rfc3339, since};
use super::{CliError, ConfigFlag, ExitCode, JsonFlag, Style};

/// Characters of a statement that are printed without --full.
const STATEMENT_CHARACTERS_MAX: usize = 200;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Attempts and how they ended, newest last.
    #[command(after_help = "\
Examples:
  lanyard audit query --user taylor --since 2h
  lanyard audit query --agent marketing-agent --table public.customer_orders --json
  lanyard audit query --ruling 018f…      the id a client saw in DETAIL")]
    Query(QueryArgs),
}

#[derive(Debug, Args)]
pub(super) struct QueryArgs {
    /// Only what this agent did.
    #[arg(long)]
    agent: Option<String>,
    /// Only what was done by or for this person.
    #[arg(long)]
    user: Option<String>,
    /// Only what touched this table: schema.table, or table in any schema.
    #[arg(long)]
    table: Option<String>,
    /// Only the session of this vended role.
    #[arg(long)]
    role: Option<String>,
    /// Only this attempt.
    #[arg(long)]
    ruling: Option<String>,
    /// Only from then on: 30m, 2h, 7d (ago), 2026-11-21, 2026-11-21T10:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = |text: &str| since(text, now_us()))]
    since: Option<u64>,
    /// The newest so many; 0 for all.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: usize,
    /// Print whole statements, and what was sent.
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    config: ConfigFlag,
    #[command(flatten)]
    json: JsonFlag,
}

pub(super) fn run(command: &AuditCommand, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let AuditCommand::Query(args) = command;
    let config = args.config.read()?;
    let directory = &config.audit.directory.value;
    if !directory.is_dir() {
        return Err(CliError::failed(format!("there is no audit in \"{}\" yet", directory.display()))
            .hint("`lanyard serve` makes it; audit.directory in the configuration names it"));
    }
    let filter = Filter {
        agent: args.agent.clone(),
        user: args.user.clone(),
        table: args.table.clone(),
        role: args.role.clone(),
        ruling: args.ruling.clone(),
        since: args.since,
        limit: (args.limit > 0).then_some(args.limit),
    };
    let answer = search(directory, &filter)?;
    for entry in &answer.entries {
        match args.json.style() {
            Style::Json => print::json(out, entry)?,
            Style::People => print_entry(out, entry, args.full)?,
        }
    }
    // On standard error, so that --json stays clean; a bad line is a finding whatever was asked for.
    for bad in &answer.unreadable {
        drop(writeln!(io::stderr(), "{}:{}: {}", bad.file.display(), bad.line, bad.why));
    }
    match answer.unreadable.is_empty() {
        true => Ok(ExitCode::Done),
        false => Ok(ExitCode::Findings),
    }
}

/// `agent~user`, `agent` or `user`, as the client logged in.
pub(super) fn who(entry: &Entry) -> String {
    match (&entry.agent, &entry.user) {
        (Some(agent), Some(user)) => format!("{}~{}", safe(agent), safe(user)),
        (Some(one), None) | (None, Some(one)) => safe(one).into_owned(),
        (None, None) => "nobody".to_owned(),
    }
}

fn print_entry(out: &mut dyn Write, entry: &Entry, full: bool) -> io::Result<()> {
    let text = |text: &str| match full {
        true => safe(text).into_owned(),
        false => short(text, STATEMENT_CHARACTERS_MAX),
    };
    writeln!(
        out,
        "{}  {:<8}  {}  {}  {}  {}",
        rfc3339(entry.time_us),
        safe(&entry.disposition),
        who(entry),
        safe(&entry.database),
        safe(&entry.operation),
        safe(&entry.ruling)
    )?;
    if !entry.statement.is_empty() {
        writeln!(out, "    statement  {}", text(&entry.statement))?;
    }
    if full && let Some(sent) = &entry.sent {
        writeln!(out, "    sent       {}", safe(sent))?;
    }
    for object in &entry.objects {
        writeln!(out, "    {:<9}  {}", safe(&object.operation), object_text(object))?;
    }
    if let Some(reason) = &entry.reason {
        let code = entry.sqlstate.as_deref().unwrap_or("");
        writeln!(out, "    refused    {} {}", safe(code), safe(reason))?;
    }
    match &entry.outcome {
        None => Ok(()),
        Some(outcome) => {
            let code = outcome.sqlstate.as_deref().map_or(String::new(), |code| format!(" {}", safe(code)));
            let status = safe(&outcome.status);
            let (rows, bytes, took) = (outcome.rows, outcome.bytes, outcome.warehouse_us);
            writeln!(
                out,
                "    outcome    {status}{code}, {rows} rows, {bytes} bytes, {took} µs in the warehouse"
            )
        }
    }
}

fn object_text(object: &Relation) -> String {
    let mut parts = vec![safe(&object.relation).into_owned()];
    if !object.filters.is_empty() {
        parts.push(format!("rows by {}", safe(&object.filters.join(", "))));
    }
    parts.extend(object.masks.iter().map(|mask| safe(mask).into_owned()));
    parts.join("; ")
}
