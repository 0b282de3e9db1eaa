//! Messages we write to a client ourselves, and the few fields we read or change in the warehouse's.
//!
//! Source: PostgreSQL manual, "Message Formats" and "Error and Notice Message Fields".

use std::ffi::CStr;

use bytes::{BufMut, BytesMut};
use lanyard_engine::record::RulingId;
use lanyard_engine::refusal::Refusal;

/// Writes one message: the length is filled in afterwards.
pub fn message(out: &mut BytesMut, kind: u8, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(kind);
    let at = out.len();
    out.put_u32(0);
    body(out);
    let length = u32::try_from(out.len() - at).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

/// A NUL-terminated string; bytes after a NUL inside are left out.
pub fn cstring(out: &mut BytesMut, text: &str) {
    let bytes = text.as_bytes();
    out.extend_from_slice(CStr::from_bytes_until_nul(bytes).map_or(bytes, CStr::to_bytes));
    out.put_u8(0);
}

/// How bad an error is for the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The session goes on.
    Error,
    /// The connection ends.
    Fatal,
}

/// An ErrorResponse for a refusal; DETAIL carries the ruling's id. `text` is the client's, for the position.
pub fn refusal(
    out: &mut BytesMut,
    severity: Severity,
    refusal: &Refusal,
    ruling: Option<RulingId>,
    text: &str,
) {
    let word = match severity {
        Severity::Error => "ERROR",
        Severity::Fatal => "FATAL",
    };
    message(out, b'E', |out| {
        field(out, b'S', word);
        field(out, b'V', word);
        field(out, b'C', refusal.code.sqlstate());
        field(out, b'M', &refusal.message);
        if let Some(id) = ruling {
            field(out, b'D', &format!("ruling {id}"));
        }
        if let Some(hint) = &refusal.hint {
            field(out, b'H', hint);
        }
        if let Some(before) = refusal.offset.and_then(|at| text.get(..at)) {
            field(out, b'P', &(before.chars().count() + 1).to_string());
        }
        out.put_u8(0);
    });
}

/// One field of an ErrorResponse or NoticeResponse.
pub fn field(out: &mut BytesMut, code: u8, value: &str) {
    out.put_u8(code);
    cstring(out, value);
}

/// The fields of an ErrorResponse or NoticeResponse body.
pub fn fields(body: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let (&code, after) = rest.split_first()?;
        if code == 0 {
            return None;
        }
        let end = after.iter().position(|b| *b == 0)?;
        let value = after.get(..end)?;
        rest = after.get(end + 1..)?;
        Some((code, value))
    })
}

/// A ParameterStatus.
pub fn parameter_status(out: &mut BytesMut, name: &str, value: &str) {
    message(out, b'S', |out| {
        cstring(out, name);
        cstring(out, value);
    });
}

/// A ReadyForQuery with this transaction status.
pub fn ready(out: &mut BytesMut, status: u8) {
    message(out, b'Z', |out| out.put_u8(status));
}

/// The number at the end of a command tag: `SELECT 5` -> 5, `INSERT 0 2` -> 2; `None` for commands that count no rows.
#[must_use]
pub fn tag_rows(body: &[u8]) -> Option<u64> {
    let tag = body.split(|b| *b == 0).next().unwrap_or_default();
    tag.rsplit(|b| *b == b' ')
        .next()
        .and_then(|number| std::str::from_utf8(number).ok())
        .and_then(|number| number.parse().ok())
}

/// Calls `change` with the table OID (4 bytes, big-endian) and attribute number (2) of each column of a RowDescription
/// body, in place. `None` when the body is malformed.
pub fn each_column(body: &mut [u8], mut change: impl FnMut(&mut [u8; 4], &mut [u8; 2])) -> Option<()> {
    let (count, mut rest) = body.split_first_chunk_mut::<2>()?;
    for _ in 0..u16::from_be_bytes(*count) {
        let name_end = rest.iter().position(|b| *b == 0)?;
        let (_, after) = rest.split_at_mut_checked(name_end + 1)?;
        let (table, after) = after.split_first_chunk_mut::<4>()?;
        let (number, after) = after.split_first_chunk_mut::<2>()?;
        change(table, number);
        rest = after.get_mut(12..)?;
    }
    rest.is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lanyard_engine::refusal::Code;

    #[test]
    fn a_refusal_reads_back_field_by_field() {
        let mut out = BytesMut::new();
        let said = Refusal::new(Code::UndefinedTable, "relation \"é\" does not exist").hint("ask").at(3);
        refusal(&mut out, Severity::Error, &said, Some(RulingId(10)), "é x");
        assert_eq!(out[0], b'E');
        assert_eq!(u32::from_be_bytes([out[1], out[2], out[3], out[4]]) as usize, out.len() - 1);
        let read: Vec<(u8, String)> =
            fields(&out[5..]).map(|(c, v)| (c, String::from_utf8_lossy(v).into_owned())).collect();
        assert!(read.contains(&(b'C', "42P01".into())));
        assert!(read.contains(&(b'P', "3".into())), "characters, not bytes: {read:?}");
        assert!(read.iter().any(|(c, v)| *c == b'D' && v.ends_with("a")));
    }

    #[test]
    fn tags_and_columns() {
        assert_eq!(tag_rows(b"SELECT 5\0"), Some(5));
        assert_eq!(tag_rows(b"INSERT 0 2\0"), Some(2));
        assert_eq!(tag_rows(b"BEGIN\0"), None);
        let mut body = b"\0\x01id\0\0\0\x40\x11\0\x02\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0".to_vec();
        let mut seen = 0;
        assert!(
            each_column(&mut body, |table, _| {
                seen = u32::from_be_bytes(*table);
                *table = 7u32.to_be_bytes();
            })
            .is_some()
        );
        assert_eq!((seen, body[8]), (0x4011, 7));
        assert!(each_column(&mut body[..10], |_, _| ()).is_none());
        assert!(each_column(&mut [0, 9], |_, _| ()).is_none());
    }
}
