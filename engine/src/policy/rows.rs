//! Which rows of one relation one subject sees (policy.md §4).
//!
//! Must never bake a principal's values into SQL, nor show a row where something is missing or unknown. Called by the judge and
//! `check`.

use std::collections::{BTreeMap, BTreeSet};

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

/// What a row policy says to one person.
pub(crate) fn rows_say<'a>(rows: &'a Rows, person: &Person<'_>) -> &'a RowsShown {
    if !in_scope(&rows.scope, person) {
        return &RowsShown::All;
    }
    let branch = rows.branches.iter().find(|b| person.is(&b.who));
    branch.map_or(&rows.otherwise, |b| &b.shown)
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

/// Why a row policy does not compile on a table, whoever asks.
pub(crate) fn broken(policy: &str, rows: &Rows, ground: &Ground<'_>) -> Option<Reason> {
    let wrong = rows
        .all_shown()
        .find_map(|shown| kinds::compile(shown, ground, Holder::User, &Values::Open).err())?;
    Some(Reason::DoesNotCompile { policy: policy.to_owned(), problem: wrong.message })
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
    pub(crate) fn rows(&self, relation: &'a Relation, subject: &Person<'a>) -> Result<Filter, Vec<Reason>> {
        let (number, facts) = self.facts(relation)?;
        // Every branch must compile, also those for others: a table is right or denied.
        let broken: Vec<Reason> = (facts.broken.iter())
            .filter(|(n, _)| self.policies.get(*n).is_some_and(|p| self.watched(p, subject).next().is_some()))
            .map(|(_, reason)| reason.clone())
            .collect();
        if !broken.is_empty() {
            return Err(broken);
        }
        let [of_subject, of_actor] = self.scoped(number, subject);
        let candidates = merged([&facts.open_rows, of_subject, of_actor]);
        let ground = Ground::of(&self.snapshot.catalog, relation);
        let mut policies = BTreeSet::new();
        let mut filter = Filter {
            policies: Vec::new(),
            condition: None,
            reads: BTreeMap::new(),
            keys: BTreeSet::new(),
            parts: Vec::new(),
        };
        let mut parts: BTreeSet<(&str, String)> = BTreeSet::new();
        for policy in self.lane(candidates, relation) {
            let Rule::Rows(rows) = &policy.rule else {
                continue;
            };
            if is_skipped(rows, relation) {
                continue;
            }
            for person in self.watched(policy, subject) {
                if let Some(sql) = self.part(rows_say(rows, &person), &ground, &person, &mut filter) {
                    policies.insert(policy.name.as_str());
                    parts.insert((&policy.name, sql));
                }
            }
        }
        let parts: Vec<String> = parts.into_iter().map(|(_, sql)| sql).collect();
        filter.condition = match parts.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            many => Some(many.iter().map(|p| format!("({p})")).collect::<Vec<_>>().join(" AND ")),
        };
        filter.parts = parts;
        filter.policies = policies.into_iter().map(str::to_owned).collect();
        Ok(filter)
    }

    /// The condition of what one policy shows one person; `None` for every row.
    fn part(
        &self,
        shown: &RowsShown,
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
                Some(match kinds::compile(shown, ground, holder(person.kind), &Values::Open) {
                    Ok(part) => self.close(part, filter),
                    Err(_) => "FALSE".to_owned(),
                })
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

    /// An empty attribute makes the whole predicate FALSE; else it is noted.
    fn close(&self, part: Part, filter: &mut Filter) -> String {
        if !part.reads.values().all(|read| self.has_values(read)) {
            return "FALSE".to_owned();
        }
        filter.reads.extend(part.reads);
        filter.keys.extend(part.keys);
        part.sql
    }
}
