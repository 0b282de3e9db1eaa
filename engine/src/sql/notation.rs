//! `x.name`, where `x` is a function in FROM: PostgreSQL looks for a column of that name and, where there is none, calls a
//! function or casts to a type of that name, with the value of `x` (`FROM generate_series(4, 4) x` and `x.leak`).
//!
//! No list of functions stands in the way of such a call. So what is written behind the name of a function in FROM must be a
//! column that it surely has: one that its alias names, one that PostgreSQL's own function returns, or, where the function may
//! return a row of a table, one that policy shows.
//! The walk collects; at a statement's end this judges. Names of one level of a query reach into those below, so every level
//! around a reference counts, also where PostgreSQL would stop at a nearer one. Called by the walk in `statement`.

use std::collections::{HashMap, HashSet};

use pg_raw_parse::{Node, nodes};

use crate::entitlement::Entitlement;
use crate::refusal::{Code, Refusal};

use super::coercion::last_name;
use super::reference::EXPAND_ARRAY;
use super::statement::Verdict;
use super::{functions, virtual_catalog};

/// Functions of PostgreSQL's own whose columns have names of their own, whatever the alias is, and those names in
/// their order.
const RESULTS: [(&str, &str); 11] = [
    ("json_each json_each_text jsonb_each jsonb_each_text", "key value"),
    ("json_array_elements json_array_elements_text jsonb_array_elements jsonb_array_elements_text", "value"),
    ("aclexplode", "grantor grantee privilege_type is_grantable"),
    ("pg_options_to_table", "option_name option_value"),
    ("pg_get_keywords", "word catcode barelabel catdesc baredesc"),
    ("pg_partition_ancestors", "relid"),
    ("pg_partition_tree", "relid parentrelid isleaf level"),
    ("ts_debug", "alias description token dictionaries dictionary lexemes"),
    ("ts_parse", "tokid token"),
    ("ts_token_type", "tokid alias description"),
    (EXPAND_ARRAY, "x n"),
];

/// Functions of PostgreSQL's own that may return the row of a table.
const ROWS: &str =
    "unnest json_populate_record json_populate_recordset jsonb_populate_record jsonb_populate_recordset";

/// A column reference of more than one part.
struct Reference<'t> {
    /// What stands in front of the last point.
    of: &'t str,
    /// What stands behind it.
    name: &'t str,
    location: i32,
    level: usize,
}

/// A function in FROM.
struct Source<'t> {
    /// The columns it surely has.
    columns: Vec<&'t str>,
    /// May it return a row of a table, whose columns are not listed?
    row: bool,
}

/// What the walk has seen of one statement. Levels are the walk's scopes.
#[derive(Default)]
pub(super) struct Notations<'t> {
    /// Functions in FROM by level and by what they go by.
    sources: HashMap<(usize, &'t str), Vec<Source<'t>>>,
    references: Vec<Reference<'t>>,
}

impl<'t> Notations<'t> {
    /// A column reference. What stands before a relation's name is spliced out, so its last two parts count.
    pub(super) fn reference(&mut self, column: &'t nodes::ColumnRef, level: usize) {
        let mut parts = column.fields().iter().rev().map(Node::as_str);
        if let (Some(Some(name)), Some(Some(of))) = (parts.next(), parts.next()) {
            self.references.push(Reference { of, name, location: column.location, level });
        }
    }

