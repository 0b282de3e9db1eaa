//! From the client: each message is decoded, judged where it carries SQL, put on record where it runs something, and
//! sent on. A refusal takes the message's place in the pipeline.

use std::sync::Arc;

use bytes::BytesMut;
use lanyard_engine::refusal::{Code, Refusal};
use lanyard_engine::sql::{self, Effect, Judged};

use crate::wire::frame::Frame;
use crate::wire::inbound::{self, Inbound, Malformed, Object};
use crate::wire::outgoing::{Outgoing, write};

use super::exchange::{Exchange, Pending, Portal, Statement};

/// What the loop does next.
#[derive(Debug)]
pub(super) enum Flow {
    /// Go on.
    Continue,
    /// The client said goodbye.
    Goodbye,
    /// The connection cannot be trusted: say this and end.
    End(Refusal),
}

impl Exchange {
    /// Handles one frame of the client; what goes to the warehouse is appended to `out`.
    pub(super) fn client_said(&mut self, frame: Frame, out: &mut BytesMut) -> Flow {
        let message = match inbound::decode(frame) {
            Ok(message) => message,
            Err(Malformed::Fatal(refusal)) => return Flow::End(refusal),
            Err(Malformed::Refused(_, _)) if self.skipping => return Flow::Continue,
            Err(Malformed::Refused(kind, refusal)) => {
                if !self.skipping {
                    self.refused_message(kind == b'Q', "", refusal, 0, out);
                }
                return Flow::Continue;
            }
        };
        // What PostgreSQL would ignore is neither judged nor put on record.
        if self.skipping && !matches!(message, Inbound::Sync | Inbound::Flush | Inbound::Terminate) {
            return Flow::Continue;
        }
        match message {
            Inbound::Query(text) => self.query(text.into(), out),
            Inbound::Parse { name, text, types } => self.parse(name, text.into(), &types, out),
            Inbound::Bind { portal, statement, rest } => self.bind(portal, &statement, &rest, out),
            Inbound::Describe(object, name) => self.describe(object, &name, out),
            Inbound::Execute { portal, rows_max } => self.execute(&portal, rows_max, out),
            Inbound::Close(object, name) => self.close(object, &name, out),
            Inbound::Flush => write(out, Outgoing::Flush),
            Inbound::Sync => {
                self.skipping = false;
                write(out, Outgoing::Sync);
                self.pending.push_back(Pending::Sync);
            }
            Inbound::FunctionCall => {
                let refusal = Refusal::new(Code::Unsupported, "function calls outside SQL are not supported")
                    .hint("use SELECT function(…)");
                self.refused_message(true, "", refusal, 0, out);
            }
            Inbound::CopyOutside => {}
            Inbound::Terminate => return Flow::Goodbye,
        }
        Flow::Continue
    }

    fn query(&mut self, text: Arc<str>, out: &mut BytesMut) {
        // A simple Query destroys the unnamed statement and portal.
        self.forget_statement("", out);
        self.forget_portal("", out);
        let (judged, judge_us) = self.judge(&text);
        let released = judged.and_then(|judged| {
            let (text, judged) = self.with_our_names(&text, judged)?;
            self.release(&text, &judged, &judged.enforced, "simple", judge_us)
        });
        match released {
            Ok((run, released)) => {
                write(out, Outgoing::Query { stamp: &self.stamp, text: released });
                self.pending.push_back(Pending::Query(run));
            }
            Err(refusal) => self.refused_message(true, &text, refusal, judge_us, out),
        }
    }

    /// DEALLOCATE of a statement, and FETCH, MOVE or CLOSE of a portal, that the protocol made: its name in the warehouse is
    /// ours. What a portal runs goes on record with the words that run it.
    fn with_our_names(&self, text: &Arc<str>, judged: Arc<Judged>) -> Result<(Arc<str>, Arc<Judged>), Refusal> {
        let alone = |what: &str| match judged.statements {
            0 | 1 => Ok(()),
            _ => Err(Refusal::new(Code::Unsupported, format!("{what} must be sent alone"))),
        };
        for effect in &judged.effects {
            match effect {
                Effect::Deallocate(name) => {
                    alone("DEALLOCATE by name")?;
                    let statement = self.statements.get(name).ok_or_else(|| unknown_statement(name))?;
                    let enforced = sql::deallocate(&statement.upstream);
                    let judged = Judged { enforced, edits: Vec::new(), ..(*judged).clone() };
                    return Ok((Arc::clone(text), Arc::new(judged)));
                }
                Effect::Cursor { name, verb } => {
                    let Some(portal) = self.portals.get(name) else { continue };
                    alone("FETCH, MOVE or CLOSE of a portal")?;
                    let of = &portal.statement.judged;
                    let judged = Judged {
                        enforced: sql::on_portal(verb, &portal.upstream),
                        edits: Vec::new(),
                        objects: of.objects.clone(),
                        disposition: of.disposition,
                        ..(*judged).clone()
                    };
                    let text = format!("{text}\n-- portal: {}", portal.statement.text);
                    return Ok((text.into(), Arc::new(judged)));
                }
                Effect::DeallocateAll => {}
            }
        }
        Ok((Arc::clone(text), judged))
    }

