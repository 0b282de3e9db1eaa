//! policy.md, read aloud by somebody in no hurry: a second evaluator for tests, with nothing of the engine in it but its values.
//!
//! Must never call the judge, `matching`, an index or a mask: where both are wrong alike, no comparison helps. It knows the
//! types and predicates that `differential` makes, and panics on others.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Column, Relation, TagPath};
use crate::entitlement::Operation;
use crate::identity::{Attributes, Combination, Principal};
use crate::policy::model::*;
use crate::policy::predicate::{Attribute, Expr, Holder, Literal, Named};
use crate::snapshot::Snapshot;

/// What may be done with one table, in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) operations: BTreeSet<Operation>,
    /// Column -> the mask's word, or `clear` or `denied`, and the policy that decided.
    pub(super) columns: BTreeMap<String, (String, String)>,
    /// Row policies that limit.
    pub(super) limits: BTreeSet<String>,
    /// How many of them show nothing at all.
    pub(super) shut: usize,
}

#[derive(Clone, Copy)]
struct Being<'a> {
    is_user: bool,
    id: &'a str,
    groups: &'a BTreeSet<String>,
    attributes: &'a Attributes,
}

struct Naive<'a> {
    snapshot: &'a Snapshot,
    user: Option<Being<'a>>,
    agent: Option<Being<'a>>,
}

/// The verdict on one table; `None` when it is refused.
pub(super) fn verdict(snapshot: &Snapshot, principal: &Principal, relation: &Relation) -> Option<Verdict> {
    let user = principal.user().map(|id| {
        let user = &snapshot.identities.users[id];
        Being { is_user: true, id: user.id.as_str(), groups: &user.groups, attributes: &user.attributes }
    });
    let agent = principal.agent().map(|id| {
        let agent = &snapshot.identities.agents[id];
        Being { is_user: false, id: agent.id.as_str(), groups: &agent.groups, attributes: &agent.attributes }
    });
    let combination = principal.agent().map(|id| snapshot.identities.agents[id].combination);
    let naive = Naive { snapshot, user, agent };
    if naive.new_table(relation) {
        return None;
    }
    let (mut operations, subject) = naive.access(relation, combination)?;
    let (limits, shut) = naive.rows(relation, subject)?;
    let columns: BTreeMap<String, (String, String)> =
        relation.columns.iter().map(|c| (c.name.clone(), naive.column(relation, c, subject))).collect();
    if columns.values().all(|(rule, _)| rule == "denied") || relation.row_security {
        return None;
    }
    // Filtered tables are read-only.
    if !limits.is_empty() {
        operations.remove(&Operation::Write);
    }
    (!operations.is_empty()).then_some(Verdict { operations, columns, limits, shut })
}

fn under(tag: &str, pattern: &str) -> bool {
    let (tag, pattern): (Vec<&str>, Vec<&str>) = (tag.split('.').collect(), pattern.split('.').collect());
    pattern.len() <= tag.len() && pattern.iter().zip(&tag).all(|(p, t)| p == t)
}

fn depth(tag: &str) -> usize {
    tag.split('.').count()
}

/// LIKE by trying everything.
fn like(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|n| like(&text[n..], rest)),
        ['_', rest @ ..] => !text.is_empty() && like(&text[1..], rest),
        ['\\', c, rest @ ..] | [c, rest @ ..] => text.first() == Some(c) && like(&text[1..], rest),
    }
}

fn is_like(text: &str, pattern: &str) -> bool {
    like(&text.chars().collect::<Vec<_>>(), &pattern.chars().collect::<Vec<_>>())
}

fn has_tag(own: &BTreeSet<TagPath>, pattern: &str) -> bool {
    own.iter().any(|t| under(&t.0, pattern))
}

/// How deeply a phrase means a column.
fn column_hit(one: &ColumnMatch, relation: &Relation, column: &Column) -> Option<usize> {
    match one {
        ColumnMatch::Tagged(tags) => tags
            .iter()
            .filter(|tag| has_tag(&column.tags, &tag.path.0) || has_tag(&relation.tags, &tag.path.0))
            .map(|tag| depth(&tag.path.0))
            .max(),
        ColumnMatch::Named(names) => names
            .iter()
            .any(|n| n.column == column.name && n.relation.as_ref().is_none_or(|r| *r == relation.name))
            .then_some(1_000),
        ColumnMatch::Like(patterns) => patterns.iter().any(|p| is_like(&column.name, p)).then_some(1_000),
    }
}

