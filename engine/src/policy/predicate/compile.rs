//! A predicate as SQL over one table, under the alias `t`.
//!
//! Must never depend on a principal's values (views are shared), nor on a setting a session may change (DateStyle,
//! TimeZone), nor be able to fail on a value (an error message would carry a hidden one). Called by the judge and `check`.
//! Recursion is bounded by the depth the reader keeps.

use std::collections::{BTreeMap, BTreeSet};

use super::fitting::{cast_is_safe, cast_target, count, literal_as, literal_type, widest};
use super::{Attribute, Case, CastType, Comparison, Expr, Formula, Function, Literal, Polarity, Truth};
use crate::catalog::{Catalog, Column, Relation, RelationName, TagPath};
use crate::names;
use crate::policy::sqltext::{ident, literal as quote};
use crate::policy::text::diagnostic::{Problem, did_you_mean};
use crate::policy::text::words;
use crate::policy::types::{Family, SqlType};

/// A predicate on one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compiled {
    /// A boolean expression; TRUE, FALSE or NULL.
    pub(crate) sql: String,
    /// Keys of `session_attribute` that it reads.
    pub(crate) reads: BTreeMap<String, Read>,
}

/// One open reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) attribute: Attribute,
    /// Values that do not read as this type count as absent.
    pub(crate) as_type: SqlType,
}

/// Where the values of attributes come from.
pub(crate) enum Values<'a> {
    /// From `session_attribute`, at run time.
    Open,
    /// Filled in, for people to read.
    Filled(&'a dyn Fn(&Attribute, SqlType) -> Vec<String>),
}

/// What a predicate is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ground<'a> {
    /// Where lookups look.
    pub(crate) catalog: &'a Catalog,
    /// The table.
    pub(crate) relation: &'a Relation,
    /// Its alias; a plain word.
    pub(crate) alias: &'a str,
    /// What `@column` is.
    pub(crate) masked: Option<&'a Column>,
}

impl<'a> Ground<'a> {
    /// A table under the alias `t`.
    pub(crate) fn of(catalog: &'a Catalog, relation: &'a Relation) -> Self {
        Self { catalog, relation, alias: "t", masked: None }
    }
}

/// The value of a `custom` mask on a column, and its type.
///
/// # Errors
/// Why it does not compile there.
pub(crate) fn formula(
    formula: &Formula,
    relation: &Relation,
    column: &Column,
) -> Result<(String, SqlType), Problem> {
    // A formula looks into no other table.
    let no_tables = Catalog::default();
    let ground = Ground { masked: Some(column), ..Ground::of(&no_tables, relation) };
    let mut compiler = Compiler { ground, values: &Values::Open, reads: BTreeMap::new(), lookups: 0 };
    let found = compiler.value(&formula.expr)?;
    if compiler.reads.is_empty() {
        Ok(found)
    } else {
        Err(Problem::new("a 'custom' mask does not depend on who looks").hint("use 'who … with …' for that"))
    }
}

/// Turns a predicate into SQL for one table.
///
/// # Errors
/// Why it does not compile there.
pub(crate) fn compile(expr: &Expr, ground: &Ground<'_>, values: &Values<'_>) -> Result<Compiled, Problem> {
    let mut compiler = Compiler { ground: *ground, values, reads: BTreeMap::new(), lookups: 0 };
    let terms = match expr {
        Expr::And(terms) => terms.as_slice(),
        other => std::slice::from_ref(other),
    };
    let mut parts = Vec::with_capacity(terms.len());
    let mut direct = BTreeSet::new();
    for term in terms {
        if let Some(attribute) = plain_membership(term) {
            let before = compiler.reads.clone();
            parts.push(compiler.condition(term)?);
            direct.extend(
                compiler
                    .reads
                    .iter()
                    .filter(|(k, r)| !before.contains_key(*k) && r.attribute == *attribute)
                    .map(|(k, _)| k.clone()),
            );
        } else {
            parts.push(compiler.condition(term)?);
        }
    }
    // An empty attribute makes the whole predicate FALSE. The judge sees to it; this sees to it again at run time, should the
    // session's rows be gone, wherever the predicate could be TRUE without them.
    if matches!(values, Values::Open) {
        let unguarded = compiler.reads.keys().filter(|k| !direct.contains(*k));
        parts.extend(unguarded.map(|key| format!("EXISTS (SELECT 1 {})", source(key))));
    }
    Ok(Compiled { sql: joined(&parts, " AND "), reads: compiler.reads })
}

