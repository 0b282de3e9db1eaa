//! What the tests do to SQL text: the rewriter's mapping of catalog names, done crudely, and the fixtures' form.

use lanyard_engine::sql::virtual_catalog;

/// One `--@` of a fixture.
pub(super) struct Asked<'a> {
    pub(super) name: &'a str,
    pub(super) statements: Vec<&'a str>,
}

pub(super) fn fixture(text: &str) -> Vec<Asked<'_>> {
    let mut rest = text;
    let mut all = Vec::new();
    while let Some(at) = rest.find("--@ ") {
        rest = &rest[at + 4..];
        let body = &rest[..rest.find("\n--@ ").unwrap_or(rest.len())];
        let (name, body) = body.split_once('\n').unwrap_or((body, ""));
        let statements = body.split("\n--;").map(str::trim).filter(|s| !s.is_empty()).collect();
        all.push(Asked { name, statements });
    }
    all
}

/// Sends catalog names to the virtual catalog, as the rewriter does. It knows strings and quoted names, not scopes.
pub(super) fn enforce(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len() + 64);
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => rest[1..].find(first).map_or(rest.len(), |end| end + 2),
            'a'..='z' | 'A'..='Z' | '_' => {
                let end = word(rest);
                let (replaced, used) = name(&rest[..end], &rest[end..], out.ends_with('.'));
                out.push_str(&replaced);
                rest = &rest[end + used..];
                continue;
            }
            '0'..='9' => word(rest),
            other => other.len_utf8(),
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out
}

fn word(text: &str) -> usize {
    text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len())
}

/// The text for a name, and how much behind it was read too.
fn name(first: &str, behind: &str, qualified: bool) -> (String, usize) {
    let lower = first.to_ascii_lowercase();
    if let (false, "pg_catalog" | "information_schema", Some(after)) =
        (qualified, lower.as_str(), behind.strip_prefix('.'))
    {
        let end = word(after);
        let second = after[..end].to_ascii_lowercase();
        let stand_in = if after[end..].starts_with('(') {
            virtual_catalog::function(&second).filter(|_| lower == "pg_catalog")
        } else {
            virtual_catalog::relation(&lower, &second)
        };
        return (format!("{}.{}", stand_in.unwrap_or(first), &after[..end]), end + 1);
    }
    let stand_in = if qualified {
        None
    } else if behind.starts_with('(') {
        virtual_catalog::function(&lower)
    } else {
        virtual_catalog::relation("pg_catalog", &lower)
    };
    match stand_in {
        Some(schema) => (format!("{schema}.{first}"), 0),
        None => (first.to_owned(), 0),
    }
}

#[test]
fn names_are_mapped() {
    assert_eq!(
        enforce(
            "SELECT pg_catalog.pg_get_expr(d.adbin, 1), 'pg_class'::regclass FROM pg_class c, pg_catalog.pg_attrdef d"
        ),
        "SELECT lanyard_catalog.pg_get_expr(d.adbin, 1), 'pg_class'::regclass FROM lanyard_catalog.pg_class c, lanyard_catalog.pg_attrdef d"
    );
    assert_eq!(
        enforce("a.pg_class OPERATOR(pg_catalog.~) lower(x)"),
        "a.pg_class OPERATOR(pg_catalog.~) lower(x)"
    );
}
