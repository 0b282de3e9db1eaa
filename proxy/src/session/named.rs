//! Prepared statements as SQL names them, beside those of the protocol: PostgreSQL has one namespace for both, and so has
//! the session's map.
//!
//! A PREPARE is in the map as soon as it is sent, so that what a client pipelines behind it finds it, and leaves it when it
//! turns out not to have run. Its name in the warehouse is ours and stands for one text for ever: an EXECUTE runs what its
//! record says or fails. Called by `inbound` (before and when a statement is sent) and `outbound` (when it is over).

use std::collections::HashMap;
use std::sync::Arc;

use lanyard_engine::limits;
use lanyard_engine::record::ObjectUse;
use lanyard_engine::refusal::{Code, Refusal};
use lanyard_engine::sql::{self, Effect, Judged};

use super::copy::CopyIn;
use super::exchange::{Exchange, Pending, Run, Statement};
use super::outbound::writes_shaped;

/// A text for the record, and its ruling with the session's names.
type Renamed = (Arc<str>, Arc<Judged>);

/// What one message has prepared (its name in the warehouse) and let go of so far.
#[derive(Default)]
struct Within<'a> {
    all_gone: bool,
    names: HashMap<&'a str, Option<Arc<str>>>,
}

/// A prepared statement's name in the warehouse: never used before, and the client's own behind it, which the virtual
/// pg_prepared_statements shows. As long as PostgreSQL takes; of a longer one the end is missing.
pub(super) fn upstream_name(number: u64, name: &str) -> String {
    let mut upstream = format!("{}{number}_{name}", sql::RESERVED_NAMES);
    upstream.truncate(upstream.floor_char_boundary(limits::NAME_BYTES_MAX));
    upstream
}

impl Exchange {
    /// Puts the session's names for prepared statements and portals into a text that names them. What an EXECUTE or a MOVE
    /// runs goes on record with it.
    pub(super) fn renamed(&mut self, text: &Arc<str>, judged: Arc<Judged>) -> Result<Renamed, Refusal> {
        if judged.effects.is_empty() {
            return Ok((Arc::clone(text), judged));
        }
        // Only names are put right here.
        if judged.effects.iter().all(|(_, effect)| {
            matches!(effect, Effect::CopyIn | Effect::DeallocateAll | Effect::Path(_) | Effect::Show)
        }) {
            return Ok((Arc::clone(text), judged));
        }
        if let Some(moved) = self.moved(text, &judged)? {
            return Ok(moved);
        }
        let mut within = Within::default();
        let (mut names, mut runs): (Vec<Arc<str>>, Vec<Arc<Statement>>) = (Vec::new(), Vec::new());
        for (_, effect) in &judged.effects {
            match effect {
                Effect::Prepare(named, _) => {
                    self.room_for(text)?;
                    let upstream: Arc<str> = upstream_name(self.next_number(), &named.name).into();
                    if let Some(Some(_)) = within.names.insert(&named.name, Some(Arc::clone(&upstream))) {
                        return Err(duplicate(&named.name));
                    }
                    names.push(upstream);
                }
                Effect::Execute(named) | Effect::Deallocate(named) => {
                    let upstream = match within.names.get(&*named.name) {
                        Some(Some(upstream)) => Arc::clone(upstream),
                        Some(None) => return Err(unknown_statement(&named.name)),
                        None if within.all_gone => return Err(unknown_statement(&named.name)),
                        None => self.known(effect, &named.name, &mut runs)?,
                    };
                    names.push(upstream);
                    if matches!(effect, Effect::Deallocate(_)) {
                        within.names.insert(&named.name, None);
                    }
                }
                Effect::DeallocateAll => {
                    within.all_gone = true;
                    within.names.clear();
                }
                Effect::Move(..) | Effect::CopyIn | Effect::Path(_) | Effect::Show => {}
            }
        }
        let renamed = sql::rename(text, &judged, &names)
            .ok_or_else(|| Refusal::new(Code::Internal, "a prepared statement could not be named"))?;
        let others: Vec<&[ObjectUse]> = runs.iter().map(|s| &*s.judged.objects).collect();
        let renamed = if others.is_empty() { renamed } else { renamed.running(&others) };
        Ok((with_what_runs(text, "prepared", &runs)?, Arc::new(renamed)))
    }

