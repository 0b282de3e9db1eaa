//! `lanyard check`: do the policies compile, and do they fit what the warehouse holds?

use std::io::Write;

use clap::Args;
use lanyard_adapters::store::{self, Governance};
use lanyard_engine::policy::{self, Diagnostic, PolicySet, Severity};
use serde_json::json;

use super::governed::{has_aes, policies, snapshot, without_warehouse};
use super::{CliError, ConfigFlag, ExitCode, JsonFlag, Style, database, print};

/// Arguments of `lanyard check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanyard check                 against every database of the configuration
  lanyard check --offline       the text only, for an editor or a hook
  lanyard check --strict        warnings fail too, for CI")]
pub(super) struct CheckArgs {
    /// Only this [databases.NAME] entry.
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// Do not look at the warehouse.
    #[arg(long, conflicts_with = "database")]
    offline: bool,
    /// Exit with 1 on warnings too.
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    config: ConfigFlag,
    #[command(flatten)]
    json: JsonFlag,
}

pub(super) fn run(args: &CheckArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let config = args.config.read()?;
    let governance = store::load(&config.governance.directory.value)?;
    let compiled = match policies(&governance) {
        Ok(compiled) => compiled,
        Err(findings) => return report(args, None, &findings, out),
    };
    if args.offline {
        return offline(args, &governance, compiled, out);
    }
    let entries = match &args.database {
        Some(name) => vec![database(&config, Some(name))?],
        None => config.databases.values().collect(),
    };
    let mut code = ExitCode::Done;
    for entry in entries {
        let snapshot = snapshot(&config, entry, &governance, compiled.clone())?;
        let mut findings = policy::check(&snapshot);
        let encrypting = policy::encrypting(&snapshot);
        if !encrypting.is_empty() && !has_aes(&config, entry)? {
            findings.extend(encrypting);
        }
        match report(args, Some(&entry.name), &findings, out)? {
            ExitCode::Done => {}
            ExitCode::Findings => code = ExitCode::Findings,
        }
    }
    Ok(code)
}

/// What can be told without the warehouse: errors in the text, and names that governance does not know. That no table
/// matches is no news here.
fn offline(
    args: &CheckArgs,
    governance: &Governance,
    compiled: PolicySet,
    out: &mut dyn Write,
) -> Result<ExitCode, CliError> {
    let count = compiled.iter().count();
    let snapshot = without_warehouse(governance, compiled);
    let errors: Vec<Diagnostic> =
        policy::check(&snapshot).into_iter().filter(|finding| finding.severity == Severity::Error).collect();
    let code = report(args, None, &errors, out)?;
    match args.json.style() {
        // No finding, no line.
        Style::Json => {}
        Style::People => {
            let policies = if count == 1 { "policy" } else { "policies" };
            writeln!(out, "{count} {policies} read; the warehouse was not looked at")?;
        }
    }
    Ok(code)
}

fn report(
    args: &CheckArgs,
    database: Option<&str>,
    findings: &[Diagnostic],
    out: &mut dyn Write,
) -> Result<ExitCode, CliError> {
    let fails = |finding: &Diagnostic| match finding.severity {
        Severity::Error => true,
        Severity::Warning => args.strict,
    };
    for finding in findings {
        match args.json.style() {
            Style::Json => print::json(out, &json!({ "database": database, "finding": finding }))?,
            Style::People => writeln!(out, "{finding}\n")?,
        }
    }
    if args.json.style() == Style::People {
        let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        let place = database.map_or("policies".to_owned(), |name| format!("database \"{name}\""));
        writeln!(out, "{place}: {} errors, {} warnings", count(Severity::Error), count(Severity::Warning))?;
    }
    Ok(if findings.iter().any(fails) { ExitCode::Findings } else { ExitCode::Done })
}
