//! Policies as JSON: the same model as the text, and the same bounds.
//!
//! Must never accept what text could not say: what is read is printed and parsed, and must come out the same. Called by
//! `PolicySet::parse` for files whose name ends in `.json`, and by the API.

use serde::{Deserialize, Serialize};

use super::diagnostic::{Diagnostic, Located, Problem, Severity};
use super::{parser, printer};
use crate::limits;
use crate::policy::model::Policy;

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
        vec![report((
            offset,
            problem.hint("docs/reference/policy.schema.json says what a policy looks like"),
        ))]
    })?;
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
