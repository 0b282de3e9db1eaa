//! The session's search path and the names of its temporary relations: what the warehouse has confirmed of it, and what it
//! will be when all that is under way has run.
//!
//! A session that never sets it pays for two comparisons. Called by `inbound` when a statement is judged, and by `named` and
//! `outbound` when one is over.

use std::sync::Arc;

use lanyard_engine::refusal::{Code, Refusal};
use lanyard_engine::sql::paths::Paths;
use lanyard_engine::sql::{Effect, Judged};

use super::exchange::{Exchange, Pending, Run, Statement};

fn moves_names(judged: &Judged) -> bool {
    judged.effects.iter().any(|(_, effect)| matches!(effect, Effect::Path(step) if step.moves_names()))
}

impl Exchange {
    /// The path that the next message finds if all before it succeeds; `None` where nobody touched it.
    pub(super) fn paths_ahead(&self) -> Option<Paths> {
        if self.paths.is_plain() && self.path_changes == 0 {
            return None;
        }
        Some(self.replayed()).filter(|paths| !paths.is_plain())
    }

    /// What was confirmed, and all that is under way on top.
    pub(super) fn replayed(&self) -> Paths {
        let mut paths = self.paths.clone();
        for pending in &self.pending {
            match pending {
                Pending::Query(run) | Pending::Execute(run) => {
                    for (_, effect) in &run.judged.effects {
                        if let Effect::Path(step) = effect {
                            paths.apply(step);
                        }
                    }
                    if matches!(pending, Pending::Query(_)) {
                        paths.settle();
                    }
                }
                Pending::Sync => paths.settle(),
                Pending::Refused { .. } => paths.fail(),
                Pending::Parse { .. }
                | Pending::Bind { .. }
                | Pending::Describe
                | Pending::Close
                | Pending::Again { .. }
                | Pending::Recount(_)
                | Pending::Types(_) => {}
            }
        }
        paths
    }

    /// The same, for comparison with [`Paths::means_like`].
    pub(super) fn path_ahead(&self) -> Paths {
        self.paths_ahead().unwrap_or_default()
    }

    /// Does a prepared statement still name what it named? PostgreSQL plans it again under another path; ours is fixed to the
    /// relations that were judged.
    pub(super) fn names_the_same(&self, statement: &Arc<Statement>) -> Result<(), Refusal> {
        if self.path_ahead().means_like(&statement.path) {
            return Ok(());
        }
        let judged = self.judge(&statement.text).0?;
        // A message that sets the path itself is judged alike under any: that says nothing.
        let moves = judged.effects.iter().any(|(_, effect)| matches!(effect, Effect::Path(_)));
        if !moves && judged.splices_like(&statement.judged) {
            Ok(())
        } else {
            Err(Refusal::new(Code::Unsupported, "cached plan must not change result type").hint(
                "the search path, or temporary tables, changed what the statement names; prepare it again",
            ))
        }
    }

    /// A statement is on its way.
    pub(super) fn path_begun(&mut self, run: &Run) {
        self.path_changes += usize::from(moves_names(&run.judged));
    }

    /// It is over.
    pub(super) fn path_over(&mut self, run: &Run) {
        self.path_changes -= usize::from(moves_names(&run.judged));
    }
}
