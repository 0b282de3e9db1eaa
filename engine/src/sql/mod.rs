//! Judging and splicing PostgreSQL statements (enforcement.md, "The rewriter on PostgreSQL").
//!
//! The way of a statement: [`RawSql`](crate::released::RawSql) -> `parse` -> `judge` (allow-lists, scopes, resolution)
//! -> `edit` (bytes spliced into the client's own text) -> `verify` (the new text's tree is what the edits say) ->
//! [`Enforced`](crate::released::Enforced). No tree is printed. Called by the proxy's sessions.

mod cast;
mod channel;
mod coercion;
mod copy;
mod dependent;
mod edit;
mod functions;
mod grammar;
mod judge;
#[cfg(test)]
pub(crate) mod judge_tests;
mod label;
mod locking;
mod named;
mod notation;
mod own;
mod parse;
pub mod paths;
mod plan;
mod prefix;
mod question;
mod reference;
mod resolve;
mod scan;
mod search_path;
mod settings;
mod stamp;
mod statement;
pub mod template;
mod temps;
mod types;
mod unknown_setting;
mod utility;
mod verify;
pub mod virtual_catalog;
mod writes;

pub use edit::{Edit, original_offset};
pub use judge::{Context, Effect, Judged, RESERVED_NAMES, judge, move_cursor};
pub use named::{Named, Prepared, rename};
pub use question::{name_at, policy_answer, policy_question};
pub use search_path::{shown_path, startup_path};
pub use settings::{Setting, is_plain_name, may_show, says, settable, setting, shown};
pub use stamp::stamp;
pub use types::{ParameterType, parameter_type, schemas_beyond};
