//! The ways round a SQL proxy, tried through the proxy: the catalogue of attacks in both protocols, and hostile bytes where
//! an attack is not SQL. Nothing of any kind may leak, and whoever else is connected goes on being served.

use lanyard::demo::setting::DATABASE;
use lanyard_tests::raw::{
    CANCEL_REQUEST, GSS_REQUEST, PROTOCOL_3_0, SSL_REQUEST, frame, frame_of_length, startup_packet,
};
use lanyard_tests::{Governed, Outcome, Raw};

use crate::attacks::{
    Attack, PRINCIPALS, answers, attacked, bind, catalogue, execute, extended, leak, refused, said, simple,
};

const LOGIN: &str = "eu_analyst";

/// SQLSTATEs with which a statement is refused before or by the floor, never after it has run.
const REFUSALS: [&str; 12] = [
    "42501", "0A000", "42P01", "42601", "42703", "42704", "42883", "3F000", "22021", "54000", "54001",
    "26000",
];

/// What is wrong with the answers to one attack, if anything.
fn verdict(attack: &Attack, login: &str, how: &str, frames: &[lanyard_tests::Frame]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut add = |what: String| {
        wrong.push(format!("{login}: {} {} ({how}): {what}: {}", attack.id, attack.class, attack.sql))
    };
    if let Some(what) = leak(attack, frames) {
        add(format!("{} leaks: {what}", attack.kind));
    }
    let ours = said(frames).into_iter().find(|p| {
        !attack.sql.contains("lanyard") && (p.contains("lanyard_secured") || p.contains("LANYARD_REFUSED"))
    });
    if let Some(piece) = ours {
        add(format!("a name of ours in {piece:?}"));
    }
    let state = refused(frames);
    match (attack.answer_to(login), &state) {
        ("refused", None) => add("not refused".into()),
        ("refused", Some(state)) if !REFUSALS.contains(&state.as_str()) => {
            add(format!("refused with {state}"))
        }
        ("runs", Some(state)) => add(format!("fails with {state} {:?}", said(frames))),
        _ => {}
    }
    if frames.last().is_none_or(|frame| frame.tag != b'Z') {
        add("the session ended".into());
    }
    wrong
}

async fn both_protocols(governed: &Governed, login: &str) -> Outcome<Vec<String>> {
    let mut wrong = Vec::new();
    let mut raw = governed.raw_session(login).await?;
    for attack in catalogue()? {
        let frames = simple(&mut raw, &attack.sql).await?;
        let found = verdict(&attack, login, "simple", &frames);
        // What an earlier attack left open must not decide over the next.
        simple(&mut raw, "ROLLBACK").await?;
        wrong.extend(found);
        let frames = extended(&mut raw, &attack.sql).await?;
        let several = refused(&frames).as_deref() == Some("42601") && attack.sql.contains(';');
        if !several {
            wrong.extend(verdict(&attack, login, "extended", &frames));
        }
        if simple(&mut raw, "ROLLBACK").await?.last().is_none_or(|frame| frame.tag != b'Z') {
            raw = governed.raw_session(login).await?;
        }
    }
    Ok(wrong)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaks_through_the_proxy() -> Outcome {
    nothing_leaks(&*attacked().await?).await
}

/// The whole catalogue by every principal, in both protocols.
pub(crate) async fn nothing_leaks(governed: &Governed) -> Outcome {
    let mut wrong = Vec::new();
    for login in PRINCIPALS {
        wrong.extend(both_protocols(governed, login).await?);
    }
    println!("{} attacks through the proxy, in both protocols", catalogue()?.len());
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(format!("{} answers are wrong:\n{}", wrong.len(), wrong.join("\n")).into())
    }
}

/// Everybody else is served: a session that was there before, and a new one.
async fn others_are_served(governed: &Governed, bystander: &mut Raw, after: &str) -> Outcome {
    let sql = "SELECT count(*) FROM app.customers WHERE region = 'US'";
    for (who, frames) in [
        ("bystander", simple(bystander, sql).await?),
        ("newcomer", simple(&mut governed.raw_session(LOGIN).await?, sql).await?),
    ] {
        let rows: Vec<_> = frames.iter().filter(|f| f.tag == b'D').collect();
        let zero = rows.len() == 1 && rows[0].row()? == [Some("0".to_owned())];
        if !zero {
            return Err(format!("{who} is not served after {after}: {frames:?}").into());
        }
    }
    Ok(())
}

/// Bytes after login, and the SQLSTATE they must get. `None`: the session goes on without an error.
type Hostile = (&'static str, Vec<u8>, Option<&'static str>);

