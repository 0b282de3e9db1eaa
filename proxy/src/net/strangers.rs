//! Connections that have not proven who they are. There are only so many: who comes takes the place of who has waited longest, so
//! that a flood of strangers pushes out itself, and hardly a client that logs in at once.
//!
//! Called by the listener and by the login.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::time::sleep_until;

/// All of them.
#[derive(Debug)]
pub struct Strangers {
    max: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// In order of arrival.
    places: BTreeMap<u64, oneshot::Sender<()>>,
}

impl Strangers {
    /// Room for so many.
    #[must_use]
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, waiting: Mutex::default() })
    }

    /// A place for a newcomer, who has until `deadline`.
    #[must_use]
    pub fn arrive(self: &Arc<Self>, deadline: Instant) -> Stranger {
        let (place, sent_away) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let number = waiting.next;
        waiting.next += 1;
        waiting.places.insert(number, place);
        if waiting.places.len() > self.max {
            // Its end of the channel is dropped, which is the word to go.
            waiting.places.pop_first();
        }
        drop(waiting);
        Stranger { strangers: Arc::clone(self), number, deadline, sent_away }
    }

    fn leave(&self, number: u64) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).places.remove(&number);
    }
}

/// A place among them, given up with the value.
#[derive(Debug)]
pub struct Stranger {
    strangers: Arc<Strangers>,
    number: u64,
    deadline: Instant,
    sent_away: oneshot::Receiver<()>,
}

impl Stranger {
    /// Does somebody else have the place?
    pub fn was_sent_away(&mut self) -> bool {
        matches!(self.sent_away.try_recv(), Err(TryRecvError::Closed))
    }

    /// Comes back when the time is up, or the place is somebody else's.
    ///
    /// Cancel-safe.
    pub async fn is_over(&mut self) {
        tokio::select! {
            () = sleep_until(self.deadline.into()) => {}
            _ = &mut self.sent_away => {}
        }
    }

    /// What comes of `work`, where it ends in time.
    pub async fn while_waiting<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.is_over() => None,
        }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.strangers.leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn who_comes_takes_the_place_of_who_has_waited_longest() {
        let late = Instant::now() + Duration::from_secs(3_600);
        let strangers = Strangers::new(2);
        let mut first = strangers.arrive(late);
        let mut second = strangers.arrive(late);
        assert_eq!(first.while_waiting(async { 1 }).await, Some(1));
        let mut third = strangers.arrive(late);
        assert_eq!(first.while_waiting(pending::<()>()).await, None);
        assert!(first.was_sent_away() && !second.was_sent_away());
        // Who has gone makes room.
        drop(third);
        drop(first);
        third = strangers.arrive(late);
        assert_eq!(second.while_waiting(async { 2 }).await, Some(2));
        let _fourth = strangers.arrive(late);
        assert_eq!(second.while_waiting(pending::<()>()).await, None);
        assert_eq!(third.while_waiting(async { 3 }).await, Some(3));
        assert_eq!(strangers.waiting.lock().expect("not poisoned").places.len(), 2);
    }

    #[tokio::test]
    async fn time_is_up_at_the_deadline() {
        let strangers = Strangers::new(2);
        let mut stranger = strangers.arrive(Instant::now());
        assert_eq!(stranger.while_waiting(pending::<()>()).await, None);
        assert!(!stranger.was_sent_away());
    }
}