    /// Is there room for one more prepared statement, of this text?
    ///
    /// # Errors
    /// 54000 where there is none.
    pub(super) fn room_for(&self, text: &str) -> Result<(), Refusal> {
        let bytes: usize = self.statements.values().map(|statement| statement.text.len()).sum();
        if self.statements.len() < limits::PREPARED_MAX && bytes + text.len() <= limits::PREPARED_BYTES_MAX {
            return Ok(());
        }
        Err(Refusal::new(Code::TooLarge, "too many prepared statements")
            .hint("DEALLOCATE, or close, what is not used"))
    }

    /// The name in the warehouse of a statement prepared by an earlier message.
    fn known(
        &self,
        effect: &Effect,
        name: &str,
        runs: &mut Vec<Arc<Statement>>,
    ) -> Result<Arc<str>, Refusal> {
        let statement = self.statements.get(name).ok_or_else(|| unknown_statement(name))?;
        if let Effect::Execute(_) = effect {
            if !statement.judged.may_be_executed() {
                return Err(Refusal::new(
                    Code::Unsupported,
                    format!("EXECUTE of prepared statement \"{name}\" is not supported"),
                )
                .hint("EXECUTE runs SELECT, INSERT, UPDATE, DELETE and MERGE; bind others by the protocol"));
            }
            self.names_the_same(statement)?;
            if !runs.iter().any(|known| Arc::ptr_eq(known, statement)) {
                runs.push(Arc::clone(statement));
            }
        }
        Ok(statement.upstream.as_str().into())
    }

    /// MOVE in a portal that the protocol bound; one in a cursor that a judged DECLARE made needs nothing.
    fn moved(&self, text: &Arc<str>, judged: &Arc<Judged>) -> Result<Option<Renamed>, Refusal> {
        for (_, effect) in &judged.effects {
            let Effect::Move(name, way) = effect else { continue };
            let Some(portal) = self.portals.get(name) else { continue };
            if judged.statements > 1 {
                return Err(Refusal::new(Code::Unsupported, "MOVE in a portal must be sent alone"));
            }
            let mut renamed = Judged {
                enforced: sql::move_cursor(way, &portal.upstream),
                edits: Vec::new(),
                ..(**judged).clone()
            };
            renamed.objects.clone_from(&portal.statement.judged.objects);
            renamed.disposition = portal.statement.judged.disposition;
            let text = with_what_runs(text, "portal", std::slice::from_ref(&portal.statement))?;
            return Ok(Some((text, Arc::new(renamed))));
        }
        Ok(None)
    }

    /// A statement that is about to be sent would prepare what exists.
    ///
    /// # Errors
    /// 42P05, as PostgreSQL has it.
    pub(super) fn clash(&self, judged: &Judged) -> Result<(), Refusal> {
        let mut freed: Vec<&str> = Vec::new();
        for (_, effect) in &judged.effects {
            match effect {
                Effect::DeallocateAll => return Ok(()),
                Effect::Deallocate(named) => freed.push(&named.name),
                Effect::Prepare(named, _) if !freed.contains(&&*named.name) && self.exists(&named.name) => {
                    return Err(duplicate(&named.name));
                }
                Effect::Prepare(..)
                | Effect::Execute(_)
                | Effect::Move(..)
                | Effect::CopyIn
                | Effect::Path(_)
                | Effect::Show => {}
            }
        }
        Ok(())
    }

    /// Will there be a prepared statement of that name when the warehouse comes to what is sent now?
    pub(super) fn exists(&self, name: &str) -> bool {
        self.statements.get(name).is_some_and(|statement| {
            !self.pending.iter().filter_map(Pending::run).any(|run| {
                run.judged.effects.iter().any(|(_, effect)| match effect {
                    Effect::DeallocateAll => statement.number <= run.number,
                    Effect::Deallocate(named) => *named.upstream == *statement.upstream,
                    Effect::Prepare(..)
                    | Effect::Execute(_)
                    | Effect::Move(..)
                    | Effect::CopyIn
                    | Effect::Path(_)
                    | Effect::Show => false,
                })
            })
        })
    }

