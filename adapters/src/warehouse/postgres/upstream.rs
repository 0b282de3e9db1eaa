//! The raw login as a vended role: what the session relays on.
//!
//! Must never send anything but the startup exchange, and never a password: the server has to prove by SCRAM that it
//! knows the role. Called by `Warehouse::open` and `Warehouse::cancel`. Deadlines are the caller's.

use std::io;

use bytes::{Buf, BufMut, BytesMut};
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::endpoint::Login;
use super::error::{WarehouseError, short};
use super::stream::{Connector, UpstreamStream};

/// Most bytes a server may send before ReadyForQuery.
const LOGIN_BYTES_MAX: usize = 64 * 1024;
/// Longest cancel secret (protocol 3.2; 3.0 has 4 bytes).
const CANCEL_SECRET_BYTES_MAX: usize = 256;

/// What a CancelRequest names.
#[derive(Clone, PartialEq, Eq)]
pub struct CancelKey {
    /// The backend's process id.
    pub pid: i32,
    /// Its secret: 4 bytes in protocol 3.0.
    pub secret: Vec<u8>,
}

impl std::fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CancelKey {{ pid: {}, .. }}", self.pid)
    }
}

/// A session of the warehouse, ready for its first query.
#[derive(Debug)]
pub struct Upstream {
    /// The bytes.
    pub stream: UpstreamStream,
    /// For [`super::Warehouse::cancel`].
    pub key: CancelKey,
    /// Every ParameterStatus of the login, in order.
    pub parameters: Vec<(String, String)>,
    /// Bytes read behind ReadyForQuery; empty with a PostgreSQL that behaves.
    pub leftover: BytesMut,
}

/// Logs in with SCRAM-SHA-256 (RFC 5802, RFC 7677) and reads up to ReadyForQuery. Cancel-safe: the socket closes.
pub(super) async fn open(
    connector: &Connector,
    login: &Login,
    settings: &[(&str, &str)],
) -> Result<Upstream, WarehouseError> {
    let mut wire =
        Wire { stream: connector.connect().await?, buffer: BytesMut::with_capacity(4096), received: 0 };
    let fixed = [("user", login.user.as_str()), ("database", connector.endpoint.database.as_str())];
    let mut out = BytesMut::with_capacity(512);
    frontend::startup_message(fixed.into_iter().chain(settings.iter().copied()), &mut out)
        .map_err(|e| WarehouseError::Protocol(format!("startup settings: {e}")))?;
    wire.send(&out).await?;
    authenticate(&mut wire, login).await?;

    let mut parameters = Vec::new();
    let mut key = None;
    loop {
        let (tag, mut body) = wire.receive().await?;
        match tag {
            b'S' => parameters.push((c_string(&mut body)?, c_string(&mut body)?)),
            b'K' if (8..=4 + CANCEL_SECRET_BYTES_MAX).contains(&body.len()) => {
                key = Some(CancelKey { pid: body.get_i32(), secret: body.to_vec() });
            }
            b'Z' => break,
            b'N' => {}
            b'E' => return Err(refused(&body)),
            other => return Err(unexpected(other, "the start of the session")),
        }
    }
    let key = key.ok_or_else(|| WarehouseError::Protocol("no BackendKeyData".into()))?;
    check(&parameters, login)?;
    Ok(Upstream { stream: wire.stream, key, parameters, leftover: wire.buffer })
}

/// What judging rests on must be so: whose session it is, how strings read, which bytes text is made of.
fn check(parameters: &[(String, String)], login: &Login) -> Result<(), WarehouseError> {
    let expected = [
        ("client_encoding", "UTF8"),
        ("standard_conforming_strings", "on"),
        ("session_authorization", login.user.as_str()),
    ];
    for (name, value) in expected {
        let last = parameters.iter().rev().find(|(n, _)| n == name);
        if last.is_none_or(|(_, v)| v != value) {
            return Err(WarehouseError::Protocol(format!(
                "the session starts with {name:?} other than {value:?}"
            )));
        }
    }
    Ok(())
}

