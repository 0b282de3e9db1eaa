//! What one principal may do: grants, guardrails, rows and columns (policy.md §§1, 3, 4, 5).
//!
//! Must never let a doubt pass: what does not compile, is unknown or is new denies. Called by the session (through `entitle`)
//! and by `explain`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::PolicySet;
use super::facts::Facts;
use super::held::{self, Held};
use super::mask::key;
use super::matching::{Person, is_table};
use super::memo::Found;
use super::model::{PartyKind, Policy, Rule, Watches};
use super::predicate::compile::Read;
use super::resolved::{Resolved, SnapshotIndex};
use super::shadow;
use super::shape::{Sight, Worn};
use super::view::{self, Shown};
use crate::approval::{Approval, Approved, Grantee};
use crate::catalog::{Relation, RelationKind, RelationName, TagPath};
use crate::entitlement::{Access, ColumnRule, Entitlement, Extras, Operation, RowRule, ViewColumn};
use crate::identity::{Combination, Principal, PurposeName};
use crate::names;
use crate::refusal::{Code, Refusal};
use crate::snapshot::Snapshot;

/// The tag of what appeared after the last look.
pub(crate) const NEW: &str = TagPath::NEW;

/// A relation's name, and what may be done with it.
type Named = (String, Arc<Access>);

/// What a principal may do, with every relation of the snapshot's catalog.
///
/// # Errors
/// [`Code::NoIdentity`] for a user or agent the snapshot does not know, and for a purpose that is not declared or not allowed to
/// both.
pub fn entitle(snapshot: &Snapshot, principal: &Principal) -> Result<Entitlement, Refusal> {
    let session = Session::of(snapshot, principal)?;
    // In order of schema, then name.
    let mut by_schema: Vec<(String, Vec<Named>)> = Vec::new();
    let mut session_attributes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let permits = session.permits();
    let mut unmask = BTreeMap::new();
    for &number in session.reachable.iter() {
        let ruled = session.ruled(number);
        let Some(access) = &ruled.access else {
            continue;
        };
        if ruled.subject && !session_attributes.contains_key(names::SUBJECT_ATTRIBUTE) {
            session_attributes.insert(names::SUBJECT_ATTRIBUTE.to_owned(), [session.whose()].into());
        }
        for (key, read) in &ruled.reads {
            // Types that share a key take the same values.
            if !session_attributes.contains_key(key) {
                let values = session.values(&read.attribute, read.as_type).into_iter().collect();
                session_attributes.insert(key.clone(), values);
            }
        }
        session.unmask(&permits, access, &mut unmask);
        let RelationName { schema, name } = &access.relation;
        let entry = (name.clone(), Arc::clone(access));
        match by_schema.last_mut() {
            Some((last, tables)) if last == schema => tables.push(entry),
            Some(_) | None => by_schema.push((schema.clone(), vec![entry])),
        }
    }
    let relations: BTreeMap<String, BTreeMap<String, Arc<Access>>> =
        by_schema.into_iter().map(|(schema, tables)| (schema, tables.into_iter().collect())).collect();
    let extras = Extras { unmask, ..session.extras(&permits) };
    Ok(Entitlement {
        fingerprint: view::fingerprint(&relations, &extras),
        shadow: shadow::changes(snapshot, principal, &relations),
        relations,
        extras,
        session_attributes,
    })
}

/// The people of a session, and the policies that look at them.
pub(crate) struct Session<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) policies: &'a PolicySet,
    pub(crate) user: Option<Person<'a>>,
    pub(crate) agent: Option<Person<'a>>,
    pub(crate) combination: Combination,
    /// What it is for; declared, and allowed to subject and actor.
    pub(crate) purpose: Option<&'a PurposeName>,
    pub(crate) resolved: Arc<Resolved>,
    /// Relations that a grant or an approval of somebody in the session could mean, in order: all others are refused.
    reachable: Arc<[u32]>,
    pub(crate) of_user: Held,
    pub(crate) of_agent: Held,
    pub(crate) found: RefCell<Found>,
    supposed: &'a [Approval],
}

/// A relation that may be used.
pub(crate) struct Ruling {
    pub(crate) access: Access,
    /// Key of `session_attribute` -> what it holds.
    pub(crate) reads: BTreeMap<String, Read>,
    /// Does a mask of its view read whose session it is?
    pub(crate) subject: bool,
    /// Why a column's mask is not the one its policy says.
    pub(crate) notes: BTreeMap<String, String>,
    /// Is the agent the subject?
    pub(crate) as_agent: bool,
    /// Write was granted and is not given.
    pub(crate) write_withheld: bool,
    /// Conditions on rows that are ANDed.
    pub(crate) parts: Vec<String>,
    /// Masked columns: expression, and whether the rule's mask is in force in every row.
    pub(crate) masked: BTreeMap<String, (Arc<str>, bool)>,
}

