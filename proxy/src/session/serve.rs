//! The loop of one session: bytes from either side, the clocks, and the word to end.
//!
//! Cancel-safe waits only; everything under way is in the pump and the exchange.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf as _, BytesMut};
use lanyard_adapters::warehouse::postgres::UpstreamStream;
use lanyard_engine::identity::SessionId;
use lanyard_engine::limits;
use lanyard_engine::refusal::{Code, Refusal};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};

use crate::net::pump::{Event, Pump};
use crate::net::stream::ClientStream;
use crate::observe::Direction;
use crate::server::Shared;
use crate::vend::Ending;
use crate::wire::backend::{self, Severity};
use crate::wire::frame;
use crate::wire::outgoing::{Outgoing, write};

use super::backend::Backend;
use super::exchange::Exchange;
use super::inbound::Flow;
use super::login::Session;

/// Largest message a logged-in client may send, in bytes: a statement, or the parameters of a Bind.
const FRAME_BYTES_MAX: usize = 16 << 20;
/// After this much silence a session gives back the memory of its buffers.
const REST: Duration = Duration::from_secs(5);
/// How long last words may take.
const LAST_WORDS: Duration = Duration::from_secs(2);

const _: () = assert!(FRAME_BYTES_MAX > limits::STATEMENT_BYTES_MAX);

/// Why the loop ended.
enum End {
    /// The client left.
    Client,
    /// The warehouse closed the backend; what it said was passed on.
    Warehouse,
    /// We end it, and say why.
    Ours(Refusal),
    /// What was allowed is allowed no more: what still waits for the client must not leave.
    Cut(Refusal),
}

/// Serves a session to its end, then lets its lease go.
pub async fn serve(session: Session, shared: &Arc<Shared>) {
    let Session { mut exchange, client, client_in, backend, opened, mut end, expires, place, lease, room } =
        session;
    let mut pump = Pump::new(client, client_in, opened.stream, opened.leftover, FRAME_BYTES_MAX);
    let mut anchor = Anchor { backend, shared, id: place.id };
    let ended = run(&mut pump, &mut exchange, &mut anchor, &mut end, expires).await;
    exchange.abandon();
    drop(place);
    if !pump.is_attached() {
        shared.metrics.detached.dec();
    }
    // Inside a row that has begun to leave, nothing else can be said.
    let between_frames = exchange.passing == 0;
    // Nor inside a piece of COPY data, to the warehouse.
    if exchange.copy_passing == 0 {
        write(&mut pump.upstream_out, Outgoing::Terminate);
    }
    close(pump, ended, between_frames).await;
    // The backend's socket is closed: now its role can go.
    drop(lease);
    drop(room);
}

type SessionPump = Pump<ClientStream, UpstreamStream>;

/// What lets a session go without a backend, and get one again.
struct Anchor<'a> {
    backend: Backend,
    shared: &'a Arc<Shared>,
    id: SessionId,
}

impl Anchor<'_> {
    /// Closes the backend, where nothing would be missed.
    fn detach(&mut self, pump: &mut SessionPump, exchange: &mut Exchange) {
        let idle = pump.client_in.is_empty() && pump.client_out.is_empty() && pump.upstream_out.is_empty();
        if !pump.is_attached() || !idle || !exchange.may_detach() {
            return;
        }
        self.shared.registry.moved(self.id, None);
        self.shared.metrics.detached.inc();
        write(&mut pump.upstream_out, Outgoing::Terminate);
        // The end of the socket says the same.
        drop(pump.write_ready());
        pump.detach();
    }

    /// Logs in again.
    async fn attach(&mut self, pump: &mut SessionPump, exchange: &mut Exchange) -> Result<(), Refusal> {
        let opened = self.backend.reopen(self.shared.login).await?;
        exchange.process.real = opened.key.pid;
        self.shared.registry.moved(self.id, Some(opened.key));
        self.shared.metrics.detached.dec();
        pump.attach(opened.stream, opened.leftover);
        exchange.parse_again(&mut pump.upstream_out);
        exchange.told_anew(&opened.changed, &mut pump.client_out)
    }
}

/// What the loop woke up for.
enum Woken {
    Bytes(io::Result<Event>),
    Told,
    Clock,
}

