//! From TOML to [`Config`]: which keys exist, what they may say, and which of them contradict each other.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lanyard_adapters::ledger::Sync;
use lanyard_engine::catalog::RelationName;
use lanyard_engine::names;
use toml::de::DeTable;

use super::section::{Document, Section};
use super::{
    Audit, Config, ConfigError, ConfigErrors, Database, GovernanceFolder, Listen, ListenTls, Located,
    SessionClocks, StatementText, TlsFiles, UpstreamTls,
};

/// Longest configuration file, in bytes.
const FILE_BYTES_MAX: usize = 1 << 20;
const CLIENTS_MAX: u64 = 100_000;
const CLIENTS_DEFAULT: u64 = 1_000;
const RELOAD_SECONDS_MAX: u64 = 3_600;
const LEASE_SECONDS_MAX: u64 = 7 * 24 * 3_600;
const LEASE_SECONDS_DEFAULT: u64 = 3_600;
const LOGIN_SECONDS_MAX: u64 = 300;
const LOGIN_SECONDS_DEFAULT: u64 = 10;
const IDLE_SECONDS_DEFAULT: u64 = 1_800;
const DETACH_SECONDS_DEFAULT: u64 = 60;
const PORT_DEFAULT: u64 = 5_432;
const ADDRESS_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 6_432);
/// NAMEDATALEN less the terminator: longer names are silently cut by PostgreSQL.
const NAME_BYTES_MAX: usize = 63;

impl Config {
    /// Reads a file. Files it names are not opened yet: see [`Config::material`].
    ///
    /// # Errors
    /// [`ConfigErrors`]: everything that is wrong, with line and column.
    pub fn read(file: &Path) -> Result<Self, ConfigErrors> {
        let fail = |message: String| ConfigError::new(file, (0, 0), message);
        let bytes = std::fs::read(file).map_err(|error| {
            fail(format!("cannot read the configuration: {error}"))
                .hint("name it with --config FILE; lanyard.example.toml is a start")
        })?;
        if bytes.len() > FILE_BYTES_MAX {
            return Err(fail(format!("longer than {FILE_BYTES_MAX} bytes")).into());
        }
        let text = String::from_utf8(bytes).map_err(|_| fail("not UTF-8".to_owned()))?;
        Self::parse(file, &text)
    }

    /// Reads text that stands for `file`; relative paths start at its folder.
    ///
    /// # Errors
    /// [`ConfigErrors`]: everything that is wrong, with line and column.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigErrors> {
        let document = Document { file, text, errors: RefCell::default() };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let offset = error.span().map_or(0, |span| span.start);
            document.error(offset, error.message().trim(), "");
        }
        // Half a table would bring errors that are none.
        let config = errors.is_empty().then(|| config(Section::top(&document, table.get_ref()))).flatten();
        let errors = document.errors.into_inner();
        match config {
            Some(config) => ConfigErrors::none_or(errors, config),
            None => Err(ConfigErrors::none_or(errors, ())
                // INVARIANT: a part is missing only where an error was noted.
                .expect_err("an error was noted")),
        }
    }
}

/// `None` only after an error was noted.
fn config(mut top: Section<'_, '_>) -> Option<Config> {
    let node = node(&mut top);
    let listen = listen(top.section("listen"));
    let governance = governance(top.section("governance"));
    let audit = audit(top.section("audit"));
    let session = session(top.section("session"));
    let databases = databases(top.section("databases"));
    let file = top.document.file.to_owned();
    top.finish();
    Some(Config { file, node: node?, listen: listen?, governance, audit, session, databases: databases? })
}

fn node(top: &mut Section<'_, '_>) -> Option<String> {
    let node =
        top.required_text("node", "give each proxy a name of its own, for example node = \"lanyard-1\"")?;
    let fits = node.value.len() <= NAME_BYTES_MAX
        && node.value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if !fits {
        let message = "\"node\" must be 1 to 63 letters, digits, '.', '_', '-'";
        top.document.error_at((node.line, node.column), message, "");
        return None;
    }
    Some(node.value)
}

