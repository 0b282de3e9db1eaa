//! Errors and notices on their way to the client: values, positions and names of ours are taken out or put right.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use lanyard_engine::catalog::RelationName;
use lanyard_engine::entitlement::{Access, Entitlement};
use lanyard_engine::names::COPY_SUFFIX;
use lanyard_engine::record::Disposition;
use lanyard_engine::refusal::{Code, Refusal};
use lanyard_engine::sql::{Effect, Judged, RESERVED_NAMES, original_offset};
use lanyard_engine::workspace::Workspace;

use crate::vend::Granted;
use crate::wire::backend::{self, Severity, field, fields, message};

/// The schema under which temporary relations are sent.
const TEMPORARY: &str = "pg_temp";

/// What an upstream error is about.
pub(super) struct About<'a> {
    /// What speaks; absent at the end of a transaction that a Sync ends.
    pub(super) statement: Option<Said<'a>>,
    /// Has the transaction written where policy shapes? What was put off to its end may speak of that.
    pub(super) wrote_shaped: bool,
}

/// A statement that was sent.
pub(super) struct Said<'a> {
    pub(super) text: &'a str,
    pub(super) judged: &'a Judged,
    pub(super) stamp: &'a str,
}

/// SQLSTATE of an ErrorResponse body.
pub(super) fn sqlstate(body: &[u8]) -> String {
    fields(body)
        .find(|(code, _)| *code == b'C')
        .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        .unwrap_or_default()
}

/// Rewrites an ErrorResponse or NoticeResponse of the warehouse for the client.
pub(super) fn relay(out: &mut BytesMut, kind: u8, body: &[u8], about: &About<'_>, granted: &Granted) {
    if kind == b'N' && tells_of_an_event_trigger(body) {
        return;
    }
    let state = sqlstate(body);
    let said = about.statement.as_ref();
    if let Some(relation) = changing(body, &granted.entitlement).filter(|_| kind == b'E') {
        let refusal =
            Refusal::new(Code::Changing, format!("\"{relation}\" is being changed in the warehouse"))
                .hint("its tables or their rights are being changed by a DBA; try again in a moment");
        return backend::refusal(out, Severity::Error, &refusal, None, "");
    }
    let invisible = fields(body).any(|(code, value)| {
        code == b'M' && names_the_invisible(&state, value) && !names_own(value, granted)
    });
    let no_schema = tells_of_a_schema(&state, body);
    let shaped =
        about.wrote_shaped || said.is_some_and(|said| said.judged.disposition != Disposition::Allowed);
    let foreign = shaped && says_anything(&state, body);
    // A constraint may be of another table, or lead to one: a partition, what refers to this one, what this one refers to.
    let elsewhere = state.starts_with("23") && !is_about_what_is_seen(&state, body, granted);
    if foreign && kind == b'N' {
        return;
    }
    let denied =
        fields(body).any(|(code, value)| code == b'M' && denies(&state, value) && !names_own(value, granted));
    let written = denied && view_named(body, &granted.entitlement).is_some();
    message(out, kind, |out| {
        for (code, value) in fields(body) {
            let value = String::from_utf8_lossy(value);
            match code {
                b'C' if invisible => field(out, code, Code::UndefinedTable.sqlstate()),
                b'M' if invisible => field(out, code, "a relation named here does not exist"),
                b'C' if no_schema => field(out, code, "3F000"),
                b'M' if no_schema => field(out, code, "a schema named here does not exist"),
                b'D' | b'H' if invisible || denied || no_schema => {}
                b'M' if denied && !written => field(out, code, DENIED_INSIDE),
                b'S' | b'V' | b'C' => field(out, code, &value),
                b'M' => match generic_message(&state)
                    .or(foreign.then_some(WITHHELD))
                    .filter(|_| shaped || elsewhere)
                {
                    Some(text) => field(out, code, text),
                    None => {
                        let text =
                            said.map_or(value.as_ref().into(), |said| with_client_names(&value, said.judged));
                        field(out, code, &with_our_names_replaced(&text, granted));
                    }
                },
                b'P' => {
                    if let Some(position) = said.and_then(|said| position(said, &value)) {
                        field(out, code, &position.to_string());
                    }
                }
                // What runs behind a statement names what it likes.
                b'W' if is_of_a_routine(value.as_bytes()) => {}
                b'D' | b'H' | b'W' | b'n' | b'c' | b'd'
                    if !(shaped || elsewhere || value.contains("lanyard")) =>
                {
                    field(out, code, &with_our_names_replaced(&value, granted));
                }
                // Where the server said it tells one cause from another.
                b'F' | b'L' | b'R' if invisible || denied || no_schema => {}
                b'F' | b'L' | b'R' => field(out, code, &value),
                // DETAIL, HINT, CONTEXT and object names of a shaped statement may carry values; internal queries
                // and positions are ours; unknown fields are not passed.
                _ => {}
            }
        }
        if let Some((schema, table)) = about_visible(body, granted).filter(|_| !invisible && !denied) {
            field(out, b's', schema);
            field(out, b't', table);
        }
        if written {
            field(out, b'H', WRITTEN_HINT);
        }
        out.put_u8(0);
    });
}

