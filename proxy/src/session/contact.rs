//! The first packets of a connection: encryption, a cancel request, or the startup message.
//!
//! Must never read a byte more than a packet has: what follows belongs to the handshake. Called by the listener.

use lanyard_engine::refusal::{Code, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::net::stream::ClientStream;
use crate::net::tls;
use crate::server::{Shared, TlsPolicy};
use crate::wire::startup::{self, First, Startup};

use super::login::protocol;

/// What a new connection turns out to be.
pub enum Contact {
    /// A cancel request, for this key. The client takes the end of the connection for the answer.
    Cancel(Box<ClientStream>, i32, Vec<u8>),
    /// A client that wants to log in.
    Startup(Box<ClientStream>, Startup),
    /// It went away before saying anything, as port probes do.
    Gone,
}

/// Reads first packets until one says what the connection is.
///
/// # Errors
/// A refusal to say before closing, with the stream to say it on where there is one.
pub async fn contact(
    mut stream: TcpStream,
    shared: &Shared,
) -> Result<Contact, (Option<Box<ClientStream>>, Refusal)> {
    let mut first = [0u8; 1];
    match stream.peek(&mut first).await {
        Ok(0) | Err(_) => return Ok(Contact::Gone),
        Ok(_) => {}
    }
    let mut client = if first[0] == 0x16 {
        let client = handshake(stream, shared).await.map_err(|refusal| (None, refusal))?;
        if let ClientStream::Tls(tls) = &client
            && tls.get_ref().1.alpn_protocol() != Some(tls::ALPN)
        {
            return Err((Some(Box::new(client)), protocol("direct TLS must offer ALPN \"postgresql\"")));
        }
        client
    } else {
        match plain_requests(&mut stream, shared).await {
            Ok(Asked::Nothing(contact)) => return finish(ClientStream::Plain(stream), contact, shared),
            Ok(Asked::Gone) => return Ok(Contact::Gone),
            Ok(Asked::Tls) => handshake(stream, shared).await.map_err(|refusal| (None, refusal))?,
            Err(refusal) => return Err((Some(Box::new(ClientStream::Plain(stream))), refusal)),
        }
    };
    match packet(&mut client).await {
        Ok(Some(First::Tls | First::Gss)) => {
            Err((Some(Box::new(client)), protocol("the connection is encrypted already")))
        }
        Ok(Some(contact)) => finish(client, contact, shared),
        Ok(None) => Ok(Contact::Gone),
        Err(refusal) => Err((Some(Box::new(client)), refusal)),
    }
}

enum Asked {
    Nothing(First),
    Tls,
    Gone,
}

/// SSLRequest and GSSENCRequest in any order, each at most once. Packets are read to the byte, so nothing that a peer
/// slips behind a request can be taken for what comes after the handshake (CVE-2021-23214).
async fn plain_requests(stream: &mut TcpStream, shared: &Shared) -> Result<Asked, Refusal> {
    let (mut asked_tls, mut asked_gss) = (false, false);
    loop {
        let answer: &[u8] = match packet(stream).await? {
            None => return Ok(Asked::Gone),
            Some(First::Tls) if asked_tls => return Err(protocol("SSLRequest twice")),
            Some(First::Gss) if asked_gss => return Err(protocol("GSSENCRequest twice")),
            Some(First::Tls) => {
                asked_tls = true;
                if shared.tls.is_some() { b"S" } else { b"N" }
            }
            Some(First::Gss) => {
                asked_gss = true;
                b"N"
            }
            Some(other) => return Ok(Asked::Nothing(other)),
        };
        if stream.write_all(answer).await.is_err() {
            return Ok(Asked::Gone);
        }
        if answer == b"S" {
            return Ok(Asked::Tls);
        }
    }
}

fn finish(
    client: ClientStream,
    contact: First,
    shared: &Shared,
) -> Result<Contact, (Option<Box<ClientStream>>, Refusal)> {
    match contact {
        First::Cancel(pid, secret) => Ok(Contact::Cancel(Box::new(client), pid, secret)),
        First::Startup(startup) => {
            if shared.tls_policy == TlsPolicy::Require && !client.is_tls() {
                let refusal = Refusal::new(Code::NoIdentity, "this server takes connections under TLS only")
                    .hint("connect with sslmode=require");
                return Err((Some(Box::new(client)), refusal));
            }
            Ok(Contact::Startup(Box::new(client), startup))
        }
        First::Tls | First::Gss => {
            Err((Some(Box::new(client)), protocol("an encryption request out of place")))
        }
    }
}

async fn handshake(stream: TcpStream, shared: &Shared) -> Result<ClientStream, Refusal> {
    let tls = shared.tls.as_ref().ok_or_else(|| protocol("TLS is not offered here"))?;
    let stream = tls.acceptor.accept(stream).await.map_err(|_| protocol("the TLS handshake failed"))?;
    Ok(ClientStream::Tls(Box::new(stream)))
}

/// One first packet, read to the byte. `None` when the peer is gone.
async fn packet<S: AsyncReadExt + Unpin>(stream: &mut S) -> Result<Option<First>, Refusal> {
    let mut head = [0u8; 4];
    if stream.read_exact(&mut head).await.is_err() {
        return Ok(None);
    }
    let Some(length) = startup::length(&head)? else { return Ok(None) };
    let mut whole = vec![0u8; length];
    if let Some((front, rest)) = whole.split_first_chunk_mut::<4>() {
        *front = head;
        if stream.read_exact(rest).await.is_err() {
            return Ok(None);
        }
    }
    startup::decode(&whole).map(Some)
}
