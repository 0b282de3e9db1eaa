//! Ids of mask keys, and the way a view reaches one.
//!
//! Must never put a key into SQL: a view reads it by an uncorrelated scalar subquery, which EXPLAIN shows as a parameter. Called
//! by the masks and by row policies that choose rows by a keyed hash.

use crate::catalog::RelationName;
use crate::names;
use crate::policy::sqltext::literal as quote;

/// The id of the key of all tokens.
pub(crate) const TOKEN: &str = "token";
/// What the ids of keys of reversible masks begin with.
pub(crate) const REVERSIBLE: &str = "reversible:";

/// The id of a table's key for one purpose. A part with a dot or a quote in it is quoted, so that two tables never share an id.
pub(crate) fn of_table(purpose: &str, relation: &RelationName) -> String {
    format!("{purpose}:{}", table(relation))
}

/// A table's name with which no other table can be meant.
pub(crate) fn table(relation: &RelationName) -> String {
    format!("{}.{}", part(&relation.schema), part(&relation.name))
}

/// One part of a dotted name, quoted where it must be.
pub(crate) fn part(name: &str) -> String {
    if name.contains(['.', '"', ',', '(', ')']) {
        crate::policy::sqltext::ident(name)
    } else {
        name.to_owned()
    }
}

/// A value worked out of the key's row `k`, once per statement.
pub(crate) fn read(id: &str, value: &str) -> String {
    let (schema, table, id) = (names::PRIVATE_SCHEMA, names::MASK_KEY_TABLE, quote(id));
    format!("(SELECT {value} FROM {schema}.{table} AS k WHERE k.id = {id})")
}

/// HMAC-SHA256 (RFC 2104) of `bytes`, composed of PostgreSQL's own functions so that it runs in parallel.
pub(crate) fn hmac(id: &str, bytes: &str) -> String {
    let inner = format!("pg_catalog.sha256({} || {bytes})", read(id, "k.inner_pad"));
    format!("pg_catalog.sha256({} || {inner})", read(id, "k.outer_pad"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tables_share_a_key() {
        let names = ["a", "a.b", "b", "a\"", "\"a\"", "", ".", "a\".\"b", "\"\"\"\"", "a,b", "(", ")."];
        let mut seen = std::collections::BTreeMap::new();
        for schema in names {
            for name in names {
                let relation = RelationName::new(schema, name);
                let other = seen.insert(of_table("table", &relation), relation.clone());
                assert_eq!(other, None, "{relation:?}");
            }
        }
        assert_eq!(of_table("table", &RelationName::new("public", "Orders 1")), "table:public.Orders 1");
    }

    #[test]
    fn an_id_is_a_literal() {
        let sql = hmac("table:public.o'rders", "'\\x00'");
        assert!(sql.contains("k.id = 'table:public.o''rders'"), "{sql}");
    }
}
