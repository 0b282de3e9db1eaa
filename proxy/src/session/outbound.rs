//! From the warehouse: rows pass in the largest runs available, never decoded; control messages move the queue of
//! answers forward, and errors, notices and parameters are put right on the way.

use bytes::{Buf as _, BufMut, BytesMut};
use lanyard_engine::entitlement::Operation;
use lanyard_engine::limits;
use lanyard_engine::record::{Disposition, Status};
use lanyard_engine::refusal::{Code, Refusal};
use lanyard_engine::sql::{self, Effect};

use crate::net::pump::pass;
use crate::wire::backend::{self, Severity};
use crate::wire::frame::{self, FrameError};

use super::copy::Recount;
use super::exchange::{Exchange, IDLE, Pending, Run};
use super::messages::{self, About, Said};

/// Largest control message taken from the warehouse, in bytes.
const CONTROL_BYTES_MAX: usize = 16 << 20;

/// What becomes of a control message.
enum Passes {
    /// It goes to the client as it lies, perhaps put right in place.
    Whole,
    /// It does not: what the client gets in its place has been said.
    Not,
}

impl Exchange {
    /// Takes what has come from the warehouse and appends what the client gets. True when there was more than rows: a message that
    /// waits may go on then.
    ///
    /// # Errors
    /// A refusal that ends the session: the warehouse left the protocol, or changed a setting that enforcement needs.
    pub(super) fn warehouse_said(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<bool, Refusal> {
        let lost = |e: FrameError| Refusal::new(Code::UpstreamLost, e.to_string());
        // Bytes from the front that go on as they are, in one piece.
        let mut front = 0;
        // What goes out between that and the next message.
        let mut said = BytesMut::new();
        let mut more_than_rows = false;
        let result = loop {
            front += self.passing_run(input.get(front..).unwrap_or_default());
            let (kind, total) = match frame::whole(input.get(front..).unwrap_or_default(), CONTROL_BYTES_MAX)
            {
                Ok(Some(frame)) => frame,
                Ok(None) => break Ok(more_than_rows),
                Err(error) => break Err(lost(error)),
            };
            more_than_rows = true;
            let body = input.get_mut(front + frame::HEADER_BYTES..front + total).unwrap_or_default();
            let passes = self.control(kind, body, &mut said);
            if matches!(passes, Ok(Passes::Whole)) && said.is_empty() {
                front += total;
                continue;
            }
            move_front(input, std::mem::take(&mut front), out);
            if !said.is_empty() {
                pass(out, std::mem::take(&mut said));
            }
            match passes {
                Ok(Passes::Whole) => front = total,
                Ok(Passes::Not) => input.advance(total),
                Err(refusal) => break Err(refusal),
            }
        };
        move_front(input, front, out);
        result
    }

    /// How many bytes from the front are rows or COPY data. What follows is a control message, or the part of one.
    fn passing_run(&mut self, input: &[u8]) -> usize {
        let mut run = self.passing.min(input.len());
        self.passing -= run;
        while self.passing == 0 {
            let rest = input.get(run..).unwrap_or_default();
            match frame::header(rest) {
                Ok(Some((b'D' | b'd', total)))
                    if !matches!(self.pending.front(), Some(Pending::Types(_))) =>
                {
                    let take = total.min(rest.len());
                    run += take;
                    self.passing = total - take;
                }
                // A length that cannot be is found by who reads what follows.
                Ok(Some(_) | None) | Err(_) => break,
            }
        }
        if run > 0
            && let Some(current) = self.current_run()
        {
            current.bytes += run as u64;
        }
        run
    }

    fn control(&mut self, kind: u8, body: &mut [u8], out: &mut BytesMut) -> Result<Passes, Refusal> {
        match self.pending.front() {
            Some(Pending::Again { name }) => {
                let name = name.clone();
                return self.parsed_again(kind, &name, body, out).map(|()| Passes::Not);
            }
            Some(Pending::Recount(_)) => {
                if let Some(Pending::Recount(recount)) = self.pending.pop_front() {
                    return self.recounted(recount, kind, body, out).map(|()| Passes::Not);
                }
            }
            Some(Pending::Types(_)) => {
                if let Some(Pending::Types(asked)) = self.pending.pop_front() {
                    return self.types_answered(asked, kind, body, out).map(|()| Passes::Not);
                }
            }
            Some(
                Pending::Query(_)
                | Pending::Execute(_)
                | Pending::Parse { .. }
                | Pending::Bind { .. }
                | Pending::Describe
                | Pending::Close
                | Pending::Sync
                | Pending::Refused { .. },
            )
            | None => {}
        }
        match kind {
            b'1' | b'2' | b'3' | b'n' => self.answered(kind)?,
            b'T' => {
                self.row_description(body)?;
                if matches!(self.pending.front(), Some(Pending::Describe)) {
                    self.pending.pop_front();
                }
            }
            b'G' => self.copy_opened()?,
            b't' | b'H' | b'c' => {}
            b'C' => {
                if self.command_complete(body, out) {
                    send(out, kind, b"SHOW\0");
                    return Ok(Passes::Not);
                }
            }
            b'I' => self.finish_execute(Status::Ok),
            b's' => {
                if let Some(run) = self.current_run() {
                    run.rows += u64::from(run.rows_max);
                }
                self.finish_execute(Status::Ok);
            }
            b'Z' => self.ready(body)?,
            b'E' => {
                self.error(body, out);
                return Ok(Passes::Not);
            }
            b'N' => {
                let about = self.about();
                messages::relay(out, kind, body, &about, &self.granted);
                return Ok(Passes::Not);
            }
            b'S' => {
                self.parameter(body, out)?;
                return Ok(Passes::Not);
            }
            b'A' => {
                self.notification(body, out);
                return Ok(Passes::Not);
            }
            other => {
                return Err(Refusal::new(
                    Code::UpstreamLost,
                    format!("unexpected message type {other} from the warehouse"),
                ));
            }
        }
        Ok(Passes::Whole)
    }

    /// Answers to a Parse of ours. A statement that cannot be prepared any more is none: its Bind will say so.
    fn parsed_again(&mut self, kind: u8, name: &str, body: &[u8], out: &mut BytesMut) -> Result<(), Refusal> {
        match kind {
            b'1' | b'N' => {}
            b'E' => {
                self.doubt(body);
                self.statements.remove(name);
            }
            b'S' => self.parameter(body, out)?,
            b'Z' => drop(self.pending.pop_front()),
            _ => return Err(out_of_step()),
        }
        Ok(())
    }

    /// ParseComplete, BindComplete, CloseComplete, NoData: the front of the queue must be what they answer.
    fn answered(&mut self, kind: u8) -> Result<(), Refusal> {
        let fits = matches!(
            (kind, self.pending.front()),
            (b'1', Some(Pending::Parse { .. }))
                | (b'2', Some(Pending::Bind { .. }))
                | (b'3', Some(Pending::Close))
                | (b'n', Some(Pending::Describe))
        );
        if !fits {
            return Err(out_of_step());
        }
        match self.pending.pop_front() {
            Some(Pending::Parse { statement, .. }) => self.settled = statement.number,
            Some(Pending::Bind { portal, .. }) => self.settled = portal.number,
            _ => {}
        }
        Ok(())
    }

    /// Table OIDs and column numbers of secured views become those the catalog shows.
    fn row_description(&self, body: &mut [u8]) -> Result<(), Refusal> {
        let views = &self.granted.prepared.views;
        backend::each_column(body, |table, number| {
            let view = views.get(&u32::from_be_bytes(*table));
            let base = view.and_then(|view| {
                let index = usize::try_from(i16::from_be_bytes(*number)).ok()?.checked_sub(1)?;
                Some((view.base_oid, *view.columns.get(index)?))
            });
            let (oid, column) = base.unwrap_or((0, 0));
            *table = oid.to_be_bytes();
            *number = column.to_be_bytes();
        })
        .ok_or_else(|| Refusal::new(Code::UpstreamLost, "malformed RowDescription from the warehouse"))
    }

    /// True where the command is a SHOW to the client.
    fn command_complete(&mut self, body: &[u8], out: &mut BytesMut) -> bool {
        let mut show = false;
        let rows = backend::tag_rows(body);
        if let Some(Pending::Query(run) | Pending::Execute(run)) = self.pending.front_mut() {
            run.rows += rows.unwrap_or(0);
            show = run.judged.effects.contains(&(run.done, Effect::Show));
            run.done += 1;
            if let Some(said) = run.judged.notice.as_deref() {
                // Commands that return no rows, as DECLARE, have none in their tag: nothing is known of their rows yet.
                let nothing = rows == Some(0) && run.judged.objects.iter().any(|o| !o.filters.is_empty());
                let noticed = if nothing { &mut self.noticed.nothing } else { &mut self.noticed.something };
                if !noticed.contains(said) {
                    messages::completeness(out, said, nothing);
                    if noticed.len() < limits::NOTICES_MAX {
                        noticed.insert(said.to_owned());
                    }
                }
            }
        }
        self.finish_execute(Status::Ok);
        show
    }

    /// An Execute is over; a Query goes on to its ReadyForQuery.
    fn finish_execute(&mut self, status: Status) {
        if !matches!(self.pending.front(), Some(Pending::Execute(_))) {
            return;
        }
        if let Some(Pending::Execute(run)) = self.pending.pop_front() {
            self.follow(&run, if status == Status::Ok { usize::MAX } else { 0 });
            self.complete(run, status);
        }
    }

    fn ready(&mut self, body: &[u8]) -> Result<(), Refusal> {
        match self.pending.pop_front() {
            Some(Pending::Query(run)) => {
                let status = if run.failed.is_some() { Status::Failed } else { Status::Ok };
                self.follow(&run, run.done);
                if run.failed.is_some() {
                    self.paths.fail();
                }
                self.complete(run, status);
            }
            Some(Pending::Refused { in_query: true, .. } | Pending::Sync) => {}
            Some(_) | None => return Err(out_of_step()),
        }
        self.rests(body);
        Ok(())
    }

    /// The state of the transaction at a ReadyForQuery, and what ends with it.
    pub(super) fn rests(&mut self, body: &[u8]) {
        self.transaction = body.first().copied().unwrap_or(b'E');
        self.paths.ready(self.transaction);
        if self.transaction == IDLE {
            self.wrote_shaped = self.pending.iter().filter_map(Pending::run).any(writes_shaped);
            // Portals do not outlive their transaction; those whose Bind is still under way are of a later one.
            let later = self.pending.iter().find_map(|pending| match pending {
                Pending::Bind { portal, .. } => Some(portal.number),
                _ => None,
            });
            self.portals.retain(|_, portal| later.is_some_and(|number| portal.number >= number));
        }
    }

    /// What came over a channel. PostgreSQL has no rights on channels: what a function of the warehouse's may have listened to
    /// does not reach the client. Processes of others have numbers that are halves of cancel keys here, so they have none.
    pub(super) fn notification(&self, body: &[u8], out: &mut BytesMut) {
        let Some((process, said)) = body.split_first_chunk::<4>() else { return };
        let channel = said.split(|b| *b == 0).next().unwrap_or_default();
        let channels = &self.granted.entitlement.extras.channels;
        if !std::str::from_utf8(channel).is_ok_and(|channel| channels.contains(channel)) {
            return;
        }
        let own = i32::from_be_bytes(*process) == self.process.real;
        backend::message(out, b'A', |out| {
            out.put_i32(if own { self.process.told } else { 0 });
            out.extend_from_slice(said);
        });
    }

    /// Errors that tables changed behind our back explain.
    fn doubt(&self, body: &[u8]) {
        let known = matches!(messages::sqlstate(body).as_str(), "42P01" | "42703" | "0A000");
        if known || messages::changing(body, &self.granted.entitlement).is_some() {
            self.granted.doubt();
        }
    }

    pub(super) fn error(&mut self, body: &[u8], out: &mut BytesMut) {
        self.doubt(body);
        let recount = self.copy_failed();
        match self.pending.front_mut() {
            Some(Pending::Refused { in_query, refusal, ruling, text, answered }) if !*answered => {
                *answered = true;
                backend::refusal(out, Severity::Error, refusal, *ruling, text);
                let in_query = *in_query;
                self.paths.fail();
                if !in_query {
                    self.skip_to_sync();
                }
            }
            Some(Pending::Query(run)) => {
                run.failed = Some(messages::sqlstate(body));
                let about = self.about();
                messages::relay(out, b'E', body, &about, &self.granted);
            }
            _ => {
                let about = self.about();
                messages::relay(out, b'E', body, &about, &self.granted);
                let state = messages::sqlstate(body);
                if let Some(run) = self.current_run() {
                    run.failed = Some(state);
                }
                self.finish_execute(Status::Failed);
                self.paths.fail();
                self.skip_to_sync();
            }
        }
        if recount {
            self.pending.push_back(Pending::Recount(Recount::default()));
        }
    }

    /// After an error in the extended protocol the warehouse skips to the next Sync; so does the queue, and so will what
    /// the client sends where no Sync has come yet.
    fn skip_to_sync(&mut self) {
        let mut binds = Vec::new();
        loop {
            match self.pending.pop_front() {
                Some(Pending::Sync) => {
                    self.pending.push_front(Pending::Sync);
                    break;
                }
                None => {
                    self.skipping = true;
                    break;
                }
                Some(Pending::Execute(run) | Pending::Query(run)) => {
                    self.follow(&run, 0);
                    self.complete(run, Status::Skipped);
                }
                Some(Pending::Parse { name, statement }) => {
                    self.settled = statement.number;
                    if self.statements.get(&name).is_some_and(|s| s.number == statement.number) {
                        self.statements.remove(&name);
                    }
                }
                Some(Pending::Bind { name, portal, before }) => {
                    self.settled = portal.number;
                    binds.push((name, portal, before));
                }
                Some(
                    Pending::Describe
                    | Pending::Close
                    | Pending::Again { .. }
                    | Pending::Recount(_)
                    | Pending::Types(_)
                    | Pending::Refused { .. },
                ) => {}
            }
        }
        // Youngest first, so that a portal bound twice is what it was before both.
        for (name, portal, before) in binds.into_iter().rev() {
            if self.portals.get(&name).is_some_and(|p| p.number == portal.number) {
                match before {
                    Some(before) => self.portals.insert(name, before),
                    None => self.portals.remove(&name),
                };
            }
        }
    }

    /// What an error that comes now is about.
    fn about(&self) -> About<'_> {
        let statement = match self.pending.front() {
            Some(Pending::Query(run) | Pending::Execute(run)) => Some((&run.text, &run.judged)),
            Some(Pending::Parse { statement, .. }) => Some((&statement.text, &statement.judged)),
            // Planning happens here, and its errors speak of the statement.
            Some(Pending::Bind { portal, .. }) => Some((&portal.statement.text, &portal.statement.judged)),
            Some(
                Pending::Describe
                | Pending::Close
                | Pending::Sync
                | Pending::Again { .. }
                | Pending::Recount(_)
                | Pending::Types(_)
                | Pending::Refused { .. },
            )
            | None => None,
        };
        About {
            statement: statement.map(|(text, judged)| Said { text, judged, stamp: &self.stamp }),
            wrote_shaped: self.wrote_shaped,
        }
    }

