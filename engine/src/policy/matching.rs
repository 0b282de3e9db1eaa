//! Does a policy's phrase mean this person, this table, this column?
//!
//! Must never consult tag definitions: what is assigned counts (policy.md §2). Called by the judge, `check` and `explain`.

use std::collections::BTreeSet;

use super::model::{
    ColumnMatch, Columns, Condition, Party, PartyKind, Question, TableMatch, Tables, Test, Who,
};
use crate::catalog::{Column, Relation, TagPath};
use crate::identity::{Agent, Attributes, PurposeName, User};

/// A user or an agent, as policies see them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Person<'a> {
    /// Never [`PartyKind::Everyone`].
    pub(crate) kind: PartyKind,
    pub(crate) id: &'a str,
    pub(crate) groups: &'a BTreeSet<String>,
    pub(crate) attributes: &'a Attributes,
    /// What the session is for.
    pub(crate) purpose: Option<&'a PurposeName>,
}

impl<'a> Person<'a> {
    pub(crate) fn user(user: &'a User) -> Self {
        Self {
            kind: PartyKind::Users,
            id: user.id.as_str(),
            groups: &user.groups,
            attributes: &user.attributes,
            purpose: None,
        }
    }

    /// The same person in a session with a purpose.
    pub(crate) fn under(self, purpose: Option<&'a PurposeName>) -> Self {
        Self { purpose, ..self }
    }

    pub(crate) fn agent(agent: &'a Agent) -> Self {
        Self {
            kind: PartyKind::Agents,
            id: agent.id.as_str(),
            groups: &agent.groups,
            attributes: &agent.attributes,
            purpose: None,
        }
    }

    /// Is this one of them?
    pub(crate) fn is(&self, who: &Who) -> bool {
        who.any.iter().any(|party| self.is_party(party))
    }

    fn is_party(&self, party: &Party) -> bool {
        let kind = party.kind == PartyKind::Everyone || party.kind == self.kind;
        kind && party.condition.as_ref().is_none_or(|condition| self.meets(condition))
    }

    /// Recursion is bounded by the depth the parser keeps.
    fn meets(&self, condition: &Condition) -> bool {
        match condition {
            Condition::All(terms) => terms.iter().all(|t| self.meets(t)),
            Condition::Any(terms) => terms.iter().any(|t| self.meets(t)),
            Condition::Not(one) => !self.meets(one),
            Condition::Test(test) => self.passes(test),
        }
    }

    fn passes(&self, test: &Test) -> bool {
        match &test.question {
            Question::Group(groups) => groups.iter().any(|g| self.groups.contains(g)),
            Question::Id(ids) => ids.iter().any(|id| id == self.id),
            Question::Attribute { name, values } => {
                self.attributes.get(name).is_some_and(|has| values.iter().any(|v| has.contains(v)))
            }
            Question::Purpose(purposes) => {
                self.purpose.is_some_and(|mine| purposes.iter().any(|p| mine.is_under(p)))
            }
        }
    }
}

/// Do the tables mean this relation?
pub(crate) fn is_table(tables: &Tables, relation: &Relation) -> bool {
    tables.any.iter().any(|one| table_match(one, relation))
}

/// Recursion is bounded by the depth the parser keeps.
fn table_match(one: &TableMatch, relation: &Relation) -> bool {
    match one {
        TableMatch::Tagged(tags) => {
            tags.iter().any(|tag| relation.tags.iter().any(|t| t.is_under(&tag.path)))
        }
        TableMatch::Named(names) => names.iter().any(|n| n.relation == relation.name),
        TableMatch::Like(patterns) => {
            let name = relation.name.to_string();
            patterns.iter().any(|p| is_like(&name, p))
        }
        TableMatch::WithColumns(columns) => {
            relation.columns.iter().any(|c| column_match(columns, relation, c).is_some())
        }
        TableMatch::Matching(patterns) => {
            let name = relation.name.to_string();
            patterns.iter().any(|p| p.is_in(&name))
        }
        TableMatch::AllOf(list) => list.iter().all(|m| table_match(m, relation)),
        TableMatch::AnyOf(list) => list.iter().any(|m| table_match(m, relation)),
    }
}

/// How deep a name counts.
const NAME_DEPTH: usize = usize::MAX;

/// Do the columns mean this one, and how deeply (policy.md §5)?
pub(crate) fn column_depth(columns: &Columns, relation: &Relation, column: &Column) -> Option<usize> {
    if columns.of.as_ref().is_some_and(|of| !is_table(of, relation)) {
        return None;
    }
    columns.any.iter().filter_map(|one| column_match(one, relation, column)).max()
}

fn column_match(one: &ColumnMatch, relation: &Relation, column: &Column) -> Option<usize> {
    match one {
        // A tag on a container applies to what it contains.
        ColumnMatch::Tagged(tags) => {
            let under = |path: &TagPath| {
                let mut own = column.tags.iter().chain(&relation.tags);
                own.any(|t| t.is_under(path))
            };
            tags.iter().filter(|tag| under(&tag.path)).map(|tag| tag.path.depth()).max()
        }
        ColumnMatch::Named(names) => names
            .iter()
            .any(|n| n.column == column.name && n.relation.as_ref().is_none_or(|r| *r == relation.name))
            .then_some(NAME_DEPTH),
        ColumnMatch::Like(patterns) => {
            patterns.iter().any(|p| is_like(&column.name, p)).then_some(NAME_DEPTH)
        }
        ColumnMatch::Matching(patterns) => {
            patterns.iter().any(|p| p.is_in(&column.name)).then_some(NAME_DEPTH)
        }
    }
}

/// SQL's LIKE: `%` any run, `_` any character, `\` takes the next literally. One pass with one step back, no recursion.
pub(crate) fn is_like(text: &str, pattern: &str) -> bool {
    #[derive(PartialEq)]
    enum Piece {
        Run,
        Any,
        Char(char),
    }
    let mut pieces = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        pieces.push(match c {
            '%' => Piece::Run,
            '_' => Piece::Any,
            '\\' => Piece::Char(chars.next().unwrap_or('\\')),
            other => Piece::Char(other),
        });
    }
    let text: Vec<char> = text.chars().collect();
    let (mut t, mut p) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        match pieces.get(p) {
            Some(Piece::Run) => {
                back = Some((p, t));
                p += 1;
                continue;
            }
            Some(Piece::Any) => {
                t += 1;
                p += 1;
                continue;
            }
            Some(Piece::Char(c)) if *c == text[t] => {
                t += 1;
                p += 1;
                continue;
            }
            Some(Piece::Char(_)) | None => {}
        }
        let Some((run, from)) = back else {
            return false;
        };
        back = Some((run, from + 1));
        t = from + 1;
        p = run + 1;
    }
    pieces[p..].iter().all(|piece| *piece == Piece::Run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_is_sqls() {
        for (text, pattern) in [
            ("retail.orders", "retail.%"),
            ("abc", "a_c"),
            ("a%c", "a\\%c"),
            ("", "%"),
            ("aXbXc", "%X%c"),
            ("größe", "gr__e"),
        ] {
            assert!(is_like(text, pattern), "{text} {pattern}");
        }
        for (text, pattern) in [
            ("retail2.orders", "retail.%"),
            ("abc", "a\\_c"),
            ("abc", "ab"),
            ("", "_"),
            ("abcd", "%c"),
            ("ABC", "abc"),
        ] {
            assert!(!is_like(text, pattern), "{text} {pattern}");
        }
        assert!(!is_like(&"a".repeat(5_000), &"%a".repeat(200).replace("%a", "%b")));
    }
}
