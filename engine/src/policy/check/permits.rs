//! Findings about `allow function | type | extension | channel | unmask`.
//!
//! Must never make an error of what the warehouse alone decides: a function that changes there closes itself, and governance that
//! was published must stay so. Called by `check`.

use super::{Checker, means_column};
use crate::catalog::{Catalog, RelationName};
use crate::policy::model::{Columns, Mask, Masking, Permitted, Policy, Rule, State};
use crate::policy::openable;
use crate::policy::text::diagnostic::Problem;

impl<'a> Checker<'a> {
    pub(super) fn permitted(&mut self, policy: &'a Policy, what: &'a Permitted) {
        match what {
            // A channel is there as soon as somebody names it.
            Permitted::Workspace(_) | Permitted::Channels(_) => {}
            Permitted::Functions(list) => {
                let closed = |catalog: &Catalog, name: &RelationName| {
                    let overloads = catalog.functions.get(name).map_or(&[][..], Vec::as_slice);
                    openable::closed_function(name, overloads)
                };
                self.objects(policy, "function", list, |c, name| c.functions.contains_key(name), closed);
            }
            Permitted::Types(list) => {
                self.objects(
                    policy,
                    "type",
                    list,
                    |c, name| c.types.contains_key(name),
                    openable::closed_type,
                );
            }
            Permitted::Extensions(list) => {
                for name in list {
                    let missing = self.knows_objects() && !self.snapshot.catalog.extensions.contains(name);
                    match openable::closed_extension(name) {
                        Some(why) => self.error(policy.place, stays_closed("extension", name, why)),
                        None if missing => self.warning(policy.place, is_missing("extension", name)),
                        None => {}
                    }
                }
            }
            Permitted::Unmask(columns) => self.unmask(policy, columns),
        }
    }

    fn objects(
        &mut self,
        policy: &Policy,
        kind: &str,
        list: &[RelationName],
        is_there: fn(&Catalog, &RelationName) -> bool,
        closed: fn(&Catalog, &RelationName) -> Option<&'static str>,
    ) {
        for name in list {
            let catalog = &self.snapshot.catalog;
            let missing = self.knows_objects() && !is_there(catalog, name);
            let closed = closed(catalog, name);
            let name_of = name.to_string();
            match (openable::closed_schema(&name.schema), closed) {
                (Some(why), _) => self.error(policy.place, stays_closed(kind, &name_of, why)),
                (None, Some(why)) => self.warning(policy.place, stays_closed(kind, &name_of, why)),
                (None, None) if missing => self.warning(policy.place, is_missing(kind, &name_of)),
                (None, None) => {}
            }
        }
    }

    /// A catalog that was not read from a warehouse has no objects but relations.
    fn knows_objects(&self) -> bool {
        !self.snapshot.catalog.extensions.is_empty()
    }

    /// The right undoes what masks do on these columns; without such a mask it does nothing.
    fn unmask(&mut self, policy: &Policy, columns: &'a Columns) {
        self.columns(columns);
        let reversible = |masking: &Masking| {
            matches!(masking, Masking::With { mask: Mask::Reversible { .. } | Mask::Token, .. })
        };
        let snapshot = self.snapshot;
        let masks = |rule: &Rule| match rule {
            Rule::Mask(rule) if rule.maskings().any(reversible) => Some(rule.columns.clone()),
            _ => None,
        };
        let active = snapshot.policies.iter().filter(|p| p.state == State::Active);
        let undone: Vec<Columns> = active.filter_map(|p| masks(&p.rule)).collect();
        let mut all = snapshot.catalog.relations.values().flat_map(|r| r.columns.iter().map(move |c| (r, c)));
        let helps = all.any(|(relation, column)| {
            means_column(columns, relation, column)
                && undone.iter().any(|masked| means_column(masked, relation, column))
        });
        if !helps {
            let problem = Problem::new(format!("the policy '{}' has nothing to undo", policy.name));
            self.warning(
                policy.place,
                problem.hint("no 'reversible' or 'token' mask stands on these columns"),
            );
        }
    }
}

fn stays_closed(kind: &str, name: &str, why: &str) -> Problem {
    Problem::new(format!("the {kind} '{name}' cannot be let through: {why}"))
}

fn is_missing(kind: &str, name: &str) -> Problem {
    Problem::new(format!("the warehouse has no {kind} '{name}'"))
}
