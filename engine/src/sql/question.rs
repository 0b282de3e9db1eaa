//! `EXPLAIN (POLICY) statement`: what policy would make of a statement, asked without running it (wire.md, "To an agent").
//!
//! The question never reaches the warehouse: the statement in it is judged like any other, and what goes out is a SELECT of
//! the answer's lines as constants. Called by the session before the judge.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use pg_raw_parse::Node;

use crate::limits;
use crate::record::{Disposition, Objects};
use crate::refusal::{Code, Refusal};
use crate::released::{Enforced, RawSql};

use super::judge::Judged;
use super::{parse, scan};

/// The statement that is asked about; `None` when the text asks nothing of the kind, and is judged as it is.
#[must_use]
pub fn policy_question(raw: RawSql<'_>) -> Option<&str> {
    let text = raw.text();
    let start = text.len() - text.trim_ascii_start().len();
    let word_end = start + "explain".len();
    if !text.get(start..word_end)?.eq_ignore_ascii_case("explain") {
        return None;
    }
    let open = scan::skip_space(text.as_bytes(), word_end)?;
    let end = scan::parenthesis_end(text, open)?;
    let options = text.get(open + 1..end - 1)?.trim();
    if !options.eq_ignore_ascii_case("policy") {
        return None;
    }
    // The same caps as for any statement, before the parser sees it; what is over them goes on to the judge, who says so.
    if text.len() > limits::STATEMENT_BYTES_MAX || scan::comments(text).is_err() {
        return None;
    }
    // The grammar's word, not ours: one EXPLAIN with this one option, and all that follows is its statement.
    let tree = catch_unwind(AssertUnwindSafe(|| parse::parse(text))).ok()?.ok()?;
    let mut statements = tree.iter();
    let (Node::ExplainStmt(explain), None) = (statements.next()?.stmt(), statements.next()) else {
        return None;
    };
    let mut named = explain.options().iter();
    let only = named.next()?.defname()?.eq_ignore_ascii_case("policy") && named.next().is_none();
    only.then(|| text.get(end..))?
}

/// The name that a refusal points at, as it was written.
#[must_use]
pub fn name_at<'t>(text: &'t str, refusal: &Refusal) -> Option<&'t str> {
    let from = refusal.offset?;
    let end = (1..=3).rev().find_map(|parts| scan::name_end(text, from, parts))?;
    (refusal.code == Code::UndefinedTable).then(|| text.get(from..end))?
}

/// A ruling whose result is these lines. `about` is what was asked about, for the record.
#[must_use]
pub fn policy_answer(lines: &[String], about: Objects) -> Judged {
    let rows: Vec<String> = lines.iter().map(|line| format!("('{}')", line.replace('\'', "''"))).collect();
    let text = format!(
        "SELECT \"QUERY POLICY\"::pg_catalog.text FROM (VALUES {}) AS answer(\"QUERY POLICY\")",
        rows.join(", ")
    );
    Judged {
        enforced: Enforced::new(Arc::from(text)),
        edits: Vec::new(),
        operation: "EXPLAIN POLICY".into(),
        statements: 1,
        objects: about,
        disposition: Disposition::Allowed,
        effects: Vec::new(),
        notice: None,
        numbers_are_data: false,
        leaves_nothing: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_told_from_what_only_looks_like_one() {
        let asked = |text| policy_question(RawSql::new(text)).map(str::trim);
        assert_eq!(asked("EXPLAIN (POLICY) SELECT 1"), Some("SELECT 1"));
        assert_eq!(asked(" explain( policy )select ';' ; "), Some("select ';' ;"));
        for text in [
            "EXPLAIN SELECT 1",
            "EXPLAIN (POLICY, ANALYZE) SELECT 1",
            "EXPLAIN (POLICY on) SELECT 1",
            "EXPLAIN (ANALYZE) SELECT 1",
            "EXPLAIN (POLICY) SELECT 1; DROP TABLE t",
            "EXPLAIN (POLICY)",
            "EXPLAINS (POLICY) SELECT 1",
            "EXPLAIN (POLICY) nonsense",
            "SELECT 'EXPLAIN (POLICY) SELECT 1'",
            "EXPLAIN (\"policy) SELECT 1",
            "",
        ] {
            assert_eq!(asked(text), None, "{text}");
        }
    }

    #[test]
    fn lines_are_constants_whatever_is_in_them() {
        let lines = ["it's".to_owned(), "'); DROP TABLE t; --".to_owned(), "\\".to_owned()];
        let judged = policy_answer(&lines, Objects::default());
        let tree = parse::parse(judged.enforced.for_record()).expect("parses");
        assert_eq!(tree.len(), 1);
        let print = format!("{:?}", tree.iter().next().expect("one").stmt());
        assert!(print.contains("\"'); DROP TABLE t; --\""), "{print}");
    }

    #[test]
    fn a_refusal_names_what_it_points_at() {
        let refusal = Refusal::new(Code::UndefinedTable, "x").at(14);
        assert_eq!(name_at("SELECT * FROM public.\"Pay roll\" p", &refusal), Some("public.\"Pay roll\""));
        assert_eq!(name_at("SELECT * FROM payroll", &refusal), Some("payroll"));
        assert_eq!(name_at("SELECT * FROM payroll", &Refusal::new(Code::Policy, "x").at(14)), None);
        assert_eq!(name_at("SELECT * FROM payroll", &Refusal::new(Code::UndefinedTable, "x")), None);
    }
}
