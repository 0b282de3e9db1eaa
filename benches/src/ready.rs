//! Waiting for a server to accept, with a deadline.

use std::time::{Duration, Instant};

use lanyard_adapters::process::Process;
use tokio::net::TcpStream;

use crate::{Failure, failure};

const READY_SECONDS_MAX: u64 = 30;

/// Polls until somebody accepts on 127.0.0.1:`port`, or the process has ended, or the deadline has passed.
pub(crate) async fn tcp(port: u16, process: &mut Process) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(READY_SECONDS_MAX);
    loop {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return Ok(());
        }
        if let Some(status) = process.status() {
            return Err(failure(&format!("the server for port {port} ended: {status}")));
        }
        if Instant::now() > deadline {
            return Err(failure(&format!("nobody accepts on port {port}")));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