    /// A function in FROM. Several side by side, and one with ordinality, make a row, which no such call takes.
    ///
    /// # Errors
    /// 0A000 for an expression that goes by a name only PostgreSQL knows.
    pub(super) fn function(&mut self, function: &'t nodes::RangeFunction, level: usize) -> Verdict {
        let mut entries = function.functions().iter();
        let (Some(entry), None, false) = (entries.next(), entries.next(), function.ordinality) else {
            return Ok(());
        };
        let (call, list) = match entry {
            Node::NodeList(pair) => (pair.iter().next().unwrap_or(Node::None), pair.iter().nth(1)),
            call => (call, None),
        };
        let name = match (function.alias().map(nodes::Alias::aliasname), call) {
            (Some(name), _) => name.unwrap_or_default(),
            (None, Node::FuncCall(call)) => last_name(call),
            (None, _) => {
                return Err(Refusal::new(Code::Unsupported, "this expression in FROM needs a name")
                    .hint("write FROM … AS x(a)"));
            }
        };
        let given = function.alias().into_iter().flat_map(|alias| alias.colnames().iter());
        let mut columns: Vec<&'t str> = given.filter_map(Node::as_str).collect();
        let named = columns.len();
        columns.extend(results(call).skip(named).map(|column| -> &'t str { column }));
        columns.extend(function.coldeflist().iter().filter_map(nodes::ColumnDef::colname));
        if let Some(Node::NodeList(list)) = list {
            columns.extend(list.iter().filter_map(|column| match column {
                Node::ColumnDef(column) => column.colname(),
                _ => None,
            }));
        }
        if named == 0 && keeps_its_name(call) {
            columns.push(name);
        }
        let source = Source { columns, row: may_be_row(call) };
        self.sources.entry((level, name)).or_default().push(source);
        Ok(())
    }

    /// Judges what was collected. `outer` has for each level the one around it, which stands before it.
    ///
    /// # Errors
    /// 0A000 where a name may be that of a function or a type.
    pub(super) fn judge(&self, outer: impl Iterator<Item = usize>, entitlement: &Entitlement) -> Verdict {
        if self.sources.is_empty() {
            return Ok(());
        }
        let with_sources: HashSet<usize> = self.sources.keys().map(|(level, _)| *level).collect();
        // For each level: the nearest with a function in FROM, itself or around it, and the level around that.
        let mut nearest: Vec<Option<(usize, usize)>> = Vec::new();
        for (level, outer) in outer.enumerate() {
            let around = nearest.get(outer).copied().flatten();
            nearest.push(if with_sources.contains(&level) { Some((level, outer)) } else { around });
        }
        let mut shown: Option<HashSet<&str>> = None;
        for reference in &self.references {
            let mut at = nearest.get(reference.level).copied().flatten();
            while let Some((level, outer)) = at {
                let mut sources = self.sources.get(&(level, reference.of)).into_iter().flatten();
                let is_column = |source: &Source<'_>| {
                    source.columns.contains(&reference.name)
                        || source.row
                            && shown
                                .get_or_insert_with(|| shown_columns(entitlement))
                                .contains(reference.name)
                };
                if !sources.all(is_column) {
                    return Err(unknown(reference));
                }
                at = nearest.get(outer).copied().flatten().filter(|_| outer != level);
            }
        }
        Ok(())
    }
}

fn shown_columns(entitlement: &Entitlement) -> HashSet<&str> {
    entitlement.iter().flat_map(|a| &a.view.columns).map(|column| column.name.as_str()).collect()
}

fn unknown(reference: &Reference<'_>) -> Refusal {
    let Reference { of, name, location, .. } = reference;
    let refusal =
        Refusal::new(Code::Unsupported, format!("column \"{name}\" of a function in FROM is not known here"))
            .hint(format!("name its columns: FROM … AS {of}(a, b)"));
    match usize::try_from(*location) {
        Ok(at) => refusal.at(at),
        Err(_) => refusal,
    }
}

/// What its columns are called, where that is known.
fn results(call: Node<'_>) -> impl Iterator<Item = &'static str> + use<> {
    let name = match call {
        Node::FuncCall(call) => last_name(call),
        _ => "",
    };
    let columns = RESULTS.iter().find(|(functions, _)| functions.split(' ').any(|one| one == name));
    columns.into_iter().flat_map(|(_, columns)| columns.split(' '))
}

/// Does it surely return one column without a name? What is not PostgreSQL's own may name it.
fn keeps_its_name(call: Node<'_>) -> bool {
    is_built_in(call) && results(call).next().is_none()
}

/// May it return the row of a table?
fn may_be_row(call: Node<'_>) -> bool {
    match call {
        Node::FuncCall(function) => {
            !is_built_in(call) || ROWS.split(' ').any(|one| one == last_name(function))
        }
        _ => false,
    }
}

fn is_built_in(call: Node<'_>) -> bool {
    match call {
        Node::FuncCall(call) => {
            let name = last_name(call);
            functions::is_allowed(name) || virtual_catalog::function(name).is_some()
        }
        _ => true,
    }
}
