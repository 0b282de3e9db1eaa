//! Frames by hand: what no driver would send, and exactly what came back.
//!
//! Every wait has a deadline. Frame layout: PostgreSQL documentation, "Message Formats".

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::wait::PATIENCE_SECONDS;
use crate::{Outcome, TestError};

/// Protocol 3.0 in a startup packet.
pub const PROTOCOL_3_0: u32 = 196_608;
/// Protocol 3.2.
pub const PROTOCOL_3_2: u32 = 196_610;
/// Code of an SSLRequest.
pub const SSL_REQUEST: u32 = 80_877_103;
/// Code of a GSSENCRequest.
pub const GSS_REQUEST: u32 = 80_877_104;
/// Code of a CancelRequest.
pub const CANCEL_REQUEST: u32 = 80_877_102;
/// More than any answer of a test.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// One message from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Type byte.
    pub tag: u8,
    /// Everything after the length.
    pub body: Vec<u8>,
}

impl Frame {
    /// Fields of an ErrorResponse or NoticeResponse by code: `C` SQLSTATE, `M` message, `D` detail, `H` hint.
    #[must_use]
    pub fn fields(&self) -> BTreeMap<char, String> {
        let parts = self.body.split(|byte| *byte == 0);
        parts
            .filter_map(|part| {
                let (code, text) = part.split_first()?;
                Some((char::from(*code), String::from_utf8_lossy(text).into_owned()))
            })
            .collect()
    }

    /// SQLSTATE of an ErrorResponse or NoticeResponse.
    #[must_use]
    pub fn sqlstate(&self) -> Option<String> {
        matches!(self.tag, b'E' | b'N').then(|| self.fields().remove(&'C')).flatten()
    }

