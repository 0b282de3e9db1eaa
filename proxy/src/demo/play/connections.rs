//! Ready-to-paste connections for `lanyard demo --keep`.
//!
//! The one place that prints keys: they are made for this demo and die with it. The file is its owner's alone.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use serde_json::{Value, json};

use super::error::{DemoError, story};
use super::stage::Stage;
use super::tell::Tell;
use crate::demo::setting::DATABASE;

/// Login, and what it is for.
const LOGINS: [(&str, &str); 5] = [
    ("marketing-agent~taylor", "Taylor, in marketing, through the agent: names are redacted"),
    ("marketing-agent~riley", "Riley, a regional analyst, through the agent: US-EAST only"),
    ("marketing-agent", "the agent on its own: its tool table"),
    ("riley", "Riley without an agent"),
    ("harper", "Harper, in hr: names are shown"),
];

/// Name of the file in the demo's folder.
const FILE: &str = "connections.json";

/// Prints the connections and writes them to `connections.json` in the demo's folder, mode 0600.
pub(super) fn offer(stage: &Stage, tell: &mut Tell<'_>) -> Result<(), DemoError> {
    let mut connections = Vec::new();
    for (login, what) in LOGINS {
        let key = stage.setting.key(login).ok_or_else(|| story("the end", format!("{login} has no key")))?;
        connections.push(connection(login, what, key, stage.setting.port));
    }
    let warehouse = stage.cluster.url(DATABASE);
    let file = json!({
        "host": "127.0.0.1",
        "port": stage.setting.port,
        "database": DATABASE,
        "http": format!("http://127.0.0.1:{}", stage.setting.http_port),
        "config": stage.setting.config,
        "connections": connections,
        "warehouse": { "psql": format!("psql '{warehouse}'"), "url": warehouse },
    });
    let path = stage.cluster.folder().join(FILE);
    let text = format!("{file:#}\n");
    // Made anew: nobody can have prepared the file, and its mode is ours from its first byte.
    let written = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| DemoError::File { action: "write", path: path.clone(), source })?;

    tell.heading("Lanyard stays up; try it yourself")?;
    for connection in &connections {
        let text = |field: &str| connection.get(field).and_then(Value::as_str).unwrap_or_default();
        tell.line(&format!("  {}", text("what")))?;
        tell.line(&format!("    {}", text("psql")))?;
        tell.line(&format!("    {}", text("sqlalchemy")))?;
    }
    tell.line("  the database's superuser, past Lanyard, to compare")?;
    tell.line(&format!("    psql '{warehouse}'"))?;
    tell.line(&format!("\n  connections  {}", path.display()))?;
    tell.line(&format!("  config       {}", stage.setting.config.display()))?;
    tell.line(&format!(
        "  policies     {} (changes take effect at once)",
        stage.setting.governance.display()
    ))?;
    let program =
        std::env::current_exe().map_or_else(|_| "lanyard".to_owned(), |path| path.display().to_string());
    tell.line(&format!("  audit        {program} audit query --config {}", stage.setting.config.display()))?;
    tell.line("\n  Ctrl-C ends it and removes everything")?;
    Ok(())
}

fn connection(login: &str, what: &str, key: &str, port: u16) -> Value {
    let place = format!("{}:{}@127.0.0.1:{port}/{DATABASE}", encode(login), encode(key));
    json!({
        "login": login,
        "what": what,
        "key": key,
        "psql": format!("psql 'postgresql://{place}'"),
        "libpq": format!("postgresql://{place}"),
        "sqlalchemy": format!("postgresql+psycopg://{place}"),
    })
}

/// Percent-encodes all but letters, digits, `-`, `.`, `_`: a `~` is free by RFC 3986 and yet not everybody takes it.
fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_read_the_urls_as_they_were_meant() -> Result<(), tokio_postgres::Error> {
        let connection = connection("marketing-agent~a@b", "x", "p:w/d", 1234);
        let url = connection["libpq"].as_str().unwrap_or_default();
        assert_eq!(url, "postgresql://marketing-agent%7Ea%40b:p%3Aw%2Fd@127.0.0.1:1234/shop");
        let read: tokio_postgres::Config = url.parse()?;
        assert_eq!(read.get_user(), Some("marketing-agent~a@b"));
        assert_eq!(read.get_password(), Some("p:w/d".as_bytes()));
        let alchemy = connection["sqlalchemy"].as_str().unwrap_or_default();
        assert_eq!(alchemy, url.replace("postgresql://", "postgresql+psycopg://"));
        Ok(())
    }
}
