//! Which policies could mean a relation, without looking at all of them.
//!
//! Must never leave one out: what it cannot look up by tag or name it always offers. Built once per set of policies.

use std::collections::{BTreeSet, HashMap};

use super::holders::named;
use super::model::{ColumnMatch, Columns, Policy, Rule, State, TableMatch, Tables};
use crate::catalog::{Relation, RelationName};

/// Active policies by kind.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) grants: Lane,
    pub(crate) guardrails: Lane,
    pub(crate) rows: Lane,
    pub(crate) masks: Lane,
    /// Masks that are not for somebody in particular.
    pub(crate) open_masks: Lane,
    pub(crate) reveals: Lane,
    /// They name no table.
    pub(crate) permits: Vec<u32>,
    /// By name.
    pub(crate) purposes: HashMap<String, u32>,
    /// Policies in state `shadow`, for `explain`.
    pub(crate) shadows: Lane,
}

/// Policies of one kind by what they name.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    by_tag: HashMap<String, Vec<u32>>,
    by_table: HashMap<RelationName, Vec<u32>>,
    by_column: HashMap<String, Vec<u32>>,
    others: Vec<u32>,
}

impl Index {
    pub(crate) fn of(policies: &[Policy]) -> Self {
        let mut index = Self::default();
        for (number, policy) in (0u32..).zip(policies) {
            let lane = match (policy.state, &policy.rule) {
                (State::Active, Rule::Grant(_)) => &mut index.grants,
                (State::Active, Rule::Guardrail(_)) => &mut index.guardrails,
                (State::Active, Rule::Rows(_)) => &mut index.rows,
                (State::Active, Rule::Mask(_)) => &mut index.masks,
                (State::Active, Rule::Reveal(_)) => &mut index.reveals,
                (State::Active, Rule::Permit(_)) => {
                    index.permits.push(number);
                    continue;
                }
                (State::Active, Rule::Purpose(_)) => {
                    index.purposes.insert(policy.name.clone(), number);
                    continue;
                }
                (State::Shadow, _) => &mut index.shadows,
                (State::Draft | State::Staged | State::Disabled, _) => continue,
            };
            lane.add(policy, number);
            if policy.state == State::Active
                && matches!(policy.rule, Rule::Mask(_))
                && named(policy).is_none()
            {
                index.open_masks.add(policy, number);
            }
        }
        index
    }
}

impl Lane {
    pub(crate) fn add(&mut self, policy: &Policy, number: u32) {
        match &policy.rule {
            Rule::Grant(grant) => self.add_tables(&grant.on, number),
            Rule::Guardrail(guardrail) => self.add_tables(&guardrail.on, number),
            Rule::Rows(rows) => self.add_tables(&rows.of, number),
            Rule::Mask(mask) => self.add_columns(&mask.columns, number),
            Rule::Reveal(reveal) => self.add_columns(&reveal.columns, number),
            Rule::Permit(_) | Rule::Purpose(_) => {}
        }
    }

    fn add_tables(&mut self, tables: &Tables, number: u32) {
        self.add_table_matches(&tables.any, number);
    }

    /// Recursion is bounded by the depth the parser keeps.
    fn add_table_matches(&mut self, any: &[TableMatch], number: u32) {
        for one in any {
            match one {
                TableMatch::Tagged(tags) => {
                    for tag in tags {
                        self.by_tag.entry(tag.path.0.clone()).or_default().push(number);
                    }
                }
                TableMatch::Named(names) => {
                    for name in names {
                        self.by_table.entry(name.relation.clone()).or_default().push(number);
                    }
                }
                TableMatch::Like(_) | TableMatch::Matching(_) => self.others.push(number),
                // Where all must hold, the places of any one will do; the first is as good as another.
                TableMatch::AllOf(list) => self.add_table_matches(&list[..list.len().min(1)], number),
                TableMatch::AnyOf(list) => self.add_table_matches(list, number),
                TableMatch::WithColumns(columns) => self.add_column_match(columns, number),
            }
        }
    }

    fn add_columns(&mut self, columns: &Columns, number: u32) {
        for one in &columns.any {
            self.add_column_match(one, number);
        }
    }

    fn add_column_match(&mut self, one: &ColumnMatch, number: u32) {
        match one {
            ColumnMatch::Tagged(tags) => {
                for tag in tags {
                    self.by_tag.entry(tag.path.0.clone()).or_default().push(number);
                }
            }
            ColumnMatch::Named(names) => {
                for name in names {
                    match &name.relation {
                        Some(table) => self.by_table.entry(table.clone()).or_default().push(number),
                        None => self.by_column.entry(name.column.clone()).or_default().push(number),
                    }
                }
            }
            ColumnMatch::Like(_) | ColumnMatch::Matching(_) => self.others.push(number),
        }
    }

    /// Numbers of the policies that could mean the relation or a column of it, oldest first.
    pub(crate) fn candidates(&self, relation: &Relation) -> BTreeSet<u32> {
        let mut found: BTreeSet<u32> = self.others.iter().copied().collect();
        let mut add = |numbers: Option<&Vec<u32>>| found.extend(numbers.into_iter().flatten());
        add(self.by_table.get(&relation.name));
        if !self.by_column.is_empty() {
            for column in &relation.columns {
                add(self.by_column.get(&column.name));
            }
        }
        if !self.by_tag.is_empty() {
            let of_columns = relation.columns.iter().flat_map(|c| &c.tags);
            for tag in relation.tags.iter().chain(of_columns) {
                // A policy on `PII` means `PII.Email` too: every beginning that ends at a dot.
                let ends = tag.0.match_indices('.').map(|(n, _)| n);
                for end in ends.chain([tag.0.len()]) {
                    add(tag.0.get(..end).and_then(|t| self.by_tag.get(t)));
                }
            }
        }
        found
    }
}
