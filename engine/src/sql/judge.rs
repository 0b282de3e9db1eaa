//! One message judged: every statement, name, function, type and setting in it against allow-lists and the entitlement.
//!
//! It must never release a reference it did not resolve: what is not on a list is refused. Called by sessions through
//! [`judge`]; the walk itself is in `statement`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::entitlement::{Entitlement, Operation};
use crate::limits;
use crate::record::{Disposition, NOTIFY, ObjectUse, Objects, UNMASK};
use crate::refusal::{Code, Refusal};
use crate::released::{Enforced, RawSql};

use super::edit::{self, Edit};
use super::named::{Named, Prepared};
use super::paths::{Paths, Step};
use super::plan::{Change, Plan};
use super::statement::Walk;
use super::{parse, resolve, scan, search_path, verify};

/// What the names of prepared statements and portals that the session makes in the warehouse begin with. No cursor may be
/// called so: FETCH would run what an Execute has to put on record.
pub const RESERVED_NAMES: &str = "lanyard_";

/// What a statement is judged against.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What this principal may do.
    pub entitlement: &'a Entitlement,
    /// Schemas unqualified names are looked up in, after pg_catalog where that is not among them: the session's default.
    pub search_path: &'a [String],
    /// What the session did to the path; absent where nothing.
    pub paths: Option<&'a Paths>,
    /// The schema of the session's own, where policy allows one.
    pub workspace: Option<&'a str>,
    /// The database's name in the warehouse, for three-part names.
    pub database: &'a str,
}

/// What a statement does to the session's own state, for the session to follow once it has run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// PREPARE, under a name that the session chooses ([`super::rename`]).
    Prepare(Named, Arc<Prepared>),
    /// EXECUTE of a prepared statement: what that touches is on record with it.
    Execute(Named),
    /// DEALLOCATE of one prepared statement.
    Deallocate(Named),
    /// MOVE in a cursor: its name, and how far (`FORWARD 2`). Where the name is a portal of the protocol's, the session sends
    /// [`move_cursor`] instead.
    Move(String, String),
    /// A step of the search path or of the transaction it hangs on.
    Path(Step),
    /// A SELECT that stands for SHOW: the command tag is SHOW's.
    Show,
    /// COPY FROM STDIN: the client's data follows.
    CopyIn,
    /// DEALLOCATE ALL or DISCARD ALL: prepared statements are gone.
    DeallocateAll,
}

/// A message that may run, and what is known of it.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The text that enforces policy.
    pub enforced: Enforced,
    /// How it differs from the client's text, in order of position.
    pub edits: Vec<Edit>,
    /// Statement kinds in order, comma-separated: `SELECT`, `BEGIN,SELECT`.
    pub operation: Arc<str>,
    /// How many statements the message has; 0 for an empty query.
    pub statements: usize,
    /// Governed relations it touches.
    pub objects: Objects,
    /// The ruling.
    pub disposition: Disposition,
    /// What it does to the session, each with the index of the statement that does it, in order.
    pub effects: Vec<(usize, Effect)>,
    /// What the client is told of how policy shaped the result, where it did.
    pub notice: Option<Arc<str>>,
    /// The ruling is the same whatever whole numbers stand in it (see [`super::template`]).
    pub numbers_are_data: bool,
    /// Once its transaction is over, nothing of it is left in the session: no setting, cursor, temporary table, prepared
    /// statement or place in a sequence. `false` where that is not known.
    pub leaves_nothing: bool,
}

impl Judged {
    /// About how many bytes of memory it takes, for whoever remembers many.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let edits: usize = self.edits.iter().map(|edit| size_of::<Edit>() + edit.text.len()).sum();
        size_of::<Self>()
            + self.enforced.for_record().len()
            + edits
            + self.objects.bytes()
            + size_of_val(&*self.effects)
            + self.notice.as_ref().map_or(0, |notice| notice.len())
    }
}

/// Judges one message (a simple Query or the text of a Parse).
///
/// # Errors
/// A [`Refusal`] with SQLSTATE, and the position in the client's text where one is known.
pub fn judge(raw: RawSql<'_>, context: &Context<'_>) -> Result<Judged, Refusal> {
    // The parser's bindings assert what PostgreSQL promises (valid UTF-8 in every literal); a broken promise refuses
    // the statement instead of ending the session.
    catch_unwind(AssertUnwindSafe(|| judge_text(raw.text(), context)))
        .unwrap_or_else(|_| Err(Refusal::new(Code::Internal, "the statement could not be judged")))
}

