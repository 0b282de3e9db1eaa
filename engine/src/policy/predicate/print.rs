//! A predicate as policy text, so that reading it again gives the same tree.
//!
//! For people and for the canonical form; never for a warehouse. Called by the printer. Recursion is bounded by
//! `limits::POLICY_DEPTH_MAX`, which the reader keeps.

use super::{Attribute, Case, Expr, Holder, Literal, Named, Polarity};
use crate::policy::text::words;

/// The predicate as text.
pub(crate) fn predicate(expr: &Expr) -> String {
    let mut out = String::new();
    write(expr, &mut out);
    out
}

/// Terms that need no parentheses inside another one.
fn is_closed(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_)
        | Expr::Masked
        | Expr::Tagged(_)
        | Expr::Attribute(_)
        | Expr::Literal(_)
        | Expr::Cast { .. }
        | Expr::Call { .. } => true,
        Expr::And(_)
        | Expr::Or(_)
        | Expr::Not(_)
        | Expr::Compare { .. }
        | Expr::In { .. }
        | Expr::Between { .. }
        | Expr::Is { .. }
        | Expr::Lookup { .. }
        | Expr::Concat(_)
        | Expr::Like { .. } => false,
    }
}

fn inner(expr: &Expr, out: &mut String) {
    if is_closed(expr) {
        write(expr, out);
    } else {
        out.push('(');
        write(expr, out);
        out.push(')');
    }
}

/// A term of AND or OR: everything binds tighter than they do, except each other and NOT.
fn term(expr: &Expr, out: &mut String) {
    match expr {
        Expr::And(_) | Expr::Or(_) | Expr::Not(_) => inner(expr, out),
        Expr::Compare { .. }
        | Expr::In { .. }
        | Expr::Between { .. }
        | Expr::Is { .. }
        | Expr::Lookup { .. }
        | Expr::Like { .. }
        | Expr::Column(_)
        | Expr::Masked
        | Expr::Concat(_)
        | Expr::Tagged(_)
        | Expr::Attribute(_)
        | Expr::Literal(_)
        | Expr::Cast { .. }
        | Expr::Call { .. } => write(expr, out),
    }
}

fn not(polarity: Polarity) -> &'static str {
    match polarity {
        Polarity::Plain => "",
        Polarity::Negated => "not ",
    }
}

fn joined(terms: &[Expr], word: &str, each: fn(&Expr, &mut String), out: &mut String) {
    for (n, one) in terms.iter().enumerate() {
        if n > 0 {
            out.push_str(word);
        }
        each(one, out);
    }
}

fn write(expr: &Expr, out: &mut String) {
    match expr {
        Expr::And(terms) => joined(terms, " and ", term, out),
        Expr::Or(terms) => joined(terms, " or ", term, out),
        Expr::Not(one) => {
            out.push_str("not ");
            inner(one, out);
        }
        Expr::Compare { .. }
        | Expr::In { .. }
        | Expr::Between { .. }
        | Expr::Is { .. }
        | Expr::Lookup { .. }
        | Expr::Like { .. } => write_test(expr, out),
        Expr::Concat(terms) => joined(terms, " || ", inner, out),
        Expr::Masked => out.push_str("@column"),
        Expr::Column(name) => out.push_str(&column(name)),
        Expr::Tagged(path) => {
            out.push_str("@tagged(");
            out.push_str(&words::path(&path.0));
            out.push(')');
        }
        Expr::Attribute(one) => out.push_str(&attribute(one)),
        Expr::Literal(one) => out.push_str(&literal(one)),
        Expr::Cast { value, to } => {
            out.push_str("cast(");
            write(value, out);
            out.push_str(" as ");
            out.push_str(to.word());
            out.push(')');
        }
        Expr::Call { function, arguments } => {
            out.push_str(function.word());
            out.push('(');
            joined(arguments, ", ", write, out);
            out.push(')');
        }
    }
}

/// The tests of a value; nothing for another node.
fn write_test(expr: &Expr, out: &mut String) {
    match expr {
        Expr::Compare { left, operator, right } => {
            inner(left, out);
            out.push(' ');
            out.push_str(&operator.sql().to_lowercase());
            out.push(' ');
            inner(right, out);
        }
        Expr::In { value, items, polarity } => {
            inner(value, out);
            out.push(' ');
            out.push_str(not(*polarity));
            out.push_str("in (");
            joined(items, ", ", write, out);
            out.push(')');
        }
        Expr::Lookup { value, table, column: name, condition, polarity } => {
            inner(value, out);
            out.push(' ');
            out.push_str(not(*polarity));
            let (schema, table) = (column(&table.schema), column(&table.name));
            out.push_str(&format!("in (select {} from {schema}.{table}", column(name)));
            if let Some(condition) = condition {
                out.push_str(" where ");
                write(condition, out);
            }
            out.push(')');
        }
        Expr::Between { value, low, high, polarity } => {
            inner(value, out);
            out.push(' ');
            out.push_str(not(*polarity));
            out.push_str("between ");
            inner(low, out);
            out.push_str(" and ");
            inner(high, out);
        }
        Expr::Is { value, what, polarity } => {
            inner(value, out);
            out.push_str(" is ");
            out.push_str(not(*polarity));
            out.push_str(&what.sql().to_lowercase());
        }
        Expr::Like { value, pattern, case, polarity } => {
            inner(value, out);
            out.push(' ');
            out.push_str(not(*polarity));
            out.push_str(match case {
                Case::Counts => "like ",
                Case::Ignored => "ilike ",
            });
            out.push_str(&words::string(pattern));
        }
        Expr::And(_)
        | Expr::Or(_)
        | Expr::Not(_)
        | Expr::Column(_)
        | Expr::Masked
        | Expr::Concat(_)
        | Expr::Tagged(_)
        | Expr::Attribute(_)
        | Expr::Literal(_)
        | Expr::Cast { .. }
        | Expr::Call { .. } => {}
    }
}

/// Columns are quoted unless they are plain: a bare word could be one of SQL's.
fn column(name: &str) -> String {
    let plain = words::identifier(name);
    if plain.starts_with('"') || !super::vocabulary::is_plain_column(name) {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        plain
    }
}

/// `@user.region`.
pub(crate) fn attribute(attribute: &Attribute) -> String {
    let holder = match attribute.holder {
        Holder::User => "user",
        Holder::Agent => "agent",
        Holder::Session => "session",
    };
    match &attribute.name {
        Named::Purpose => "@purpose".to_owned(),
        Named::Id => format!("@{holder}.id"),
        Named::Groups => format!("@{holder}.groups"),
        Named::Attribute(name) => format!("@{holder}.{}", words::name(name)),
    }
}

/// A literal as policy text.
pub(crate) fn literal(literal: &Literal) -> String {
    match literal {
        Literal::Text(text) => words::string(text),
        Literal::Number(number) => number.clone(),
        Literal::Truth(true) => "true".to_owned(),
        Literal::Truth(false) => "false".to_owned(),
    }
}
