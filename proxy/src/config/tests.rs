//! Tests of the configuration: mostly what it refuses, and that it says where.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::*;

type TestResult = Result<(), Box<dyn std::error::Error>>;

const SMALL: &str = r#"
node = "n1"
[databases.shop]
host = "/run/pg"
builder_password_file = "b"
vendor_password_file = "v"
"#;

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    Config::parse(Path::new("/etc/lanyard/lanyard.toml"), text)
}

const EXAMPLE: &str = include_str!("../../../lanyard.example.toml");

#[test]
fn the_example_is_read_as_it_is_and_with_every_comment_taken_off() -> TestResult {
    let config = parse(EXAMPLE)?;
    assert_eq!(config.node, "lanyard-1");
    assert_eq!(config.listen.tls, ListenTls::Off);
    assert_eq!(config.databases["shop"].search_path, ["public"]);
    assert_eq!(config.governance.directory.value, Path::new("/etc/lanyard/governance"));
    assert_eq!(config.audit.directory.value, Path::new("/etc/lanyard/audit"));

    let mut all = String::new();
    for line in EXAMPLE.lines() {
        let option = line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
        all.push_str(option.unwrap_or(line));
        all.push('\n');
    }
    let full = parse(&all)?;
    assert!(matches!(full.listen.tls, ListenTls::Offer(_)));
    // What a comment shows as a default is the default.
    assert_eq!(full.session, config.session);
    assert_eq!(full.audit, config.audit);
    assert_eq!(full.listen.clients_max, config.listen.clients_max);
    assert_eq!(full.governance, config.governance);
    let (a, b) = (&full.databases["shop"], &config.databases["shop"]);
    assert_eq!((a.port, &a.tls, &a.search_path), (b.port, &b.tls, &b.search_path));
    assert_eq!(a.accept_public, [RelationName::new("public", "countries")]);
    Ok(())
}

#[test]
fn a_small_file_has_sane_defaults() -> TestResult {
    let config = parse(SMALL)?;
    assert_eq!(config.listen.address.to_string(), "127.0.0.1:6432");
    assert_eq!(config.listen.http, None);
    assert_eq!(config.session.lease, Duration::from_secs(3600));
    assert_eq!(config.audit.sync, Sync::Write);
    let shop = &config.databases["shop"];
    assert_eq!((shop.database.as_str(), shop.port), ("shop", 5432));
    assert_eq!(shop.tls, UpstreamTls::Disable);
    assert_eq!(shop.builder_password_file.value, Path::new("/etc/lanyard/b"));
    let over_tcp =
        SMALL.replace("host = \"/run/pg\"", "host = \"::1\"\ntls = \"verify-full\"\nca_file = \"/ca\"");
    assert!(matches!(parse(&over_tcp)?.databases["shop"].tls, UpstreamTls::VerifyFull { .. }));
    Ok(())
}

