//! Names that policies use and nothing has: tags, tables, columns, people, groups, attributes, purposes.
//!
//! Must never decide access. Called by `check`.

use std::collections::BTreeSet;

use super::Checker;
use crate::catalog::TagPath;
use crate::identity::PurposeName;
use crate::policy::judge;
use crate::policy::model::{
    ColumnMatch, Columns, Party, PartyKind, Place, Question, Rule, Scope, State, TableMatch, Tables, Tag,
    Watches, Who,
};
use crate::policy::text::diagnostic::{Problem, did_you_mean};
use crate::snapshot::Snapshot;

/// Names that exist.
pub(super) struct Known<'a> {
    pub(super) tags: BTreeSet<&'a str>,
    pub(super) user_attributes: BTreeSet<&'a str>,
    pub(super) agent_attributes: BTreeSet<&'a str>,
    pub(super) user_groups: BTreeSet<&'a str>,
    pub(super) agent_groups: BTreeSet<&'a str>,
}

impl<'a> Known<'a> {
    pub(super) fn of(snapshot: &'a Snapshot) -> Self {
        let mut tags = BTreeSet::from([TagPath::AGENT_TOOL, "Agent", judge::NEW]);
        for tag in &snapshot.tags.definitions {
            // A tag makes the paths above it known.
            let ends = tag.0.match_indices('.').map(|(n, _)| n);
            tags.extend(ends.chain([tag.0.len()]).filter_map(|end| tag.0.get(..end)));
        }
        let users = || snapshot.identities.users.values();
        let agents = || snapshot.identities.agents.values();
        Self {
            tags,
            user_attributes: users().flat_map(|u| u.attributes.keys()).map(String::as_str).collect(),
            agent_attributes: agents().flat_map(|a| a.attributes.keys()).map(String::as_str).collect(),
            user_groups: users().flat_map(|u| &u.groups).map(String::as_str).collect(),
            agent_groups: agents().flat_map(|a| &a.groups).map(String::as_str).collect(),
        }
    }

    pub(super) fn of_kind<'s>(
        kind: PartyKind,
        users: &'s BTreeSet<&'a str>,
        agents: &'s BTreeSet<&'a str>,
    ) -> Box<dyn Iterator<Item = &'a str> + 's> {
        match kind {
            PartyKind::Users => Box::new(users.iter().copied()),
            PartyKind::Agents => Box::new(agents.iter().copied()),
            PartyKind::Everyone => Box::new(users.union(agents).copied()),
        }
    }
}

impl<'a> Checker<'a> {
    pub(super) fn tags_known(&mut self, tags: &[Tag]) {
        for tag in tags {
            self.tag(&tag.path, tag.place);
        }
    }

    pub(super) fn tag(&mut self, path: &TagPath, place: Place) {
        if self.known.tags.contains(path.0.as_str()) {
            return;
        }
        let hint = did_you_mean(&path.0, self.known.tags.iter().copied())
            .unwrap_or_else(|| "define the tag first".to_owned());
        self.error(place, Problem::new(format!("the tag '{path}' is not defined")).hint(hint));
    }

    pub(super) fn tables(&mut self, tables: &'a Tables) {
        // The stack grows with the nesting, not the call depth.
        let mut stack: Vec<&TableMatch> = tables.any.iter().rev().collect();
        while let Some(one) = stack.pop() {
            match one {
                TableMatch::AllOf(list) | TableMatch::AnyOf(list) => stack.extend(list.iter().rev()),
                TableMatch::Tagged(tags) => self.tags_known(tags),
                TableMatch::Named(names) => {
                    for name in names {
                        if !self.snapshot.catalog.relations.contains_key(&name.relation) {
                            self.no_table(&name.relation.to_string(), name.place);
                        }
                    }
                }
                TableMatch::Like(_) | TableMatch::Matching(_) => {}
                TableMatch::WithColumns(columns) => self.column_match(columns),
            }
        }
    }

    pub(super) fn no_table(&mut self, table: &str, place: Place) {
        let names: Vec<String> = self.snapshot.catalog.relations.keys().map(ToString::to_string).collect();
        let problem = Problem::new(format!("the warehouse has no table '{table}'"));
        let problem = match did_you_mean(table, names.iter().map(String::as_str)) {
            Some(hint) => problem.hint(hint),
            None => problem,
        };
        self.warning(place, problem);
    }

    pub(super) fn columns(&mut self, columns: &'a Columns) {
        for one in &columns.any {
            self.column_match(one);
        }
        if let Some(of) = &columns.of {
            self.tables(of);
        }
    }