async fn authenticate(wire: &mut Wire, login: &Login) -> Result<(), WarehouseError> {
    let mut scram: Option<ScramSha256> = None;
    let mut proven = false;
    loop {
        let (tag, mut body) = wire.receive().await?;
        match tag {
            b'R' if body.len() >= 4 => {}
            b'N' => continue,
            b'E' => return Err(refused(&body)),
            other => return Err(unexpected(other, "authentication")),
        }
        let mut out = BytesMut::new();
        match (body.get_i32(), &mut scram) {
            // A server that asks for nothing has proven nothing either.
            (0, _) if proven => return Ok(()),
            (0, _) => {
                return Err(WarehouseError::Protocol(
                    "the server asked for no proof (make the line of pg_hba.conf that matches Lanyard's roles say \
                     \"scram-sha-256\")"
                        .into(),
                ));
            }
            (10, None) => {
                let mut offered = body.as_ref().split(|b| *b == 0);
                if !offered.any(|m| m == SCRAM_SHA_256.as_bytes()) {
                    return Err(WarehouseError::Protocol("SCRAM-SHA-256 is not offered".into()));
                }
                let client =
                    ScramSha256::new(login.password.expose().as_bytes(), ChannelBinding::unsupported());
                frontend::sasl_initial_response(SCRAM_SHA_256, client.message(), &mut out).map_err(proof)?;
                scram = Some(client);
            }
            (11, Some(client)) if !proven => {
                client.update(&body).map_err(proof)?;
                frontend::sasl_response(client.message(), &mut out).map_err(proof)?;
            }
            (12, Some(client)) if !proven => {
                client.finish(&body).map_err(proof)?;
                proven = true;
                continue;
            }
            (method, _) => {
                return Err(WarehouseError::Protocol(format!(
                    "authentication request {method} is not SCRAM-SHA-256 (make the line of pg_hba.conf that matches \
                     Lanyard's roles say \"scram-sha-256\")"
                )));
            }
        }
        wire.send(&out).await?;
    }
}

