//! Tests of the command line as a program uses it: arguments in, text and exit code out, no warehouse.

use std::io;
use std::path::PathBuf;

use clap::CommandFactory as _;
use serde_json::Value;

use super::*;

type TestResult = Result<(), Box<dyn std::error::Error>>;

struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("lanyard-cli-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path)?;
        let config = "node = \"n1\"\n[databases.shop]\nhost = \"/nowhere\"\n\
                      builder_password_file = \"secrets/b\"\nvendor_password_file = \"secrets/v\"\n";
        std::fs::write(path.join("lanyard.toml"), config)?;
        Ok(Self(path))
    }

    /// Runs `lanyard <words> --config <ours>`.
    fn run(&self, words: &[&str]) -> (Result<ExitCode, CliError>, String) {
        let config = self.0.join("lanyard.toml");
        let words = words.iter().map(OsString::from);
        let arguments = std::iter::once(OsString::from("lanyard"))
            .chain(words)
            .chain([OsString::from("--config"), config.into_os_string()]);
        let mut out = Vec::new();
        let result = run(arguments, &mut out);
        (result, String::from_utf8_lossy(&out).into_owned())
    }

    fn done(&self, words: &[&str]) -> Result<String, String> {
        match self.run(words) {
            (Ok(ExitCode::Done), out) => Ok(out),
            (Ok(ExitCode::Findings), out) => Err(format!("{words:?}: findings\n{out}")),
            (Err(error), _) => Err(format!("{words:?}: {}", error.report())),
        }
    }

    /// The exit code and report of a command that must fail.
    fn fails(&self, words: &[&str]) -> Result<(u8, String), String> {
        match self.run(words) {
            (Ok(code), out) => Err(format!("{words:?}: {code:?}\n{out}")),
            (Err(error), _) => Ok((error.exit_code(), error.report())),
        }
    }

    fn audit(&self, lines: &str) -> io::Result<()> {
        std::fs::create_dir_all(self.0.join("audit"))?;
        std::fs::write(self.0.join("audit/audit-n1-0.jsonl"), lines)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

#[test]
fn arguments_are_well_formed_and_every_command_teaches() {
    let mut command = Cli::command();
    command.build();
    command.clone().debug_assert();
    let mut open = vec![command];
    while let Some(mut command) = open.pop() {
        let help = command.render_long_help().to_string();
        assert!(help.len() > 100, "{help}");
        assert!(command.get_about().is_some(), "{}", command.get_name());
        for argument in command.get_arguments() {
            let told = argument.get_help().is_some();
            assert!(told || argument.is_hide_set(), "{} {}", command.get_name(), argument.get_id());
        }
        open.extend(command.get_subcommands().filter(|sub| sub.get_name() != "help").cloned());
    }
}

#[test]
fn people_and_agents_come_and_go() -> TestResult {
    let folder = Folder::new()?;
    let said = folder.done(&["user", "add", "morgan", "--name", "Morgan Castle"])?;
    assert!(said.contains("number 1") && said.contains("cannot log in"), "{said}");
    let json = folder.done(&[
        "user",
        "add",
        "harper",
        "--group",
        "hr",
        "--group",
        "analysts",
        "--attribute",
        "region=US-EAST",
        "--attribute",
        "region=US-WEST",
        "--generate",
        "--json",
    ])?;
    let harper: Value = serde_json::from_str(&json)?;
    assert_eq!(harper["user"]["attributes"]["region"], serde_json::json!(["US-EAST", "US-WEST"]));
    assert!(harper["password"].as_str().is_some_and(|p| p.starts_with("lyk_")));

    let json =
        folder.done(&["agent", "add", "bot", "--owner", "morgan", "--combination", "union", "--json"])?;
    let bot: Value = serde_json::from_str(&json)?;
    let key = bot["key"].as_str().ok_or("no key")?;
    assert_eq!(bot["agent"]["combination"], "union");
    let table = folder.done(&["agent", "list"])?;
    assert!(table.contains("bot  3       bot   morgan  yes"), "{table}");
    assert!(!table.contains(&key[4..]));
    let replaced = folder.done(&["agent", "key", "bot"])?;
    assert!(replaced.starts_with("key: lyk_") && !replaced.contains(key), "{replaced}");

    let users = folder.done(&["user", "list", "--json"])?;
    let ids: Vec<Value> = users.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!((&ids[0]["user"]["id"], &ids[1]["user"]["id"]), (&"harper".into(), &"morgan".into()));
    assert_eq!((&ids[0]["has_password"], &ids[1]["has_password"]), (&true.into(), &false.into()));

    assert!(folder.fails(&["user", "remove", "morgan"])?.1.contains("remove these agents first"));
    folder.done(&["agent", "remove", "bot"])?;
    folder.done(&["user", "remove", "morgan"])?;
    let added = folder.done(&["user", "add", "late"])?;
    assert!(added.contains("number 4"), "numbers are never given again: {added}");
    Ok(())
}

#[test]
fn wrong_usage_is_2_and_failures_are_1() -> TestResult {
    let folder = Folder::new()?;
    let cases: &[(&[&str], u8, &str)] = &[
        (&["frobnicate"], 2, "unrecognized subcommand"),
        (&["user"], 2, ""),
        (&["user", "add"], 2, "required"),
        (&["user", "add", "a~b"], 2, "cannot be in an id"),
        (&["user", "add", "LANYARD_VENDED_1"], 2, "reserved"),
        (&["user", "add", "a", "--attribute", "region"], 2, "write NAME=VALUE"),
        (&["user", "add", "a", "--attribute", "region="], 2, "must not be empty"),
        (&["user", "add", "a", "--group", "two words"], 2, "blanks"),
        (&["user", "add", "a", "--grop", "x"], 2, "--group"),
        (&["agent", "add", "a"], 2, "--owner"),
        (&["agent", "add", "a", "--owner", "b", "--combination", "all"], 2, "possible values"),
        (&["agent", "add", "a", "--owner", "nobody"], 1, "user \"nobody\" does not exist"),
        (&["agent", "key", "nobody"], 1, "agent \"nobody\" does not exist"),
        (&["agent", "remove", "nobody"], 1, "hint: `lanyard agent list`"),
        (&["user", "password", "nobody", "--generate"], 1, "does not exist"),
        (&["user", "list"], 1, "governance"),
        (&["audit", "query"], 1, "no audit in"),
        (&["audit", "query", "--since", "yesterday"], 2, "is no time"),
        (&["audit", "query", "--limit", "-1"], 2, ""),
        (&["whois", "postgres"], 2, "LANYARD_VENDED_<agent>_<user>"),
        (&["explain", "--table", "x"], 2, "--as"),
        (&["check", "--offline", "--database", "x"], 2, "cannot be used with"),
        (&["bootstrap", "--database", "nope", "--print"], 1, "there are: shop"),
        (&["bootstrap", "--dba-url", "mysql://x"], 2, "cannot be read"),
        (&["bootstrap", "--dba-url", "postgres://u:s3cr3t@a,b/shop"], 2, "more than one host"),
        (&["bootstrap", "--dba-url", "postgres://u:s3cr3t@a/other"], 2, "names database \"other\""),
    ];
    for (words, code, part) in cases {
        let (exit, report) = folder.fails(words)?;
        assert_eq!(exit, *code, "{words:?} {report}");
        assert!(report.contains(part), "{words:?} {report}");
        assert!(!report.contains("s3cr3t"), "{report}");
    }
    Ok(())
}

#[test]
fn a_bad_configuration_is_told_with_its_place() -> TestResult {
    let folder = Folder::new()?;
    std::fs::write(folder.0.join("lanyard.toml"), "node = \"n\"\nnodes = 1\n")?;
    let (code, report) = folder.fails(&["user", "list"])?;
    assert!(code == 1 && report.contains("lanyard.toml:2:1: unknown key \"nodes\""), "{report}");
    std::fs::remove_file(folder.0.join("lanyard.toml"))?;
    assert!(folder.fails(&["user", "list"])?.1.contains("lanyard.example.toml is a start"));
    Ok(())
}

#[test]
fn secrets_come_from_pipes_of_some_length() -> TestResult {
    let folder = Folder::new()?;
    folder.done(&["user", "add", "taylor"])?;
    let config = folder.0.join("lanyard.toml");
    let command = |input: &[u8]| {
        let arguments = ["lanyard", "user", "set-key", "taylor", "--config"].map(OsString::from);
        let cli = Cli::try_parse_from(arguments.into_iter().chain([config.clone().into_os_string()]))?;
        let Command::User(command) = &cli.command else {
            return Err(CliError::failed("another command"));
        };
        user::run(command, &mut { input }, &mut Vec::new())
    };
    command(b"correct horse\r\n")?;
    for bad in [
        b"".as_slice(),
        b"\n",
        b"short",
        b"with\ttabs inside",
        b"two lines\nof password",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        assert!(command(bad).is_err(), "{bad:?}");
    }
    struct Terminal;
    impl io::Read for Terminal {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }
    }
    impl secret::Input for Terminal {
        fn is_terminal(&self) -> bool {
            true
        }
    }
    assert!(secret::read(&mut Terminal).is_err_and(|e| e.exit_code() == 2));
    Ok(())
}