/// In place of what a trigger or function says where policy shapes the statement.
const WITHHELD: &str = "the warehouse raised an error whose words may carry what policy hides";
/// In place of the name of what a trigger, default or function has no right on.
const DENIED_INSIDE: &str =
    "permission denied for what a view, trigger, default or function behind this statement uses";
/// What a secured view's own refusal may mean.
const WRITTEN_HINT: &str = "WHERE and RETURNING need a grant of read, FOR UPDATE one of write; where policy limits rows, UPDATE \
                            needs a version of PostgreSQL whose upserts do not reach hidden rows";
/// Classes of SQLSTATE whose words are PostgreSQL's own: they name objects, and values only where [`generic_message`] speaks.
const OWN_CLASSES: [&str; 21] = [
    "08", "0A", "22", "23", "24", "25", "26", "28", "2D", "34", "3B", "3D", "3F", "40", "42", "44", "53",
    "54", "55", "57", "58",
];

/// Are the words of this message anybody's? A trigger or function says what its author wrote, values of other rows and
/// columns included.
fn says_anything(state: &str, body: &[u8]) -> bool {
    speaks_for_a_routine(body) || !state.get(..2).is_some_and(|class| OWN_CLASSES.contains(&class))
}

/// Was it said by a trigger, a function or a constraint's own query?
fn speaks_for_a_routine(body: &[u8]) -> bool {
    fields(body).any(|(code, value)| code == b'W' && is_of_a_routine(value))
}

fn is_of_a_routine(context: &[u8]) -> bool {
    ["PL/", "SQL function", "SQL statement"].iter().any(|word| contains(context, word))
}

/// At client_min_messages = debug1 PostgreSQL says which event trigger it calls: workspaces have one of ours.
fn tells_of_an_event_trigger(body: &[u8]) -> bool {
    fields(body).any(|(code, value)| code == b'R' && value == b"EventTriggerInvoke")
}

/// A name that a client put into a literal or a setting leads to a schema which is not there, or which it may not use: the
/// same to it. What a trigger stumbles over is [`DENIED_INSIDE`].
fn tells_of_a_schema(state: &str, body: &[u8]) -> bool {
    let says = |start: &[u8]| fields(body).any(|(code, value)| code == b'M' && value.starts_with(start));
    let told = match state {
        "3F000" => says(b"schema \""),
        "42501" => says(b"permission denied for schema "),
        _ => false,
    };
    told && !speaks_for_a_routine(body)
}

/// Is it the schema of the session's own relations, or of its temporary ones as the server calls it?
fn is_own(schema: &str, granted: &Granted) -> bool {
    granted.workspace.as_ref().is_some_and(|own| own.schema() == schema || schema.starts_with(TEMPORARY))
}

/// Does a violated constraint belong to a relation of the session's, and lead to no other?
fn is_about_what_is_seen(state: &str, body: &[u8], granted: &Granted) -> bool {
    let text = |wanted: u8| {
        let found = fields(body).find(|(code, _)| *code == wanted);
        found.map(|(_, value)| String::from_utf8_lossy(value))
    };
    let (schema, table) = (text(b's').unwrap_or_default(), text(b't'));
    if is_own(&schema, granted) {
        return true;
    }
    let of_a_seen_one = match &table {
        Some(table) => granted.entitlement.access(&schema, table).is_some(),
        // A domain's constraint has none; every other says whose it is.
        None => state == "23514",
    };
    of_a_seen_one && (state != "23503" || names_seen_tables(&[text(b'M'), text(b'D')], granted))
}