/// Text put after `SMALL` (`+`) or in place of a line of it, the place, a part of the message and hint.
const REFUSED: &[(&str, &str, &str, &str)] = &[
    ("node = \"n1\"", "", ":1:1", "\"node\" is missing"),
    ("node = \"n1\"", "node = \"a/b\"", ":2:8", "\"node\" must be"),
    ("node = \"n1\"", "node = 1", ":2:8", "must be a string, found integer"),
    ("node = \"n1\"", "node = \"\"", ":2:8", "is empty"),
    ("node = \"n1\"", "node = \"n1\"\nnode = \"n2\"", ":3:1", "duplicate key"),
    ("node = \"n1\"", "node = \"n1", ":2:", ""),
    ("node = \"n1\"", "node = \"n1\"\nnoed = 1", ":3:1", "did you mean \"node\"?"),
    ("+", "[listne]\naddress = \"x\"", ":7:2", "did you mean \"listen\"?"),
    ("+", "[listen]\nadress = \"127.0.0.1:1\"", ":8:1", "did you mean \"listen.address\"?"),
    ("+", "[listen]\nzzz = 1", ":8:1", "known here: address"),
    ("+", "[listen]\naddress = \"localhost:6432\"", ":8:11", "must be an IP address and a port"),
    ("+", "[listen]\naddress = \"127.0.0.1\"", ":8:11", "for example \"127.0.0.1:6432\""),
    ("+", "[listen]\naddress = \"127.0.0.1:99999\"", ":8:11", "must be an IP address"),
    ("+", "[listen]\nhttp = \":9464\"", ":8:8", "\"listen.http\" must be"),
    ("+", "[listen]\nhttp = \"127.0.0.1:6432\"", ":8:8", "are both 127.0.0.1:6432"),
    ("+", "[listen]\nclients_max = 0", ":8:15", "must be 1 to 100000, found 0"),
    ("+", "[listen]\nclients_max = -5", ":8:15", "found -5"),
    ("+", "[listen]\nclients_max = 99999999999999999999999", ":8:15", "must be"),
    ("+", "[listen]\nclients_max = 1.5", ":8:15", "a whole number, found float"),
    ("+", "[listen]\ntls = \"require\"", ":8:7", "\"require\" without a certificate"),
    ("+", "[listen]\ntls = \"offer\"", ":8:7", "without a certificate"),
    ("+", "[listen]\ntls = \"requre\"", ":8:7", "did you mean \"require\"?"),
    ("+", "[listen]\ntls = true", ":8:7", "must be a string, found boolean"),
    ("+", "[listen]\ntls_key = \"k\"", ":8:11", "belong together"),
    ("+", "[listen]\ntls = \"off\"\ntls_key = \"k\"\ntls_certificate = \"c\"", ":8:7", "has no effect"),
    ("+", "[governance]\nreload_seconds = 0", ":8:18", "must be 1 to"),
    ("+", "[audit]\nsync = \"fsinc\"", ":8:8", "did you mean \"fsync\"?"),
    ("+", "[audit]\nstatement = \"none\"", ":8:13", "must be \"text\" or \"fingerprint\""),
    ("+", "[session]\nlease_seconds = 0", ":8:17", "must be 1 to 604800, found 0"),
    ("+", "[session]\nlogin_seconds = 301", ":8:17", "must be 1 to 300"),
    ("+", "session = 5", ":7:1", "unknown key \"databases.shop.session\""),
    ("node = \"n1\"", "node = \"n1\"\nlisten = 5", ":3:10", "\"listen\" must be a table, found integer"),
    ("host = \"/run/pg\"", "", ":3:", "\"databases.shop.host\" is missing"),
    ("host = \"/run/pg\"", "host = \"run/pg\"", ":4:8", "neither a host nor a socket folder"),
    ("host = \"/run/pg\"", "host = \"db:5432\"", ":4:8", "write the port as port"),
    ("host = \"/run/pg\"", "host = \"a b\"", ":4:8", "neither a host"),
    ("host = \"/run/pg\"", "host = \"db\"", ":3:", "without \"ca_file\""),
    ("host = \"/run/pg\"", "host = \"db\"\ntls = \"require\"\nca_file = \"c\"", ":6:11", "has no effect"),
    ("+", "tls = \"require\"", ":7:7", "no effect on a unix socket"),
    ("+", "tls = \"prefer\"", ":7:7", "must be \"disable\" or"),
    ("+", "port = 0", ":7:8", "must be 1 to 65535"),
    ("+", "port = \"5432\"", ":7:8", "a whole number, found string"),
    ("+", "search_path = []", ":7:15", "names no schema"),
    ("+", "search_path = \"public\"", ":7:15", "a list of strings"),
    ("+", "search_path = [\"public\", \"pg_catalog\"]", ":7:26", "not a schema of data"),
    ("+", "search_path = [\"lanyard_secured\"]", ":7:16", "not a schema of data"),
    ("+", "search_path = [\"a,b\"]", ":7:16", "one name"),
    ("+", "accept_public = [\"orders\"]", ":7:18", "not \"schema.table\""),
    ("+", "accept_public = [\"a.b.c\", 1]", ":7:18", "not \"schema.table\""),
    ("vendor_password_file = \"v\"", "", ":3:", "vendor_password_file\" is missing"),
    ("vendor_password_file = \"v\"", "vendor_password_file = \"b\"", ":6:24", "share one password file"),
    ("+", "[databases]\nx = 1", ":8:5", "\"databases.x\" must be a table"),
    ("+", "[databases.\"\"]", ":7:", "has 1 to 63 bytes"),
];

#[test]
fn what_cannot_take_effect_is_refused_with_its_place() -> TestResult {
    for (line, replacement, place, part) in REFUSED {
        let text = match *line {
            "+" => format!("{SMALL}{replacement}\n"),
            line => SMALL.replace(line, replacement),
        };
        let errors = parse(&text).err().ok_or_else(|| format!("accepted:\n{text}"))?;
        let told = errors.to_string();
        let expected = format!("/etc/lanyard/lanyard.toml{place}");
        assert!(told.contains(&expected) && told.contains(part), "{expected} {part}\n{told}\n{text}");
    }
    assert!(parse("").is_err_and(|e| e.iter().count() == 2), "everything that is wrong at once");
    let none = parse("node = \"x\"").err().ok_or("accepted")?;
    assert!(none.to_string().contains("no [databases.NAME]"), "{none}");
    Ok(())
}

#[test]
fn a_file_that_cannot_be_read_is_told() -> TestResult {
    let missing = Config::read(Path::new("/nowhere/lanyard.toml")).err().ok_or("read")?;
    assert!(missing.to_string().starts_with("/nowhere/lanyard.toml: cannot read"), "{missing}");
    Ok(())
}

