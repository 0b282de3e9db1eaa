//! What a client sends after login, read from one whole frame where it lies. Leftover bytes, a missing NUL and bytes that are
//! not UTF-8 are errors, never guesses.

use std::ffi::CStr;

use lanyard_engine::refusal::{Code, Refusal};

/// A statement or a portal, in Describe and Close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// `S`.
    Statement,
    /// `P`.
    Portal,
}

/// A decoded message; it borrows from the bytes that came.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "fields are named as in the manual's Message Formats")]
pub enum Inbound<'a> {
    /// `Q`.
    Query(&'a str),
    /// `P`: name, text, and the parameter types as they came.
    Parse { name: &'a str, text: &'a str, types: &'a [u8] },
    /// `B`: portal, statement, and the rest as it came.
    Bind { portal: &'a str, statement: &'a str, rest: &'a [u8] },
    /// `D`.
    Describe(Object, &'a str),
    /// `E`: portal and row limit.
    Execute { portal: &'a str, rows_max: [u8; 4] },
    /// `C`.
    Close(Object, &'a str),
    /// `H`.
    Flush,
    /// `S`.
    Sync,
    /// `F`: refused always.
    FunctionCall,
    /// `d` outside COPY: PostgreSQL ignores it.
    CopyOutside,
    /// `c`.
    CopyDone,
    /// `f`, with its reason as it came.
    CopyFail(&'a [u8]),
    /// `X`.
    Terminate,
}

impl Inbound<'_> {
    /// Its type byte.
    #[must_use]
    pub fn kind(&self) -> u8 {
        match self {
            Self::Query(_) => b'Q',
            Self::Parse { .. } => b'P',
            Self::Bind { .. } => b'B',
            Self::Describe(..) => b'D',
            Self::Execute { .. } => b'E',
            Self::Close(..) => b'C',
            Self::Flush => b'H',
            Self::Sync => b'S',
            Self::FunctionCall => b'F',
            Self::CopyOutside => b'd',
            Self::CopyDone => b'c',
            Self::CopyFail(_) => b'f',
            Self::Terminate => b'X',
        }
    }
}

/// What is wrong with a message.
#[derive(Debug)]
pub enum Malformed {
    /// The connection is out of step: it ends.
    Fatal(Refusal),
    /// The message stands for itself: it is refused and the session goes on. The kind says how to answer.
    Refused(u8, Refusal),
}

fn out_of_step(what: &str) -> Malformed {
    Malformed::Fatal(Refusal::new(Code::Protocol, format!("malformed {what} message")))
}

fn bad_bytes(kind: u8) -> Malformed {
    Malformed::Refused(kind, Refusal::new(Code::BadBytes, "invalid byte sequence for encoding \"UTF8\""))
}

/// Takes a NUL-terminated string off the front.
fn text<'a>(body: &mut &'a [u8], kind: u8, what: &str) -> Result<&'a str, Malformed> {
    let text = CStr::from_bytes_until_nul(body).map_err(|_| out_of_step(what))?;
    *body = body.get(text.count_bytes() + 1..).unwrap_or_default();
    text.to_str().map_err(|_| bad_bytes(kind))
}

fn object<'a>(mut body: &'a [u8], kind: u8, what: &str) -> Result<(Object, &'a str), Malformed> {
    let object = match body.split_off_first() {
        Some(b'S') => Object::Statement,
        Some(b'P') => Object::Portal,
        Some(_) | None => return Err(out_of_step(what)),
    };
    let name = text(&mut body, kind, what)?;
    if body.is_empty() { Ok((object, name)) } else { Err(out_of_step(what)) }
}

/// Decodes the body of one frame of this kind.
///
/// # Errors
/// [`Malformed`] says whether the session may go on.
pub fn decode(kind: u8, mut body: &[u8]) -> Result<Inbound<'_>, Malformed> {
    let empty = |message: Inbound<'static>, what: &str| {
        if body.is_empty() { Ok(message) } else { Err(out_of_step(what)) }
    };
    match kind {
        b'Q' => {
            // One NUL, at the end: a second statement behind it is an attack on parsers that stop at the first.
            if CStr::from_bytes_with_nul(body).is_err() {
                return Err(out_of_step("Query"));
            }
            Ok(Inbound::Query(text(&mut body, kind, "Query")?))
        }
        b'P' => {
            let name = text(&mut body, kind, "Parse")?;
            let sql = text(&mut body, kind, "Parse")?;
            let count = body.first_chunk::<2>().map(|c| usize::from(u16::from_be_bytes(*c)));
            if count.map(|n| 2 + 4 * n) != Some(body.len()) {
                return Err(out_of_step("Parse"));
            }
            Ok(Inbound::Parse { name, text: sql, types: body })
        }
        b'B' => {
            let portal = text(&mut body, kind, "Bind")?;
            let statement = text(&mut body, kind, "Bind")?;
            Ok(Inbound::Bind { portal, statement, rest: body })
        }
        b'D' => object(body, kind, "Describe").map(|(o, name)| Inbound::Describe(o, name)),
        b'C' => object(body, kind, "Close").map(|(o, name)| Inbound::Close(o, name)),
        b'E' => {
            let portal = text(&mut body, kind, "Execute")?;
            match <[u8; 4]>::try_from(body) {
                Ok(rows_max) => Ok(Inbound::Execute { portal, rows_max }),
                Err(_) => Err(out_of_step("Execute")),
            }
        }
        b'H' => empty(Inbound::Flush, "Flush"),
        b'S' => empty(Inbound::Sync, "Sync"),
        b'X' => empty(Inbound::Terminate, "Terminate"),
        b'F' => Ok(Inbound::FunctionCall),
        b'd' => Ok(Inbound::CopyOutside),
        b'c' => empty(Inbound::CopyDone, "CopyDone"),
        b'f' => Ok(Inbound::CopyFail(body)),
        other => Err(Malformed::Fatal(Refusal::new(
            Code::Protocol,
            format!("invalid frontend message type {other}"),
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_and_missing_ends_are_fatal() {
        for (kind, body) in [
            (b'Q', &b"SELECT 1"[..]),
            (b'Q', b"SELECT 1\0SELECT 2\0"),
            (b'Q', b"SELECT 1\0\0"),
            (b'Q', b""),
            (b'P', b"s\0SELECT 1\0"),
            (b'P', b"s\0SELECT 1\0\0\x01"),
            (b'P', b"s\0SELECT 1\0\0\0x"),
            (b'B', b"p\0s"),
            (b'E', b"p\0\0\0\0"),
            (b'E', b"p\0\0\0\0\0\0"),
            (b'D', b"Xname\0"),
            (b'D', b""),
            (b'C', b"Sname\0x"),
            (b'S', b"x"),
            (b'H', b"x"),
            (b'X', b"x"),
            (b'p', b"secret\0"),
            (b'\0', b""),
        ] {
            assert!(matches!(decode(kind, body), Err(Malformed::Fatal(_))), "{} {body:?}", char::from(kind));
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused_and_the_session_goes_on() {
        for (kind, body) in
            [(b'Q', &b"SELECT '\xff'\0"[..]), (b'P', b"s\0\xc3\x28\0\0\0"), (b'B', b"\xff\0s\0")]
        {
            assert!(matches!(decode(kind, body), Err(Malformed::Refused(k, _)) if k == kind));
        }
    }

    #[test]
    fn whole_messages_decode() {
        assert!(matches!(decode(b'Q', b"SELECT 1\0"), Ok(Inbound::Query(q)) if q == "SELECT 1"));
        assert!(
            matches!(decode(b'P', b"s\0q\0\0\x01\0\0\0\x17"), Ok(Inbound::Parse { types, .. }) if types.len() == 6)
        );
        assert!(matches!(decode(b'E', b"\0\0\0\0\x05"), Ok(Inbound::Execute { rows_max: [0, 0, 0, 5], .. })));
        assert!(matches!(decode(b'D', b"Sx\0"), Ok(Inbound::Describe(Object::Statement, n)) if n == "x"));
    }
}
