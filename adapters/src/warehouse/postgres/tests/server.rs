//! The private PostgreSQL of this folder's tests: one for all that run at the same time, gone with the last; with TLS.

use std::error::Error;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::{Arc, Weak};

use tokio::sync::Mutex;

use super::super::{Endpoint, Login, Secret, TlsMode};
use crate::cluster::tests::binaries;
use crate::cluster::{Cluster, ClusterOptions, scratch_folder};

pub(super) struct Server {
    cluster: Cluster,
    /// PEM of the authority that signed the server's certificate for `localhost`.
    pub(super) ca_pem: Vec<u8>,
}

static SHARED: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());

impl Server {
    pub(super) async fn shared() -> Result<Arc<Self>, Box<dyn Error>> {
        let mut shared = SHARED.lock().await;
        if let Some(server) = shared.upgrade() {
            return Ok(server);
        }
        let server = Arc::new(Self::start().await?);
        *shared = Arc::downgrade(&server);
        Ok(server)
    }

    async fn start() -> Result<Self, Box<dyn Error>> {
        let settings = [
            ("fsync", "off"),
            ("shared_buffers", "32MB"),
            // Beside the data, where a cluster's folder is its own.
            ("ssl_cert_file", "../cert.pem"),
            ("ssl_key_file", "../key.pem"),
        ];
        let mut cluster = Cluster::start(ClusterOptions {
            bin: binaries(),
            data: scratch_folder("lanyard-warehouse")?,
            settings: settings.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(),
            keep: false,
        })
        .await?;
        // The folder must be empty at the start, and a server with TLS wants its files by then: on with the second start.
        let ca_pem = certificate(&cluster)?;
        cluster.connect("postgres").await?.batch_execute("ALTER SYSTEM SET ssl = on").await?;
        cluster.restart().await?;
        Ok(Self { cluster, ca_pem })
    }

    /// What the server has logged, every statement included.
    pub(super) fn log(&self) -> Result<String, Box<dyn Error>> {
        Ok(String::from_utf8_lossy(&std::fs::read(self.cluster.log_file())?).into_owned())
    }

    pub(super) fn endpoint(&self, database: &str) -> Endpoint {
        Endpoint {
            host: self.cluster.socket_dir().display().to_string(),
            port: self.cluster.port(),
            database: database.to_owned(),
            tls: TlsMode::Disable,
        }
    }

    pub(super) fn tcp(&self, database: &str, host: &str, tls: TlsMode) -> Endpoint {
        Endpoint { host: host.to_owned(), tls, ..self.endpoint(database) }
    }

    pub(super) fn dba(&self) -> Login {
        Login::new(self.cluster.superuser(), Secret::new(self.cluster.password()))
    }
}

/// A certificate for `localhost`, written as `cert.pem` and `key.pem`; answers its authority's.
fn certificate(cluster: &Cluster) -> Result<Vec<u8>, Box<dyn Error>> {
    let ca_key = rcgen::KeyPair::generate()?;
    let mut ca = rcgen::CertificateParams::new(Vec::<String>::new())?;
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key)?.pem().into_bytes();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate()?;
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &issuer)?;
    for (name, text) in [("cert.pem", leaf.pem()), ("key.pem", key.serialize_pem())] {
        let path = cluster.folder().join(name);
        let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        cluster.give(&path)?;
    }
    Ok(ca_pem)
}