/// Sends a CancelRequest on a connection of its own and waits until the server closes it, as libpq does.
pub(super) async fn cancel(connector: &Connector, key: &CancelKey) -> Result<(), WarehouseError> {
    let lost =
        |source: io::Error| WarehouseError::Lost { doing: "cancelling", source: Some(Box::new(source)) };
    let length = i32::try_from(12 + key.secret.len())
        .map_err(|_| WarehouseError::Protocol("cancel key too long".into()))?;
    let mut out = BytesMut::with_capacity(16);
    out.put_i32(length);
    out.put_i32(80_877_102);
    out.put_i32(key.pid);
    out.put_slice(&key.secret);
    let mut stream = connector.connect().await?;
    stream.write_all(&out).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    let mut end = [0_u8; 64];
    match stream.read(&mut end).await {
        Ok(_) => Ok(()),
        // The server closes without a TLS farewell; the request is delivered.
        Err(e) if matches!(e.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => Ok(()),
        Err(e) => Err(lost(e)),
    }
}

struct Wire {
    stream: UpstreamStream,
    buffer: BytesMut,
    received: usize,
}

impl Wire {
    async fn send(&mut self, bytes: &[u8]) -> Result<(), WarehouseError> {
        let lost =
            |source: io::Error| WarehouseError::Lost { doing: "logging in", source: Some(Box::new(source)) };
        self.stream.write_all(bytes).await.map_err(lost)?;
        self.stream.flush().await.map_err(lost)
    }

    /// One message: tag and body.
    async fn receive(&mut self) -> Result<(u8, BytesMut), WarehouseError> {
        loop {
            if let Some(frame) = cut(&mut self.buffer)? {
                return Ok(frame);
            }
            if self.received >= LOGIN_BYTES_MAX {
                return Err(WarehouseError::Protocol(format!(
                    "more than {LOGIN_BYTES_MAX} bytes before the session was ready"
                )));
            }
            let read = self
                .stream
                .read_buf(&mut self.buffer)
                .await
                .map_err(|e| WarehouseError::Lost { doing: "logging in", source: Some(Box::new(e)) })?;
            if read == 0 {
                return Err(WarehouseError::Lost { doing: "logging in", source: None });
            }
            self.received += read;
        }
    }
}

/// Takes one whole message off the front, if it is there.
fn cut(buffer: &mut BytesMut) -> Result<Option<(u8, BytesMut)>, WarehouseError> {
    let Some((&[tag, a, b, c, d], _)) = buffer.split_first_chunk::<5>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if !(4..=LOGIN_BYTES_MAX).contains(&length) {
        return Err(WarehouseError::Protocol(format!("message {:?} of {length} bytes", char::from(tag))));
    }
    if buffer.len() <= length {
        return Ok(None);
    }
    let mut frame = buffer.split_to(1 + length);
    frame.advance(5);
    Ok(Some((tag, frame)))
}

fn c_string(body: &mut BytesMut) -> Result<String, WarehouseError> {
    let end = body
        .iter()
        .position(|b| *b == 0)
        .ok_or_else(|| WarehouseError::Protocol("a text without its end".into()))?;
    let text = body.split_to(end);
    body.advance(1);
    String::from_utf8(text.to_vec()).map_err(|_| WarehouseError::Protocol("a text is not UTF-8".into()))
}

fn refused(body: &[u8]) -> WarehouseError {
    let field = |tag: u8| {
        body.split(|b| *b == 0)
            .find(|f| f.first() == Some(&tag))
            .map(|f| String::from_utf8_lossy(f.get(1..).unwrap_or_default()).into_owned())
    };
    WarehouseError::Refused {
        sqlstate: field(b'C').filter(|c| c.len() == 5).unwrap_or_else(|| "XX000".into()),
        message: short(&field(b'M').unwrap_or_default()),
    }
}

fn unexpected(tag: u8, phase: &str) -> WarehouseError {
    WarehouseError::Protocol(format!("message {:?} during {phase}", char::from(tag)))
}

fn proof(e: io::Error) -> WarehouseError {
    WarehouseError::Protocol(format!("SCRAM-SHA-256: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_by_their_length_and_bounded() -> Result<(), WarehouseError> {
        let mut buffer = BytesMut::from(&b"Z\0\0\0\x05IX"[..]);
        let (tag, body) = cut(&mut buffer)?.expect("one frame");
        assert_eq!((tag, &body[..], &buffer[..]), (b'Z', &b"I"[..], &b"X"[..]));
        for wait in [&b"Z\0\0\0"[..], b"Z\0\0\0\x05"] {
            assert!(cut(&mut BytesMut::from(wait))?.is_none());
        }
        for bad in [&b"Z\0\0\0\x03I"[..], b"Z\0\x02\0\0I", b"Z\xff\xff\xff\xffI"] {
            assert!(cut(&mut BytesMut::from(bad)).is_err());
        }
        Ok(())
    }

    #[test]
    fn errors_are_read_and_cut() {
        let body = [b"SFATAL\0C28P01\0M".as_slice(), "ä".repeat(2000).as_bytes(), b"\0\0"].concat();
        match refused(&body) {
            WarehouseError::Refused { sqlstate, message } => {
                assert_eq!(sqlstate, "28P01");
                assert!(message.len() <= 1024 && message.starts_with('ä'));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(refused(b"").sqlstate(), Some("XX000"));
        assert!(c_string(&mut BytesMut::from(&b"no end"[..])).is_err());
    }

    #[test]
    fn a_session_that_starts_otherwise_is_refused() {
        let login = Login::new("r", super::super::Secret::new("s"));
        let all = |encoding: &str, strings: &str, user: &str| {
            vec![
                ("client_encoding".to_owned(), encoding.to_owned()),
                ("standard_conforming_strings".to_owned(), strings.to_owned()),
                ("session_authorization".to_owned(), user.to_owned()),
            ]
        };
        assert!(check(&all("UTF8", "on", "r"), &login).is_ok());
        assert!(check(&all("SJIS", "on", "r"), &login).is_err());
        assert!(check(&all("UTF8", "off", "r"), &login).is_err());
        assert!(check(&all("UTF8", "on", "postgres"), &login).is_err());
        assert!(check(&[], &login).is_err());
    }
}
