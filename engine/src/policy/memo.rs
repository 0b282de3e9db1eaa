//! Rulings that were made before under a snapshot, for principals whom the policies cannot tell apart.
//!
//! Must never share a ruling between two principals for whom some policy on the relation says something else: the key holds
//! what every phrase of every policy that could mean the relation says of user and agent, and the rest of what a ruling reads of
//! them is asked again. A memory, not a meaning: without it every answer is the same. Called by `entitle`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use super::held::Held;
use super::holders::whos;
use super::judge::{Ruling, Session};
use super::predicate::compile::Read;
use crate::entitlement::Access;
use crate::identity::PurposeName;

/// Most rulings kept for one relation; more are made anew each time.
const RULINGS_MAX: usize = 256;
/// Most phrases of one policy whose answers fit a key.
const PHRASES_MAX: usize = 32;

/// A ruling without anything of the principal it was made for.
#[derive(Debug, Clone)]
pub(crate) struct Remembered {
    /// Absent when the relation is refused.
    pub(crate) access: Option<Arc<Access>>,
    /// What its view reads of the session.
    pub(crate) reads: BTreeMap<String, Read>,
    /// Does it read whose session it is?
    pub(crate) subject: bool,
    asked: Vec<Asked>,
}

/// An attribute that was looked at, and whether it held a value.
#[derive(Debug, Clone)]
struct Asked {
    name: Arc<str>,
    read: Read,
    had: bool,
}

/// Under which purpose; and policy, with what its phrases say of user and agent, a bit each.
type Key = (Option<PurposeName>, Vec<(u32, u64)>);

/// Rulings on one relation.
#[derive(Debug, Default)]
pub(crate) struct Memo(RwLock<Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_key: HashMap<Key, Vec<Arc<Remembered>>>,
    /// In all its lists.
    kept: usize,
}

/// What a session has found out about itself.
#[derive(Debug, Default)]
pub(crate) struct Found {
    phrases: HashMap<u32, Option<u64>>,
    values: HashMap<Arc<str>, bool>,
    /// Since the ruling under way began.
    asked: Vec<Asked>,
}

impl<'a> Session<'a> {
    /// Judges a relation, or remembers how it was judged for somebody alike.
    pub(crate) fn ruled(&self, number: u32) -> Arc<Remembered> {
        let Some((memo, key)) = self.memo(number) else {
            return Arc::new(self.remembered(number));
        };
        {
            let known = memo.0.read().unwrap_or_else(PoisonError::into_inner);
            let alike = |r: &&Arc<Remembered>| r.asked.iter().all(|a| self.has(&a.name, &a.read) == a.had);
            if let Some(found) = known.by_key.get(&key).and_then(|list| list.iter().find(alike)) {
                return Arc::clone(found);
            }
        }
        let made = Arc::new(self.remembered(number));
        let mut known = memo.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.kept < RULINGS_MAX {
            known.kept += 1;
            known.by_key.entry(key).or_default().push(Arc::clone(&made));
        }
        made
    }

    fn remembered(&self, number: u32) -> Remembered {
        self.found.borrow_mut().asked.clear();
        let ruling = self.relation(number).and_then(|relation| self.judge(relation).ok());
        let asked = std::mem::take(&mut self.found.borrow_mut().asked);
        match ruling {
            Some(Ruling { access, reads, subject, .. }) => {
                Remembered { access: Some(Arc::new(access)), reads, subject, asked }
            }
            None => Remembered { access: None, reads: BTreeMap::new(), subject: false, asked },
        }
    }

    /// Where rulings on a relation are kept, and under which key; nowhere when the key would not say everything.
    fn memo<'s>(&'s self, number: u32) -> Option<(&'s Memo, Key)> {
        let facts = self.resolved.facts(self.snapshot, number)?;
        let (of_user, of_agent) = (&self.of_user, &self.of_agent);
        // An approval is one person's.
        if of_user.is_approved(number) || of_agent.is_approved(number) {
            return None;
        }
        let scoped = |held: &'s Held, is_there: bool| match is_there {
            true => held.scoped(number),
            false => Some(&[][..]),
        };
        let lists = [
            of_user.grants(number),
            of_agent.grants(number),
            facts.guardrails.as_slice(),
            facts.open_rows.as_slice(),
            facts.open_masks.as_slice(),
            scoped(of_user, self.user.is_some())?,
            scoped(of_agent, self.agent.is_some())?,
        ];
        let mut key = Vec::with_capacity(lists.iter().map(|l| l.len()).sum::<usize>() + 1);
        // Of equal phrases an agent alone, a user alone and both are not alike, nor are the ways in which they combine.
        key.push((u32::MAX, self.mode()));
        let mut found = self.found.borrow_mut();
        for policy in lists.into_iter().flatten() {
            let said = *found.phrases.entry(*policy).or_insert_with(|| self.phrases(*policy));
            key.push((*policy, said?));
        }
        Some((&facts.memo, (self.purpose.cloned(), key)))
    }

    /// What every phrase of a policy says of user and agent.
    fn phrases(&self, policy: u32) -> Option<u64> {
        let phrases = whos(self.policies.get(policy)?);
        if phrases.len() > PHRASES_MAX {
            return None;
        }
        let people = [&self.user, &self.agent];
        let bits = phrases.iter().flat_map(|who| people.map(|p| p.as_ref().is_some_and(|p| p.is(who))));
        Some(bits.fold(0, |sum, bit| sum << 1 | u64::from(bit)))
    }

    /// Does the session have a value of the attribute that reads as the type? Noted, for whoever remembers the ruling.
    pub(crate) fn has_values(&self, read: &Read) -> bool {
        let name: Arc<str> = format!("{} {:?}", read.attribute.key(), read.as_type).into();
        let had = self.has(&name, read);
        self.found.borrow_mut().asked.push(Asked { name, read: read.clone(), had });
        had
    }

    fn has(&self, name: &Arc<str>, read: &Read) -> bool {
        let mut found = self.found.borrow_mut();
        if let Some(has) = found.values.get(name) {
            return *has;
        }
        let has = !self.values(&read.attribute, read.as_type).is_empty();
        found.values.insert(Arc::clone(name), has);
        has
    }
}
