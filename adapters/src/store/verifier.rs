//! SCRAM-SHA-256 verifiers (RFC 5802, RFC 7677), in PostgreSQL's spelling `SCRAM-SHA-256$<iterations>:<salt>$<stored>:<server>`.
//!
//! Must never keep or print a password. Called by `edit`, and by the proxy's login.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lanyard_engine::identity::{AgentId, UserId};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{digest, hmac, pbkdf2};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{StoreError, Who};

/// PBKDF2 iterations of verifiers made here; PostgreSQL's default (`scram_iterations`).
pub const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("not zero");
/// More iterations than this are refused when a file is read: a client would pay them at every login.
const ITERATIONS_MAX: u32 = 1_000_000;
const SALT_BYTES: usize = 16;
const SALT_BYTES_MAX: usize = 64;

/// Why a text is no verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a verifier of the form SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>")]
pub struct VerifierError;

/// What proves that a client knows a secret, without telling the secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScramVerifier {
    /// PBKDF2 iterations.
    pub iterations: u32,
    /// Salt.
    pub salt: Vec<u8>,
    /// SHA-256 of the client key.
    pub stored_key: [u8; 32],
    /// HMAC of "Server Key".
    pub server_key: [u8; 32],
}

impl ScramVerifier {
    /// Derives the verifier of a secret. Pure: the caller brings the salt. The secret is taken as it is, which equals
    /// its SASLprep form (RFC 4013) for the printable ASCII that [`super::set_key`] lets through.
    #[must_use]
    pub fn derive(secret: &str, iterations: NonZeroU32, salt: &[u8]) -> Self {
        let mut salted = [0u8; 32];
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::derive(algorithm, iterations, salt, secret.as_bytes(), &mut salted);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
        let client_key = hmac::sign(&key, b"Client Key");
        Self {
            iterations: iterations.get(),
            salt: salt.to_vec(),
            stored_key: array(digest::digest(&digest::SHA256, client_key.as_ref()).as_ref()),
            server_key: array(hmac::sign(&key, b"Server Key").as_ref()),
        }
    }

    /// Derives with [`ITERATIONS`] and 16 random bytes of salt.
    ///
    /// # Errors
    /// [`StoreError::Random`] when the operating system gives none.
    pub fn generate(secret: &str) -> Result<Self, StoreError> {
        let mut salt = [0u8; SALT_BYTES];
        let random = SystemRandom::new();
        random.fill(&mut salt).map_err(|_| StoreError::Random)?;
        Ok(Self::derive(secret, ITERATIONS, &salt))
    }

    /// Reads PostgreSQL's spelling.
    ///
    /// # Errors
    /// [`VerifierError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, VerifierError> {
        let parts = || {
            let rest = text.strip_prefix("SCRAM-SHA-256$")?;
            let (head, keys) = rest.split_once('$')?;
            let (iterations, salt) = head.split_once(':')?;
            let (stored, server) = keys.split_once(':')?;
            let count: u32 = iterations.parse().ok()?;
            let salt = STANDARD.decode(salt).ok()?;
            let canonical = count.to_string() == iterations;
            (canonical
                && (1..=ITERATIONS_MAX).contains(&count)
                && (1..=SALT_BYTES_MAX).contains(&salt.len()))
            .then_some(())?;
            Some(Self {
                iterations: count,
                salt,
                stored_key: STANDARD.decode(stored).ok()?.try_into().ok()?,
                server_key: STANDARD.decode(server).ok()?.try_into().ok()?,
            })
        };
        parts().ok_or(VerifierError)
    }

    /// PostgreSQL's spelling.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!(
            "SCRAM-SHA-256${}:{}${}:{}",
            self.iterations,
            STANDARD.encode(&self.salt),
            STANDARD.encode(self.stored_key),
            STANDARD.encode(self.server_key)
        )
    }
}

fn array(bytes: &[u8]) -> [u8; 32] {
    // INVARIANT: SHA-256 and its HMAC give 32 bytes.
    bytes.try_into().expect("32 bytes")
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScramVerifier({} iterations)", self.iterations)
    }
}

