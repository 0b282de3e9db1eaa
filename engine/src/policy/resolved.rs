//! A snapshot's catalog by what policies can name, so that compiling an entitlement costs what it matches.
//!
//! Built once per snapshot, in time linear in the catalog and the policies' targets; what only some principals need is worked
//! out at the first of them and kept. Must never decide: it proposes relations and policies, `matching` has the last word.
//! Called by the judge.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock};

use super::facts::Facts;
use super::matching::{Person, is_like};
use super::model::{ColumnMatch, NamePattern, PartyKind, Policy, Rule, State, TableMatch};
use super::openable;
use crate::approval::{Approval, Approvals, Grantee};
use crate::catalog::{Catalog, Relation, RelationName, TagPath};
use crate::entitlement::Extension;
use crate::snapshot::Snapshot;

/// The index of a snapshot, built when it is first needed; [`Snapshot`] sees to it that it is never of other parts.
#[derive(Clone, Default)]
pub struct SnapshotIndex(OnceLock<Arc<Resolved>>);

impl fmt::Debug for SnapshotIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() { "SnapshotIndex(built)" } else { "SnapshotIndex" })
    }
}

impl SnapshotIndex {
    pub(crate) fn of(snapshot: &Snapshot) -> Arc<Resolved> {
        let resolved = snapshot.index().0.get_or_init(|| Arc::new(Resolved::of(snapshot)));
        Arc::clone(resolved)
    }
}

/// Relations that policies reach, all of them or only some that matter.
pub(crate) struct Reached<'w> {
    /// Those that matter, in order; all without.
    pub(crate) within: Option<&'w [u32]>,
    pub(crate) found: Vec<u32>,
}

/// From so many times more on, looking up beats reading both lists.
const LOOK_UP_FROM: usize = 16;

impl Reached<'_> {
    fn add(&mut self, number: Option<u32>) {
        let matters = |n: &u32| self.within.is_none_or(|within| within.binary_search(n).is_ok());
        self.found.extend(number.filter(matters));
    }

    /// Those of a list in order that matter, in time that follows the shorter of both.
    fn extend(&mut self, numbers: Option<&Vec<u32>>) {
        let numbers = numbers.map_or(&[][..], Vec::as_slice);
        let Some(within) = self.within else {
            self.found.extend(numbers);
            return;
        };
        let (few, many) = if numbers.len() < within.len() { (numbers, within) } else { (within, numbers) };
        if many.len() / LOOK_UP_FROM > few.len() {
            self.found.extend(few.iter().filter(|n| many.binary_search(n).is_ok()));
            return;
        }
        let mut rest = many.iter().peekable();
        for number in few {
            while rest.next_if(|n| *n < number).is_some() {}
            if rest.peek() == Some(&number) {
                self.found.push(*number);
            }
        }
    }
}

/// Relations have numbers here: their place in the catalog's order.
pub(crate) struct Resolved {
    names: Vec<RelationName>,
    numbers: HashMap<RelationName, u32>,
    /// A tag, or one above it -> relations that carry it themselves.
    by_tag: HashMap<String, Vec<u32>>,
    /// The same for relations one of whose columns carries it.
    by_column_tag: HashMap<String, Vec<u32>>,
    by_column: HashMap<String, Vec<u32>>,
    /// Pattern -> relations whose name, or one of whose columns, is LIKE it.
    like_table: HashMap<String, Vec<u32>>,
    like_column: HashMap<String, Vec<u32>>,
    /// The same for regular expressions.
    regex_table: HashMap<String, Vec<u32>>,
    regex_column: HashMap<String, Vec<u32>>,
    /// Live approvals, by place in the snapshot's list.
    of_user: HashMap<String, Vec<usize>>,
    of_agent: HashMap<String, Vec<usize>>,
    facts: Vec<OnceLock<Facts>>,
    /// What permits may open of each extension.
    extensions: BTreeMap<String, Arc<Extension>>,
    /// The snapshot with its shadow policies active.
    what_if: OnceLock<Option<Box<Snapshot>>>,
}

impl Resolved {
    fn of(snapshot: &Snapshot) -> Self {
        let catalog = &snapshot.catalog;
        let mut resolved = Self {
            names: Vec::with_capacity(catalog.relations.len()),
            numbers: HashMap::with_capacity(catalog.relations.len()),
            by_tag: HashMap::new(),
            by_column_tag: HashMap::new(),
            by_column: HashMap::new(),
            like_table: HashMap::new(),
            like_column: HashMap::new(),
            regex_table: HashMap::new(),
            regex_column: HashMap::new(),
            of_user: HashMap::new(),
            of_agent: HashMap::new(),
            facts: Vec::with_capacity(catalog.relations.len()),
            extensions: openable::extensions(catalog),
            what_if: OnceLock::new(),
        };
        for (number, relation) in (0u32..).zip(catalog.relations.values()) {
            resolved.add(number, relation);
        }
        let mut patterns = Patterns::default();
        snapshot.policies.iter().filter(|p| p.state == State::Active).for_each(|p| patterns.of_policy(p));
        let tables = tables_by_name(catalog);
        let columns = resolved.by_column.iter().map(|(name, numbers)| (name.clone(), numbers.clone()));
        let columns = columns.collect();
        resolved.like_table = matched(&patterns.tables, &tables);
        resolved.like_column = matched(&patterns.columns, &columns);
        resolved.regex_table = found_in(&patterns.table_regexes, &tables);
        resolved.regex_column = found_in(&patterns.column_regexes, &columns);
        resolved.add_approvals(&snapshot.approvals);
        resolved
    }

