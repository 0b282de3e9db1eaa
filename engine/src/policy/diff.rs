//! Who gains and who loses what between two snapshots, down to columns.
//!
//! Must never call a change harmless that it cannot prove to be: what is neither equal nor surely less counts as more. Called by
//! `lanyard diff`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::entitle;
use super::holders::whos;
use super::judge::{Ruling, Session};
use super::model::{Question, Rule};
use crate::approval::Grantee;
use crate::catalog::RelationName;
use crate::entitlement::{ColumnRule, Entitlement};
use crate::identity::{AgentId, Principal, PurposeName, UserId};
use crate::limits;
use crate::snapshot::Snapshot;

/// One thing that changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// `schema.table`, or what else is granted.
    pub what: String,
    /// Of the table, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// What was, and what is, in words.
    pub how: String,
    /// Could somebody see or do more?
    pub widens: bool,
}

/// Principals to whom the same happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The first of them: `taylor`, `agent`, `agent for taylor`, each perhaps `under PURPOSE`.
    pub who: Vec<String>,
    /// How many they are.
    pub count: usize,
    /// Never empty.
    pub changes: Vec<Change>,
}

/// Compares what every principal may do. Principals whom no policy of either side can tell apart are judged once.
///
/// # Errors
/// When there are more principals to judge than [`limits::DIFF_PRINCIPALS_MAX`].
pub fn diff(old: &Snapshot, new: &Snapshot) -> Result<Vec<Changed>, String> {
    let named = Named::of([old, new]);
    let users = alike(old, new, &named, users_of, |s, id| {
        s.identities.users.get(id).map(|u| format!("{:?}{:?}", u.groups, u.attributes))
    });
    let agents = alike(old, new, &named, agents_of, |s, id| {
        s.identities.agents.get(id).map(|a| format!("{:?}{:?}{:?}", a.groups, a.attributes, a.combination))
    });
    let purposes: Vec<Option<PurposeName>> =
        [None].into_iter().chain(purposes(old, new).into_iter().map(Some)).collect();
    let count = (users.len() + agents.len() + users.len() * agents.len()) * purposes.len();
    if count > limits::DIFF_PRINCIPALS_MAX {
        return Err(format!(
            "there are {count} kinds of principals to compare, more than {}",
            limits::DIFF_PRINCIPALS_MAX
        ));
    }
    let mut found: BTreeMap<Vec<Change>, (Vec<String>, usize)> = BTreeMap::new();
    let mut compare = |principal: Principal, names: &dyn Fn() -> (Vec<String>, usize)| {
        for purpose in &purposes {
            let asked = Principal { purpose: purpose.clone(), ..principal.clone() };
            let changes = changes(old, new, &asked);
            if !changes.is_empty() {
                let under = purpose.as_ref().map_or(String::new(), |p| format!(" under {p}"));
                let (who, count) = found.entry(changes).or_default();
                let (some, all) = names();
                let room = NAMES_MAX.saturating_sub(who.len());
                who.extend(some.into_iter().take(room).map(|name| format!("{name}{under}")));
                *count += all;
            }
        }
    };
    for same in &users {
        compare(Principal::direct(same[0].clone()), &|| named_some(same));
    }
    for same in &agents {
        compare(Principal::autonomous(same[0].clone()), &|| named_some(same));
    }
    for agent in &agents {
        for user in &users {
            let pairs = || {
                let pairs = agent.iter().flat_map(|a| user.iter().map(move |u| format!("{a} for {u}")));
                (pairs.take(NAMES_MAX).collect(), agent.len() * user.len())
            };
            compare(Principal::on_behalf_of(agent[0].clone(), user[0].clone()), &pairs);
        }
    }
    Ok(found.into_iter().map(|(changes, (who, count))| Changed { who, count, changes }).collect())
}

/// Principals named in one group of changes; the others are counted.
const NAMES_MAX: usize = 20;

fn named_some<I: ToString>(same: &[I]) -> (Vec<String>, usize) {
    (same.iter().take(NAMES_MAX).map(ToString::to_string).collect(), same.len())
}

/// Ids that some policy or approval names.
struct Named(BTreeSet<String>);

impl Named {
    fn of(snapshots: [&Snapshot; 2]) -> Self {
        let mut ids = BTreeSet::new();
        for snapshot in snapshots {
            let conditions = snapshot
                .policies
                .iter()
                .flat_map(whos)
                .flat_map(|who| &who.any)
                .filter_map(|p| p.condition.as_ref());
            for test in conditions.flat_map(|condition| condition.tests()) {
                if let Question::Id(named) = &test.question {
                    ids.extend(named.iter().cloned());
                }
            }
            ids.extend(snapshot.approvals.all.iter().map(|approval| match &approval.grantee {
                Grantee::User(id) => id.to_string(),
                Grantee::Agent(id) => id.to_string(),
            }));
            // Where rows are chosen by id, every id is its own kind.
            if snapshot
                .policies
                .iter()
                .any(|p| matches!(p.rule, Rule::Rows(_) | Rule::Mask(_)) && super::print(p).contains(".id"))
            {
                ids.extend(snapshot.identities.users.keys().map(ToString::to_string));
                ids.extend(snapshot.identities.agents.keys().map(ToString::to_string));
            }
        }
        Self(ids)
    }
}