/// Turns the predicate of a cell mask into SQL that is TRUE where the mask is in force: wherever the predicate is not FALSE,
/// and everywhere when a value of the session that it reads is gone.
///
/// # Errors
/// Why it does not compile there.
pub(crate) fn compile_cells(
    expr: &Expr,
    ground: &Ground<'_>,
    values: &Values<'_>,
) -> Result<Compiled, Problem> {
    let mut compiler = Compiler { ground: *ground, values, reads: BTreeMap::new(), lookups: 0 };
    let mut sql = format!("({}) IS NOT FALSE", compiler.condition(expr)?);
    if matches!(values, Values::Open) {
        for key in compiler.reads.keys() {
            sql.push_str(&format!(" OR NOT EXISTS (SELECT 1 {})", source(key)));
        }
    }
    Ok(Compiled { sql, reads: compiler.reads })
}

/// `a in (@user.x)`: never TRUE without a value.
fn plain_membership(term: &Expr) -> Option<&Attribute> {
    match term {
        Expr::In { items, polarity: Polarity::Plain, .. } => match items.as_slice() {
            [Expr::Attribute(attribute)] => Some(attribute),
            _ => None,
        },
        _ => None,
    }
}

fn joined(parts: &[String], with: &str) -> String {
    match parts {
        [one] => one.clone(),
        many => many.iter().map(|p| format!("({p})")).collect::<Vec<_>>().join(with),
    }
}

/// FROM and WHERE of a session's values under a key.
pub(crate) fn source(key: &str) -> String {
    format!(
        "FROM {}.{} AS a WHERE a.role = SESSION_USER AND a.key = {}",
        names::PRIVATE_SCHEMA,
        names::SESSION_ATTRIBUTE_TABLE,
        quote(key)
    )
}

/// The column that carries a tag.
pub(crate) fn tagged_column<'r>(relation: &'r Relation, tag: &TagPath) -> Result<&'r str, Problem> {
    let mut found = relation.columns.iter().filter(|c| c.tags.iter().any(|t| t.is_under(tag)));
    let table = &relation.name;
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(&one.name),
        (None, _) => Err(Problem::new(format!("no column of '{table}' carries the tag '{tag}'"))
            .hint("tag the column, or leave the table out")),
        (Some(one), Some(two)) => Err(Problem::new(format!(
            "'{}' and '{}' of '{table}' both carry the tag '{tag}'",
            one.name, two.name
        ))
        .hint("name the column in the predicate, or use a deeper tag")),
    }
}

struct Compiler<'a> {
    ground: Ground<'a>,
    values: &'a Values<'a>,
    reads: BTreeMap<String, Read>,
    /// How many sub-selects have an alias.
    lookups: usize,
}

type Sql = Result<String, Problem>;
type Typed = Result<(String, SqlType), Problem>;

impl<'a> Compiler<'a> {
    fn condition(&mut self, expr: &Expr) -> Sql {
        match expr {
            Expr::And(terms) => self.all(terms, " AND "),
            Expr::Or(terms) => self.all(terms, " OR "),
            Expr::Not(one) => Ok(format!("NOT ({})", self.condition(one)?)),
            Expr::Compare { left, operator, right } => self.compare(left, *operator, right),
            Expr::In { value, items, polarity } => self.member(value, items, *polarity),
            Expr::Between { value, low, high, polarity } => self.between(value, low, high, *polarity),
            Expr::Is { value, what, polarity } => {
                let sql = match what {
                    Truth::Null => self.value(value)?.0,
                    Truth::True | Truth::False | Truth::Unknown => self.condition(value)?,
                };
                Ok(format!("({sql}) IS {}{}", polarity.not(), what.sql()))
            }
            Expr::Like { value, pattern, case, polarity } => self.like(value, pattern, *case, *polarity),
            Expr::Literal(Literal::Truth(truth)) => Ok(if *truth { "TRUE" } else { "FALSE" }.to_owned()),
            Expr::Lookup { value, table, column, condition, polarity } => {
                self.lookup(value, table, column, condition.as_deref(), *polarity)
            }
            Expr::Column(_)
            | Expr::Masked
            | Expr::Concat(_)
            | Expr::Tagged(_)
            | Expr::Cast { .. }
            | Expr::Call { .. }
            | Expr::Literal(Literal::Text(_) | Literal::Number(_))
            | Expr::Attribute(_) => {
                let (sql, found) = self.value(expr)?;
                if found == SqlType::Boolean {
                    Ok(sql)
                } else {
                    let what = super::print::predicate(expr);
                    Err(Problem::new(format!("'{what}' is not boolean in '{}'", self.ground.relation.name))
                        .hint("compare it with something"))
                }
            }
        }
    }

