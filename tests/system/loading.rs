//! COPY from the client: what it fills, in which forms, and what is refused before a byte of data.

use lanyard_tests::raw::{frame, frame_of_length};
use lanyard_tests::wait::until;
use lanyard_tests::{Outcome, Raw};

use crate::messages::{
    answer, bind, close, describe, exchange, execute, flush, next, parse, query, state, summary, sync,
};
use crate::wire::{environment, session};

fn data(text: &[u8]) -> Vec<u8> {
    frame(b'd', text)
}

fn done() -> Vec<u8> {
    frame(b'c', b"")
}

/// Every row of the ledger whose word begins so.
async fn ledger(raw: &mut Raw, prefix: &str) -> Outcome<Vec<String>> {
    let sql = format!(
        "SELECT concat_ws(',', word, n, doubled, id > 0) FROM ledger WHERE starts_with(word, '{prefix}') ORDER BY word"
    );
    answer(raw, &sql).await
}

const COPY: &str = "COPY ledger (word, n) FROM STDIN";

#[tokio::test(flavor = "multi_thread")]
async fn copy_fills_a_table_in_every_format_and_protocol() -> Outcome {
    let (governed, mut raw) = session().await?;
    let raw = &mut raw;
    // Data behind the statement in one write, or after the warehouse has asked for it.
    let whole = [query(COPY), data(b"simple1\t1\nsimple2\t\\N\n"), done()];
    assert_eq!(exchange(raw, &whole).await?, "G C ZI");
    assert_eq!(ledger(raw, "simple").await?, ["simple1,1,2,t", "simple2,t"]);
    raw.send_bytes(&query("COPY public.ledger (word) FROM STDIN WITH (FORMAT csv, HEADER)")).await?;
    assert_eq!(next(raw).await?.tag, b'G');
    // A column that is left out gets its default; what a message holds is the client's affair.
    for piece in [&b"word\ncsv"[..], b"1\n\"csv,2\"", b"\n"] {
        raw.send_bytes(&data(piece)).await?;
    }
    assert_eq!(exchange(raw, &[done()]).await?, "C ZI");
    assert_eq!(ledger(raw, "csv").await?, ["csv,2,7,14,t", "csv1,7,14,t"]);
    let mut binary = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    binary.extend(b"\0\x02\0\0\0\x03bin\0\0\0\x04\0\0\0\x09\xff\xff");
    let by_parse = [
        parse("c", "COPY ledger (word, n) FROM STDIN (FORMAT binary)", &[]),
        describe('S', "c"),
        bind("", "c", &[]),
        execute("", 0),
        data(&binary),
        done(),
        sync(),
    ];
    assert_eq!(exchange(raw, &by_parse).await?, "1 t n 2 G C ZI");
    assert_eq!(ledger(raw, "bin").await?, ["bin,9,18,t"]);
    // As libpq does it: a Sync in front, which the COPY swallows, and one behind the data.
    raw.send_bytes(&[parse("", COPY, &[]), bind("", "", &[]), execute("", 0), sync()].concat()).await?;
    for tag in [b'1', b'2', b'G'] {
        assert_eq!(next(raw).await?.tag, tag);
    }
    let rest = [data(b"libpq1\t1\n"), sync(), flush(), data(b"libpq2\t2\n"), done(), sync()];
    assert_eq!(exchange(raw, &rest).await?, "C ZI");
    assert_eq!(ledger(raw, "libpq").await?, ["libpq1,1,2,t", "libpq2,2,4,t"]);
    // Two in one Query, and other statements around them.
    let two = format!("SELECT 1; {COPY}; {COPY}; SELECT 2");
    let messages = [query(&two), data(b"two1\t1\n"), done(), data(b"two2\t2\n"), done(), query("SELECT 3")];
    assert_eq!(exchange(raw, &messages).await?, "T D C G C G C T D C ZI");
    assert_eq!(summary(&raw.read_until(b'Z').await?), "T D C ZI");
    assert_eq!(ledger(raw, "two").await?, ["two1,1,2,t", "two2,2,4,t"]);
    // Two in one pipeline.
    let run = || [bind("", "c2", &[]), execute("", 0), data(b"pipe\t1\n"), done()].concat();
    assert_eq!(exchange(raw, &[parse("c2", COPY, &[]), run(), run(), sync()]).await?, "1 2 G C 2 G C ZI");
    assert_eq!(ledger(raw, "pipe").await?.len(), 2);
    // One byte at a time, headers too.
    let slow = [query(COPY), data(b"slow\t5\n"), done()].concat();
    for byte in slow {
        raw.send_bytes(&[byte]).await?;
    }
    assert_eq!(summary(&raw.read_until(b'Z').await?), "G C ZI");
    assert_eq!(ledger(raw, "slow").await?, ["slow,5,10,t"]);
    // A default that changes later is the one that holds, and so is one that is gone.
    let dba = governed.dba().await?;
    for (change, expected) in [
        ("ALTER COLUMN n SET DEFAULT 70 + 1", "moved1,71,142,t"),
        ("ALTER COLUMN n DROP DEFAULT", "moved2,t"),
        ("ALTER COLUMN n SET DEFAULT 7", "moved3,7,14,t"),
    ] {
        dba.batch_execute(&format!("ALTER TABLE ledger {change}")).await?;
        let word = expected.split(',').next().unwrap_or_default();
        let row = data(format!("{word}\n").as_bytes());
        let copied = exchange(raw, &[query("COPY ledger (word) FROM STDIN"), row, done()]).await?;
        assert_eq!(
            (copied.as_str(), ledger(raw, word).await?),
            ("G C ZI", vec![expected.to_owned()]),
            "{change}"
        );
    }
    let records = governed.audit()?;
    let of_two = records.iter().find(|l| l["statement"] == two.as_str()).ok_or("no record of the COPY")?;
    assert_eq!(of_two["objects"][0]["operation"], "write", "{of_two}");
    let outcome = records.iter().find(|l| l["event"] == "outcome" && l["ruling"] == of_two["ruling"]);
    assert_eq!(outcome.ok_or("no outcome")?["rows"], 4, "two rows selected, two copied");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_as_large_as_one_likes() -> Outcome {
    let (_governed, mut raw) = session().await?;
    // One message larger than any other may be. No row is kept, so that this is about bytes.
    let row = [b"x".repeat(999), b"\n".to_vec()].concat();
    let bytes = row.repeat(20 << 10);
    raw.send_bytes(&[query("COPY ledger (word) FROM STDIN WHERE false"), data(&bytes), done()].concat())
        .await?;
    assert_eq!(summary(&raw.read_until(b'Z').await?), "G C ZI");
    assert_eq!(answer(&mut raw, "SELECT 'in step'").await?, ["in step"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_fails_leaves_nothing_and_the_session_in_step() -> Outcome {
    let (_governed, mut raw) = session().await?;
    let raw = &mut raw;
    let bad = [
        (data(b"bad1\t1\nbad2\tx\n"), "22P02"),
        (data(b"bad1\t1\nbad2\t1000\n"), "23514"),
        (data(b"bad1\t1\n\\N\t1\n"), "23502"),
        (data(b"bad1\t1\t2\n"), "22P04"),
        (data(b"bad1\t1\nbad2\xff\t1\n"), "22021"),
        ([data(b"bad1\t1\n"), frame(b'f', b"no more\0")].concat(), "57014"),
    ];
    for (bytes, code) in bad {
        let simple = [query(COPY), bytes.clone(), data(b"bad3\t3\n"), done(), query("SELECT 1")];
        assert_eq!(exchange(raw, &simple).await?, format!("G {code} ZI"));
        assert_eq!(summary(&raw.read_until(b'Z').await?), "T D C ZI", "{code}");
        let extended =
            [parse("", COPY, &[]), bind("", "", &[]), execute("", 0), bytes.clone(), done(), sync()];
        assert_eq!(exchange(raw, &extended).await?, format!("1 2 G {code} ZI"));
        assert_eq!(answer(raw, "SELECT 'in step'").await?, ["in step"], "{code}");
        // In a transaction, the client reading before it goes on.
        assert_eq!(state(raw, "BEGIN").await?, "C ZT");
        raw.send_bytes(&[query(COPY), bytes].concat()).await?;
        if code != "57014" {
            raw.send_bytes(&done()).await?;
        }
        assert_eq!(summary(&raw.read_until(b'Z').await?), format!("G {code} ZE"));
        assert_eq!(state(raw, "ROLLBACK").await?, "C ZI");
    }
    // It fails before it begins: what was meant for it is ignored.
    let absent = [query("COPY ledger (absent) FROM STDIN"), data(b"1\n"), done(), query("SELECT 1")];
    assert_eq!(exchange(raw, &absent).await?, "42703 ZI");
    assert_eq!(summary(&raw.read_until(b'Z').await?), "T D C ZI");
    let absent =
        [parse("", "COPY ledger (absent) FROM STDIN", &[]), bind("", "", &[]), execute("", 0), sync()];
    assert_eq!(exchange(raw, &absent).await?, "1 2 42703 ZI");
    assert_eq!(exchange(raw, &[data(b"1\n"), done(), sync()]).await?, "ZI");
    assert_eq!(ledger(raw, "bad").await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_data_comes_in_the_middle_of_a_copy() -> Outcome {
    let governed = environment().await?;
    for message in [
        query("SELECT * FROM hidden"),
        parse("", "SELECT 1", &[]),
        bind("", "", &[]),
        execute("", 0),
        describe('S', ""),
        close('S', "x"),
        frame(b'F', b""),
    ] {
        let mut raw = governed.raw_session("harper").await?;
        raw.send_bytes(&[query(COPY), data(b"middle\t1\n")].concat()).await?;
        assert_eq!(next(&mut raw).await?.tag, b'G');
        raw.send_bytes(&message).await?;
        let error = next(&mut raw).await?;
        assert_eq!(error.sqlstate().as_deref(), Some("08P01"), "{error:?}");
        assert!(raw.closed().await?);
    }
    // A client that goes away has copied nothing.
    for last in [data(b"gone\t1\n"), frame_of_length(b'd', 1000, b"gone\t1\n"), frame(b'X', b"")] {
        let mut raw = governed.raw_session("harper").await?;
        raw.send_bytes(&query(COPY)).await?;
        assert_eq!(next(&mut raw).await?.tag, b'G');
        raw.send_bytes(&[data(b"gone\t1\n"), last].concat()).await?;
        drop(raw);
    }
    let mut raw = governed.raw_session("harper").await?;
    let rows = "SELECT count(*) FROM ledger WHERE word IN ('middle', 'gone')";
    until("the copies are gone", async || Ok((answer(&mut raw, rows).await? == ["0"]).then_some(()))).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_that_policy_does_not_allow_are_refused_before_they_begin() -> Outcome {
    let (governed, mut raw) = session().await?;
    for (sql, code) in [
        ("COPY hidden FROM STDIN", "42P01"),
        ("COPY customer_orders FROM STDIN", "42501"),
        ("COPY shaped FROM STDIN", "0A000"),
        ("COPY shaped (id) FROM STDIN", "0A000"),
        ("COPY pg_class FROM STDIN", "42501"),
        ("COPY lanyard_secured.v_x FROM STDIN", "42P01"),
        ("COPY ledger FROM '/etc/passwd'", "42501"),
        ("COPY ledger FROM PROGRAM 'id'", "42501"),
        ("COPY ledger FROM STDIN (FREEZE)", "42501"),
        ("COPY ledger FROM STDIN (ENCODING 'LATIN1')", "42501"),
        ("COPY ledger FROM STDIN WHERE pg_read_file('x') = ''", "42501"),
        ("COPY ledger FROM STDIN WHERE id IN (SELECT id FROM hidden)", "42P01"),
        ("SELECT 1; COPY hidden FROM STDIN", "42P01"),
        ("PREPARE p AS COPY ledger FROM STDIN", "42601"),
        ("EXPLAIN COPY ledger FROM STDIN", "42601"),
    ] {
        assert_eq!(state(&mut raw, sql).await?, format!("{code} ZI"), "{sql}");
        let extended = [parse("", sql, &[]), bind("", "", &[]), execute("", 0), sync()];
        if !sql.contains(';') {
            assert_eq!(exchange(&mut raw, &extended).await?, format!("{code} ZI"), "{sql}");
        }
    }
    // Errors of a copy speak of the client's table.
    let wrong = [query("COPY ledger (doubled) FROM STDIN"), data(b"1\n"), done()];
    raw.send_bytes(&wrong.concat()).await?;
    let said = format!("{:?}", raw.read_until(b'Z').await?.iter().map(|f| f.fields()).collect::<Vec<_>>());
    assert!(said.contains("42703") && said.contains("ledger") && !said.contains("v_"), "{said}");
    // The floor: the role may fill the view for copies, and there is nothing in it to read.
    let dba = governed.dba().await?;
    let open = "SELECT count(*) FROM information_schema.table_privileges WHERE table_schema = 'lanyard_secured'
                AND table_name LIKE '%copy' AND privilege_type NOT IN ('INSERT', 'SELECT') AND grantee LIKE 'lanyard_bundle%'";
    assert_eq!(dba.query_one(open, &[]).await?.get::<_, i64>(0), 0);
    let reads = "SELECT count(*) FROM pg_rewrite r JOIN pg_class v ON v.oid = r.ev_class AND v.relname LIKE 'v\\_%\\_copy'
                 JOIN pg_depend d ON d.objid = r.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> v.oid";
    assert_eq!(dba.query_one(reads, &[]).await?.get::<_, i64>(0), 0, "a view for copies reads something");
    Ok(())
}