fn users_of(snapshot: &Snapshot) -> Vec<UserId> {
    snapshot.identities.users.keys().cloned().collect()
}

fn agents_of(snapshot: &Snapshot) -> Vec<AgentId> {
    snapshot.identities.agents.keys().cloned().collect()
}

/// Ids that nothing tells apart, on either side.
fn alike<I: Ord + Clone + ToString>(
    old: &Snapshot,
    new: &Snapshot,
    named: &Named,
    all: fn(&Snapshot) -> Vec<I>,
    looks: impl Fn(&Snapshot, &I) -> Option<String>,
) -> Vec<Vec<I>> {
    let ids: BTreeSet<I> = all(old).into_iter().chain(all(new)).collect();
    // As the old side looks, as the new one does, and the id where something names it.
    let mut kinds: BTreeMap<[Option<String>; 3], Vec<I>> = BTreeMap::new();
    for id in ids {
        let name = id.to_string();
        let own = named.0.contains(&name).then_some(name);
        kinds.entry([looks(old, &id), looks(new, &id), own]).or_default().push(id);
    }
    kinds.into_values().collect()
}

fn purposes(old: &Snapshot, new: &Snapshot) -> BTreeSet<PurposeName> {
    let declared =
        old.policies.iter().chain(new.policies.iter()).filter(|p| matches!(p.rule, Rule::Purpose(_)));
    declared.filter_map(|p| PurposeName::parse(&p.name).ok()).collect()
}

/// What changes for one principal. One who does not exist, or may not have the purpose, may do nothing.
fn changes(old: &Snapshot, new: &Snapshot, principal: &Principal) -> Vec<Change> {
    let (was, is) = (entitle(old, principal).ok(), entitle(new, principal).ok());
    if was == is {
        return Vec::new();
    }
    let names = |e: &Option<Entitlement>| -> BTreeSet<RelationName> {
        e.iter().flat_map(Entitlement::iter).map(|access| access.relation.clone()).collect()
    };
    let relations: BTreeSet<RelationName> = names(&was).union(&names(&is)).cloned().collect();
    let mut found = Vec::new();
    for name in relations {
        let (was, is) = (Side::of(old, principal, &name), Side::of(new, principal, &name));
        let mut tell = |column: Option<&str>, how: String, widens: bool| {
            found.push(Change { what: name.to_string(), column: column.map(str::to_owned), how, widens });
        };
        match (was, is) {
            (None, None) => {}
            (None, Some(_)) => tell(None, "gains the table".to_owned(), true),
            (Some(_), None) => tell(None, "loses the table".to_owned(), false),
            (Some(was), Some(is)) => was.against(&is, &mut tell),
        }
    }
    found.extend(extras(was.as_ref(), is.as_ref()));
    found.sort();
    found
}

/// A ruling, and the values it reads.
struct Side {
    ruling: Ruling,
    values: BTreeMap<String, Vec<String>>,
}

impl Side {
    fn of(snapshot: &Snapshot, principal: &Principal, name: &RelationName) -> Option<Self> {
        let session = Session::of(snapshot, principal).ok()?;
        let ruling = session.judge(snapshot.catalog.relations.get(name)?).ok()?;
        let values =
            ruling.reads.iter().map(|(k, r)| (k.clone(), session.values(&r.attribute, r.as_type))).collect();
        Some(Self { ruling, values })
    }

    fn against(&self, new: &Self, tell: &mut impl FnMut(Option<&str>, String, bool)) {
        let (was, is) = (&self.ruling.access, &new.ruling.access);
        for operation in is.operations.difference(&was.operations) {
            tell(None, format!("gains {}", operation.word()), true);
        }
        for operation in was.operations.difference(&is.operations) {
            tell(None, format!("loses {}", operation.word()), false);
        }
        self.rows(new, tell);
        let columns: BTreeSet<&String> = was.columns.keys().chain(is.columns.keys()).collect();
        for column in columns {
            self.column(new, column, tell);
        }
    }

    fn rows(&self, new: &Self, tell: &mut impl FnMut(Option<&str>, String, bool)) {
        let (was, is): (BTreeSet<&String>, BTreeSet<&String>) =
            (self.ruling.parts.iter().collect(), new.ruling.parts.iter().collect());
        if was == is {
            // The same condition over other values is another condition.
            if self.values != new.values && !is.iter().any(|part| *part == "FALSE") {
                tell(None, "other values are read of the principal".to_owned(), true);
            }
            return;
        }
        let words = |parts: &BTreeSet<&String>| match parts.len() {
            0 => "all rows".to_owned(),
            _ => format!("rows where {}", parts.iter().map(|p| p.as_str()).collect::<Vec<_>>().join(" and ")),
        };
        let added = was.is_subset(&is) && self.values.iter().all(|(k, v)| new.values.get(k) == Some(v));
        let nothing = is.iter().any(|part| *part == "FALSE");
        tell(None, format!("{} -> {}", words(&was), words(&is)), !(added || nothing));
    }