    /// A statement is on its way: what it prepares can be named from now on.
    pub(super) fn begun(&mut self, run: &Run) {
        self.path_begun(run);
        self.wrote_shaped |= writes_shaped(run);
        // What stands behind a SET of the same message is prepared under the path that it set.
        let moves = run.judged.effects.iter().any(|(_, effect)| matches!(effect, Effect::Path(_)));
        let mut ahead = moves.then(|| self.replayed());
        for (_, effect) in &run.judged.effects {
            if let (Some(ahead), Effect::Path(step)) = (&mut ahead, effect) {
                ahead.apply(step);
            }
            if *effect == Effect::CopyIn {
                self.copy = Some(CopyIn::default());
            }
            if let Effect::Prepare(named, prepared) = effect {
                let judged = Arc::new(run.judged.prepared(prepared));
                let statement = Statement {
                    upstream: named.upstream.to_string(),
                    text: Arc::clone(&run.text),
                    part: self.part(&run.text, &judged),
                    judged,
                    number: self.next_number(),
                    path: ahead.clone().unwrap_or_else(|| self.path_ahead()),
                    types: None,
                };
                self.statements.insert(named.name.to_string(), Arc::new(statement));
            }
        }
    }

    /// A statement is over, and so many of its parts were completed. Statements that a pipelining client prepared behind it
    /// stay: drivers put `DISCARD ALL` in front of the next user's first statement.
    pub(super) fn follow(&mut self, run: &Run, done: usize) {
        for (place, (index, effect)) in run.judged.effects.iter().enumerate() {
            let before = run.judged.effects.get(..place).unwrap_or_default();
            // Older than this statement, or made by itself.
            let made_before = |statement: &Statement| {
                let itself = |(_, effect): &(usize, Effect)| matches!(effect, Effect::Prepare(named, _) if *named.upstream == *statement.upstream);
                statement.number <= run.number || before.iter().any(itself)
            };
            let (name, upstream) = match (effect, *index < done) {
                (Effect::Prepare(named, _), false) | (Effect::Deallocate(named), true) => {
                    (&named.name, &named.upstream)
                }
                (Effect::Path(step), true) => {
                    self.paths.apply(step);
                    continue;
                }
                (Effect::DeallocateAll, true) => {
                    self.statements.retain(|_, statement| !made_before(statement));
                    continue;
                }
                (Effect::Prepare(..), true)
                | (Effect::Deallocate(_) | Effect::DeallocateAll | Effect::Path(_), false)
                | (Effect::Execute(_) | Effect::Move(..) | Effect::CopyIn | Effect::Show, _) => continue,
            };
            let gone = |s: &Arc<Statement>| {
                *s.upstream == **upstream && (matches!(effect, Effect::Prepare(..)) || made_before(s))
            };
            if self.statements.get(&**name).is_some_and(gone) {
                self.statements.remove(&**name);
            }
        }
    }
}

/// The client's text and what it runs besides, for the record.
fn with_what_runs(text: &Arc<str>, how: &str, runs: &[Arc<Statement>]) -> Result<Arc<str>, Refusal> {
    if runs.is_empty() {
        return Ok(Arc::clone(text));
    }
    let bytes: usize = runs.iter().map(|statement| statement.text.len()).sum();
    if bytes > limits::STATEMENT_BYTES_MAX {
        return Err(Refusal::new(Code::TooLarge, "the prepared statements of this message are too large")
            .hint("send EXECUTE statements one by one"));
    }
    let mut whole = text.to_string();
    for statement in runs {
        whole.push_str("\n-- ");
        whole.push_str(how);
        whole.push_str(": ");
        whole.push_str(&statement.text);
    }
    Ok(whole.into())
}

pub(super) fn duplicate(name: &str) -> Refusal {
    Refusal::new(Code::DuplicateStatement, format!("prepared statement \"{name}\" already exists"))
}

pub(super) fn unknown_statement(name: &str) -> Refusal {
    Refusal::new(Code::UnknownStatement, format!("prepared statement \"{name}\" does not exist"))
}