async fn run(
    pump: &mut SessionPump,
    exchange: &mut Exchange,
    anchor: &mut Anchor<'_>,
    end: &mut watch::Receiver<Option<Ending>>,
    expires: Instant,
) -> End {
    let mut stopping: Option<Refusal> = None;
    let mut active = Instant::now();
    let clocks = Clocks { expires, idle: anchor.shared.idle, detach: anchor.shared.detach };
    let mut due = clocks.next(active, active);
    let mut clock = pin!(sleep_until(due.into()));
    // Kept between turns: a new one would be entered among who waits, and taken out again, twice a statement.
    let mut word = pin!(a_word(end.clone()));
    // Bytes may have come with the login.
    if let Some(ended) = from_client(pump, exchange) {
        return ended;
    }
    loop {
        let woken = tokio::select! {
            biased;
            event = pump.next() => Woken::Bytes(event),
            () = &mut word => Woken::Told,
            () = &mut clock => Woken::Clock,
        };
        let now = Instant::now();
        // Bytes that keep coming must not keep the word to end, nor the clock of the lease, from being heard.
        if (matches!(woken, Woken::Told) || !matches!(end.has_changed(), Ok(false)))
            && let Some(ended) = told(end, &mut stopping)
        {
            return ended;
        }
        if now >= expires {
            return End::Cut(lease_is_over());
        }
        match woken {
            Woken::Bytes(event) => {
                active = now;
                if let Some(ended) = moved(event, pump, exchange, anchor).await {
                    return ended;
                }
                // After a long silence the clock stands far ahead.
                let first = clocks.next(active, active);
                if due > first {
                    due = first;
                    clock.as_mut().reset(due.into());
                }
            }
            Woken::Told => word.set(a_word(end.clone())),
            Woken::Clock => {
                if now >= active + clocks.idle {
                    return End::Ours(idle_too_long());
                }
                if clocks.detach.is_some_and(|detach| now >= active + detach) {
                    anchor.detach(pump, exchange);
                }
                pump.rest();
                due = clocks.next(active, now);
                clock.as_mut().reset(due.into());
            }
        }
        if exchange.is_quiet()
            && let Some(refusal) = &stopping
        {
            return End::Ours(refusal.clone());
        }
    }
}

/// Until the registry says something. Cancel-safe.
async fn a_word(mut end: watch::Receiver<Option<Ending>>) {
    // That nobody is left to say anything is for `told` to see.
    drop(end.changed().await);
}

/// What the registry said; `Some` when it is to end now.
fn told(end: &mut watch::Receiver<Option<Ending>>, stopping: &mut Option<Refusal>) -> Option<End> {
    if end.has_changed().is_err() {
        return Some(End::Ours(Refusal::new(Code::ShuttingDown, "the session was ended")));
    }
    match end.borrow_and_update().clone() {
        Some(Ending::Now(refusal)) => return Some(End::Cut(refusal)),
        Some(Ending::WhenQuiet(refusal)) => *stopping = Some(refusal),
        None => {}
    }
    None
}

/// Bytes have come, or an end of them.
async fn moved(
    event: io::Result<Event>,
    pump: &mut SessionPump,
    exchange: &mut Exchange,
    anchor: &mut Anchor<'_>,
) -> Option<End> {
    let ended = match event {
        // A goodbye needs no backend.
        Ok(Event::Client) if !pump.is_attached() && pump.client_in.first() == Some(&b'X') => {
            Some(End::Client)
        }
        // Only what the warehouse says lets go of a message that waits; until then it is not read again.
        Ok(Event::Client) if exchange.held => None,
        Ok(Event::Client) => {
            if !pump.is_attached()
                && let Err(refusal) = anchor.attach(pump, exchange).await
            {
                return Some(End::Ours(refusal));
            }
            from_client(pump, exchange)
        }
        Ok(Event::Upstream) => from_warehouse(pump, exchange),
        Ok(Event::ClientClosed) | Err(_) => Some(End::Client),
        Ok(Event::UpstreamClosed) => Some(End::Warehouse),
    };
    // What either side waits for leaves before the books are kept.
    if pump.write_ready().is_err() {
        return Some(End::Client);
    }
    exchange.settle();
    exchange.metrics.relayed(Direction::ToWarehouse, std::mem::take(&mut pump.upstream_written));
    ended
}

