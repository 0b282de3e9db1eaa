//! Accepts connections: the login under its clocks, then the session.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lanyard_engine::refusal::Refusal;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::net::strangers::{Stranger, Strangers};
use crate::net::stream::ClientStream;
use crate::server::Shared;
use crate::session::contact::{self, Contact};
use crate::session::login::{self, Session};
use crate::session::serve;

/// Room for connections that have not proven who they are: for as many as clients may be, because all of them come back at once
/// when a warehouse does, and no less than this.
const STRANGERS_MIN: usize = 256;

/// For telling a client why it was not let in.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long a client may be silent before the kernel asks whether it is there.
const ABSENT_AFTER: Duration = Duration::from_secs(60);
/// How often it asks then, and how many times.
const ABSENT_ASK: Duration = Duration::from_secs(10);
const ABSENT_ASKS: u32 = 6;

/// Accepts until told to stop.
pub async fn listen(listener: TcpListener, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let strangers = Strangers::new(shared.clients_max.max(STRANGERS_MIN));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stopped| *stopped) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let stranger = strangers.arrive(Instant::now() + shared.login);
                tokio::spawn(connection(stream, peer, Arc::clone(&shared), stranger));
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>, stranger: Stranger) {
    // Small messages, each waited for: Nagle's algorithm would hold them back.
    drop(stream.set_nodelay(true));
    notice_absence(&stream);
    // A clock for the proof, one for the warehouse, and the end of everything, also where a client does not read what is said to it.
    let login = timeout(shared.login * 2 + LAST_WORDS, log_in(stream, peer, &shared, stranger)).await;
    if let Ok(Some(session)) = login {
        shared.metrics.sessions.inc();
        serve::serve(session, &shared).await;
        shared.metrics.sessions.dec();
    }
}

/// What becomes of a connection; `None` where it is over.
async fn log_in(
    stream: TcpStream,
    peer: SocketAddr,
    shared: &Arc<Shared>,
    mut stranger: Stranger,
) -> Option<Session> {
    match stranger.while_waiting(contact::contact(stream, shared)).await? {
        Ok(Contact::Gone) => None,
        Ok(Contact::Cancel(mut client, pid, secret)) => {
            cancel(shared, pid, &secret).await;
            // Closed in order, TLS included, and only now: libpq waits for that and reports anything else.
            drop(client.shutdown().await);
            None
        }
        Ok(Contact::Startup(client, startup)) => {
            match login::login(client, startup, peer, stranger, shared).await {
                Ok(session) => Some(session),
                Err((mut client, refusal)) => {
                    refuse(&mut client, shared, &refusal).await;
                    None
                }
            }
        }
        Err((client, refusal)) => {
            if let Some(mut client) = client {
                refuse(&mut client, shared, &refusal).await;
            }
            None
        }
    }
}

/// A client whose machine is gone sends nothing, not even an end: the kernel asks after it, and gives up on what it does
/// not acknowledge, so that its session and role do not stay until the idle clock. Sockets that cannot do it go without.
fn notice_absence(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let ask = TcpKeepalive::new().with_time(ABSENT_AFTER).with_interval(ABSENT_ASK).with_retries(ABSENT_ASKS);
    if let Err(error) = socket.set_tcp_keepalive(&ask) {
        tracing::debug!(%error, "no keep-alive on a client's socket");
    }
    if let Err(error) = socket.set_tcp_user_timeout(Some(ABSENT_AFTER + ABSENT_ASK * ABSENT_ASKS)) {
        tracing::debug!(%error, "no user timeout on a client's socket");
    }
}

async fn refuse(client: &mut ClientStream, shared: &Shared, refusal: &Refusal) {
    shared.metrics.refusal(refusal.code);
    login::say(client, refusal).await;
}

/// A cancel request reaches only the backend whose key it names; a wrong key is answered with silence, as PostgreSQL does.
async fn cancel(shared: &Shared, pid: i32, secret: &[u8]) {
    let Ok(secret) = <[u8; 4]>::try_from(secret) else { return };
    if let Some((warehouse, key)) = shared.registry.backend((pid, secret))
        && let Err(error) = warehouse.cancel(&key).await
    {
        tracing::warn!(error = %crate::vend::chain(&error), "a cancel request did not reach the warehouse");
    }
}