/// Why a relation may not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    NoGrant(&'static str),
    NotATool,
    Guardrail { policy: String, whom: &'static str },
    RowSecurity,
    New,
    DoesNotCompile { policy: String, problem: String },
    ReadOnly,
    NoColumns,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGrant(whom) => write!(f, "no grant matches the {whom}"),
            Self::NotATool => write!(
                f,
                "the agent's grant does not count for a user: the table is not tagged '{}'",
                TagPath::AGENT_TOOL
            ),
            Self::Guardrail { policy, whom } => {
                write!(f, "the {whom} does not meet the guardrail '{policy}'")
            }
            Self::RowSecurity => write!(f, "the table has row security of its own"),
            Self::New => write!(f, "the table is new and carries no tag but '{NEW}'"),
            Self::DoesNotCompile { policy, problem } => {
                write!(f, "the policy '{policy}' does not compile on this table: {problem}")
            }
            Self::ReadOnly => write!(f, "only writing is granted, and this table is read-only here"),
            Self::NoColumns => write!(f, "no column is left to show"),
        }
    }
}

/// Grants of one person on one relation.
struct Side<'a> {
    operations: BTreeSet<Operation>,
    grants: Vec<&'a str>,
    failed: Vec<&'a str>,
}

/// What was granted, and as whom rows and columns are judged.
struct Reach<'a> {
    operations: BTreeSet<Operation>,
    grants: Vec<&'a str>,
    subject: Person<'a>,
    as_agent: bool,
}

impl<'a> Session<'a> {
    pub(crate) fn of(snapshot: &'a Snapshot, principal: &'a Principal) -> Result<Self, Refusal> {
        Self::supposing(snapshot, principal, &[])
    }

    /// The same with approvals that nobody gave, to find out what they would do.
    pub(crate) fn supposing(
        snapshot: &'a Snapshot,
        principal: &'a Principal,
        supposed: &'a [Approval],
    ) -> Result<Self, Refusal> {
        let unknown = |what: &str, id: &str| {
            Refusal::new(Code::NoIdentity, format!("{what} '{id}' is not known"))
                .hint(format!("register the {what} first"))
        };
        let identities = &snapshot.identities;
        let user = match principal.user() {
            Some(id) => Some(identities.users.get(id).ok_or_else(|| unknown("user", id.as_str()))?),
            None => None,
        };
        let agent = match principal.agent() {
            Some(id) => Some(identities.agents.get(id).ok_or_else(|| unknown("agent", id.as_str()))?),
            None => None,
        };
        let purpose = principal.purpose.as_ref();
        let policies = &snapshot.policies;
        let combination = agent.map_or(Combination::Guarded, |a| a.combination);
        let user = user.map(|u| Person::user(u).under(purpose));
        let agent = agent.map(|a| Person::agent(a).under(purpose));
        let resolved = SnapshotIndex::of(snapshot);
        let reach = |person: &Person<'_>| held::Reach::of(person, snapshot, &resolved);
        let (of_user, of_agent) = (user.as_ref().map(reach), agent.as_ref().map(reach));
        let granted = [&of_user, &of_agent].into_iter().flatten().flat_map(held::Reach::relations);
        let mut reachable: Vec<u32> = granted.collect();
        reachable.extend(supposed.iter().filter_map(|approval| {
            let (Approved::Access { relation, .. } | Approved::Unmask { relation, .. }) = &approval.what;
            resolved.number(relation)
        }));
        reachable.sort_unstable();
        reachable.dedup();
        let reachable: Arc<[u32]> = reachable.into();
        let held = |reach: held::Reach| reach.within(&reachable, snapshot, &resolved);
        let of_user = of_user.map(held).unwrap_or_default();
        let of_agent = of_agent.map(held).unwrap_or_default();
        let found = RefCell::default();
        let session = Self {
            snapshot,
            policies,
            user,
            agent,
            combination,
            purpose,
            resolved,
            reachable,
            of_user,
            of_agent,
            found,
            supposed,
        };
        session.check_purpose()?;
        Ok(session)
    }

