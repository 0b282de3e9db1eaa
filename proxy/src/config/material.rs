//! The files a configuration names: certificates, keys, passwords. Opened before anything starts.
//!
//! Must never print what is in them. Called by the commands that need them; `agent`, `user` and `audit` do not.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::{Config, ConfigError, ConfigErrors, Database, ListenTls, Located, TlsFiles, UpstreamTls};

/// Longest of these files, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What is in the files.
#[derive(Debug)]
pub struct Material {
    /// Certificate and key towards clients; absent when TLS is off.
    pub listen: Option<TlsIdentity>,
    /// Secrets by `[databases.NAME]`.
    pub databases: BTreeMap<String, DatabaseMaterial>,
}

/// A certificate chain and the key that fits its leaf (checked).
pub struct TlsIdentity {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Key of the leaf.
    pub key: PrivateKeyDer<'static>,
}

/// Secrets of one database.
#[derive(Default)]
pub struct DatabaseMaterial {
    /// Of `lanyard_builder`.
    pub builder_password: String,
    /// Of `lanyard_vendor`.
    pub vendor_password: String,
    /// Authorities, with `tls = "verify-full"`.
    pub ca_pem: Option<Vec<u8>>,
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsIdentity({} certificates)", self.chain.len())
    }
}

impl fmt::Debug for DatabaseMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseMaterial")
    }
}

/// Who may read a secret file.
#[derive(Clone, Copy)]
enum Readers {
    Everybody,
    /// Group too: TLS keys are often shared with a group of their own.
    Group,
    Owner,
}

impl Config {
    /// Opens and checks every file this configuration needs to serve.
    ///
    /// # Errors
    /// [`ConfigErrors`]: what cannot be read or used, with the line that names it.
    pub fn material(&self) -> Result<Material, ConfigErrors> {
        let mut errors = Vec::new();
        let directory = &self.governance.directory;
        if !directory.value.is_dir() {
            let message = format!("governance folder \"{}\" is not there", directory.value.display());
            let hint = "make it with `lanyard user add ID`";
            errors.push(self.error(directory, message).hint(hint));
        }
        let listen = match &self.listen.tls {
            ListenTls::Off => None,
            ListenTls::Offer(files) | ListenTls::Require(files) => {
                self.tls(files).map_err(|error| errors.push(error)).ok()
            }
        };
        let mut databases = BTreeMap::new();
        for (name, database) in &self.databases {
            match self.database_material(database) {
                Ok(material) => {
                    databases.insert(name.clone(), material);
                }
                Err(more) => errors.extend(more.iter().cloned()),
            }
        }
        ConfigErrors::none_or(errors, Material { listen, databases })
    }

    /// Opens the files of one database only.
    ///
    /// # Errors
    /// [`ConfigErrors`]: what cannot be read or used, with the line that names it.
    pub fn database_material(&self, database: &Database) -> Result<DatabaseMaterial, ConfigErrors> {
        let mut errors = Vec::new();
        let mut password = |file: &Located<PathBuf>| {
            self.password(file).unwrap_or_else(|error| {
                errors.push(error);
                String::new()
            })
        };
        let builder_password = password(&database.builder_password_file);
        let vendor_password = password(&database.vendor_password_file);
        let ca_pem = match &database.tls {
            UpstreamTls::Disable | UpstreamTls::Require => None,
            UpstreamTls::VerifyFull { ca_file } => {
                self.authorities(ca_file).map_err(|error| errors.push(error)).ok()
            }
        };
        let material = DatabaseMaterial { builder_password, vendor_password, ca_pem };
        ConfigErrors::none_or(errors, material)
    }

    fn error<T>(&self, at: &Located<T>, message: impl Into<String>) -> ConfigError {
        ConfigError::new(&self.file, (at.line, at.column), message)
    }

    fn bytes(&self, file: &Located<PathBuf>, readers: Readers) -> Result<Vec<u8>, ConfigError> {
        let path = &file.value;
        let name = path.display();
        let fail = |error: std::io::Error| self.error(file, format!("cannot read \"{name}\": {error}"));
        let metadata = std::fs::metadata(path).map_err(fail)?;
        if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
            return Err(self.error(file, format!("\"{name}\" is not a file of at most 1 MiB")));
        }
        let (others, fix) = match readers {
            Readers::Everybody => (0, ""),
            Readers::Group => (0o027, "640"),
            Readers::Owner => (0o077, "600"),
        };
        let mode = metadata.mode() & 0o7777;
        if mode & others != 0 {
            let message = format!("\"{name}\" has mode {mode:04o}, which lets others at it");
            return Err(self.error(file, message).hint(format!("run: chmod {fix} \"{name}\"")));
        }
        std::fs::read(path).map_err(fail)
    }

    fn password(&self, file: &Located<PathBuf>) -> Result<String, ConfigError> {
        let hint = "`lanyard bootstrap` writes it";
        let bytes = self.bytes(file, Readers::Owner).map_err(|error| match error.hint {
            Some(_) => error,
            None => error.hint(hint),
        })?;
        let text = String::from_utf8(bytes).unwrap_or_default();
        let text = text.strip_suffix('\n').unwrap_or(&text);
        if text.is_empty() || text.chars().any(char::is_control) {
            let message = format!("\"{}\" does not hold one line with a password", file.value.display());
            return Err(self.error(file, message).hint(hint));
        }
        Ok(text.to_owned())
    }

    fn certificates(
        &self,
        file: &Located<PathBuf>,
        bytes: &[u8],
    ) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
        let name = file.value.display();
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
        let chain = chain.map_err(|error| self.error(file, format!("\"{name}\" is not PEM: {error}")))?;
        if chain.is_empty() {
            return Err(self.error(file, format!("\"{name}\" holds no certificate")));
        }
        Ok(chain)
    }

    fn authorities(&self, file: &Located<PathBuf>) -> Result<Vec<u8>, ConfigError> {
        let bytes = self.bytes(file, Readers::Everybody)?;
        let mut roots = rustls::RootCertStore::empty();
        for certificate in self.certificates(file, &bytes)? {
            roots.add(certificate).map_err(|error| {
                let name = file.value.display();
                self.error(
                    file,
                    format!("\"{name}\" holds a certificate that cannot be an authority: {error}"),
                )
            })?;
        }
        Ok(bytes)
    }

    fn tls(&self, files: &TlsFiles) -> Result<TlsIdentity, ConfigError> {
        let bytes = self.bytes(&files.certificate, Readers::Everybody)?;
        let chain = self.certificates(&files.certificate, &bytes)?;
        let bytes = self.bytes(&files.key, Readers::Group)?;
        let name = files.key.value.display();
        let key = PrivateKeyDer::from_pem_slice(&bytes)
            .map_err(|_| self.error(&files.key, format!("\"{name}\" holds no private key in PEM")))?;
        let provider = rustls::crypto::ring::default_provider();
        CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider).map_err(|error| {
            self.error(&files.key, format!("key and certificate cannot be used together: {error}"))
        })?;
        Ok(TlsIdentity { chain, key })
    }
}

/// Writes a new secret of mode 0600; an existing file is left alone.
///
/// # Errors
/// From the operating system; [`std::io::ErrorKind::AlreadyExists`] when the file exists.
pub(crate) fn write_secret(path: &Path, secret: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{secret}")?;
    file.sync_all()
}
