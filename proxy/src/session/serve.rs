//! The loop of one session: bytes from either side, the clocks, and the word to end.
//!
//! Cancel-safe waits only; everything under way is in the pump and the exchange.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use lanyard_adapters::warehouse::postgres::UpstreamStream;
use lanyard_engine::limits;
use lanyard_engine::refusal::{Code, Refusal};
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep_until, timeout};

use crate::net::pump::{Event, Pump};
use crate::net::stream::ClientStream;
use crate::observe::Direction;
use crate::server::Shared;
use crate::vend::Ending;
use crate::wire::backend::{self, Severity};
use crate::wire::frame;
use crate::wire::outgoing::{Outgoing, write};

use super::exchange::Exchange;
use super::inbound::Flow;
use super::login::Session;

/// Largest message a logged-in client may send, in bytes: a statement, or the parameters of a Bind.
const FRAME_BYTES_MAX: usize = 16 << 20;
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
    let Session { mut exchange, client, client_in, upstream, mut end, expires, id, key, lease } = session;
    let mut pump = Pump::new(client, client_in, upstream.stream, upstream.leftover, FRAME_BYTES_MAX);
    let ended = run(&mut pump, &mut exchange, &mut end, expires, shared.idle).await;
    exchange.abandon();
    shared.registry.remove(id, key);
    // Inside a row that has begun to leave, nothing else can be said.
    let between_frames = exchange.passing == 0;
    // Nor inside a piece of COPY data, to the warehouse.
    if exchange.copy_passing == 0 {
        write(&mut pump.upstream_out, Outgoing::Terminate);
    }
    close(pump, ended, between_frames).await;
    // The backend's socket is closed: now its role can go.
    drop(lease);
}

type SessionPump = Pump<ClientStream, UpstreamStream>;

async fn run(
    pump: &mut SessionPump,
    exchange: &mut Exchange,
    end: &mut tokio::sync::watch::Receiver<Option<Ending>>,
    expires: Instant,
    idle: Duration,
) -> End {
    let mut stopping: Option<Refusal> = None;
    let mut active = Instant::now();
    let mut clock = Box::pin(sleep_until(next_clock(expires, active, idle).into()));
    // Bytes may have come with the login.
    if let Some(ended) = from_client(pump, exchange) {
        return ended;
    }
    loop {
        tokio::select! {
            biased;
            event = pump.next() => {
                active = Instant::now();
                let ended = match event {
                    Ok(Event::Client) => from_client(pump, exchange),
                    Ok(Event::Upstream) => from_warehouse(pump, exchange),
                    Ok(Event::ClientClosed) | Err(_) => Some(End::Client),
                    Ok(Event::UpstreamClosed) => Some(End::Warehouse),
                };
                // What either side waits for leaves before the books are kept.
                if pump.write_ready().is_err() {
                    return End::Client;
                }
                exchange.settle();
                exchange.metrics.relayed(Direction::ToWarehouse, std::mem::take(&mut pump.upstream_written));
                if let Some(ended) = ended {
                    return ended;
                }
            }
            changed = end.changed() => {
                let ending = end.borrow_and_update().clone();
                match (changed, ending) {
                    (Ok(()), Some(Ending::Now(refusal))) => return End::Cut(refusal),
                    (Ok(()), Some(Ending::WhenQuiet(refusal))) => stopping = Some(refusal),
                    (Ok(()), None) => {}
                    (Err(_), _) => return End::Ours(Refusal::new(Code::ShuttingDown, "the session was ended")),
                }
            }
            () = &mut clock => {
                let now = Instant::now();
                if now >= expires {
                    return End::Cut(Refusal::new(Code::ShuttingDown, "the lease of this session has expired")
                        .hint("connect again for a new lease"));
                }
                if now >= active + idle {
                    return End::Ours(Refusal::new(Code::ShuttingDown, "the session was idle for too long")
                        .hint("connect again"));
                }
                clock.as_mut().reset(next_clock(expires, active, idle).into());
            }
        }
        if exchange.is_quiet()
            && let Some(refusal) = &stopping
        {
            return End::Ours(refusal.clone());
        }
    }
}

fn next_clock(expires: Instant, active: Instant, idle: Duration) -> Instant {
    expires.min(active + idle)
}

/// Handles every whole frame that has come from the client.
fn from_client(pump: &mut SessionPump, exchange: &mut Exchange) -> Option<End> {
    let mut flow = exchange.resume(&mut pump.upstream_out);
    loop {
        match flow {
            Flow::Continue => {}
            Flow::Wait => return None,
            Flow::Goodbye => return Some(End::Client),
            Flow::End(refusal) => return Some(End::Ours(refusal)),
        }
        match exchange.pass_copy(&mut pump.client_in, &mut pump.upstream_out) {
            Ok(false) => {}
            // The rest of the data may be followed by what ends it.
            Ok(true) if exchange.copy_passing == 0 => {}
            Ok(true) => return None,
            Err(refusal) => return Some(End::Ours(refusal)),
        }
        flow = match frame::cut(&mut pump.client_in, FRAME_BYTES_MAX) {
            Ok(None) => return None,
            Ok(Some(frame)) => exchange.client_said(frame, &mut pump.upstream_out),
            Err(error) => return Some(End::Ours(Refusal::new(Code::Protocol, error.to_string()))),
        };
    }
}

fn from_warehouse(pump: &mut SessionPump, exchange: &mut Exchange) -> Option<End> {
    if let Err(refusal) = exchange.warehouse_said(&mut pump.upstream_in, &mut pump.client_out) {
        return Some(End::Ours(refusal));
    }
    // What the client sent behind a message that waited for this is still in the buffer.
    if exchange.held.is_some() { from_client(pump, exchange) } else { None }
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