const ROLE: &str = "LANYARD_VENDED_2_1_0123456789abcdef0123456789abcdef";

fn record(ruling: u32, more: &str) -> String {
    format!(
        "{{\"event\":\"attempt\",\"v\":1,\"ruling\":\"{ruling:032x}\",\"time_us\":17952565090000{ruling:02},\
         \"node\":\"n1\",\"role\":\"{ROLE}\",\"mode\":\"on_behalf_of\",\"agent\":\"bot\",\"agent_owner\":\"morgan\",\
         \"user\":\"taylor\",\"database\":\"shop\",\"operation\":\"SELECT\",{more}}}\n"
    )
}

#[test]
fn the_audit_is_read_safely() -> TestResult {
    let folder = Folder::new()?;
    let evil = "\"statement\":\"select '\\u001b[2J'\",\"disposition\":\"masked\",\
                \"objects\":[{\"relation\":\"public.o\",\"operation\":\"read\",\"filters\":[\"own\"],\"masks\":[\"l: null (p)\"]}]";
    let refused =
        "\"statement\":\"drop\",\"disposition\":\"refused\",\"sqlstate\":\"42501\",\"reason\":\"no\"";
    let outcome =
        format!("{{\"event\":\"outcome\",\"ruling\":\"{:032x}\",\"status\":\"ok\",\"rows\":3}}\n", 1);
    folder.audit(&format!("{}{outcome}{}", record(1, evil), record(2, refused)))?;
    let text = folder.done(&["audit", "query"])?;
    assert!(text.contains("bot~taylor  shop  SELECT") && text.contains("2026-11-21T"), "{text}");
    assert!(text.contains("select '\\u{1b}[2J'") && !text.contains('\u{1b}'), "{text}");
    assert!(text.contains("public.o; rows by own; l: null (p)") && text.contains("ok, 3 rows"), "{text}");
    assert!(text.contains("refused    42501 no"), "{text}");
    let json = folder.done(&["audit", "query", "--json", "--table", "o"])?;
    let entry: Value = serde_json::from_str(&json)?;
    assert_eq!(entry["outcome"]["rows"], 3);
    assert_eq!(folder.done(&["audit", "query", "--user", "nobody"])?, "");
    assert_eq!(folder.done(&["audit", "query", "--limit", "1", "--json"])?.lines().count(), 1);

    folder.audit(&format!("{}{{\"torn", record(1, evil)))?;
    let (code, out) = folder.run(&["audit", "query"]);
    assert_eq!((code?, out.lines().next().is_some()), (ExitCode::Findings, true));
    Ok(())
}