    /// Parameters are the principal's; those that enforcement needs must not move.
    pub(super) fn parameter(&mut self, body: &[u8], out: &mut BytesMut) -> Result<(), Refusal> {
        let mut parts = body.split(|b| *b == 0).map(String::from_utf8_lossy);
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        match &*name {
            "standard_conforming_strings" if value != "on" => {
                Err(Refusal::new(Code::Protocol, "the warehouse turned standard_conforming_strings off"))
            }
            // PostgreSQL keeps this other name of UTF8 as a client has written it.
            "client_encoding" if !matches!(&*value, "UTF8" | "UNICODE") => {
                Err(Refusal::new(Code::Protocol, "the warehouse changed client_encoding"))
            }
            "session_authorization" | "is_superuser" | "application_name" => Ok(()),
            "search_path" => {
                backend::parameter_status(out, &name, &sql::shown_path(&value));
                Ok(())
            }
            _ => {
                send(out, b'S', body);
                Ok(())
            }
        }
    }
}

/// Does it write where policy shapes?
pub(super) fn writes_shaped(run: &Run) -> bool {
    run.judged.disposition != Disposition::Allowed
        && run.judged.objects.iter().any(|object| object.operation != Operation::Read.word())
}

pub(super) fn out_of_step() -> Refusal {
    Refusal::new(Code::UpstreamLost, "the warehouse's answers are out of step")
}

/// Moves so many bytes from the front, without copying them where all move and nothing waits.
fn move_front(input: &mut BytesMut, bytes: usize, out: &mut BytesMut) {
    if bytes == input.len() && out.is_empty() {
        std::mem::swap(input, out);
    } else if bytes > 0 {
        pass(out, input.split_to(bytes));
    }
}

/// Appends a message as it came.
pub(super) fn send(out: &mut BytesMut, kind: u8, body: &[u8]) {
    out.put_u8(kind);
    out.put_u32(u32::try_from(body.len() + 4).unwrap_or(u32::MAX));
    out.extend_from_slice(body);
}
