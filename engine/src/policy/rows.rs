//! Which rows of one relation one subject sees (policy.md §4).
//!
//! Must never bake a principal's values into SQL, nor show a row where something is missing or unknown. Called by the judge and
//! `check`.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::Facts;
use super::held::merged;
use super::judge::{Reason, Session};
use super::kinds::{self, Part};
use super::matching::Person;
use super::model::{Missing, PartyKind, Rows, RowsShown, Rule, Scope};
use super::predicate::compile::{Ground, Read, Values};
use super::predicate::{Attribute, Expr, Holder, Literal, Named};
use super::types::SqlType;
use crate::catalog::Relation;

/// Row rules put together.
#[derive(Default)]
pub(crate) struct Filter {
    /// Those that limit, in order of name.
    pub(crate) policies: Vec<String>,
    /// All of them; absent when every row is shown.
    pub(crate) condition: Option<String>,
    /// Key of `session_attribute` -> what it holds.
    pub(crate) reads: BTreeMap<String, Read>,
    /// Ids in `mask_key`.
    pub(crate) keys: BTreeSet<String>,
    /// The conditions that are ANDed.
    pub(crate) parts: Vec<String>,
}

/// Which branch of a row policy speaks to one person, by its place among all it could show; none when it is for others.
fn place(rows: &Rows, person: &Person<'_>) -> Option<usize> {
    let branch = || rows.branches.iter().position(|b| person.is(&b.who)).unwrap_or(rows.branches.len());
    in_scope(&rows.scope, person).then(branch)
}

/// What a row policy says to one person.
pub(crate) fn rows_say<'a>(rows: &'a Rows, person: &Person<'_>) -> &'a RowsShown {
    place(rows, person).and_then(|n| rows.all_shown().nth(n)).unwrap_or(&RowsShown::All)
}

pub(crate) fn in_scope(scope: &Scope, person: &Person<'_>) -> bool {
    match scope {
        Scope::Everyone => true,
        Scope::Except(these) => !person.is(these),
        Scope::Only(these) => person.is(these),
    }
}

/// Does the policy mean the table at all, seen from the columns it needs?
pub(crate) fn is_skipped(rows: &Rows, relation: &Relation) -> bool {
    rows.missing == Missing::Skip && rows.all_shown().any(|shown| kinds::lacks_a_tag(shown, relation))
}

/// Whose attributes `whose …` means.
pub(crate) fn holder(kind: PartyKind) -> Holder {
    match kind {
        PartyKind::Agents => Holder::Agent,
        PartyKind::Users | PartyKind::Everyone => Holder::User,
    }
}

/// Does what is shown mean another column's values when an agent is looked at instead of a user?
fn asks_whose(shown: &RowsShown) -> bool {
    match shown {
        RowsShown::Whose(_) => true,
        RowsShown::Through(through) => asks_whose(&through.shown),
        RowsShown::All
        | RowsShown::None
        | RowsShown::Where(_)
        | RowsShown::Window(_)
        | RowsShown::Share(_)
        | RowsShown::Purpose(_) => false,
    }
}

impl<'a> Session<'a> {
    /// The values of an attribute in this session that read as the type.
    pub(crate) fn values(&self, attribute: &Attribute, as_type: SqlType) -> Vec<String> {
        let person = match attribute.holder {
            Holder::User => &self.user,
            Holder::Agent => &self.agent,
            Holder::Session => {
                let line = self.purpose.into_iter().flat_map(|p| p.line());
                return line.filter(|v| as_type.reads(v)).map(str::to_owned).collect();
            }
        };
        let Some(person) = person else {
            return Vec::new();
        };
        match &attribute.name {
            Named::Id => vec![person.id.to_owned()],
            Named::Groups => person.groups.iter().cloned().collect(),
            Named::Purpose => Vec::new(),
            Named::Attribute(name) => match person.attributes.get(name) {
                Some(values) => values.iter().cloned().collect(),
                None => Vec::new(),
            },
        }
        .into_iter()
        .filter(|v| as_type.reads(v))
        .collect()
    }

