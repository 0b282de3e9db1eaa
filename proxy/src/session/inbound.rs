//! From the client: each message is decoded, judged where it carries SQL, put on record where it runs something, and
//! sent on. A refusal takes the message's place in the pipeline.

use std::sync::Arc;

use bytes::BytesMut;
use lanyard_engine::limits;
use lanyard_engine::refusal::{Code, Refusal};
use lanyard_engine::sql;

use crate::wire::inbound::{self, Inbound, Malformed, Object};
use crate::wire::outgoing::{Outgoing, write};

use super::copy::Meanwhile;
use super::exchange::{Exchange, Pending, Portal, Statement};
use super::named::{duplicate, unknown_statement, upstream_name};

/// A reserved name that nothing in the warehouse has.
pub(super) const NOBODY: &str = "lanyard_none";

/// What the loop does next.
#[derive(Debug)]
pub(super) enum Flow {
    /// Go on.
    Continue,
    /// This message waits where it lies: nothing more is taken from the client until the warehouse has said more.
    Wait,
    /// The client said goodbye.
    Goodbye,
    /// The connection cannot be trusted: say this and end.
    End(Refusal),
}

impl Exchange {
    /// Handles one frame of the client; what goes to the warehouse is appended to `out`.
    pub(super) fn client_said(&mut self, kind: u8, body: &[u8], out: &mut BytesMut) -> Flow {
        let message = match inbound::decode(kind, body) {
            Ok(message) => message,
            Err(Malformed::Fatal(refusal)) => return Flow::End(refusal),
            Err(Malformed::Refused(_, _)) if self.skipping => return Flow::Continue,
            Err(Malformed::Refused(kind, refusal)) => {
                self.refused_message(kind == b'Q', "", refusal, 0, out);
                return Flow::Continue;
            }
        };
        self.take(message, out)
    }

    /// Does the record of what this message runs depend on an answer that has not come yet?
    fn is_early(&self, message: &Inbound<'_>) -> bool {
        let number = match message {
            Inbound::Bind { statement: "", .. } => self.statements.get("").map(|s| s.number),
            Inbound::Execute { portal: "", .. } => self.portals.get("").map(|p| p.number),
            _ => None,
        };
        number.is_some_and(|number| self.is_unsettled(number))
    }

    fn take(&mut self, message: Inbound<'_>, out: &mut BytesMut) -> Flow {
        if let Some(latest) = self.granted.latest() {
            self.granted = latest;
            self.types.clear();
        }
        // What PostgreSQL would ignore is neither judged nor put on record.
        if self.skipping
            && !self.is_recounting()
            && !matches!(message, Inbound::Sync | Inbound::Flush | Inbound::Terminate)
        {
            return Flow::Continue;
        }
        if self.is_early(&message) {
            return Flow::Wait;
        }
        match self.meanwhile(&message, out) {
            Meanwhile::Handled => {}
            Meanwhile::Held => return Flow::Wait,
            Meanwhile::Swallowed => {
                write(out, Outgoing::Sync);
                return Flow::Continue;
            }
            Meanwhile::Fatal(refusal) => return Flow::End(refusal),
        }
        match message {
            Inbound::Query(_) | Inbound::Sync => self.unsynced = false,
            Inbound::Parse { .. }
            | Inbound::Bind { .. }
            | Inbound::Describe(..)
            | Inbound::Execute { .. }
            | Inbound::Close(..) => self.unsynced = true,
            Inbound::Flush
            | Inbound::FunctionCall
            | Inbound::CopyDone
            | Inbound::CopyFail(_)
            | Inbound::CopyOutside
            | Inbound::Terminate => {}
        }
        match message {
            Inbound::Query(text) => self.query(text.into(), out),
            Inbound::Parse { name, text, types } => self.parse(name, text.into(), types, out),
            Inbound::Bind { portal, statement, rest } => self.bind(portal, statement, rest, out),
            Inbound::Describe(object, name) => self.describe(object, name, out),
            Inbound::Execute { portal, rows_max } => self.execute(portal, rows_max, out),
            Inbound::Close(object, name) => self.close(object, name, out),
            Inbound::Flush => write(out, Outgoing::Flush),
            Inbound::Sync => {
                self.skipping = false;
                self.synced = self.next_number();
                write(out, Outgoing::Sync);
                self.pending.push_back(Pending::Sync);
            }
            Inbound::FunctionCall => {
                let refusal = Refusal::new(Code::Unsupported, "function calls outside SQL are not supported")
                    .hint("use SELECT function(…)");
                self.refused_message(true, "", refusal, 0, out);
            }
            Inbound::CopyDone if self.copy.is_some() => write(out, Outgoing::CopyDone),
            Inbound::CopyFail(reason) if self.copy.is_some() => write(out, Outgoing::CopyFail(reason)),
            Inbound::CopyOutside | Inbound::CopyDone | Inbound::CopyFail(_) => {}
            Inbound::Terminate => return Flow::Goodbye,
        }
        Flow::Continue
    }

