//! Where PostgreSQL gives several expressions one type, and one of them names objects (`regclass` and its like).
//!
//! Text beside a `regclass` is read as a relation's name, and a number is printed as one: `SELECT to_regclass('orders') UNION
//! SELECT 'x'` would tell what exists, and `… UNION SELECT 16500` what it is called. So beside such an expression only others
//! that were judged, and NULL, may stand. The walk collects; at a statement's end this judges, and only where an expression
//! of such a type is in sight at all. Types are guessed from names alone, so a doubt refuses.

use std::collections::HashSet;

use pg_raw_parse::{Node, nodes};

use crate::limits;
use crate::refusal::{Code, Refusal};

use super::cast::names_objects;
use super::own::leftmost;
use super::statement::Verdict;

/// Deepest expression looked into; below, anything is possible.
const DEPTH_MAX: usize = 40;

/// Columns of system catalogs whose type names objects.
const CATALOG_COLUMNS: &str = "\
    aggcombinefn aggdeserialfn aggfinalfn aggfnoid aggmfinalfn aggminvtransfn aggmtransfn aggserialfn \
    aggtransfn amhandler amproc conproc oprcode oprjoin oprrest prosupport prsend prsheadline prslextype \
    prsstart prstoken rngcanonical rngsubdiff tmplinit tmpllexize trffromsql trftosql typanalyze \
    typinput typmodin typmodout typoutput typreceive typsend typsubscript relid parentrelid data_type";
/// Relations those columns are in, under whose aliases whole rows of them go about.
const CATALOG_RELATIONS: &str = "\
    pg_aggregate pg_am pg_amproc pg_conversion pg_operator pg_proc pg_range pg_transform pg_sequences \
    pg_ts_parser pg_ts_template pg_type";
/// Functions whose result names objects, of the virtual catalog's but for the first.
const FUNCTIONS: [&str; 12] = [
    "pg_typeof",
    "to_regclass",
    "to_regnamespace",
    "to_regproc",
    "to_regprocedure",
    "to_regrole",
    "to_regtype",
    "pg_partition_ancestors",
    "pg_partition_root",
    "pg_partition_tree",
    "pg_filenode_relation",
    "pg_get_replica_identity_index",
];
/// Functions that give these arguments one type.
const UNIFYING: [(&str, &[usize]); 22] = [
    ("lag", &[0, 2]),
    ("lead", &[0, 2]),
    ("array_append", &[0, 1]),
    ("array_cat", &[0, 1]),
    ("array_eq", &[0, 1]),
    ("array_ge", &[0, 1]),
    ("array_gt", &[0, 1]),
    ("array_larger", &[0, 1]),
    ("array_le", &[0, 1]),
    ("array_lt", &[0, 1]),
    ("array_ne", &[0, 1]),
    ("array_position", &[0, 1]),
    ("array_positions", &[0, 1]),
    ("array_prepend", &[0, 1]),
    ("array_remove", &[0, 1]),
    ("array_replace", &[0, 1, 2]),
    ("array_smaller", &[0, 1]),
    ("arraycontained", &[0, 1]),
    ("arraycontains", &[0, 1]),
    ("arrayoverlap", &[0, 1]),
    ("btarraycmp", &[0, 1]),
    ("width_bucket", &[0, 1]),
];

