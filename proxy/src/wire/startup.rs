//! The first packets of a connection: encryption requests, cancel requests, the startup message (protocol 3.0 and 3.2).
//!
//! Source: PostgreSQL manual, "Start-up" and "Message Formats".

use std::collections::BTreeMap;

use lanyard_engine::refusal::{Code, Refusal};

/// Longest first packet, in bytes.
pub const STARTUP_BYTES_MAX: usize = 10_000;

/// A first packet.
#[derive(Debug, PartialEq, Eq)]
pub enum First {
    /// SSLRequest.
    Tls,
    /// GSSENCRequest.
    Gss,
    /// CancelRequest: process id and secret.
    Cancel(i32, Vec<u8>),
    /// StartupMessage.
    Startup(Startup),
}

/// A StartupMessage.
#[derive(Debug, PartialEq, Eq)]
pub struct Startup {
    /// Minor protocol version asked for (major is 3).
    pub minor: u16,
    /// Parameters, names as sent. Identity is read from here once, and never again.
    pub parameters: BTreeMap<String, String>,
    /// `_pq_.` options we do not know, to be listed back.
    pub unknown_options: Vec<String>,
}

fn protocol(message: &str) -> Refusal {
    Refusal::new(Code::Protocol, message)
}

/// Length of the first packet that starts here, once its length is there.
///
/// # Errors
/// 08P01 for a length that cannot be.
pub fn length(buffer: &[u8]) -> Result<Option<usize>, Refusal> {
    let Some((length, _)) = buffer.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if (8..=STARTUP_BYTES_MAX).contains(&length) {
        Ok(Some(length))
    } else {
        Err(protocol("invalid length of startup packet"))
    }
}

/// Decodes a first packet of exactly its length.
///
/// # Errors
/// 08P01 for anything malformed, 0A000 for another protocol or replication.
pub fn decode(packet: &[u8]) -> Result<First, Refusal> {
    let code = packet
        .get(4..8)
        .and_then(|c| <[u8; 4]>::try_from(c).ok())
        .map(u32::from_be_bytes)
        .ok_or_else(|| protocol("invalid length of startup packet"))?;
    let rest = packet.get(8..).unwrap_or_default();
    match code {
        80_877_103 if rest.is_empty() => Ok(First::Tls),
        80_877_104 if rest.is_empty() => Ok(First::Gss),
        80_877_102 => match rest.split_first_chunk::<4>() {
            Some((pid, secret)) if (4..=256).contains(&secret.len()) => {
                Ok(First::Cancel(i32::from_be_bytes(*pid), secret.to_vec()))
            }
            _ => Err(protocol("malformed CancelRequest")),
        },
        version if version >> 16 == 3 => parameters(rest, (version & 0xffff) as u16).map(First::Startup),
        version => Err(Refusal::new(
            Code::Unsupported,
            format!(
                "unsupported frontend protocol {}.{}: 3.0 to 3.2 are served",
                version >> 16,
                version & 0xffff
            ),
        )),
    }
}

fn parameters(mut rest: &[u8], minor: u16) -> Result<Startup, Refusal> {
    let mut startup = Startup { minor, parameters: BTreeMap::new(), unknown_options: Vec::new() };
    loop {
        let name = take(&mut rest)?;
        if name.is_empty() {
            break;
        }
        let value = take(&mut rest)?;
        if name.starts_with("_pq_.") {
            startup.unknown_options.push(name);
        } else if startup.parameters.insert(name, value).is_some() {
            return Err(protocol("a startup parameter is given twice"));
        }
    }
    if rest.is_empty() {
        Ok(startup)
    } else {
        Err(protocol("invalid startup packet layout: bytes after its end"))
    }
}

fn take(rest: &mut &[u8]) -> Result<String, Refusal> {
    let end = rest
        .iter()
        .position(|b| *b == 0)
        .ok_or_else(|| protocol("invalid startup packet layout: no terminator"))?;
    let (text, after) = rest.split_at(end);
    *rest = after.get(1..).unwrap_or_default();
    std::str::from_utf8(text).map(str::to_owned).map_err(|_| {
        Refusal::new(Code::BadBytes, "invalid byte sequence for encoding \"UTF8\" in a startup parameter")
    })
}

/// Splits the `options` parameter: `-c name=value`, `-cname=value`, `--name=value`; backslash escapes a space.
///
/// # Errors
/// 42601 for anything else.
pub fn options(text: &str) -> Result<Vec<(String, String)>, Refusal> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.extend(chars.next()),
            c if c.is_ascii_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    let mut settings = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let assignment = match word.strip_prefix("-c").or_else(|| word.strip_prefix("--")) {
            Some("") => words.next(),
            Some(rest) => Some(rest.to_owned()),
            None => None,
        };
        let (name, value) = assignment
            .as_deref()
            .and_then(|a| a.split_once('='))
            .ok_or_else(|| Refusal::new(Code::Syntax, "startup options take the form -c name=value"))?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(code: u32, rest: &[u8]) -> Vec<u8> {
        let mut out = ((8 + rest.len()) as u32).to_be_bytes().to_vec();
        out.extend_from_slice(&code.to_be_bytes());
        out.extend_from_slice(rest);
        out
    }

    #[test]
    fn first_packets_decode() {
        assert_eq!(decode(&packet(80_877_103, b"")), Ok(First::Tls));
        assert_eq!(decode(&packet(80_877_104, b"")), Ok(First::Gss));
        assert_eq!(decode(&packet(80_877_102, b"\0\0\0\x07abcd")), Ok(First::Cancel(7, b"abcd".to_vec())));
        let startup = decode(&packet(196_610, b"user\0a~b\0_pq_.x\x001\0\0"));
        assert!(matches!(startup, Ok(First::Startup(s)) if s.minor == 2
            && s.parameters["user"] == "a~b" && s.unknown_options == ["_pq_.x"]));
    }

    #[test]
    fn malformed_first_packets_are_refused() {
        for bad in [
            packet(80_877_103, b"x"),
            packet(80_877_102, b"\0\0\0\x07"),
            packet(196_608, b"user\0a"),
            packet(196_608, b"user\0a\0"),
            packet(196_608, b"user\0a\0\0x"),
            packet(196_608, b"user\0a\0user\0b\0\0"),
            packet(196_608, b"user\0\xff\0\0"),
            packet(131_072, b"\0"),
            packet(0, b""),
        ] {
            assert!(decode(&bad).is_err(), "{bad:?}");
        }
        assert!(length(b"\0\0\0\x07").is_err());
        assert!(length(b"\x40\0\0\0").is_err());
        assert_eq!(length(b"\0\0"), Ok(None));
    }

    #[test]
    fn options_split_as_in_postgresql() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            options("-c a=b --lanyard.user=x\\ y -cstatement_timeout=5s"),
            Ok(vec![pair("a", "b"), pair("lanyard.user", "x y"), pair("statement_timeout", "5s")])
        );
        for bad in ["-d 5", "x=y", "-c", "-c novalue"] {
            assert!(options(bad).is_err(), "{bad}");
        }
    }
}
