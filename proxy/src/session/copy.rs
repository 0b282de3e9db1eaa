//! COPY from the client: its data passes undecoded, and what may come in between is what PostgreSQL takes then.
//!
//! Between a COPY and the warehouse's answer to it nobody knows whether the next Sync will be swallowed (the COPY runs) or
//! answered (it failed), so messages other than data wait for that answer. Data must never reach a warehouse but behind a
//! released COPY. Called by the loop and by `inbound` and `outbound`.

use bytes::BytesMut;
use lanyard_engine::refusal::{Code, Refusal};
use lanyard_engine::sql::{Effect, Judged};

use crate::wire::frame;
use crate::wire::inbound::Inbound;
use crate::wire::outgoing::{Outgoing, write};

use super::exchange::{Exchange, Run};

/// A COPY FROM STDIN that was sent and is not over, or a Query with several.
#[derive(Debug, Default)]
pub(super) struct CopyIn {
    /// How many the warehouse has begun to take.
    opened: u32,
    /// How many the client has ended.
    closed: u32,
}

/// What becomes of a message while a COPY is under way.
pub(super) enum Meanwhile {
    /// It is handled as ever.
    Handled,
    /// It waits.
    Held,
    /// PostgreSQL ignores it in the middle of the data.
    Ignored,
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

    pub(super) fn meanwhile(&mut self, message: &Inbound, out: &mut BytesMut) -> Meanwhile {
        let Some(copy) = &mut self.copy else { return Meanwhile::Handled };
        let open = copy.opened > copy.closed;
        match message {
            Inbound::CopyDone | Inbound::CopyFail(_) => {
                copy.closed += 1;
                Meanwhile::Handled
            }
            Inbound::Terminate | Inbound::Flush => Meanwhile::Handled,
            Inbound::Sync if open => Meanwhile::Ignored,
            other if open => Meanwhile::Fatal(Refusal::new(
                Code::Protocol,
                format!("unexpected message type 0x{:02X} during COPY from stdin", other.kind()),
            )),
            _ if copy.closed == 0 => Meanwhile::Held,
            // One COPY at a time; the warehouse keeps the end of this one to itself until it is asked.
            Inbound::Query(_) | Inbound::Execute { .. } => {
                write(out, Outgoing::Flush);
                Meanwhile::Held
            }
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
}
