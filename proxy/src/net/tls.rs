//! The listener's TLS: one certificate, one provider (ring), ALPN `postgresql`.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

/// Protocol name in ALPN; direct TLS must offer it.
pub const ALPN: &[u8] = b"postgresql";

/// Why the certificate cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read \"{0}\"")]
    Read(String, #[source] io::Error),
    /// A file holds no certificate or key in PEM form.
    #[error("\"{0}\" holds no usable PEM")]
    Pem(String),
    /// The two do not fit together.
    #[error("the certificate and its key do not fit together")]
    Unusable(#[source] rustls::Error),
}

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

/// Reads a certificate chain and its key.
///
/// # Errors
/// [`TlsError`] names the file.
pub fn load(certificate: &Path, key: &Path) -> Result<ServerTls, TlsError> {
    let shown = |path: &Path| path.display().to_string();
    let pem = fs::read(certificate).map_err(|e| TlsError::Read(shown(certificate), e))?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError::Pem(shown(certificate)))?;
    if chain.is_empty() {
        return Err(TlsError::Pem(shown(certificate)));
    }
    let key_pem = fs::read(key).map_err(|e| TlsError::Read(shown(key), e))?;
    let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|_| TlsError::Pem(shown(key)))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Unusable)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(ServerTls { acceptor: TlsAcceptor::from(Arc::new(config)), certificate_pem: Arc::new(pem) })
}
