//! A byte stream to a PostgreSQL: unix socket, TCP or TLS over TCP. The one place that sets up TLS to a warehouse.
//!
//! Must never read past the answer to SSLRequest before the handshake (CVE-2021-23222), nor fall back to plain text.
//! Called by `upstream` (vended logins, cancels) and `client` (builder, vendor, DBA).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::endpoint::{Endpoint, TlsMode};
use super::error::WarehouseError;
use super::unix::UnixUpstream;

/// The bytes between us and a warehouse.
#[derive(Debug)]
pub enum UpstreamStream {
    /// Unix socket.
    Unix(UnixUpstream),
    /// TCP in plain text, TCP_NODELAY set.
    Tcp(TcpStream),
    /// TLS over TCP, TCP_NODELAY set.
    Tls(Box<TlsStream<TcpStream>>),
}

macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            UpstreamStream::Unix($stream) => $call,
            UpstreamStream::Tcp($stream) => $call,
            UpstreamStream::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for UpstreamStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for UpstreamStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// Makes streams to one endpoint; TLS is configured once.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) endpoint: Endpoint,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Connector {
    /// Reads certificates and the host name, where TLS is wanted.
    pub(super) fn new(endpoint: Endpoint) -> Result<Self, WarehouseError> {
        let tls = if endpoint.is_unix() { None } else { client_config(&endpoint.tls)? };
        let tls = match tls {
            None => None,
            Some(config) => {
                let name = ServerName::try_from(endpoint.host.clone()).map_err(|e| WarehouseError::Tls {
                    what: format!("{:?} is neither a host name nor an address", endpoint.host),
                    source: Some(Box::new(e)),
                })?;
                Some((TlsConnector::from(Arc::new(config)), name))
            }
        };
        Ok(Self { endpoint, tls })
    }

    /// Connects and, where configured, encrypts. No deadline of its own; cancel-safe (the socket closes).
    pub(super) async fn connect(&self) -> Result<UpstreamStream, WarehouseError> {
        let unreachable =
            |source| WarehouseError::Unreachable { endpoint: self.endpoint.to_string(), source };
        if self.endpoint.is_unix() {
            let stream = UnixStream::connect(self.endpoint.socket_path()).await.map_err(unreachable)?;
            return Ok(UpstreamStream::Unix(UnixUpstream::new(stream).map_err(unreachable)?));
        }
        let stream = TcpStream::connect((self.endpoint.host.as_str(), self.endpoint.port))
            .await
            .map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        match &self.tls {
            None => Ok(UpstreamStream::Tcp(stream)),
            Some((connector, name)) => encrypt(stream, connector, name.clone()).await,
        }
    }
}

/// SSLRequest, its one-byte answer, and the handshake
/// (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL>).
async fn encrypt(
    mut stream: TcpStream,
    connector: &TlsConnector,
    name: ServerName<'static>,
) -> Result<UpstreamStream, WarehouseError> {
    let lost =
        |source: io::Error| WarehouseError::Lost { doing: "asking for TLS", source: Some(Box::new(source)) };
    let mut request = BytesMut::with_capacity(8);
    frontend::ssl_request(&mut request);
    stream.write_all(&request).await.map_err(lost)?;
    // One byte exactly: whatever a listener put behind it must reach the handshake, where it is an error.
    match stream.read_u8().await.map_err(lost)? {
        b'S' => {}
        b'N' => {
            return Err(WarehouseError::Tls {
                what: "the server has TLS switched off (set \"ssl = on\" there, or tls = \"disable\" here)"
                    .into(),
                source: None,
            });
        }
        other => {
            return Err(WarehouseError::Protocol(format!("byte {other} in answer to SSLRequest")));
        }
    }
    let stream = connector.connect(name, stream).await.map_err(|e| WarehouseError::Tls {
        what: "the handshake failed".into(),
        source: Some(Box::new(e)),
    })?;
    Ok(UpstreamStream::Tls(Box::new(stream)))
}

fn client_config(mode: &TlsMode) -> Result<Option<ClientConfig>, WarehouseError> {
    let wrong = |what: &str, source: Option<Box<dyn std::error::Error + Send + Sync>>| WarehouseError::Tls {
        what: what.to_owned(),
        source,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong("no protocol version in common", Some(Box::new(e))))?;
    match mode {
        TlsMode::Disable => Ok(None),
        TlsMode::Require => Ok(Some(
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
                .with_no_client_auth(),
        )),
        TlsMode::VerifyFull { ca_pem } => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(ca_pem) {
                let certificate =
                    certificate.map_err(|e| wrong("the CA file is not PEM", Some(Box::new(e))))?;
                roots
                    .add(certificate)
                    .map_err(|e| wrong("a certificate of the CA file cannot be used", Some(Box::new(e))))?;
            }
            if roots.is_empty() {
                return Err(wrong("the CA file holds no certificate", None));
            }
            Ok(Some(builder.with_root_certificates(roots).with_no_client_auth()))
        }
    }
}

/// `tls = "require"`: any certificate will do, but the peer must hold its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
