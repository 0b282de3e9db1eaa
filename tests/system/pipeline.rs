//! The accounting of pipelines: whatever a client sends in one write, an Execute runs the statement its record names, and
//! answers stay in step after errors.

use lanyard_tests::raw::frame;
use lanyard_tests::{Frame, Governed, Outcome, Raw};

use crate::attacks::{answers, attacked, bind, execute, parse, refused, said, simple};

const LOGIN: &str = "eu_analyst";

fn sync() -> Vec<u8> {
    frame(b'S', b"")
}

/// Sends all in one write; everything up to the last of so many ReadyForQuery.
async fn pipelined(raw: &mut Raw, messages: &[Vec<u8>], readies: usize) -> Outcome<Vec<Frame>> {
    raw.send_bytes(&messages.concat()).await?;
    let mut frames = Vec::new();
    for _ in 0..readies {
        frames.extend(answers(raw).await?);
    }
    Ok(frames)
}

/// `SELECT '<word>'` came back as a row.
fn ran(frames: &[Frame], word: &str) -> bool {
    frames.iter().filter(|f| f.tag == b'D').any(|f| f.row().is_ok_and(|row| row == [Some(word.to_owned())]))
}

fn tags(frames: &[Frame]) -> String {
    frames.iter().filter(|f| f.tag != b'N').map(|f| char::from(f.tag)).collect()
}

async fn session(governed: &Governed) -> Outcome<Raw> {
    governed.raw_session(LOGIN).await
}

