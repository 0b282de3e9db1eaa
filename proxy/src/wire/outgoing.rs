//! The only writer towards the warehouse. It takes a closed enum: released text, a released execution, protocol
//! control, data of a released COPY, and the constant that stands for a refused statement. Unenforced text has no way in.

use bytes::{BufMut, BytesMut};
use lanyard_engine::names::CATALOG_SCHEMA;
use lanyard_engine::refusal::Code;
use lanyard_engine::released::{Parseable, Released};

use crate::net::pump::pass;

use super::backend::{cstring, message};
use super::inbound::Object;

/// One message to the warehouse.
#[expect(missing_docs, reason = "fields are named as in the manual's Message Formats")]
pub enum Outgoing<'a> {
    /// A simple Query: stamp, then the released text.
    Query { stamp: &'a str, text: Released },
    /// A Parse: nothing runs yet.
    Parse { name: &'a str, stamp: &'a str, text: Parseable<'a>, types: &'a [u8] },
    /// A Bind; parameters as they came.
    Bind { portal: &'a str, statement: &'a str, rest: &'a [u8] },
    /// A question of the session's own, whole and with its Flush: which of these types may it name? Numbers only.
    AskTypes { stamp: &'a str, oids: &'a [u32] },
    /// A Describe.
    Describe(Object, &'a str),
    /// An Execute whose record is filed.
    Execute { portal: &'a str, rows_max: [u8; 4], released: Released },
    /// A Close.
    Close(Object, &'a str),
    /// CopyData for a COPY that was released: whole messages or the next part of one, as they came.
    CopyData(BytesMut),
    /// A CopyDone.
    CopyDone,
    /// A CopyFail; the reason as it came.
    CopyFail(&'a [u8]),
    /// A Flush.
    Flush,
    /// A Sync.
    Sync,
    /// A Terminate.
    Terminate,
    /// Stands in the pipeline for a refused message: the warehouse answers with a syntax error, which we replace with
    /// the refusal. So the order of answers, the failed transaction and the skipping to Sync stay PostgreSQL's own.
    Refused { in_query: bool, stamp: &'a str, code: Code },
}

/// Appends one message.
pub fn write(out: &mut BytesMut, outgoing: Outgoing<'_>) {
    match outgoing {
        Outgoing::Query { stamp, text } => message(out, b'Q', |out| {
            out.extend_from_slice(stamp.as_bytes());
            cstring(out, text.text());
        }),
        Outgoing::Parse { name, stamp, text, types } => message(out, b'P', |out| {
            cstring(out, name);
            out.extend_from_slice(stamp.as_bytes());
            cstring(out, text.text());
            out.extend_from_slice(types);
        }),
        Outgoing::Bind { portal, statement, rest } => message(out, b'B', |out| {
            cstring(out, portal);
            cstring(out, statement);
            out.extend_from_slice(rest);
        }),
        Outgoing::AskTypes { stamp, oids } => ask_types(out, stamp, oids),
        Outgoing::Describe(object, name) => named(out, b'D', object, name),
        Outgoing::Close(object, name) => named(out, b'C', object, name),
        Outgoing::Execute { portal, rows_max, released } => {
            drop(released);
            message(out, b'E', |out| {
                cstring(out, portal);
                out.extend_from_slice(&rows_max);
            });
        }
        Outgoing::CopyData(bytes) => pass(out, bytes),
        Outgoing::CopyDone => message(out, b'c', |_| ()),
        Outgoing::CopyFail(reason) => message(out, b'f', |out| out.extend_from_slice(reason)),
        Outgoing::Flush => message(out, b'H', |_| ()),
        Outgoing::Sync => message(out, b'S', |_| ()),
        Outgoing::Terminate => message(out, b'X', |_| ()),
        Outgoing::Refused { in_query, stamp, code } => {
            let text = format!("{stamp}LANYARD_REFUSED_{}", code.sqlstate());
            if in_query {
                message(out, b'Q', |out| cstring(out, &text));
            } else {
                message(out, b'P', |out| {
                    cstring(out, "lanyard_refused");
                    cstring(out, &text);
                    out.put_u16(0);
                });
            }
        }
    }
}

/// Under names of its own, so that neither the client's unnamed statement nor its unnamed portal is touched.
fn ask_types(out: &mut BytesMut, stamp: &str, oids: &[u32]) {
    const NAME: &str = "lanyard_types";
    let listed = oids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let text = format!("{stamp}SELECT {CATALOG_SCHEMA}._parameter_types('{{{listed}}}')");
    message(out, b'P', |out| {
        cstring(out, NAME);
        cstring(out, &text);
        out.put_u16(0);
    });
    message(out, b'B', |out| {
        cstring(out, NAME);
        cstring(out, NAME);
        out.put_bytes(0, 6);
    });
    message(out, b'E', |out| {
        cstring(out, NAME);
        out.put_u32(0);
    });
    named(out, b'C', Object::Portal, NAME);
    named(out, b'C', Object::Statement, NAME);
    message(out, b'H', |_| ());
}

fn named(out: &mut BytesMut, kind: u8, object: Object, name: &str) {
    message(out, kind, |out| {
        out.put_u8(match object {
            Object::Statement => b'S',
            Object::Portal => b'P',
        });
        cstring(out, name);
    });
}
