//! Parameters of types that are not PostgreSQL's own: the session's own and those of columns it sees keep their type wherever the
//! Parse stands, and those that policy hides say nothing.

use lanyard::demo::governance;
use lanyard::demo::setting::SettingOptions;
use lanyard_tests::raw::frame;
use lanyard_tests::{Frame, Governed, GovernedOptions, Outcome, Raw};

use crate::messages::{answer, bind, describe, exchange, execute, parse, query, state, summary, sync};

const TABLES: &str = "
    CREATE TYPE public.mood AS ENUM ('fine', 'low');
    CREATE TYPE public.pair AS (a int, b text);
    CREATE TYPE public.secret_mood AS ENUM ('SECRET-LABEL');
    CREATE TABLE public.felt (id int, m public.mood, p public.pair);
    INSERT INTO public.felt VALUES (1, 'low', '(1,x)');
    CREATE TABLE public.secret_felt (id int, secret_column text, m public.secret_mood);";
const POLICY: (&str, &str) = (
    "parameters.policy",
    "policy felt\n  allow read, write on tables named public.felt\n  to users named harper\n\
     policy scratch\n  allow workspace to users named harper\n\
     policy no_id\n  mask columns named public.felt.id with deny\n  for everyone\n",
);
const TEXT: u32 = 25;

async fn environment() -> Outcome<Governed> {
    let mut files = governance::FILES.to_vec();
    files.push(POLICY);
    let setting = SettingOptions { governance: &files, ..SettingOptions::default() };
    Governed::start_with(&GovernedOptions { setting, sql: TABLES, ..GovernedOptions::default() }).await
}

async fn oid(governed: &Governed, name: &str) -> Outcome<u32> {
    let dba = governed.dba().await?;
    Ok(dba.query_one("SELECT $1::text::regtype::oid", &[&name]).await?.get(0))
}

/// The type of the statement's parameter, as the warehouse has it.
fn parameter(frames: &[Frame]) -> Outcome<u32> {
    let described = frames.iter().find(|frame| frame.tag == b't').ok_or_else(|| summary(frames))?;
    Ok(u32::from_be_bytes(described.body.get(2..6).ok_or("no parameter")?.try_into()?))
}

