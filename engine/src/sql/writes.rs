//! INSERT, UPDATE, DELETE and MERGE: their parts, and what of a write can be refused before it is sent.
//!
//! The floor decides over rows and columns: secured views with a check option, rights on columns. This says why in words,
//! and refuses what a view cannot hold back: an upsert looks at rows that are hidden. Called by the walk in `statement`.

use pg_raw_parse::{Node, nodes};

use crate::entitlement::{Access, Operation, RowRule};
use crate::refusal::{Code, Refusal};

use super::edit::Edit;
use super::judge::not_spliced;
use super::own::leftmost;
use super::plan::Change;
use super::resolve::{self, Target};
use super::statement::{Verdict, Walk, offset};
use super::types::plain_name;

impl<'t, 'c> Walk<'t, 'c> {
    pub(super) fn insert(&mut self, insert: &'t nodes::InsertStmt, depth: usize, scope: usize) -> Verdict {
        let scope = self.with(insert.with_clause(), depth, scope);
        let access = self.write(insert.relation())?;
        let named: Vec<Option<&str>> = insert.cols().iter().map(column_name).collect();
        if let Some(access) = access {
            writable(access, named.iter().flatten().copied())?;
            if named.is_empty() {
                let values = match insert.select_stmt() {
                    Node::SelectStmt(select) => width(select),
                    _ => 0,
                };
                writable(access, access.view.columns.iter().take(values).map(|c| c.name.as_str()))?;
            }
        }
        self.push(insert.select_stmt(), depth, scope);
        for column in insert.cols().iter() {
            self.push(column, depth, scope);
        }
        if let Some(conflict) = insert.on_conflict_clause() {
            self.defaults(access, conflict.target_list().iter())?;
            if let Some(access) = access {
                upsert(access)?;
                writable(access, conflict.target_list().iter().filter_map(nodes::ResTarget::name))?;
            }
            self.on_conflict(conflict, depth, scope)?;
        }
        self.returning(insert.returning_clause(), depth, scope);
        Ok(())
    }

    pub(super) fn update(&mut self, update: &'t nodes::UpdateStmt, depth: usize, scope: usize) -> Verdict {
        let scope = self.with(update.with_clause(), depth, scope);
        let access = self.write(update.relation())?;
        if let Some(access) = access {
            writable(access, update.target_list().iter().filter_map(nodes::ResTarget::name))?;
        }
        self.defaults(access, update.target_list().iter())?;
        for target in update.target_list().iter() {
            self.push(target.into(), depth, scope);
        }
        self.push(update.where_clause(), depth, scope);
        for from in update.from_clause().iter() {
            self.push(from, depth, scope);
        }
        self.returning(update.returning_clause(), depth, scope);
        Ok(())
    }

    pub(super) fn delete(&mut self, delete: &'t nodes::DeleteStmt, depth: usize, scope: usize) -> Verdict {
        let scope = self.with(delete.with_clause(), depth, scope);
        self.write(delete.relation())?;
        for using in delete.using_clause().iter() {
            self.push(using, depth, scope);
        }
        self.push(delete.where_clause(), depth, scope);
        self.returning(delete.returning_clause(), depth, scope);
        Ok(())
    }

    pub(super) fn merge(&mut self, merge: &'t nodes::MergeStmt, depth: usize, scope: usize) -> Verdict {
        let scope = self.with(merge.with_clause(), depth, scope);
        let access = self.write(merge.relation())?;
        self.push(merge.source_relation(), depth, scope);
        self.push(merge.join_condition(), depth, scope);
        for when in merge.merge_when_clauses().iter() {
            if let Some(access) = access {
                writable(access, when.target_list().iter().filter_map(column_name))?;
                if when.target_list().is_empty() {
                    let unnamed = access.view.columns.iter().take(when.values().len());
                    writable(access, unnamed.map(|c| c.name.as_str()))?;
                }
            }
            // What an INSERT lists stands in `values`.
            let targets = when.target_list().iter().filter_map(|target| match target {
                Node::ResTarget(target) => Some(target),
                _ => None,
            });
            self.defaults(access, targets)?;
            self.push(when.condition(), depth, scope);
            for node in when.target_list().iter().chain(when.values().iter()) {
                self.push(node, depth, scope);
            }
        }
        self.returning(merge.returning_clause(), depth, scope);
        Ok(())
    }

