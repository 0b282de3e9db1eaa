//! Channels of LISTEN and NOTIFY: those a permit names, and no others.
//!
//! PostgreSQL has no rights on channels, so the floor does not hold here: what comes over a channel that is not permitted is kept
//! back by the session as well. Must never let a channel be computed, nor be named in what is stored and runs later. Called by
//! the walk in `utility` and `reference`.

use pg_raw_parse::{Node, nodes};

use crate::record::{LISTEN, NOTIFY, ObjectUse};
use crate::refusal::{Code, Refusal};

use super::cast::literal_text;
use super::resolve::quote;
use super::statement::{Verdict, Walk, offset};

/// Kinds of statements that call what they name now, with what the session sees now.
const CALLING: [&str; 9] =
    ["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "EXPLAIN", "PREPARE", "DECLARE CURSOR"];

impl<'t> Walk<'t, '_> {
    pub(super) fn listen(&mut self, listen: &'t nodes::ListenStmt) -> Result<&'static str, Refusal> {
        self.channel(listen.conditionname().unwrap_or_default(), LISTEN)?;
        Ok("LISTEN")
    }

    pub(super) fn notify(&mut self, notify: &'t nodes::NotifyStmt) -> Result<&'static str, Refusal> {
        self.channel(notify.conditionname().unwrap_or_default(), NOTIFY)?;
        Ok("NOTIFY")
    }

    /// `pg_notify('channel', payload)`: a channel that is not a literal could be any.
    pub(super) fn pg_notify(&mut self, call: &'t nodes::FuncCall) -> Verdict {
        let at = offset(call.location)?;
        let literal = match call.args().iter().next() {
            Some(Node::A_Const(constant)) => literal_text(constant),
            _ => None,
        };
        let Some(name) = literal else {
            return Err(Refusal::new(Code::Policy, "a channel is named by a literal here")
                .hint("write its name, as in pg_notify('orders', $1)")
                .at(at));
        };
        self.notifies = true;
        self.channel(name, NOTIFY).map_err(|refusal| refusal.at(at))
    }

    /// The walk of a statement is over: what is stored would notify later, when policy may say otherwise.
    pub(super) fn notified(&self, kind: &str) -> Verdict {
        if self.notifies && !CALLING.contains(&kind) {
            return Err(Refusal::new(Code::Policy, "what is kept cannot notify"));
        }
        Ok(())
    }

    fn channel(&mut self, name: &str, operation: &'static str) -> Verdict {
        if !self.context.entitlement.extras.channels.contains(name) {
            return Err(Refusal::new(Code::Policy, format!("channel \"{name}\" is not granted"))
                .hint(format!("a policy would have to say: allow channel {}", quote(name))));
        }
        self.note(ObjectUse {
            relation: format!("channel {name}"),
            operation,
            filters: Vec::new(),
            masks: Vec::new(),
            shadow: Vec::new(),
        });
        Ok(())
    }
}
