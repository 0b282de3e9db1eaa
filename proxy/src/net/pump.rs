//! Moves bytes between a client and the warehouse, both ways at once, with bounded buffers: a slow reader stops the
//! reading on the other side instead of filling memory.
//!
//! It knows nothing of messages. The session takes bytes from `*_in` and puts bytes into `*_out` between calls. While the session
//! has no backend only the client is listened to.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// When this much waits to be written to one side, nothing more is read from the other, in bytes.
const OUT_BYTES_HIGH: usize = 256 << 10;
/// Room for one read on the stack, in bytes: a session that waits holds no buffer.
const READ_BYTES: usize = 8 << 10;
/// Room made for one read where more may be waiting, in bytes.
const READ_BYTES_MORE: usize = 16 << 10;
/// Room made for one read while a large result runs, in bytes.
const READ_BYTES_BULK: usize = 128 << 10;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// New bytes from the client.
    Client,
    /// New bytes from the warehouse.
    Upstream,
    /// The client closed its side.
    ClientClosed,
    /// The warehouse closed its side.
    UpstreamClosed,
}

/// Two streams and their buffers.
#[derive(Debug)]
pub struct Pump<C, U> {
    client: C,
    upstream: Option<U>,
    /// Bytes from the client, not yet taken.
    pub client_in: BytesMut,
    /// Bytes for the client, not yet written.
    pub client_out: BytesMut,
    /// Bytes from the warehouse, not yet taken.
    pub upstream_in: BytesMut,
    /// Bytes for the warehouse, not yet written.
    pub upstream_out: BytesMut,
    /// Bytes written to the warehouse that nobody has counted yet.
    pub upstream_written: u64,
    /// Most bytes of `client_in` while a frame is not whole.
    client_in_bytes_max: usize,
    unflushed: Sides,
    /// The last read of a side filled its room.
    more: Sides,
}

#[derive(Debug, Default)]
struct Sides {
    client: bool,
    upstream: bool,
}

