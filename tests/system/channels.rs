//! LISTEN and NOTIFY: what policy names arrives, also in an idle session, and nothing else does.

use lanyard::demo::governance;
use lanyard::demo::setting::SettingOptions;
use lanyard_tests::raw::Raw;
use lanyard_tests::wait::until;
use lanyard_tests::{Frame, Governed, GovernedOptions, Outcome};

const LOGIN: &str = "marketing-agent~taylor";

/// A trigger of the warehouse's own speaks, and a function that is let through listens where it should not.
const SQL: &str = "
CREATE TABLE public.inbox (id int);
CREATE FUNCTION public.tell() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN PERFORM pg_notify('orders', 'inbox ' || NEW.id); RETURN NEW; END $$;
CREATE TRIGGER tell AFTER INSERT ON public.inbox FOR EACH ROW EXECUTE FUNCTION public.tell();
CREATE FUNCTION public.overhear() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'LISTEN secrets'; END $$;
";

const POLICIES: &str = "
policy events allow channel orders, \"Late Orders\" to everyone
policy overhears allow function public.overhear to everyone
";

async fn governed(lines: &[(&str, &str)]) -> Outcome<Governed> {
    let mut files = governance::FILES.to_vec();
    files.push(("channels.policy", POLICIES));
    let setting = SettingOptions { governance: &files, lines, ..SettingOptions::default() };
    Governed::start_with(&GovernedOptions { setting, sql: SQL, ..GovernedOptions::default() }).await
}

/// Process, channel and payload of the next message, which must be a notification.
async fn heard(raw: &mut Raw) -> Outcome<(u32, String, String)> {
    let frame = raw.read().await?;
    let fits = (frame.tag == b'A').then_some(());
    fits.ok_or_else(|| format!("{} {}", char::from(frame.tag), String::from_utf8_lossy(&frame.body)))?;
    said(&frame)
}

fn said(frame: &Frame) -> Outcome<(u32, String, String)> {
    let (process, text) = frame.body.split_first_chunk::<4>().ok_or("a cut notification")?;
    let mut parts = text.split(|b| *b == 0).map(|part| String::from_utf8_lossy(part).into_owned());
    let (channel, payload) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    Ok((u32::from_be_bytes(*process), channel, payload))
}

