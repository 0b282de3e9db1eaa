//! `lanyard bootstrap`: Lanyard's roles and objects in one database, with passwords it makes itself.
//!
//! Must never print a password, nor keep the DBA's.

use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use clap::Args;
use lanyard_adapters::store;
use lanyard_adapters::warehouse::postgres::{
    BootstrapOptions, Endpoint, Login, Secret, TlsMode, WarehouseError, bootstrap, bootstrap_sql, harden,
    unharden,
};
use tokio_postgres::config::{Host, SslMode};

use super::{CliError, ConfigFlag, ExitCode, block_on, database};
use crate::config::{Config, Database, DatabaseMaterial, write_secret};
use crate::server;

/// Environment variable that may carry the URL, so that it is not in the list of processes.
const URL_VARIABLE: &str = "LANYARD_DBA_URL";

/// Arguments of `lanyard bootstrap`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanyard bootstrap --dba-url postgres://postgres:secret@db.example:5432/shop --grant-schema public
  lanyard bootstrap --dba-url 'postgres://postgres@/shop?host=/var/run/postgresql' --grant-schema public
  LANYARD_DBA_URL=… lanyard bootstrap --database shop       the URL stays out of the list of processes
  lanyard bootstrap --database shop --print > bootstrap.sql  to read, or to run with psql
  lanyard bootstrap --database shop --harden                 and --unharden, which gives back what was taken

The passwords of lanyard_builder and lanyard_vendor are made and written to the files the configuration names, unless
they exist. Running it again is safe; do so after new tables came. --print needs no URL; the SQL carries verifiers, no
passwords, and leaves out the virtual catalog, which is made from the server's own while connected.")]
pub(super) struct BootstrapArgs {
    /// The [databases.NAME] entry; may be left out when there is one only.
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// A superuser's login: postgres://user:password@host:port/database, or with ?host=/socket/folder.
    #[arg(long, value_name = "URL")]
    dba_url: Option<String>,
    /// A schema whose tables policies may grant on; may be repeated.
    #[arg(long = "grant-schema", visible_alias = "grant", value_name = "SCHEMA")]
    grant: Vec<String>,
    /// Also take from PUBLIC what `lanyard doctor` finds open, writing down what was taken.
    #[arg(long, conflicts_with = "print")]
    harden: bool,
    /// Give back to PUBLIC what --harden took, and do nothing else.
    #[arg(long, conflicts_with_all = ["print", "harden"])]
    unharden: bool,
    /// Print the SQL instead of running it.
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    config: ConfigFlag,
}

pub(super) fn run(args: &BootstrapArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let config = args.config.read()?;
    let entry = database(&config, args.database.as_deref())?;
    let url = match args.print {
        true => None,
        false => {
            let url = dba_url(args.dba_url.as_deref())?;
            // Before any file is written: a URL that cannot be used must leave nothing behind.
            dba(&url, entry, &DatabaseMaterial::default())?;
            Some(url)
        }
    };
    if let (true, Some(url)) = (args.unharden, &url) {
        let (endpoint, login) = dba(url, entry, &config.database_material(entry)?)?;
        let given =
            block_on(async { unharden(&endpoint, &login).await.map_err(|e| not_hardened(&endpoint, e)) })?;
        return changed(out, &given, "nothing was hardened");
    }
    for file in [&entry.builder_password_file.value, &entry.vendor_password_file.value] {
        if make_secret(file)? == Made::Now {
            writeln!(io::stderr(), "wrote {}", file.display())?;
        }
    }
    let secrets = config.database_material(entry)?;
    let options = BootstrapOptions {
        grant: args.grant.clone(),
        builder_password: Secret::new(secrets.builder_password.as_str()),
        vendor_password: Secret::new(secrets.vendor_password.as_str()),
    };
    let Some(url) = url else {
        writeln!(out, "{}", bootstrap_sql(&options))?;
        return Ok(ExitCode::Done);
    };
    let (endpoint, login) = dba(&url, entry, &secrets)?;
    block_on(async {
        bootstrap(&endpoint, &login, &options).await.map_err(|error| {
            CliError::because(format!("cannot bootstrap database \"{}\"", endpoint.database), error)
        })
    })?;
    if args.harden {
        let taken =
            block_on(async { harden(&endpoint, &login).await.map_err(|e| not_hardened(&endpoint, e)) })?;
        changed(out, &taken, "PUBLIC had nothing to take")?;
    }
    tell(out, &config, entry, &endpoint, &args.grant)?;
    Ok(ExitCode::Done)
}

