//! Policies as JSON: the same model as the text, and the same bounds.
//!
//! Must never accept what text could not say: what is read is printed and parsed, and must come out the same. Called by
//! `PolicySet::parse` for files whose name ends in `.json`, and by the API.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::diagnostic::{Diagnostic, Located, Problem, Severity};
use super::{parser, printer};
use crate::limits;
use crate::policy::model::Policy;

const SCHEMA: &str = "docs/reference/policy.schema.json says what a policy looks like";

/// A JSON file: `{"policies": [ … ]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    policies: Vec<Policy>,
}

/// Policies as a JSON document, indented.
pub(crate) fn write(policies: &[Policy]) -> String {
    let file = File { policies: policies.to_vec() };
    // INVARIANT: the model has string keys only, and nothing in it refuses to be written.
    serde_json::to_string_pretty(&file).expect("a policy is JSON")
}

/// Reads one file; gives back its policies as text too, which is what their places point into.
///
/// # Errors
/// The first fault of the JSON, or each policy that text could not say.
pub(crate) fn file(number: u32, name: &str, text: &str) -> Result<(Vec<Policy>, String), Vec<Diagnostic>> {
    let report = |(offset, problem): Located| Diagnostic::at(Severity::Error, name, text, offset, problem);
    if text.len() > limits::POLICY_FILE_BYTES_MAX {
        let most = limits::POLICY_FILE_BYTES_MAX;
        let problem = Problem::new(format!("a policy file has at most {most} bytes"));
        return Err(vec![report((0, problem.hint("split it into several files")))]);
    }
    let file: File = serde_json::from_str(text).map_err(|error| {
        let offset = offset(text, error.line(), error.column());
        let message = error.to_string();
        let what = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
        let problem = Problem::new(format!("this is not a policy in JSON: {what}"));
        vec![report((offset, problem.hint(SCHEMA)))]
    })?;
    if let Some(at) = written_otherwise(text, &file) {
        let problem = Problem::new(format!("this is not written as the schema says: {at}"));
        return Err(vec![report((0, problem.hint(SCHEMA)))]);
    }
    let mut policies = Vec::with_capacity(file.policies.len());
    let mut problems = Vec::new();
    let mut whole = String::new();
    for policy in file.policies {
        let before = whole.len();
        whole.push_str(&printer::policy(&policy));
        match same(&policy, number, &whole[before..], before) {
            Ok(read) => policies.push(read),
            Err(what) => {
                let offset =
                    text.find(&serde_json::Value::from(policy.name.as_str()).to_string()).unwrap_or(0);
                problems.push(report((offset, Problem::new(format!("policy '{}': {what}", policy.name)))));
            }
        }
        whole.push_str("\n\n");
        if problems.len() >= limits::POLICY_DIAGNOSTICS_MAX {
            break;
        }
    }
    if problems.is_empty() { Ok((policies, whole)) } else { Err(problems) }
}

/// Where the text has another shape than what was read of it is written in: the reader takes a list for an object, too.
fn written_otherwise(text: &str, file: &File) -> Option<String> {
    let given: Value = serde_json::from_str(text).ok()?;
    differs(&given, &serde_json::to_value(file).ok()?)
}

/// Recursion is bounded by serde_json's own.
fn differs(given: &Value, written: &Value) -> Option<String> {
    match (given, written) {
        (Value::Object(given), Value::Object(written)) => given.iter().find_map(|(name, inner)| {
            let inside = match written.get(name) {
                Some(other) => differs(inner, other),
                // What is left out when it is empty may be written empty.
                None if inner.as_array().is_some_and(Vec::is_empty) => None,
                None => Some(String::new()),
            };
            inside.map(|rest| format!("{name}/{rest}"))
        }),
        (Value::Array(given), Value::Array(written)) if given.len() != written.len() => Some(String::new()),
        (Value::Array(given), Value::Array(written)) => given
            .iter()
            .enumerate()
            .find(|(n, inner)| {
                let same = |other: &Value| differs(inner, other).is_none();
                // Sets are written in their own order.
                !(written.get(*n).is_some_and(same) || inner.is_string() && written.iter().any(same))
            })
            .map(|(n, inner)| {
                let rest = written.get(n).and_then(|other| differs(inner, other)).unwrap_or_default();
                format!("{n}/{rest}")
            }),
        (given, written) if given == written => None,
        _ => Some(String::new()),
    }
}

/// The policy as read from its own text, when that says the same. `before` bytes stand before it in its file.
fn same(policy: &Policy, number: u32, text: &str, before: usize) -> Result<Policy, String> {
    let read = parser::policies(number, "", text, before).map_err(|found| {
        found.first().map_or_else(String::new, |d| format!("{} (in its text, line {})", d.message, d.line))
    })?;
    match read.as_slice() {
        [read] if read == policy => Ok(read.clone()),
        _ => Err("its text would mean something else".to_owned()),
    }
}

/// A line and column of serde_json, both from 1, as a byte offset.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (start + column.saturating_sub(1)).min(text.len())
}
