//! `lanyard doctor`: what goes round Lanyard in a warehouse, and the SQL that mends it.

use std::io::Write;

use clap::Args;
use lanyard_adapters::warehouse::postgres::{Finding, Login, Secret, Severity, doctor};
use lanyard_engine::names;
use serde_json::json;

use super::bootstrap::{dba, dba_url};
use super::{CliError, ConfigFlag, ExitCode, JsonFlag, Style, block_on, database, print};
use crate::server;

/// Arguments of `lanyard doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanyard doctor                          with the builder's login
  lanyard doctor --dba-url postgres://…   with a superuser's, who sees more; LANYARD_DBA_URL is not used here
Exit code 1 when there is a danger or a warning; notes alone are 0.")]
pub(super) struct DoctorArgs {
    /// The [databases.NAME] entry; may be left out when there is one only.
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// A superuser's login; the builder's when left out.
    #[arg(long, value_name = "URL")]
    dba_url: Option<String>,
    #[command(flatten)]
    config: ConfigFlag,
    #[command(flatten)]
    json: JsonFlag,
}

pub(super) fn run(args: &DoctorArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let config = args.config.read()?;
    let entry = database(&config, args.database.as_deref())?;
    let secrets = config.database_material(entry)?;
    let (endpoint, login) = match &args.dba_url {
        Some(url) => dba(&dba_url(Some(url))?, entry, &secrets)?,
        None => {
            let password = Secret::new(secrets.builder_password.as_str());
            (server::endpoint(entry, &secrets), Login::new(names::BUILDER_ROLE, password))
        }
    };
    let findings = block_on(async {
        doctor(&endpoint, &login)
            .await
            .map_err(|error| CliError::because(format!("cannot examine database \"{}\"", entry.name), error))
    })?;
    for finding in &findings {
        match args.json.style() {
            Style::Json => {
                let Finding { severity, what, why, fix } = finding;
                let severity = severity.to_string();
                print::json(out, &json!({ "severity": severity, "what": what, "why": why, "fix": fix }))?;
            }
            Style::People => {
                writeln!(out, "{}: {}", finding.severity, print::safe(&finding.what))?;
                writeln!(out, "  why: {}", finding.why)?;
                for line in finding.fix.lines() {
                    writeln!(out, "  fix: {}", print::safe(line))?;
                }
            }
        }
    }
    if args.json.style() == Style::People {
        writeln!(out, "database \"{}\": {} findings", entry.name, findings.len())?;
    }
    let to_mend = findings.iter().any(|finding| match finding.severity {
        Severity::Danger | Severity::Warning => true,
        Severity::Note => false,
    });
    Ok(if to_mend { ExitCode::Findings } else { ExitCode::Done })
}