#[test]
fn whois_knows_by_number_and_by_record() -> TestResult {
    let folder = Folder::new()?;
    folder.done(&["user", "add", "taylor", "--name", "Taylor Reyes"])?;
    folder.done(&["agent", "add", "bot", "--owner", "taylor"])?;
    let text = folder.done(&["whois", ROLE])?;
    assert!(text.contains("bot (bot), owner taylor") && text.contains("taylor (Taylor Reyes)"), "{text}");
    assert!(text.contains("no record of it"), "{text}");

    folder.audit(&record(1, "\"disposition\":\"refused\",\"client_address\":\"10.0.0.9:1\""))?;
    folder.done(&["agent", "remove", "bot"])?;
    let text = folder.done(&["whois", ROLE])?;
    assert!(text.contains("bot (number 2, removed since)") && text.contains("10.0.0.9:1"), "{text}");
    assert!(text.contains("1 statements, 1 refused"), "{text}");
    let json: Value = serde_json::from_str(&folder.done(&["whois", ROLE, "--json"])?)?;
    assert_eq!((&json["agent"], &json["session"]["agent"]), (&Value::Null, &"bot".into()));

    let stranger = "LANYARD_VENDED_9_0_00000000000000000000000000000000";
    let (code, text) = folder.run(&["whois", stranger]);
    assert_eq!(code?, ExitCode::Findings);
    assert!(text.contains("number 9, who does not exist") && text.contains("the agent on its own"), "{text}");
    Ok(())
}