fn address(section: &mut Section<'_, '_>, key: &'static str) -> Option<Located<SocketAddr>> {
    let text = section.text(key)?;
    match text.value.parse() {
        Ok(value) => Some(Located { value, line: text.line, column: text.column }),
        Err(_) => {
            let message = format!(
                "\"{}\" must be an IP address and a port, found \"{}\"",
                section.path(key),
                text.value
            );
            let hint = "for example \"127.0.0.1:6432\", \"0.0.0.0:6432\" or \"[::1]:6432\"";
            let place = (text.line, text.column);
            section.document.error_at(place, message, hint);
            None
        }
    }
}

fn listen(mut section: Section<'_, '_>) -> Option<Listen> {
    let given = section.has("address");
    let address = match address(&mut section, "address") {
        None if given => None,
        None => Some(ADDRESS_DEFAULT),
        Some(located) => Some(located.value),
    };
    let http = self::address(&mut section, "http");
    if let (Some(http), Some(address)) = (&http, address)
        && http.value == address
        && address.port() != 0
    {
        let message = format!("\"listen.http\" and \"listen.address\" are both {address}");
        let place = (http.line, http.column);
        section.document.error_at(place, message, "give /metrics a port of its own");
    }
    let clients_max = section.number("clients_max", 1..=CLIENTS_MAX, CLIENTS_DEFAULT);
    let tls = listen_tls(&mut section);
    section.finish();
    Some(Listen {
        address: address?,
        tls: tls?,
        clients_max: usize::try_from(clients_max).unwrap_or(usize::MAX),
        http: http.map(|http| http.value),
    })
}

#[derive(Clone, Copy)]
enum Word {
    Off,
    Offer,
    Require,
}

fn listen_tls(section: &mut Section<'_, '_>) -> Option<ListenTls> {
    let given = section.has("tls");
    let word =
        section.choice("tls", &[("off", Word::Off), ("offer", Word::Offer), ("require", Word::Require)]);
    if given && word.is_none() {
        // The choice noted it; the two files are asked for so that they are not called unknown.
        section.file("tls_certificate");
        section.file("tls_key");
        return None;
    }
    let files = match (section.file("tls_certificate"), section.file("tls_key")) {
        (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
        (None, None) => None,
        (Some(lone), None) | (None, Some(lone)) => {
            let message = "\"listen.tls_certificate\" and \"listen.tls_key\" belong together, one is missing";
            section.document.error_at((lone.line, lone.column), message, "set both or none");
            return None;
        }
    };
    let Some(word) = word else {
        return Some(files.map_or(ListenTls::Off, ListenTls::Offer));
    };
    let place = (word.line, word.column);
    let needs = |name: &str| {
        let message = format!("\"listen.tls\" is \"{name}\" without a certificate");
        let hint = "set listen.tls_certificate and listen.tls_key";
        section.document.error_at(place, message, hint);
    };
    match (word.value, files) {
        (Word::Off, None) => Some(ListenTls::Off),
        (Word::Off, Some(_)) => {
            let message = "\"listen.tls\" is \"off\", so the certificate has no effect";
            let hint = "set tls = \"offer\" or \"require\", or remove tls_certificate and tls_key";
            section.document.error_at(place, message, hint);
            None
        }
        (Word::Offer, Some(files)) => Some(ListenTls::Offer(files)),
        (Word::Require, Some(files)) => Some(ListenTls::Require(files)),
        (Word::Offer, None) => {
            needs("offer");
            None
        }
        (Word::Require, None) => {
            needs("require");
            None
        }
    }
}

fn folder(section: &mut Section<'_, '_>, default: &str) -> Located<PathBuf> {
    section.file("directory").unwrap_or_else(|| {
        let path = section.document.resolve(default);
        section.default(path)
    })
}

fn governance(mut section: Section<'_, '_>) -> GovernanceFolder {
    let folder = GovernanceFolder {
        directory: folder(&mut section, "governance"),
        reload: Duration::from_secs(section.number("reload_seconds", 1..=RELOAD_SECONDS_MAX, 1)),
    };
    section.finish();
    folder
}

fn audit(mut section: Section<'_, '_>) -> Audit {
    let sync = section.choice("sync", &[("write", Sync::Write), ("fsync", Sync::Fsync)]);
    let statement = section
        .choice("statement", &[("text", StatementText::Text), ("fingerprint", StatementText::Fingerprint)]);
    let audit = Audit {
        directory: folder(&mut section, "audit"),
        sync: sync.map_or(Sync::Write, |sync| sync.value),
        statement: statement.map_or(StatementText::Text, |statement| statement.value),
    };
    section.finish();
    audit
}

fn session(mut section: Section<'_, '_>) -> SessionClocks {
    let mut seconds = |key, max, default| Duration::from_secs(section.number(key, 1..=max, default));
    let clocks = SessionClocks {
        lease: seconds("lease_seconds", LEASE_SECONDS_MAX, LEASE_SECONDS_DEFAULT),
        login: seconds("login_seconds", LOGIN_SECONDS_MAX, LOGIN_SECONDS_DEFAULT),
        idle: seconds("idle_seconds", LEASE_SECONDS_MAX, IDLE_SECONDS_DEFAULT),
        detach: match section.number("detach_seconds", 0..=LEASE_SECONDS_MAX, DETACH_SECONDS_DEFAULT) {
            0 => None,
            seconds => Some(Duration::from_secs(seconds)),
        },
    };
    section.finish();
    clocks
}

fn databases(section: Section<'_, '_>) -> Option<BTreeMap<String, Database>> {
    let members = section.members();
    if members.is_empty() {
        let message = "no [databases.NAME]: clients could connect to nothing";
        let hint = "add for example [databases.shop] with host, database and the two password files";
        section.document.error(section.offset, message, hint);
        return None;
    }
    let mut databases = BTreeMap::new();
    let mut whole = true;
    for (name, member) in members {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            let message = "the name of a database has 1 to 63 bytes and no control characters";
            member.document.error(member.offset, message, "");
            whole = false;
            continue;
        }
        match database(&name, member) {
            Some(database) => {
                databases.insert(name, database);
            }
            None => whole = false,
        }
    }
    whole.then_some(databases)
}

