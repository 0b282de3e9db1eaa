//! COPY from the client: its data passes undecoded, and what may come in between is what PostgreSQL takes then.
//!
//! Between a COPY and the warehouse's answer to it nobody knows whether the next Sync will be swallowed (the COPY runs) or
//! answered (it failed), so messages other than data wait for that answer. Syncs among the data go to the warehouse in their
//! place, as only it can know what it had read when the COPY failed; how many it answers is found out by [`Recount`]. Data must
//! never reach a warehouse but behind a released COPY. Called by the loop and by `inbound` and `outbound`.

use bytes::BytesMut;
use lanyard_engine::refusal::{Code, Refusal};
use lanyard_engine::sql::{Effect, Judged};

use crate::wire::frame;
use crate::wire::inbound::{Inbound, Object};
use crate::wire::outgoing::{Outgoing, write};

use super::exchange::{Exchange, Pending, Run};
use super::inbound::NOBODY;
use super::messages::{self, About};
use super::outbound::{out_of_step, send};

/// A COPY FROM STDIN that was sent and is not over, or a Query with several.
#[derive(Debug, Default)]
pub(super) struct CopyIn {
    /// How many the warehouse has begun to take.
    opened: u32,
    /// How many the client has ended.
    closed: u32,
    /// Was a Sync among the data?
    synced: bool,
}

/// What the warehouse made of Syncs among the data of a COPY that failed. Those it read before it failed are gone, those behind
/// are answered. We send Sync, Close, Sync behind them all: of the answers before CloseComplete all but the last are the
/// client's, and the two of our own Syncs are nobody's.
#[derive(Debug, Default)]
pub(super) struct Recount {
    /// Were our messages sent?
    asked: bool,
    /// A ReadyForQuery that is the client's if another comes before CloseComplete.
    last: Option<Box<[u8]>>,
    closed: bool,
}

/// What becomes of a message while a COPY is under way.
pub(super) enum Meanwhile {
    /// It is handled as ever.
    Handled,
    /// It waits.
    Held,
    /// A Sync in the middle of the data: it goes on, and nobody waits for its answer.
    Swallowed,
    /// PostgreSQL ends the connection over it.
    Fatal(Refusal),
}

pub(super) fn copies_in(judged: &Judged) -> bool {
    judged.effects.iter().any(|(_, effect)| *effect == Effect::CopyIn)
}

