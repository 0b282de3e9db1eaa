//! Masks with a key: `hash`, `reversible`, `fpe`, `token`.
//!
//! Must never put a key into SQL; what needs code calls a function of the private schema that takes the key as an argument.
//! Called by `mask::apply`.

use std::collections::BTreeSet;

use super::{Fitted, key, text_of};
use crate::catalog::RelationName;
use crate::names;
use crate::policy::sqltext::literal as quote;
use crate::policy::types::SqlType;

/// Hexadecimal digits of SHA-256.
const HASH_CHARS: u32 = 64;
/// Fewer would let values collide.
const HASH_CHARS_MIN: u32 = 32;
/// What stands in front of a token.
const TOKEN_PREFIX: &str = "tok_";
/// Bytes of the synthetic IV of AES-SIV.
const IV_BYTES: u32 = 16;
/// Digits kept free for a key's version.
const VERSION_CHARS_MAX: u32 = 6;
/// Smallest domain of format-preserving encryption (NIST SP 800-38G).
const FPE_DOMAIN_MIN: f64 = 1e6;

/// HMAC (RFC 2104) from two pads that only the view's owner can read.
pub(super) fn hash(
    joinable: Option<&str>,
    relation: &RelationName,
    raw: &str,
    found: SqlType,
    keys: &mut BTreeSet<String>,
) -> Fitted {
    let text = text_of(raw, found)?;
    let length = found.length().unwrap_or(HASH_CHARS).min(HASH_CHARS);
    if length < HASH_CHARS_MIN {
        return Err(format!("a hash has at least {HASH_CHARS_MIN} characters, the column holds {length}"));
    }
    let id = match joinable {
        Some(group) => format!("group:{group}"),
        None => key::of_table("table", relation),
    };
    let digest = key::hmac(&id, &format!("pg_catalog.convert_to({text}, 'UTF8')"));
    keys.insert(id);
    let digest = format!("pg_catalog.encode({digest}, 'hex')");
    Ok(if length < HASH_CHARS { format!("pg_catalog.left({digest}, {length})") } else { digest })
}

/// AES-SIV (RFC 5297) with the key's name and version in front, which are authenticated too.
pub(super) fn reversible(name: &str, raw: &str, found: SqlType, keys: &mut BTreeSet<String>) -> Fitted {
    let text = text_of(raw, found)?;
    let id = format!("{}{name}", key::REVERSIBLE);
    let prefix = format!("{} || k.version || '.'", quote(&format!("{name}.")));
    let schedule =
        format!("{}.mask_reversible_schedule(k.inner_pad, k.outer_pad, {prefix})", names::PRIVATE_SCHEMA);
    let front = u32::try_from(name.chars().count()).unwrap_or(u32::MAX).saturating_add(2 + VERSION_CHARS_MAX);
    let value = format!("{} || {}", key::read(&id, &prefix), sealed(&key::read(&id, &schedule), &text));
    keys.insert(id);
    fitting(value, &text, front, found)
}

/// One key for all: equal values give a subject equal tokens, wherever they stand, and another subject others.
pub(super) fn token(raw: &str, found: SqlType, keys: &mut BTreeSet<String>) -> Fitted {
    let schema = names::PRIVATE_SCHEMA;
    let subject = format!(
        "(SELECT a.value FROM {schema}.{} AS a WHERE a.role = session_user AND a.key = {})",
        names::SESSION_ATTRIBUTE_TABLE,
        quote(names::SUBJECT_ATTRIBUTE)
    );
    let id = key::TOKEN.to_owned();
    if found == SqlType::Uuid {
        let key = key::read(&id, &format!("{schema}.mask_token_key(k.inner_pad, k.outer_pad, {subject})"));
        keys.insert(id);
        let block = format!("{schema}.mask_aes_ecb(pg_catalog.uuid_send({raw}), {key})");
        return Ok(format!("CAST(pg_catalog.encode({block}, 'hex') AS uuid)"));
    }
    let text = text_of(raw, found).map_err(|_| "it is for text and uuids only".to_owned())?;
    let schedule =
        key::read(&id, &format!("{schema}.mask_token_schedule(k.inner_pad, k.outer_pad, {subject})"));
    keys.insert(id);
    let value = format!("{} || {}", quote(TOKEN_PREFIX), sealed(&schedule, &text));
    fitting(value, &text, u32::try_from(TOKEN_PREFIX.len()).unwrap_or(u32::MAX), found)
}

fn sealed(schedule: &str, text: &str) -> String {
    let schema = names::PRIVATE_SCHEMA;
    format!("{schema}.mask_base64({schema}.mask_siv_seal({schedule}, pg_catalog.convert_to({text}, 'UTF8')))")
}

/// What is encrypted grows: values whose encrypted form the column does not hold are NULL.
fn fitting(value: String, text: &str, front: u32, found: SqlType) -> Fitted {
    let Some(length) = found.length() else {
        return Ok(value);
    };
    let bytes = (length.saturating_sub(front) * 3 / 4).saturating_sub(IV_BYTES);
    if bytes == 0 {
        let least = front + (IV_BYTES + 1) * 4 / 3 + 1;
        return Err(format!("it needs at least {least} characters, the column holds {length}"));
    }
    Ok(format!("CASE WHEN pg_catalog.octet_length({text}) <= {bytes} THEN {value} END"))
}

/// FF1 (NIST SP 800-38G) over the letters of the alphabet; blanks and punctuation stay where they are.
pub(super) fn fpe(
    alphabet: &str,
    relation: &RelationName,
    column: &str,
    raw: &str,
    found: SqlType,
    keys: &mut BTreeSet<String>,
) -> Fitted {
    let text = text_of(raw, found)?;
    let radix = u32::try_from(alphabet.chars().count()).unwrap_or(u32::MAX);
    if let Some(length) = found.length()
        && f64::from(radix).powf(f64::from(length)) < FPE_DOMAIN_MIN
    {
        return Err(format!("{length} characters of this alphabet make fewer than 10^6 values"));
    }
    let (schema, letters) = (names::PRIVATE_SCHEMA, quote(alphabet));
    let id = key::of_table("fpe", relation);
    let secret = key::read(&id, &format!("{schema}.mask_subkey(k.inner_pad, k.outer_pad, 'ff1')"));
    keys.insert(id);
    // The tweak: equal values of two columns are not seen to be equal.
    let tweak = format!("pg_catalog.convert_to({}, 'UTF8')", quote(column));
    let plain = format!("{schema}.mask_letters({letters}, {text})");
    Ok(format!(
        "{schema}.mask_merge({letters}, {text}, {schema}.mask_ff1({secret}, {tweak}, {letters}, {plain}))"
    ))
}
