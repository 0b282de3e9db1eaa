//! Findings for a warehouse without AES.
//!
//! Must never miss a mask whose function would answer NULL there. Called by `lanyard check` when the warehouse says so.

use super::model::{Mask, Masking, Rule, State};
use super::text::diagnostic::{Diagnostic, Problem, Severity};
use crate::snapshot::Snapshot;

/// One warning for each policy that encrypts: what it masks is NULL where PostgreSQL has no pgcrypto.
#[must_use]
pub fn encrypting(snapshot: &Snapshot) -> Vec<Diagnostic> {
    let lives = |state: State| match state {
        State::Draft | State::Staged | State::Shadow | State::Active => true,
        State::Disabled => false,
    };
    let mut findings = Vec::new();
    for policy in snapshot.policies.iter().filter(|p| lives(p.state)) {
        let Rule::Mask(rule) = &policy.rule else {
            continue;
        };
        let found = rule.maskings().find_map(|masking| match masking {
            Masking::With { mask, .. } if encrypts(mask) => Some(mask.word()),
            Masking::With { .. } | Masking::Clear => None,
        });
        if let Some(word) = found {
            let problem =
                Problem::new(format!("the mask '{word}' becomes 'null': the warehouse has no pgcrypto"));
            let problem = problem
                .hint("install PostgreSQL's contrib package there, then run `lanyard bootstrap` again");
            findings.push(snapshot.policies.report(Severity::Warning, policy.place, problem));
        }
    }
    findings
}

fn encrypts(mask: &Mask) -> bool {
    match mask {
        Mask::Reversible { .. } | Mask::Fpe { .. } | Mask::Token => true,
        Mask::Null
        | Mask::Constant { .. }
        | Mask::Hash { .. }
        | Mask::Partial { .. }
        | Mask::Regex { .. }
        | Mask::Bucket(_)
        | Mask::Unit(_)
        | Mask::Randomized { .. }
        | Mask::KAnonymous { .. }
        | Mask::Redact { .. }
        | Mask::Custom { .. }
        | Mask::Deny => false,
    }
}