fn database(name: &str, mut section: Section<'_, '_>) -> Option<Database> {
    let host = host(&mut section);
    let port = section.number("port", 1..=u64::from(u16::MAX), PORT_DEFAULT);
    let database = section.text("database").map_or(name.to_owned(), |text| text.value);
    let tls = upstream_tls(&mut section, host.as_deref());
    let hint = "a file of mode 0600; `lanyard bootstrap` writes it";
    let builder = section.required_text("builder_password_file", hint);
    let vendor = section.required_text("vendor_password_file", hint);
    let search_path = search_path(&mut section);
    let accept_public = accept_public(&mut section);
    let resolve = |text: Located<String>| Located {
        value: section.document.resolve(&text.value),
        line: text.line,
        column: text.column,
    };
    let (builder, vendor) = (builder.map(resolve), vendor.map(resolve));
    if let (Some(builder), Some(vendor)) = (&builder, &vendor)
        && builder.value == vendor.value
    {
        let message = "builder and vendor share one password file";
        let place = (vendor.line, vendor.column);
        let hint = "the vendor must not be able to log in as the builder: give each a file";
        section.document.error_at(place, message, hint);
    }
    section.finish();
    Some(Database {
        name: name.to_owned(),
        host: host?,
        port: u16::try_from(port).ok()?,
        database,
        tls: tls?,
        builder_password_file: builder?,
        vendor_password_file: vendor?,
        search_path,
        accept_public: accept_public?,
    })
}

fn host(section: &mut Section<'_, '_>) -> Option<String> {
    let host =
        section.required_text("host", "a name, an address, or the absolute folder of a unix socket")?;
    let text = &host.value;
    let socket = text.starts_with('/');
    let named = !text.contains('/') && !text.contains(char::is_whitespace);
    let with_port = text.rsplit_once(':').is_some_and(|(head, _)| !head.contains(':'));
    if socket || (named && !with_port) {
        return Some(host.value);
    }
    let message = format!("\"{}\" is \"{text}\", neither a host nor a socket folder", section.path("host"));
    let hint = if with_port { "write the port as port = …" } else { "a socket folder starts with '/'" };
    section.document.error_at((host.line, host.column), message, hint);
    None
}