fn judge_text(text: &str, context: &Context<'_>) -> Result<Judged, Refusal> {
    if text.len() > limits::STATEMENT_BYTES_MAX {
        return Err(Refusal::new(
            Code::TooLarge,
            format!(
                "a statement of {} bytes is over the limit of {}",
                text.len(),
                limits::STATEMENT_BYTES_MAX
            ),
        ));
    }
    let comments = scan::comments(text)?;
    let tree = parse::parse(text)?;
    if tree.len() > limits::STATEMENTS_MAX {
        return Err(Refusal::new(
            Code::TooLarge,
            format!("a message of {} statements is over the limit of {}", tree.len(), limits::STATEMENTS_MAX),
        ));
    }
    let plain = Paths::default();
    let paths = context.paths.unwrap_or(&plain);
    let ahead = search_path::ahead(&tree, context, paths)?;
    let mut walk = Walk::new(text, *context, paths.clone());
    for (index, statement) in tree.iter().enumerate() {
        walk.look_in(ahead.get(index).unwrap_or(paths.current()).as_deref());
        walk.statement(statement)?;
    }
    let plan = walk.finish();
    let mut edits = plan.edits.clone();
    edits.extend(comments.into_iter().map(|range| Edit::new(range, " ")));
    let spliced = edit::apply(text, &mut edits).ok_or_else(not_spliced)?;
    verify::check(&tree, &spliced, &plan)?;
    Ok(Judged {
        enforced: Enforced::new(Arc::from(spliced)),
        edits,
        numbers_are_data: numbers_are_data(&plan, tree.len()),
        leaves_nothing: leaves_nothing(&plan),
        operation: plan.operation.into(),
        statements: tree.len(),
        disposition: disposition(&plan.objects),
        notice: completeness(&plan.objects),
        objects: Objects::new(plan.objects),
        effects: plan.effects,
    })
}

/// The refusal for text we could not splice as planned: ours to mend, and nothing was sent.
pub(super) fn not_spliced() -> Refusal {
    Refusal::new(Code::Unsupported, "this spelling cannot be enforced")
        .hint("write relation and function names plainly, without U&\"…\" escapes or a trailing *")
}

/// One statement that reads or writes rows, spliced where names stand. In others numbers may be options, and literals and
/// arguments that were looked at may hold them.
fn numbers_are_data(plan: &Plan, statements: usize) -> bool {
    let spliced_names = plan.changes.iter().all(|change| match change {
        Change::Relation { .. }
        | Change::Function { .. }
        | Change::Column { .. }
        | Change::Prefix { .. }
        | Change::Dependent { .. } => true,
        Change::Through { .. }
        | Change::Around { .. }
        | Change::Type { .. }
        | Change::Literal { .. }
        | Change::Default { .. }
        | Change::Label { .. }
        | Change::CopyQuery { .. }
        | Change::Name { .. }
        | Change::Domain { .. }
        | Change::Statement { .. } => false,
    });
    statements == 1
        && matches!(plan.operation.as_str(), "SELECT" | "INSERT" | "UPDATE" | "DELETE")
        && plan.effects.is_empty()
        && spliced_names
}

/// See [`Judged::leaves_nothing`].
fn leaves_nothing(plan: &Plan) -> bool {
    const KINDS: [&str; 21] = [
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "MERGE",
        "COPY",
        "EXPLAIN",
        "SHOW",
        "FETCH",
        "CLOSE",
        "UNLISTEN",
        "NOTIFY",
        "LOCK TABLE",
        "RESET",
        "BEGIN",
        "START TRANSACTION",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT",
        "RELEASE",
        "ROLLBACK TO",
    ];
    let passing = |effect: &Effect| match effect {
        Effect::Path(Step::Set { local, to }) => *local || to.is_none(),
        Effect::Path(Step::Made { .. } | Step::Gone(_) | Step::AllGone)
        | Effect::Prepare(..)
        | Effect::Execute(_)
        | Effect::Deallocate(_)
        | Effect::DeallocateAll
        | Effect::CopyIn => false,
        Effect::Path(step) => !step.moves_names(),
        Effect::Move(..) | Effect::Show => true,
    };
    // What is written may take the next number of a sequence, which lastval() remembers.
    let writes =
        plan.objects.iter().any(|object| ![Operation::Read.word(), NOTIFY].contains(&object.operation));
    !plan.keeps
        && !writes
        && plan.operation.split(',').all(|kind| kind.is_empty() || KINDS.contains(&kind))
        && plan.effects.iter().all(|(_, effect)| passing(effect))
}

/// The words of the completeness notice (wire.md, "To an agent").
pub(super) fn completeness(objects: &[ObjectUse]) -> Option<Arc<str>> {
    let mut said: Vec<String> = Vec::new();
    for object in objects.iter().filter(|object| object.operation != UNMASK) {
        for policy in &object.filters {
            said.push(format!("rows of {} limited by policy {policy}", object.relation));
        }
        for mask in &object.masks {
            let (column, by) = mask.split_once(": ").unwrap_or((mask, ""));
            said.push(format!("column {column} of {} masked: {by}", object.relation));
        }
    }
    (!said.is_empty()).then(|| said.join("; ").into())
}

pub(super) fn disposition(objects: &[ObjectUse]) -> Disposition {
    if objects.iter().any(|o| !o.masks.is_empty() && o.operation != UNMASK) {
        Disposition::Masked
    } else if objects.iter().any(|o| !o.filters.is_empty()) {
        Disposition::Filtered
    } else {
        Disposition::Allowed
    }
}

/// The text for a MOVE in a portal whose name upstream is ours.
#[must_use]
pub fn move_cursor(way: &str, upstream_name: &str) -> Enforced {
    Enforced::new(format!("MOVE {way} IN {}", resolve::quote(upstream_name)).into())
}
