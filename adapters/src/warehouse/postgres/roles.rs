//! Vended roles: their secrets, and the calls that make and end them.
//!
//! Must never send a secret to the server, only its verifier, nor be handed a connection with more rights than the
//! vendor's. Called by `Warehouse::{vend, end, reap}`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use lanyard_engine::identity::RoleName;
use lanyard_engine::workspace::Workspace;

use super::endpoint::Secret;
use super::error::WarehouseError;

/// Longest wait between two looks at the sessions of a role that is ended.
const POLL_MILLISECONDS_MAX: u64 = 50;

/// What a vended role is for.
#[derive(Debug, Clone)]
pub struct Lease {
    /// Its name.
    pub role: RoleName,
    /// The bundle it carries, from [`super::Prepared`].
    pub bundle: String,
    /// When logins end; within 31 days from now.
    pub expires: SystemTime,
    /// Sessions at a time, 1 to 1000.
    pub connections: u32,
    /// What open references in secured views read for this session: key -> values.
    pub attributes: BTreeMap<String, BTreeSet<String>>,
    /// The schema of the session's own, made where it is missing.
    pub workspace: Option<Workspace>,
}

/// A new secret and the verifier the server may know.
pub(super) struct Vended {
    pub(super) secret: Secret,
    pub(super) verifier: String,
}

/// 256 random bits and their SCRAM-SHA-256 verifier (RFC 5803, RFC 7677) with one iteration: stretching protects what
/// people choose, and this nobody can guess.
pub(super) fn new_secret() -> Result<Vended, WarehouseError> {
    let random = SystemRandom::new();
    let mut secret = [0_u8; 32];
    let mut salt = [0_u8; 16];
    random.fill(&mut secret).map_err(|_| WarehouseError::Random)?;
    random.fill(&mut salt).map_err(|_| WarehouseError::Random)?;
    let secret = URL_SAFE_NO_PAD.encode(secret);
    let verifier = verifier(secret.as_bytes(), &salt);
    Ok(Vended { secret: Secret::new(secret), verifier })
}

fn verifier(secret: &[u8], salt: &[u8; 16]) -> String {
    let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    // Hi(secret, salt, 1) of RFC 5802 is one HMAC over the salt and INT(1).
    let salted = sign(secret, &[salt.as_slice(), &[0, 0, 0, 1]].concat());
    let client_key = sign(salted.as_ref(), b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
    let server_key = sign(salted.as_ref(), b"Server Key");
    let text = |bytes: &[u8]| STANDARD.encode(bytes);
    format!("SCRAM-SHA-256$1:{}${}:{}", text(salt), text(stored_key.as_ref()), text(server_key.as_ref()))
}

/// Makes the role. One round trip.
pub(super) async fn vend(
    client: &Client,
    lease: &Lease,
    verifier: &str,
    node: &str,
) -> Result<(), WarehouseError> {
    let attributes = serde_json::to_string(&lease.attributes)
        .map_err(|e| WarehouseError::Protocol(format!("attributes: {e}")))?;
    // More than the server allows either way.
    let connections = i32::try_from(lease.connections).unwrap_or(i32::MAX);
    client
        .execute_typed(
            "SELECT lanyard.vend($1, $2, $3, $4, $5, $6, $7::jsonb, $8)",
            &[
                (&lease.role.as_str(), Type::TEXT),
                (&lease.bundle, Type::TEXT),
                (&verifier, Type::TEXT),
                (&lease.expires, Type::TIMESTAMPTZ),
                (&connections, Type::INT4),
                (&node, Type::TEXT),
                (&attributes, Type::TEXT),
                (&lease.workspace.as_ref().map(Workspace::schema), Type::TEXT),
            ],
        )
        .await
        .map_err(|e| WarehouseError::from_client(e, "vending"))?;
    Ok(())
}

/// Ends the role's sessions, then the role. Asks until every session is gone; the deadline is the caller's. Idempotent.
pub(super) async fn end(client: &Client, role: &str) -> Result<(), WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, "ending a lease");
    let mut pause = 1;
    loop {
        let row = client
            .query_typed_one("SELECT lanyard.terminate($1)", &[(&role, Type::TEXT)])
            .await
            .map_err(failed)?;
        if row.try_get::<_, i64>(0).map_err(failed)? == 0 {
            let ended = client
                .execute_typed("SELECT lanyard.end_lease($1)", &[(&role, Type::TEXT)])
                .await
                .map_err(failed);
            match ended {
                Ok(_) => return Ok(()),
                // A login that was under way when the role was closed has come up in between.
                Err(e) if e.sqlstate() == Some("55006") => {}
                Err(e) => return Err(e),
            }
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
        pause = (pause * 2).min(POLL_MILLISECONDS_MAX);
    }
}

/// A lease that may be left over.
pub(super) struct Leftover {
    pub(super) role: String,
    pub(super) expired: bool,
}

/// Leases of that node, and expired ones of any.
pub(super) async fn leftovers(client: &Client, node: &str) -> Result<Vec<Leftover>, WarehouseError> {
    let failed = |e| WarehouseError::from_client(e, "looking for leftovers");
    client
        .query_typed("SELECT role, expired FROM lanyard.leftovers($1)", &[(&node, Type::TEXT)])
        .await
        .map_err(failed)?
        .iter()
        .map(|row| Ok(Leftover { role: row.try_get(0)?, expired: row.try_get(1)? }))
        .collect::<Result<_, tokio_postgres::Error>>()
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_stay_out_of_their_verifiers() -> Result<(), WarehouseError> {
        let (one, two) = (new_secret()?, new_secret()?);
        assert_ne!(one.secret, two.secret);
        assert_eq!(one.secret.expose().len(), 43);
        assert!(!one.verifier.contains(one.secret.expose()));
        assert!(one.verifier.starts_with("SCRAM-SHA-256$1:"));
        assert_ne!(one.verifier, two.verifier);
        Ok(())
    }
}
