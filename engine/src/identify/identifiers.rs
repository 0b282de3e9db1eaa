//! The built-in identifiers: a tag, a test in SQL over one value, and the column names that hint at it.
//!
//! A test is an expression over `v`, the value as trimmed text, never NULL and never empty. Sources: e-mail after
//! RFC 5321's shape, card numbers ISO/IEC 7812 (Luhn), IBAN ISO 13616 (mod 97), national ids as their registries publish
//! the check digits.

use std::sync::OnceLock;

use crate::catalog::Column;

/// What tells one kind of data.
#[derive(Debug)]
pub struct Identifier {
    /// Its name.
    pub id: &'static str,
    /// The tag it proposes.
    pub tag: &'static str,
    /// SQL over `v`; boolean.
    pub test: String,
    /// Words that stand in the names of such columns, between underscores or at the ends.
    words: &'static [&'static str],
    /// How little else passes the test: the higher wins.
    pub(super) specificity: u8,
    /// Many things pass the test: the name must say so too.
    pub(super) needs_name: bool,
    kind: Kind,
}

/// Which columns a test is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Text, and numbers written out.
    TextOrNumber,
    /// Text.
    Text,
    /// Text and network addresses.
    Network,
    /// Text, dates and timestamps.
    Date,
}

impl Identifier {
    /// Could this column hold it, by its type?
    #[must_use]
    pub fn fits(&self, column: &Column) -> bool {
        match self.kind {
            Kind::Text => column.category == 'S',
            Kind::TextOrNumber => matches!(column.category, 'S' | 'N'),
            Kind::Network => matches!(column.category, 'S' | 'I'),
            Kind::Date => matches!(column.category, 'S' | 'D'),
        }
    }

    /// Does the column's name say so? `customer_email`, `emailAddress`, `DOB`.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        let mut spaced = String::with_capacity(name.len() + 4);
        let mut lower = false;
        for c in name.chars() {
            if c.is_uppercase() && lower {
                spaced.push('_');
            }
            lower = c.is_lowercase();
            spaced.extend(c.to_lowercase());
        }
        let bounded = format!("_{}_", spaced.replace(['-', ' ', '.'], "_"));
        self.words.iter().any(|word| bounded.contains(&format!("_{word}_")))
    }
}

/// Digits and letters of `v` alone.
const BARE: &str = "upper(regexp_replace(v, '[^0-9A-Za-z]', '', 'g'))";

/// `pattern` on the bare value, and then a check on `b`, the bare value.
fn checked(pattern: &str, check: &str) -> String {
    // CASE keeps the check from running on what the pattern has ruled out.
    format!(
        "(SELECT CASE WHEN b ~ '{pattern}' THEN {check} ELSE false END FROM (SELECT {BARE} AS b) AS bare)"
    )
}

/// Sum of digit times weight.
fn weighted(weights: &[u8]) -> String {
    let list: Vec<String> = weights.iter().map(u8::to_string).collect();
    format!(
        "(SELECT sum(substr(b, i, 1)::int * (ARRAY[{}])[i]) FROM generate_series(1, {}) AS i)",
        list.join(","),
        weights.len()
    )
}

/// Luhn's sum is a multiple of 10.
const LUHN: &str = "(SELECT sum(CASE WHEN i % 2 = 0 THEN d * 2 / 10 + d * 2 % 10 ELSE d END) % 10 = 0 \
                    FROM (SELECT i, substr(reverse(b), i, 1)::int AS d FROM generate_series(1, length(b)) AS i) AS digits)";

/// ISO 7064 mod 97-10 of the value with its first four characters behind, letters as numbers from 10.
const MOD97: &str = "(SELECT string_agg(CASE WHEN c ~ '[0-9]' THEN c ELSE (ascii(c) - 55)::text END, '' ORDER BY i)::numeric % 97 = 1 \
                     FROM unnest(string_to_array(substr(b, 5) || left(b, 4), NULL)) WITH ORDINALITY AS letters(c, i))";

/// A check digit of CPF at `at`, from the digits before it.
fn cpf_digit(at: u8) -> String {
    let weights: Vec<u8> = (2..=at).rev().collect();
    format!("substr(b, {at}, 1)::int = ({} * 10 % 11) % 10", weighted(&weights))
}

/// `v` without the accents that are frequent in names. Said letter by letter, so that no locale matters.
const PLAIN: &str = "translate(v, \
    'ÁÀÂÄÃÅáàâäãåÉÈÊËéèêëÍÌÎÏíìîïÓÒÔÖÕØóòôöõøÚÙÛÜúùûüÇçÑñŠšŽžÝýŁł', \
    'AAAAAAaaaaaaEEEEeeeeIIIIiiiiOOOOOOooooooUUUUuuuuCcNnSsZzYyLl')";

