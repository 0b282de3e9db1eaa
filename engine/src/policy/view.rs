//! The SELECT behind a secured view, and the names made from it (enforcement.md, "Secured views").
//!
//! Must never contain a value of a principal, a key, or an identifier that is not quoted. Called by the judge.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::sqltext::ident;
use crate::catalog::{Column, Relation};
use crate::entitlement::{
    Access, Beneath, Extras, Fingerprint, Leftovers, Operation, SecuredView, ViewColumn,
};

/// An expression of a view, and what views that select it are named after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) sql: Arc<str>,
    digest: [u8; 32],
}

impl Piece {
    pub(crate) fn of(sql: &str) -> Self {
        Self { sql: sql.into(), digest: Sha256::digest(sql.as_bytes()).into() }
    }
}

/// A column of the view.
pub(crate) struct Shown<'a> {
    pub(crate) column: &'a Column,
    /// Its name, quoted.
    pub(crate) name: &'a str,
    /// The mask's expression, or the column itself.
    pub(crate) value: Piece,
    pub(crate) masked: bool,
}

/// Builds the view of one (table, policy shape).
pub(crate) fn build(
    relation: &Relation,
    shown: &[Shown<'_>],
    condition: Option<&str>,
    keys: BTreeSet<String>,
) -> SecuredView {
    let length: usize = shown.iter().map(|s| s.value.sql.len() + s.name.len() + 6).sum();
    let mut select_sql = String::with_capacity(length + condition.map_or(0, str::len) + 192);
    for (n, one) in shown.iter().enumerate() {
        select_sql.push_str(if n == 0 { "SELECT " } else { ", " });
        select_sql.push_str(&one.value.sql);
        select_sql.push_str(" AS ");
        select_sql.push_str(one.name);
    }
    for piece in [" FROM ", &ident(&relation.name.schema), ".", &ident(&relation.name.name), " AS t"] {
        select_sql.push_str(piece);
    }
    if let Some(condition) = condition {
        select_sql.push_str(" WHERE ");
        select_sql.push_str(condition);
    }
    SecuredView {
        name: name(relation, shown, condition),
        select_sql,
        barrier: condition.is_some(),
        columns: shown
            .iter()
            .map(|s| ViewColumn {
                name: s.column.name.clone(),
                type_sql: s.column.type_sql.clone(),
                base_number: s.column.number,
                writable: !s.masked,
                by_prefix: !s.masked && s.column.deterministic && is_text(&s.column.type_sql),
            })
            .collect(),
        keys,
    }
}

/// What the splice needs to know of the table beneath a view.
pub(crate) fn beneath(relation: &Relation, view: &SecuredView, writes: bool) -> Beneath {
    let clear = |name: &String| view.columns.iter().any(|c| c.writable && c.name == *name);
    let key = &relation.primary_key;
    let unique = !key.is_empty() && relation.keys.unique.contains(key);
    let written = || relation.keys.defaults.iter().filter(|(name, _)| clear(name));
    Beneath {
        key: if unique && key.iter().all(clear) { key.clone() } else { Vec::new() },
        childless: !relation.keys.children,
        defaults: writes.then(|| written().map(|(name, sql)| (name.clone(), sql.clone())).collect()),
    }
}

/// The types for which LIKE and `^@` are the same type's operators. Not `character(n)`, whose trailing blanks LIKE sees.
fn is_text(type_sql: &str) -> bool {
    matches!(type_sql, "text" | "character varying")
        || type_sql.starts_with("character varying(") && !type_sql.ends_with("[]")
}

/// Fields with their length in front, so that no two lists of fields look alike.
struct Digester(Sha256);

impl Digester {
    fn field(&mut self, bytes: &[u8]) {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.0.update(length.to_be_bytes());
        self.0.update(bytes);
    }

    /// The first 16 bytes.
    fn cut(self) -> [u8; 16] {
        let mut cut = [0; 16];
        for (to, from) in cut.iter_mut().zip(self.0.finalize()) {
            *to = from;
        }
        cut
    }
}

/// A hash of hashes: of the table's name, of every column that is shown and its expression, and of the condition. So two views of
/// one name are one text, and naming a view costs less than reading it. Columns that are not shown, OIDs and numbers stay out: a
/// table that is made again as it was keeps the names of its views, and a column nobody is shown changes nobody's access. The
/// warehouse adapter sees to what a view of that name reads.
fn name(relation: &Relation, shown: &[Shown<'_>], condition: Option<&str>) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut digest = Digester(Sha256::new());
    digest.field(relation.name.schema.as_bytes());
    digest.field(relation.name.name.as_bytes());
    for one in shown {
        digest.field(one.column.name.as_bytes());
        digest.field(one.column.type_sql.as_bytes());
        digest.field(&one.value.digest);
    }
    match condition {
        Some(condition) => {
            digest.field(b"filtered");
            digest.field(condition.as_bytes());
        }
        None => digest.field(b"all"),
    }
    let mut name = String::with_capacity(34);
    name.push_str("v_");
    for byte in digest.cut() {
        for digit in [byte >> 4, byte & 15] {
            name.push(char::from(HEX[usize::from(digit)]));
        }
    }
    name
}

/// The fingerprint over relations, views, operations and sequences, in order of name.
pub(crate) fn fingerprint(
    relations: &BTreeMap<String, BTreeMap<String, Arc<Access>>>,
    extras: &Extras,
) -> Fingerprint {
    let mut digest = Digester(Sha256::new());
    digest.field(match extras.workspace {
        None => b"",
        Some(Leftovers::Dropped) => b"workspace",
        Some(Leftovers::Kept) => b"workspace kept",
    });
    for list in [&extras.functions, &extras.types] {
        for name in list {
            digest.field(name.schema.as_bytes());
            digest.field(name.name.as_bytes());
        }
        digest.field(b"");
    }
    for extension in &extras.extensions {
        digest.field(extension.as_bytes());
    }
    digest.field(b"");
    // An extension that gained something is another one: the bundle may need rights for it.
    for one in &extras.members {
        for list in [&one.functions, &one.types, &one.operators] {
            for name in list {
                digest.field(name.schema.as_bytes());
                digest.field(name.name.as_bytes());
            }
            digest.field(b"");
        }
    }
    for channel in &extras.channels {
        digest.field(channel.as_bytes());
    }
    digest.field(b"");
    for key in extras.unmask.keys() {
        digest.field(key.as_bytes());
    }
    digest.field(b"");
    for access in relations.values().flat_map(BTreeMap::values) {
        digest.field(access.relation.schema.as_bytes());
        digest.field(access.relation.name.as_bytes());
        digest.field(access.view.name.as_bytes());
        let operations: Vec<u8> = access
            .operations
            .iter()
            .map(|o| match o {
                Operation::Read => b'r',
                Operation::Write => b'w',
            })
            .collect();
        digest.field(&operations);
        for sequence in &access.sequences {
            digest.field(sequence.schema.as_bytes());
            digest.field(sequence.name.as_bytes());
        }
    }
    Fingerprint(digest.cut())
}
