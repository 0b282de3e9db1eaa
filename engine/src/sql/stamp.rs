//! The session-constant comment in front of every statement (wire.md, "The stamp"), in sqlcommenter encoding.
//!
//! Constant per session, so that prepared-statement caches keep working; in front, because log tools cut tails.

use crate::identity::{Principal, SessionId};

/// `/*lanyard_agent='…',lanyard_session='…',lanyard_user='…'*/`, keys sorted, values percent-encoded.
#[must_use]
pub fn stamp(principal: &Principal, session: SessionId) -> String {
    let mut out = String::from("/*");
    if let Some(agent) = principal.agent() {
        out.push_str(&format!("lanyard_agent='{}',", encode(agent.as_str())));
    }
    out.push_str(&format!("lanyard_session='{session}'"));
    if let Some(user) = principal.user() {
        out.push_str(&format!(",lanyard_user='{}'", encode(user.as_str())));
    }
    out.push_str("*/");
    out
}

/// Percent-encodes all but unreserved characters (RFC 3986, section 2.3): nothing can end the comment or the quote.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{AgentId, UserId};

    #[test]
    fn nothing_in_an_id_can_end_the_comment() {
        assert_eq!(encode("a*/ DROP '"), "a%2A%2F%20DROP%20%27");
        let principal = Principal::on_behalf_of(
            AgentId::parse("bi@agent").expect("valid"),
            UserId::parse("taylor").expect("valid"),
        );
        assert_eq!(
            stamp(&principal, SessionId::from_u128(7)),
            "/*lanyard_agent='bi%40agent',lanyard_session='00000000000000000000000000000007',lanyard_user='taylor'*/"
        );
    }
}