    /// The inner columns are the lookup table's: a name both tables have means the lookup's, as in SQL.
    fn lookup(
        &mut self,
        value: &Expr,
        table: &RelationName,
        column: &str,
        condition: Option<&Expr>,
        polarity: Polarity,
    ) -> Sql {
        let Some(relation) = self.ground.catalog.relations.get(table) else {
            return Err(Problem::new(format!("the warehouse has no lookup table '{table}'")));
        };
        if relation.row_security {
            return Err(Problem::new(format!("the lookup table '{table}' has row security of its own")));
        }
        let (outer, outer_type) = self.value(value)?;
        self.lookups += 1;
        let alias = format!("l{}", self.lookups);
        let mut inner = Compiler {
            ground: Ground { relation, alias: &alias, masked: None, ..self.ground },
            values: self.values,
            reads: std::mem::take(&mut self.reads),
            lookups: self.lookups,
        };
        let (found, inner_type) = inner.column(column)?;
        let condition = match condition {
            Some(condition) => format!(" WHERE {}", inner.condition(condition)?),
            None => String::new(),
        };
        self.lookups = inner.lookups;
        self.reads = inner.reads;
        if outer_type.family() == Family::None || outer_type.family() != inner_type.family() {
            return Err(Problem::new(format!(
                "'{}' and '{column}' of '{table}' do not compare",
                super::print::predicate(value)
            ))
            .hint("look up a value of the same kind"));
        }
        // Two collations would make `=` ambiguous.
        let collate =
            if outer_type.family() == Family::Text { " COLLATE pg_catalog.\"default\"" } else { "" };
        Ok(format!(
            "({outer}){collate} {}IN (SELECT {found} FROM {}.{} AS {alias}{condition})",
            polarity.not(),
            ident(&table.schema),
            ident(&table.name)
        ))
    }

    fn like(&mut self, value: &Expr, pattern: &str, case: Case, polarity: Polarity) -> Sql {
        let sql = self.text(value)?;
        let word = match case {
            Case::Counts => "LIKE",
            Case::Ignored => "ILIKE",
        };
        Ok(format!("({sql}) {}{word} {}", polarity.not(), quote(pattern)))
    }

    fn all(&mut self, terms: &[Expr], with: &str) -> Sql {
        let parts = terms.iter().map(|t| self.condition(t)).collect::<Result<Vec<_>, _>>()?;
        Ok(joined(&parts, with))
    }

    fn compare(&mut self, left: &Expr, operator: Comparison, right: &Expr) -> Sql {
        let (left, right) = self.pair(left, right)?;
        Ok(format!("({left}) {} ({right})", operator.sql()))
    }

    /// Two operands that compare without a conversion that could fail or vary.
    fn pair(&mut self, left: &Expr, right: &Expr) -> Result<(String, String), Problem> {
        match (left, right) {
            (Expr::Literal(a), Expr::Literal(b)) => {
                let kind = literal_type(a);
                Ok((literal_as(kind, a)?, literal_as(kind, b)?))
            }
            (value, Expr::Literal(literal)) => {
                let (sql, found) = self.value(value)?;
                Ok((sql, literal_as(found, literal)?))
            }
            (Expr::Literal(literal), value) => {
                let (sql, found) = self.value(value)?;
                Ok((literal_as(found, literal)?, sql))
            }
            (a, b) => {
                let ((sql_a, type_a), (sql_b, type_b)) = (self.value(a)?, self.value(b)?);
                if type_a.family() == Family::None || type_a.family() != type_b.family() {
                    return Err(self.mismatch(a, b));
                }
                Ok((sql_a, sql_b))
            }
        }
    }

    fn mismatch(&self, a: &Expr, b: &Expr) -> Problem {
        Problem::new(format!(
            "'{}' and '{}' do not compare in '{}'",
            super::print::predicate(a),
            super::print::predicate(b),
            self.ground.relation.name
        ))
        .hint("compare values of one kind: numbers, texts, dates, timestamps with time zone")
    }

