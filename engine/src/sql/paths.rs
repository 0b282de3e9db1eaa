//! The search path of a session, with PostgreSQL's transaction semantics: SET and SET LOCAL in transactions, savepoints and
//! several statements of one message. With it go the names of temporary relations ([`Temps`]): both say what a bare name means.
//!
//! The stack is that of PostgreSQL's settings (src/backend/utils/misc/README, "GUC variables and transactions"), for one
//! setting. It is told what was completed and what failed, and judges nothing. A wrong answer resolves a bare name to
//! another relation that the principal may use, never to one that it may not. Called by sessions, and by `search_path` for
//! what follows in the same message.

use std::sync::Arc;

pub use super::temps::Temps;

/// Schemas in order; `None` is the session's own default.
pub type Schemas = Option<Arc<[String]>>;

/// What a statement does to the search path, or to the transaction it hangs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// SET (LOCAL) search_path, RESET.
    Set {
        /// Until the end of the transaction only.
        local: bool,
        /// The new path.
        to: Schemas,
    },
    /// BEGIN, START TRANSACTION.
    Begin,
    /// COMMIT, `true` with AND CHAIN.
    Commit(bool),
    /// ROLLBACK, `true` with AND CHAIN.
    Rollback(bool),
    /// SAVEPOINT.
    Savepoint(Arc<str>),
    /// RELEASE.
    Release(Arc<str>),
    /// ROLLBACK TO.
    RollbackTo(Arc<str>),
    /// A temporary relation was made.
    Made {
        /// Its name.
        name: Arc<str>,
        /// ON COMMIT DROP.
        until_commit: bool,
    },
    /// A temporary relation was dropped.
    Gone(Arc<str>),
    /// DISCARD TEMP.
    AllGone,
}

