//! What would make a refused table pass: the smallest set of grants, found by trying them.
//!
//! Must never promise what the judge would not keep: every answer was judged with the grants in force. Called by `explain`.

use std::fmt;

use serde::Serialize;

use super::judge::{Reason, Session};
use super::model::{Rule, Watches};
use super::text::printer;
use crate::approval::{Approval, Approved, Grantee};
use crate::catalog::Relation;
use crate::entitlement::Operation;
use crate::identity::Principal;
use crate::snapshot::Snapshot;

/// Why a table is refused, and what would help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WhyNot {
    /// The smallest set of grants, as policy text; empty when they are not what is missing.
    pub grants: Vec<String>,
    /// Policies that grant the table already, and to whom: being one of those is a grant too.
    pub granted_to: Vec<String>,
    /// What stays in the way then, because no grant lifts it.
    pub obstacles: Vec<String>,
}

impl WhyNot {
    /// For a relation that the session may not use, with the reasons it was told.
    pub(crate) fn of(
        snapshot: &Snapshot,
        principal: &Principal,
        relation: &Relation,
        told: &[Reason],
    ) -> Self {
        let tries = tries(principal, relation);
        // What fewest grants leave fewest reasons: one for the user, one for the agent, both.
        let mut best: Option<(&[Approval], Vec<Reason>)> = None;
        for supposed in &tries {
            let left = match Session::supposing(snapshot, principal, supposed) {
                Ok(session) => session.judge(relation).err().unwrap_or_default(),
                Err(_) => continue,
            };
            let helps = left.is_empty() || !is_about_grants(&left);
            if helps && best.as_ref().is_none_or(|(_, had)| left.len() < had.len()) {
                best = Some((supposed, left));
            }
        }
        let missing = is_about_grants(told);
        let (supposed, left) = match best {
            Some((supposed, left)) if missing => (supposed, left),
            Some(_) | None => (&[][..], told.to_vec()),
        };
        Self {
            grants: supposed.iter().map(|approval| text(approval, relation)).collect(),
            granted_to: if missing { granted_to(snapshot, relation) } else { Vec::new() },
            obstacles: left.iter().map(|reason| obstacle(snapshot, reason)).collect(),
        }
    }
}

fn is_about_grants(reasons: &[Reason]) -> bool {
    reasons.iter().any(|reason| matches!(reason, Reason::NoGrant(_) | Reason::NotATool))
}

/// Sets of individual grants, the smaller first.
fn tries(principal: &Principal, relation: &Relation) -> Vec<Vec<Approval>> {
    let grant = |grantee: Grantee| Approval {
        id: "supposed".to_owned(),
        grantee,
        what: Approved::Access { relation: relation.name.clone(), operations: [Operation::Read].into() },
        expires: None,
    };
    let user = principal.user().map(|id| grant(Grantee::User(id.clone())));
    let agent = principal.agent().map(|id| grant(Grantee::Agent(id.clone())));
    let one = |approval: &Option<Approval>| approval.iter().cloned().collect::<Vec<_>>();
    let both = user.iter().chain(&agent).cloned().collect::<Vec<_>>();
    let mut tries = vec![one(&user), one(&agent), both];
    tries.retain(|set| !set.is_empty());
    tries
}

fn text(approval: &Approval, relation: &Relation) -> String {
    let (kind, id) = match &approval.grantee {
        Grantee::User(id) => ("users", id.as_str()),
        Grantee::Agent(id) => ("agents", id.as_str()),
    };
    format!(
        "allow read on tables named {} to {kind} named {}",
        printer::relation(&relation.name),
        super::text::words::name(id)
    )
}

/// Active grants that mean the table, with whom they are for.
fn granted_to(snapshot: &Snapshot, relation: &Relation) -> Vec<String> {
    let grants = snapshot.policies.index().grants.candidates(relation);
    let of = |number| {
        let policy = snapshot.policies.get(number)?;
        match &policy.rule {
            Rule::Grant(grant) if super::matching::is_table(&grant.on, relation) => {
                Some(format!("'{}' grants it to {}", policy.name, printer::who(&grant.to)))
            }
            Rule::Grant(_)
            | Rule::Permit(_)
            | Rule::Guardrail(_)
            | Rule::Rows(_)
            | Rule::Mask(_)
            | Rule::Reveal(_)
            | Rule::Purpose(_) => None,
        }
    };
    grants.into_iter().filter_map(of).collect()
}

fn obstacle(snapshot: &Snapshot, reason: &Reason) -> String {
    let Reason::Guardrail { policy: name, .. } = reason else {
        return reason.to_string();
    };
    let required = snapshot.policies.iter().find_map(|policy| match &policy.rule {
        Rule::Guardrail(guardrail) if policy.name == *name => {
            let whom = if policy.watches == Watches::Actor { "the acting agent is" } else { "they are" };
            Some(format!("{reason}, which asks that {whom} one of: {}", printer::who(&guardrail.require)))
        }
        _ => None,
    });
    required.unwrap_or_else(|| reason.to_string())
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.grants.is_empty() {
            let enough =
                if self.obstacles.is_empty() { "this would be enough" } else { "this would be needed" };
            write!(f, "\n  {enough}")?;
            for grant in &self.grants {
                write!(f, "\n    {grant}")?;
            }
        }
        for one in &self.granted_to {
            write!(f, "\n  {one}")?;
        }
        if !self.obstacles.is_empty() && !self.grants.is_empty() {
            write!(f, "\n  and still in the way")?;
        }
        for obstacle in &self.obstacles {
            write!(f, "\n    {obstacle}: no grant lifts this")?;
        }
        Ok(())
    }
}