/// What the audit says was executed with this text, by protocol of its records.
fn recorded(governed: &Governed, text: &str) -> Outcome<usize> {
    let lines = governed.audit()?;
    let attempts = lines.iter().filter(|l| l["event"] == "attempt" && l["disposition"] != "refused");
    Ok(attempts.filter(|l| l["statement"] == text).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skipped_parse_does_not_leave_the_old_statement_under_the_new_text() -> Outcome {
    let governed = attacked().await?;
    // The proxy knows its own refusal at once; that the warehouse failed it hears too late for what is behind.
    let refused_by_us = vec![parse("x", "DROP TABLE app.notes")];
    let failing = vec![parse("x", "SELECT 1/0 FROM app.notes"), bind("", "x"), execute("")];
    for (number, mut messages) in (1..).zip([refused_by_us, failing]) {
        let mut raw = session(&governed).await?;
        let (old, new) =
            (format!("SELECT 'old statement {number}'"), format!("SELECT 'new statement {number}'"));
        pipelined(&mut raw, &[parse("", &old), sync()], 1).await?;
        messages.extend([parse("", &new), sync(), bind("", ""), execute(""), sync()]);
        let frames = pipelined(&mut raw, &messages, 2).await?;
        assert!(refused(&frames).is_some());
        assert!(!ran(&frames, &format!("new statement {number}")), "its Parse was skipped");
        let old_ran = ran(&frames, &format!("old statement {number}"));
        assert_eq!(
            recorded(&governed, &old)?,
            usize::from(old_ran),
            "what ran is what is on record: {number}"
        );
        // The session is in step.
        assert!(ran(&simple(&mut raw, "SELECT 'still here'").await?, "still here"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_bind_does_not_leave_the_old_portal_under_the_new_text() -> Outcome {
    let governed = attacked().await?;
    for portal in ["", "p"] {
        let mut raw = session(&governed).await?;
        simple(&mut raw, "BEGIN").await?;
        let setup = [
            parse("a", &format!("SELECT 'portal {portal:?} of a'")),
            parse("b", &format!("SELECT 'portal {portal:?} of b'")),
            parse("s", "SAVEPOINT s"),
            parse("r", "ROLLBACK TO s"),
            bind(portal, "a"),
            bind("t", "s"),
            execute("t"),
            sync(),
        ];
        let frames = pipelined(&mut raw, &setup, 1).await?;
        assert_eq!(refused(&frames), None, "{:?}", said(&frames));
        // One parameter too many: the warehouse refuses before it touches the portal.
        let bad = frame(b'B', &[portal.as_bytes(), b"\0b\0\0\0\0\x01\0\0\0\x01x\0\0"].concat());
        let frames =
            pipelined(&mut raw, &[bad, sync(), bind("u", "r"), execute("u"), execute(portal), sync()], 2)
                .await?;
        assert!(refused(&frames).is_some());
        // What is left of the portal is PostgreSQL's affair; that its record names what ran is ours.
        for statement in ["a", "b"] {
            let word = format!("portal {portal:?} of {statement}");
            let on_record = recorded(&governed, &format!("SELECT '{word}'"))?;
            assert_eq!(on_record, usize::from(ran(&frames, &word)), "{word}: {:?}", said(&frames));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_and_portals_are_two_worlds() -> Outcome {
    let governed = attacked().await?;
    let mut raw = session(&governed).await?;
    let text = "SELECT 'never on record'";
    simple(&mut raw, "BEGIN").await?;
    pipelined(&mut raw, &[parse("a", text), bind("p", "a"), sync()], 1).await?;
    // FETCH would run what only an Execute puts on record.
    for name in ["\"lanyard_p2\"", "lanyard_2", "lanyard_3", "lanyard_p1", "lanyard_p2", "lanyard_p3"] {
        for verb in ["FETCH ALL FROM", "MOVE", "CLOSE"] {
            simple(&mut raw, "SAVEPOINT s").await?;
            let frames = simple(&mut raw, &format!("{verb} {name}")).await?;
            assert!(refused(&frames).is_some(), "{verb} {name}: {:?}", said(&frames));
            assert!(!ran(&frames, "never on record"));
            simple(&mut raw, "ROLLBACK TO s").await?;
        }
    }
    for verb in ["FETCH ALL FROM p", "CLOSE p"] {
        simple(&mut raw, "SAVEPOINT s").await?;
        let frames = simple(&mut raw, verb).await?;
        assert!(
            refused(&frames).is_some() && !ran(&frames, "never on record"),
            "{verb}: {:?}",
            said(&frames)
        );
        simple(&mut raw, "ROLLBACK TO s").await?;
    }
    // asyncpg moves its portals by SQL: what that runs is on record.
    assert_eq!(refused(&simple(&mut raw, "MOVE RELATIVE 0 p").await?), None);
    let moved = |l: &serde_json::Value| {
        l["statement"].as_str().is_some_and(|s| s.starts_with("MOVE RELATIVE 0 p") && s.contains(text))
    };
    assert!(governed.audit()?.iter().any(moved));
    assert_eq!(recorded(&governed, text)?, 0);
    // A cursor of the portal's name is the cursor's; an Execute still runs the portal.
    simple(&mut raw, "DECLARE p CURSOR FOR SELECT 'of the cursor'").await?;
    let frames = pipelined(&mut raw, &[execute("p"), sync()], 1).await?;
    assert!(ran(&frames, "never on record"), "{:?}", said(&frames));
    assert!(ran(&simple(&mut raw, "FETCH p").await?, "of the cursor"));
    let refused_name = simple(&mut raw, "DECLARE lanyard_p9 CURSOR FOR SELECT 1").await?;
    assert_eq!(refused(&refused_name).as_deref(), Some("42501"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn names_the_warehouse_would_cut_do_not_meet() -> Outcome {
    let governed = attacked().await?;
    let mut raw = session(&governed).await?;
    let long = |end: &str| format!("{}{end}", "n".repeat(63));
    let (one, two) = (long("1"), long("2"));
    simple(&mut raw, "BEGIN").await?;
    let frames = pipelined(
        &mut raw,
        &[
            parse(&one, "SELECT 'first'"),
            parse(&two, "SELECT 'second'"),
            bind(&one, &one),
            bind(&two, &two),
            execute(&one),
            sync(),
        ],
        1,
    )
    .await?;
    assert!(ran(&frames, "first") && !ran(&frames, "second"), "{:?}", said(&frames));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_an_error_before_the_sync_is_ignored_whenever_it_comes() -> Outcome {
    let governed = attacked().await?;
    for broken in [parse("", "SELECT * FROM app.ledger"), parse("", "SELECT no_such_column FROM app.notes")] {
        let mut raw = session(&governed).await?;
        raw.send_bytes(&[broken, frame(b'H', b"")].concat()).await?;
        assert_eq!(raw.read_until(b'E').await?.len(), 1);
        // The error has been read; the client goes on before its Sync, as libpq's pipeline mode does.
        let late = [
            parse("late", "SELECT 'late'"),
            bind("", "late"),
            execute(""),
            frame(b'Q', b"SELECT 'late query'\0"),
            frame(b'F', b""),
            frame(b'Q', b"\xff\0"),
            parse("", "DROP TABLE app.notes"),
            sync(),
        ];
        let frames = pipelined(&mut raw, &late, 1).await?;
        assert_eq!(tags(&frames), "Z", "{:?}", said(&frames));
        // In step: each answer belongs to its question, and none of the ignored is on record.
        for word in ["one", "two", "three"] {
            assert!(ran(&simple(&mut raw, &format!("SELECT '{word}'")).await?, word));
        }
        let bound = pipelined(&mut raw, &[bind("", "late"), sync()], 1).await?;
        assert_eq!(refused(&bound).as_deref(), Some("26000"));
        assert_eq!(recorded(&governed, "SELECT 'late'")? + recorded(&governed, "SELECT 'late query'")?, 0);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn closes_of_ours_stay_between_us_and_the_warehouse() -> Outcome {
    let governed = attacked().await?;
    let mut raw = session(&governed).await?;
    simple(&mut raw, "BEGIN").await?;
    let round = |word: &str| [parse("", &format!("SELECT '{word}'")), bind("", ""), execute("")].concat();
    let frames = pipelined(&mut raw, &[round("a"), round("b"), round("c"), sync()], 1).await?;
    assert_eq!(tags(&frames), "12DC12DC12DCZ", "{:?}", said(&frames));
    let closed =
        pipelined(&mut raw, &[frame(b'C', b"S\0"), frame(b'C', b"P\0"), frame(b'C', b"Snone\0"), sync()], 1)
            .await?;
    assert_eq!(tags(&closed), "333Z");
    assert!(ran(&simple(&mut raw, "SELECT 'after'").await?, "after"));
    // A client's own statement of a name like ours is its own.
    let own = pipelined(
        &mut raw,
        &[
            parse("lanyard_s1", "SELECT 'own'"),
            bind("lanyard_p1", "lanyard_s1"),
            execute("lanyard_p1"),
            sync(),
        ],
        1,
    )
    .await?;
    assert!(ran(&own, "own"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_object_naming_types_are_refused() -> Outcome {
    let governed = attacked().await?;
    let mut raw = session(&governed).await?;
    // The last two: aclitem names roles, and the row of pg_authid is on no list.
    for oid in [24u32, 2202, 2205, 2206, 2210, 4089, 4096, 1033, 2842] {
        let message = frame(b'P', &[b"\0SELECT $1\0\0\x01".as_slice(), &oid.to_be_bytes()].concat());
        let frames = pipelined(&mut raw, &[message, sync()], 1).await?;
        assert_eq!(refused(&frames).as_deref(), Some("42501"), "{oid}");
    }
    let message = frame(b'P', &[b"\0SELECT $1\0\0\x01".as_slice(), &25u32.to_be_bytes()].concat());
    assert_eq!(refused(&pipelined(&mut raw, &[message, sync()], 1).await?), None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_hidden_types_are_of_no_type() -> Outcome {
    let governed = attacked().await?;
    let dba = governed.dba().await?;
    let oid: u32 = dba.query_one("SELECT 'public.hidden_thing'::regtype::oid", &[]).await?.get(0);
    let mut raw = session(&governed).await?;
    let parse = |sql: &str| frame(b'P', &[b"\0", sql.as_bytes(), b"\0\0\x01", &oid.to_be_bytes()].concat());
    let bind = frame(b'B', b"\0\0\0\0\0\x01\0\0\0\x05(1,x)\0\0");
    for sql in ["SELECT row_to_json($1)", "SELECT to_json($1)", "SELECT ($1).*", "SELECT $1"] {
        let frames =
            pipelined(&mut raw, &[parse(sql), frame(b'D', b"S\0"), bind.clone(), execute(""), sync()], 1)
                .await?;
        assert!(said(&frames).iter().all(|piece| !piece.contains("secret")), "{sql}: {:?}", said(&frames));
        let hidden =
            |frame: &&lanyard_tests::Frame| frame.body.windows(4).any(|part| part == oid.to_be_bytes());
        assert_eq!(frames.iter().find(hidden).map(|frame| frame.tag), None, "{sql}");
    }
    Ok(())
}