fn hostile_frames() -> Vec<Hostile> {
    let huge = frame(b'Q', &[b"SELECT '".as_slice(), &vec![b'x'; 2 << 20], b"'\0"].concat());
    vec![
        ("FunctionCall", frame(b'F', b"\0\0\x0b\x75\0\0\0\x01\0\0\0\x08SELECT 1\0\0"), Some("0A000")),
        ("FunctionCall without a body", frame(b'F', b""), Some("0A000")),
        ("length 0", frame_of_length(b'Q', 0, b"SELECT 1\0"), Some("08P01")),
        ("length 3", frame_of_length(b'Q', 3, b"SELECT 1\0"), Some("08P01")),
        ("1 GiB announced", frame_of_length(b'Q', 1 << 30, b"SELECT 1\0"), Some("08P01")),
        ("negative length", frame_of_length(b'Q', u32::MAX, b"SELECT 1\0"), Some("08P01")),
        ("Query without NUL", frame(b'Q', b"SELECT 1"), Some("08P01")),
        ("empty Query body", frame(b'Q', b""), Some("08P01")),
        (
            "a statement behind the NUL",
            frame(b'Q', b"SELECT 1\0SELECT ssn FROM app.customers\0"),
            Some("08P01"),
        ),
        ("two NULs", frame(b'Q', b"SELECT 1\0\0"), Some("08P01")),
        ("invalid UTF-8 in Query", frame(b'Q', b"SELECT '\xc3\x28'\0"), Some("22021")),
        ("overlong UTF-8 in Query", frame(b'Q', b"SELECT '\xc0\xa7 --'\0"), Some("22021")),
        ("surrogate in Query", frame(b'Q', b"SELECT '\xed\xa0\x80'\0"), Some("22021")),
        ("invalid UTF-8 in Parse", frame(b'P', b"\0SELECT '\xff'\0\0\0"), Some("22021")),
        ("invalid UTF-8 in a name", frame(b'P', b"\xff\0SELECT 1\0\0\0"), Some("22021")),
        ("invalid UTF-8 in Bind", frame(b'B', b"\xff\0\0\0\0\0\0\0\0"), Some("22021")),
        ("Parse with too few types", frame(b'P', b"\0SELECT 1\0\0\x02\0\0\0\x17"), Some("08P01")),
        ("Bind of an unknown statement", bind("", "nobody"), Some("26000")),
        ("Bind of a name we use upstream", bind("", "lanyard_1"), Some("26000")),
        ("Bind of the name that stands for refusals", bind("", "lanyard_refused"), Some("26000")),
        ("Describe of a name we use upstream", frame(b'D', b"Slanyard_1\0"), Some("26000")),
        ("Execute of a portal never bound", execute("nobody"), Some("34000")),
        ("Execute of the unnamed portal never bound", execute(""), Some("34000")),
        ("Describe of neither", frame(b'D', b"Xa\0"), Some("08P01")),
        ("Close with leftovers", frame(b'C', b"Sa\0b"), Some("08P01")),
        ("Execute with leftovers", frame(b'E', b"\0\0\0\0\0\0"), Some("08P01")),
        ("Sync with a body", frame(b'S', b"x"), Some("08P01")),
        ("password after login", frame(b'p', b"secret\0"), Some("08P01")),
        ("message of type NUL", frame(0, b""), Some("08P01")),
        ("message of type 0xff", frame(0xff, b"abc"), Some("08P01")),
        ("a server's message", frame(b'R', b"\0\0\0\0"), Some("08P01")),
        ("CopyData out of state", frame(b'd', b"1\tEU\tx\n"), None),
        ("CopyDone out of state", frame(b'c', b""), None),
        ("CopyFail out of state", frame(b'f', b"x\0"), None),
        ("a statement over the limit", huge, Some("54000")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_frames_hurt_nobody_else() -> Outcome {
    let governed = attacked().await?;
    let mut bystander = governed.raw_session(LOGIN).await?;
    for (what, bytes, expected) in hostile_frames() {
        let mut raw = governed.raw_session(LOGIN).await?;
        // Behind the attack, what a client would send next: it must not be taken for anything else.
        let mut sent = bytes;
        sent.extend(frame(b'S', b""));
        // A proxy that has ended the session may have closed before all was written.
        drop(raw.send_bytes(&sent).await);
        let frames = answers(&mut raw).await.map_err(|e| format!("{what}: {e}"))?;
        assert_eq!(refused(&frames).as_deref(), expected, "{what}: {:?}", said(&frames));
        assert!(!frames.iter().any(|f| f.tag == b'D'), "{what} got rows");
        if expected == Some("08P01") {
            assert!(raw.closed().await?, "{what}: the session cannot be trusted any more");
        }
        others_are_served(&governed, &mut bystander, what).await?;
    }
    // Lengths that never come true (a first packet reads as one): these sessions wait, nobody else does.
    let mut waiting = Vec::new();
    for bytes in [
        frame_of_length(b'Q', 100, b"SELECT 1\0"),
        startup_packet(PROTOCOL_3_0, &[("user", "eu_writer")]),
        [8u32.to_be_bytes(), SSL_REQUEST.to_be_bytes()].concat(),
    ] {
        let mut raw = governed.raw_session(LOGIN).await?;
        raw.send_bytes(&bytes).await?;
        waiting.push(raw);
    }
    others_are_served(&governed, &mut bystander, "frames that are never whole").await
}

/// Sends a first packet and reads how it ends: the SQLSTATE, or that it was closed without a word.
async fn first_packet(governed: &Governed, bytes: &[u8]) -> Outcome<String> {
    let mut raw = governed.raw().await?;
    raw.send_bytes(bytes).await?;
    let frames = answers(&mut raw).await?;
    Ok(refused(&frames)
        .unwrap_or_else(|| format!("{:?}", frames.iter().map(|f| char::from(f.tag)).collect::<String>())))
}

#[tokio::test(flavor = "multi_thread")]
async fn startup_packets_bring_nothing_along() -> Outcome {
    let governed = attacked().await?;
    let mut bystander = governed.raw_session(LOGIN).await?;
    let with = |more: &[(&str, &str)]| {
        let mut all = vec![("user", LOGIN), ("database", DATABASE)];
        all.extend(more);
        startup_packet(PROTOCOL_3_0, &all)
    };
    for (what, packet, expected) in [
        ("replication", with(&[("replication", "database")]), "0A000"),
        ("replication = true", with(&[("replication", "true")]), "0A000"),
        ("Replication", with(&[("Replication", "1")]), "42501"),
        ("role", with(&[("role", "lanyard_owner")]), "42501"),
        ("-c role", with(&[("options", "-c role=lanyard_owner")]), "42501"),
        ("--role", with(&[("options", "--role=lanyard_owner")]), "42501"),
        ("-crole", with(&[("options", "-crole=lanyard_owner")]), "42501"),
        ("-c Role", with(&[("options", "-c Role=lanyard_owner")]), "42501"),
        ("session authorization", with(&[("options", "-c session-authorization=postgres")]), "42501"),
        ("session_replication_role", with(&[("options", "-c session_replication_role=replica")]), "42501"),
        ("standard_conforming_strings", with(&[("options", "-c standard_conforming_strings=off")]), "42501"),
        ("client_encoding", with(&[("client_encoding", "GBK")]), "42501"),
        ("backslash_quote", with(&[("options", "-c backslash_quote=on")]), "42501"),
        ("a preload library", with(&[("options", "-c local_preload_libraries=x")]), "42501"),
        (
            "two settings in one",
            with(&[("options", "-c statement_timeout=1s -c role=lanyard_owner")]),
            "42501",
        ),
        ("an escaped space", with(&[("options", "-c\\ role=lanyard_owner")]), "42501"),
        ("another switch", with(&[("options", "-d 5")]), "42601"),
        ("no user", startup_packet(PROTOCOL_3_0, &[("database", DATABASE)]), "28000"),
        ("an empty user", startup_packet(PROTOCOL_3_0, &[("user", ""), ("database", DATABASE)]), "28000"),
        ("a user twice", with(&[("user", "eu_writer")]), "08P01"),
        (
            "another database",
            startup_packet(PROTOCOL_3_0, &[("user", LOGIN), ("database", "postgres")]),
            "3D000",
        ),
        ("protocol 2", startup_packet(131_072, &[("user", LOGIN)]), "0A000"),
        ("protocol 4", startup_packet(262_144, &[("user", LOGIN)]), "0A000"),
        ("invalid UTF-8", [&[0, 0, 0, 18, 0, 3, 0, 0][..], b"user\0\xff\xff\0\0\0"].concat(), "22021"),
        ("length 7", vec![0, 0, 0, 7, 0, 3, 0], "08P01"),
        ("length 0", vec![0, 0, 0, 0, 0, 3, 0, 0], "08P01"),
        ("1 GiB", vec![0x40, 0, 0, 0, 0, 3, 0, 0], "08P01"),
        ("no terminator", [&[0, 0, 0, 13, 0, 3, 0, 0][..], b"user\0"].concat(), "08P01"),
        ("a Query before the login", frame(b'Q', b"SELECT 1\0"), "08P01"),
    ] {
        assert_eq!(first_packet(&governed, &packet).await?, expected, "{what}");
    }
    others_are_served(&governed, &mut bystander, "hostile startup packets").await
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_slipped_in_front_of_the_login_are_not_taken_for_it() -> Outcome {
    let governed = attacked().await?;
    let request = |code: u32| [8u32.to_be_bytes(), code.to_be_bytes()].concat();
    // Behind an SSLRequest that is answered N, what follows is a first packet like any other: a Query is none.
    let mut raw = governed.raw().await?;
    raw.send_bytes(&[request(SSL_REQUEST), frame(b'Q', b"SELECT 1\0")].concat()).await?;
    assert!(raw.closed().await?);
    for twice in [SSL_REQUEST, GSS_REQUEST] {
        let mut raw = governed.raw().await?;
        assert_eq!(raw.ask_encryption(twice).await?, b'N');
        raw.send_bytes(&request(twice)).await?;
        assert_eq!(raw.read().await?.sqlstate().as_deref(), Some("08P01"));
    }
    // A Query in the segment of the startup packet is read where an answer to SCRAM is due, and runs nothing.
    let mut raw = governed.raw().await?;
    let startup = startup_packet(PROTOCOL_3_0, &[("user", LOGIN), ("database", DATABASE)]);
    raw.send_bytes(&[startup, frame(b'Q', b"SELECT 'early'\0")].concat()).await?;
    let frames = answers(&mut raw).await?;
    assert_eq!(refused(&frames).as_deref(), Some("08P01"));
    // A TLS record where no TLS is offered.
    let mut raw = governed.raw().await?;
    raw.send_bytes(b"\x16\x03\x01\0\x05hello").await?;
    assert!(raw.closed().await?);
    others_are_served(&governed, &mut governed.raw_session(LOGIN).await?, "early bytes").await
}

async fn sasl(governed: &Governed, body: &[u8]) -> Outcome<Option<String>> {
    let mut raw = governed.raw().await?;
    raw.startup(PROTOCOL_3_0, &[("user", LOGIN), ("database", DATABASE)]).await?;
    let offer = raw.read().await?;
    assert_eq!((offer.tag, &offer.body[..4]), (b'R', &[0, 0, 0, 10][..]));
    assert_eq!(&offer.body[4..], b"SCRAM-SHA-256\0\0", "no channel binding without TLS, and nothing weaker");
    raw.send(b'p', body).await?;
    Ok(refused(&answers(&mut raw).await?))
}

fn initial(mechanism: &str, message: &str) -> Vec<u8> {
    let length = i32::try_from(message.len()).unwrap_or(0).to_be_bytes();
    [mechanism.as_bytes(), b"\0", &length, message.as_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn scram_takes_no_shortcut() -> Outcome {
    let governed = attacked().await?;
    for (what, body) in [
        ("a plain password", b"secret\0".to_vec()),
        ("another mechanism", initial("PLAIN", "\0eu_analyst\0secret")),
        (
            "channel binding that was not offered",
            initial("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=abc"),
        ),
        ("a binding flag without binding", initial("SCRAM-SHA-256", "p=tls-server-end-point,,n=,r=abc")),
        ("a downgrade of the hash", initial("SCRAM-SHA-1", "n,,n=,r=abc")),
        ("garbage", initial("SCRAM-SHA-256", "\u{1}\u{2}\u{3}")),
        ("nothing", Vec::new()),
        ("no length", b"SCRAM-SHA-256\0".to_vec()),
        ("a wrong length", [b"SCRAM-SHA-256\0".as_slice(), &[0, 0, 1, 0], b"n,,n=,r=abc"].concat()),
        ("a negative length", [b"SCRAM-SHA-256\0".as_slice(), &[255; 4]].concat()),
        ("5 kB", vec![b'x'; 5_000]),
    ] {
        assert_eq!(sasl(&governed, &body).await?.as_deref(), Some("08P01"), "{what}");
    }
    // A final message that proves nothing.
    for last in ["c=biws,r=wrong,p=AAAA", "c=biws,r=,p=", "e=other-error", "", "c=biws,p=x,r=y"] {
        let mut raw = governed.raw().await?;
        raw.startup(PROTOCOL_3_0, &[("user", LOGIN), ("database", DATABASE)]).await?;
        raw.read().await?;
        raw.send(b'p', &initial("SCRAM-SHA-256", "n,,n=,r=abcdefghijkl")).await?;
        assert_eq!(raw.read().await?.tag, b'R');
        raw.send(b'p', last.as_bytes()).await?;
        assert_eq!(refused(&answers(&mut raw).await?).as_deref(), Some("28P01"), "{last:?}");
    }
    others_are_served(&governed, &mut governed.raw_session(LOGIN).await?, "bad logins").await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_whom_they_name() -> Outcome {
    let governed = attacked().await?;
    let key = governed.key(LOGIN)?.to_owned();
    let probe = governed.key("probe")?.to_owned();
    // Held open, so that its role is there.
    let session = governed.raw_session(LOGIN).await?;
    let role = governed.vended_roles().await?.into_iter().find(|r| r.starts_with("LANYARD_VENDED_0_1_"));
    let role = role.ok_or("the session has a role")?;
    for (user, key, expected) in [
        ("a~b~c", key.as_str(), "28000"),
        ("~eu_analyst", &key, "28000"),
        ("probe~", &probe, "28000"),
        ("probe~nobody", &probe, "28000"),
        ("probe~eu_analyst", &key, "28P01"),
        ("eu_analyst~eu_writer", &key, "28P01"),
        ("eu_analyst", &probe, "28P01"),
        ("eu_writer", &key, "28P01"),
        ("EU_ANALYST", &key, "28P01"),
        ("nobody", &key, "28P01"),
        ("postgres", &key, "28P01"),
        ("lanyard_owner", &key, "28P01"),
        ("lanyard_vendor", &key, "28P01"),
        (&role, &key, "28000"),
        (&role.to_lowercase(), &key, "28000"),
        ("LANYARD_VENDED_0_1_x", &key, "28000"),
        ("eu_analyst'--", &key, "28000"),
        ("eu_analyst ", &key, "28000"),
        ("probe~eu_analyst*/", &probe, "28000"),
    ] {
        let mut raw = governed.raw().await?;
        let refused = raw.log_in(user, key, DATABASE).await.err().map(|e| e.to_string()).unwrap_or_default();
        assert!(refused.starts_with(expected), "{user:?}: {refused:?}");
    }
    for (user, options) in [
        ("probe~eu_analyst", "-c lanyard.user=eu_writer"),
        ("probe~eu_analyst", "-c lanyard.user="),
        ("probe", "-c lanyard.user=eu_writer~x"),
        ("probe", "-c lanyard.user=LANYARD_VENDED_0_1_x"),
    ] {
        let packet =
            startup_packet(PROTOCOL_3_0, &[("user", user), ("database", DATABASE), ("options", options)]);
        assert_eq!(first_packet(&governed, &packet).await?, "28000", "{user} {options}");
    }
    drop(session);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_cancel_keys_cancel_nothing() -> Outcome {
    let governed = attacked().await?;
    let mut victim = governed.raw_session(LOGIN).await?;
    let (pid, secret) = victim.cancel_key.clone().ok_or("no cancel key")?;
    assert_eq!(secret.len(), 4, "protocol 3.0");
    let backend = governed
        .dba()
        .await?
        .query_one("SELECT pid FROM pg_stat_activity WHERE usename LIKE 'LANYARD%' LIMIT 1", &[])
        .await?;
    let backend = u32::try_from(backend.get::<_, i32>(0))?;
    assert_ne!(pid, backend, "the key is ours, not the warehouse's");
    victim.send(b'Q', b"SELECT pg_sleep(1.5), 'undisturbed'\0").await?;
    let mut flipped = secret.clone();
    flipped[0] ^= 1;
    for (pid, secret) in [
        (pid, vec![0; 4]),
        (pid, flipped),
        (pid.wrapping_add(1), secret.clone()),
        (backend, secret.clone()),
        (backend, vec![0; 4]),
        (pid, Vec::new()),
        (pid, [secret.clone(), vec![0]].concat()),
        (pid, vec![7; 300]),
    ] {
        let mut raw = governed.raw().await?;
        let length = u32::try_from(12 + secret.len())?;
        raw.send_bytes(
            &[&length.to_be_bytes()[..], &CANCEL_REQUEST.to_be_bytes(), &pid.to_be_bytes(), &secret].concat(),
        )
        .await?;
        // Closed without telling right from wrong, but for what is no cancel request at all.
        assert!(raw.closed().await?);
    }
    let frames = answers(&mut victim).await?;
    assert_eq!(refused(&frames), None, "{:?}", said(&frames));
    assert!(said(&frames).iter().any(|piece| piece == "undisturbed"));
    Ok(())
}
