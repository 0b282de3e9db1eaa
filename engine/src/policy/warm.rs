//! Rulings made ahead of the logins that need them: those of principals who were here before, and of one of each kind of user.
//!
//! A memory, not a meaning: whoever comes before it, or is of a kind it did not reach, is judged then. Must never run on a
//! session's path. Called beside the first sessions under a new snapshot.

use std::collections::HashSet;

use super::entitle;
use super::matching::Person;
use crate::identity::{AgentId, Principal, UserId};
use crate::limits;
use crate::snapshot::Snapshot;

/// Judges `recent` principals, then one user of each kind, alone and with each agent, then the agents, until
/// [`limits::WARM_RULINGS_MAX`] tables were ruled on.
pub fn warm(snapshot: &Snapshot, recent: impl IntoIterator<Item = Principal>) {
    let users = kinds(snapshot);
    let agents: Vec<&AgentId> = snapshot.identities.agents.keys().collect();
    let of_user = |user: UserId| {
        let with = agents.iter().map({
            let user = user.clone();
            move |agent| Principal::on_behalf_of((*agent).clone(), user.clone())
        });
        [Principal::direct(user)].into_iter().chain(with).collect::<Vec<_>>()
    };
    let alone = agents.iter().map(|agent| Principal::autonomous((*agent).clone()));
    let mut left = limits::WARM_RULINGS_MAX;
    for principal in recent.into_iter().chain(users.into_iter().flat_map(of_user)).chain(alone) {
        let ruled = entitle(snapshot, &principal).map_or(0, |entitlement| entitlement.iter().count());
        match left.checked_sub(ruled + 1) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// One user of each kind: users of one kind are led to the same policies by their groups, attributes and ids.
fn kinds(snapshot: &Snapshot) -> Vec<UserId> {
    let mut known = HashSet::new();
    let mut first = Vec::new();
    let mut left = limits::WARM_POLICIES_MAX;
    for (id, user) in &snapshot.identities.users {
        let telling = snapshot.policies.holders().telling(&Person::user(user));
        let Some(rest) = left.checked_sub(telling.len() + 1) else {
            break;
        };
        left = rest;
        if known.insert(telling) {
            first.push(id.clone());
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::differential::{WHO, asked, world};

    #[test]
    fn who_comes_after_it_is_told_what_who_comes_before_is_told() {
        let mut reached = 0;
        for seed in 0..60 {
            let (cold, _) = world(seed);
            let (warmed, _) = world(seed);
            warm(&warmed, [asked("usual~cyd for Work"), asked("ann")]);
            for who in WHO {
                let (before, after) = (entitle(&cold, &asked(who)), entitle(&warmed, &asked(who)));
                assert_eq!(before, after, "world {seed}, {who}");
                reached += after.map_or(0, |entitlement| entitlement.iter().count());
            }
        }
        assert!(reached > 100, "{reached}");
    }

    #[test]
    fn users_are_of_one_kind_until_a_policy_tells_them_apart() {
        let alike = crate::policy::tests::snapshot("");
        assert_eq!(kinds(&alike).len(), 1);
        let hr = "policy p allow read on tables tagged Sales to users in group hr";
        assert_eq!(kinds(&crate::policy::tests::snapshot(hr)).len(), 2);
        let two =
            format!("{hr} policy q mask columns tagged PII with null for users with training = 'privacy'");
        assert_eq!(kinds(&crate::policy::tests::snapshot(&two)).len(), 3);
    }
}