/// Are all tables that these texts name (`table "orders"`) some that the session sees, and is there one?
fn names_seen_tables(texts: &[Option<Cow<'_, str>>], granted: &Granted) -> bool {
    let mut named = texts.iter().flatten().flat_map(|text| text.split("table \"").skip(1));
    let seen = |rest: &str| {
        let name = rest.split('"').next().unwrap_or_default();
        granted.entitlement.iter().any(|access| access.relation.name == name)
    };
    named.clone().next().is_some() && named.all(seen)
}

fn contains(text: &[u8], part: &str) -> bool {
    text.windows(part.len()).any(|window| window == part.as_bytes())
}

/// Is something denied by the warehouse? What a statement names was resolved before it was sent.
fn denies(state: &str, message: &[u8]) -> bool {
    let starts =
        [b"permission denied for ".as_slice(), b"query would be affected by row-level security policy for "];
    state == "42501" && starts.iter().any(|start| message.starts_with(start))
}

/// The table whose secured view a message names.
fn view_named<'a>(body: &[u8], entitlement: &'a Entitlement) -> Option<&'a Access> {
    let (_, message) = fields(body).find(|(code, _)| *code == b'M')?;
    let message = String::from_utf8_lossy(message);
    let at = message.find("v_")?;
    let name = message.get(at..at + VIEW_NAME_BYTES)?;
    entitlement.iter().find(|access| access.view.name == name)
}

/// Schema and table that an error is about, where the session sees that table, or it is its own. Others are hidden: those behind a
/// foreign key, or what a trigger writes.
fn about_visible<'b>(body: &'b [u8], granted: &Granted) -> Option<(&'b str, &'b str)> {
    let named = |wanted: u8| {
        let (_, value) = fields(body).find(|(code, _)| *code == wanted)?;
        std::str::from_utf8(value).ok()
    };
    let (schema, table) = (named(b's')?, named(b't')?);
    let seen = is_own(schema, granted) || granted.entitlement.access(schema, table).is_some();
    seen.then_some((schema, table))
}

/// The table whose secured view the warehouse does not find: it steps aside for a DBA, or is being made again.
pub(super) fn changing<'a>(body: &[u8], entitlement: &'a Entitlement) -> Option<&'a RelationName> {
    let gone = sqlstate(body) == "42P01";
    view_named(body, entitlement).filter(|_| gone).map(|access| &access.relation)
}

/// `v_` and 32 hexadecimal digits.
const VIEW_NAME_BYTES: usize = 34;

/// Errors that tell a relation nobody granted from one that is not there. Relations of a statement are resolved before it
/// is sent, so what the warehouse still stumbles over is a name in a literal: `currval('payroll')`.
fn names_the_invisible(state: &str, message: &[u8]) -> bool {
    match state {
        "42P01" => true,
        "42809" => message.ends_with(b"is not a sequence"),
        _ => false,
    }
}

/// Does a message name what the session sent under a schema of its own? Nobody else's is there.
fn names_own(message: &[u8], granted: &Granted) -> bool {
    let Some(workspace) = &granted.workspace else { return false };
    let text = String::from_utf8_lossy(message);
    // DROP leaves the schema out; what it names was looked up among the session's own.
    let dropped = ["table \"", "view \"", "index \"", "sequence \"", "materialized view \""];
    dropped.iter().any(|start| text.starts_with(start))
        || [workspace.schema(), TEMPORARY].iter().any(|schema| text.contains(&format!("\"{schema}.")))
}

/// Words for errors whose message carries values: data exceptions (class 22) and constraint violations (class 23).
fn generic_message(state: &str) -> Option<&'static str> {
    match state {
        "22012" => Some("division by zero"),
        "23505" => Some("duplicate key value violates a unique constraint"),
        "23503" => Some("a foreign key constraint is violated"),
        "23502" => Some("null value in a column that takes none"),
        "23514" => Some("a check constraint is violated"),
        "44000" => Some("the row is outside what policy lets you write"),
        _ if state.starts_with("22") => Some("a value is not valid for this operation"),
        _ if state.starts_with("23") => Some("a constraint is violated"),
        _ => None,
    }
}

/// Names of secured views become the tables they stand for; names the session gave statements in the warehouse become the
/// client's, and those of portals are left out.
fn with_our_names_replaced(text: &str, granted: &Granted) -> String {
    let mut text = without_made_names(text);
    if text.contains("v_") {
        for access in granted.entitlement.iter() {
            if text.contains(&access.view.name) {
                text = text.replace(&format!("{}{COPY_SUFFIX}", access.view.name), &access.relation.name);
                text = text.replace(&access.view.name, &access.relation.name);
            }
        }
    }
    // Bare names of what is the session's own were sent with their schema.
    for schema in granted.workspace.as_ref().map(Workspace::schema).into_iter().chain([TEMPORARY]) {
        text = text.replace(&format!("\"{schema}."), "\"");
    }
    text
}