    /// Columns of a DataRow; `None` is NULL.
    ///
    /// # Errors
    /// It is no DataRow, or a broken one.
    pub fn row(&self) -> Outcome<Vec<Option<String>>> {
        if self.tag != b'D' {
            return Err(format!("not a row: {self:?}").into());
        }
        let mut rest = self.body.as_slice();
        let count = u16::from_be_bytes(take(&mut rest)?);
        let column = |_| -> Outcome<Option<String>> {
            let length = i32::from_be_bytes(take(&mut rest)?);
            let Ok(length) = usize::try_from(length) else {
                return Ok(None);
            };
            let (value, after) = rest.split_at_checked(length).ok_or("a cut row")?;
            rest = after;
            Ok(Some(String::from_utf8(value.to_vec())?))
        };
        (0..count).map(column).collect()
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Outcome<[u8; N]> {
    let (head, tail) = rest.split_first_chunk().ok_or("a cut frame")?;
    *rest = tail;
    Ok(*head)
}

/// A connection without manners.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    /// Process id and secret of the last BackendKeyData.
    pub cancel_key: Option<(u32, Vec<u8>)>,
    /// ParameterStatus so far.
    pub parameters: BTreeMap<String, String>,
}

impl Raw {
    /// Connects to 127.0.0.1 and sends nothing.
    ///
    /// # Errors
    /// Nobody accepts.
    pub async fn connect(port: u16) -> Outcome<Self> {
        let stream = within(TcpStream::connect(("127.0.0.1", port))).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, cancel_key: None, parameters: BTreeMap::new() })
    }

    /// The port of this end.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn local_port(&self) -> Outcome<u16> {
        Ok(self.stream.local_addr()?.port())
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The other side has closed.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> Outcome {
        within(self.stream.write_all(bytes)).await
    }

    /// Sends one frame with a truthful length.
    ///
    /// # Errors
    /// The other side has closed.
    pub async fn send(&mut self, tag: u8, body: &[u8]) -> Outcome {
        self.send_bytes(&frame(tag, body)).await
    }

    /// Sends a startup packet with these parameters.
    ///
    /// # Errors
    /// The other side has closed.
    pub async fn startup(&mut self, protocol: u32, parameters: &[(&str, &str)]) -> Outcome {
        self.send_bytes(&startup_packet(protocol, parameters)).await
    }

    /// SSLRequest or GSSENCRequest; the one byte of the answer.
    ///
    /// # Errors
    /// No answer.
    pub async fn ask_encryption(&mut self, code: u32) -> Outcome<u8> {
        let mut packet = 8u32.to_be_bytes().to_vec();
        packet.extend(code.to_be_bytes());
        self.send_bytes(&packet).await?;
        within(self.stream.read_u8()).await
    }

    /// The next frame; key data and parameters are remembered too.
    ///
    /// # Errors
    /// Nothing came in time, the connection has ended, or the length is absurd.
    pub async fn read(&mut self) -> Outcome<Frame> {
        let frame = within(self.read_frame()).await?;
        match frame.tag {
            b'K' => {
                let mut rest = frame.body.as_slice();
                self.cancel_key = Some((u32::from_be_bytes(take(&mut rest)?), rest.to_vec()));
            }
            b'S' => {
                let mut texts = frame.body.split(|byte| *byte == 0);
                let mut text = || String::from_utf8_lossy(texts.next().unwrap_or_default()).into_owned();
                let (name, value) = (text(), text());
                self.parameters.insert(name, value);
            }
            _ => {}
        }
        Ok(frame)
    }

    async fn read_frame(&mut self) -> io::Result<Frame> {
        let tag = self.stream.read_u8().await?;
        let length = self.stream.read_u32().await?;
        let body = usize::try_from(length).ok().and_then(|length| length.checked_sub(4));
        let body = body.filter(|bytes| *bytes <= FRAME_BYTES_MAX);
        let bytes = body.ok_or_else(|| io::Error::other(format!("a length of {length}")))?;
        let mut body = vec![0; bytes];
        self.stream.read_exact(&mut body).await?;
        Ok(Frame { tag, body })
    }

    /// Frames up to and with the first of this type.
    ///
    /// # Errors
    /// As [`Self::read`]; what came before is in the message.
    pub async fn read_until(&mut self, tag: u8) -> Outcome<Vec<Frame>> {
        let mut frames = Vec::new();
        loop {
            match self.read().await {
                Ok(frame) => frames.push(frame),
                Err(error) => return Err(format!("{error}, after {frames:?}").into()),
            }
            if frames.last().is_some_and(|frame| frame.tag == tag) {
                return Ok(frames);
            }
        }
    }

    /// Startup and SCRAM-SHA-256, up to the first ReadyForQuery.
    ///
    /// # Errors
    /// An ErrorResponse becomes `SQLSTATE message`.
    pub async fn log_in(&mut self, user: &str, key: &str, database: &str) -> Outcome {
        let parameters = [("user", user), ("database", database)];
        self.startup(PROTOCOL_3_0, &parameters).await?;
        self.authenticate(key).await?;
        loop {
            let frame = self.read().await?;
            match frame.tag {
                b'Z' => return Ok(()),
                b'E' => return Err(refused(&frame)),
                _ => {}
            }
        }
    }

    /// SCRAM-SHA-256 after a startup packet, up to AuthenticationOk.
    ///
    /// # Errors
    /// An ErrorResponse becomes `SQLSTATE message`; another method than SASL is an error.
    pub async fn authenticate(&mut self, key: &str) -> Outcome {
        let mut scram = ScramSha256::new(key.as_bytes(), ChannelBinding::unsupported());
        loop {
            let frame = self.read().await?;
            if frame.tag != b'R' {
                return Err(refused(&frame));
            }
            let mut rest = frame.body.as_slice();
            match u32::from_be_bytes(take(&mut rest)?) {
                0 => return Ok(()),
                10 => {
                    let mut body = b"SCRAM-SHA-256\0".to_vec();
                    let first = scram.message();
                    body.extend(u32::try_from(first.len())?.to_be_bytes());
                    body.extend(first);
                    self.send(b'p', &body).await?;
                }
                11 => {
                    scram.update(rest)?;
                    self.send(b'p', scram.message()).await?;
                }
                12 => scram.finish(rest)?,
                other => return Err(format!("authentication method {other}").into()),
            }
        }
    }

    /// A simple Query; every frame up to ReadyForQuery.
    ///
    /// # Errors
    /// As [`Self::read_until`]. A refusal is among the frames.
    pub async fn query(&mut self, sql: &str) -> Outcome<Vec<Frame>> {
        let mut body = sql.as_bytes().to_vec();
        body.push(0);
        self.send(b'Q', &body).await?;
        self.read_until(b'Z').await
    }

    /// True when the server has closed; what it sent before is read and dropped.
    ///
    /// # Errors
    /// It keeps the connection open.
    pub async fn closed(&mut self) -> Outcome<bool> {
        let mut rest = Vec::new();
        match within(self.stream.read_to_end(&mut rest)).await {
            Ok(_) => Ok(true),
            // The other side closed with our bytes unread.
            Err(error) if error.to_string().contains("reset") => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// A frame with a truthful length.
#[must_use]
pub fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    frame_of_length(tag, u32::try_from(body.len() + 4).unwrap_or(u32::MAX), body)
}

/// A frame with any length one likes; a truthful one counts itself.
#[must_use]
pub fn frame_of_length(tag: u8, length: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend(length.to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A startup packet.
#[must_use]
pub fn startup_packet(protocol: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = protocol.to_be_bytes().to_vec();
    for (name, value) in parameters {
        for text in [name, value] {
            body.extend(text.as_bytes());
            body.push(0);
        }
    }
    body.push(0);
    let mut packet = u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    packet.extend(body);
    packet
}

fn refused(frame: &Frame) -> TestError {
    let fields = frame.fields();
    match (frame.tag, fields.get(&'C'), fields.get(&'M')) {
        (b'E', Some(state), Some(message)) => format!("{state} {message}").into(),
        _ => format!("unexpected {frame:?}").into(),
    }
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> Outcome<T> {
    let patience = Duration::from_secs(PATIENCE_SECONDS);
    match timeout(patience, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(format!("nothing happened for {PATIENCE_SECONDS} s").into()),
    }
}