    fn add(&mut self, number: u32, relation: &Relation) {
        self.names.push(relation.name.clone());
        self.numbers.insert(relation.name.clone(), number);
        self.facts.push(OnceLock::new());
        for tag in &relation.tags {
            note_tag(&mut self.by_tag, tag, number);
        }
        for column in &relation.columns {
            note(&mut self.by_column, &column.name, number);
            for tag in &column.tags {
                note_tag(&mut self.by_column_tag, tag, number);
            }
        }
    }

    pub(crate) fn number(&self, name: &RelationName) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    pub(crate) fn name(&self, number: u32) -> Option<&RelationName> {
        self.names.get(index(number))
    }

    /// Numbers of relations a policy could mean, in no order, perhaps twice.
    pub(crate) fn reached(&self, policy: &Policy, found: &mut Reached<'_>) {
        match &policy.rule {
            Rule::Grant(grant) => self.tables(&grant.on.any, found),
            Rule::Guardrail(guardrail) => self.tables(&guardrail.on.any, found),
            Rule::Rows(rows) => self.tables(&rows.of.any, found),
            Rule::Mask(mask) => mask.columns.any.iter().for_each(|one| self.columns(one, found)),
            Rule::Reveal(reveal) => reveal.columns.any.iter().for_each(|one| self.columns(one, found)),
            Rule::Permit(_) | Rule::Purpose(_) => {}
        }
    }

    /// Recursion is bounded by the depth the parser keeps.
    fn tables(&self, any: &[TableMatch], found: &mut Reached<'_>) {
        for one in any {
            match one {
                TableMatch::Tagged(tags) => {
                    tags.iter().for_each(|tag| found.extend(self.by_tag.get(&tag.path.0)));
                }
                TableMatch::Named(names) => {
                    names.iter().for_each(|n| found.add(self.number(&n.relation)));
                }
                TableMatch::Like(patterns) => {
                    patterns.iter().for_each(|pattern| found.extend(self.like_table.get(pattern)));
                }
                TableMatch::WithColumns(columns) => self.columns(columns, found),
                TableMatch::Matching(patterns) => {
                    patterns.iter().for_each(|p| found.extend(self.regex_table.get(p.as_str())));
                }
                // Where all must hold, the relations of any one will do; `matching` sees to the others.
                TableMatch::AllOf(list) => self.tables(&list[..list.len().min(1)], found),
                TableMatch::AnyOf(list) => self.tables(list, found),
            }
        }
    }

    fn columns(&self, one: &ColumnMatch, found: &mut Reached<'_>) {
        match one {
            ColumnMatch::Tagged(tags) => {
                for tag in tags {
                    found.extend(self.by_tag.get(&tag.path.0));
                    found.extend(self.by_column_tag.get(&tag.path.0));
                }
            }
            ColumnMatch::Named(names) => {
                for name in names {
                    match &name.relation {
                        Some(relation) => found.add(self.number(relation)),
                        None => found.extend(self.by_column.get(&name.column)),
                    }
                }
            }
            ColumnMatch::Like(patterns) => {
                patterns.iter().for_each(|pattern| found.extend(self.like_column.get(pattern)));
            }
            ColumnMatch::Matching(patterns) => {
                patterns.iter().for_each(|p| found.extend(self.regex_column.get(p.as_str())));
            }
        }
    }

    /// What policies say about a relation, worked out once per snapshot.
    pub(crate) fn facts(&self, snapshot: &Snapshot, number: u32) -> Option<&Facts> {
        let facts = self.facts.get(index(number))?;
        if let Some(known) = facts.get() {
            return Some(known);
        }
        let relation = snapshot.catalog.relations.get(self.name(number)?)?;
        Some(facts.get_or_init(|| Facts::of(snapshot, relation)))
    }

    /// What would be if its shadow policies were active; nothing when it has none.
    pub(crate) fn what_if(&self, snapshot: &Snapshot) -> Option<&Snapshot> {
        let build = || {
            let policies = snapshot.policies.with_shadows()?;
            let mut what_if = snapshot.clone();
            what_if.policies = policies;
            Some(Box::new(what_if))
        };
        self.what_if.get_or_init(build).as_deref()
    }

    /// An extension that is there and may be opened.
    pub(crate) fn extension(&self, name: &str) -> Option<&Arc<Extension>> {
        self.extensions.get(name)
    }

    fn add_approvals(&mut self, approvals: &Approvals) {
        for (place, approval) in approvals.all.iter().enumerate() {
            let (list, id) = match &approval.grantee {
                Grantee::User(id) => (&mut self.of_user, id.as_str()),
                Grantee::Agent(id) => (&mut self.of_agent, id.as_str()),
            };
            if approvals.is_live(approval) {
                list.entry(id.to_owned()).or_default().push(place);
            }
        }
    }

