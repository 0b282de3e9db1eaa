//! Messages of the protocol made by hand, scripts of them made by dice, and what comes back.

use lanyard_tests::raw::{Raw, frame};
use lanyard_tests::{Frame, Outcome};

const SYNC: (u8, &[u8]) = (b'S', b"");
const FLUSH: (u8, &[u8]) = (b'H', b"");

pub(crate) fn parse(name: &str, sql: &str, types: &[u32]) -> Vec<u8> {
    let mut body = format!("{name}\0{sql}\0").into_bytes();
    body.extend(u16::try_from(types.len()).unwrap_or(0).to_be_bytes());
    body.extend(types.iter().flat_map(|oid| oid.to_be_bytes()));
    frame(b'P', &body)
}

/// Text parameters, text results.
pub(crate) fn bind(portal: &str, statement: &str, values: &[&str]) -> Vec<u8> {
    let mut body = format!("{portal}\0{statement}\0").into_bytes();
    body.extend(0u16.to_be_bytes());
    body.extend(u16::try_from(values.len()).unwrap_or(0).to_be_bytes());
    for value in values {
        body.extend(u32::try_from(value.len()).unwrap_or(0).to_be_bytes());
        body.extend(value.as_bytes());
    }
    body.extend(0u16.to_be_bytes());
    frame(b'B', &body)
}

pub(crate) fn describe(what: char, name: &str) -> Vec<u8> {
    frame(b'D', format!("{what}{name}\0").as_bytes())
}

pub(crate) fn close(what: char, name: &str) -> Vec<u8> {
    frame(b'C', format!("{what}{name}\0").as_bytes())
}

pub(crate) fn execute(portal: &str, rows_max: u32) -> Vec<u8> {
    let mut body = format!("{portal}\0").into_bytes();
    body.extend(rows_max.to_be_bytes());
    frame(b'E', &body)
}

pub(crate) fn query(sql: &str) -> Vec<u8> {
    frame(b'Q', format!("{sql}\0").as_bytes())
}

pub(crate) fn sync() -> Vec<u8> {
    frame(SYNC.0, SYNC.1)
}

pub(crate) fn flush() -> Vec<u8> {
    frame(FLUSH.0, FLUSH.1)
}

/// Type bytes, notices left out; an error with its SQLSTATE, ReadyForQuery with its state.
pub(crate) fn summary(frames: &[Frame]) -> String {
    let word = |frame: &Frame| match frame.tag {
        b'N' | b'S' => None,
        b'E' => Some(frame.sqlstate().unwrap_or_default()),
        b'Z' => Some(format!("Z{}", String::from_utf8_lossy(&frame.body))),
        tag => Some(char::from(tag).to_string()),
    };
    frames.iter().filter_map(word).collect::<Vec<_>>().join(" ")
}

/// Sends all in one write; what comes up to the next ReadyForQuery.
pub(crate) async fn exchange(raw: &mut Raw, messages: &[Vec<u8>]) -> Outcome<String> {
    raw.send_bytes(&messages.concat()).await?;
    Ok(summary(&raw.read_until(b'Z').await?))
}

/// The next frame that is no notice.
pub(crate) async fn next(raw: &mut Raw) -> Outcome<Frame> {
    loop {
        let frame = raw.read().await?;
        if !matches!(frame.tag, b'N' | b'S') {
            return Ok(frame);
        }
    }
}

pub(crate) fn column(frames: &[Frame]) -> Outcome<Vec<String>> {
    let rows = frames.iter().filter(|frame| frame.tag == b'D');
    rows.map(|row| Ok(row.row()?.swap_remove(0).unwrap_or_default())).collect()
}

/// First column of what a simple Query returned.
pub(crate) async fn answer(raw: &mut Raw, sql: &str) -> Outcome<Vec<String>> {
    column(&raw.query(sql).await?)
}

pub(crate) async fn state(raw: &mut Raw, sql: &str) -> Outcome<String> {
    exchange(raw, &[query(sql)]).await
}

/// Small numbers that look random and are the same each time (xorshift64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap_or(0)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }
}

/// One message or pipeline of messages, and how many ReadyForQuery answer it.
pub(crate) fn message(dice: &mut Dice, from: &[&str]) -> (String, Vec<u8>, usize) {
    let steps: Vec<&str> = (0..1 + dice.roll(4)).map(|_| dice.pick(from)).collect();
    let text = steps.join("; ");
    match dice.roll(4) {
        0 => (format!("simple: {text}"), query(&text), 1),
        1 => {
            let one = |sql: &&str| [parse("", sql, &[]), bind("", "", &[]), execute("", 0)].concat();
            (
                format!("extended: {text}"),
                [steps.iter().map(one).collect::<Vec<_>>().concat(), sync()].concat(),
                1,
            )
        }
        // The next is sent before the last is answered.
        2 => (
            format!("queries: {text}"),
            steps.iter().map(|sql| query(sql)).collect::<Vec<_>>().concat(),
            steps.len(),
        ),
        _ => (format!("one: {}", steps[0]), query(steps[0]), 1),
    }
}

/// What a client can tell: rows, command tags, states, SQLSTATEs.
pub(crate) async fn told(raw: &mut Raw, bytes: &[u8], readies: usize) -> Outcome<Vec<String>> {
    raw.send_bytes(bytes).await?;
    let mut said = Vec::new();
    for _ in 0..readies {
        for frame in raw.read_until(b'Z').await? {
            match frame.tag {
                b'D' | b'C' | b'Z' => {
                    said.push(format!("{} {}", char::from(frame.tag), frame.body.escape_ascii()))
                }
                b'E' => said.push(frame.sqlstate().unwrap_or_default()),
                _ => {}
            }
        }
    }
    Ok(said)
}
