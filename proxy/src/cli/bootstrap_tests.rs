//! Tests of the DBA's URL: whose login, where, and how it is encrypted.

use std::path::Path;

use super::*;

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn entry(lines: &str) -> Result<Config, Box<dyn std::error::Error>> {
    let text = format!(
        "node = \"n\"\n[databases.shop]\nbuilder_password_file = \"b\"\nvendor_password_file = \"v\"\n{lines}"
    );
    Ok(Config::parse(Path::new("/x/lanyard.toml"), &text)?)
}

fn resolve(lines: &str, url: &str) -> Result<(Endpoint, Login), Box<dyn std::error::Error>> {
    let config = entry(lines)?;
    let secrets = DatabaseMaterial::default();
    Ok(dba(&dba_url(Some(url))?, &config.databases["shop"], &secrets)?)
}

const SOCKET: &str = "host = \"/run/pg\"\nport = 6000";
const TCP: &str = "host = \"db\"\ntls = \"require\"";

#[test]
fn what_the_url_leaves_out_is_the_configurations() -> TestResult {
    let (endpoint, login) = resolve(SOCKET, "postgres://dba:p%40ss@/shop?host=/tmp/s&port=7000")?;
    assert_eq!((endpoint.host.as_str(), endpoint.port), ("/tmp/s", 7000));
    assert_eq!((login.user.as_str(), login.password.expose()), ("dba", "p@ss"));
    let (endpoint, _) = resolve(SOCKET, "host=/tmp/s user=dba")?;
    assert_eq!((endpoint.port, endpoint.database.as_str()), (6000, "shop"));
    let (endpoint, login) = resolve(SOCKET, "user=dba")?;
    assert_eq!((endpoint.host.as_str(), login.password.expose()), ("/run/pg", ""));
    Ok(())
}

#[test]
fn encryption_follows_the_configuration_and_the_way_there() -> TestResult {
    let tls = |lines, url| resolve(lines, url).map(|(endpoint, _)| endpoint.tls);
    assert!(matches!(tls(TCP, "postgres://dba@db/shop")?, TlsMode::Require));
    assert!(matches!(tls(TCP, "postgres://dba@db/shop?sslmode=disable")?, TlsMode::Require));
    assert!(matches!(tls(TCP, "postgres://dba@/shop?host=/tmp")?, TlsMode::Disable));
    assert!(matches!(tls(SOCKET, "postgres://dba@db/shop")?, TlsMode::Disable));
    assert!(matches!(tls(SOCKET, "postgres://dba@db/shop?sslmode=require")?, TlsMode::Require));
    Ok(())
}

#[test]
fn urls_that_mean_nothing_are_refused_without_their_password() {
    for url in [
        "",
        "postgres://",
        "shop",
        "postgres://u:s3cr3t@h:port/shop",
        "postgres://u:s3cr3t@h/elsewhere",
        "postgres://h/shop",
    ] {
        let told = match resolve(SOCKET, url) {
            Ok(_) => panic!("{url} was taken"),
            Err(error) => error.to_string(),
        };
        assert!(!told.contains("s3cr3t"), "{told}");
    }
}