impl Exchange {
    /// Passes as much COPY data as there is at the front of what the client sent. True when something was passed.
    ///
    /// # Errors
    /// The client left the protocol.
    pub(super) fn pass_copy(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<bool, Refusal> {
        if self.copy.is_none() && self.copy_passing == 0 {
            return Ok(false);
        }
        let mut run = self.copy_passing.min(input.len());
        self.copy_passing -= run;
        while self.copy_passing == 0 && self.copy.is_some() {
            let rest = input.get(run..).unwrap_or_default();
            match frame::header(rest).map_err(|e| Refusal::new(Code::Protocol, e.to_string()))? {
                Some((b'd', total)) => {
                    let take = total.min(rest.len());
                    run += take;
                    self.copy_passing = total - take;
                }
                _ => break,
            }
        }
        if run > 0 {
            write(out, Outgoing::CopyData(input.split_to(run)));
        }
        Ok(run > 0)
    }

    /// May this message of the client's be handled now?
    pub(super) fn meanwhile(&mut self, message: &Inbound<'_>, out: &mut BytesMut) -> Meanwhile {
        if self.is_recounting() || self.is_asking() {
            return if matches!(message, Inbound::Terminate) { Meanwhile::Handled } else { Meanwhile::Held };
        }
        if self.copy.is_none() {
            return if self.ask_types(message, out) { Meanwhile::Held } else { Meanwhile::Handled };
        }
        // In a Query another COPY may follow, or none: its end needs no asking.
        let in_query = self.pending.iter().any(|pending| matches!(pending, Pending::Query(_)));
        let Some(copy) = &mut self.copy else { return Meanwhile::Handled };
        let open = copy.opened > copy.closed;
        match message {
            Inbound::CopyDone | Inbound::CopyFail(_) => {
                copy.closed += 1;
                Meanwhile::Handled
            }
            Inbound::Terminate | Inbound::Flush => Meanwhile::Handled,
            Inbound::Sync if open => {
                copy.synced = true;
                Meanwhile::Swallowed
            }
            other if open => Meanwhile::Fatal(Refusal::new(
                Code::Protocol,
                format!("unexpected message type 0x{:02X} during COPY from stdin", other.kind()),
            )),
            _ if copy.closed == 0 => Meanwhile::Held,
            // One COPY at a time, and nothing behind Syncs whose fate is open; the warehouse keeps the end of this one to
            // itself until it is asked.
            Inbound::Query(_) | Inbound::Execute { .. } => {
                write(out, Outgoing::Flush);
                Meanwhile::Held
            }
            _ if in_query => Meanwhile::Held,
            _ if copy.synced => {
                write(out, Outgoing::Flush);
                Meanwhile::Held
            }
            message if self.ask_types(message, out) => Meanwhile::Held,
            _ => Meanwhile::Handled,
        }
    }

    /// CopyInResponse.
    pub(super) fn copy_opened(&mut self) -> Result<(), Refusal> {
        let current = self.current_run().is_some_and(|run| copies_in(&run.judged));
        match &mut self.copy {
            Some(copy) if current => {
                copy.opened += 1;
                Ok(())
            }
            Some(_) | None => {
                Err(Refusal::new(Code::UpstreamLost, "the warehouse asks for data nobody offered"))
            }
        }
    }

    /// This run takes no more data.
    pub(super) fn copy_over(&mut self, run: &Run) {
        if copies_in(&run.judged) {
            self.copy = None;
        }
    }

    /// The warehouse reports an error. True when it ends a COPY with Syncs among its data, whose fate has to be found out.
    pub(super) fn copy_failed(&mut self) -> bool {
        let current = self.current_run().is_some_and(|run| copies_in(&run.judged));
        current && self.copy.take().is_some_and(|copy| copy.synced)
    }

    /// Is it not known yet how many Syncs among the data are answered? Nothing is sent behind the question until it is.
    pub(super) fn is_recounting(&self) -> bool {
        matches!(self.pending.back(), Some(Pending::Recount(_)))
    }

    /// Asks the warehouse, once the message of the client's that is under way has gone.
    pub(super) fn ask_recount(&mut self, out: &mut BytesMut) {
        let Some(Pending::Recount(recount)) = self.pending.back_mut() else { return };
        if recount.asked || self.copy_passing > 0 {
            return;
        }
        recount.asked = true;
        write(out, Outgoing::Sync);
        write(out, Outgoing::Close(Object::Statement, NOBODY));
        write(out, Outgoing::Sync);
    }

    /// An answer while it is being found out.
    pub(super) fn recounted(
        &mut self,
        mut recount: Recount,
        kind: u8,
        body: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), Refusal> {
        match kind {
            b'Z' => {
                self.rests(body);
                if recount.closed {
                    return Ok(());
                }
                if let Some(answer) = recount.last.replace(body.into()) {
                    // The client's own Sync came behind the failure, and ends the skipping.
                    self.skipping = false;
                    send(out, b'Z', &answer);
                }
            }
            b'3' if !recount.closed => recount.closed = true,
            b'N' => {
                let about = About { statement: None, wrote_shaped: self.wrote_shaped };
                messages::relay(out, kind, body, &about, &self.granted);
            }
            b'S' => self.parameter(body, out)?,
            b'E' => {
                self.error(body, out);
                return Ok(());
            }
            _ => return Err(out_of_step()),
        }
        self.pending.push_front(Pending::Recount(recount));
        Ok(())
    }
}
