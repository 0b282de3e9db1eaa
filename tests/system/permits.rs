//! What permits let through in a real warehouse: extensions, functions and types; the right to undo masks; and what shadow
//! policies would change, on record.

use lanyard::demo::governance;
use lanyard::demo::setting::SettingOptions;
use lanyard_tests::{Governed, GovernedOptions, Outcome};
use serde_json::Value;
use tokio_postgres::{Client, SimpleQueryMessage};

/// `unaccent` is where PUBLIC may not look.
const SQL: &str = "
CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION pg_trgm; CREATE EXTENSION tablefunc;
CREATE EXTENSION dblink;
CREATE SCHEMA tools; CREATE EXTENSION unaccent SCHEMA tools;
CREATE FUNCTION public.score(n int) RETURNS int LANGUAGE sql IMMUTABLE RETURN n + 1;
CREATE FUNCTION public.as_owner() RETURNS text LANGUAGE sql SECURITY DEFINER RETURN current_user::text;
CREATE FUNCTION public.what_is(o oid) RETURNS regclass LANGUAGE sql RETURN o::regclass;
CREATE FUNCTION public.alias(q text, a bool, b bool, c text) RETURNS xml LANGUAGE internal AS 'query_to_xml';
REVOKE EXECUTE ON FUNCTION public.as_owner() FROM PUBLIC;
CREATE TABLE public.people (id int PRIMARY KEY, email citext, name text, facts hstore, account text, card text);
INSERT INTO public.people VALUES
  (1, 'Ann@Example.com', 'Ann', 'a=>1, b=>2', 'ACC-1', '4111'), (2, 'bob@example.com', 'Bob', 'a=>3', 'ACC-2', '4222');
";

const POLICIES: &str = "
policy people allow read on tables named public.people to users in group analysts
policy accounts mask columns named public.people.account with reversible(accounts)
policy cards mask columns named public.people.card with reversible(cards)
policy names mask columns named public.people.name with token
policy undo allow unmask on columns named public.people.account, public.people.name to users named riley
policy search allow extension citext, hstore, pg_trgm, tablefunc, unaccent to users named riley
policy functions allow function public.score, public.as_owner, public.what_is, public.alias, public.dblink to users named riley
policy would_hide_mail (shadow) mask columns named public.people.email with null
";

async fn governed() -> Outcome<Governed> {
    let mut files = governance::FILES.to_vec();
    files.push(("permits.policy", POLICIES));
    let setting = SettingOptions { governance: &files, ..SettingOptions::default() };
    let options = GovernedOptions { setting, sql: SQL, schemas: &["tools"], ..GovernedOptions::default() };
    Governed::start_with(&options).await
}

