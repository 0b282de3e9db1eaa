//! The listener's TLS: one certificate, one provider (ring), ALPN `postgresql`.

use std::sync::Arc;

use base64::Engine as _;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use crate::config::TlsIdentity;

/// Protocol name in ALPN; direct TLS must offer it.
pub const ALPN: &[u8] = b"postgresql";

/// What a listener needs for TLS.
#[derive(Clone)]
pub struct ServerTls {
    /// Makes TLS streams.
    pub acceptor: TlsAcceptor,
    /// The certificate in PEM form, for channel binding (RFC 5929, tls-server-end-point).
    pub certificate_pem: Arc<Vec<u8>>,
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerTls")
    }
}

/// Makes the acceptor of a certificate that the configuration has checked.
///
/// # Errors
/// What rustls will not use.
pub fn server(identity: TlsIdentity) -> Result<ServerTls, rustls::Error> {
    let leaf = identity.chain.first().map(|leaf| pem(leaf)).unwrap_or_default();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(ServerTls { acceptor: TlsAcceptor::from(Arc::new(config)), certificate_pem: Arc::new(leaf) })
}

/// A certificate as PEM (RFC 7468): what the SCRAM implementation reads it from.
fn pem(der: &[u8]) -> Vec<u8> {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem.into_bytes()
}
