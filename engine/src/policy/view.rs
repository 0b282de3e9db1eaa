//! The SELECT behind a secured view, and the names made from it (enforcement.md, "Secured views").
//!
//! Must never contain a value of a principal, a key, or an identifier that is not quoted. Called by the judge.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::sqltext::ident;
use crate::catalog::{Column, Relation};
use crate::entitlement::{Access, Extras, Fingerprint, Leftovers, Operation, SecuredView, ViewColumn};

/// A column of the view.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    pub(crate) column: &'a Column,
    /// The mask's expression; the column itself without.
    pub(crate) masked: Option<String>,
}

/// Builds the view of one (table, policy shape).
pub(crate) fn build(
    relation: &Relation,
    shown: &[Shown<'_>],
    condition: Option<&str>,
    keys: BTreeSet<String>,
) -> SecuredView {
    let list: Vec<String> = shown
        .iter()
        .map(|s| {
            let name = ident(&s.column.name);
            match &s.masked {
                Some(sql) => format!("{sql} AS {name}"),
                None => format!("t.{name} AS {name}"),
            }
        })
        .collect();
    let mut select_sql = format!(
        "SELECT {} FROM {}.{} AS t",
        list.join(", "),
        ident(&relation.name.schema),
        ident(&relation.name.name)
    );
    if let Some(condition) = condition {
        select_sql.push_str(" WHERE ");
        select_sql.push_str(condition);
    }
    let barrier = condition.is_some();
    SecuredView {
        name: name(shown, &select_sql, barrier),
        select_sql,
        barrier,
        columns: shown
            .iter()
            .map(|s| ViewColumn {
                name: s.column.name.clone(),
                type_sql: s.column.type_sql.clone(),
                base_number: s.column.number,
                writable: s.masked.is_none(),
            })
            .collect(),
        keys,
    }
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

/// Columns that are not shown, OIDs and numbers stay out: a table that is made again as it was keeps the names of its views,
/// and a column nobody is shown changes nobody's access. The warehouse adapter sees to what a view of that name reads.
fn name(shown: &[Shown<'_>], select_sql: &str, barrier: bool) -> String {
    let mut digest = Digester(Sha256::new());
    digest.field(select_sql.as_bytes());
    digest.field(&[u8::from(barrier)]);
    for Shown { column, .. } in shown {
        digest.field(column.name.as_bytes());
        digest.field(column.type_sql.as_bytes());
    }
    let mut name = String::from("v_");
    for byte in digest.cut() {
        // INVARIANT: writing to a String does not fail.
        write!(name, "{byte:02x}").expect("a String takes everything");
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