    fn column(&self, new: &Self, column: &str, tell: &mut impl FnMut(Option<&str>, String, bool)) {
        let (was, is) = (self.seen(column), new.seen(column));
        if was == is {
            return;
        }
        let how = format!("{} -> {}", was.words(), is.words());
        tell(Some(column), how, !is.shows_no_more_than(&was));
    }

    fn seen(&self, column: &str) -> Seen<'_> {
        match self.ruling.access.columns.get(column) {
            None | Some(ColumnRule::Denied { .. }) => Seen::Denied,
            Some(ColumnRule::Clear) => Seen::Clear,
            Some(ColumnRule::Masked { mask, .. }) => match self.ruling.masked.get(column) {
                Some((sql, whole)) => Seen::Masked { mask, sql, whole: *whole },
                None => Seen::Denied,
            },
        }
    }
}

/// How a column comes out.
#[derive(Debug, PartialEq, Eq)]
enum Seen<'a> {
    Denied,
    Clear,
    Masked { mask: &'static str, sql: &'a str, whole: bool },
}

impl Seen<'_> {
    fn words(&self) -> String {
        match self {
            Self::Denied => "denied".to_owned(),
            Self::Clear => "clear".to_owned(),
            Self::Masked { mask, whole: true, .. } => (*mask).to_owned(),
            Self::Masked { mask, whole: false, .. } => format!("{mask} in some rows"),
        }
    }

    fn shows_no_more_than(&self, was: &Self) -> bool {
        match (self, was) {
            (Self::Denied, _) | (_, Self::Clear) => true,
            (_, Self::Denied) | (Self::Clear, _) => false,
            (Self::Masked { mask, whole, .. }, Self::Masked { mask: other, .. }) => {
                *whole && step(mask) < step(other)
            }
        }
    }
}

/// The table of strictness of policy.md §5, the strictest first. Two of one step are not known to nest.
fn step(word: &str) -> usize {
    const STEPS: [&[&str]; 10] = [
        &["null"],
        &["constant"],
        &["k_anonymous"],
        &["randomized"],
        &["round"],
        &["hash"],
        &["token"],
        &["reversible", "fpe"],
        &["regex", "partial", "redact"],
        &["custom"],
    ];
    STEPS.iter().position(|words| words.contains(&word)).unwrap_or(STEPS.len())
}

/// What is let through beyond tables.
fn extras(was: Option<&Entitlement>, is: Option<&Entitlement>) -> Vec<Change> {
    let words = |e: Option<&Entitlement>| -> BTreeSet<String> {
        let Some(extras) = e.map(|e| &e.extras) else {
            return BTreeSet::new();
        };
        let workspace = extras.workspace.map(|kept| format!("workspace, {kept:?}").to_lowercase());
        let functions = extras.functions.iter().map(|f| format!("function {f}"));
        let types = extras.types.iter().map(|t| format!("type {t}"));
        let extensions = extras.extensions.iter().map(|e| format!("extension {e}"));
        let channels = extras.channels.iter().map(|c| format!("channel {c}"));
        let undone = |(key, columns): (&String, &BTreeSet<String>)| {
            columns.iter().map(|column| format!("unmask of {column} ({key})")).collect::<Vec<_>>()
        };
        let unmask = extras.unmask.iter().flat_map(undone);
        workspace
            .into_iter()
            .chain(functions)
            .chain(types)
            .chain(extensions)
            .chain(channels)
            .chain(unmask)
            .collect()
    };
    let (was, is) = (words(was), words(is));
    let told = |what: &String, how: &str, widens| Change {
        what: what.clone(),
        column: None,
        how: how.to_owned(),
        widens,
    };
    let gained = is.difference(&was).map(|what| told(what, "gained", true));
    gained.chain(was.difference(&is).map(|what| told(what, "lost", false))).collect()
}

#[cfg(test)]
mod tests {
    use super::step;
    use crate::policy::mask::rank;
    use crate::policy::model::{Mask, Nulls, Unit};
    use crate::policy::predicate::Literal;

    #[test]
    fn the_steps_are_the_table_of_strictness() {
        let masks = [
            Mask::Null,
            Mask::Constant { value: Literal::Truth(true), nulls: Nulls::Kept },
            Mask::KAnonymous { columns: Vec::new(), k: 2 },
            Mask::Randomized { keep: "0".into() },
            Mask::Unit(Unit::Day),
            Mask::Hash { joinable: None },
            Mask::Token,
            Mask::Fpe { alphabet: "ab".into() },
            Mask::Partial { first: 1, last: 1, fill: '*' },
        ];
        for one in &masks {
            for other in &masks {
                let (by_step, by_rank) =
                    (step(one.word()).cmp(&step(other.word())), rank(other).cmp(&rank(one)));
                assert_eq!(by_step, by_rank, "{one:?} {other:?}");
            }
        }
    }
}
