//! The ciphers against their standards' own vectors.

use super::*;

/// FF1samples.pdf of NIST's Cryptographic Standards and Guidelines: key, tweak (both in hexadecimal), alphabet, plaintext, ciphertext.
const FF1: [(&str, &str, &str, &str, &str); 9] = [
    ("2b7e151628aed2a6abf7158809cf4f3c", "", DIGITS, "0123456789", "2433477484"),
    ("2b7e151628aed2a6abf7158809cf4f3c", "39383736353433323130", DIGITS, "0123456789", "6124200773"),
    (
        "2b7e151628aed2a6abf7158809cf4f3c",
        "3737373770717273373737",
        LOWER,
        "0123456789abcdefghi",
        "a9tv40mll9kdu509eum",
    ),
    ("2b7e151628aed2a6abf7158809cf4f3cef4359d8d580aa4f", "", DIGITS, "0123456789", "2830668132"),
    (
        "2b7e151628aed2a6abf7158809cf4f3cef4359d8d580aa4f",
        "39383736353433323130",
        DIGITS,
        "0123456789",
        "2496655549",
    ),
    (
        "2b7e151628aed2a6abf7158809cf4f3cef4359d8d580aa4f",
        "3737373770717273373737",
        LOWER,
        "0123456789abcdefghi",
        "xbj3kv35jrawxv32ysr",
    ),
    (
        "2b7e151628aed2a6abf7158809cf4f3cef4359d8d580aa4f7f036d6f04fc6a94",
        "",
        DIGITS,
        "0123456789",
        "6657667009",
    ),
    (
        "2b7e151628aed2a6abf7158809cf4f3cef4359d8d580aa4f7f036d6f04fc6a94",
        "39383736353433323130",
        DIGITS,
        "0123456789",
        "1001623463",
    ),
    (
        "2b7e151628aed2a6abf7158809cf4f3cef4359d8d580aa4f7f036d6f04fc6a94",
        "3737373770717273373737",
        LOWER,
        "0123456789abcdefghi",
        "xs8a0azh2avyalyzuwd",
    ),
];
const DIGITS: &str = "0123456789";
const LOWER: &str = "0123456789abcdefghijklmnopqrstuvwxyz";

/// RFC 5297, appendix A: key, associated data, plaintext, output.
const SIV: [(&str, &[&str], &str, &str); 2] = [
    (
        "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
        &["101112131415161718191a1b1c1d1e1f2021222324252627"],
        "112233445566778899aabbccddee",
        "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c",
    ),
    (
        "7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f",
        &[
            "00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100",
            "102030405060708090a0",
            "09f911029d74e35bd84156c5635688c0",
        ],
        "7468697320697320736f6d6520706c61696e7465787420746f20656e6372797074207573696e67205349562d414553",
        "7bdb6e3b432667eb06f4d14bff2fbd0fcb900f2fddbe404326601965c889bf17dba77ceb094fa663b7a3f748ba8af829ea64ad544a272e9c485b62a3fd5c0d",
    ),
];

#[tokio::test]
async fn fpe_is_ff1_of_nist() -> Outcome {
    let shop = Shop::open("masks_ff1").await?;
    let dba = shop.dba().await?;
    for (key, tweak, alphabet, plain, expected) in FF1 {
        let sql = "SELECT lanyard.mask_ff1(decode($1, 'hex'), decode($2, 'hex'), $3, $4)";
        let row = dba.query_one(sql, &[&key, &tweak, &alphabet, &plain]).await?;
        assert_eq!(row.get::<_, &str>(0), expected, "{key} {tweak}");
    }
    Ok(())
}