impl Step {
    /// Does it change what bare names mean, rather than the transaction that such a change hangs on?
    #[must_use]
    pub fn moves_names(&self) -> bool {
        match self {
            Self::Set { .. } | Self::Made { .. } | Self::Gone(_) | Self::AllGone => true,
            Self::Begin
            | Self::Commit(_)
            | Self::Rollback(_)
            | Self::Savepoint(_)
            | Self::Release(_)
            | Self::RollbackTo(_) => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Set,
    Local,
    SetLocal,
}

#[derive(Debug, Clone)]
struct Entry {
    level: usize,
    kind: Kind,
    /// The value before this level changed it.
    prior: Schemas,
    /// The value that SET gave under the one that SET LOCAL gave.
    masked: Schemas,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Block {
    /// No transaction that we need to know of.
    #[default]
    None,
    /// Ends with the message, or with the next Sync.
    Implicit,
    Explicit,
    /// Explicit, and failed.
    Failed,
}

/// See the module's words.
#[derive(Debug, Clone, Default)]
pub struct Paths {
    /// What RESET goes back to, where that is not the warehouse's entry's.
    home: Schemas,
    current: Schemas,
    stack: Vec<Entry>,
    block: Block,
    savepoints: Vec<Arc<str>>,
    temps: Temps,
}

impl Paths {
    /// Of a session that came with a path of its own.
    #[must_use]
    pub fn from_home(home: Schemas) -> Self {
        Self { current: home.clone(), home, ..Self::default() }
    }

    /// Names of temporary relations now.
    #[must_use]
    pub fn temps(&self) -> &Temps {
        &self.temps
    }

    /// Does a bare name mean there what it means here?
    #[must_use]
    pub fn means_like(&self, other: &Self) -> bool {
        self.current == other.current && self.temps == other.temps
    }

    /// The path now.
    #[must_use]
    pub fn current(&self) -> &Schemas {
        &self.current
    }

    /// It is the default, and no end of a transaction can make it anything else.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.current.is_none() && self.stack.is_empty() && self.temps.is_plain()
    }

    /// A statement was completed.
    pub fn apply(&mut self, step: &Step) {
        match step {
            Step::Set { local, to } => self.set(*local, to.as_ref().or(self.home.as_ref()).cloned()),
            Step::Begin => self.block = Block::Explicit,
            Step::Commit(chain) => {
                let commit = self.block != Block::Failed;
                self.end(commit, *chain);
            }
            Step::Rollback(chain) => self.end(false, *chain),
            Step::Savepoint(name) => {
                self.savepoints.push(Arc::clone(name));
                self.temps.savepoint();
            }
            Step::Release(name) => {
                if let Some(at) = self.savepoints.iter().rposition(|n| n == name) {
                    for level in (at + 2..=self.level()).rev() {
                        self.end_level(level, true);
                    }
                    self.savepoints.truncate(at);
                    self.temps.release(at);
                }
            }
            Step::RollbackTo(name) => {
                if let Some(at) = self.savepoints.iter().rposition(|n| n == name) {
                    self.end_level(at + 2, false);
                    self.savepoints.truncate(at + 1);
                    self.temps.back_to(at);
                    self.block = Block::Explicit;
                }
            }
            Step::Made { name, until_commit } => {
                self.begin();
                self.temps.made(name, *until_commit);
            }
            Step::Gone(name) => {
                self.begin();
                self.temps.gone(name);
            }
            Step::AllGone => {
                self.begin();
                self.temps.all_gone();
            }
        }
    }

    /// A statement failed.
    pub fn fail(&mut self) {
        match self.block {
            Block::Explicit | Block::Failed => self.block = Block::Failed,
            Block::None | Block::Implicit => self.end(false, false),
        }
    }

    /// The message is over, or a Sync was answered: what ran outside a transaction block is committed.
    pub fn settle(&mut self) {
        match self.block {
            Block::None | Block::Implicit => self.end(true, false),
            Block::Explicit | Block::Failed => {}
        }
    }

    /// ReadyForQuery, with the server's word on the transaction: `I`, `T` or `E`. It decides where we think otherwise.
    pub fn ready(&mut self, status: u8) {
        self.settle();
        match status {
            b'T' => self.block = Block::Explicit,
            b'E' => self.block = Block::Failed,
            _ => self.end(false, false),
        }
    }

    /// 1 in a transaction, one more for each savepoint.
    fn level(&self) -> usize {
        1 + self.savepoints.len()
    }

    /// Something changes: outside a transaction block it lasts to the end of the message.
    fn begin(&mut self) {
        if self.block == Block::None {
            self.block = Block::Implicit;
        }
    }

    fn set(&mut self, local: bool, to: Schemas) {
        self.begin();
        let level = self.level();
        match self.stack.last_mut().filter(|top| top.level >= level) {
            Some(top) if local => {
                if top.kind == Kind::Set {
                    top.masked.clone_from(&self.current);
                    top.kind = Kind::SetLocal;
                }
            }
            Some(top) => {
                top.masked = None;
                top.kind = Kind::Set;
            }
            None => {
                let kind = if local { Kind::Local } else { Kind::Set };
                self.stack.push(Entry { level, kind, prior: self.current.clone(), masked: None });
            }
        }
        self.current = to;
    }

    fn end(&mut self, commit: bool, chain: bool) {
        if commit {
            for level in (1..=self.level()).rev() {
                self.end_level(level, true);
            }
        } else {
            self.end_level(1, false);
        }
        self.savepoints.clear();
        self.temps.end(commit);
        self.block = if chain { Block::Explicit } else { Block::None };
    }

    /// The transaction or savepoint of this level ends (`AtEOXact_GUC`).
    fn end_level(&mut self, level: usize, commit: bool) {
        while let Some(mut top) = self.stack.pop_if(|top| top.level >= level) {
            if !commit {
                self.current = top.prior;
                continue;
            }
            if level == 1 {
                match top.kind {
                    Kind::Set => {}
                    Kind::Local => self.current = top.prior,
                    Kind::SetLocal => self.current = top.masked,
                }
                continue;
            }
            match self.stack.last_mut().filter(|below| below.level >= level - 1) {
                None => {
                    top.level = level - 1;
                    self.stack.push(top);
                }
                Some(below) => match top.kind {
                    Kind::Set => {
                        below.masked = None;
                        below.kind = Kind::Set;
                    }
                    Kind::Local => {
                        if below.kind == Kind::Set {
                            below.masked = top.prior;
                            below.kind = Kind::SetLocal;
                        }
                    }
                    Kind::SetLocal => {
                        below.masked = top.masked;
                        below.kind = Kind::SetLocal;
                    }
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> Schemas {
        Some(Arc::from([name.to_owned()]))
    }

    fn step(word: &str) -> Step {
        let (verb, name) = word.split_once(' ').unwrap_or((word, ""));
        match verb {
            "set" => Step::Set { local: false, to: path(name) },
            "local" => Step::Set { local: true, to: path(name) },
            "reset" => Step::Set { local: false, to: None },
            "begin" => Step::Begin,
            "commit" => Step::Commit(name == "chain"),
            "rollback" => Step::Rollback(name == "chain"),
            "savepoint" => Step::Savepoint(name.into()),
            "release" => Step::Release(name.into()),
            "to" => Step::RollbackTo(name.into()),
            other => panic!("{other}"),
        }
    }

    /// Steps in one message, messages apart by `|`; `!` is a failure.
    fn after(script: &str) -> Schemas {
        let mut paths = Paths::default();
        for message in script.split('|') {
            for word in message.split(',').map(str::trim).filter(|w| !w.is_empty()) {
                if word == "!" {
                    paths.fail();
                } else {
                    paths.apply(&step(word));
                }
            }
            paths.settle();
        }
        paths.current
    }

    #[test]
    fn reset_goes_home() {
        let home = || Paths::from_home(path("home"));
        let mut paths = home();
        assert!(!paths.is_plain() && *paths.current() == path("home"));
        for (script, expected) in [
            ("set a", "a"),
            ("reset", "home"),
            ("local a", "a"),
            ("begin", "home"),
            ("local a", "a"),
            ("reset", "home"),
            ("commit", "home"),
        ] {
            paths.apply(&step(script));
            assert_eq!(*paths.current(), path(expected), "{script}");
            if script == "local a" && paths.block == Block::Implicit {
                paths.settle();
            }
        }
        let mut paths = home();
        paths.apply(&step("set a"));
        paths.fail();
        assert_eq!(*paths.current(), path("home"));
    }

    #[test]
    fn transactions_take_back_and_keep() {
        for (script, expected) in [
            ("set a", path("a")),
            ("local a", None),
            ("set a | local b", path("a")),
            ("set a, !", None),
            ("set a | set b, !", path("a")),
            ("begin | set a | commit", path("a")),
            ("begin | set a | rollback", None),
            ("begin | set a | ! | commit", None),
            ("begin | local a", path("a")),
            ("begin | local a | commit", None),
            ("begin | set a | local b | commit", path("a")),
            ("begin | local a | set b | commit", path("b")),
            ("begin | savepoint s | set a | to s", None),
            ("begin | savepoint s | set a | release s | commit", path("a")),
            ("begin | set a | savepoint s | local b | release s | commit", path("a")),
            ("begin | set a | savepoint s | local b | release s", path("b")),
            ("begin | savepoint s | set a | savepoint t | set b | to s | commit", None),
            ("begin | savepoint s | set a | savepoint s | set b | to s | commit", path("a")),
            ("begin | savepoint s | ! | to s | set a | commit", path("a")),
            ("set a, commit, set b, !", path("a")),
            ("set a, rollback, set b", path("b")),
            ("set a, begin | rollback", None),
            ("begin | set a | commit chain | set b | rollback", path("a")),
            ("set a | begin | reset | rollback", path("a")),
        ] {
            assert_eq!(after(script), expected, "{script}");
        }
    }
}
