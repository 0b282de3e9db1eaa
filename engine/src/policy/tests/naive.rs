//! policy.md, read aloud by somebody in no hurry: a second evaluator for tests, with nothing of the engine in it but its values.
//!
//! Must never call the judge, `matching`, an index or a mask: where both are wrong alike, no comparison helps. It knows the
//! types, patterns and predicates that `differential` makes, and panics on others.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

use super::naive_parts::*;
use crate::approval::{Approval, Approved, Grantee};
use crate::catalog::{Column, Relation, RelationKind};
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
    /// Column -> keys that undo what masks it.
    pub(super) undone_by: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Clone, Copy)]
pub(super) struct Being<'a> {
    is_user: bool,
    id: &'a str,
    groups: &'a BTreeSet<String>,
    attributes: &'a Attributes,
    purpose: Option<&'a str>,
}

pub(super) struct Naive<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) user: Option<Being<'a>>,
    pub(super) agent: Option<Being<'a>>,
    purpose: Option<&'a str>,
}

/// What a policy lets through to one person.
enum Lets {
    All,
    Some,
    None,
}

/// A mask that is to be in force.
struct Wanted<'a> {
    policy: &'a str,
    mask: Mask,
    /// In some rows only?
    cells: bool,
}

/// The verdict on one table; `None` when it is refused.
pub(super) fn verdict(snapshot: &Snapshot, principal: &Principal, relation: &Relation) -> Option<Verdict> {
    let combination = principal.agent().map(|id| snapshot.identities.agents[id].combination);
    let naive = Naive::of(snapshot, principal);
    if naive.is_new(relation) || !naive.may_have_its_purpose() || relation.row_security {
        return None;
    }
    let (mut operations, subject) = naive.access(relation, combination)?;
    let (limits, shut) = naive.rows(relation, subject)?;
    let mut columns: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut undone_by = BTreeMap::new();
    for column in &relation.columns {
        let wanted = naive.wanted(relation, column, subject);
        let rule = wanted.as_ref().map_or_else(|new| new.clone(), |wanted| strictest(wanted));
        let keys = if is_masked(&rule.0) { keys(&wanted.unwrap_or_default()) } else { BTreeSet::new() };
        if !keys.is_empty() {
            undone_by.insert(column.name.clone(), keys);
        }
        columns.insert(column.name.clone(), rule);
    }
    if columns.values().all(|(rule, _)| rule == "denied") {
        return None;
    }
    // Where PostgreSQL does not check what is written against the view, filtered relations are read-only.
    if !limits.is_empty() && !matches!(relation.kind, RelationKind::Table | RelationKind::PartitionedTable) {
        operations.remove(&Operation::Write);
    }
    (!operations.is_empty()).then_some(Verdict { operations, columns, limits, shut, undone_by })
}

