//! COPY from the client that fails with Syncs among its data: as many are answered as PostgreSQL answers, whenever the failure
//! becomes known, and what follows is in step. Every script is sent to the proxy and to PostgreSQL itself.

use lanyard::demo::governance;
use lanyard::demo::setting::{DATABASE, SettingOptions};
use lanyard_tests::raw::frame;
use lanyard_tests::{Frame, Governed, GovernedOptions, Outcome, Raw};

use crate::messages::Dice;
use crate::messages::{bind, execute, flush, parse, query, sync};

const TABLES: &str = "CREATE TABLE public.taken (word text NOT NULL, n int);";
const POLICY: (&str, &str) = (
    "copying.policy",
    "policy copying\n  allow read, write on tables named public.taken\n  to users named harper\n",
);
const TAKEN: &str = "COPY taken (word, n) FROM STDIN";

/// A step of a client.
#[derive(Debug, Clone)]
enum Step {
    /// One write.
    Send(Vec<u8>),
    /// It waits for a message of this type.
    Await(u8),
}
use Step::{Await, Send};

fn good() -> Vec<u8> {
    frame(b'd', b"good\t1\n")
}

fn bad() -> Vec<u8> {
    frame(b'd', b"bad\tx\n")
}

fn done() -> Vec<u8> {
    frame(b'c', b"")
}

fn fail() -> Vec<u8> {
    frame(b'f', b"no more\0")
}

/// The COPY by Parse, Bind and Execute, without a Sync.
fn extended(sql: &str) -> Vec<u8> {
    [parse("", sql, &[]), bind("", "", &[]), execute("", 0)].concat()
}

fn all(messages: &[Vec<u8>]) -> Step {
    Send(messages.concat())
}

async fn environment() -> Outcome<Governed> {
    let mut files = governance::FILES.to_vec();
    files.push(POLICY);
    Governed::start_with(&GovernedOptions {
        setting: SettingOptions { governance: &files, ..SettingOptions::default() },
        sql: TABLES,
        ..GovernedOptions::default()
    })
    .await
}

async fn direct(governed: &Governed) -> Outcome<Raw> {
    let cluster = governed.cluster();
    let mut raw = Raw::connect(cluster.port()).await?;
    raw.log_in(cluster.superuser(), cluster.password(), DATABASE).await?;
    Ok(raw)
}

fn told(frame: &Frame) -> Option<String> {
    match frame.tag {
        b'N' | b'S' => None,
        b'E' => Some(frame.sqlstate().unwrap_or_default()),
        b'C' | b'Z' => Some(format!("{}({})", char::from(frame.tag), frame.body.escape_ascii())),
        tag => Some(char::from(tag).to_string()),
    }
}

/// All that is answered, up to the end of a last Query that shows whether client and server are in step.
async fn transcript(raw: &mut Raw, steps: &[Step]) -> Outcome<String> {
    let mut frames = Vec::new();
    for step in steps {
        match step {
            Send(bytes) => raw.send_bytes(bytes).await?,
            Await(tag) => {
                frames.extend(raw.read_until(*tag).await.map_err(|e| format!("{steps:?}: {e}"))?);
            }
        }
    }
    raw.send_bytes(&query("SELECT 'in step'")).await?;
    for tag in [b'D', b'Z'] {
        frames.extend(raw.read_until(tag).await.map_err(|e| format!("{steps:?}: {e}"))?);
    }
    Ok(frames.iter().filter_map(told).collect::<Vec<_>>().join(" "))
}