    /// A purpose counts when it is declared, and allowed to subject and actor (policy.md §6).
    fn check_purpose(&self) -> Result<(), Refusal> {
        let Some(purpose) = self.purpose else {
            return Ok(());
        };
        let declared = self.policies.index().purposes.get(purpose.as_str());
        let declared = declared.and_then(|n| self.policies.get(*n)).map(|p| &p.rule);
        let Some(Rule::Purpose(declared)) = declared else {
            return Err(Refusal::new(Code::NoIdentity, format!("the purpose '{purpose}' is not declared"))
                .hint("name a purpose that a policy declares, or none"));
        };
        for (whom, person) in [("user", &self.user), ("agent", &self.agent)] {
            if person.as_ref().is_some_and(|p| !p.is(&declared.to)) {
                return Err(Refusal::new(
                    Code::NoIdentity,
                    format!("the purpose '{purpose}' is not allowed to this {whom}"),
                )
                .hint("leave the purpose out, or ask whoever governs it"));
            }
        }
        Ok(())
    }

    /// Live approvals for a person.
    pub(crate) fn approvals(&self, person: &Person<'a>) -> impl Iterator<Item = &'a Approval> + use<'a> {
        let supposed = self.supposed.iter().filter({
            let person = *person;
            move |approval| match &approval.grantee {
                Grantee::User(id) => person.kind == PartyKind::Users && id.as_str() == person.id,
                Grantee::Agent(id) => person.kind == PartyKind::Agents && id.as_str() == person.id,
            }
        });
        self.resolved.approvals(self.snapshot, person).chain(supposed)
    }