/// A list of words as a SQL array.
fn dictionary() -> String {
    let words: Vec<String> = include_str!("names.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .map(|word| format!("'{word}'"))
        .collect();
    format!("ARRAY[{}]", words.join(","))
}

/// All of them.
pub fn built_in() -> &'static [Identifier] {
    static ALL: OnceLock<Vec<Identifier>> = OnceLock::new();
    ALL.get_or_init(|| {
        let of = |id, tag, specificity, kind, words, test| Identifier {
            id,
            tag,
            test,
            words,
            specificity,
            needs_name: false,
            kind,
        };
        let names = dictionary();
        let mut all = vec![
            of("iban", "PII.Financial.IBAN", 100, Kind::Text, &["iban"], checked("^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$", MOD97)),
            of("card", "PII.Financial.Card", 95, Kind::TextOrNumber, &["card", "pan", "credit_card", "card_number"],
                checked("^[2-6][0-9]{12,18}$", LUHN)),
            of("email", "PII.Email", 90, Kind::Text, &["email", "mail", "e_mail"],
                "v ~ '^[^@[:space:]]{1,64}@[^@[:space:].]+([.][^@[:space:].]+)+$'".to_owned()),
            of("es_dni", "PII.NationalId", 88, Kind::Text, &["dni", "nif"],
                checked("^[0-9]{8}[A-Z]$", "substr('TRWAGMYFPDXBNJZSQVHLCKE', left(b, 8)::int % 23 + 1, 1) = right(b, 1)")),
            of("it_codice_fiscale", "PII.NationalId", 88, Kind::Text, &["codice_fiscale", "cf"],
                checked("^[A-Z]{6}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z]$", "true")),
            of("uk_nino", "PII.NationalId", 86, Kind::Text, &["nino", "national_insurance"],
                checked("^[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][0-9]{6}[A-D]$", "true")),
            of("fr_nir", "PII.NationalId", 86, Kind::TextOrNumber, &["nir", "insee"],
                checked("^[12][0-9]{14}$", "97 - left(b, 13)::numeric % 97 = right(b, 2)::int")),
            of("br_cpf", "PII.NationalId", 85, Kind::TextOrNumber, &["cpf"],
                checked("^[0-9]{11}$", &format!("b !~ '^(.)\\1*$' AND {} AND {}", cpf_digit(10), cpf_digit(11)))),
            of("pl_pesel", "PII.NationalId", 85, Kind::TextOrNumber, &["pesel"],
                checked("^[0-9]{11}$", &format!("substr(b, 3, 2)::int % 20 BETWEEN 1 AND 12 AND {} % 10 = 0",
                    weighted(&[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1])))),
            of("us_ssn", "PII.NationalId", 84, Kind::Text, &["ssn", "social_security", "social_security_number"],
                "v ~ '^(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}$'".to_owned()),
            of("se_personnummer", "PII.NationalId", 82, Kind::Text, &["personnummer"],
                checked("^[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])[0-9]{4}$", &format!("v ~ '[-+]' AND {LUHN}"))),
            of("nl_bsn", "PII.NationalId", 60, Kind::TextOrNumber, &["bsn", "sofinummer"],
                checked("^[0-9]{9}$", &format!("(SELECT s % 11 = 0 AND s > 0 FROM (SELECT {} - right(b, 1)::int AS s) AS sums)",
                    weighted(&[9, 8, 7, 6, 5, 4, 3, 2])))),
            of("ip", "PII.IPAddress", 80, Kind::Network, &["ip", "ip_address", "client_ip", "remote_addr"],
                "(v ~ '^((25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])[.]){3}(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(/[0-9]{1,2})?$' \
                  OR v ~ '^[0-9A-Fa-f]{0,4}(:[0-9A-Fa-f]{0,4}){2,7}(/[0-9]{1,3})?$')".to_owned()),
            of("birth_date", "PII.BirthDate", 70, Kind::Date, &["dob", "birth", "birthday", "birthdate", "birth_date", "date_of_birth", "born"],
                "CASE WHEN v ~ '^(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])' \
                      THEN left(v, 4)::int BETWEEN 1900 AND extract(year FROM CURRENT_DATE) ELSE false END".to_owned()),
            of("phone", "PII.Phone", 50, Kind::Text, &["phone", "tel", "telephone", "mobile", "cell", "fax", "msisdn"],
                "(v ~ '^([+][0-9]|[(][0-9]|[0-9]{1,4}[-. /()])[-0-9 ()./]{5,20}$' AND v !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' \
                  AND v !~ '^[0-9]{1,3}([.][0-9]{1,3}){3}$' \
                  AND length(regexp_replace(v, '[^0-9]', '', 'g')) BETWEEN 7 AND 15)".to_owned()),
            of("address", "PII.Address", 45, Kind::Text, &["address", "addr", "street"],
                "(v ~* '^[0-9]+[a-z]?[ ,].*\\m(street|st|road|rd|avenue|ave|lane|ln|drive|dr|boulevard|blvd|court|ct|way|place|square|rue|plaza)\\M' \
                  OR v ~* '^(rue|calle|via|avenida|rua|plaza|piazza)\\M.*[0-9]' \
                  OR v ~* '(straße|strasse|str[.]|weg|platz|allee|gata|straat)[ ]*[0-9]+')".to_owned()),
            of("person_name", "PII.Name", 40, Kind::Text, &["lastname", "last_name", "firstname", "first_name", "surname", "full_name", "fullname", "given_name", "family_name", "customer_name"],
                format!("(SELECT length(v) < 80 AND n ~ '^[A-Z][^0-9@]*$' \
                          AND (lower(substring(n FROM '^[A-Za-z]+')) = ANY({names}) OR lower(substring(n FROM '[A-Za-z]+$')) = ANY({names})) \
                          FROM (SELECT {PLAIN} AS n) AS plain)")),
        ];
        for identifier in &mut all {
            // Every date could be somebody's birthday, and one number in eleven is a BSN.
            identifier.needs_name = matches!(identifier.id, "birth_date" | "nl_bsn");
        }
        all
    })
}