    fn between(&mut self, value: &Expr, low: &Expr, high: &Expr, polarity: Polarity) -> Sql {
        let (sql, low) = self.pair(value, low)?;
        let (_, high) = self.pair(value, high)?;
        Ok(format!("({sql}) {}BETWEEN ({low}) AND ({high})", polarity.not()))
    }

    fn member(&mut self, value: &Expr, items: &[Expr], polarity: Polarity) -> Sql {
        let (sql, found) = match value {
            Expr::Literal(one) => {
                let kind = literal_type(one);
                (literal_as(kind, one)?, kind)
            }
            other => self.value(other)?,
        };
        let mut literals = Vec::new();
        let mut parts = Vec::new();
        for item in items {
            match item {
                Expr::Literal(one) => literals.push(literal_as(found, one)?),
                Expr::Attribute(one) => parts.push(self.attribute(&sql, found, one, value)?),
                _ => {
                    return Err(Problem::new("a list after 'in' holds literals and attributes"));
                }
            }
        }
        if !literals.is_empty() {
            parts.insert(0, format!("({sql}) IN ({})", literals.join(", ")));
        }
        let any = joined(&parts, " OR ");
        Ok(match polarity {
            Polarity::Plain => any,
            Polarity::Negated => format!("NOT ({any})"),
        })
    }

    fn attribute(&mut self, sql: &str, found: SqlType, attribute: &Attribute, value: &Expr) -> Sql {
        if found.family() == Family::None {
            let what = super::print::predicate(value);
            return Err(Problem::new(format!(
                "'{what}' of '{}' has a type that does not compare with an attribute",
                self.ground.relation.name
            )));
        }
        let is_text = found.family() == Family::Text;
        // Texts share one key. Other types have their own, which holds only values that read as that type: the cast in the
        // view cannot fail on another session's value.
        let key = match found.cast_name() {
            Some(cast) if !is_text => format!("{}::{cast}", attribute.key()),
            Some(_) | None => attribute.key(),
        };
        self.reads.insert(key.clone(), Read { attribute: attribute.clone(), as_type: found });
        // The table of attributes has the default collation; a column with another one would make `=` ambiguous.
        let collate = if is_text { " COLLATE pg_catalog.\"default\"" } else { "" };
        if let Values::Filled(values) = self.values {
            let values = values(attribute, found);
            let list: Vec<String> = values.iter().map(|v| quote(v)).collect();
            let list = if list.is_empty() { "NULL".to_owned() } else { list.join(", ") };
            return Ok(format!("({sql}) IN ({list})"));
        }
        let column = match found.cast_name() {
            None => "a.value".to_owned(),
            Some(cast) if is_text => format!("CAST(a.value AS {cast})"),
            // CASE, because a planner may run a cast before the conditions beside it.
            Some(cast) => format!("CASE WHEN a.key = {} THEN CAST(a.value AS {cast}) END", quote(&key)),
        };
        Ok(format!("({sql}){collate} IN (SELECT {column} {})", source(&key)))
    }

    fn column(&mut self, name: &str) -> Typed {
        let relation = self.ground.relation;
        let Some(column) = relation.column(name) else {
            let known = relation.columns.iter().map(|c| c.name.as_str());
            let problem = Problem::new(format!("'{}' has no column '{name}'", relation.name));
            return Err(problem.hint(did_you_mean(name, known).unwrap_or_else(|| {
                format!("name one of its columns; a string stands in single quotes: '{name}'")
            })));
        };
        Ok(self.typed(column))
    }

    fn typed(&self, column: &Column) -> (String, SqlType) {
        let sql = format!("{}.{}", self.ground.alias, ident(&column.name));
        let found = SqlType::of(column);
        if found == SqlType::TextLike {
            (format!("CAST({sql} AS pg_catalog.text)"), SqlType::Text)
        } else {
            (sql, found)
        }
    }

    fn concat(&mut self, terms: &[Expr]) -> Typed {
        let mut parts = Vec::with_capacity(terms.len());
        for term in terms {
            parts.push(self.text(term)?);
        }
        Ok((joined(&parts, " || "), SqlType::Text))
    }