    pub(super) fn column_match(&mut self, one: &'a ColumnMatch) {
        match one {
            ColumnMatch::Tagged(tags) => self.tags_known(tags),
            ColumnMatch::Like(_) | ColumnMatch::Matching(_) => {}
            ColumnMatch::Named(names) => {
                for name in names {
                    let catalog = &self.snapshot.catalog.relations;
                    let Some(table) = &name.relation else {
                        let any = catalog.values().any(|r| r.column(&name.column).is_some());
                        if !any {
                            let problem = format!("no table has a column '{}'", name.column);
                            self.error(name.place, Problem::new(problem));
                        }
                        continue;
                    };
                    match catalog.get(table) {
                        None => self.no_table(&table.to_string(), name.place),
                        Some(relation) if relation.column(&name.column).is_none() => {
                            let problem = format!("'{table}' has no column '{}'", name.column);
                            let columns = relation.columns.iter().map(|c| c.name.as_str());
                            let hint = did_you_mean(&name.column, columns)
                                .unwrap_or_else(|| "name a column it has".to_owned());
                            self.error(name.place, Problem::new(problem).hint(hint));
                        }
                        Some(_) => {}
                    }
                }
            }
        }
    }

    pub(super) fn scope(&mut self, scope: &Scope, watches: Watches) {
        match scope {
            Scope::Everyone => {}
            Scope::Except(who) | Scope::Only(who) => self.who(who, watches),
        }
    }

    pub(super) fn who(&mut self, who: &Who, watches: Watches) {
        for party in &who.any {
            if watches == Watches::Actor && party.kind == PartyKind::Users {
                let place = party.condition.as_ref().and_then(|c| c.tests().next()).map(|t| t.place);
                let problem =
                    Problem::new("this policy looks at the acting agent, which is never one of the users");
                if let Some(place) = place {
                    self.warning(place, problem.hint("name agents here, or leave 'when an agent acts' out"));
                }
            }
            self.party(party);
        }
    }

    pub(super) fn party(&mut self, party: &Party) {
        for test in party.condition.iter().flat_map(|c| c.tests()) {
            match &test.question {
                Question::Attribute { name, .. } => {
                    let known =
                        Known::of_kind(party.kind, &self.known.user_attributes, &self.known.agent_attributes);
                    let known: Vec<&str> = known.collect();
                    self.attribute(name, &known, test.place);
                }
                Question::Group(groups) => {
                    let known = Known::of_kind(party.kind, &self.known.user_groups, &self.known.agent_groups);
                    let known: Vec<&str> = known.collect();
                    for group in groups.iter().filter(|g| !known.contains(&g.as_str())) {
                        let hint = did_you_mean(group, known.iter().copied())
                            .unwrap_or_else(|| "put someone into it, or correct the name".to_owned());
                        let problem = Problem::new(format!("nobody is in the group '{group}'"));
                        self.warning(test.place, problem.hint(hint));
                    }
                }
                Question::Id(ids) => self.ids(party.kind, ids, test.place),
                Question::Purpose(list) => {
                    for purpose in list {
                        self.purpose(purpose, test.place);
                    }
                }
            }
        }
    }

    /// A purpose is known when it, or one below it, is declared.
    pub(super) fn purpose(&mut self, purpose: &PurposeName, place: Place) {
        let declared: Vec<&str> = self
            .snapshot
            .policies
            .iter()
            .filter(|p| matches!(p.rule, Rule::Purpose(_)) && p.state != State::Disabled)
            .map(|p| p.name.as_str())
            .collect();
        let known = declared.iter().filter_map(|d| PurposeName::parse(d).ok()).any(|d| d.is_under(purpose));
        if known {
            return;
        }
        let hint = did_you_mean(purpose.as_str(), declared.iter().copied())
            .unwrap_or_else(|| format!("declare it: purpose {purpose} 'what one acknowledges' to …"));
        self.error(place, Problem::new(format!("the purpose '{purpose}' is not declared")).hint(hint));
    }

    pub(super) fn ids(&mut self, kind: PartyKind, ids: &[String], place: Place) {
        let identities = &self.snapshot.identities;
        for id in ids {
            let user = identities.users.keys().any(|u| u.as_str() == id);
            let agent = identities.agents.keys().any(|a| a.as_str() == id);
            let known = match kind {
                PartyKind::Users => user,
                PartyKind::Agents => agent,
                PartyKind::Everyone => user || agent,
            };
            if !known {
                self.warning(place, Problem::new(format!("nobody is called '{id}'")));
            }
        }
    }

    pub(super) fn attribute(&mut self, name: &str, known: &[&str], place: Place) {
        if known.contains(&name) {
            return;
        }
        let hint = did_you_mean(name, known.iter().copied())
            .unwrap_or_else(|| "give it to someone, or correct the name".to_owned());
        let problem = Problem::new(format!("nobody has the attribute '{name}'"));
        self.error(place, problem.hint(hint));
    }
}