/// Plays a script on both sides.
async fn compare(proxied: &mut Raw, direct: &mut Raw, steps: &[Step]) -> Outcome<String> {
    let expected = transcript(direct, steps).await?;
    let said = transcript(proxied, steps).await?;
    assert_eq!(said, expected, "{steps:?}");
    Ok(said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_behind_the_data_that_failed_is_answered() -> Outcome {
    let governed = environment().await?;
    let (mut proxied, mut direct) = (governed.raw_session("harper").await?, direct(&governed).await?);
    // The client that waits for the answer to its Sync, and sends nothing else.
    let waits = [all(&[extended(TAKEN), flush()]), Await(b'G'), all(&[bad(), sync()]), Await(b'Z')];
    let said = compare(&mut proxied, &mut direct, &waits).await?;
    assert_eq!(said, "1 2 G 22P02 Z(I) T D C(SELECT 1\\x00) Z(I)");
    // Half a message of data is under way when the failure becomes known; with something behind its other half, and without.
    let (half, rest) = (good()[..7].to_vec(), good()[7..].to_vec());
    for last in [[rest.clone(), done()].concat(), rest] {
        let torn = [
            all(&[extended(TAKEN), flush()]),
            Await(b'G'),
            all(&[bad(), sync(), half.clone()]),
            Await(b'E'),
            Send(last),
            Await(b'Z'),
        ];
        compare(&mut proxied, &mut direct, &torn).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_the_copy_swallowed_is_not() -> Outcome {
    let governed = environment().await?;
    let (mut proxied, mut direct) = (governed.raw_session("harper").await?, direct(&governed).await?);
    let begins = [all(&[extended(TAKEN), flush()]), Await(b'G')];
    let begins_as_libpq = [all(&[extended(TAKEN), sync()]), Await(b'G')];
    let in_query = [all(&[query(TAKEN)]), Await(b'G')];
    for begin in [begins, begins_as_libpq, in_query] {
        for rest in [
            vec![all(&[good(), sync(), good(), done(), sync()])],
            vec![all(&[sync(), bad(), done(), sync()])],
            vec![all(&[sync(), bad()]), Await(b'E'), all(&[good(), done(), sync()])],
            vec![all(&[sync(), bad(), sync(), sync(), sync()]), Await(b'E')],
            vec![all(&[bad(), sync(), good(), sync(), done(), sync()])],
            vec![all(&[good(), sync(), fail(), sync()])],
            vec![all(&[good(), sync()]), all(&[fail()]), Await(b'E'), all(&[sync()])],
            vec![all(&[sync(), bad()]), Await(b'E'), all(&[parse("", "SELECT 1", &[]), sync()])],
        ] {
            let script = [begin.to_vec(), rest].concat();
            compare(&mut proxied, &mut direct, &script).await?;
            let inside = [vec![all(&[query("BEGIN")]), Await(b'Z')], script, vec![all(&[query("ROLLBACK")])]];
            compare(&mut proxied, &mut direct, &inside.concat()).await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn syncs_anywhere_among_the_data_are_counted_as_postgresql_counts_them() -> Outcome {
    let governed = environment().await?;
    let (mut proxied, mut direct) = (governed.raw_session("harper").await?, direct(&governed).await?);
    let mut dice = Dice(0xc0b1_e5ce_7a51);
    let mut failed = 0;
    for _ in 0..150 {
        let start = match dice.roll(3) {
            0 => query(TAKEN),
            1 => extended(TAKEN),
            _ => [extended(TAKEN), sync()].concat(),
        };
        let mut steps = vec![all(&[start, flush()]), Await(b'G')];
        let mut piece = Vec::new();
        for _ in 0..dice.roll(8) {
            piece.extend(match dice.roll(6) {
                0 | 1 => good(),
                2 => bad(),
                3 => flush(),
                _ => sync(),
            });
            if dice.roll(3) == 0 {
                steps.push(Send(std::mem::take(&mut piece)));
            }
        }
        piece.extend(if dice.roll(4) == 0 { fail() } else { done() });
        piece.extend(sync());
        steps.push(Send(piece));
        failed += usize::from(compare(&mut proxied, &mut direct, &steps).await?.contains("22P02"));
    }
    assert!((20..130).contains(&failed), "{failed} of 150 failed: the scripts say little");
    let copied = "SELECT count(*) FROM taken WHERE word <> 'good'";
    let rows = proxied.query(copied).await?;
    assert_eq!(rows[1].row()?, [Some("0".to_owned())]);
    Ok(())
}