/// The SQLSTATE and the words of the first refusal.
fn refused(frames: &[Frame]) -> Option<(String, String)> {
    let fields = frames.iter().find(|frame| frame.tag == b'E')?.fields();
    Some((fields.get(&'C')?.clone(), fields.get(&'M')?.clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_on_a_permitted_channel_reaches_an_idle_session() -> Outcome {
    let governed = governed(&[("session", "detach_seconds = 1")]).await?;
    let dba = governed.dba().await?;
    let mut raw = governed.raw_session(LOGIN).await?;
    raw.query("LISTEN orders; LISTEN \"Late Orders\"").await?;
    // A session that came later has given its backend back: this one had the time to, and has not.
    let other = governed.connect("riley").await?;
    other.simple_query("SELECT 1").await?;
    let backends = "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'LANYARD_VENDED%'";
    until("only who listens has a backend", async || {
        Ok((dba.query_one(backends, &[]).await?.get::<_, i64>(0) <= 1).then_some(()))
    })
    .await?;

    dba.batch_execute("INSERT INTO public.inbox VALUES (7)").await?;
    assert_eq!(heard(&mut raw).await?, (0, "orders".to_owned(), "inbox 7".to_owned()), "a trigger's");
    other.simple_query("NOTIFY \"Late Orders\", 'late'").await?;
    assert_eq!(heard(&mut raw).await?, (0, "Late Orders".to_owned(), "late".to_owned()), "another session's");
    // Both ways to say it; one's own carry the number one knows.
    let own = raw.cancel_key.clone().ok_or("no key")?.0;
    let frames = raw.query("SELECT pg_notify('orders', 'é')").await?;
    let at = frames.iter().position(|frame| frame.tag == b'A').ok_or("one's own was not heard")?;
    assert_eq!(said(&frames[at])?, (own, "orders".to_owned(), "é".to_owned()));
    assert_eq!(frames.last().map(|frame| frame.tag), Some(b'Z'));
    let frames = raw.query("NOTIFY orders").await?;
    assert!(frames.iter().any(|frame| frame.tag == b'A'), "{frames:?}");
    // What is taken back is not said, and who stops listening hears nothing.
    raw.query("BEGIN; NOTIFY orders, 'never'; ROLLBACK").await?;
    raw.query("UNLISTEN orders").await?;
    dba.batch_execute("NOTIFY orders, 'unheard'; NOTIFY \"Late Orders\", 'last'").await?;
    assert_eq!(heard(&mut raw).await?, (0, "Late Orders".to_owned(), "last".to_owned()));

    let lines = governed.audit()?;
    let uses = |operation: &str| {
        let objects = lines.iter().filter_map(|line| line["objects"].as_array()).flatten();
        objects.filter(|o| o["operation"] == operation && o["relation"] == "channel orders").count()
    };
    assert_eq!((uses("listen"), uses("notify")), (1, 3));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn other_channels_are_silent_and_are_not_told_to_exist() -> Outcome {
    let governed = governed(&[]).await?;
    let dba = governed.dba().await?;
    dba.batch_execute("LISTEN secrets").await?;
    let mut raw = governed.raw_session(LOGIN).await?;
    for (sql, channel) in [
        ("LISTEN secrets", "secrets"),
        ("LISTEN nobody_listens", "nobody_listens"),
        ("LISTEN \"ORDERS\"", "ORDERS"),
        ("LISTEN orders; LISTEN secrets", "secrets"),
        ("NOTIFY secrets, 'x'", "secrets"),
        ("SELECT pg_notify('secrets', lastname) FROM customer_orders", "secrets"),
        ("SELECT pg_catalog.pg_notify('nobody_listens', 'x')", "nobody_listens"),
    ] {
        let words = format!("channel \"{channel}\" is not granted");
        assert_eq!(refused(&raw.query(sql).await?), Some(("42501".to_owned(), words)), "{sql}");
    }
    for sql in [
        "SELECT pg_notify('or' || 'ders', 'x')",
        "SELECT pg_notify($1, 'x')",
        "SELECT pg_listening_channels()",
        "SELECT * FROM pg_catalog.pg_listening_channels()",
        "SELECT pg_notification_queue_usage()",
        "SELECT ('secrets'::text).pg_notify",
    ] {
        let said = refused(&raw.query(sql).await?);
        assert!(said.is_some_and(|(state, _)| ["42501", "0A000"].contains(&state.as_str())), "{sql}");
    }
    // A function of the warehouse's own may listen to anything: what it hears stays here.
    raw.query("SELECT overhear(); LISTEN orders").await?;
    dba.batch_execute("NOTIFY secrets, 'SECRET'; NOTIFY orders, 'open'").await?;
    assert_eq!(heard(&mut raw).await?, (0, "orders".to_owned(), "open".to_owned()));
    let frames = raw.query("SELECT 1").await?;
    assert!(frames.iter().all(|frame| frame.tag != b'A'), "{frames:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn drivers_hear_over_the_extended_protocol_and_after_discard_all() -> Outcome {
    let governed = governed(&[("session", "detach_seconds = 1")]).await?;
    let dba = governed.dba().await?;
    let mut raw = governed.raw_session(LOGIN).await?;
    raw.send(b'P', b"\0LISTEN orders\0\0\0").await?;
    raw.send(b'B', b"\0\0\0\0\0\0\0\0").await?;
    raw.send(b'E', b"\0\0\0\0\0").await?;
    raw.send(b'S', b"").await?;
    let tags: Vec<u8> = raw.read_until(b'Z').await?.iter().map(|frame| frame.tag).collect();
    assert_eq!(tags, *b"12CZ");
    dba.batch_execute("NOTIFY orders, 'one'").await?;
    assert_eq!(heard(&mut raw).await?.2, "one");
    // Pipelined behind DISCARD ALL, which alone would let the backend go.
    raw.send_bytes(&[b"Q\0\0\0\x10DISCARD ALL\0".as_slice(), b"Q\0\0\0\x12LISTEN orders\0"].concat()).await?;
    raw.read_until(b'Z').await?;
    raw.read_until(b'Z').await?;
    let other = governed.connect("riley").await?;
    other.simple_query("SELECT 1").await?;
    let backends = "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'LANYARD_VENDED%'";
    until("the younger session detached", async || {
        Ok((dba.query_one(backends, &[]).await?.get::<_, i64>(0) <= 1).then_some(()))
    })
    .await?;
    dba.batch_execute("NOTIFY orders, 'two'").await?;
    assert_eq!(heard(&mut raw).await?.2, "two");
    Ok(())
}