fn not_hardened(endpoint: &Endpoint, error: WarehouseError) -> CliError {
    CliError::because(
        format!("cannot change the rights of PUBLIC in database \"{}\"", endpoint.database),
        error,
    )
}

/// Prints the statements that were run, one per line.
fn changed(out: &mut dyn Write, statements: &[String], none: &str) -> Result<ExitCode, CliError> {
    if statements.is_empty() {
        writeln!(out, "{none}")?;
    }
    for statement in statements {
        writeln!(out, "{statement}")?;
    }
    Ok(ExitCode::Done)
}

fn tell(
    out: &mut dyn Write,
    config: &Config,
    entry: &Database,
    endpoint: &Endpoint,
    grant: &[String],
) -> io::Result<()> {
    writeln!(
        out,
        "database \"{}\" on {}:{} is bootstrapped",
        endpoint.database, endpoint.host, endpoint.port
    )?;
    match grant {
        [] => writeln!(
            out,
            "no schema was given over: policies can grant nothing until --grant-schema names one"
        )?,
        grant => writeln!(out, "policies may grant on the tables of: {}", grant.join(", "))?,
    }
    let (file, name) = (config.file.display(), &entry.name);
    writeln!(out, "next: lanyard doctor --config {file} --database {name}")
}

/// The DBA's URL, from the flag or the environment.
pub(super) fn dba_url(flag: Option<&str>) -> Result<tokio_postgres::Config, CliError> {
    let text = match flag {
        Some(text) => text.to_owned(),
        None => std::env::var(URL_VARIABLE).map_err(|_| {
            CliError::usage("a superuser's login is needed").hint(format!(
                "add --dba-url postgres://user:password@host:port/database, or set {URL_VARIABLE}"
            ))
        })?,
    };
    text.parse().map_err(|_| {
        // The parser's words could repeat a part of the URL, and the password is in it.
        CliError::usage("the DBA's URL cannot be read").hint(
            "write postgres://user:password@host:port/database, special characters as %40; \
             for a socket postgres://user:password@/database?host=/socket/folder",
        )
    })
}

/// Where the DBA logs in, and as whom. What the URL leaves out is as in the configuration.
pub(super) fn dba(
    url: &tokio_postgres::Config,
    entry: &Database,
    secrets: &DatabaseMaterial,
) -> Result<(Endpoint, Login), CliError> {
    let mut endpoint = server::endpoint(entry, secrets);
    match url.get_hosts() {
        [] => {}
        [Host::Tcp(host)] => {
            let was_socket = endpoint.is_unix();
            endpoint.host.clone_from(host);
            if was_socket {
                endpoint.tls = match url.get_ssl_mode() {
                    SslMode::Require => TlsMode::Require,
                    _ => TlsMode::Disable,
                };
            }
        }
        [Host::Unix(folder)] => {
            endpoint.host = folder.display().to_string();
            endpoint.tls = TlsMode::Disable;
        }
        _ => return Err(CliError::usage("the DBA's URL names more than one host")),
    }
    if let [port, ..] = url.get_ports() {
        endpoint.port = *port;
    }
    if let Some(database) = url.get_dbname() {
        database.clone_into(&mut endpoint.database);
    }
    if endpoint.database != entry.database {
        let message = format!(
            "the DBA's URL names database \"{}\", [databases.{}] is \"{}\"",
            endpoint.database, entry.name, entry.database
        );
        return Err(CliError::usage(message).hint("each database is bootstrapped on its own"));
    }
    let user = url.get_user().ok_or_else(|| CliError::usage("the DBA's URL names no user"))?;
    let password = String::from_utf8_lossy(url.get_password().unwrap_or_default()).into_owned();
    Ok((endpoint, Login::new(user, Secret::new(password))))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    Now,
    Before,
}

fn make_secret(file: &Path) -> Result<Made, CliError> {
    let failed = |error| CliError::because(format!("cannot write \"{}\"", file.display()), error);
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    match write_secret(file, &store::generate_key()?) {
        Ok(()) => Ok(Made::Now),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Made::Before),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
#[path = "bootstrap_tests.rs"]
mod tests;