async fn parsed(raw: &mut Raw, oid: u32) -> Outcome<u32> {
    raw.send_bytes(&[parse("", "SELECT $1", &[oid]), describe('S', ""), sync()].concat()).await?;
    parameter(&raw.read_until(b'Z').await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_session_sees_keeps_its_type_and_what_it_does_not_has_none() -> Outcome {
    let governed = environment().await?;
    let raw = &mut governed.raw_session("harper").await?;
    for name in ["public.mood", "public.mood[]"] {
        let oid = oid(&governed, name).await?;
        assert_eq!(parsed(raw, oid).await?, oid, "{name}");
        assert_eq!(parsed(raw, oid).await?, oid, "{name}, known by now");
    }
    // Rows and composites may hold what policy hides, also of relations that the session sees.
    for name in [
        "public.secret_mood",
        "public.secret_mood[]",
        "public.secret_felt",
        "public.secret_felt[]",
        "public.felt",
        "public.felt[]",
        "public.pair",
        "public.pair[]",
    ] {
        let oid = oid(&governed, name).await?;
        assert_eq!(parsed(raw, oid).await?, TEXT, "{name}");
        let row =
            [parse("", "SELECT row_to_json($1)", &[oid]), bind("", "", &["(1)"]), execute("", 0), sync()];
        raw.send_bytes(&row.concat()).await?;
        let said = format!("{:?}", raw.read_until(b'Z').await?);
        assert!(!said.to_lowercase().contains("secret"), "{name}: {said}");
    }
    for missing in [99_999_999, u32::MAX] {
        assert_eq!(parsed(raw, missing).await?, TEXT);
    }
    // Many at once, more than one question is about: none has a type, and PostgreSQL finds none either.
    let mood = oid(&governed, "public.mood").await?;
    for count in [300, 60_000] {
        let many: Vec<u32> = (0..count).map(|n| 50_000_000 + n).collect();
        assert_eq!(exchange(raw, &[parse("", "SELECT 1", &many), sync()]).await?, "42P18 ZI", "{count}");
        assert_eq!(parsed(raw, mood).await?, mood, "known since before {count}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_question_leaves_the_rest_of_the_pipeline_as_it_was() -> Outcome {
    let governed = environment().await?;
    let raw = &mut governed.raw_session("harper").await?;
    let mut made = 0;
    let mut own = async |raw: &mut Raw| -> Outcome<u32> {
        made += 1;
        state(raw, &format!("CREATE TYPE own_{made} AS ENUM ('yes')")).await?;
        let shown = answer(raw, &format!("SELECT 'own_{made}'::regtype::oid")).await?;
        Ok(shown.first().ok_or("no type")?.parse()?)
    };
    // In the transaction that makes it, with the unnamed statement and portal bound around it.
    assert_eq!(state(raw, "BEGIN").await?, "C ZT");
    let first = own(raw).await?;
    let messages = [
        parse("", "SELECT 41", &[]),
        bind("", "", &[]),
        parse("typed", "SELECT $1, $2", &[first, first]),
        execute("", 0),
        bind("", "typed", &["yes", "yes"]),
        describe('P', ""),
        execute("", 0),
        sync(),
    ];
    raw.send_bytes(&messages.concat()).await?;
    let frames = raw.read_until(b'Z').await?;
    assert_eq!(summary(&frames), "1 2 1 D C 2 T D C ZT");
    let row = frames.iter().find(|frame| frame.tag == b'T').ok_or("no description")?;
    assert!(row.body.windows(4).any(|part| part == first.to_be_bytes()), "{row:?}");
    assert_eq!(state(raw, "COMMIT").await?, "C ZI");
    // What the type does not take is its own error.
    let wrong = [bind("", "typed", &["no", "yes"]), execute("", 0), sync()];
    assert_eq!(exchange(raw, &wrong).await?, "22P02 ZI");
    // Behind an error in the same pipeline it is skipped, and asked about again later.
    let second = own(raw).await?;
    let failed = [
        parse("", "SELECT 1/0", &[]),
        bind("", "", &[]),
        execute("", 0),
        parse("t2", "SELECT $1", &[second]),
        sync(),
    ];
    assert!(exchange(raw, &failed).await?.ends_with("22012 ZI"));
    assert_eq!(parsed(raw, second).await?, second);
    // In a failed transaction nothing is asked, and nothing is answered but the failure.
    let third = own(raw).await?;
    state(raw, "BEGIN").await?;
    assert_eq!(state(raw, "SELECT 1/0").await?, "22012 ZE");
    assert_eq!(exchange(raw, &[parse("", "SELECT $1", &[third]), sync()]).await?, "25P02 ZE");
    assert_eq!(state(raw, "ROLLBACK").await?, "C ZI");
    // A transaction that fails while the question is on its way.
    let unseen = [query("BEGIN"), query("SELECT 1/0"), parse("", "SELECT $1", &[third]), sync()];
    raw.send_bytes(&unseen.concat()).await?;
    for expected in ["C ZT", "22012 ZE", "25P02 ZE"] {
        assert_eq!(summary(&raw.read_until(b'Z').await?), expected);
    }
    assert_eq!(state(raw, "ROLLBACK").await?, "C ZI");
    assert_eq!(parsed(raw, third).await?, third);
    // Behind the end of a COPY.
    let fourth = own(raw).await?;
    state(raw, "CREATE TEMP TABLE taken (word text)").await?;
    let copy = [
        parse("", "COPY taken FROM STDIN", &[]),
        bind("", "", &[]),
        execute("", 0),
        frame(b'd', b"x\n"),
        frame(b'c', b""),
        parse("t4", "SELECT $1", &[fourth]),
        describe('S', "t4"),
        sync(),
    ];
    raw.send_bytes(&copy.concat()).await?;
    let frames = raw.read_until(b'Z').await?;
    assert_eq!(parameter(&frames)?, fourth, "{}", summary(&frames));
    assert_eq!(answer(raw, "SELECT word FROM taken").await?, ["x"]);
    // Goodbye while it is on its way.
    let fifth = own(raw).await?;
    raw.send_bytes(&[parse("", "SELECT $1", &[fifth]), frame(b'X', b"")].concat()).await?;
    assert!(raw.closed().await?);
    Ok(())
}