/// Names of prepared statements become the client's own.
fn with_client_names<'a>(text: &'a str, judged: &Judged) -> Cow<'a, str> {
    let mut text = Cow::Borrowed(text);
    for (_, effect) in &judged.effects {
        if let Effect::Prepare(named, _) | Effect::Execute(named) | Effect::Deallocate(named) = effect {
            let ours = format!("\"{}\"", named.upstream);
            if text.contains(&ours) {
                text = text.replace(&ours, &format!("\"{}\"", named.name)).into();
            }
        }
    }
    text
}

/// `portal "lanyard_7" cannot` -> `portal cannot`, and `statement "lanyard_7_x" requires` -> `statement "x" requires`.
fn without_made_names(text: &str) -> String {
    let start = format!(" \"{RESERVED_NAMES}");
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(&start) {
        let (before, name) = rest.split_at(at);
        let end = name
            .get(start.len()..)
            .and_then(|n| n.find(|c: char| !c.is_ascii_digit()))
            .map(|n| n + start.len());
        let after = end.and_then(|end| name.get(end..)).unwrap_or_default();
        if let Some(of_client) = after.strip_prefix('_') {
            out.push_str(before);
            out.push_str(" \"");
            rest = of_client;
            continue;
        }
        let Some(after) = after.strip_prefix('"') else {
            out.push_str(before);
            out.push_str(&start);
            rest = name.get(start.len()..).unwrap_or_default();
            continue;
        };
        out.push_str(before);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// A 1-based character position in what we sent -> in what the client wrote.
fn position(said: &Said<'_>, sent: &str) -> Option<usize> {
    let sent: usize = sent.parse().ok()?;
    let in_enforced = sent.checked_sub(said.stamp.chars().count() + 1)?;
    let enforced = said.judged.enforced.for_record();
    let byte = enforced.char_indices().nth(in_enforced).map_or(enforced.len(), |(at, _)| at);
    let original = original_offset(&said.judged.edits, byte);
    Some(said.text.get(..original)?.chars().count() + 1)
}

/// The completeness notice, a NoticeResponse of class 01L01, where policy shaped a result. `nothing`: no row came, and there
/// may be some.
pub(super) fn completeness(out: &mut BytesMut, said: &str, nothing: bool) {
    let said: Cow<'_, str> =
        if nothing { format!("{said}; rows may exist that you cannot see").into() } else { said.into() };
    message(out, b'N', |out| {
        field(out, b'S', "NOTICE");
        field(out, b'V', "NOTICE");
        field(out, b'C', "01L01");
        field(out, b'M', &said);
        out.put_u8(0);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_session_made_are_left_out_and_no_others() {
        for (said, told) in [
            (
                "bind message supplies 1 parameters, but prepared statement \"lanyard_12\" requires 2",
                "bind message supplies 1 parameters, but prepared statement requires 2",
            ),
            ("portal \"lanyard_3\" cannot be run", "portal cannot be run"),
            (
                "prepared statement \"lanyard_7_lanyard_7_x\" and \"lanyard_8_\"y\" do not exist",
                "prepared statement \"lanyard_7_x\" and \"\"y\" do not exist",
            ),
            ("role \"lanyard_owner\" and \"lanyard_1x\"", "role \"lanyard_owner\" and \"lanyard_1x\""),
            (" \"lanyard_", " \"lanyard_"),
            ("", ""),
        ] {
            assert_eq!(without_made_names(said), told);
        }
    }

    #[test]
    fn only_the_call_of_an_event_trigger_is_told_by_where_it_was_said() {
        assert!(tells_of_an_event_trigger(
            b"SDEBUG\0C00000\0MEventTriggerInvoke 17023\0REventTriggerInvoke\0\0"
        ));
        for other in [
            &b"SDEBUG\0MEventTriggerInvoke 1\0Rexec_stmt_raise\0\0"[..],
            b"REventTriggerInvoker\0\0",
            b"\0",
            b"",
        ] {
            assert!(!tells_of_an_event_trigger(other));
        }
    }
}
