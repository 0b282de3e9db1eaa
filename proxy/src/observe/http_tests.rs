//! Tests over raw sockets: right answers, and everything a stranger may send instead of a request.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

type TestResult = Result<(), Box<dyn std::error::Error>>;

struct Server {
    address: SocketAddr,
    ready: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
    task: tokio::task::JoinHandle<()>,
    stop: tokio::sync::oneshot::Sender<()>,
}

async fn server() -> Result<Server, Box<dyn std::error::Error>> {
    server_within(Duration::from_secs(CONNECTION_SECONDS_MAX)).await
}

async fn server_within(limit: Duration) -> Result<Server, Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let ready = Arc::new(AtomicBool::new(true));
    let metrics = Arc::new(Metrics::new()?);
    let asked = Arc::clone(&ready);
    let check: ReadinessCheck = Arc::new(move || match asked.load(Ordering::Relaxed) {
        true => Readiness::Ready,
        false => Readiness::NotReady("starting"),
    });
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shared = Arc::clone(&metrics);
    let task = tokio::spawn(async move {
        let stopped = async { drop(stopped.await) };
        serve_within(limit, listener, shared, check, stopped).await;
    });
    Ok(Server { address, ready, metrics, task, stop })
}

impl Server {
    /// Sends bytes, returns everything until the server closes.
    async fn ask(&self, bytes: &[u8]) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(bytes).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        String::from_utf8(answer).map_err(io::Error::other)
    }
}

#[tokio::test]
async fn pages_and_their_heads() -> TestResult {
    let server = server().await?;
    server.metrics.sessions.set(7);
    let metrics = server.ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
    assert!(metrics.contains("Content-Type: text/plain; version=0.0.4"));
    assert!(metrics.contains("\nlanyard_sessions 7\n"));
    let (head, body) = metrics.split_once("\r\n\r\n").ok_or("no body")?;
    assert!(head.contains(&format!("Content-Length: {}", body.len())));

    let only_head = server.ask(b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    assert!(only_head.ends_with("\r\n\r\n") && only_head.contains("200 OK"), "{only_head}");
    assert!(!only_head.contains("Content-Length: 0"));

    assert!(server.ask(b"GET /healthz?x=1 HTTP/1.0\r\n\r\n").await?.ends_with("\r\n\r\nalive\n"));
    assert!(server.ask(b"GET /readyz HTTP/1.1\r\n\r\n").await?.starts_with("HTTP/1.1 200"));
    server.ready.store(false, Ordering::Relaxed);
    let not_ready = server.ask(b"GET /readyz HTTP/1.1\r\n\r\n").await?;
    assert!(not_ready.starts_with("HTTP/1.1 503 ") && not_ready.ends_with("not ready: starting\n"));
    assert!(server.ask(b"HEAD /readyz HTTP/1.1\r\n\r\n").await?.starts_with("HTTP/1.1 503 "));
    Ok(())
}

#[tokio::test]
async fn everything_else_is_refused_by_name() -> TestResult {
    let server = server().await?;
    let long_head = [b"GET /metrics HTTP/1.1\r\nX: ".as_slice(), &vec![b'a'; 9000], b"\r\n\r\n"].concat();
    let cases: [(&[u8], &str); 15] = [
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "405 "),
        (b"DELETE /readyz HTTP/1.1\r\n\r\n", "405 "),
        (b"GET /nothing HTTP/1.1\r\n\r\n", "404 "),
        (b"POST /nothing HTTP/1.1\r\n\r\n", "404 "),
        (b"GET /metrics/ HTTP/1.1\r\n\r\n", "404 "),
        (b"GET /../metrics HTTP/1.1\r\n\r\n", "404 "),
        (b"GET /metrics HTTP/2\r\n\r\n", "505 "),
        (b"GET /metrics\r\n\r\n", "400 "),
        (b"GET  /metrics HTTP/1.1\r\n\r\n", "400 "),
        (b"get /metrics HTTP/1.1\r\n\r\n", "400 "),
        (b"GET http://x/metrics HTTP/1.1\r\n\r\n", "400 "),
        (b"GET /metrics FTP/1.1\r\n\r\n", "400 "),
        (b"\xff\xfe\r\n\r\n", "400 "),
        (b"\r\n\r\n", "400 "),
        (&long_head, "431 "),
    ];
    for (bytes, status) in cases {
        let answer = server.ask(bytes).await?;
        let expected = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&expected), "{status} {answer}");
        assert_eq!(answer.contains("Allow: GET, HEAD"), status == "405 ");
    }
    Ok(())
}

#[tokio::test]
async fn slow_and_silent_clients_are_cut_and_others_served() -> TestResult {
    let server = server_within(Duration::from_millis(300)).await?;
    let mut silent = TcpStream::connect(server.address).await?;
    silent.write_all(b"GET /metr").await?;
    assert!(server.ask(b"GET /healthz HTTP/1.1\r\n\r\n").await?.contains("alive"));
    let mut answer = Vec::new();
    silent.read_to_end(&mut answer).await?;
    assert!(answer.is_empty(), "no half answer");
    Ok(())
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_their_turn() -> TestResult {
    let server = server().await?;
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(server.address).await?;
        stream.write_all(b"G").await?;
        held.push(stream);
    }
    let mut late = TcpStream::connect(server.address).await?;
    late.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").await?;
    held.pop();
    let mut answer = String::new();
    late.read_to_string(&mut answer).await?;
    assert!(answer.contains("alive"));
    Ok(())
}

#[tokio::test]
async fn it_stops_when_told() -> TestResult {
    let Server { task, stop, address, .. } = server().await?;
    let mut open = TcpStream::connect(address).await?;
    open.write_all(b"GET").await?;
    stop.send(()).map_err(|()| "gone already")?;
    task.await?;
    let mut rest = Vec::new();
    // Cut: an end or a reset, but nothing that hangs.
    drop(open.read_to_end(&mut rest).await);
    assert!(TcpStream::connect(address).await.is_err());
    Ok(())
}
