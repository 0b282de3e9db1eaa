//! A very small HTTP/1.1 server (RFC 9112) for `/metrics`, `/healthz` and `/readyz`: one request per connection.
//!
//! Must never take more than a bounded head, wait longer than a deadline, or hold more than a few connections. Called by
//! `serve` on an address of its own; it has no authentication, because it has nothing worth hiding.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Metrics;

/// Longest request line and headers, in bytes.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// Longest body that is read and thrown away, in bytes.
const DRAIN_BYTES_MAX: usize = 64 << 10;
/// From accepting a connection to its end, in seconds.
const CONNECTION_SECONDS_MAX: u64 = 5;
/// Connections at once; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 64;
/// Pause after a failing accept (no file descriptors), in milliseconds.
const ACCEPT_PAUSE_MILLISECONDS: u64 = 100;

/// Can clients be served now?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Yes.
    Ready,
    /// No, and why: `starting`, `warehouse unreachable`, `audit not writable`, `stopping`.
    NotReady(&'static str),
}

/// Asked at every `/readyz`; must not block.
pub type ReadinessCheck = Arc<dyn Fn() -> Readiness + Send + Sync>;

/// Serves until `stop` resolves; open connections are then cut.
///
/// Not cancel-safe in an interesting way: dropping it cuts every connection too.
pub async fn serve_http(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    readiness: ReadinessCheck,
    stop: impl Future<Output = ()>,
) {
    let limit = Duration::from_secs(CONNECTION_SECONDS_MAX);
    serve_within(limit, listener, metrics, readiness, stop).await;
}

async fn serve_within(
    limit: Duration,
    listener: TcpListener,
    metrics: Arc<Metrics>,
    readiness: ReadinessCheck,
    stop: impl Future<Output = ()>,
) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let accept = async {
        loop {
            // The permit comes first: what is not accepted costs nothing.
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                return;
            };
            while connections.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (metrics, readiness) = (Arc::clone(&metrics), Arc::clone(&readiness));
                    connections.spawn(async move {
                        let work = connection(stream, &metrics, &readiness);
                        match tokio::time::timeout(limit, work).await {
                            Ok(Ok(())) => {}
                            Ok(Err(error)) => tracing::debug!(%error, "http connection failed"),
                            Err(_) => tracing::debug!("http connection took too long"),
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "http connection cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MILLISECONDS)).await;
                }
            }
        }
    };
    tokio::select! {
        () = accept => {}
        () = stop => {}
    }
}

async fn connection(mut stream: TcpStream, metrics: &Metrics, readiness: &ReadinessCheck) -> io::Result<()> {
    let mut head = Vec::with_capacity(1 << 10);
    let response = match read_head(&mut stream, &mut head).await? {
        Head::Whole(length) => respond(&head[..length], metrics, readiness),
        Head::TooLong => Response::plain(431, "Request Header Fields Too Large", "request head too long\n"),
        Head::Ended => return Ok(()),
    };
    stream.write_all(&response.encode()).await?;
    stream.shutdown().await?;
    // Closing with unread bytes would reset the connection and take the answer with it.
    let mut drained = 0;
    let mut sink = [0u8; 1024];
    while drained < DRAIN_BYTES_MAX {
        match stream.read(&mut sink).await? {
            0 => break,
            n => drained += n,
        }
    }
    Ok(())
}

enum Head {
    /// Ends, with the empty line, at this many bytes.
    Whole(usize),
    TooLong,
    /// The client left.
    Ended,
}

async fn read_head(stream: &mut TcpStream, head: &mut Vec<u8>) -> io::Result<Head> {
    loop {
        if let Some(at) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            return Ok(Head::Whole(at + 4));
        }
        if head.len() >= HEAD_BYTES_MAX {
            return Ok(Head::TooLong);
        }
        let room = (HEAD_BYTES_MAX - head.len()) as u64;
        if (&mut *stream).take(room).read_buf(head).await? == 0 {
            return Ok(Head::Ended);
        }
    }
}

/// Does the answer carry its body?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Sent,
    /// HEAD: the length of the body, without it.
    Announced,
}

struct Response {
    status: u16,
    reason: &'static str,
    content_type: &'static str,
    extra: &'static str,
    text: String,
    body: Body,
}

impl Response {
    fn plain(status: u16, reason: &'static str, text: impl Into<String>) -> Self {
        Self {
            status,
            reason,
            content_type: "text/plain; charset=utf-8",
            extra: "",
            text: text.into(),
            body: Body::Sent,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let Self { status, reason, content_type, extra, text, .. } = self;
        let length = text.len();
        let mut bytes = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{extra}Connection: close\r\n\r\n"
        )
        .into_bytes();
        match self.body {
            Body::Sent => bytes.extend_from_slice(text.as_bytes()),
            Body::Announced => {}
        }
        bytes
    }
}

fn respond(head: &[u8], metrics: &Metrics, readiness: &ReadinessCheck) -> Response {
    let bad = || Response::plain(400, "Bad Request", "not an HTTP/1.1 request\n");
    let Some(line) = head.split(|&b| b == b'\r').next().and_then(|l| std::str::from_utf8(l).ok()) else {
        return bad();
    };
    let parts: Vec<&str> = line.split(' ').collect();
    let &[method, target, version] = parts.as_slice() else {
        return bad();
    };
    if method.is_empty()
        || !method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-')
        || !target.starts_with('/')
    {
        return bad();
    }
    match version {
        "HTTP/1.1" | "HTTP/1.0" => {}
        other if other.starts_with("HTTP/") => {
            return Response::plain(505, "HTTP Version Not Supported", "HTTP/1.1 only\n");
        }
        _ => return bad(),
    }
    let path = target.split('?').next().unwrap_or(target);
    let body = if method == "HEAD" { Body::Announced } else { Body::Sent };
    let answer: fn(&Metrics, &ReadinessCheck) -> Response = match path {
        "/metrics" => metrics_page,
        "/healthz" => |_, _| Response::plain(200, "OK", "alive\n"),
        "/readyz" => |_, readiness| ready_page(readiness()),
        _ => {
            let text = "no such page; there are /metrics, /healthz and /readyz\n";
            let response = Response::plain(404, "Not Found", text);
            return Response { body, ..response };
        }
    };
    let response = match method {
        "GET" | "HEAD" => answer(metrics, readiness),
        _ => Response {
            extra: "Allow: GET, HEAD\r\n",
            ..Response::plain(405, "Method Not Allowed", "GET or HEAD only\n")
        },
    };
    Response { body, ..response }
}

fn metrics_page(metrics: &Metrics, _: &ReadinessCheck) -> Response {
    match metrics.encode() {
        Ok(text) => Response {
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            ..Response::plain(200, "OK", text)
        },
        Err(error) => {
            tracing::error!(%error, "metrics cannot be encoded");
            Response::plain(500, "Internal Server Error", "metrics cannot be encoded\n")
        }
    }
}

fn ready_page(readiness: Readiness) -> Response {
    match readiness {
        Readiness::Ready => Response::plain(200, "OK", "ready\n"),
        Readiness::NotReady(why) => {
            Response::plain(503, "Service Unavailable", format!("not ready: {why}\n"))
        }
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
