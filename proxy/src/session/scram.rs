//! SCRAM-SHA-256 and -PLUS towards clients (RFC 5802, RFC 7677): the exchange is pgwire's, the framing and the decision
//! which mechanisms are offered are ours. Only verifiers are stored.

use bytes::{Buf, BufMut, BytesMut};
use lanyard_adapters::store::ScramVerifier;
use lanyard_engine::refusal::{Code, Refusal};
use pgwire::api::auth::sasl::scram::{ScramSecret, ScramServerAuth, ScramServerAuthWaitingForClientFinal};

use crate::wire::backend::{cstring, message};

const PLAIN: &str = "SCRAM-SHA-256";
const PLUS: &str = "SCRAM-SHA-256-PLUS";

/// The mechanisms offered: -PLUS under TLS, where there is a certificate to bind to.
pub(super) struct Offer {
    server: ScramServerAuth,
    plus: bool,
}

impl Offer {
    /// For one connection; `certificate_pem` when it is under TLS.
    pub(super) fn new(certificate_pem: Option<&[u8]>) -> Self {
        let mut server = ScramServerAuth::new();
        let plus = certificate_pem.is_some_and(|pem| server.configure_certificate(pem).is_ok());
        Self { server, plus }
    }

    /// AuthenticationSASL.
    pub(super) fn ask(&self, out: &mut BytesMut) {
        message(out, b'R', |out| {
            out.put_i32(10);
            if self.plus {
                cstring(out, PLUS);
            }
            cstring(out, PLAIN);
            out.put_u8(0);
        });
    }

    /// SASLInitialResponse -> AuthenticationSASLContinue.
    ///
    /// # Errors
    /// 08P01 for a malformed answer, 28P01 for one that cannot be.
    pub(super) fn first(
        &self,
        mut body: BytesMut,
        verifier: &ScramVerifier,
        out: &mut BytesMut,
    ) -> Result<(ScramServerAuthWaitingForClientFinal, &'static str), Refusal> {
        let malformed = || Refusal::new(Code::Protocol, "malformed SASL response");
        let end = body.iter().position(|b| *b == 0).ok_or_else(malformed)?;
        let mechanism = body.split_to(end);
        body.advance(1);
        let chosen = match &mechanism[..] {
            b"SCRAM-SHA-256" => PLAIN,
            b"SCRAM-SHA-256-PLUS" if self.plus => PLUS,
            _ => {
                return Err(Refusal::new(
                    Code::Protocol,
                    "the client chose a SASL mechanism that was not offered",
                ));
            }
        };
        if body.len() < 4 || usize::try_from(body.get_i32()).ok() != Some(body.len()) {
            return Err(malformed());
        }
        // RFC 5802, section 6: the binding flag must fit the mechanism.
        if (chosen == PLUS) != body.starts_with(b"p=") {
            return Err(Refusal::new(
                Code::Protocol,
                "the SASL channel binding flag does not fit the mechanism",
            ));
        }
        let secret = ScramSecret::Verifier {
            salt: verifier.salt.clone(),
            iterations: verifier.iterations as usize,
            stored_key: verifier.stored_key.to_vec(),
            server_key: verifier.server_key.to_vec(),
        };
        let (server_first, waiting) =
            self.server.on_client_first_message_with_secret(&body, secret).map_err(|_| malformed())?;
        sasl(out, 11, server_first.as_bytes());
        Ok((waiting, if chosen == PLUS { "scram-sha-256-plus" } else { "scram-sha-256" }))
    }
}

/// SASLResponse -> AuthenticationSASLFinal. `None`: the proof is wrong.
pub(super) fn last(
    waiting: &ScramServerAuthWaitingForClientFinal,
    body: &[u8],
    out: &mut BytesMut,
) -> Option<()> {
    let server_final = waiting.on_client_final_message(body).ok()?;
    sasl(out, 12, server_final.as_bytes());
    Some(())
}

fn sasl(out: &mut BytesMut, step: i32, data: &[u8]) {
    message(out, b'R', |out| {
        out.put_i32(step);
        out.extend_from_slice(data);
    });
}

/// A verifier for a name nobody has: the exchange looks the same and fails at its end, so names cannot be probed. The
/// salt depends on the name alone, as a real one would.
pub(super) fn nobody(name: &str, server_secret: &[u8; 32]) -> ScramVerifier {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, server_secret);
    let tag = ring::hmac::sign(&key, name.as_bytes());
    let mut stored_key = [0; 32];
    stored_key.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, tag.as_ref()).as_ref());
    ScramVerifier {
        iterations: lanyard_adapters::store::ITERATIONS.get(),
        salt: tag.as_ref().get(..16).unwrap_or_default().to_vec(),
        stored_key,
        server_key: stored_key,
    }
}