    /// Splices the relation that is written, and says what policy makes of it.
    fn write(&mut self, relation: Option<&'t nodes::RangeVar>) -> Result<Option<&'c Access>, Refusal> {
        let relation = relation.ok_or_else(not_spliced)?;
        self.relation(relation, Operation::Write, false)?;
        let name = relation.relname().unwrap_or_default();
        let (database, schema) = (relation.catalogname(), relation.schemaname());
        Ok(match resolve::relation(&self.context, self.names.temps(), database, schema, name)? {
            Target::Governed(access) => Some(access),
            Target::Virtual(_) | Target::Own(_) => None,
        })
    }

    /// `SET a = DEFAULT` of a governed table: a secured view has no defaults of its own, so PostgreSQL would write NULL. So the table's
    /// is written out; where it has none, NULL is right. What an INSERT leaves to defaults it takes from the table.
    fn defaults(
        &mut self,
        access: Option<&Access>,
        targets: impl Iterator<Item = &'t nodes::ResTarget>,
    ) -> Verdict {
        const WORD: &str = "DEFAULT";
        let Some(access) = access else { return Ok(()) };
        for target in targets {
            let (Some(default), Some(name)) = (default_of(target), target.name()) else { continue };
            let Some(defaults) = &access.beneath.defaults else { return Err(not_written_out()) };
            let expression = match defaults.get(name) {
                None => continue,
                Some(Some(expression)) if self.has_plain_names() => expression,
                Some(_) => return Err(not_written_out()),
            };
            let at = offset(default.location)?;
            let written = self.text.get(at..at + WORD.len());
            if !written.is_some_and(|word| word.eq_ignore_ascii_case(WORD)) {
                return Err(not_spliced().at(at));
            }
            self.plan.edits.push(Edit::new(at..at + WORD.len(), format!("({expression})")));
            self.plan.changes.push(Change::Default { at, expression: expression.clone() });
        }
        Ok(())
    }

    fn on_conflict(&mut self, conflict: &'t nodes::OnConflictClause, depth: usize, scope: usize) -> Verdict {
        if let Some(infer) = conflict.infer() {
            for element in infer.index_elems().iter() {
                if let Node::IndexElem(element) = element {
                    plain_name(element.collation())?;
                    plain_name(element.opclass())?;
                    self.push(element.expr(), depth, scope);
                } else {
                    self.push(element, depth, scope);
                }
            }
            self.push(infer.where_clause(), depth, scope);
        }
        for target in conflict.target_list().iter() {
            self.push(target.into(), depth, scope);
        }
        self.push(conflict.where_clause(), depth, scope);
        Ok(())
    }

    fn returning(&mut self, clause: Option<&'t nodes::ReturningClause>, depth: usize, scope: usize) {
        for expression in clause.into_iter().flat_map(|c| c.exprs().iter()) {
            self.push(expression, depth, scope);
        }
    }
}

fn column_name(node: Node<'_>) -> Option<&str> {
    match node {
        Node::ResTarget(target) => target.name(),
        _ => None,
    }
}

/// The DEFAULT that a column is set to, by itself or in a row.
fn default_of(target: &nodes::ResTarget) -> Option<&nodes::SetToDefault> {
    let value = match target.val() {
        Node::MultiAssignRef(assign) => match assign.source() {
            Node::RowExpr(row) => row.args().get(usize::try_from(assign.colno - 1).ok()?)?,
            _ => return None,
        },
        value => value,
    };
    match value {
        Node::SetToDefault(default) => Some(default),
        _ => None,
    }
}

fn not_written_out() -> Refusal {
    Refusal::new(Code::Unsupported, "SET … = DEFAULT is not supported for this column")
        .hint("write the value; columns that an INSERT leaves out get their defaults")
}

/// How many columns a query has at least: as many as may be written without being named.
fn width(select: &nodes::SelectStmt) -> usize {
    let select = leftmost(select);
    let rows = select.values_lists().iter().map(|row| match row {
        Node::NodeList(row) => row.len(),
        _ => usize::MAX,
    });
    match rows.max() {
        Some(widest) => widest,
        None if select.target_list().iter().any(|target| has_star(target.val())) => usize::MAX,
        None => select.target_list().len(),
    }
}

fn has_star(node: Node<'_>) -> bool {
    match node {
        Node::ColumnRef(column) => column.fields().iter().any(|field| matches!(field, Node::A_Star(_))),
        Node::A_Indirection(field) => {
            field.indirection().iter().any(|field| matches!(field, Node::A_Star(_)))
        }
        _ => false,
    }
}

/// What is masked is not written: nobody could tell a mask's output from a value.
fn writable<'a>(access: &Access, names: impl Iterator<Item = &'a str>) -> Verdict {
    for name in names {
        if access.view.columns.iter().any(|column| column.name == name && !column.writable) {
            return Err(Refusal::new(
                Code::Policy,
                format!(
                    "column \"{name}\" of \"{}\" is masked for you and cannot be written",
                    access.relation
                ),
            )
            .hint("name the columns you write, and leave this one out"));
        }
    }
    Ok(())
}

/// Looking for a conflict looks at every row, also at those policy hides.
fn upsert(access: &Access) -> Verdict {
    match access.rows {
        RowRule::All => Ok(()),
        RowRule::Filtered { .. } => Err(Refusal::new(
            Code::Unsupported,
            format!(
                "INSERT ... ON CONFLICT is not supported on \"{}\": policy limits its rows",
                access.relation
            ),
        )
        .hint("UPDATE what is there, then INSERT what is missing")),
    }
}
