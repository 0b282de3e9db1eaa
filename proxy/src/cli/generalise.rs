//! `lanyard generalise`: makes the maps that `k_anonymous` masks read.

use std::io::Write;

use clap::Args;
use lanyard_adapters::store;
use lanyard_engine::policy::generalisations;
use serde_json::json;

use super::governed::{connect, policies, snapshot};
use super::print::{self, safe};
use super::{CliError, ConfigFlag, ExitCode, JsonFlag, Style, block_on, database};

/// Arguments of `lanyard generalise`.
#[derive(Debug, Args)]
#[command(after_help = "\
Works inside the warehouse, as the owner of the secured views, and reads each table several times. Until a map is made, and for
values that came after it, the columns of a `k_anonymous` mask are NULL: run it after loading data.")]
pub(super) struct GeneraliseArgs {
    /// The [databases.NAME] entry; may be left out when there is one only.
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    #[command(flatten)]
    config: ConfigFlag,
    #[command(flatten)]
    json: JsonFlag,
}

pub(super) fn run(args: &GeneraliseArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let config = args.config.read()?;
    let entry = database(&config, args.database.as_deref())?;
    let governance = store::load(&config.governance.directory.value)?;
    let compiled = policies(&governance)
        .map_err(|_| CliError::failed("the policies do not compile").hint("`lanyard check` says why"))?;
    let plans = generalisations(&snapshot(&config, entry, &governance, compiled)?);
    let style = args.json.style();
    if plans.is_empty() && style == Style::People {
        writeln!(out, "no policy in force makes columns k-anonymous")?;
    }
    block_on(async {
        let warehouse = connect(&config, entry).await?;
        for plan in &plans {
            let made = warehouse.generalise(plan).await.map_err(|error| {
                CliError::because(format!("cannot generalise \"{}\"", plan.relation), error)
            })?;
            match style {
                Style::Json => print::json(
                    out,
                    &json!({ "map": plan.id, "version": made.version, "visible": made.visible, "hidden": made.hidden }),
                )?,
                Style::People => writeln!(
                    out,
                    "{}: version {}, {} rows shown, {} hidden",
                    safe(&plan.id),
                    made.version,
                    made.visible,
                    made.hidden
                )?,
            }
        }
        Ok(())
    })?;
    Ok(ExitCode::Done)
}