    /// Live approvals for a person.
    pub(crate) fn approvals<'s>(
        &self,
        snapshot: &'s Snapshot,
        person: &Person<'_>,
    ) -> impl Iterator<Item = &'s Approval> + use<'s> {
        let list = match person.kind {
            PartyKind::Agents => self.of_agent.get(person.id),
            PartyKind::Users | PartyKind::Everyone => self.of_user.get(person.id),
        };
        let places = list.cloned().unwrap_or_default();
        places.into_iter().filter_map(|place| snapshot.approvals.all.get(place))
    }
}

/// Patterns of policies.
#[derive(Default)]
struct Patterns<'a> {
    tables: Vec<&'a str>,
    columns: Vec<&'a str>,
    table_regexes: Vec<&'a NamePattern>,
    column_regexes: Vec<&'a NamePattern>,
}

impl<'a> Patterns<'a> {
    fn of_policy(&mut self, policy: &'a Policy) {
        match &policy.rule {
            Rule::Grant(grant) => self.of_tables(&grant.on.any),
            Rule::Guardrail(guardrail) => self.of_tables(&guardrail.on.any),
            Rule::Rows(rows) => self.of_tables(&rows.of.any),
            Rule::Mask(mask) => mask.columns.any.iter().for_each(|one| self.of_columns(one)),
            Rule::Reveal(reveal) => reveal.columns.any.iter().for_each(|one| self.of_columns(one)),
            Rule::Permit(_) | Rule::Purpose(_) => {}
        }
    }

    /// Recursion is bounded by the depth the parser keeps.
    fn of_tables(&mut self, any: &'a [TableMatch]) {
        for one in any {
            match one {
                TableMatch::Like(patterns) => self.tables.extend(patterns.iter().map(String::as_str)),
                TableMatch::WithColumns(columns) => self.of_columns(columns),
                TableMatch::Matching(patterns) => self.table_regexes.extend(patterns),
                TableMatch::AllOf(list) | TableMatch::AnyOf(list) => self.of_tables(list),
                TableMatch::Tagged(_) | TableMatch::Named(_) => {}
            }
        }
    }

    fn of_columns(&mut self, one: &'a ColumnMatch) {
        match one {
            ColumnMatch::Like(patterns) => self.columns.extend(patterns.iter().map(String::as_str)),
            ColumnMatch::Matching(patterns) => self.column_regexes.extend(patterns),
            ColumnMatch::Tagged(_) | ColumnMatch::Named(_) => {}
        }
    }
}

fn tables_by_name(catalog: &Catalog) -> BTreeMap<String, Vec<u32>> {
    (0u32..).zip(catalog.relations.keys()).map(|(n, name)| (name.to_string(), vec![n])).collect()
}

/// Each pattern against the names that share the characters it starts with.
fn matched(patterns: &[&str], names: &BTreeMap<String, Vec<u32>>) -> HashMap<String, Vec<u32>> {
    let mut found: HashMap<String, Vec<u32>> = HashMap::new();
    for pattern in patterns {
        if found.contains_key(*pattern) {
            continue;
        }
        let start = pattern.split(['%', '_', '\\']).next().unwrap_or_default();
        let near = names.range(start.to_owned()..).take_while(|(name, _)| name.starts_with(start));
        let numbers = near.filter(|(name, _)| is_like(name, pattern)).flat_map(|(_, n)| n);
        found.insert((*pattern).to_owned(), sorted(numbers));
    }
    found
}

/// Each regular expression against every name: such a policy names no place to look.
fn found_in(patterns: &[&NamePattern], names: &BTreeMap<String, Vec<u32>>) -> HashMap<String, Vec<u32>> {
    let mut found: HashMap<String, Vec<u32>> = HashMap::new();
    for pattern in patterns {
        if !found.contains_key(pattern.as_str()) {
            let numbers = names.iter().filter(|(name, _)| pattern.is_in(name)).flat_map(|(_, n)| n);
            found.insert(pattern.as_str().to_owned(), sorted(numbers));
        }
    }
    found
}

fn sorted<'n>(numbers: impl Iterator<Item = &'n u32>) -> Vec<u32> {
    let mut numbers: Vec<u32> = numbers.copied().collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Notes a relation once, also when several of its tags or columns lead there.
fn note(list: &mut HashMap<String, Vec<u32>>, key: &str, number: u32) {
    match list.get_mut(key) {
        Some(numbers) if numbers.last() == Some(&number) => {}
        Some(numbers) => numbers.push(number),
        None => {
            list.insert(key.to_owned(), vec![number]);
        }
    }
}

/// A policy on `PII` means `PII.Email` too: every beginning that ends at a dot.
fn note_tag(list: &mut HashMap<String, Vec<u32>>, tag: &TagPath, number: u32) {
    let ends = tag.0.match_indices('.').map(|(n, _)| n);
    for end in ends.chain([tag.0.len()]) {
        if let Some(path) = tag.0.get(..end) {
            note(list, path, number);
        }
    }
}
