//! The search path: what a bare name is, what is shown, and its transactions, beside PostgreSQL's own.

use lanyard_tests::raw::PROTOCOL_3_0;
use lanyard_tests::{Outcome, Raw};

use crate::messages::{
    Dice, answer, bind, column, exchange, execute, message, parse, query, state, sync, told,
};
use crate::wire::{environment, session};

#[tokio::test(flavor = "multi_thread")]
async fn the_search_path_decides_what_a_bare_name_is() -> Outcome {
    let (governed, mut raw) = session().await?;
    let raw = &mut raw;
    let here = "SELECT word FROM here";
    assert_eq!(state(raw, here).await?, "42P01 ZI");
    state(raw, "SET search_path = a, b").await?;
    assert_eq!(answer(raw, here).await?, ["in a"]);
    assert_eq!(answer(raw, "SHOW search_path").await?, ["a, b"]);
    assert_eq!(answer(raw, "SELECT current_schema()").await?, ["a"]);
    assert_eq!(answer(raw, "SELECT pg_table_is_visible('b.here'::regclass)").await?, ["f"]);
    assert_eq!(answer(raw, "SET search_path = b; SELECT word FROM here").await?, ["in b"]);
    assert_eq!(
        answer(raw, "SELECT set_config('search_path', 'a', false); SELECT word FROM here").await?,
        ["a", "in a"]
    );
    assert_eq!(state(raw, "RESET ALL").await?, "C ZI");
    assert_eq!(state(raw, here).await?, "42P01 ZI");
    // Another session of the same person is not touched.
    state(raw, "SET search_path = a").await?;
    let mut other = governed.raw_session("harper").await?;
    assert_eq!(state(&mut other, here).await?, "42P01 ZI");
    // A prepared statement keeps its table, or says that it cannot.
    exchange(raw, &[parse("s", here, &[]), sync()]).await?;
    exchange(raw, &[parse("t", "SELECT word FROM a.here", &[]), sync()]).await?;
    state(raw, "PREPARE p AS SELECT word FROM here").await?;
    state(raw, "SET search_path = b").await?;
    assert_eq!(exchange(raw, &[bind("", "s", &[]), sync()]).await?, "0A000 ZI");
    assert_eq!(state(raw, "EXECUTE p").await?, "0A000 ZI");
    assert_eq!(exchange(raw, &[bind("", "t", &[]), execute("", 0), sync()]).await?, "2 D C ZI");
    state(raw, "SET search_path = c").await?;
    assert_eq!(exchange(raw, &[bind("", "s", &[]), sync()]).await?, "42P01 ZI");
    state(raw, "SET search_path = a, c").await?;
    assert_eq!(exchange(raw, &[bind("", "s", &[]), execute("", 0), sync()]).await?, "2 D C ZI");
    assert_eq!(answer(raw, "EXECUTE p").await?, ["in a"]);
    // Prepared behind a SET of the same message: under the path that it set.
    assert_eq!(state(raw, "SET search_path = b; PREPARE q AS SELECT word FROM here").await?, "C C ZI");
    assert_eq!(answer(raw, "EXECUTE q").await?, ["in b"]);
    state(raw, "SET search_path = a").await?;
    assert_eq!(state(raw, "EXECUTE q").await?, "0A000 ZI");
    state(raw, "SET search_path = b").await?;
    assert_eq!(answer(raw, "EXECUTE q").await?, ["in b"]);
    state(raw, "SET search_path = a").await?;
    // Sent in one go: each statement finds what those before it leave behind.
    let run = |sql: &str| [parse("", sql, &[]), bind("", "", &[]), execute("", 0)].concat();
    let messages =
        [run("SET search_path = b"), run(here), run("SET search_path = a"), run(here), sync(), query(here)];
    raw.send_bytes(&messages.concat()).await?;
    assert_eq!(column(&raw.read_until(b'Z').await?)?, ["in b", "in a"]);
    assert_eq!(column(&raw.read_until(b'Z').await?)?, ["in a"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_search_path_opens_nothing() -> Outcome {
    let (governed, mut raw) = session().await?;
    let raw = &mut raw;
    for (sql, code) in [
        ("SET search_path = pg_temp, public", "42501"),
        ("SELECT set_config('search_path', 'pg_temp, a', false)", "42501"),
        ("SELECT set_config('search_path', word, false) FROM ledger", "42501"),
        ("SELECT set_config('search_path', 'a', false) FROM ledger", "42501"),
        ("SET search_path = c; SELECT * FROM only_c", "42P01"),
        ("SET search_path = lanyard_secured; SELECT * FROM pg_class, here", "42P01"),
        ("SET search_path = lanyard; SELECT * FROM session_attribute", "42P01"),
        ("SET search_path = public; SELECT * FROM hidden", "42P01"),
        ("SET search_path = 7", "0A000"),
        ("SET search_path FROM CURRENT", "0A000"),
        ("SELECT set_config('search_path', 'a,,b', true)", "22023"),
        ("ALTER ROLE CURRENT_USER SET search_path = a", "42501"),
    ] {
        assert_eq!(state(raw, sql).await?, format!("{code} ZI"), "{sql}");
    }
    // What the client set is what it is shown, and nothing of ours.
    for (path, shown) in [
        ("c", "c"),
        ("a, lanyard_secured, pg_catalog", "a, lanyard_secured, pg_catalog"),
        ("public, pg_temp", "public, pg_temp"),
        ("''", "\"\""),
    ] {
        assert_eq!(state(raw, &format!("SET search_path = {path}")).await?, "C ZI");
        for how in ["SELECT current_setting('search_path')", "SHOW search_path"] {
            assert_eq!(answer(raw, how).await?, [shown], "{path}");
        }
    }
    // An unknown schema and a hidden one are told alike.
    for schema in ["c", "absent"] {
        state(raw, &format!("SET search_path = {schema}")).await?;
        assert_eq!(
            answer(raw, "SELECT current_schema() IS NULL, current_schemas(true)").await?,
            ["t"],
            "{schema}"
        );
        assert_eq!(answer(raw, "SHOW search_path").await?, [schema]);
    }
    drop(governed);
    Ok(())
}

const STEPS: [&str; 34] = [
    "SET search_path = a",
    "SET search_path = b",
    "SET search_path = c, a",
    "SET search_path TO 'A b', \"$user\", public",
    "SET SCHEMA 'b'",
    "SET LOCAL search_path = a",
    "SET LOCAL search_path = b, absent",
    "SET LOCAL search_path TO DEFAULT",
    "SET search_path TO DEFAULT",
    "SET SESSION search_path = a, b",
    "RESET search_path",
    "RESET ALL",
    "SELECT set_config('search_path', 'b,  c', true)",
    "SELECT set_config('search_path', 'a', false)",
    "SELECT pg_catalog.set_config('search_path', '', false)",
    "BEGIN",
    "BEGIN",
    "START TRANSACTION",
    "COMMIT",
    "END",
    "COMMIT AND CHAIN",
    "ROLLBACK",
    "ABORT",
    "ROLLBACK AND CHAIN",
    "SAVEPOINT s",
    "SAVEPOINT s",
    "SAVEPOINT t",
    "RELEASE s",
    "RELEASE t",
    "ROLLBACK TO s",
    "ROLLBACK TO t",
    "SELECT 1/0",
    "DISCARD ALL",
    "SHOW search_path",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_search_path_follows_transactions_as_postgresql_has_it() -> Outcome {
    let governed = environment().await?;
    let cluster = governed.cluster();
    let mut dice = Dice(0x5eed_1234_abcd);
    for _ in 0..60 {
        let mut proxied = governed.raw_session("harper").await?;
        let mut direct = Raw::connect(cluster.port()).await?;
        let parameters = [("user", cluster.superuser()), ("database", "shop"), ("search_path", "public")];
        direct.startup(PROTOCOL_3_0, &parameters).await?;
        direct.authenticate(cluster.password()).await?;
        direct.read_until(b'Z').await?;
        let mut script = Vec::new();
        for _ in 0..12 {
            let (text, bytes, readies) = message(&mut dice, &STEPS);
            script.push(text);
            let expected = told(&mut direct, &bytes, readies).await?;
            assert_eq!(told(&mut proxied, &bytes, readies).await?, expected, "{script:#?}");
            if expected.last().is_some_and(|last| last == "Z E") {
                continue;
            }
            // In a transaction a failure would end it.
            let guarded = if expected.last().is_some_and(|last| last == "Z T") {
                [
                    "SAVEPOINT guard",
                    "SELECT word FROM here",
                    "ROLLBACK TO guard",
                    "RELEASE guard",
                    "SHOW search_path",
                ]
            } else {
                ["SHOW search_path", "SELECT word FROM here", "SELECT 1", "SELECT 1", "SHOW search_path"]
            };
            for sql in guarded {
                let expected = told(&mut direct, &query(sql), 1).await?;
                assert_eq!(told(&mut proxied, &query(sql), 1).await?, expected, "{sql} after {script:#?}");
            }
        }
    }
    Ok(())
}