#[test]
fn policies_are_checked_without_a_warehouse() -> TestResult {
    let folder = Folder::new()?;
    folder.done(&["user", "add", "taylor"])?;
    let policy = folder.0.join("governance/a.policy");
    std::fs::write(
        &policy,
        "policy readers\n  allow read on tables tagged Sales\n  to users in group marketing\n",
    )?;
    let (code, text) = folder.run(&["check", "--offline"]);
    assert_eq!(code?, ExitCode::Findings);
    assert!(text.contains("a.policy:2:31: error: the tag 'Sales' is not defined"), "{text}");
    std::fs::write(folder.0.join("governance/tags.json"), r#"{ "definitions": ["Sales"] }"#)?;
    assert!(folder.done(&["check", "--offline"])?.contains("1 policy read"));
    std::fs::write(&policy, "policy readers\n  alow read on tables tagged Sales\n")?;
    let (code, text) = folder.run(&["check", "--offline"]);
    assert_eq!(code?, ExitCode::Findings);
    assert!(text.contains("a.policy:2:3: error:") && text.contains("1 errors"), "{text}");
    let (code, text) = folder.run(&["check", "--offline", "--json"]);
    assert_eq!(code?, ExitCode::Findings);
    let finding: Value = serde_json::from_str(text.lines().next().ok_or("nothing")?)?;
    assert_eq!((&finding["finding"]["line"], &finding["finding"]["severity"]), (&2.into(), &"error".into()));
    Ok(())
}

#[test]
fn printing_a_bootstrap_makes_the_passwords_and_shows_none() -> TestResult {
    let folder = Folder::new()?;
    let sql = folder.done(&["bootstrap", "--print", "--grant-schema", "public"])?;
    assert!(sql.contains("IN SCHEMA \"public\"") || sql.contains("IN SCHEMA public"), "{sql:.200}");
    for name in ["b", "v"] {
        let file = folder.0.join("secrets").join(name);
        let password = std::fs::read_to_string(&file)?;
        assert!(!sql.contains(password.trim()));
        std::fs::write(folder.0.join("before"), &password)?;
        folder.done(&["bootstrap", "--print"])?;
        assert_eq!(std::fs::read_to_string(&file)?, password, "an existing password stays");
    }
    // A warehouse that is not there.
    let (code, report) =
        folder.fails(&["bootstrap", "--dba-url", "postgres://u:s3cr3t@/shop?host=/nowhere"])?;
    assert!(code == 1 && report.contains("because:") && !report.contains("s3cr3t"), "{report}");
    Ok(())
}
