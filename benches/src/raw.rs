//! A client that costs next to nothing: logs in, asks, and counts bytes. So that bulk is measured and not a driver.
//!
//! Blocks its thread. Reads headers only (PostgreSQL documentation, "Message Formats"); an ErrorResponse is an error.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};

use crate::pgbench::Door;
use crate::{Failure, failure};

const BUFFER_BYTES: usize = 256 << 10;
/// Nobody here answers later than this.
const PATIENCE: Duration = Duration::from_secs(120);

/// A logged-in connection.
#[derive(Debug)]
pub(crate) struct Raw {
    stream: TcpStream,
    buffer: Box<[u8]>,
    /// What of the buffer is read and not used.
    filled: std::ops::Range<usize>,
}

impl Raw {
    /// Connects to 127.0.0.1 and logs in with SCRAM-SHA-256; `buffer` bytes are held for reading.
    pub(crate) fn log_in(door: &Door, buffer: usize) -> Result<Self, Failure> {
        let stream = TcpStream::connect(("127.0.0.1", door.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut raw = Self { stream, buffer: vec![0; buffer].into(), filled: 0..0 };
        raw.start(door)?;
        Ok(raw)
    }

    /// With a buffer fit for bulk.
    pub(crate) fn for_bulk(door: &Door) -> Result<Self, Failure> {
        Self::log_in(door, BUFFER_BYTES)
    }

    fn start(&mut self, door: &Door) -> Result<(), Failure> {
        self.stream.write_all(&Self::startup_packet(door)?)?;
        let mut scram = ScramSha256::new(door.password.as_bytes(), ChannelBinding::unsupported());
        loop {
            let (tag, body) = self.frame()?;
            match (tag, body.split_first_chunk()) {
                (b'Z', _) => return Ok(()),
                (b'R', Some((&[0, 0, 0, 10], _))) => {
                    let first = scram.message();
                    let mut answer = b"SCRAM-SHA-256\0".to_vec();
                    answer.extend(u32::try_from(first.len())?.to_be_bytes());
                    answer.extend(first);
                    self.send(b'p', &answer)?;
                }
                (b'R', Some((&[0, 0, 0, 11], rest))) => {
                    scram.update(rest)?;
                    self.send(b'p', scram.message())?;
                }
                (b'R', Some((&[0, 0, 0, 12], rest))) => scram.finish(rest)?,
                (b'R', Some((&[0, 0, 0, 0], _))) | (b'S' | b'K' | b'N', _) => {}
                _ => return Err(unexpected(tag, &body)),
            }
        }
    }

    /// What a client of protocol 3.0 says first.
    pub(crate) fn startup_packet(door: &Door) -> Result<Vec<u8>, Failure> {
        let mut body = 196_608u32.to_be_bytes().to_vec();
        for text in ["user", &door.user, "database", &door.database, ""] {
            body.extend(text.as_bytes());
            body.push(0);
        }
        let mut packet = (u32::try_from(body.len())? + 4).to_be_bytes().to_vec();
        packet.extend(body);
        Ok(packet)
    }

    fn send(&mut self, tag: u8, body: &[u8]) -> Result<(), Failure> {
        Ok(self.stream.write_all(&message(tag, body)?)?)
    }

    /// Sends a simple Query.
    pub(crate) fn ask(&mut self, sql: &str) -> Result<(), Failure> {
        self.send(b'Q', &[sql.as_bytes(), &[0]].concat())
    }

    /// Sends a simple Query byte by byte, with a pause behind each.
    pub(crate) fn ask_slowly(&mut self, sql: &str, pause: Duration) -> Result<(), Failure> {
        for byte in message(b'Q', &[sql.as_bytes(), &[0]].concat())? {
            self.stream.write_all(&[byte])?;
            std::thread::sleep(pause);
        }
        Ok(())
    }

    /// One small frame, whole.
    fn frame(&mut self) -> Result<(u8, Vec<u8>), Failure> {
        let (tag, length) = self.header()?;
        let mut body = vec![0; length];
        let mut at = 0;
        while at < length {
            let part = self.take(length - at)?;
            let Some(to) = body.get_mut(at..at + part.len()) else {
                return Err(failure("a frame longer than it said"));
            };
            to.copy_from_slice(part);
            at += part.len();
        }
        Ok((tag, body))
    }

    /// Type and length of the body of the next frame.
    fn header(&mut self) -> Result<(u8, usize), Failure> {
        let mut header = [0; 5];
        for byte in &mut header {
            *byte = *self.take(1)?.first().ok_or_else(|| failure("the connection has ended"))?;
        }
        let [tag, length @ ..] = header;
        let length = usize::try_from(u32::from_be_bytes(length))?.checked_sub(4);
        Ok((tag, length.ok_or_else(|| failure("a frame shorter than its length"))?))
    }

    /// Up to `most` bytes, at least one.
    fn take(&mut self, most: usize) -> Result<&[u8], Failure> {
        if self.filled.is_empty() {
            let read = self.stream.read(&mut self.buffer)?;
            if read == 0 {
                return Err(failure("the connection has ended"));
            }
            self.filled = 0..read;
        }
        let from = self.filled.start;
        self.filled.start = self.filled.end.min(from + most);
        self.buffer.get(from..self.filled.start).ok_or_else(|| failure("the buffer's bounds"))
    }

    /// Reads to ReadyForQuery: bytes, and frames of rows or of COPY data.
    pub(crate) fn drain(&mut self) -> Result<(u64, u64), Failure> {
        let (mut bytes, mut rows) = (0, 0);
        loop {
            let (tag, length) = self.header()?;
            bytes += u64::try_from(length)? + 5;
            if tag == b'E' {
                let body = self.take(length)?.to_vec();
                return Err(unexpected(tag, &body));
            }
            rows += u64::from(matches!(tag, b'D' | b'd'));
            let mut left = length;
            while left > 0 {
                left -= self.take(left)?.len();
            }
            if tag == b'Z' {
                return Ok((bytes, rows));
            }
        }
    }

    /// Reads to the first row of the answer.
    pub(crate) fn first_row(&mut self) -> Result<(), Failure> {
        loop {
            match self.frame()? {
                (b'D', _) => return Ok(()),
                (b'T' | b'N' | b'S', _) => {}
                (tag, body) => return Err(unexpected(tag, &body)),
            }
        }
    }

    /// Reads about this many bytes a second for so long, whatever they are.
    pub(crate) fn sip(&mut self, bytes_per_second: usize, long: Duration) -> Result<(), Failure> {
        let begun = Instant::now();
        let mut seen = 0;
        while begun.elapsed() < long {
            let due = begun.elapsed().as_secs_f64() * f64::from(u32::try_from(bytes_per_second)?);
            if f64::from(u32::try_from(seen)?) < due {
                seen += self.take(BUFFER_BYTES)?.len();
            } else {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    }

    /// Says goodbye and waits until the other side has closed.
    pub(crate) fn leave(mut self) -> Result<(), Failure> {
        self.send(b'X', &[])?;
        while self.stream.read(&mut self.buffer)? > 0 {}
        Ok(())
    }
}

fn message(tag: u8, body: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut message = vec![tag];
    message.extend((u32::try_from(body.len())? + 4).to_be_bytes());
    message.extend(body);
    Ok(message)
}

fn unexpected(tag: u8, body: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(body).replace('\0', " ");
    failure(&format!("unexpected {:?}: {text}", char::from(tag)))
}
