//! What clients do: ask much, ask hardly, read slowly, write byte by byte, flood, and vanish. Each statement carries a mark of
//! its own, and its answer has to carry the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lanyard::demo::setting::DATABASE;
use lanyard_tests::raw::{PROTOCOL_3_0, Raw, frame};
use lanyard_tests::{Frame, Governed, Outcome};
use tokio::time::sleep;

use crate::messages::Dice;

const LOGIN: &str = "marketing-agent~taylor";
const MARK: &str = "load-";
const STATEMENTS_MAX: usize = 30;
const THINK_MILLISECONDS: usize = 500;
/// A silent client's pause: many times what it takes for its backend to go.
const SILENCE_MILLISECONDS: usize = 40_000;
/// Nobody sleeps on after the end.
const LOOK: Duration = Duration::from_millis(200);
const ROWS_SLOW: usize = 2_000;

/// SQLSTATEs of a warehouse that goes down, comes up, is full, or ends what it was told to end.
const HARMED: [&str; 8] = ["57P01", "57P02", "57P03", "57014", "08006", "08003", "53300", "25P02"];

/// Where clients go.
#[derive(Debug, Clone)]
pub(super) struct Door {
    port: u16,
    key: Arc<str>,
}

impl Door {
    pub(super) fn of(governed: &Governed) -> Outcome<Self> {
        Ok(Self { port: governed.setting().port, key: governed.key(LOGIN)?.into() })
    }
}

/// What clients saw.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) logins: usize,
    /// Marks of statements whose answers came whole.
    pub(super) answered: Vec<String>,
    /// Connections and statements that the harm ended.
    pub(super) lost: usize,
    /// Statements whose answers nobody waited for.
    pub(super) abandoned: usize,
}

impl Told {
    pub(super) fn add(&mut self, other: Self) {
        self.logins += other.logins;
        self.answered.extend(other.answered);
        self.lost += other.lost;
        self.abandoned += other.abandoned;
    }
}

/// The mark in a text, if it has one.
pub(super) fn mark_in(text: &str) -> Option<&str> {
    let at = text.find(MARK)?;
    let rest = text.get(at..)?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
    rest.get(..end)
}

/// One client under way.
struct Client {
    door: Door,
    stop: Arc<AtomicBool>,
    dice: Dice,
    name: String,
    count: usize,
    told: Told,
}

/// What came of a statement.
enum Came {
    Answer,
    /// The harm reached the statement; the session goes on.
    Failed,
    /// The session is gone.
    Lost,
}