#[test]
fn columns_count_characters() -> TestResult {
    let errors = parse("node = \"n\" # ä\n\"ä\" = 1").err().ok_or("accepted")?;
    assert!(errors.to_string().contains(":2:1: unknown key"), "{errors}");
    Ok(())
}

struct Files {
    folder: PathBuf,
    config: Config,
}

impl Files {
    fn new(more: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let folder = std::env::temp_dir().join(format!("lanyard-config-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(folder.join("governance"))?;
        let config = Config::parse(&folder.join("lanyard.toml"), &format!("{SMALL}{more}"))?;
        let files = Self { folder, config };
        files.put("b", "builder\n", 0o600)?;
        files.put("v", "vendor", 0o400)?;
        Ok(files)
    }

    fn put(&self, name: &str, text: &str, mode: u32) -> std::io::Result<()> {
        let path = self.folder.join(name);
        if path.exists() {
            std::fs::remove_file(&path)?;
        }
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
    }

    fn refused(&self) -> Result<String, Box<dyn std::error::Error>> {
        let told = self.config.material().err().ok_or("accepted")?.to_string();
        assert!(told.contains("lanyard.toml:"), "{told}");
        Ok(told)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("{}: {error}", self.folder.display());
        }
    }
}

#[test]
fn passwords_are_read_from_private_files_of_one_line() -> TestResult {
    let files = Files::new("")?;
    let material = files.config.material()?;
    let shop = &material.databases["shop"];
    assert_eq!((shop.builder_password.as_str(), shop.vendor_password.as_str()), ("builder", "vendor"));
    assert!(!format!("{material:?}").contains("vendor"));
    for (text, mode, part) in [
        ("x", 0o644, "chmod 600"),
        ("x", 0o640, "mode 0640"),
        ("", 0o600, "one line"),
        ("\n", 0o600, "one line"),
        ("a\nb\n", 0o600, "one line"),
        ("\u{0}", 0o600, "one line"),
    ] {
        files.put("b", text, mode)?;
        let told = files.refused()?;
        assert!(told.contains(":5:25") && told.contains(part), "{told}");
        assert!(told.contains("hint"), "{told}");
    }
    std::fs::remove_file(files.folder.join("b"))?;
    std::fs::remove_dir(files.folder.join("governance"))?;
    let told = files.refused()?;
    assert!(told.contains("lanyard bootstrap") && told.contains("governance folder"), "{told}");
    Ok(())
}

#[test]
fn certificate_and_key_must_fit() -> TestResult {
    let tls = "[listen]\ntls = \"require\"\ntls_certificate = \"c.pem\"\ntls_key = \"k.pem\"\n";
    let files = Files::new(tls)?;
    let one = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    assert!(files.refused()?.contains(":9:19: cannot read"));
    files.put("c.pem", &one.cert.pem(), 0o644)?;
    files.put("k.pem", &one.signing_key.serialize_pem(), 0o640)?;
    assert!(files.config.material()?.listen.is_some());
    files.put("k.pem", &other.signing_key.serialize_pem(), 0o600)?;
    assert!(files.refused()?.contains(":10:11: key and certificate cannot be used together"));
    files.put("k.pem", &one.signing_key.serialize_pem(), 0o644)?;
    assert!(files.refused()?.contains("chmod 640"));
    files.put("k.pem", &one.cert.pem(), 0o600)?;
    assert!(files.refused()?.contains("no private key"));
    files.put("c.pem", "nonsense", 0o644)?;
    assert!(files.refused()?.contains("no certificate"));
    Ok(())
}

#[test]
fn authorities_must_be_certificates() -> TestResult {
    let text = "tls = \"verify-full\"\nca_file = \"ca.pem\"";
    let mut files = Files::new("")?;
    let over_tcp = SMALL.replace("host = \"/run/pg\"", &format!("host = \"db\"\n{text}"));
    files.config = Config::parse(&files.folder.join("lanyard.toml"), &over_tcp)?;
    assert!(files.refused()?.contains("ca.pem"));
    files.put("ca.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0o644)?;
    assert!(files.refused()?.contains("cannot be an authority"));
    let one = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    files.put("ca.pem", &one.cert.pem(), 0o644)?;
    let material = files.config.material()?;
    assert!(material.databases["shop"].ca_pem.is_some());
    Ok(())
}

#[test]
fn secrets_are_written_once_and_privately() -> TestResult {
    let files = Files::new("")?;
    let path = files.folder.join("new");
    material::write_secret(&path, "s")?;
    assert_eq!(std::fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
    assert!(material::write_secret(&path, "t").is_err());
    assert_eq!(std::fs::read_to_string(&path)?, "s\n");
    Ok(())
}
