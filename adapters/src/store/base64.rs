//! Base64 (RFC 4648 §4 and §5), as verifiers and keys need it: strict, canonical, small.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn encode_with(alphabet: &[u8; 64], bytes: &[u8], pad: &str) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().enumerate().fold(0u32, |group, (i, &b)| group | u32::from(b) << (16 - 8 * i));
        for digit in 0..4 {
            if digit <= chunk.len() {
                let index = (group >> (18 - 6 * digit)) & 63;
                text.push(char::from(alphabet[index as usize]));
            } else {
                text.push_str(pad);
            }
        }
    }
    text
}

/// With `+`, `/` and padding (§4).
pub(super) fn encode(bytes: &[u8]) -> String {
    encode_with(STANDARD, bytes, "=")
}

/// With `-`, `_`, without padding (§5).
pub(super) fn encode_url(bytes: &[u8]) -> String {
    encode_with(URL, bytes, "")
}

/// Reads §4; nothing but the one canonical spelling.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for chunk in text.as_bytes().chunks(4) {
        let data = chunk.iter().take_while(|&&b| b != b'=').count();
        if chunk.len() != 4 || data < 2 {
            return None;
        }
        let mut group = 0u32;
        for &digit in &chunk[..data] {
            let value = STANDARD.iter().position(|&b| b == digit)?;
            group = group << 6 | u32::try_from(value).ok()?;
        }
        group <<= 6 * (4 - data);
        bytes.extend_from_slice(&group.to_be_bytes()[1..data]);
    }
    // One check covers padding in the middle, '=' followed by digits and stray low bits.
    (encode(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_rfc_4648() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(plain.as_bytes()), coded);
            assert_eq!(decode(coded).as_deref(), Some(plain.as_bytes()));
            assert_eq!(encode_url(plain.as_bytes()), coded.trim_end_matches('='));
        }
        assert_eq!(encode(&[0xfb, 0xff]), "+/8=");
        assert_eq!(encode_url(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn only_the_canonical_spelling_is_read() {
        for bad in [
            "Z", "Zg", "Zg=", "Zh==", "Zm9", "Zm9=", "Z===", "====", "Zg==Zg==", "Zm 9", "Zm9v\n", "-_8=",
            "Zg=v",
        ] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }
}