impl<C, U> Pump<C, U>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    /// Joins two streams. `client_in` may hold bytes that came with the login.
    pub fn new(
        client: C,
        client_in: BytesMut,
        upstream: U,
        upstream_in: BytesMut,
        frame_bytes_max: usize,
    ) -> Self {
        Self {
            client,
            upstream: Some(upstream),
            client_in,
            client_out: BytesMut::new(),
            upstream_in,
            upstream_out: BytesMut::new(),
            upstream_written: 0,
            client_in_bytes_max: frame_bytes_max + READ_BYTES_MORE,
            unflushed: Sides::default(),
            more: Sides::default(),
        }
    }

    /// Is there a backend?
    pub fn is_attached(&self) -> bool {
        self.upstream.is_some()
    }

    /// Takes a new backend, with what it has said already.
    pub fn attach(&mut self, upstream: U, said: BytesMut) {
        self.upstream = Some(upstream);
        self.upstream_in = said;
    }

    /// Lets the backend go.
    pub fn detach(&mut self) {
        self.upstream = None;
        self.upstream_in = BytesMut::new();
        self.upstream_out = BytesMut::new();
        self.unflushed.upstream = false;
        self.more.upstream = false;
        self.rest();
    }

    /// Gives back the memory of empty buffers.
    pub fn rest(&mut self) {
        let buffers =
            [&mut self.client_in, &mut self.client_out, &mut self.upstream_in, &mut self.upstream_out];
        for buffer in buffers {
            if buffer.is_empty() {
                *buffer = BytesMut::new();
            }
        }
    }

    /// Writes what waits, then reads from whichever side may be read. Cancel-safe: all progress is in `self`.
    ///
    /// # Errors
    /// The first I/O error of either side.
    pub async fn next(&mut self) -> io::Result<Event> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Writes what can be written without waiting; the rest leaves with the next call of [`Self::next`].
    ///
    /// # Errors
    /// The first I/O error of either side.
    pub fn write_ready(&mut self) -> io::Result<()> {
        match self.poll_write(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(written) => written,
            Poll::Pending => Ok(()),
        }
    }

    /// Writes all that waits for the client. Cancel-safe.
    ///
    /// # Errors
    /// An I/O error of the client's side.
    pub async fn flush_client(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            ready!(write(&mut self.client, &mut self.client_out, &mut self.unflushed.client, cx))?;
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Writes all that waits for the warehouse. Cancel-safe.
    ///
    /// # Errors
    /// An I/O error of the warehouse's side.
    pub async fn flush_upstream(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_write_upstream(cx)).await
    }

    /// Gives the client's stream back, to close it properly.
    pub fn into_client(self) -> C {
        self.client
    }

    /// Both ways, each as far as it goes: that one side is full does not hold up the other.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let upstream = self.poll_write_upstream(cx)?;
        let client = write(&mut self.client, &mut self.client_out, &mut self.unflushed.client, cx)?;
        ready!(upstream);
        ready!(client);
        Poll::Ready(Ok(()))
    }

    fn poll_write_upstream(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = &mut self.upstream else { return Poll::Ready(Ok(())) };
        let waiting = self.upstream_out.len();
        let written = write(stream, &mut self.upstream_out, &mut self.unflushed.upstream, cx);
        self.upstream_written += (waiting - self.upstream_out.len()) as u64;
        written
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Event>> {
        // Pending here only means that a side is full; the other direction goes on.
        if let Poll::Ready(Err(error)) = self.poll_write(cx) {
            return Poll::Ready(Err(error));
        }
        if let Some(upstream) = &mut self.upstream
            && self.client_out.len() < OUT_BYTES_HIGH
        {
            let room = if self.client_out.is_empty() { READ_BYTES_MORE } else { READ_BYTES_BULK };
            match read(upstream, &mut self.upstream_in, room, &mut self.more.upstream, cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(Event::UpstreamClosed)),
                Poll::Ready(Ok(_)) => return Poll::Ready(Ok(Event::Upstream)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        if self.upstream_out.len() < OUT_BYTES_HIGH && self.client_in.len() < self.client_in_bytes_max {
            match read(&mut self.client, &mut self.client_in, READ_BYTES_MORE, &mut self.more.client, cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(Event::ClientClosed)),
                Poll::Ready(Ok(_)) => return Poll::Ready(Ok(Event::Client)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }
}

/// Reads what has come: by way of the stack, or, while reads fill that, straight into a buffer with this much room.
fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    into: &mut BytesMut,
    room: usize,
    more: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    if *more {
        if into.capacity() - into.len() < room / 4 {
            into.reserve(room);
        }
        let read = pin!(stream.read_buf(into)).poll(cx);
        // Nothing more for now, or the rest of it.
        *more = matches!(read, Poll::Ready(Ok(bytes)) if bytes >= READ_BYTES);
        return read;
    }
    let mut space = [MaybeUninit::uninit(); READ_BYTES];
    let mut space = ReadBuf::uninit(&mut space);
    ready!(Pin::new(stream).poll_read(cx, &mut space))?;
    let read = space.filled();
    into.extend_from_slice(read);
    *more = read.len() == READ_BYTES;
    Poll::Ready(Ok(read.len()))
}

fn write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    from: &mut BytesMut,
    unflushed: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while !from.is_empty() {
        let written = ready!(Pin::new(&mut *stream).poll_write(cx, from))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        from.advance(written);
        *unflushed = true;
    }
    if *unflushed {
        ready!(Pin::new(stream).poll_flush(cx))?;
        *unflushed = false;
    }
    Poll::Ready(Ok(()))
}

/// Moves a piece to an output buffer: by swapping when it is empty, so that large results are not copied.
pub fn pass(out: &mut BytesMut, piece: BytesMut) {
    if out.is_empty() {
        *out = piece;
    } else {
        out.extend_from_slice(&piece);
    }
}