impl TryFrom<String> for ScramVerifier {
    type Error = VerifierError;
    fn try_from(text: String) -> Result<Self, VerifierError> {
        Self::parse(&text)
    }
}

impl From<ScramVerifier> for String {
    fn from(verifier: ScramVerifier) -> Self {
        verifier.to_text()
    }
}

/// Who proves themselves with what. Whoever is not here cannot log in; a user may still be acted for by an agent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Credentials {
    /// Verifiers of agents.
    #[serde(deserialize_with = "super::files::unique_map")]
    pub agents: BTreeMap<AgentId, ScramVerifier>,
    /// Verifiers of people.
    #[serde(deserialize_with = "super::files::unique_map")]
    pub users: BTreeMap<UserId, ScramVerifier>,
}

impl Credentials {
    /// The verifier of one principal.
    #[must_use]
    pub fn of(&self, who: Who<'_>) -> Option<&ScramVerifier> {
        match who {
            Who::Agent(id) => self.agents.get(id),
            Who::User(id) => self.users.get(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_what_postgresql_clients_make() -> Result<(), VerifierError> {
        for secret in ["pencil", "lyk_x", "with space!", "a"] {
            let theirs = postgres_protocol::password::scram_sha_256(secret.as_bytes());
            let read = ScramVerifier::parse(&theirs)?;
            assert_eq!(read.iterations, ITERATIONS.get());
            assert_eq!(ScramVerifier::derive(secret, ITERATIONS, &read.salt), read);
            assert_ne!(ScramVerifier::derive("other", ITERATIONS, &read.salt), read);
            assert_eq!(read.to_text(), theirs);
        }
        Ok(())
    }

    #[test]
    fn salts_differ_and_debug_is_silent() -> Result<(), StoreError> {
        let (a, b) = (ScramVerifier::generate("x")?, ScramVerifier::generate("x")?);
        assert_ne!(a.salt, b.salt);
        assert_eq!(a.salt.len(), SALT_BYTES);
        assert_eq!(format!("{a:?}"), "ScramVerifier(4096 iterations)");
        Ok(())
    }

    #[test]
    fn other_texts_are_no_verifiers() {
        let good = ScramVerifier::derive("x", ITERATIONS, &[7; 16]).to_text();
        assert!(ScramVerifier::parse(&good).is_ok());
        for bad in [
            String::new(),
            "md5d41d8cd98f00b204e9800998ecf8427e".to_owned(),
            good.replace("SCRAM", "scram"),
            good.replace("$4096:", "$0:"),
            good.replace("$4096:", "$+4096:"),
            good.replace("$4096:", "$04096:"),
            good.replace("$4096:", "$4000000000:"),
            good.replace("$4096:", "$4096$"),
            format!("{good}="),
            format!("{good}:x"),
            format!(" {good}"),
            format!("{good}\n"),
        ] {
            assert!(ScramVerifier::parse(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_the_canonical_base64_is_read() {
        let good = ScramVerifier::derive("x", ITERATIONS, b"f").to_text();
        let with_salt = |salt: &str| good.replace(":Zg==$", &format!(":{salt}$"));
        for salt in ["Zg==", "Zm8=", "Zm9v", "+/8="] {
            let text = with_salt(salt);
            assert_eq!(ScramVerifier::parse(&text).map(|read| read.to_text()), Ok(text));
        }
        for bad in [
            "", "Z", "Zg", "Zg=", "Zh==", "Zm9", "Zm9=", "Z===", "====", "Zg==Zg==", "Zm 9", "Zm9v\n",
            "-_8=", "Zg=v",
        ] {
            assert!(ScramVerifier::parse(&with_salt(bad)).is_err(), "{bad:?}");
        }
        // A key's last digit has two bits to spare: set, they are a second spelling of the same bytes.
        let (rest, last) = good[..good.len() - 1].split_at(good.len() - 2);
        let stray = char::from(last.as_bytes()[0] + 1);
        assert!(ScramVerifier::parse(&format!("{rest}{stray}=")).is_err(), "{good}");
    }
}