/// What the walk has seen of one statement.
#[derive(Default)]
pub(super) struct Coercions<'t> {
    /// Is there an expression whose type names objects?
    sighted: bool,
    /// Are arrays built?
    arrays: bool,
    names: HashSet<String>,
    /// Functions that are not PostgreSQL's: they may return anything.
    granted: HashSet<&'t str>,
    targets: Vec<&'t nodes::ResTarget>,
    /// Expressions that get one type.
    places: Vec<Vec<Node<'t>>>,
    /// SELECTs that are arms of a set operation.
    arms: Vec<&'t nodes::SelectStmt>,
    /// The leftmost arm of each set operation.
    heads: Vec<&'t nodes::SelectStmt>,
    /// Are there CTEs?
    with: bool,
    /// System catalogs by name.
    catalogs: HashSet<String>,
    values: Vec<&'t nodes::SelectStmt>,
    /// Every VALUES list; its columns are called `column1` and so on.
    lists_of_values: Vec<&'t nodes::SelectStmt>,
    /// Columns that a join merges into one.
    merged: Vec<&'t str>,
    /// Does a join merge columns without naming them?
    natural: bool,
    /// Operands of `||`.
    appended: Vec<[Node<'t>; 2]>,
    /// Operands of an operator; where arrays are built, they get one type.
    operands: Vec<[Node<'t>; 2]>,
    /// New names of columns, of the functions or the query they are of.
    functions: Vec<(Vec<&'t str>, Vec<Node<'t>>)>,
    queries: Vec<(Vec<&'t str>, &'t nodes::SelectStmt)>,
    /// Rows whose fields are read from JSON.
    filled: Vec<Node<'t>>,
    /// Left side and list of an IN.
    lists: Vec<[Node<'t>; 2]>,
}

impl<'t> Coercions<'t> {
    pub(super) fn sight(&mut self) {
        self.sighted = true;
    }

    /// A function that policy lets through.
    pub(super) fn granted(&mut self, name: &'t str) {
        self.sighted = true;
        self.granted.insert(name);
    }

    pub(super) fn place(&mut self, siblings: impl Iterator<Item = Node<'t>>) {
        self.places.push(siblings.collect());
    }

    pub(super) fn target(&mut self, target: &'t nodes::ResTarget) {
        self.targets.push(target);
    }

    pub(super) fn array(&mut self, elements: impl Iterator<Item = Node<'t>>) {
        self.arrays = true;
        self.place(elements);
    }

    /// A system catalog, under this name.
    pub(super) fn catalog(&mut self, relation: &str, known_as: &str) {
        self.catalogs.insert(relation.to_owned());
        if lists(CATALOG_RELATIONS, relation) {
            self.sighted = true;
            self.names.insert(known_as.to_owned());
        }
    }

    /// A column of a governed relation whose type names objects.
    pub(super) fn column(&mut self, name: &str) {
        self.sighted = true;
        self.names.insert(name.to_owned());
    }

    /// Other names for what stands under an alias.
    pub(super) fn renamed(&mut self, alias: Option<&'t nodes::Alias>) {
        if let Some(alias) = alias {
            self.names.extend(alias.colnames().iter().filter_map(Node::as_str).map(str::to_owned));
        }
    }

    /// A function in FROM gives its column the alias's name.
    pub(super) fn function(&mut self, function: &'t nodes::RangeFunction) {
        let calls = function.functions().iter().filter_map(|entry| match entry {
            Node::NodeList(pair) => pair.iter().next(),
            other => Some(other),
        });
        let calls: Vec<Node<'t>> = calls.collect();
        let names = match function.alias() {
            Some(alias) => {
                let columns = alias.colnames().iter().filter_map(Node::as_str);
                alias.aliasname().into_iter().chain(columns).collect()
            }
            // Without one, the column is called as the function is.
            None => calls.iter().filter_map(|call| own_name(*call)).collect(),
        };
        self.functions.push((names, calls));
    }

    /// Other names for a query's columns, in their order.
    pub(super) fn renamed_query(&mut self, names: &'t pg_raw_parse::list::NodeList, query: Node<'t>) {
        self.with = true;
        if let (false, Node::SelectStmt(select)) = (names.is_empty(), query) {
            self.queries.push((names.iter().filter_map(Node::as_str).collect(), select));
        }
    }

    pub(super) fn select(&mut self, select: &'t nodes::SelectStmt) {
        if select.larg().is_some() {
            self.heads.push(leftmost(select));
        }
        for arm in [select.larg(), select.rarg()].into_iter().flatten() {
            if arm.larg().is_none() {
                self.arms.push(arm);
            }
        }
        if select.values_lists().len() > 1 {
            self.values.push(select);
        }
        if !select.values_lists().is_empty() {
            self.lists_of_values.push(select);
        }
    }

    /// A join may merge columns of both sides into one.
    pub(super) fn join(&mut self, join: &'t nodes::JoinExpr) {
        self.natural |= join.is_natural;
        self.merged.extend(join.using_clause().iter().filter_map(nodes::String::sval));
    }

    /// `ARRAY(SELECT …)` builds an array.
    pub(super) fn link(&mut self, link: &'t nodes::SubLink) {
        const ARRAY: u32 = 6;
        self.arrays |= link.sub_link_type == ARRAY;
    }

    pub(super) fn call(&mut self, call: &'t nodes::FuncCall) {
        let name = last_name(call);
        if FUNCTIONS.contains(&name) {
            self.sighted = true;
        }
        if name.starts_with("array_agg") || name == "array_fill" {
            self.arrays = true;
        }
        if let Some((_, unified)) = UNIFYING.iter().find(|(unifying, _)| *unifying == name) {
            let arguments = call.args().iter().map(|argument| match argument {
                Node::NamedArgExpr(named) => named.arg(),
                plain => plain,
            });
            let chosen = arguments.enumerate().filter(|(n, _)| unified.contains(n));
            self.place(chosen.map(|(_, argument)| argument));
        }
        if name.ends_with("populate_record") || name.ends_with("populate_recordset") {
            self.filled.extend(call.args().iter().next());
        }
    }

    pub(super) fn expression(&mut self, expression: &'t nodes::A_Expr) {
        const IN: u32 = 6;
        let sides = [expression.lexpr(), expression.rexpr()];
        if expression.kind == IN {
            self.lists.push(sides);
        } else {
            self.operands.push(sides);
        }
        if expression.name().iter().next_back().and_then(Node::as_str) == Some("||") {
            self.appended.push(sides);
        }
    }

    /// Judges what was collected.
    pub(super) fn judge(mut self) -> Verdict {
        if !self.sighted {
            return Ok(());
        }
        self.names.extend(CATALOG_COLUMNS.split(' ').map(str::to_owned));
        self.spread()?;
        for place in &self.places {
            self.beside(place.iter().copied())?;
        }
        if self.filled.iter().any(|row| !matches!(row, Node::TypeCast(_))) {
            return Err(refused());
        }
        self.columns_beside(&self.arms)?;
        for select in &self.values {
            self.columns_beside(&[select])?;
        }
        for [left, list] in &self.lists {
            let elements = match list {
                Node::NodeList(list) => list.iter().collect(),
                other => vec![*other],
            };
            let all = || elements.iter().copied().chain([*left]);
            if all().any(|node| self.may_name(node, 0)) && all().any(is_bare) {
                return Err(refused());
            }
        }
        if self.natural || self.merged.iter().any(|name| self.names.contains(*name)) {
            return Err(refused());
        }
        if self.arrays {
            for sides in &self.appended {
                self.beside(sides.iter().copied())?;
            }
            for sides in &self.operands {
                if sides.iter().any(|side| self.may_name(*side, 0)) && sides.iter().any(|side| is_bare(*side))
                {
                    return Err(refused());
                }
            }
        }
        Ok(())
    }

    /// Names of output columns that may carry such a type, until there are no more.
    ///
    /// # Errors
    /// 42501 where there is no end to it in sight.
    fn spread(&mut self) -> Verdict {
        for _ in 0..limits::NAME_ROUNDS_MAX {
            let before = self.names.len();
            let mut found = Vec::new();
            for target in &self.targets {
                if self.may_name(target.val(), 0) {
                    found.extend(target.name());
                    found.extend(own_name(target.val()));
                }
            }
            for (names, calls) in &self.functions {
                if calls.iter().any(|call| self.may_name(*call, 0)) {
                    found.extend(names);
                }
            }
            let mut numbered = Vec::new();
            for select in &self.lists_of_values {
                let wide = select.values_lists().iter().map(|row| match row {
                    Node::NodeList(row) => row.len(),
                    _ => 0,
                });
                let columns = 0..wide.max().unwrap_or(0);
                let may = columns.filter(|at| self.column_may_name(select, *at, 0));
                numbered.extend(may.map(|at| format!("column{}", at + 1)));
            }
            for (names, query) in &self.queries {
                let named = names.iter().enumerate();
                found.extend(
                    named.filter(|(at, _)| self.column_may_name(query, *at, 0)).map(|(_, name)| *name),
                );
            }
            self.names.extend(found.into_iter().map(str::to_owned));
            self.names.extend(numbered);
            if self.names.len() == before {
                return Ok(());
            }
        }
        Err(refused())
    }

    /// Expressions that get one type.
    fn beside(&self, siblings: impl Iterator<Item = Node<'t>> + Clone) -> Verdict {
        if siblings.clone().any(|node| self.may_name(node, 0)) && siblings.clone().count() > 1 {
            for node in siblings {
                if !(is_judged(node) || is_null(node)) {
                    return Err(refused());
                }
            }
        }
        Ok(())
    }

    /// The columns of these SELECTs and VALUES lists get one type each; where a star hides which is which, all do.
    fn columns_beside(&self, selects: &[&'t nodes::SelectStmt]) -> Verdict {
        let mut columns: Vec<Vec<Node<'t>>> = Vec::new();
        let mut add = |number: usize, node: Node<'t>| {
            if columns.len() <= number {
                columns.resize_with(number + 1, Vec::new);
            }
            if let Some(column) = columns.get_mut(number) {
                column.push(node);
            }
        };
        let mut starred = false;
        for select in selects {
            for (number, target) in select.target_list().iter().enumerate() {
                starred |= is_star(target.val());
                add(number, target.val());
            }
            for row in select.values_lists().iter() {
                if let Node::NodeList(row) = row {
                    row.iter().enumerate().for_each(|(number, node)| add(number, node));
                }
            }
        }
        if starred {
            // What a star stands for is not looked up: beside another arm anything could be in it, when a name is in sight.
            return if selects.len() > 1 {
                Err(refused())
            } else {
                self.beside_star(columns.iter().flatten().copied())
            };
        }
        let judged = |(number, column): (usize, &Vec<Node<'t>>)| {
            if selects.len() > 1 && self.is_oid(number) {
                Ok(())
            } else {
                self.beside(column.iter().copied())
            }
        };
        columns.iter().enumerate().try_for_each(judged)
    }

    /// Are all arms one chain of set operations, whose first has an `oid` in this column? Then PostgreSQL makes an `oid` of what
    /// the others have there: it is the preferred type of its category (`select_common_type` in parse_coerce.c). pg_dump asks so.
    fn is_oid(&self, number: usize) -> bool {
        const OIDS: &str = "classid objid refclassid refobjid";
        let Some(head) = self.heads.first().filter(|_| !self.with) else { return false };
        let mut from = head.from_clause().iter();
        let of_catalog = match (from.next(), from.next()) {
            (Some(Node::RangeVar(relation)), None) => {
                relation.relname() == Some("pg_depend")
                    && relation.schemaname().is_none_or(|schema| schema == "pg_catalog")
                    && relation.alias().is_none()
                    && self.catalogs.contains("pg_depend")
            }
            _ => false,
        };
        let is_column = head.target_list().get(number).is_some_and(|target| match target.val() {
            Node::ColumnRef(column) => {
                let mut fields = column.fields().iter();
                let name = fields.next().and_then(Node::as_str);
                fields.next().is_none() && name.is_some_and(|name| lists(OIDS, name))
            }
            _ => false,
        });
        of_catalog && is_column && self.heads.iter().all(|other| std::ptr::eq(*other, *head))
    }

    fn beside_star(&self, mut nodes: impl Iterator<Item = Node<'t>>) -> Verdict {
        if nodes.all(|node| is_judged(node) || is_null(node) || is_star(node)) {
            Ok(())
        } else {
            Err(refused())
        }
    }

    /// May this expression be of a type that names objects?
    fn may_name(&self, node: Node<'t>, depth: usize) -> bool {
        if depth > DEPTH_MAX {
            return true;
        }
        let may = |node: Node<'t>| self.may_name(node, depth + 1);
        match node {
            Node::TypeCast(cast) => names_objects(cast.type_name()),
            Node::ColumnRef(column) => {
                let name = column.fields().iter().next_back().and_then(Node::as_str);
                name.is_some_and(|name| self.names.contains(name))
            }
            Node::FuncCall(call) => {
                let name = last_name(call);
                FUNCTIONS.contains(&name)
                    || self.granted.contains(name)
                    || (passes_on(name) && call.args().iter().any(may))
            }
            Node::NamedArgExpr(argument) => may(argument.arg()),
            Node::A_Indirection(indirection) => {
                let field = indirection.indirection().iter().filter_map(Node::as_str).next_back();
                field.is_some_and(|name| self.names.contains(name)) || may(indirection.arg())
            }
            Node::CaseExpr(case) => {
                may(case.defresult())
                    || case.args().iter().any(|when| match when {
                        Node::CaseWhen(when) => may(when.result()),
                        _ => true,
                    })
            }
            Node::CoalesceExpr(call) => call.args().iter().any(may),
            Node::MinMaxExpr(call) => call.args().iter().any(may),
            Node::A_ArrayExpr(array) => array.elements().iter().any(may),
            Node::CollateClause(collate) => may(collate.arg()),
            Node::A_Expr(expression) => {
                // `||`, NULLIF; comparisons make booleans.
                let name = expression.name().iter().next_back().and_then(Node::as_str).unwrap_or_default();
                const NULLIF: u32 = 5;
                (name == "||" || expression.kind == NULLIF)
                    && self.arrays | (expression.kind == NULLIF)
                    && (may(expression.lexpr()) || may(expression.rexpr()))
            }
            Node::SubLink(link) => match link.subselect() {
                Node::SelectStmt(select) => self.select_may_name(select, depth + 1),
                _ => true,
            },
            _ => false,
        }
    }

    fn column_may_name(&self, select: &'t nodes::SelectStmt, at: usize, depth: usize) -> bool {
        if depth > DEPTH_MAX {
            return true;
        }
        let arms = [select.larg(), select.rarg()];
        arms.into_iter().flatten().any(|arm| self.column_may_name(arm, at, depth + 1))
            || select.target_list().iter().any(|t| is_star(t.val()))
            || select.target_list().get(at).is_some_and(|t| self.may_name(t.val(), depth + 1))
            || select.values_lists().iter().any(|row| match row {
                Node::NodeList(row) => row.get(at).is_some_and(|node| self.may_name(node, depth + 1)),
                _ => true,
            })
    }

    fn select_may_name(&self, select: &'t nodes::SelectStmt, depth: usize) -> bool {
        if depth > DEPTH_MAX {
            return true;
        }
        let arms = [select.larg(), select.rarg()];
        arms.into_iter().flatten().any(|arm| self.select_may_name(arm, depth + 1))
            || select.target_list().iter().any(|t| is_star(t.val()) || self.may_name(t.val(), depth + 1))
            || select.values_lists().iter().any(|row| match row {
                Node::NodeList(row) => row.iter().any(|node| self.may_name(node, depth + 1)),
                _ => true,
            })
    }
}

/// Functions whose result has the type of an argument.
fn passes_on(name: &str) -> bool {
    const NAMES: &str = "\
    any_value first_value greatest lag last_value lead least max min mode nth_value percentile_disc \
    trim_array unnest coalesce jsonb_populate_record";
    name.starts_with("array_") || lists(NAMES, name)
}

fn lists(words: &str, wanted: &str) -> bool {
    words.split(' ').any(|word| word == wanted)
}

pub(super) fn last_name(call: &nodes::FuncCall) -> &str {
    call.funcname().iter().next_back().and_then(Node::as_str).unwrap_or_default()
}

/// What PostgreSQL calls an output column that has no name of its own (FigureColname).
fn own_name(node: Node<'_>) -> Option<&str> {
    match node {
        Node::ColumnRef(column) => column.fields().iter().next_back().and_then(Node::as_str),
        Node::FuncCall(call) => Some(last_name(call)),
        Node::TypeCast(cast) => own_name(cast.arg()).or_else(|| {
            let name = cast.type_name()?;
            name.names().iter().next_back()?.sval()
        }),
        Node::A_Indirection(indirection) => {
            let field = indirection.indirection().iter().filter_map(Node::as_str).next_back();
            field.or_else(|| own_name(indirection.arg()))
        }
        Node::CollateClause(collate) => own_name(collate.arg()),
        Node::CaseExpr(case) => own_name(case.defresult()).or(Some("case")),
        Node::CoalesceExpr(_) => Some("coalesce"),
        Node::A_ArrayExpr(_) => Some("array"),
        Node::A_Expr(_) => Some("nullif"),
        Node::SubLink(link) => match link.subselect() {
            Node::SelectStmt(select) => {
                let first = select.target_list().iter().next();
                first.and_then(|target| target.name().or_else(|| own_name(target.val()))).or(Some("array"))
            }
            _ => None,
        },
        _ => None,
    }
}

/// A constant or parameter that says nothing of its type.
fn is_bare(node: Node<'_>) -> bool {
    match node {
        Node::A_Const(constant) => matches!(constant.val(), Some(pg_raw_parse::ConstValue::String(_))),
        Node::ParamRef(_) => true,
        _ => false,
    }
}

fn is_null(node: Node<'_>) -> bool {
    matches!(node, Node::A_Const(constant) if constant.val().is_none())
}

fn is_star(node: Node<'_>) -> bool {
    match node {
        Node::ColumnRef(column) => matches!(column.fields().iter().next_back(), Some(Node::A_Star(_))),
        Node::A_Indirection(row) => matches!(row.indirection().iter().next_back(), Some(Node::A_Star(_))),
        _ => false,
    }
}

/// An expression that the walk itself has judged not to name what is hidden, or that cannot become a name: a type of another
/// category beside a name is an error.
fn is_judged(node: Node<'_>) -> bool {
    const TEXTS: [&str; 4] = ["text", "varchar", "bpchar", "name"];
    match node {
        Node::TypeCast(cast) => {
            let last = cast.type_name().and_then(|name| name.names().iter().next_back()?.sval());
            names_objects(cast.type_name()) || last.is_some_and(|last| TEXTS.contains(&last))
        }
        Node::FuncCall(call) => FUNCTIONS.contains(&last_name(call)),
        _ => false,
    }
}

fn refused() -> Refusal {
    Refusal::new(Code::Policy, "an object's name and another value cannot share a column or an array here")
        .hint("cast the name to text or oid first: x::regclass::text")
}
