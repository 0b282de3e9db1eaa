//! A unix socket that asks the kernel for readiness to read only.
//!
//! The kernel reports a unix socket as writable again each time the peer takes bytes out of it. Registered for both, as
//! tokio's own stream is, every statement would wake the session once while the warehouse is reading it, for nothing, and
//! the warehouse's process pays for that wake-up. So readiness to write is asked for only while a write waits.
//!
//! tokio's pipe ends are its only streams of one direction; they read and write any descriptor. Called by `stream`.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::{Receiver, Sender};

/// See the module's words.
#[derive(Debug)]
pub struct UnixUpstream {
    reader: Receiver,
    /// There while a write waits for room.
    writer: Option<Sender>,
}

impl UnixUpstream {
    /// Takes over a connected socket.
    ///
    /// # Errors
    /// The runtime's, when it cannot watch one more descriptor.
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        // Taken from tokio, the descriptor is non-blocking and watched by nobody.
        let socket = OwnedFd::from(stream.into_std()?);
        Ok(Self { reader: Receiver::from_owned_fd_unchecked(socket)?, writer: None })
    }
}

impl AsyncRead for UnixUpstream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().reader).poll_read(cx, buf)
    }
}

impl AsyncWrite for UnixUpstream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let writer = match &mut this.writer {
            Some(writer) => writer,
            None => match SockRef::from(&this.reader).send(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let second = this.reader.as_fd().try_clone_to_owned()?;
                    this.writer.insert(Sender::from_owned_fd_unchecked(second)?)
                }
                done => return Poll::Ready(done),
            },
        };
        let written = ready!(Pin::new(writer).poll_write(cx, bytes))?;
        this.writer = None;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&self.reader).shutdown(Shutdown::Write))
    }
}
