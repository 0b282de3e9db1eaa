//! The protocol by hand: pipelines, portals, names, versions and encryption requests, as no driver sends them all.

use std::time::Duration;

use lanyard_tests::raw::{
    CANCEL_REQUEST, GSS_REQUEST, PROTOCOL_3_0, PROTOCOL_3_2, Raw, SSL_REQUEST, frame, startup_packet,
};
use lanyard_tests::{Frame, Governed, Outcome};

use crate::drivers::environment;
use crate::messages::{
    bind, close, column, describe, exchange, execute, flush, next, parse, query, summary, sync,
};

const ORDERS: &str = "SELECT order_id FROM customer_orders ORDER BY order_id";

async fn session() -> Outcome<(std::sync::Arc<Governed>, Raw)> {
    let governed = environment().await?;
    let raw = governed.raw_session("harper").await?;
    Ok((governed, raw))
}

#[tokio::test(flavor = "multi_thread")]
async fn flush_without_sync_is_answered_at_once() -> Outcome {
    let (_governed, mut raw) = session().await?;
    raw.send_bytes(&[parse("s", ORDERS, &[]), describe('S', "s"), flush()].concat()).await?;
    for tag in [b'1', b't', b'T'] {
        assert_eq!(next(&mut raw).await?.tag, tag);
    }
    raw.send_bytes(&[bind("", "s", &[]), execute("", 2), flush()].concat()).await?;
    for tag in [b'2', b'D', b'D', b's'] {
        assert_eq!(next(&mut raw).await?.tag, tag);
    }
    raw.send_bytes(&[execute("", 2), flush()].concat()).await?;
    for tag in [b'D', b'D', b's'] {
        assert_eq!(next(&mut raw).await?.tag, tag);
    }
    assert_eq!(exchange(&mut raw, &[execute("", 0), sync()]).await?, "D C ZI");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn portals_live_as_long_as_their_transaction() -> Outcome {
    let (_governed, mut raw) = session().await?;
    exchange(&mut raw, &[query("BEGIN")]).await?;
    let both = [
        parse("", ORDERS, &[]),
        bind("a", "", &[]),
        bind("b", "", &[]),
        execute("a", 1),
        execute("b", 2),
        sync(),
    ];
    assert_eq!(exchange(&mut raw, &both).await?, "1 2 2 D s D D s ZT");
    assert_eq!(exchange(&mut raw, &[execute("a", 2), execute("b", 0), sync()]).await?, "D D s D D D C ZT");
    assert_eq!(
        exchange(&mut raw, &[describe('P', "a"), close('P', "b"), execute("b", 0), sync()]).await?,
        "T 3 34000 ZE"
    );
    assert_eq!(exchange(&mut raw, &[query("ROLLBACK")]).await?, "C ZI");
    assert_eq!(exchange(&mut raw, &[execute("a", 0), sync()]).await?, "34000 ZI");
    // A cursor of SQL is no portal of the protocol: nothing was judged for an Execute of it.
    exchange(&mut raw, &[query(&format!("BEGIN; DECLARE c CURSOR FOR {ORDERS}"))]).await?;
    assert_eq!(exchange(&mut raw, &[describe('P', "c"), sync()]).await?, "T ZT");
    assert_eq!(exchange(&mut raw, &[execute("c", 0), sync()]).await?, "34000 ZE");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_whose_bind_failed_is_what_it_was() -> Outcome {
    let (_governed, mut raw) = session().await?;
    exchange(&mut raw, &[query("BEGIN")]).await?;
    let first = [
        parse("one", "SELECT 'one' UNION ALL SELECT 'one'", &[]),
        bind("p", "one", &[]),
        execute("p", 1),
        sync(),
    ];
    assert_eq!(exchange(&mut raw, &first).await?, "1 2 D s ZT");
    exchange(&mut raw, &[query("SAVEPOINT s")]).await?;
    let second = [parse("two", "SELECT 'two'", &[]), bind("p", "two", &[]), bind("p", "two", &[]), sync()];
    assert_eq!(exchange(&mut raw, &second).await?, "1 42P03 ZE");
    exchange(&mut raw, &[query("ROLLBACK TO s")]).await?;
    raw.send_bytes(&[execute("p", 0), sync()].concat()).await?;
    assert_eq!(column(&raw.read_until(b'Z').await?)?, ["one"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_skips_to_sync_and_no_further() -> Outcome {
    let (governed, mut raw) = session().await?;
    // The warehouse's own error, in the middle: division at Execute, sorted so that no row comes first.
    let failing = [
        parse("", "SELECT 1", &[]),
        bind("", "", &[]),
        execute("", 0),
        parse("", "SELECT order_id / (order_id - $1::int) FROM customer_orders ORDER BY 1", &[]),
        bind("", "", &["1"]),
        execute("", 0),
        parse("late", "SELECT 'skipped by an error'", &[]),
        bind("", "late", &[]),
        execute("", 0),
        sync(),
        parse("", "SELECT 2", &[]),
        bind("", "", &[]),
        execute("", 0),
        sync(),
    ];
    assert_eq!(exchange(&mut raw, &failing).await?, "1 2 D C 1 2 22012 ZI");
    assert_eq!(summary(&raw.read_until(b'Z').await?), "1 2 D C ZI");
    assert_eq!(exchange(&mut raw, &[bind("", "late", &[]), sync()]).await?, "26000 ZI");

    // A refusal, in the middle.
    let refused = [
        parse("", "SELECT 1", &[]),
        bind("", "", &[]),
        execute("", 0),
        parse("x", "SELECT * FROM payroll", &[]),
        describe('S', "x"),
        bind("", "x", &[]),
        execute("", 0),
        query("SELECT 'not reached'"),
        sync(),
        parse("", "SELECT 2", &[]),
        bind("", "", &[]),
        execute("", 0),
        sync(),
    ];
    assert_eq!(exchange(&mut raw, &refused).await?, "1 2 D C 42P01 ZI");
    assert_eq!(summary(&raw.read_until(b'Z').await?), "1 2 D C ZI");
    let reached = governed.audit()?.iter().any(|line| line.to_string().contains("not reached"));
    assert!(!reached, "what was never judged is on record");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_error_a_client_may_go_on_before_its_sync() -> Outcome {
    let (_governed, mut raw) = session().await?;
    for (sql, state) in [("SELECT nope FROM customer_orders", "42703"), ("SELECT * FROM payroll", "42P01")] {
        raw.send_bytes(&[parse("", sql, &[]), flush()].concat()).await?;
        assert_eq!(next(&mut raw).await?.sqlstate().as_deref(), Some(state));
        // Ignored, as PostgreSQL does; then in step again.
        let rest = [
            parse("", "SELECT 1", &[]),
            bind("", "", &[]),
            query("SELECT 3"),
            execute("", 0),
            flush(),
            sync(),
        ];
        assert_eq!(exchange(&mut raw, &rest).await?, "ZI");
        let again = [parse("", "SELECT 1", &[]), bind("", "", &[]), execute("", 0), sync()];
        assert_eq!(exchange(&mut raw, &again).await?, "1 2 D C ZI");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_have_their_clients_names() -> Outcome {
    let (_governed, mut raw) = session().await?;
    let raw = &mut raw;
    assert_eq!(exchange(raw, &[parse("s", "SELECT $1", &[23]), sync()]).await?, "1 ZI");
    assert_eq!(exchange(raw, &[parse("s", "SELECT 2", &[]), sync()]).await?, "42P05 ZI");
    raw.send_bytes(&[describe('S', "s"), bind("", "s", &["7"]), execute("", 0), sync()].concat()).await?;
    let frames = raw.read_until(b'Z').await?;
    assert_eq!(summary(&frames), "t T 2 D C ZI");
    assert_eq!(frames[0].body, [0, 1, 0, 0, 0, 23], "the parameter's type is the client's");
    // The unnamed statement: replaced by each Parse, gone after a simple Query.
    assert_eq!(
        exchange(raw, &[parse("", "SELECT 1", &[]), parse("", "SELECT 2", &[]), sync()]).await?,
        "1 1 ZI"
    );
    raw.send_bytes(&[bind("", "", &[]), execute("", 0), bind("", "", &[]), execute("", 0), sync()].concat())
        .await?;
    assert_eq!(column(&raw.read_until(b'Z').await?)?, ["2", "2"]);
    // Close of what does not exist is no error, and closes nothing else.
    assert_eq!(exchange(raw, &[close('S', "absent"), close('P', "absent"), sync()]).await?, "3 3 ZI");
    assert_eq!(exchange(raw, &[bind("", "", &[]), execute("", 0), sync()]).await?, "2 D C ZI");
    exchange(raw, &[query("SELECT 1")]).await?;
    assert_eq!(exchange(raw, &[bind("", "", &[]), sync()]).await?, "26000 ZI");
    // Names of ours mean nothing to a client.
    for name in ["lanyard_1", "lanyard_2", "lanyard_refused", "lanyard_none"] {
        assert_eq!(exchange(raw, &[bind("", name, &[]), sync()]).await?, "26000 ZI", "{name}");
    }
    assert_eq!(exchange(raw, &[close('S', "s"), parse("s", "SELECT 3", &[]), sync()]).await?, "3 1 ZI");
    assert_eq!(exchange(raw, &[query("DEALLOCATE s")]).await?, "C ZI");
    assert_eq!(exchange(raw, &[query("DEALLOCATE s")]).await?, "26000 ZI");
    assert_eq!(exchange(raw, &[query("DEALLOCATE lanyard_2")]).await?, "26000 ZI");
    assert_eq!(exchange(raw, &[bind("", "s", &[]), sync()]).await?, "26000 ZI");
    // By the extended protocol too.
    let by_parse = [
        parse("a b", "SELECT 4", &[]),
        parse("", "DEALLOCATE \"a b\"", &[]),
        bind("", "", &[]),
        execute("", 0),
        sync(),
    ];
    assert_eq!(exchange(raw, &by_parse).await?, "1 1 2 C ZI");
    assert_eq!(exchange(raw, &[bind("", "a b", &[]), sync()]).await?, "26000 ZI");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn letting_go_of_everything_and_going_on() -> Outcome {
    let (_governed, mut raw) = session().await?;
    let raw = &mut raw;
    for all in ["DISCARD ALL", "DEALLOCATE ALL"] {
        exchange(raw, &[parse("s", "SELECT 'old'", &[]), sync()]).await?;
        exchange(raw, &[query("SET statement_timeout = 4321")]).await?;
        // As pools do: in one write with the next user's first statement, which takes the same name.
        let messages =
            [query(all), parse("s", "SELECT 'new'", &[]), bind("", "s", &[]), execute("", 0), sync()];
        assert_eq!(exchange(raw, &messages).await?, "C ZI");
        let frames = raw.read_until(b'Z').await?;
        assert_eq!((summary(&frames).as_str(), column(&frames)?), ("1 2 D C ZI", vec!["new".to_owned()]));
        // What was prepared behind it is there still.
        assert_eq!(exchange(raw, &[bind("", "s", &[]), execute("", 0), sync()]).await?, "2 D C ZI");
        exchange(raw, &[query(all)]).await?;
        assert_eq!(exchange(raw, &[bind("", "s", &[]), sync()]).await?, "26000 ZI");
    }
    // Our settings hold after it.
    exchange(raw, &[query("DISCARD ALL")]).await?;
    for (setting, value) in [("statement_timeout", "0"), ("standard_conforming_strings", "on")] {
        assert_eq!(column(&raw.query(&format!("SHOW {setting}")).await?)?, [value]);
    }
    let frames = raw.query(ORDERS).await?;
    assert_eq!(column(&frames)?, ["1", "2", "3", "4", "5"]);
    let hidden = raw.query("SELECT * FROM payroll").await?;
    assert_eq!(summary(&hidden), "42P01 ZI");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_queries_and_states() -> Outcome {
    let (_governed, mut raw) = session().await?;
    let raw = &mut raw;
    for empty in ["", ";", " -- nothing", "/* nothing */;;"] {
        assert_eq!(exchange(raw, &[query(empty)]).await?, "I ZI", "{empty:?}");
        let extended = [
            parse("", empty, &[]),
            describe('S', ""),
            bind("", "", &[]),
            describe('P', ""),
            execute("", 0),
            sync(),
        ];
        assert_eq!(exchange(raw, &extended).await?, "1 t n 2 n I ZI", "{empty:?}");
    }
    assert_eq!(exchange(raw, &[sync()]).await?, "ZI");
    // pgjdbc's way: BEGIN in front of the statement, no Sync between.
    let jdbc = [
        parse("", "BEGIN", &[]),
        bind("", "", &[]),
        execute("", 0),
        parse("", ORDERS, &[]),
        bind("", "", &[]),
        describe('P', ""),
        execute("", 0),
        sync(),
    ];
    assert_eq!(exchange(raw, &jdbc).await?, "1 2 C 1 2 T D D D D D C ZT");
    assert_eq!(exchange(raw, &[query("SELECT * FROM payroll")]).await?, "42P01 ZE");
    assert_eq!(exchange(raw, &[query("SELECT 1")]).await?, "25P02 ZE");
    assert_eq!(exchange(raw, &[parse("", "SELECT 1", &[]), sync()]).await?, "25P02 ZE");
    assert_eq!(exchange(raw, &[query("COMMIT")]).await?, "C ZI");
    assert_eq!(exchange(raw, &[query("SELECT 1; SELECT * FROM payroll")]).await?, "42P01 ZI");
    assert_eq!(exchange(raw, &[query("SELECT 1; SELECT 1/0; SELECT 2")]).await?, "T D C 22012 ZI");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_works_in_both_protocols_and_rows_name_their_table() -> Outcome {
    let (governed, mut raw) = session().await?;
    let copy = "COPY (SELECT order_id FROM customer_orders ORDER BY 1) TO STDOUT";
    assert_eq!(exchange(&mut raw, &[query(copy)]).await?, "H d d d d d c C ZI");
    let extended = [parse("", copy, &[]), bind("", "", &[]), execute("", 0), sync()];
    assert_eq!(exchange(&mut raw, &extended).await?, "1 2 H d d d d d c C ZI");
    // CopyData where there is no COPY is ignored, as PostgreSQL does.
    assert_eq!(
        exchange(&mut raw, &[frame(b'd', b"1\n"), frame(b'c', b""), query("SELECT 1")]).await?,
        "T D C ZI"
    );
    for from in [
        "COPY customer_orders FROM STDIN",
        "COPY customer_orders TO '/tmp/x'",
        "COPY customer_orders TO PROGRAM 'x'",
    ] {
        let said = exchange(&mut raw, &[query(from)]).await?;
        assert!(matches!(said.as_str(), "0A000 ZI" | "42501 ZI"), "{from}: {said}");
    }
    // Column origins are the base table's, as the catalog shows them.
    let frames = raw.query("SELECT lastname, order_id + 1 FROM customer_orders LIMIT 1").await?;
    let row = frames.iter().find(|f| f.tag == b'T').ok_or("no RowDescription")?;
    let dba = governed.dba().await?;
    let oid: u32 = dba.query_one("SELECT 'public.customer_orders'::regclass::oid", &[]).await?.get(0);
    let origin =
        row.body.get(2 + "lastname\0".len()..).and_then(|b| b.get(..6)).ok_or("a cut RowDescription")?;
    assert_eq!(origin, [&oid.to_be_bytes()[..], &[0, 2]].concat());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_key_reaches_its_own_session_only() -> Outcome {
    let (governed, mut raw) = session().await?;
    let (pid, secret) = raw.cancel_key.clone().ok_or("no key")?;
    assert_eq!(secret.len(), 4, "protocol 3.0 has keys of 4 bytes");
    let cancel = async |pid: u32, secret: &[u8]| -> Outcome {
        let mut other = governed.raw().await?;
        let mut packet = u32::try_from(12 + secret.len())?.to_be_bytes().to_vec();
        packet.extend(CANCEL_REQUEST.to_be_bytes());
        packet.extend(pid.to_be_bytes());
        packet.extend(secret);
        other.send_bytes(&packet).await?;
        assert!(other.closed().await?);
        Ok(())
    };
    raw.send_bytes(&query("SELECT pg_sleep(20)")).await?;
    let mut wrong = secret.clone();
    wrong[0] ^= 1;
    cancel(pid, &wrong).await?;
    cancel(pid ^ 1, &secret).await?;
    cancel(pid, &[secret.as_slice(), b"more"].concat()).await?;
    let early = tokio::time::timeout(Duration::from_millis(300), raw.read()).await;
    assert!(early.is_err(), "a wrong key cancelled: {early:?}");
    cancel(pid, &secret).await?;
    assert_eq!(summary(&raw.read_until(b'Z').await?), "T 57014 ZI");
    assert_eq!(exchange(&mut raw, &[query("SELECT 1")]).await?, "T D C ZI");
    Ok(())
}

/// Startup with these parameters; every frame up to ReadyForQuery or an error.
async fn start(governed: &Governed, protocol: u32, more: &[(&str, &str)]) -> Outcome<(Raw, Vec<Frame>)> {
    let mut raw = governed.raw().await?;
    let mut parameters = vec![("user", "harper"), ("database", "shop")];
    parameters.extend(more);
    raw.startup(protocol, &parameters).await?;
    let mut frames = Vec::new();
    // AuthenticationSASL ends what comes before the proof.
    loop {
        let frame = raw.read().await?;
        let end = matches!(frame.tag, b'R' | b'E');
        frames.push(frame);
        if end {
            return Ok((raw, frames));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_negotiated_as_libpq_reads_them() -> Outcome {
    let governed = environment().await?;
    for (protocol, option, answer) in [
        (PROTOCOL_3_0, None, None),
        (PROTOCOL_3_2, None, None),
        (PROTOCOL_3_0, Some("_pq_.x"), Some(PROTOCOL_3_0)),
        (PROTOCOL_3_2, Some("_pq_.x"), Some(PROTOCOL_3_2)),
        (3 << 16 | 9999, Some("_pq_.test_protocol_negotiation"), Some(PROTOCOL_3_2)),
        (3 << 16 | 3, None, Some(PROTOCOL_3_2)),
    ] {
        let options: Vec<(&str, &str)> = option.iter().map(|name| (*name, "1")).collect();
        let (_raw, frames) = start(&governed, protocol, &options).await?;
        let said = frames.iter().find(|f| f.tag == b'v').map(|f| f.body.clone());
        let expected = answer.map(|version| {
            let mut body = version.to_be_bytes().to_vec();
            body.extend(u32::from(option.is_some()).to_be_bytes());
            if let Some(name) = option {
                body.extend(name.as_bytes());
                body.push(0);
            }
            body
        });
        assert_eq!(said, expected, "{protocol:#x} {option:?}");
    }
    for (protocol, state) in [(2 << 16, "0A000"), (4 << 16, "0A000"), (0, "0A000")] {
        let mut raw = governed.raw().await?;
        raw.startup(protocol, &[("user", "harper")]).await?;
        assert_eq!(raw.read().await?.sqlstate().as_deref(), Some(state), "{protocol:#x}");
        assert!(raw.closed().await?);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greeting_says_what_drivers_need_and_nothing_of_ours() -> Outcome {
    let (_governed, raw) = session().await?;
    let expected = [
        ("client_encoding", "UTF8"),
        ("server_encoding", "UTF8"),
        ("standard_conforming_strings", "on"),
        ("integer_datetimes", "on"),
        ("is_superuser", "off"),
        ("session_authorization", "harper"),
        ("application_name", ""),
        ("DateStyle", "ISO, MDY"),
    ];
    for (name, value) in expected {
        assert_eq!(raw.parameters.get(name).map(String::as_str), Some(value), "{name}");
    }
    for name in
        ["server_version", "TimeZone", "IntervalStyle", "in_hot_standby", "default_transaction_read_only"]
    {
        assert!(raw.parameters.contains_key(name), "{name}");
    }
    let all = format!("{:?}", raw.parameters);
    assert!(!all.to_lowercase().contains("lanyard"), "{all}");
    Ok(())
}

/// PostgreSQL reports this name of UTF8 as it was written, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn the_encoding_may_be_called_by_its_other_names_and_not_changed() -> Outcome {
    let (_governed, mut raw) = session().await?;
    for (sql, refused) in [
        ("SET client_encoding TO 'UNICODE'", false),
        ("SET NAMES 'utf-8'", false),
        ("SET client_encoding TO 'utf_8'", false),
        ("SET client_encoding TO 'LATIN9'", true),
        ("SET NAMES 'SQL_ASCII'", true),
    ] {
        let answer = raw.query(sql).await?;
        assert_eq!(answer.iter().any(|frame| frame.tag == b'E'), refused, "{sql}");
    }
    let still = raw.query("SELECT 1").await?;
    assert!(still.iter().any(|frame| frame.tag == b'D'), "{still:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_is_asked_for_once_and_nothing_slips_in_front_of_it() -> Outcome {
    let governed = environment().await?;
    let mut raw = governed.raw().await?;
    assert_eq!(raw.ask_encryption(GSS_REQUEST).await?, b'N');
    assert_eq!(raw.ask_encryption(SSL_REQUEST).await?, b'S');
    let mut raw = governed.raw().await?;
    assert_eq!(raw.ask_encryption(GSS_REQUEST).await?, b'N');
    let mut packet = 8u32.to_be_bytes().to_vec();
    packet.extend(GSS_REQUEST.to_be_bytes());
    raw.send_bytes(&packet).await?;
    assert_eq!(raw.read().await?.sqlstate().as_deref(), Some("08P01"));
    assert!(raw.closed().await?);

    // A startup packet sent in plain behind the request is not taken for one that came under TLS.
    let mut raw = governed.raw().await?;
    let mut bytes = 8u32.to_be_bytes().to_vec();
    bytes.extend(SSL_REQUEST.to_be_bytes());
    bytes.extend(startup_packet(PROTOCOL_3_0, &[("user", "harper"), ("database", "shop")]));
    raw.send_bytes(&bytes).await?;
    assert!(raw.closed().await?, "it went on in plain");

    // No ALPN, no direct TLS: the first byte of a handshake alone is no session either.
    let mut raw = governed.raw().await?;
    raw.send_bytes(&[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3]).await?;
    assert!(raw.closed().await?);
    Ok(())
}

/// What runs is what the record says, also where a client does not wait to hear what became of its messages.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_under_the_record_of_something_else() -> Outcome {
    let (governed, mut raw) = session().await?;
    let raw = &mut raw;
    exchange(raw, &[parse("", "SELECT 'first kept'", &[]), sync()]).await?;
    // The second Parse is skipped, and the Bind behind the Sync would find the first statement still there.
    let messages = [
        parse("bad", "SELECT nope FROM customer_orders", &[]),
        parse("", "SELECT 'second skipped'", &[]),
        sync(),
        bind("", "", &[]),
        execute("", 0),
        sync(),
    ];
    assert_eq!(exchange(raw, &messages).await?, "42703 ZI");
    assert_eq!(summary(&raw.read_until(b'Z').await?), "26000 ZI");
    let records = governed.audit()?;
    let recorded = |text: &str| records.iter().any(|line| line.to_string().contains(text));
    assert!(!recorded("first kept") && !recorded("second skipped"), "a record of what did not run");

    // The same for the unnamed portal, in a transaction that a savepoint brings back.
    let by_parse = |sql: &str| {
        [parse("c", sql, &[]), bind("c", "c", &[]), execute("c", 0), close('P', "c"), close('S', "c")]
            .concat()
    };
    exchange(raw, &[query("BEGIN")]).await?;
    let rows = parse("rows", "SELECT 'kept' UNION ALL SELECT 'kept'", &[]);
    assert_eq!(exchange(raw, &[by_parse("SAVEPOINT s"), sync()]).await?, "1 2 C 3 3 ZT");
    let begun = [rows, bind("", "rows", &[]), execute("", 1), parse("other", "SELECT 'other'", &[]), sync()];
    assert_eq!(exchange(raw, &begun).await?, "1 2 D s 1 ZT");
    assert_eq!(exchange(raw, &[by_parse("SAVEPOINT t"), sync()]).await?, "1 2 C 3 3 ZT");
    let messages =
        [bind("", "other", &["one too many"]), sync(), by_parse("ROLLBACK TO t"), execute("", 0), sync()];
    assert_eq!(exchange(raw, &messages).await?, "08P01 ZE");
    let frames = raw.read_until(b'Z').await?;
    assert_eq!((summary(&frames).as_str(), column(&frames)?), ("1 2 C 3 3 D C ZT", vec!["kept".to_owned()]));
    let others = governed.audit()?.iter().filter(|line| line.to_string().contains("SELECT 'other'")).count();
    assert_eq!(others, 0, "a record of what did not run");
    Ok(())
}

/// A portal of the protocol is read by Execute, which is on record with its statement; SQL cannot reach it.
#[tokio::test(flavor = "multi_thread")]
async fn sql_does_not_reach_portals_of_the_protocol() -> Outcome {
    let (_governed, mut raw) = session().await?;
    let raw = &mut raw;
    // MOVE returns nothing, and asyncpg moves in its portals so.
    let bound = [parse("", ORDERS, &[]), bind("p", "", &[]), sync()];
    exchange(raw, &[query("BEGIN")]).await?;
    exchange(raw, &bound).await?;
    for (how, tag) in [("MOVE p", "MOVE 1"), ("MOVE FORWARD 2 IN p", "MOVE 2"), ("MOVE ALL p", "MOVE 2")] {
        let frames = raw.query(how).await?;
        // The notice says what the portal's statement was shaped by: a MOVE runs it.
        let complete = frames.iter().find(|frame| frame.tag == b'C').ok_or("no CommandComplete")?;
        assert_eq!(complete.body, format!("{tag}\0").into_bytes(), "{how}: {frames:?}");
    }
    assert_eq!(exchange(raw, &[query("SELECT 1; MOVE p")]).await?, "0A000 ZE");
    exchange(raw, &[query("ROLLBACK")]).await?;
    for sql in ["FETCH ALL FROM p", "CLOSE p", "MOVE q"] {
        exchange(raw, &[query("BEGIN")]).await?;
        assert_eq!(exchange(raw, &[parse("", ORDERS, &[]), bind("p", "", &[]), sync()]).await?, "1 2 ZT");
        assert_eq!(exchange(raw, &[query(sql)]).await?, "34000 ZE", "{sql}");
        exchange(raw, &[query("ROLLBACK")]).await?;
    }
    for number in 1..40 {
        assert_eq!(exchange(raw, &[query(&format!("FETCH lanyard_{number}"))]).await?, "42501 ZI");
        let named = format!("lanyard_{number}");
        assert_eq!(exchange(raw, &[describe('P', &named), sync()]).await?, "34000 ZI");
    }
    // A name is free again when its transaction is over, also before the client has heard so.
    let twice = [
        parse("s", ORDERS, &[]),
        bind("p", "s", &[]),
        execute("p", 1),
        sync(),
        bind("p", "s", &[]),
        execute("p", 1),
        sync(),
    ];
    assert_eq!(exchange(raw, &twice).await?, "1 2 D s ZI");
    assert_eq!(summary(&raw.read_until(b'Z').await?), "2 D s ZI");
    assert_eq!(exchange(raw, &[bind("p", "s", &[]), bind("p", "s", &[]), sync()]).await?, "2 42P03 ZI");
    Ok(())
}

/// PostgreSQL puts the value it cannot read into its error. One that is longer than the session takes ends it, behind whole rows.
#[tokio::test(flavor = "multi_thread")]
async fn rows_in_front_of_an_error_that_is_too_long_are_whole() -> Outcome {
    let (_governed, mut raw) = session().await?;
    let sql = "SELECT CASE WHEN g < 3 THEN g ELSE repeat('x', 17000000 + g)::int END FROM generate_series(1, 3) AS g";
    raw.send_bytes(&query(sql)).await?;
    let mut rows = Vec::new();
    let last = loop {
        let frame = next(&mut raw).await?;
        match frame.tag {
            b'T' => {}
            b'D' => rows.push(frame.row()?),
            _ => break frame,
        }
    };
    assert_eq!((last.tag, last.sqlstate().as_deref()), (b'E', Some("08006")), "{:?}", last.fields());
    assert_eq!(rows, [[Some("1".to_owned())], [Some("2".to_owned())]]);
    assert!(raw.closed().await?);
    Ok(())
}
