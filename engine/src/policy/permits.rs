//! What permits give to a session beyond its tables.
//!
//! Must never widen by an agent what its user's statements may do, nor undo a mask that is not in force for this session. Called
//! by `entitle`.

use std::collections::{BTreeMap, BTreeSet};

use super::judge::Session;
use super::matching::{Person, column_depth};
use super::model::{Columns, Permit, Permitted, Rule};
use super::openable;
use crate::entitlement::{Access, Extras};
use crate::identity::Combination;

/// Permits of those whose word counts: all must have given what the session gets.
pub(crate) struct Permits<'a>(Vec<Vec<&'a Permit>>);

impl<'a> Session<'a> {
    /// The subject's, and where access is an intersection, the agent's too.
    pub(crate) fn permits(&self) -> Permits<'a> {
        let of = |person: &Person<'a>| -> Vec<&'a Permit> {
            let policies = self.policies;
            let permits = self.held(person).permits().iter().filter_map(|n| policies.get(*n));
            permits
                .filter_map(|policy| match &policy.rule {
                    Rule::Permit(permit) => {
                        self.watched(policy, person).all(|p| p.is(&permit.to)).then_some(permit)
                    }
                    Rule::Grant(_)
                    | Rule::Guardrail(_)
                    | Rule::Rows(_)
                    | Rule::Mask(_)
                    | Rule::Reveal(_)
                    | Rule::Purpose(_) => None,
                })
                .collect()
        };
        let narrow = self.combination == Combination::Intersection;
        let agent = self.agent.filter(|_| self.user.is_none() || narrow);
        Permits(self.user.iter().chain(&agent).map(of).collect())
    }

    /// What may be used beyond tables, where the warehouse has it and nothing is in the way.
    pub(crate) fn extras(&self, permits: &Permits<'a>) -> Extras {
        let mut each = permits.0.iter().map(|list| named(list));
        let mut extras = each.next().unwrap_or_default();
        for other in each {
            extras.workspace = extras.workspace.min(other.workspace);
            extras.functions.retain(|f| other.functions.contains(f));
            extras.types.retain(|t| other.types.contains(t));
            extras.extensions.retain(|e| other.extensions.contains(e));
            extras.channels.retain(|c| other.channels.contains(c));
        }
        let catalog = &self.snapshot.catalog;
        extras.functions.retain(|function| openable::opens_function(catalog, function));
        extras.types.retain(|found| openable::opens_type(catalog, found));
        extras.members =
            extras.extensions.iter().filter_map(|name| self.resolved.extension(name).cloned()).collect();
        extras.extensions = extras.members.iter().map(|extension| extension.name.clone()).collect();
        extras
    }

    /// Notes the keys whose masks the session may undo on a relation: of masks that are in force for it, on columns it has the
    /// right for.
    pub(crate) fn unmask(
        &self,
        permits: &Permits<'a>,
        access: &Access,
        keys: &mut BTreeMap<String, BTreeSet<String>>,
    ) {
        if access.undone_by.is_empty() || !permits.0.iter().all(|list| columns(list).next().is_some()) {
            return;
        }
        let Some(relation) = self.snapshot.catalog.relations.get(&access.relation) else {
            return;
        };
        for (name, undone_by) in &access.undone_by {
            let Some(column) = relation.column(name) else {
                continue;
            };
            let has_right = |list: &Vec<&Permit>| {
                columns(list).any(|columns| column_depth(columns, relation, column).is_some())
            };
            if !permits.0.is_empty() && permits.0.iter().all(has_right) {
                let full = format!("{}.{name}", access.relation);
                for key in undone_by {
                    keys.entry(key.clone()).or_default().insert(full.clone());
                }
            }
        }
    }
}

fn columns<'p>(list: &'p [&Permit]) -> impl Iterator<Item = &'p Columns> {
    list.iter().filter_map(|permit| match &permit.what {
        Permitted::Unmask(columns) => Some(columns),
        Permitted::Workspace(_)
        | Permitted::Functions(_)
        | Permitted::Types(_)
        | Permitted::Extensions(_)
        | Permitted::Channels(_) => None,
    })
}

fn named(permits: &[&Permit]) -> Extras {
    let mut extras = Extras::default();
    for permit in permits {
        match &permit.what {
            Permitted::Workspace(leftovers) => extras.workspace = extras.workspace.max(Some(*leftovers)),
            Permitted::Functions(list) => extras.functions.extend(list.iter().cloned()),
            Permitted::Types(list) => extras.types.extend(list.iter().cloned()),
            Permitted::Extensions(list) => extras.extensions.extend(list.iter().cloned()),
            Permitted::Channels(list) => extras.channels.extend(list.iter().cloned()),
            // It depends on the columns in sight.
            Permitted::Unmask(_) => {}
        }
    }
    extras
}