impl Client {
    fn new(door: Door, stop: Arc<AtomicBool>, kind: &str, half: u64, index: usize) -> Self {
        let seed = half.wrapping_mul(1_000_003)
            ^ (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ^ kind.len() as u64;
        let name = format!("{MARK}{kind}-{half}-{index}");
        Self { door, stop, dice: Dice(seed | 1), name, count: 0, told: Told::default() }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    async fn pause(&mut self, most: usize) {
        let mut left = Duration::from_millis(self.dice.roll(most) as u64);
        while !left.is_zero() && !self.stopped() {
            let step = left.min(LOOK);
            sleep(step).await;
            left -= step;
        }
    }

    fn mark(&mut self) -> String {
        self.count += 1;
        format!("{}-{}", self.name, self.count)
    }

    /// A session, as soon as there can be one again; `None` at the end of the run.
    async fn session(&mut self) -> Outcome<Option<Raw>> {
        while !self.stopped() {
            let mut raw = Raw::connect(self.door.port).await?;
            match raw.log_in(LOGIN, &self.door.key, DATABASE).await {
                Ok(()) => {
                    self.told.logins += 1;
                    return Ok(Some(raw));
                }
                Err(error) if harmed(&error.to_string()) => {
                    self.told.lost += 1;
                    self.pause(1_000).await;
                }
                Err(error) => return Err(format!("{}: login: {error}", self.name).into()),
            }
        }
        Ok(None)
    }

    /// Asks with a mark, in one of the protocol's ways, and looks at what comes back.
    async fn ask(&mut self, raw: &mut Raw) -> Outcome<Came> {
        let mark = self.mark();
        let sql = format!("SELECT '{mark}', lastname FROM customer_orders LIMIT 2");
        let sent = match self.dice.roll(2) {
            0 => raw.send_bytes(&frame(b'Q', format!("{sql}\0").as_bytes())).await,
            _ => raw.send_bytes(&extended(&sql)).await,
        };
        if sent.is_err() {
            self.told.lost += 1;
            return Ok(Came::Lost);
        }
        let answer = raw.read_until(b'Z').await;
        self.judge(&mark, answer)
    }

    fn judge(&mut self, mark: &str, answer: Outcome<Vec<Frame>>) -> Outcome<Came> {
        let frames = match answer {
            Ok(frames) => frames,
            Err(error) => {
                let text = error.to_string();
                if text.contains("nothing happened") {
                    return Err(format!("{mark}: {text}").into());
                }
                self.told.lost += 1;
                return Ok(Came::Lost);
            }
        };
        let mut failed = false;
        let mut rows = 0;
        for frame in &frames {
            match frame.tag {
                b'D' => {
                    let row = frame.row()?;
                    if row.first() != Some(&Some(mark.to_owned())) {
                        return Err(format!("{mark} was answered with {row:?}").into());
                    }
                    if !matches!(row.get(1), Some(Some(word)) if word == "REDACTED") {
                        return Err(format!("{mark}: not masked").into());
                    }
                    rows += 1;
                }
                b'E' => {
                    let state = frame.sqlstate().unwrap_or_default();
                    if !HARMED.contains(&state.as_str()) {
                        return Err(format!("{mark}: {:?}", frame.fields()).into());
                    }
                    failed = true;
                }
                _ => {}
            }
        }
        if failed {
            self.told.lost += 1;
            return Ok(Came::Failed);
        }
        if rows == 0 {
            return Err(format!("{mark}: no rows and no error").into());
        }
        self.told.answered.push(mark.to_owned());
        Ok(Came::Answer)
    }

    /// Asks, and goes without waiting.
    async fn vanish(&mut self, mut raw: Raw) {
        let sql = format!("SELECT '{}', pg_sleep(0.2)\0", self.mark());
        if raw.send(b'Q', sql.as_bytes()).await.is_ok() {
            self.told.abandoned += 1;
        }
    }
}

fn harmed(error: &str) -> bool {
    HARMED.iter().any(|state| error.starts_with(state))
        || error.contains("reset")
        || error.contains("end of file")
}

/// Parse, Bind, Describe, Execute, Sync.
fn extended(sql: &str) -> Vec<u8> {
    let mut bytes = frame(b'P', format!("\0{sql}\0\0\0").as_bytes());
    bytes.extend(frame(b'B', b"\0\0\0\0\0\0\0\0"));
    bytes.extend(frame(b'D', b"P\0"));
    bytes.extend(frame(b'E', b"\0\0\0\0\0"));
    bytes.extend(frame(b'S', b""));
    bytes
}

/// Session after session, statement after statement.
pub(super) async fn busy(door: Door, stop: Arc<AtomicBool>, half: u64, index: usize) -> Outcome<Told> {
    let mut client = Client::new(door, stop, "busy", half, index);
    while let Some(mut raw) = client.session().await? {
        for _ in 0..=client.dice.roll(STATEMENTS_MAX) {
            if client.stopped() || matches!(client.ask(&mut raw).await?, Came::Lost) {
                break;
            }
            client.pause(THINK_MILLISECONDS).await;
        }
        if client.dice.roll(3) == 0 {
            client.vanish(raw).await;
        } else {
            raw.send(b'X', &[]).await.ok();
        }
    }
    Ok(client.told)
}

/// Long silences, over which the backend goes.
pub(super) async fn silent(door: Door, stop: Arc<AtomicBool>, half: u64, index: usize) -> Outcome<Told> {
    let mut client = Client::new(door, stop, "silent", half, index);
    // Nobody starts them all at once.
    client.pause(SILENCE_MILLISECONDS / 4).await;
    while let Some(mut raw) = client.session().await? {
        while !client.stopped() {
            if matches!(client.ask(&mut raw).await?, Came::Lost) || client.dice.roll(8) == 0 {
                break;
            }
            client.pause(SILENCE_MILLISECONDS).await;
        }
    }
    Ok(client.told)
}

/// Reads a long answer far slower than it is made.
pub(super) async fn slow(door: Door, stop: Arc<AtomicBool>, half: u64, index: usize) -> Outcome<Told> {
    let mut client = Client::new(door, stop, "slow", half, index);
    while let Some(mut raw) = client.session().await? {
        let mark = client.mark();
        let sql =
            format!("SELECT '{mark}', 'REDACTED', repeat('x', 500) FROM generate_series(1, {ROWS_SLOW})\0");
        if raw.send(b'Q', sql.as_bytes()).await.is_err() {
            client.told.lost += 1;
            continue;
        }
        let mut frames = Vec::new();
        let answer = loop {
            match raw.read().await {
                Ok(frame) => frames.push(frame),
                Err(error) => break Err(error),
            }
            if frames.last().is_some_and(|frame| frame.tag == b'Z') {
                break Ok(frames);
            }
            if frames.len().is_multiple_of(100) {
                client.pause(100).await;
            }
        };
        client.judge(&mark, answer)?;
    }
    Ok(client.told)
}

/// Sends what it asks one byte at a time.
pub(super) async fn by_single_bytes(
    door: Door,
    stop: Arc<AtomicBool>,
    half: u64,
    index: usize,
) -> Outcome<Told> {
    let mut client = Client::new(door, stop, "bytes", half, index);
    'sessions: while let Some(mut raw) = client.session().await? {
        while !client.stopped() {
            let mark = client.mark();
            for byte in extended(&format!("SELECT '{mark}', lastname FROM customer_orders")) {
                if raw.send_bytes(&[byte]).await.is_err() {
                    client.told.lost += 1;
                    continue 'sessions;
                }
                sleep(Duration::from_millis(1)).await;
            }
            let answer = raw.read_until(b'Z').await;
            if matches!(client.judge(&mark, answer)?, Came::Lost) {
                continue 'sessions;
            }
        }
    }
    Ok(client.told)
}

/// Connections that never log in: silent ones, noise, wrong keys.
pub(super) async fn flood(door: Door, stop: Arc<AtomicBool>, index: usize) -> Outcome<Told> {
    let mut dice = Dice(0xF100D + index as u64);
    while !stop.load(Ordering::Relaxed) {
        let mut held = Vec::new();
        for _ in 0..20 {
            let mut raw = Raw::connect(door.port).await?;
            // How each of them ends is the proxy's affair, as long as the others are served.
            match dice.roll(3) {
                0 => {}
                1 => drop(raw.send_bytes(&[0xFF; 64]).await),
                _ => drop(raw.startup(PROTOCOL_3_0, &[("user", LOGIN), ("database", DATABASE)]).await),
            }
            held.push(raw);
        }
        sleep(LOOK).await;
    }
    Ok(Told::default())
}
