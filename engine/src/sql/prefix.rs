//! `LIKE 'abc%'` through a view that filters rows: the index is won back.
//!
//! A security barrier lets only leakproof operators below the filter, so LIKE reads every row that passes it. `^@` ("begins with")
//! is leakproof and can drive an index. So in front of `c LIKE 'abc%'` we put what it implies, `c ^@ 'abc'`, and keep the LIKE: where
//! the LIKE is true the other is true, where it is false the conjunction is false, and NULL stays NULL; so rows are the same wherever
//! it stands. That holds for text compared byte by byte, so only where [`by_prefix`](crate::entitlement::ViewColumn) says so.
//!
//! It must never touch a LIKE whose column it is not sure of: then the statement goes as it is, and is slow. Called by the walk in
//! `statement`; `verify` knows the edit.

use pg_raw_parse::nodes::A_Expr_Kind::AEXPR_LIKE;
use pg_raw_parse::{ConstValue, Node, nodes};

use crate::entitlement::Access;

use super::edit::Edit;
use super::plan::Change;
use super::resolve::{self, Target, quote};
use super::scan;
use super::statement::{Verdict, Walk, offset};

/// Most joined relations looked through for a column's own.
const RELATIONS_MAX: usize = 64;

impl<'t, 'c> Walk<'t, 'c> {
    /// Looks at the conditions that a SELECT's rows must all meet.
    pub(super) fn prefixes(&mut self, select: &'t nodes::SelectStmt, scope: usize) -> Verdict {
        let mut likes = Vec::new();
        match select.where_clause() {
            Node::A_Expr(like) => likes.push(like),
            Node::BoolExpr(all) if all.boolop == nodes::BoolExprType::AND_EXPR => {
                likes.extend(all.args().iter().filter_map(|arg| match arg {
                    Node::A_Expr(like) => Some(like),
                    _ => None,
                }));
            }
            _ => {}
        }
        likes.retain(|like| is_like(like));
        if likes.is_empty() || !self.has_plain_names() {
            return Ok(());
        }
        let relations = self.filtered(select, scope);
        for like in likes {
            if let Some(found) = self.implied(like, &relations) {
                self.imply(found)?;
            }
        }
        Ok(())
    }

    /// Do the bare names of PostgreSQL's own operators and functions mean those? Their schema is looked in first unless a path
    /// names it.
    pub(super) fn has_plain_names(&self) -> bool {
        !self.context.search_path.iter().any(|schema| schema == "pg_catalog")
    }

    /// What stands in FROM, by the name it goes by; absent where a bare column could be anything's.
    fn filtered(&self, select: &'t nodes::SelectStmt, scope: usize) -> Relations<'t, 'c> {
        let mut relations = Relations { named: Vec::new(), alone: select.from_clause().len() == 1 };
        let mut open: Vec<Node<'t>> = select.from_clause().iter().collect();
        while let Some(node) = open.pop() {
            match node {
                Node::RangeVar(relation) => {
                    if relations.named.len() == RELATIONS_MAX {
                        return Relations { named: Vec::new(), alone: false };
                    }
                    let governed = self.governed_in_from(relation, scope);
                    relations.named.extend(governed.filter(|(_, access)| access.view.barrier));
                }
                Node::JoinExpr(join) => {
                    relations.alone = false;
                    open.extend([join.larg(), join.rarg()]);
                }
                _ => relations.alone = false,
            }
        }
        relations
    }

    /// A governed relation of FROM, by the name it goes by; absent where its columns may have other names.
    pub(super) fn governed_in_from(
        &self,
        relation: &'t nodes::RangeVar,
        scope: usize,
    ) -> Option<(&'t str, &'c Access)> {
        let name = relation.relname()?;
        let (catalog, schema) = (relation.catalogname(), relation.schemaname());
        if schema.is_none() && self.is_cte(name, scope) {
            return None;
        }
        let target = resolve::relation(&self.context, self.names.temps(), catalog, schema, name);
        let Ok(Target::Governed(access)) = target else {
            return None;
        };
        let goes_by = match relation.alias() {
            None => name,
            Some(alias) if !alias.colnames().is_empty() => return None,
            Some(alias) => alias.aliasname()?,
        };
        Some((goes_by, access))
    }

    /// The LIKE with its column and prefix, where all is plain.
    fn implied(&self, like: &'t nodes::A_Expr, relations: &Relations<'t, 'c>) -> Option<Implied<'t>> {
        let (Node::ColumnRef(column), Node::A_Const(constant)) = (like.lexpr(), like.rexpr()) else {
            return None;
        };
        let names: Vec<&str> = column.fields().iter().map(Node::as_str).collect::<Option<_>>()?;
        let (access, name) = match names.as_slice() {
            [name] if relations.alone => (relations.named.first()?.1, *name),
            [table, name] => {
                let mut of_name = relations.named.iter().filter(|(goes_by, _)| goes_by == table);
                match (of_name.next(), of_name.next()) {
                    (Some((_, access)), None) => (*access, *name),
                    _ => return None,
                }
            }
            _ => return None,
        };
        access.view.columns.iter().find(|column| column.name == name && column.by_prefix)?;
        let Some(ConstValue::String(pattern)) = constant.val() else {
            return None;
        };
        let prefix = pattern.split(['%', '_', '\\']).next().filter(|prefix| !prefix.is_empty())?;
        Some(Implied { like, column, names, constant, pattern, prefix })
    }

    fn imply(&mut self, found: Implied<'t>) -> Verdict {
        let (at, from) = (offset(found.like.location)?, offset(found.column.location)?);
        let literal = offset(found.constant.location)?;
        let (pattern, prefix) = (literal_sql(found.pattern), literal_sql(found.prefix));
        // Written in another way than `column LIKE '…'`: the statement stays as it is.
        let bytes = self.text.as_bytes();
        let plain = |to: &usize| {
            scan::name_end(self.text, from, found.names.len()).and_then(|end| scan::skip_space(bytes, end))
                == Some(at)
                && scan::skip_space(bytes, at + "LIKE".len()) == Some(literal)
                && self.text.get(literal..*to) == Some(pattern.as_str())
        };
        let Some(to) = scan::string_end(self.text, literal).filter(plain) else {
            return Ok(());
        };
        let column = found.names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(".");
        let implied = format!("({column} OPERATOR(pg_catalog.^@) {prefix} AND ");
        self.plan.edits.push(Edit::new(from..from, implied));
        self.plan.edits.push(Edit::new(to..to, ")"));
        self.plan.changes.push(Change::Prefix { at, column, pattern, prefix });
        Ok(())
    }
}

/// Relations whose rows policy filters, by the names they go by.
struct Relations<'t, 'a> {
    named: Vec<(&'t str, &'a Access)>,
    /// Is one of them all that FROM has, so that a bare column is its?
    alone: bool,
}

struct Implied<'t> {
    like: &'t nodes::A_Expr,
    column: &'t nodes::ColumnRef,
    names: Vec<&'t str>,
    constant: &'t nodes::A_Const,
    pattern: &'t str,
    prefix: &'t str,
}

fn is_like(expression: &nodes::A_Expr) -> bool {
    let mut name = expression.name().iter();
    expression.kind == AEXPR_LIKE && name.next().and_then(Node::as_str) == Some("~~") && name.next().is_none()
}

/// A string as a literal; `standard_conforming_strings` is on.
fn literal_sql(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