fn upstream_tls(section: &mut Section<'_, '_>, host: Option<&str>) -> Option<UpstreamTls> {
    #[derive(Clone, Copy, PartialEq)]
    enum Word {
        Disable,
        Require,
        VerifyFull,
    }
    let socket = host.is_some_and(|host| host.starts_with('/'));
    let given = section.has("tls");
    let word = section.choice(
        "tls",
        &[("disable", Word::Disable), ("require", Word::Require), ("verify-full", Word::VerifyFull)],
    );
    let ca_file = section.file("ca_file");
    if (given && word.is_none()) || host.is_none() {
        return None;
    }
    let place =
        word.as_ref().map_or_else(|| section.document.place(section.offset), |word| (word.line, word.column));
    let default = if socket { Word::Disable } else { Word::VerifyFull };
    let value = word.map_or(default, |word| word.value);
    let path = section.path("tls");
    if socket && value != Word::Disable {
        let message = format!("\"{path}\" has no effect on a unix socket");
        section.document.error_at(place, message, "remove it, or use TCP");
        return None;
    }
    match (value, ca_file) {
        (Word::VerifyFull, Some(ca_file)) => Some(UpstreamTls::VerifyFull { ca_file }),
        (Word::VerifyFull, None) => {
            let message = format!("\"{path}\" is \"verify-full\" (the default over TCP) without \"ca_file\"");
            let hint = "name the authority's PEM file, or choose tls = \"require\" or \"disable\" knowingly";
            section.document.error_at(place, message, hint);
            None
        }
        (Word::Disable | Word::Require, Some(ca_file)) => {
            let message =
                format!("\"{}\" has no effect without tls = \"verify-full\"", section.path("ca_file"));
            let place = (ca_file.line, ca_file.column);
            section.document.error_at(place, message, "remove it, or verify");
            None
        }
        (Word::Disable, None) => Some(UpstreamTls::Disable),
        (Word::Require, None) => Some(UpstreamTls::Require),
    }
}

fn search_path(section: &mut Section<'_, '_>) -> Vec<String> {
    let Some(schemas) = section.texts("search_path") else {
        return vec!["public".to_owned()];
    };
    if schemas.value.is_empty() {
        let message = format!("\"{}\" names no schema", section.path("search_path"));
        let hint = "leave it out for [\"public\"]";
        section.document.error_at((schemas.line, schemas.column), message, hint);
    }
    let ours = [
        names::PRIVATE_SCHEMA,
        names::SECURED_SCHEMA,
        names::CATALOG_SCHEMA,
        names::INFORMATION_SCHEMA,
        "information_schema",
    ];
    for schema in &schemas.value {
        let name = schema.value.as_str();
        let why = if name.len() > NAME_BYTES_MAX {
            "is longer than 63 bytes"
        } else if name.starts_with("pg_") || ours.contains(&name) {
            "is not a schema of data"
        } else if name.contains(['"', ',']) {
            "is one name, written without quotes"
        } else {
            continue;
        };
        let message = format!("schema \"{name}\" {why}");
        section.document.error_at((schema.line, schema.column), message, "");
    }
    schemas.value.into_iter().map(|schema| schema.value).collect()
}

fn accept_public(section: &mut Section<'_, '_>) -> Option<Vec<RelationName>> {
    let Some(names) = section.texts("accept_public") else {
        return Some(Vec::new());
    };
    let mut relations = Vec::new();
    let mut whole = true;
    for name in names.value {
        match name.value.split_once('.') {
            Some((schema, table)) if !schema.is_empty() && !table.is_empty() && !table.contains('.') => {
                relations.push(RelationName::new(schema, table));
            }
            Some(_) | None => {
                let message = format!("\"{}\" is not \"schema.table\"", name.value);
                section.document.error_at((name.line, name.column), message, "");
                whole = false;
            }
        }
    }
    whole.then_some(relations)
}