    pub(crate) fn relation(&self, number: u32) -> Option<&'a Relation> {
        self.snapshot.catalog.relations.get(self.resolved.name(number)?)
    }

    /// Who is there, and how they combine.
    pub(crate) fn mode(&self) -> u64 {
        let combination = match self.combination {
            Combination::Union => 0,
            Combination::Guarded => 1,
            Combination::Intersection => 2,
        };
        combination << 2 | u64::from(self.user.is_some()) << 1 | u64::from(self.agent.is_some())
    }

    pub(crate) fn held(&self, person: &Person<'a>) -> &Held {
        match person.kind {
            PartyKind::Agents => &self.of_agent,
            PartyKind::Users | PartyKind::Everyone => &self.of_user,
        }
    }

    /// Number of a relation, and what policies say about it whoever asks. Of a relation the snapshot's catalog has not there is
    /// nothing to know, and it is refused.
    pub(crate) fn facts(&self, relation: &Relation) -> Result<(u32, &Facts), Vec<Reason>> {
        let unknown = || vec![Reason::NoGrant("principal")];
        let number = self.resolved.number(&relation.name).ok_or_else(unknown)?;
        let facts = self.resolved.facts(self.snapshot, number).ok_or_else(unknown)?;
        Ok((number, facts))
    }

    /// Row, mask and reveal policies for somebody in particular that could be for the subject, or for the agent that acts.
    pub(crate) fn scoped(&self, relation: u32, subject: &Person<'a>) -> Result<[&[u32]; 2], Vec<Reason>> {
        let unknown = || vec![Reason::NoGrant("principal")];
        let of_subject = self.held(subject).scoped(relation).ok_or_else(unknown)?;
        let of_actor = match self.agent {
            Some(_) => self.of_agent.scoped(relation).ok_or_else(unknown)?,
            None => &[],
        };
        Ok([of_subject, of_actor])
    }

    /// Judges one relation.
    pub(crate) fn judge(&self, relation: &'a Relation) -> Result<Ruling, Vec<Reason>> {
        let (number, facts) = self.facts(relation)?;
        let reach = self.reach(relation, number, facts)?;
        if relation.row_security {
            return Err(vec![Reason::RowSecurity]);
        }
        if facts.is_new {
            return Err(vec![Reason::New]);
        }
        let scoped = self.scoped(number, &reach.subject)?;
        let rows = self.rows(facts, scoped, &reach.subject, relation)?;
        let mut shown = Vec::with_capacity(relation.columns.len());
        let mut columns = BTreeMap::new();
        let mut keys = rows.keys;
        let mut notes = BTreeMap::new();
        let mut masks = BTreeMap::new();
        let sight = Sight {
            relation,
            subject: reach.subject,
            masks: self.masks(facts, scoped),
            reveals: self.reveals(relation, scoped, &reach.subject),
        };
        let mut reads = rows.reads;
        let mut subject = false;
        let mut undone_by = BTreeMap::new();
        for (column, known) in relation.columns.iter().zip(&facts.columns) {
            let (rule, applied) = self.column(&sight, column, known);
            if let Some(note) = applied.as_ref().and_then(|a| a.note.clone()) {
                notes.insert(column.name.clone(), note);
            }
            let (value, masked) = match &rule {
                ColumnRule::Denied { .. } => (None, true),
                ColumnRule::Clear => (Some(known.clear.clone()), false),
                ColumnRule::Masked { .. } => match applied {
                    Some(Worn {
                        value: Some(value),
                        keys: needed,
                        reads: needs,
                        subject: asks,
                        whole,
                        ..
                    }) => {
                        masks.insert(column.name.clone(), (Arc::clone(&value.sql), whole));
                        let undo: BTreeSet<String> =
                            needed.iter().filter(|key| undoes(key)).cloned().collect();
                        if !undo.is_empty() {
                            undone_by.insert(column.name.clone(), undo);
                        }
                        keys.extend(needed);
                        reads.extend(needs);
                        subject |= asks;
                        (Some(value), true)
                    }
                    // A mask without an expression shows nothing.
                    Some(Worn { value: None, .. }) | None => (None, true),
                },
            };
            columns.insert(column.name.clone(), rule);
            shown.extend(value.map(|value| Shown { column, name: &known.name, value, masked }));
        }
        if shown.is_empty() {
            return Err(vec![Reason::NoColumns]);
        }
        let mut operations = reach.operations;
        let write_withheld =
            !takes_writes(relation.kind, rows.condition.is_some()) && operations.remove(&Operation::Write);
        if operations.is_empty() {
            return Err(vec![Reason::ReadOnly]);
        }
        let view = view::build(relation, &shown, rows.condition.as_deref(), keys);
        let drawn = |column: &ViewColumn| relation.keys.sequences.get(&column.name).cloned();
        let sequences = match operations.contains(&Operation::Write) {
            true => view.columns.iter().filter(|c| c.writable).filter_map(drawn).flatten().collect(),
            false => BTreeSet::new(),
        };
        let writes = operations.contains(&Operation::Write);
        let access = Access {
            beneath: view::beneath(relation, &view, writes),
            relation: relation.name.clone(),
            oid: relation.oid,
            operations,
            rows: match rows.condition {
                None => RowRule::All,
                Some(condition) => RowRule::Filtered { policies: rows.policies, condition },
            },
            columns,
            granted_by: reach.grants.into_iter().map(str::to_owned).collect(),
            sequences,
            undone_by,
            view,
        };
        let (as_agent, parts) = (reach.as_agent, rows.parts);
        Ok(Ruling { access, reads, subject, notes, as_agent, write_withheld, parts, masked: masks })
    }

    /// Policies among the candidates that mean the relation, oldest first.
    pub(crate) fn lane(
        &self,
        candidates: impl IntoIterator<Item = u32>,
        relation: &'a Relation,
    ) -> impl Iterator<Item = &'a Policy> {
        let policies = self.policies;
        candidates.into_iter().filter_map(move |n| policies.get(n)).filter(move |p| match &p.rule {
            Rule::Grant(grant) => is_table(&grant.on, relation),
            Rule::Guardrail(guardrail) => is_table(&guardrail.on, relation),
            Rule::Rows(rows) => is_table(&rows.of, relation),
            Rule::Mask(_) | Rule::Reveal(_) | Rule::Permit(_) | Rule::Purpose(_) => true,
        })
    }

    fn side(&self, person: &Person<'a>, relation: &'a Relation, number: u32, facts: &Facts) -> Side<'a> {
        let grants = self.held(person).grants(number);
        let mut side = Side { operations: BTreeSet::new(), grants: Vec::new(), failed: Vec::new() };
        for policy in self.lane(grants.iter().copied(), relation) {
            if let Rule::Grant(grant) = &policy.rule
                && self.watched(policy, person).all(|p| p.is(&grant.to))
            {
                side.operations.extend(&grant.operations);
                side.grants.push(&policy.name);
            }
        }
        for approval in self.approvals(person) {
            if let Approved::Access { relation: named, operations } = &approval.what
                && *named == relation.name
            {
                side.operations.extend(operations);
                side.grants.push(&approval.id);
            }
        }
        // Guardrails beat grants; without a grant they need no look.
        if !side.grants.is_empty() {
            side.failed = self.failed(person, facts, Watches::Subject);
        }
        side
    }

    fn failed(&self, person: &Person<'a>, facts: &Facts, watches: Watches) -> Vec<&'a str> {
        (facts.guardrails.iter().filter_map(|n| self.policies.get(*n)))
            .filter(|p| p.watches == watches || p.watches == Watches::Both)
            .filter(|p| match &p.rule {
                Rule::Guardrail(guardrail) => !person.is(&guardrail.require),
                Rule::Grant(_)
                | Rule::Rows(_)
                | Rule::Mask(_)
                | Rule::Reveal(_)
                | Rule::Permit(_)
                | Rule::Purpose(_) => false,
            })
            .map(|p| p.name.as_str())
            .collect()
    }

    /// On behalf of a user, a table that the user is granted is judged as the user, whatever the agent is granted: a guardrail
    /// that stops the user cannot be passed by way of the agent.
    fn reach(&self, relation: &'a Relation, number: u32, facts: &Facts) -> Result<Reach<'a>, Vec<Reason>> {
        let side = |person| self.side(person, relation, number, facts);
        let (side, subject, whom) = match (&self.user, &self.agent) {
            (Some(user), None) => (side(user), *user, "user"),
            (None, Some(agent)) => (side(agent), *agent, "agent"),
            (Some(user), Some(agent)) => self.together((user, side(user)), (agent, side(agent)), relation)?,
            (None, None) => return Err(vec![Reason::NoGrant("principal")]),
        };
        if side.operations.is_empty() {
            return Err(vec![Reason::NoGrant(whom)]);
        }
        let unmet =
            |whom: &'static str| move |policy: &str| Reason::Guardrail { policy: policy.to_owned(), whom };
        let mut reasons: Vec<Reason> = side.failed.iter().copied().map(unmet(whom)).collect();
        if let Some(agent) = &self.agent {
            let failed = self.failed(agent, facts, Watches::Actor);
            reasons.extend(failed.into_iter().map(unmet("acting agent")));
        }
        if !reasons.is_empty() {
            return Err(reasons);
        }
        Ok(Reach { operations: side.operations, grants: side.grants, subject, as_agent: whom == "agent" })
    }

    fn together(
        &self,
        (user, mut of_user): (&Person<'a>, Side<'a>),
        (agent, of_agent): (&Person<'a>, Side<'a>),
        relation: &'a Relation,
    ) -> Result<(Side<'a>, Person<'a>, &'static str), Vec<Reason>> {
        let tool = TagPath(TagPath::AGENT_TOOL.to_owned());
        let lends = match self.combination {
            Combination::Intersection => {
                return match (of_user.grants.is_empty(), of_agent.grants.is_empty()) {
                    (true, _) => Err(vec![Reason::NoGrant("user")]),
                    (false, true) => Err(vec![Reason::NoGrant("agent")]),
                    (false, false) => {
                        of_user.operations.retain(|o| of_agent.operations.contains(o));
                        of_user.grants.extend(of_agent.grants);
                        of_user.failed.extend(of_agent.failed);
                        of_user.grants = unique(of_user.grants);
                        of_user.failed = unique(of_user.failed);
                        Ok((of_user, *user, "user"))
                    }
                };
            }
            Combination::Union => true,
            Combination::Guarded => relation.tags.iter().any(|t| t.is_under(&tool)),
        };
        if of_user.grants.is_empty() {
            return match (of_agent.grants.is_empty(), lends) {
                (true, _) => Err(vec![Reason::NoGrant("user")]),
                (false, false) => Err(vec![Reason::NoGrant("user"), Reason::NotATool]),
                (false, true) => Ok((of_agent, *agent, "agent")),
            };
        }
        if lends && of_agent.failed.is_empty() {
            of_user.operations.extend(of_agent.operations);
            of_user.grants.extend(of_agent.grants);
            of_user.grants = unique(of_user.grants);
        }
        Ok((of_user, *user, "user"))
    }
}

/// Does the key belong to a mask that can be turned back?
fn undoes(key: &str) -> bool {
    key == key::TOKEN || key.starts_with(key::REVERSIBLE)
}

fn unique(mut names: Vec<&str>) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    names.retain(|n| seen.insert(*n));
    names
}

/// May a relation of this kind be written through a secured view? Where rows are hidden, only where PostgreSQL itself checks
/// each row that is written against the view.
fn takes_writes(kind: RelationKind, filtered: bool) -> bool {
    match kind {
        RelationKind::Table | RelationKind::PartitionedTable => true,
        RelationKind::View | RelationKind::ForeignTable => !filtered,
        RelationKind::MaterializedView => false,
    }
}