#[tokio::test]
async fn fpe_is_a_permutation_that_keeps_length_and_alphabet() -> Outcome {
    let shop = Shop::open("masks_ff1_whole").await?;
    let dba = shop.dba().await?;
    // Every value of a small domain comes out once; lengths up to the longest, on every alphabet, stay what they were.
    let row = dba
        .query_one(
            "SELECT count(DISTINCT lanyard.mask_ff1('\\x00112233445566778899aabbccddeeff', '\\x01', '0123456789', lpad(i::text, 3, '0')))
             FROM generate_series(0, 999) i",
            &[],
        )
        .await?;
    assert_eq!(row.get::<_, i64>(0), 1000);
    let alphabets = ["01", "0123456789", "abcdefghijklmnopqrstuvwxyz", LOWER, "äöüßéèø日本語"];
    for alphabet in alphabets {
        let sql = "SELECT n::int, p.v, lanyard.mask_ff1('\\x00112233445566778899aabbccddeeff', '', $1, p.v)
                   FROM unnest(ARRAY[20, 21, 38, 39, 64, 100, 257, 512]) AS n,
                        LATERAL (SELECT string_agg(substr($1, 1 + (i * i + n) % length($1), 1), '' ORDER BY i) AS v
                                 FROM generate_series(1, n) AS i) AS p";
        for row in dba.query(sql, &[&alphabet]).await? {
            let (length, plain, masked): (i32, &str, &str) = (row.get(0), row.get(1), row.get(2));
            assert_eq!(masked.chars().count(), usize::try_from(length)?, "{alphabet} {masked}");
            assert!(masked.chars().all(|c| alphabet.contains(c)) && masked != plain, "{alphabet} {masked}");
        }
    }
    for refused in ["", "1", "12345x", "１２３４５６７"] {
        let row = dba
            .query_one(
                "SELECT lanyard.mask_ff1('\\x00112233445566778899aabbccddeeff', '', '0123456789', $1)",
                &[&refused],
            )
            .await?;
        assert_eq!(row.get::<_, Option<&str>>(0), None, "{refused}");
    }
    Ok(())
}

#[tokio::test]
async fn reversible_is_siv_of_rfc_5297() -> Outcome {
    let shop = Shop::open("masks_siv").await?;
    let dba = shop.dba().await?;
    for (key, associated, plain, expected) in SIV {
        let sql = "SELECT encode(lanyard.mask_siv_seal(s.s, decode($3, 'hex')), 'hex'),
                          encode(lanyard.mask_siv_open(s.s, decode($4, 'hex')), 'hex')
                   FROM (SELECT lanyard.mask_siv_schedule(decode($1, 'hex'),
                           ARRAY(SELECT decode(a.v, 'hex') FROM unnest($2::text[]) WITH ORDINALITY AS a(v, n) ORDER BY a.n))) AS s(s)";
        let row = dba.query_one(sql, &[&key, &associated, &plain, &expected]).await?;
        assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), (expected, plain));
    }
    Ok(())
}

#[tokio::test]
async fn every_length_comes_back_and_every_changed_bit_is_seen() -> Outcome {
    let shop = Shop::open("masks_tamper").await?;
    let dba = shop.dba().await?;
    let row = dba
        .query_one(
            "WITH s AS MATERIALIZED (SELECT lanyard.mask_siv_schedule(sha256('a') || sha256('b'), ARRAY['x'::bytea]) AS s),
             p AS MATERIALIZED (SELECT n, substr(decode(repeat(md5(n::text), 7), 'hex'), 1, n) AS plain FROM generate_series(0, 100) n),
             c AS MATERIALIZED (SELECT n, plain, s, lanyard.mask_siv_seal(s, plain) AS sealed FROM p, s)
             SELECT count(*) FILTER (WHERE length(sealed) = n + 16 AND lanyard.mask_siv_open(s, sealed) = plain), count(DISTINCT sealed),
               (SELECT count(*) FROM c, generate_series(0, 8 * length(c.sealed) - 1) AS bit
                WHERE c.n IN (0, 1, 16, 17, 33) AND lanyard.mask_siv_open(c.s, set_bit(c.sealed, bit, 1 - get_bit(c.sealed, bit))) IS NOT NULL),
               (SELECT count(*) FROM c WHERE lanyard.mask_siv_open(c.s, substr(c.sealed, 1, length(c.sealed) - 1)) IS NOT NULL)
             FROM c",
            &[],
        )
        .await?;
    let (right, distinct, forged, cut): (i64, i64, i64, i64) =
        (row.get(0), row.get(1), row.get(2), row.get(3));
    assert_eq!((right, distinct, forged, cut), (101, 101, 0, 0));
    Ok(())
}