fn lease_is_over() -> Refusal {
    Refusal::new(Code::ShuttingDown, "the lease of this session has expired")
        .hint("connect again for a new lease")
}

fn idle_too_long() -> Refusal {
    Refusal::new(Code::ShuttingDown, "the session was idle for too long").hint("connect again")
}

/// The clocks of a session.
struct Clocks {
    expires: Instant,
    idle: Duration,
    detach: Option<Duration>,
}

impl Clocks {
    /// The next one that rings after `now`, in a session that was last active then.
    fn next(&self, active: Instant, now: Instant) -> Instant {
        let silent = [Some(REST), self.detach, Some(self.idle)];
        let rings = silent.into_iter().flatten().map(|silence| active + silence);
        rings.filter(|ring| *ring > now).fold(self.expires, Instant::min)
    }
}

/// Handles every whole frame that has come from the client.
fn from_client(pump: &mut SessionPump, exchange: &mut Exchange) -> Option<End> {
    let ended = take_frames(pump, exchange);
    // The data that a question waited for may have been among them; what follows it waits for the answer.
    exchange.ask_recount(&mut pump.upstream_out);
    ended
}

fn take_frames(pump: &mut SessionPump, exchange: &mut Exchange) -> Option<End> {
    exchange.held = false;
    loop {
        match exchange.pass_copy(&mut pump.client_in, &mut pump.upstream_out) {
            Ok(false) => {}
            // The rest of the data may be followed by what ends it.
            Ok(true) if exchange.copy_passing == 0 => {}
            Ok(true) => return None,
            Err(refusal) => return Some(End::Ours(refusal)),
        }
        let (kind, total) = match frame::whole(&pump.client_in, FRAME_BYTES_MAX) {
            Ok(None) => return None,
            Ok(Some(frame)) => frame,
            Err(error) => return Some(End::Ours(Refusal::new(Code::Protocol, error.to_string()))),
        };
        let body = pump.client_in.get(frame::HEADER_BYTES..total).unwrap_or_default();
        match exchange.client_said(kind, body, &mut pump.upstream_out) {
            Flow::Continue => pump.client_in.advance(total),
            Flow::Wait => {
                exchange.held = true;
                return None;
            }
            Flow::Goodbye => return Some(End::Client),
            Flow::End(refusal) => return Some(End::Ours(refusal)),
        }
    }
}

fn from_warehouse(pump: &mut SessionPump, exchange: &mut Exchange) -> Option<End> {
    let more_than_rows = match exchange.warehouse_said(&mut pump.upstream_in, &mut pump.client_out) {
        Ok(more_than_rows) => more_than_rows,
        Err(refusal) => return Some(End::Ours(refusal)),
    };
    exchange.ask_recount(&mut pump.upstream_out);
    // A message that waited for this, and what the client sent behind it, are still in the buffer.
    if exchange.held && more_than_rows { from_client(pump, exchange) } else { None }
}

/// Last words to both sides, within a deadline.
async fn close(mut pump: SessionPump, ended: End, between_frames: bool) {
    let mut words = BytesMut::new();
    match ended {
        End::Client => {}
        End::Warehouse => {
            let refusal =
                Refusal::new(Code::UpstreamLost, "the warehouse closed the connection").hint("connect again");
            backend::refusal(&mut words, Severity::Fatal, &refusal, None, "");
        }
        End::Ours(refusal) => backend::refusal(&mut words, Severity::Fatal, &refusal, None, ""),
        End::Cut(refusal) => {
            // How much of the output has left is not known to the frame: with some of it waiting, the reason could stand in
            // the middle of a row.
            if pump.client_out.is_empty() && between_frames {
                backend::refusal(&mut words, Severity::Fatal, &refusal, None, "");
            }
            pump.client_out.clear();
        }
    }
    pump.client_out.extend_from_slice(&words);
    // A client that does not read, or a backend that does not, is left behind at the deadline.
    drop(
        timeout(LAST_WORDS, async {
            drop(pump.flush_upstream().await);
            if pump.flush_client().await.is_ok() {
                let mut client = pump.into_client();
                drop(client.shutdown().await);
            }
        })
        .await,
    );
}