/// The first column of the first row, or the SQLSTATE.
async fn first(client: &Client, sql: &str) -> Result<Option<String>, String> {
    let rows = client.simple_query(sql).await.map_err(|error| match error.code() {
        Some(code) => code.code().to_owned(),
        None => error.to_string(),
    })?;
    Ok(rows.iter().find_map(|row| match row {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn extensions_and_functions_are_used_by_those_they_are_let_through_to() -> Outcome {
    let governed = governed().await?;
    let riley = governed.connect("riley").await?;
    let taylor = governed.connect("taylor").await?;
    for (sql, expected) in [
        ("SELECT score(1)", "2"),
        ("SELECT 'A'::citext = 'a'", "t"),
        // The extension's own: PostgreSQL's tells upper from lower case.
        ("SELECT replace('Hello'::citext, 'L', 'x')", "Hexxo"),
        ("SELECT replace('Hello', 'L', 'x')", "Hello"),
        ("SELECT count(*) FROM people WHERE email = 'ANN@example.COM'", "1"),
        ("SELECT similarity('word', 'words') > 0.5", "t"),
        ("SELECT 'word' <<% 'words of wisdom', 'word' <<% 'quite other'", "t"),
        ("SELECT facts -> 'a' FROM people WHERE facts ? 'b'", "1"),
        ("SELECT array_length(akeys('a=>1,b=>2'::hstore), 1)", "2"),
        ("SELECT tools.unaccent('été')", "ete"),
        ("SELECT count(*) FROM normal_rand(3, 5, 1)", "3"),
    ] {
        assert_eq!(first(&riley, sql).await, Ok(Some(expected.to_owned())), "{sql}");
    }
    // Drivers look a type up before they use it.
    const LOOKED_UP: &str = "SELECT typname FROM pg_type WHERE oid = to_regtype('hstore')";
    assert_eq!(first(&riley, LOOKED_UP).await, Ok(Some("hstore".to_owned())));
    assert_eq!(
        first(&riley, "SELECT count(*) FROM pg_type WHERE typname IN ('citext', '_hstore')").await,
        Ok(Some("2".to_owned()))
    );
    assert_eq!(first(&taylor, LOOKED_UP).await, Ok(None));
    assert_eq!(
        first(&taylor, "SELECT count(*) FROM pg_type WHERE typname IN ('citext', 'hstore', '_hstore')").await,
        Ok(Some("0".to_owned()))
    );
    // What is there is not made, and what is not there is not told from what may not be used.
    assert_eq!(first(&riley, "CREATE EXTENSION IF NOT EXISTS citext").await, Ok(None));
    for sql in [
        "CREATE EXTENSION citext",
        "CREATE EXTENSION IF NOT EXISTS dblink",
        "CREATE EXTENSION IF NOT EXISTS pgcrypto",
        "CREATE EXTENSION IF NOT EXISTS citext SCHEMA tools",
        "DROP EXTENSION citext",
    ] {
        assert_eq!(first(&riley, sql).await, Err("42501".to_owned()), "{sql}");
    }
    assert_eq!(first(&taylor, "CREATE EXTENSION IF NOT EXISTS citext").await, Err("42501".to_owned()));
    let closed = [
        "SELECT as_owner()",
        "SELECT what_is(1259)",
        "SELECT alias('SELECT 1', true, true, '')",
        "SELECT dblink('host=localhost', 'SELECT 1')",
        "SELECT * FROM crosstab('SELECT 1, 2, 3') AS t(a int, b int)",
        "SELECT * FROM connectby('people', 'id', 'id', '1', 0) AS t(a int, b int, c int)",
        "SELECT query_to_xml('SELECT 1', true, true, '')",
        "SELECT pg_read_file('PG_VERSION')",
        "SELECT lanyard.rotate_key('token')",
    ];
    for sql in closed {
        assert_eq!(first(&riley, sql).await, Err("42501".to_owned()), "{sql}");
    }
    for sql in
        ["SELECT score(1)", "SELECT similarity('a', 'b')", "SELECT tools.unaccent('a')", "SELECT unmask('a')"]
    {
        assert_eq!(first(&taylor, sql).await, Err("42501".to_owned()), "{sql}");
    }
    for sql in ["SELECT 'a'::citext", "SELECT 'a=>1'::hstore", "SELECT 'a'::public.citext"] {
        assert_eq!(first(&taylor, sql).await, Err("42704".to_owned()), "{sql}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_extension_or_schema_does_not_even_check() -> Outcome {
    let governed = Governed::shared().await?;
    let folder = lanyard_adapters::cluster::scratch_folder("lanyard-closed")?;
    std::fs::create_dir_all(&folder)?;
    governance::write(&folder)?;
    let config = std::fs::read_to_string(&governed.setting().config)?;
    let there = governed.setting().governance.to_string_lossy().into_owned();
    let file = folder.join("lanyard.toml");
    std::fs::write(&file, config.replace(&there, &folder.to_string_lossy()))?;
    for what in [
        "extension dblink",
        "extension plpython3u",
        "function pg_catalog.pg_read_file",
        "function lanyard.unmask",
        "type pg_catalog.regclass",
        "type information_schema.sql_identifier",
    ] {
        std::fs::write(folder.join("closed.policy"), format!("policy closed allow {what} to everyone"))?;
        let mut check = std::process::Command::new(governed.lanyard().binary());
        let ran = check.args(["check", "--config"]).arg(&file).output()?;
        let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
        assert!(!ran.status.success() && said.contains("cannot be let through"), "{what}: {said}");
    }
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn masks_are_undone_by_the_right_for_their_columns_and_it_is_on_record() -> Outcome {
    let governed = governed().await?;
    let riley = governed.connect("riley").await?;
    let harper = governed.connect("harper").await?;
    let masked = first(&riley, "SELECT account FROM people WHERE id = 1").await?.unwrap_or_default();
    assert!(masked.starts_with("accounts.1."), "{masked}");
    for (sql, expected) in [
        ("SELECT unmask(account) FROM people WHERE id = 1", Some("ACC-1")),
        ("SELECT lanyard.unmask(account) FROM people WHERE id = 2", Some("ACC-2")),
        ("SELECT detokenize(name) FROM people WHERE id = 1", Some("Ann")),
        // Another column's key, a forged text, no mask at all.
        ("SELECT unmask(card) FROM people WHERE id = 1", None),
        ("SELECT unmask('accounts.1.AAAA')", None),
        ("SELECT unmask('ACC-1')", None),
        ("SELECT detokenize('tok_AAAA')", None),
    ] {
        assert_eq!(first(&riley, sql).await, Ok(expected.map(str::to_owned)), "{sql}");
    }
    for sql in [
        "SELECT unmask(account) FROM people",
        "SELECT lanyard.unmask(account) FROM people",
        "SELECT detokenize('tok_AAAA')",
    ] {
        assert_eq!(first(&harper, sql).await, Err("42501".to_owned()), "{sql}");
    }

    // The floor: of all bundles one may call it, and no role may but by that bundle.
    let dba = governed.dba().await?;
    let holders = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'lanyard\\_bundle%'
                     AND has_function_privilege(oid, 'lanyard_secured.unmask(text)', 'EXECUTE')";
    assert_eq!(dba.query_one(holders, &[]).await?.get::<_, i64>(0), 1);
    let public = "SELECT has_function_privilege('public', 'lanyard_secured.unmask(text)', 'EXECUTE')
                      OR has_function_privilege('lanyard_session', 'lanyard_secured.unmask(text)', 'EXECUTE')";
    assert!(!dba.query_one(public, &[]).await?.get::<_, bool>(0));

    let uses = |text: &str, operation: &str| -> Outcome<Vec<Value>> {
        let lines = governed.audit()?;
        let attempts = lines.iter().filter(|line| line.to_string().contains(text));
        let objects = attempts.filter_map(|line| line["objects"].as_array()).flatten();
        Ok(objects.filter(|object| object["operation"] == operation).cloned().collect())
    };
    let undone = uses("unmask(account) FROM people WHERE id = 1", "unmask")?;
    assert_eq!(undone.len(), 1, "{undone:?}");
    assert_eq!(undone[0]["relation"], "public.people");
    assert_eq!(undone[0]["masks"], serde_json::json!(["account: undone (reversible:accounts)"]));
    let read = uses("SELECT account FROM people WHERE id = 1", "read")?;
    assert_eq!(read[0]["shadow"], serde_json::json!(["email: clear -> null (would_hide_mail)"]));
    assert_eq!(
        first(&riley, "SELECT email FROM people WHERE id = 1").await,
        Ok(Some("Ann@Example.com".to_owned()))
    );
    Ok(())
}