    fn query(&mut self, text: Arc<str>, out: &mut BytesMut) {
        // A simple Query destroys the unnamed statement and portal.
        self.statements.remove("");
        self.portals.remove("");
        let (judged, judge_us) = self.judge(&text);
        let released = judged.and_then(|judged| {
            let (text, judged) = self.renamed(&text, judged)?;
            self.clash(&judged)?;
            let part = self.part(&text, &judged);
            self.release(&text, &judged, &part, "simple", judge_us)
        });
        match released {
            Ok((run, released)) => {
                write(out, Outgoing::Query { stamp: &self.stamp, text: released });
                self.begun(&run);
                self.pending.push_back(Pending::Query(run));
            }
            Err(refusal) => self.refused_message(true, &text, refusal, judge_us, out),
        }
    }

    fn parse(&mut self, name: &str, text: Arc<str>, types: &[u8], out: &mut BytesMut) {
        if !name.is_empty() && self.exists(name) {
            return self.refused_message(false, &text, duplicate(name), 0, out);
        }
        let (judged, judge_us) = self.judge(&text);
        let judged = judged.and_then(|judged| {
            self.room_for(&text)?;
            let types = self.parameter_types(types)?;
            let (text, judged) = self.renamed(&text, judged)?;
            Ok((text, judged, types))
        });
        match judged {
            Ok((text, judged, types)) => {
                let number = self.next_number();
                let upstream = if name.is_empty() { String::new() } else { upstream_name(number, name) };
                let text_for_parse = judged.enforced.for_parse();
                write(
                    out,
                    Outgoing::Parse {
                        name: &upstream,
                        stamp: &self.stamp,
                        text: text_for_parse,
                        types: &types,
                    },
                );
                let part = self.part(&text, &judged);
                let path = self.path_ahead();
                let types = Some(types.into());
                let statement = Arc::new(Statement { upstream, text, judged, part, number, path, types });
                self.statements.insert(name.to_owned(), Arc::clone(&statement));
                self.pending.push_back(Pending::Parse { name: name.to_owned(), statement });
            }
            Err(refusal) => {
                if name.is_empty() {
                    self.statements.remove("");
                }
                self.refused_message(false, &text, refusal, judge_us, out);
            }
        }
    }