    fn value(&mut self, expr: &Expr) -> Typed {
        match expr {
            Expr::Column(name) => self.column(name),
            Expr::Tagged(tag) => {
                let name = tagged_column(self.ground.relation, tag)?;
                self.column(name)
            }
            Expr::Concat(terms) => self.concat(terms),
            Expr::Masked => match self.ground.masked {
                Some(column) => Ok(self.typed(column)),
                None => Err(Problem::new("'@column' stands in a 'custom' mask only")),
            },
            Expr::Literal(one) => {
                let kind = literal_type(one);
                Ok((literal_as(kind, one)?, kind))
            }
            Expr::Cast { value, to } => self.cast(value, *to),
            Expr::Call { function, arguments } => self.call(*function, arguments),
            Expr::And(_)
            | Expr::Or(_)
            | Expr::Not(_)
            | Expr::Compare { .. }
            | Expr::In { .. }
            | Expr::Between { .. }
            | Expr::Is { .. }
            | Expr::Lookup { .. }
            | Expr::Like { .. } => Err(Problem::new("a value was expected, this is a condition")),
            Expr::Attribute(one) => Err(Problem::new(format!(
                "'{}' is a set of values and cannot stand here",
                super::print::attribute(one)
            ))),
        }
    }

    fn text(&mut self, expr: &Expr) -> Sql {
        let (sql, found) = self.value(expr)?;
        match found {
            SqlType::Text | SqlType::Varchar(_) => Ok(sql),
            // Without its padding.
            SqlType::Char(_) => Ok(format!("CAST({sql} AS pg_catalog.text)")),
            _ => Err(Problem::new(format!(
                "'{}' is not text in '{}'",
                super::print::predicate(expr),
                self.ground.relation.name
            ))),
        }
    }

    fn cast(&mut self, value: &Expr, to: CastType) -> Typed {
        let target = cast_target(to);
        let name = target.cast_name().unwrap_or("pg_catalog.text");
        if let Expr::Literal(one) = value {
            let sql = literal_as(target, one)?;
            return Ok((format!("CAST({sql} AS {name})"), target));
        }
        let (sql, from) = self.value(value)?;
        if cast_is_safe(from, target) {
            return Ok((format!("CAST({sql} AS {name})"), target));
        }
        Err(Problem::new(format!(
            "'{}' of '{}' cannot be cast to {}: the cast could fail on a value, or depends on a setting",
            super::print::predicate(value),
            self.ground.relation.name,
            words::name(to.word())
        ))
        .hint("cast the other side, which is a literal"))
    }

    fn call(&mut self, function: Function, arguments: &[Expr]) -> Typed {
        let name = function.word();
        let result = match function {
            Function::Lower
            | Function::Upper
            | Function::Btrim
            | Function::Ltrim
            | Function::Rtrim
            | Function::Left
            | Function::Right
            | Function::Substr => SqlType::Text,
            Function::Length | Function::Strpos => SqlType::Integer,
            Function::StartsWith => SqlType::Boolean,
            Function::Coalesce => return self.coalesce(arguments),
        };
        let counts = matches!(function, Function::Left | Function::Right | Function::Substr);
        let mut parts = Vec::with_capacity(arguments.len());
        for (n, argument) in arguments.iter().enumerate() {
            parts.push(if counts && n > 0 { count(argument, name)? } else { self.text(argument)? });
        }
        Ok((format!("pg_catalog.{name}({})", parts.join(", ")), result))
    }

    fn coalesce(&mut self, arguments: &[Expr]) -> Typed {
        let is_literal = |e: &&Expr| matches!(e, Expr::Literal(_));
        let Some(first) = arguments.iter().find(|e| !is_literal(e)) else {
            return Err(Problem::new("'coalesce' needs a column among its arguments"));
        };
        let mut found = self.value(first)?.1;
        if found.family() == Family::None {
            return Err(self.mismatch(first, first));
        }
        let mut parts = Vec::with_capacity(arguments.len());
        for argument in arguments {
            if let Expr::Literal(one) = argument {
                parts.push(literal_as(found, one)?);
                continue;
            }
            let (sql, other) = self.value(argument)?;
            if other.family() != found.family() {
                return Err(self.mismatch(first, argument));
            }
            if other != found {
                found = widest(found.family(), found);
            }
            parts.push(sql);
        }
        Ok((format!("COALESCE({})", parts.join(", ")), found))
    }
}