    fn parse(&mut self, name: String, text: Arc<str>, types: &[u8], out: &mut BytesMut) {
        if !name.is_empty() && self.statements.contains_key(&name) && !self.is_letting_go() {
            let refusal = Refusal::new(
                Code::DuplicateStatement,
                format!("prepared statement \"{name}\" already exists"),
            );
            return self.refused_message(false, &text, refusal, 0, out);
        }
        let (judged, judge_us) = self.judge(&text);
        let judged = judged.and_then(|judged| {
            if names_objects(types) {
                return Err(Refusal::new(
                    Code::Policy,
                    "a parameter of a type that names objects is not allowed",
                )
                .hint("send the name as text and use to_regclass"));
            }
            self.with_our_names(&text, judged)
        });
        match judged {
            Ok((text, judged)) => {
                self.forget_statement(&name, out);
                let number = self.next_number();
                let upstream = format!("{}s{number}", sql::RESERVED_NAMES);
                let text_for_parse = judged.enforced.for_parse();
                write(
                    out,
                    Outgoing::Parse { name: &upstream, stamp: &self.stamp, text: text_for_parse, types },
                );
                let statement = Arc::new(Statement { upstream, text, judged, number });
                self.statements.insert(name.clone(), Arc::clone(&statement));
                self.pending.push_back(Pending::Parse { name, statement });
            }
            Err(refusal) => {
                self.forget_statement(&name, out);
                self.refused_message(false, &text, refusal, judge_us, out);
            }
        }
    }

    fn bind(&mut self, portal: String, name: &str, rest: &[u8], out: &mut BytesMut) {
        let Some(statement) = self.statements.get(name).map(Arc::clone) else {
            return self.refused_message(false, "", unknown_statement(name), 0, out);
        };
        let before = self.forget_portal(&portal, out);
        let number = self.next_number();
        let upstream = format!("{}p{number}", sql::RESERVED_NAMES);
        write(out, Outgoing::Bind { portal: &upstream, statement: &statement.upstream, rest });
        let made = Portal { upstream, statement, number };
        self.portals.insert(portal.clone(), made.clone());
        self.pending.push_back(Pending::Bind { name: portal, portal: made, before });
    }

    /// The client's name will mean something else: what it meant is closed in the warehouse.
    fn forget_statement(&mut self, name: &str, out: &mut BytesMut) {
        if let Some(statement) = self.statements.remove(name) {
            write(out, Outgoing::Close(Object::Statement, &statement.upstream));
            self.pending.push_back(Pending::OurClose);
        }
    }

    fn forget_portal(&mut self, name: &str, out: &mut BytesMut) -> Option<Portal> {
        let portal = self.portals.remove(name)?;
        write(out, Outgoing::Close(Object::Portal, &portal.upstream));
        self.pending.push_back(Pending::OurClose);
        Some(portal)
    }

    fn describe(&mut self, object: Object, name: &str, out: &mut BytesMut) {
        match object {
            Object::Statement => {
                let Some(statement) = self.statements.get(name) else {
                    return self.refused_message(false, "", unknown_statement(name), 0, out);
                };
                write(out, Outgoing::Describe(object, &statement.upstream));
            }
            Object::Portal => match self.portals.get(name) {
                Some(portal) => write(out, Outgoing::Describe(object, &portal.upstream)),
                // A cursor that a judged DECLARE made.
                None if !name.starts_with(sql::RESERVED_NAMES) => {
                    write(out, Outgoing::Describe(object, name));
                }
                None => return self.refused_message(false, "", unknown_portal(name), 0, out),
            },
        }
        self.pending.push_back(Pending::Describe);
    }

    fn execute(&mut self, portal: &str, rows_max: [u8; 4], out: &mut BytesMut) {
        let Some(Portal { upstream, statement, .. }) = self.portals.get(portal).cloned() else {
            return self.refused_message(false, "", unknown_portal(portal), 0, out);
        };
        match self.release(&statement.text, &statement.judged, &statement.judged.enforced, "extended", 0) {
            Ok((mut run, released)) => {
                run.rows_max = u32::from_be_bytes(rows_max);
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
                write(out, Outgoing::Close(object, closed.as_ref().map_or("lanyard_none", |s| &s.upstream)));
            }
            Object::Portal => {
                // Else a cursor that a judged DECLARE made.
                let closed = self.portals.remove(name);
                write(out, Outgoing::Close(object, closed.as_ref().map_or(name, |p| &p.upstream)));
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

fn unknown_portal(name: &str) -> Refusal {
    Refusal::new(Code::UnknownPortal, format!("portal \"{name}\" does not exist"))
        .hint("read a cursor made by DECLARE with FETCH")
}

/// Does a Parse ask for a parameter of `regclass` or its like (or of arrays of them)? PostgreSQL reads and prints those
/// without asking for rights, so a parameter would tell the names of what is hidden. OIDs: PostgreSQL's pg_type.dat.
fn names_objects(types: &[u8]) -> bool {
    const NAMING: [u32; 22] = [
        24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191, // regproc … regcollation
        1008, 2207, 2208, 2209, 2210, 2211, 3735, 3770, 4090, 4097, 4192, // their arrays
    ];
    let (_count, oids) = types.split_at_checked(2).unwrap_or_default();
    oids.as_chunks::<4>().0.iter().any(|oid| NAMING.contains(&u32::from_be_bytes(*oid)))
}

fn unknown_statement(name: &str) -> Refusal {
    Refusal::new(Code::UnknownStatement, format!("prepared statement \"{name}\" does not exist"))
}