fn table_hit(tables: &Tables, relation: &Relation) -> bool {
    tables.any.iter().any(|one| match one {
        TableMatch::Tagged(tags) => tags.iter().any(|t| has_tag(&relation.tags, &t.path.0)),
        TableMatch::Named(names) => names.iter().any(|n| n.relation == relation.name),
        TableMatch::Like(patterns) => {
            let name = format!("{}.{}", relation.name.schema, relation.name.name);
            patterns.iter().any(|p| is_like(&name, p))
        }
        TableMatch::WithColumns(one) => {
            relation.columns.iter().any(|c| column_hit(one, relation, c).is_some())
        }
    })
}

impl Being<'_> {
    fn is(&self, who: &Who) -> bool {
        who.any.iter().any(|party| {
            let kind = match party.kind {
                PartyKind::Users => self.is_user,
                PartyKind::Agents => !self.is_user,
                PartyKind::Everyone => true,
            };
            kind && party.all.iter().all(|test| self.passes(&test.question) == (test.sense == Sense::Is))
        })
    }

    fn passes(&self, question: &Question) -> bool {
        match question {
            Question::Group(groups) => groups.iter().any(|g| self.groups.contains(g)),
            Question::Id(ids) => ids.iter().any(|id| id == self.id),
            Question::Attribute { name, values } => {
                values.iter().any(|v| self.attributes.iter().any(|(key, has)| key == name && has.contains(v)))
            }
        }
    }

    fn in_scope(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Everyone => true,
            Scope::Except(who) => !self.is(who),
            Scope::Only(who) => self.is(who),
        }
    }
}

impl<'a> Naive<'a> {
    fn active(&self) -> impl Iterator<Item = &'a Policy> + use<'a> {
        self.snapshot.policies.iter().filter(|p| p.state == State::Active)
    }

    /// §3, first half: everything granted to one of them.
    fn granted(&self, being: Being<'_>, relation: &Relation) -> BTreeSet<Operation> {
        self.active()
            .filter_map(|p| match &p.rule {
                Rule::Grant(grant) if table_hit(&grant.on, relation) && being.is(&grant.to) => Some(grant),
                _ => None,
            })
            .flat_map(|grant| grant.operations.iter().copied())
            .collect()
    }

    /// §3, second half: does one of them meet every guardrail that looks at it?
    fn eligible(&self, being: Being<'_>, relation: &Relation, watches: Watches) -> bool {
        self.active().filter(|p| p.watches == watches).all(|p| match &p.rule {
            Rule::Guardrail(rail) => !table_hit(&rail.on, relation) || being.is(&rail.require),
            _ => true,
        })
    }

    /// §1: what is reached, and as whom.
    fn access(
        &self,
        relation: &Relation,
        combination: Option<Combination>,
    ) -> Option<(BTreeSet<Operation>, Being<'a>)> {
        let (operations, subject) = match (self.user, self.agent) {
            (Some(user), None) => (self.granted(user, relation), user),
            (None, Some(agent)) => (self.granted(agent, relation), agent),
            (Some(user), Some(agent)) => {
                let (mine, its) = (self.granted(user, relation), self.granted(agent, relation));
                let passes = |being| self.eligible(being, relation, Watches::Subject);
                let lends = match combination? {
                    Combination::Union => true,
                    Combination::Guarded => has_tag(&relation.tags, "Agent.Tool"),
                    Combination::Intersection => {
                        let both: BTreeSet<Operation> = mine.intersection(&its).copied().collect();
                        let fine = passes(user) && passes(agent) && self.actor_may(relation);
                        return (fine && !both.is_empty()).then_some((both, user));
                    }
                };
                match (mine.is_empty(), lends && !its.is_empty()) {
                    (true, false) => return None,
                    (true, true) => (its, agent),
                    (false, true) if passes(agent) => (mine.union(&its).copied().collect(), user),
                    (false, _) => (mine, user),
                }
            }
            (None, None) => return None,
        };
        let fine = !operations.is_empty()
            && self.eligible(subject, relation, Watches::Subject)
            && self.actor_may(relation);
        fine.then_some((operations, subject))
    }

    fn actor_may(&self, relation: &Relation) -> bool {
        self.agent.is_none_or(|agent| self.eligible(agent, relation, Watches::Actor))
    }

    /// §2: new, and covered by no tag of its own.
    fn new_table(&self, relation: &Relation) -> bool {
        let name = format!("{}.{}", relation.name.schema, relation.name.name);
        let own = self.snapshot.tags.tables.get(&name);
        relation.tags.iter().any(|t| t.0 == "New") && !own.into_iter().flatten().any(|t| t.0 != "New")
    }