    fn bind(&mut self, portal: &str, name: &str, rest: &[u8], out: &mut BytesMut) {
        let Some(statement) = self.statements.get(name).map(Arc::clone) else {
            return self.refused_message(false, "", unknown_statement(name), 0, out);
        };
        if let Err(refusal) = self.names_the_same(&statement) {
            return self.refused_message(false, &statement.text, refusal, 0, out);
        }
        // The transaction of a portal may end at a Sync or Query under way; then its name is free by the time this arrives.
        let lasts = !self.pending.iter().any(|p| matches!(p, Pending::Sync | Pending::Query(_)));
        if !portal.is_empty() && self.portals.contains_key(portal) && lasts {
            let refusal = Refusal::new(Code::DuplicatePortal, format!("cursor \"{portal}\" already exists"));
            return self.refused_message(false, "", refusal, 0, out);
        }
        if self.portals.len() >= limits::PREPARED_MAX {
            let refusal = Refusal::new(Code::TooLarge, "too many portals").hint("close what is not used");
            return self.refused_message(false, &statement.text, refusal, 0, out);
        }
        let number = self.next_number();
        let upstream =
            if portal.is_empty() { String::new() } else { format!("{}{number}", sql::RESERVED_NAMES) };
        write(out, Outgoing::Bind { portal: &upstream, statement: &statement.upstream, rest });
        let made = Portal { upstream, statement, number };
        let before = self.portals.insert(portal.to_owned(), made.clone());
        self.pending.push_back(Pending::Bind { name: portal.to_owned(), portal: made, before });
    }

    /// The portal's name in the warehouse; a name we do not know may be a cursor that a judged DECLARE made.
    fn portal_upstream<'a>(&'a self, name: &'a str) -> &'a str {
        match self.portals.get(name) {
            Some(portal) => &portal.upstream,
            None if name.starts_with(sql::RESERVED_NAMES) => NOBODY,
            None => name,
        }
    }

    fn describe(&mut self, object: Object, name: &str, out: &mut BytesMut) {
        match object {
            Object::Statement => {
                let Some(statement) = self.statements.get(name) else {
                    return self.refused_message(false, "", unknown_statement(name), 0, out);
                };
                write(out, Outgoing::Describe(object, &statement.upstream));
            }
            Object::Portal => write(out, Outgoing::Describe(object, self.portal_upstream(name))),
        }
        self.pending.push_back(Pending::Describe);
    }

    fn execute(&mut self, portal: &str, rows_max: [u8; 4], out: &mut BytesMut) {
        let Some(Portal { statement, upstream, .. }) = self.portals.get(portal).cloned() else {
            let refusal = Refusal::new(Code::UnknownPortal, format!("portal \"{portal}\" does not exist"))
                .hint("read a cursor made by DECLARE with FETCH");
            return self.refused_message(false, "", refusal, 0, out);
        };
        let judged = &statement.judged;
        let released = self
            .clash(judged)
            .and_then(|()| self.release(&statement.text, judged, &statement.part, "extended", 0));
        match released {
            Ok((mut run, released)) => {
                run.rows_max = u32::from_be_bytes(rows_max);
                self.begun(&run);
                write(out, Outgoing::Execute { portal: &upstream, rows_max, released });
                self.pending.push_back(Pending::Execute(run));
            }
            Err(refusal) => self.refused_message(false, &statement.text, refusal, 0, out),
        }
    }

    fn close(&mut self, object: Object, name: &str, out: &mut BytesMut) {
        match object {
            Object::Statement => {
                // Closing what does not exist is no error in PostgreSQL either; it must not hit the unnamed statement.
                let closed = self.statements.remove(name);
                write(out, Outgoing::Close(object, closed.as_ref().map_or(NOBODY, |s| &s.upstream)));
            }
            Object::Portal => {
                write(out, Outgoing::Close(object, self.portal_upstream(name)));
                self.portals.remove(name);
            }
        }
        self.pending.push_back(Pending::Close);
    }

    /// Puts a refusal in the message's place, and on record. In the extended protocol nothing else happens up to Sync.
    fn refused_message(
        &mut self,
        in_query: bool,
        text: &str,
        refusal: Refusal,
        judge_us: u64,
        out: &mut BytesMut,
    ) {
        let protocol = if in_query { "simple" } else { "extended" };
        let (refusal, ruling) = self.refuse(text, refusal, protocol, judge_us);
        write(out, Outgoing::Refused { in_query, stamp: &self.stamp, code: refusal.code });
        self.skipping = !in_query;
        self.pending.push_back(Pending::Refused {
            in_query,
            refusal,
            ruling: Some(ruling),
            text: text.into(),
            answered: false,
        });
    }
}