    /// Every row policy on a relation, put together for one subject.
    pub(crate) fn rows(
        &self,
        facts: &Facts,
        [of_subject, of_actor]: [&[u32]; 2],
        subject: &Person<'a>,
        relation: &'a Relation,
    ) -> Result<Filter, Vec<Reason>> {
        // Every branch must compile, also those for others: a table is right or denied.
        let looks = |n: u32| self.policies.get(n).is_some_and(|p| self.watched(p, subject).next().is_some());
        let broken = facts.rows.iter().filter(|row| row.shown.is_err() && looks(row.policy));
        let broken: Vec<Reason> = broken.filter_map(|row| row.shown.as_ref().err().cloned()).collect();
        if !broken.is_empty() {
            return Err(broken);
        }
        let ground = Ground::of(&self.snapshot.catalog, relation);
        let mut filter = Filter::default();
        let mut parts: BTreeSet<(&str, String)> = BTreeSet::new();
        for row in merged([&facts.open_rows, of_subject, of_actor]).into_iter().filter_map(|n| facts.row(n)) {
            let Some((policy, Rule::Rows(rows))) = self.policies.get(row.policy).map(|p| (p, &p.rule)) else {
                continue;
            };
            for person in self.watched(policy, subject) {
                let Some(place) = place(rows, &person) else {
                    continue;
                };
                let known = row.shown.as_ref().ok().and_then(|shown| shown.get(place));
                let shown = rows.all_shown().nth(place).unwrap_or(&RowsShown::None);
                if let Some(sql) = self.part(shown, known, &ground, &person, &mut filter) {
                    parts.insert((&policy.name, sql));
                }
            }
        }
        filter.policies = parts.iter().map(|(policy, _)| (*policy).to_owned()).collect();
        filter.policies.dedup();
        filter.parts = parts.into_iter().map(|(_, sql)| sql).collect();
        filter.condition = match filter.parts.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            many => Some(many.iter().map(|p| format!("({p})")).collect::<Vec<_>>().join(" AND ")),
        };
        Ok(filter)
    }

    /// The condition of what one policy shows one person, as it is known to compile for a user; `None` for every row.
    fn part(
        &self,
        shown: &RowsShown,
        known: Option<&Part>,
        ground: &Ground<'_>,
        person: &Person<'a>,
        filter: &mut Filter,
    ) -> Option<String> {
        match shown {
            RowsShown::All => None,
            RowsShown::None => Some("FALSE".to_owned()),
            RowsShown::Where(one) if one.expr == Expr::Literal(Literal::Truth(true)) => None,
            RowsShown::Purpose(list) => {
                let under = self.purpose.is_some_and(|mine| list.iter().any(|p| mine.is_under(p)));
                (!under).then(|| "FALSE".to_owned())
            }
            RowsShown::Where(_)
            | RowsShown::Whose(_)
            | RowsShown::Window(_)
            | RowsShown::Share(_)
            | RowsShown::Through(_) => {
                if holder(person.kind) == Holder::Agent && asks_whose(shown) {
                    let of_agent = kinds::compile(shown, ground, Holder::Agent, &Values::Open).ok();
                    return Some(self.close(of_agent.as_ref(), filter));
                }
                Some(self.close(known, filter))
            }
        }
    }

    /// What each matching row policy says, with the values filled in, for people to read.
    pub(crate) fn rows_in_words(
        &self,
        relation: &'a Relation,
        subject: &Person<'a>,
    ) -> Vec<(String, String)> {
        let candidates = self.policies.index().rows.candidates(relation);
        let ground = Ground::of(&self.snapshot.catalog, relation);
        let mut said = Vec::new();
        for policy in self.lane(candidates, relation) {
            let Rule::Rows(rows) = &policy.rule else {
                continue;
            };
            if is_skipped(rows, relation) {
                said.push((policy.name.clone(), "all rows: no column carries the tag it needs".to_owned()));
                continue;
            }
            for person in self.watched(policy, subject) {
                said.push((policy.name.clone(), self.in_words(rows_say(rows, &person), &ground, &person)));
            }
        }
        said
    }

    fn in_words(&self, shown: &RowsShown, ground: &Ground<'_>, person: &Person<'a>) -> String {
        let filled = |attribute: &Attribute, as_type: SqlType| self.values(attribute, as_type);
        match shown {
            RowsShown::All => "all rows".to_owned(),
            RowsShown::None => "no rows".to_owned(),
            RowsShown::Where(one) if one.expr == Expr::Literal(Literal::Truth(true)) => "all rows".to_owned(),
            RowsShown::Purpose(list) => {
                let under = self.purpose.is_some_and(|mine| list.iter().any(|p| mine.is_under(p)));
                let list: Vec<String> = list.iter().map(ToString::to_string).collect();
                let what = if under { "all" } else { "no" };
                format!("{what} rows: they are for purpose {}", list.join(" or "))
            }
            RowsShown::Where(_)
            | RowsShown::Whose(_)
            | RowsShown::Window(_)
            | RowsShown::Share(_)
            | RowsShown::Through(_) => {
                match kinds::compile(shown, ground, holder(person.kind), &Values::Filled(&filled)) {
                    Err(problem) => format!("does not compile: {}", problem.message),
                    Ok(part) => {
                        let empty = part
                            .reads
                            .iter()
                            .find(|(_, read)| self.values(&read.attribute, read.as_type).is_empty());
                        match empty {
                            Some((key, _)) => format!("no rows: '{key}' is empty"),
                            None => part.sql,
                        }
                    }
                }
            }
        }
    }

    /// An empty attribute makes the whole predicate FALSE, and so does what did not compile; else it is noted what is read.
    fn close(&self, part: Option<&Part>, filter: &mut Filter) -> String {
        let Some(part) = part.filter(|part| part.reads.values().all(|read| self.has_values(read))) else {
            return "FALSE".to_owned();
        };
        filter.reads.extend(part.reads.iter().map(|(key, read)| (key.clone(), read.clone())));
        filter.keys.extend(part.keys.iter().cloned());
        part.sql.clone()
    }
}