    fn looks_at(&self, policy: &Policy, subject: Being<'a>) -> Option<Being<'a>> {
        match policy.watches {
            Watches::Subject => Some(subject),
            Watches::Actor => self.agent,
        }
    }

    /// §4; `None` when some policy does not compile here.
    fn rows(&self, relation: &Relation, subject: Being<'a>) -> Option<(BTreeSet<String>, usize)> {
        let (mut limits, mut shut) = (BTreeSet::new(), 0);
        for policy in self.active() {
            let Rule::Rows(rows) = &policy.rule else {
                continue;
            };
            let Some(being) = self.looks_at(policy, subject).filter(|_| table_hit(&rows.of, relation)) else {
                continue;
            };
            let every = rows.branches.iter().map(|b| &b.shown).chain([&rows.otherwise]);
            for shown in every {
                if let RowsShown::Where(predicate) = shown
                    && !compiles(&predicate.expr, relation)
                {
                    return None;
                }
            }
            if !being.in_scope(&rows.scope) {
                continue;
            }
            let branch = rows.branches.iter().find(|b| being.is(&b.who)).map(|b| &b.shown);
            match branch.unwrap_or(&rows.otherwise) {
                RowsShown::All => continue,
                RowsShown::None => shut += 1,
                RowsShown::Where(predicate) => match &predicate.expr {
                    Expr::Literal(Literal::Truth(true)) => continue,
                    expr => shut += usize::from(self.lacks_a_value(expr, relation)),
                },
            }
            limits.insert(policy.name.clone());
        }
        Some((limits, shut))
    }

    /// An attribute without a value that reads as the column's type is FALSE.
    fn lacks_a_value(&self, expr: &Expr, relation: &Relation) -> bool {
        match expr {
            Expr::In { value, items, .. } => {
                let column = found(value, relation).expect("it compiles");
                let reads = |value: &String| match column.type_sql.as_str() {
                    "text" => true,
                    "date" => false,
                    _ => value.parse::<i32>().is_ok(),
                };
                items.iter().any(|item| match item {
                    Expr::Attribute(attribute) => !self.values(attribute).iter().any(reads),
                    _ => false,
                })
            }
            Expr::And(terms) | Expr::Or(terms) => terms.iter().any(|t| self.lacks_a_value(t, relation)),
            Expr::Not(one) => self.lacks_a_value(one, relation),
            _ => false,
        }
    }

    fn values(&self, attribute: &Attribute) -> BTreeSet<String> {
        let being = match attribute.holder {
            Holder::User => self.user,
            Holder::Agent => self.agent,
        };
        let Some(being) = being else {
            return BTreeSet::new();
        };
        match &attribute.name {
            Named::Attribute(name) => being.attributes.get(name).cloned().unwrap_or_default(),
            Named::Groups => being.groups.clone(),
            Named::Id => BTreeSet::from([being.id.to_owned()]),
        }
    }

    /// §5: the rule of one column, and the policy that decided.
    fn column(&self, relation: &Relation, column: &Column, subject: Being<'a>) -> (String, String) {
        if column.tags.len() == 1 && column.tags.iter().any(|t| t.0 == "New") {
            return ("denied".to_owned(), "tag New".to_owned());
        }
        let mut candidates = Vec::new();
        let mut wanted: Vec<(&str, Mask)> = Vec::new();
        let mut floors: Vec<(&str, Mask)> = Vec::new();
        for (age, policy) in self.active().enumerate() {
            let Rule::Mask(rule) = &policy.rule else {
                continue;
            };
            if rule.columns.of.as_ref().is_some_and(|of| !table_hit(of, relation)) {
                continue;
            }
            let deep = rule.columns.any.iter().filter_map(|one| column_hit(one, relation, column)).max();
            let (Some(deep), Some(being)) = (deep, self.looks_at(policy, subject)) else {
                continue;
            };
            let fitted = fit(&rule.mask, column);
            if policy.watches == Watches::Actor || rule.strength == Strength::Floor {
                if being.in_scope(&rule.scope) {
                    floors.push((&policy.name, fitted));
                }
            } else if !matches!(&rule.scope, Scope::Only(who) if !being.is(who)) {
                candidates.push((deep, age, policy, being.in_scope(&rule.scope), fitted));
            }
        }
        // Deepest; of equals the older.
        candidates.sort_by_key(|(deep, age, ..)| (std::cmp::Reverse(*deep), *age));
        if let Some((_, _, policy, true, fitted)) = candidates.into_iter().next() {
            wanted.push((&policy.name, fitted));
        }
        wanted.extend(floors);
        strictest(&wanted)
    }
}

/// The strictest, in the order of policy.md; where two of a kind cannot be told apart, `null`.
fn strictest(wanted: &[(&str, Mask)]) -> (String, String) {
    const ORDER: [&str; 8] = ["deny", "null", "constant", "round", "hash", "partial", "regex", "clear"];
    let place = |mask: &Mask| {
        let place = ORDER.iter().position(|word| *word == mask.word()).expect("a mask of the table");
        // `regex` and `partial` share a step.
        if mask.word() == "regex" { place - 1 } else { place }
    };
    for (n, (_, one)) in wanted.iter().enumerate() {
        for (name, other) in &wanted[n + 1..] {
            let alike = place(one) == place(other) && !told_apart(one, other);
            if alike && wanted.iter().all(|(_, m)| *m != Mask::Deny) {
                return ("null".to_owned(), (*name).to_owned());
            }
        }
    }
    let mut best: Option<&(&str, Mask)> = None;
    for next in wanted {
        best = match best {
            Some(had) if place(&had.1) < place(&next.1) => Some(had),
            Some(had) if place(&had.1) == place(&next.1) && !shows_less(&next.1, &had.1) => Some(had),
            _ => Some(next),
        };
    }
    match best {
        None => ("clear".to_owned(), String::new()),
        Some((name, Mask::Deny)) => ("denied".to_owned(), (*name).to_owned()),
        Some((name, mask)) => (mask.word().to_owned(), (*name).to_owned()),
    }
}

fn told_apart(one: &Mask, other: &Mask) -> bool {
    one == other || shows_less(one, other) || shows_less(other, one)
}

/// Of two masks of one kind: does the first surely show less?
fn shows_less(one: &Mask, other: &Mask) -> bool {
    if one == other {
        return false;
    }
    match (one, other) {
        // Any constant shows no value; one that also hides NULL shows less.
        (Mask::Constant { nulls, .. }, Mask::Constant { nulls: others, .. }) => {
            *nulls == Nulls::Hidden || *others == Nulls::Kept
        }
        (Mask::Hash { joinable: None }, Mask::Hash { joinable: Some(_) }) => true,
        (Mask::Unit(a), Mask::Unit(b)) => a > b && *b != Unit::Week,
        _ => false,
    }
}

fn is_text(column: &Column) -> bool {
    column.type_sql == "text"
}

/// A mask that does not fit the column's type is `null`.
fn fit(mask: &Mask, column: &Column) -> Mask {
    let (text, number, date) = (
        is_text(column),
        matches!(column.type_sql.as_str(), "integer" | "numeric"),
        column.type_sql == "date",
    );
    assert!(text || number || date, "a type this evaluator knows: {}", column.type_sql);
    let fits = match mask {
        Mask::Null | Mask::Deny => true,
        Mask::Constant { value: Literal::Text(_), .. } => text,
        Mask::Constant { value: Literal::Number(_), .. } => text || number,
        Mask::Constant { value: Literal::Truth(_), .. } => text,
        Mask::Hash { .. } | Mask::Partial { .. } | Mask::Regex { .. } => text,
        Mask::Bucket(_) => number,
        Mask::Unit(unit) => date && *unit > Unit::Day,
    };
    if fits { mask.clone() } else { Mask::Null }
}

/// Does a predicate of those `differential` makes compile on the table?
fn compiles(expr: &Expr, relation: &Relation) -> bool {
    match expr {
        Expr::Literal(Literal::Truth(_)) => true,
        Expr::And(terms) | Expr::Or(terms) => terms.iter().all(|t| compiles(t, relation)),
        Expr::Not(one) => compiles(one, relation),
        Expr::In { value, items, .. } => {
            let literal = items.iter().any(|item| matches!(item, Expr::Literal(_)));
            if literal { text_column(value, relation) } else { found(value, relation).is_some() }
        }
        Expr::Compare { left, right, .. } => match right.as_ref() {
            Expr::Literal(Literal::Text(_)) => text_column(left, relation),
            Expr::Literal(Literal::Number(_)) => {
                // A bare number reads as text too.
                found(left, relation).is_some_and(|c| c.type_sql == "integer" || is_text(c))
            }
            other => panic!("not made by the generator: {other:?}"),
        },
        other => panic!("not made by the generator: {other:?}"),
    }
}

fn text_column(value: &Expr, relation: &Relation) -> bool {
    found(value, relation).is_some_and(is_text)
}

fn found<'r>(value: &Expr, relation: &'r Relation) -> Option<&'r Column> {
    let hits: Vec<&Column> = match value {
        Expr::Column(name) => relation.columns.iter().filter(|c| c.name == *name).collect(),
        Expr::Tagged(tag) => relation.columns.iter().filter(|c| has_tag(&c.tags, &tag.0)).collect(),
        other => panic!("not made by the generator: {other:?}"),
    };
    match hits.as_slice() {
        [one] => Some(one),
        _ => None,
    }
}
