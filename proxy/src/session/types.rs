//! Types of parameters that a client names by OID and that are not PostgreSQL's own.
//!
//! PostgreSQL asks nobody for rights on them, and an OID could be that of a hidden table's row or of a hidden enum. Which ones the
//! session may name only the warehouse knows (it may have made one a moment ago), so the session asks the virtual catalog there,
//! once for each, and the Parse waits for the answer. Called by the loop through `meanwhile`, and by `inbound` and `outbound`.

use std::collections::HashMap;

use bytes::BytesMut;
use lanyard_engine::refusal::{Code, Refusal};
use lanyard_engine::sql::{self, ParameterType};

use crate::wire::inbound::Inbound;
use crate::wire::outgoing::{Outgoing, write};

use super::exchange::{Exchange, Pending};
use super::messages::{self, About};
use super::outbound::out_of_step;

/// Most types a session asks about; of any other the warehouse infers the type. What is known is never forgotten before the
/// session's access changes, so that the questions of one Parse come to an end.
const KNOWN_MAX: usize = 1_000;
/// Most types one question is about; the next is asked when it is answered.
const ASKED_MAX: usize = 100;
/// CloseComplete of the question's portal and of its statement.
const CLOSES: u8 = 2;
const FAILED: u8 = b'E';

/// Which types of parameters the session may name, as far as it has asked.
pub(super) type KnownTypes = HashMap<u32, bool>;

/// The question and what has come of its answer.
#[derive(Debug)]
pub(super) struct TypesAsked {
    oids: Vec<u32>,
    allowed: Vec<u32>,
    closed: u8,
}

impl Exchange {
    /// Asks about what a Parse names and nobody knows yet. True when it has to wait.
    pub(super) fn ask_types(&mut self, message: &Inbound<'_>, out: &mut BytesMut) -> bool {
        let Inbound::Parse { types, .. } = message else { return false };
        // In a failed transaction nothing is answered, and a Parse that would need it fails as well.
        if self.transaction == FAILED || self.types.len() >= KNOWN_MAX {
            return false;
        }
        let mut oids: Vec<u32> = oids(types)
            .filter(|oid| sql::parameter_type(*oid) == ParameterType::Asked && !self.types.contains_key(oid))
            .take(ASKED_MAX)
            .collect();
        if oids.is_empty() {
            return false;
        }
        oids.sort_unstable();
        oids.dedup();
        write(out, Outgoing::AskTypes { stamp: &self.stamp, oids: &oids });
        self.pending.push_back(Pending::Types(TypesAsked { oids, allowed: Vec::new(), closed: 0 }));
        true
    }

    /// Is the answer still to come?
    pub(super) fn is_asking(&self) -> bool {
        matches!(self.pending.back(), Some(Pending::Types(_)))
    }

    /// A message of the answer; an error is the Parse's own, which the warehouse would not have taken either.
    pub(super) fn types_answered(
        &mut self,
        mut asked: TypesAsked,
        kind: u8,
        body: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), Refusal> {
        match kind {
            b'1' | b'2' | b'C' => {}
            // One column, as text.
            b'D' => {
                let oid = body.get(6..).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
                asked.allowed.push(oid.filter(|oid| asked.oids.contains(oid)).ok_or_else(out_of_step)?);
            }
            b'3' => asked.closed += 1,
            b'N' => {
                let about = About { statement: None, wrote_shaped: self.wrote_shaped };
                messages::relay(out, kind, body, &about, &self.granted);
            }
            b'S' => self.parameter(body, out)?,
            b'A' => self.notification(body, out),
            b'E' => {
                self.error(body, out);
                return Ok(());
            }
            _ => return Err(out_of_step()),
        }
        if asked.closed < CLOSES {
            self.pending.push_front(Pending::Types(asked));
            return Ok(());
        }
        for oid in asked.oids {
            self.types.insert(oid, asked.allowed.contains(&oid));
        }
        Ok(())
    }

    /// The types of a Parse's parameters as the warehouse gets them: 0 for what the session may not name.
    ///
    /// # Errors
    /// 42501 for a type that reads or prints the names of objects: PostgreSQL does so without asking for rights.
    pub(super) fn parameter_types(&self, types: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut sent = types.get(..2).unwrap_or_default().to_vec();
        for oid in oids(types) {
            let kept = match sql::parameter_type(oid) {
                ParameterType::Named => true,
                ParameterType::Asked => self.types.get(&oid).copied().unwrap_or(false),
                ParameterType::Refused => {
                    return Err(Refusal::new(Code::Policy, "a parameter of this type is not allowed").hint(
                        "send the value as text; names of objects go through to_regclass and its like",
                    ));
                }
            };
            sent.extend(if kept { oid } else { 0 }.to_be_bytes());
        }
        Ok(sent)
    }
}

/// Behind their number.
fn oids(types: &[u8]) -> impl Iterator<Item = u32> {
    types.get(2..).unwrap_or_default().as_chunks::<4>().0.iter().map(|oid| u32::from_be_bytes(*oid))
}
