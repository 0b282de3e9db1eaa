//! A bare byte forwarder: the floor of what any proxy on this runtime can cost.
//!
//! Knows nothing of PostgreSQL and must stay that way. Runs as a process of its own: `lanyard-bench forwarder`.

use std::io;
use std::path::PathBuf;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// Where the bytes go.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Tcp(String),
    Unix(PathBuf),
}

impl Target {
    /// An absolute path is a unix socket, everything else `host:port`.
    pub(crate) fn parse(text: &str) -> Self {
        if text.starts_with('/') { Self::Unix(text.into()) } else { Self::Tcp(text.to_owned()) }
    }
}

/// Accepts for ever. Not cancel-safe, and nobody cancels it: the process is ended.
pub(crate) async fn serve(listen: &str, target: Target) -> io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (client, _) = listener.accept().await?;
        client.set_nodelay(true)?;
        let target = target.clone();
        tokio::spawn(async move {
            if let Err(error) = forward(client, target).await {
                // A client that leaves without a goodbye is not news.
                if error.kind() != io::ErrorKind::ConnectionReset {
                    eprintln!("forwarder: {error}");
                }
            }
        });
    }
}

async fn forward(mut client: TcpStream, target: Target) -> io::Result<()> {
    match target {
        Target::Tcp(address) => {
            let mut server = TcpStream::connect(address).await?;
            server.set_nodelay(true)?;
            copy_bidirectional(&mut client, &mut server).await?;
        }
        Target::Unix(path) => {
            let mut server = UnixStream::connect(path).await?;
            copy_bidirectional(&mut client, &mut server).await?;
        }
    }
    Ok(())
}