impl Being<'_> {
    pub(super) fn is(&self, who: &Who) -> bool {
        who.any.iter().any(|party| {
            let kind = match party.kind {
                PartyKind::Users => self.is_user,
                PartyKind::Agents => !self.is_user,
                PartyKind::Everyone => true,
            };
            kind && party.condition.as_ref().is_none_or(|condition| self.meets(condition))
        })
    }

    fn meets(&self, condition: &Condition) -> bool {
        match condition {
            Condition::All(terms) => terms.iter().filter(|t| !self.meets(t)).count() == 0,
            Condition::Any(terms) => terms.iter().filter(|t| self.meets(t)).count() > 0,
            Condition::Not(one) => !self.meets(one),
            Condition::Test(test) => self.passes(&test.question),
        }
    }

    fn passes(&self, question: &Question) -> bool {
        match question {
            Question::Group(groups) => groups.iter().any(|g| self.groups.contains(g)),
            Question::Id(ids) => ids.iter().any(|id| id == self.id),
            Question::Attribute { name, values } => {
                let has =
                    |v: &String| self.attributes.iter().any(|(key, has)| key == name && has.contains(v));
                values.iter().any(has)
            }
            Question::Purpose(list) => {
                list.iter().any(|p| self.purpose.is_some_and(|mine| under(mine, p.as_str())))
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
    pub(super) fn of(snapshot: &'a Snapshot, principal: &'a Principal) -> Self {
        let purpose = principal.purpose.as_ref().map(|p| p.as_str());
        let user = principal.user().map(|id| {
            let user = &snapshot.identities.users[id];
            let (groups, attributes) = (&user.groups, &user.attributes);
            Being { is_user: true, id: user.id.as_str(), groups, attributes, purpose }
        });
        let agent = principal.agent().map(|id| {
            let agent = &snapshot.identities.agents[id];
            let (groups, attributes) = (&agent.groups, &agent.attributes);
            Being { is_user: false, id: agent.id.as_str(), groups, attributes, purpose }
        });
        Self { snapshot, user, agent, purpose }
    }

    pub(super) fn active(&self) -> impl Iterator<Item = &'a Policy> + use<'a> {
        self.snapshot.policies.iter().filter(|p| p.state == State::Active)
    }

    /// §6: declared, and allowed to subject and actor.
    pub(super) fn may_have_its_purpose(&self) -> bool {
        let Some(mine) = self.purpose else {
            return true;
        };
        let declared = self.active().find_map(|p| match &p.rule {
            Rule::Purpose(purpose) if p.name == mine => Some(purpose),
            _ => None,
        });
        declared.is_some_and(|purpose| [self.user, self.agent].iter().flatten().all(|b| b.is(&purpose.to)))
    }

    /// What was approved for one of them and has not ended.
    fn approved(&self, being: Being<'a>) -> impl Iterator<Item = &'a Approved> + use<'a> {
        let now = self.snapshot.approvals.now;
        let mine = move |approval: &&Approval| match &approval.grantee {
            Grantee::User(id) => being.is_user && id.as_str() == being.id,
            Grantee::Agent(id) => !being.is_user && id.as_str() == being.id,
        };
        let all = self.snapshot.approvals.all.iter().filter(mine);
        all.filter(move |a| a.expires.is_none_or(|end| end > now)).map(|a| &a.what)
    }

    /// §3, first half: everything granted to one of them.
    fn granted(&self, being: Being<'a>, relation: &Relation) -> BTreeSet<Operation> {
        let both = |p: &Policy, who: &Who| p.watches != Watches::Both || self.agent.is_none_or(|a| a.is(who));
        let by_policy = self.active().filter_map(|p| match &p.rule {
            Rule::Grant(grant) if table_hit(&grant.on, relation) && being.is(&grant.to) => {
                both(p, &grant.to).then_some(&grant.operations)
            }
            _ => None,
        });
        let by_approval = self.approved(being).filter_map(|what| match what {
            Approved::Access { relation: named, operations } if *named == relation.name => Some(operations),
            _ => None,
        });
        by_policy.chain(by_approval).flatten().copied().collect()
    }

    /// §3, second half: does one of them meet every guardrail that looks at it?
    fn eligible(&self, being: Being<'_>, relation: &Relation, watches: Watches) -> bool {
        self.active().filter(|p| p.watches == watches || p.watches == Watches::Both).all(|p| match &p.rule {
            Rule::Guardrail(rail) => !table_hit(&rail.on, relation) || being.is(&rail.require),
            _ => true,
        })
    }

    fn actor_may(&self, relation: &Relation) -> bool {
        self.agent.is_none_or(|agent| self.eligible(agent, relation, Watches::Actor))
    }

    /// §1: what is reached, and as whom.
    fn access(
        &self,
        relation: &Relation,
        combination: Option<Combination>,
    ) -> Option<(BTreeSet<Operation>, Being<'a>)> {
        let passes = |being| self.eligible(being, relation, Watches::Subject);
        let (operations, subject) = match (self.user, self.agent) {
            (Some(user), None) => (self.granted(user, relation), user),
            (None, Some(agent)) => (self.granted(agent, relation), agent),
            (Some(user), Some(agent)) => {
                let (mine, its) = (self.granted(user, relation), self.granted(agent, relation));
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
        let fine = !operations.is_empty() && passes(subject) && self.actor_may(relation);
        fine.then_some((operations, subject))
    }

    /// §2: new, and covered by no tag of its own.
    fn is_new(&self, relation: &Relation) -> bool {
        let name = format!("{}.{}", relation.name.schema, relation.name.name);
        let own = self.snapshot.tags.tables.get(&name);
        relation.tags.iter().any(|t| t.0 == "New") && !own.into_iter().flatten().any(|t| t.0 != "New")
    }

    /// Those a policy looks at, the subject first.
    pub(super) fn looks_at(&self, policy: &Policy, subject: Being<'a>) -> Vec<Being<'a>> {
        match policy.watches {
            Watches::Subject => vec![subject],
            Watches::Actor => self.agent.into_iter().collect(),
            Watches::Both if !subject.is_user => vec![subject],
            Watches::Both => [subject].into_iter().chain(self.agent).collect(),
        }
    }

    /// §4; `None` when some policy does not compile here.
    fn rows(&self, relation: &Relation, subject: Being<'a>) -> Option<(BTreeSet<String>, usize)> {
        let (mut limits, mut shut) = (BTreeSet::new(), BTreeSet::new());
        for policy in self.active() {
            let Rule::Rows(rows) = &policy.rule else {
                continue;
            };
            let watched = self.looks_at(policy, subject);
            if watched.is_empty() || !table_hit(&rows.of, relation) {
                continue;
            }
            let every = || rows.branches.iter().map(|b| &b.shown).chain([&rows.otherwise]);
            if rows.missing == Missing::Skip && every().any(|shown| needs_a_missing_tag(shown, relation)) {
                continue;
            }
            if !every().all(|shown| shown_compiles(shown, relation, &self.snapshot.catalog)) {
                return None;
            }
            for being in watched.into_iter().filter(|being| being.in_scope(&rows.scope)) {
                let branch = rows.branches.iter().find(|b| being.is(&b.who)).map(|b| &b.shown);
                match self.lets_through(branch.unwrap_or(&rows.otherwise), being, relation) {
                    Lets::All => continue,
                    Lets::Some => {}
                    Lets::None => drop(shut.insert(policy.name.clone())),
                }
                limits.insert(policy.name.clone());
            }
        }
        Some((limits, shut.len()))
    }

    fn lets_through(&self, shown: &RowsShown, being: Being<'_>, relation: &Relation) -> Lets {
        match shown {
            RowsShown::All => Lets::All,
            RowsShown::None => Lets::None,
            RowsShown::Where(predicate) => match &predicate.expr {
                Expr::Literal(Literal::Truth(true)) => Lets::All,
                expr if self.lacks_a_value(expr, relation) => Lets::None,
                _ => Lets::Some,
            },
            RowsShown::Purpose(list) => {
                let mine = list.iter().any(|p| self.purpose.is_some_and(|mine| under(mine, p.as_str())));
                if mine { Lets::All } else { Lets::None }
            }
            RowsShown::Whose(Match { tag, values }) => {
                let holder = if being.is_user { Holder::User } else { Holder::Agent };
                let column = found(&Expr::Tagged(tag.path.clone()), relation).expect("it compiles");
                let values = self.values(&Attribute { holder, name: values.clone() });
                if values.iter().any(|v| reads(v, column)) { Lets::Some } else { Lets::None }
            }
            RowsShown::Window(_) | RowsShown::Share(_) => Lets::Some,
            // TRUE or FALSE of a row of another table: it limits whatever it says, and what cannot hold there shows nothing.
            RowsShown::Through(way) => {
                let parent = parent(way, relation, &self.snapshot.catalog).expect("it compiles");
                match self.lets_through(&way.shown, being, parent) {
                    Lets::All | Lets::Some => Lets::Some,
                    Lets::None => Lets::None,
                }
            }
        }
    }

    /// An attribute without a value that reads as the column's type is FALSE.
    fn lacks_a_value(&self, expr: &Expr, relation: &Relation) -> bool {
        match expr {
            Expr::In { value, items, .. } => {
                let column = found(value, relation).expect("it compiles");
                items.iter().any(|item| match item {
                    Expr::Attribute(attribute) => !self.values(attribute).iter().any(|v| reads(v, column)),
                    _ => false,
                })
            }
            Expr::And(terms) | Expr::Or(terms) => terms.iter().any(|t| self.lacks_a_value(t, relation)),
            Expr::Not(one) => self.lacks_a_value(one, relation),
            // What is inside speaks of the other table's columns.
            Expr::Lookup { table, condition: Some(condition), .. } => {
                self.lacks_a_value(condition, &self.snapshot.catalog.relations[table])
            }
            _ => false,
        }
    }

    fn values(&self, attribute: &Attribute) -> BTreeSet<String> {
        let being = match attribute.holder {
            Holder::User => self.user,
            Holder::Agent => self.agent,
            // The purpose and those above it.
            Holder::Session => {
                let parts: Vec<&str> = self.purpose.iter().flat_map(|p| p.split('.')).collect();
                return (1..=parts.len()).map(|n| parts[..n].join(".")).collect();
            }
        };
        let Some(being) = being else {
            return BTreeSet::new();
        };
        match &attribute.name {
            Named::Attribute(name) => being.attributes.get(name).cloned().unwrap_or_default(),
            Named::Groups => being.groups.clone(),
            Named::Id => BTreeSet::from([being.id.to_owned()]),
            Named::Purpose => BTreeSet::new(),
        }
    }

    /// §5: reveals lift `for everyone except`, judged as the subject.
    fn is_revealed(&self, relation: &Relation, column: &Column, subject: Being<'a>) -> bool {
        let by_policy = self.active().any(|p| match &p.rule {
            Rule::Reveal(reveal) => {
                mask_depth(&reveal.columns, relation, column).is_some()
                    && self.looks_at(p, subject).iter().all(|being| being.is(&reveal.to))
            }
            _ => false,
        });
        let by_approval = self.approved(subject).any(|what| match what {
            Approved::Unmask { relation: named, column: one } => {
                *named == relation.name && *one == column.name
            }
            Approved::Access { .. } => false,
        });
        by_policy || by_approval
    }

    /// §5: the masks that are to be in force on one column; or the rule of a column that nobody has looked at yet.
    fn wanted(
        &self,
        relation: &Relation,
        column: &Column,
        subject: Being<'a>,
    ) -> Result<Vec<Wanted<'a>>, (String, String)> {
        if column.tags.len() == 1 && column.tags.iter().any(|t| t.0 == "New") {
            return Err(("denied".to_owned(), "tag New".to_owned()));
        }
        let mut candidates = Vec::new();
        let mut floors: Vec<Wanted<'_>> = Vec::new();
        for (age, policy) in self.active().enumerate() {
            let Rule::Mask(rule) = &policy.rule else {
                continue;
            };
            let Some(deep) = mask_depth(&rule.columns, relation, column) else {
                continue;
            };
            for (n, being) in self.looks_at(policy, subject).into_iter().enumerate() {
                let wanted =
                    being.in_scope(&rule.scope).then(|| branch(rule, being, relation, column)).flatten();
                let wanted = wanted.map(|(mask, cells)| Wanted { policy: &policy.name, mask, cells });
                if policy.watches == Watches::Actor || n > 0 || rule.strength == Strength::Floor {
                    floors.extend(wanted);
                } else if !matches!(&rule.scope, Scope::Only(who) if !being.is(who)) {
                    candidates.push((deep, age, matches!(rule.scope, Scope::Except(_)), wanted));
                }
            }
        }
        // Deepest; of equals the older.
        candidates.sort_by_key(|(deep, age, ..)| (Reverse(*deep), *age));
        let winner = candidates.into_iter().next();
        let lifted = |spares: bool| spares && self.is_revealed(relation, column, subject);
        let wanted = winner.and_then(|(_, _, spares, wanted)| wanted.filter(|_| !lifted(spares)));
        Ok(wanted.into_iter().chain(floors).collect())
    }
}

fn is_masked(rule: &str) -> bool {
    rule != "clear" && rule != "denied"
}

/// Keys that undo what stands on a column: of every mask down to the strictest one that is in force in every row.
fn keys(wanted: &[Wanted<'_>]) -> BTreeSet<String> {
    // Where two cannot be told apart the column is NULL.
    if strictest(wanted).0 == "null" && !wanted.iter().any(|w| w.mask == Mask::Null) {
        return BTreeSet::new();
    }
    let clash = wanted.iter().enumerate().any(|(n, one)| {
        let mut others = wanted[n + 1..].iter();
        others.any(|other| place(&one.mask) == place(&other.mask) && !told_apart(&one.mask, &other.mask))
    });
    if clash {
        return BTreeSet::new();
    }
    let whole = wanted.iter().filter(|w| !w.cells).map(|w| place(&w.mask)).min().unwrap_or(usize::MAX);
    let shown = wanted.iter().filter(|w| place(&w.mask) <= whole);
    let key = |w: &Wanted<'_>| match &w.mask {
        Mask::Reversible { key } => Some(format!("reversible:{key}")),
        Mask::Token => Some("token".to_owned()),
        _ => None,
    };
    shown.filter_map(key).collect()
}

/// The first branch that applies.
fn branch(rule: &MaskRule, being: Being<'_>, relation: &Relation, column: &Column) -> Option<(Mask, bool)> {
    let branch = rule.branches.iter().find(|b| being.is(&b.who)).map(|b| &b.masking);
    match branch.unwrap_or(&rule.otherwise) {
        Masking::Clear => None,
        Masking::With { mask, cells } => Some((fit(mask, relation, column), cells.is_some())),
    }
}

/// The strictest, in the order of policy.md; where two of a kind cannot be told apart, `null`.
fn strictest(wanted: &[Wanted<'_>]) -> (String, String) {
    if let Some(denied) = wanted.iter().find(|w| w.mask == Mask::Deny) {
        return ("denied".to_owned(), denied.policy.to_owned());
    }
    for (n, one) in wanted.iter().enumerate() {
        for other in &wanted[n + 1..] {
            if place(&one.mask) == place(&other.mask) && !told_apart(&one.mask, &other.mask) {
                return ("null".to_owned(), other.policy.to_owned());
            }
        }
    }
    let mut best: Option<&Wanted<'_>> = None;
    for next in wanted {
        let better = best.is_none_or(|had| match place(&next.mask).cmp(&place(&had.mask)) {
            Ordering::Less => true,
            Ordering::Greater => false,
            // Of equal masks, one in force in every row.
            Ordering::Equal if next.mask == had.mask => had.cells && !next.cells,
            Ordering::Equal => shows_less(&next.mask, &had.mask),
        });
        if better {
            best = Some(next);
        }
    }
    match best {
        None => ("clear".to_owned(), String::new()),
        Some(Wanted { policy, mask, .. }) => (mask.word().to_owned(), (*policy).to_owned()),
    }
}
