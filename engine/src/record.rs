//! One record per attempt, refused ones included (wire.md, "The audit").
//!
//! Never carries parameters or rows. Written as two JSON lines joined by the ruling id: `attempt` before the statement
//! is sent, `outcome` after.

use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;

/// Joins the lines of one attempt; the client sees it in DETAIL. A UUID v7 made by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RulingId(pub u128);

impl std::fmt::Display for RulingId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl RulingId {
    /// As it is shown, without going through a formatter.
    fn digits(self) -> [u8; 32] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let bytes = self.0.to_be_bytes();
        std::array::from_fn(|at| {
            let byte = bytes[at / 2];
            DIGITS[usize::from(if at % 2 == 0 { byte >> 4 } else { byte & 0xf })]
        })
    }
}

/// What was ruled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// Runs, nothing shaped.
    Allowed,
    /// Runs, rows limited.
    Filtered,
    /// Runs, columns masked (rows may be limited too).
    Masked,
    /// Does not run.
    Refused,
}

/// Who, for whom, in which session: the part that does not change in a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionFacts {
    /// Session id, 32 hex digits.
    pub session: String,
    /// The vended role.
    pub role: String,
    /// `on_behalf_of`, `autonomous`, `direct`.
    pub mode: &'static str,
    /// Acting agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Its owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_owner: Option<String>,
    /// The person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// How the person was proven: `asserted`, `password`.
    pub user_proof: &'static str,
    /// How the login was proven: `scram-sha-256`, `scram-sha-256-plus`.
    pub authentication: &'static str,
    /// Address of the client.
    pub client_address: String,
    /// What the client called itself.
    pub client_application: String,
    /// The `[databases.NAME]` entry.
    pub database: String,
    /// What the session is for, as policies know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// What the client says it works on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// When the lease ends, seconds since 1970.
    pub expires: u64,
}

/// The part of every record of a session that does not change, written out once.
#[derive(Debug, Clone)]
pub struct SessionPart(Arc<str>);

impl SessionPart {
    /// Writes it out: the proxy's name and the session, as members of a JSON object without its braces.
    #[must_use]
    pub fn new(node: &str, session: &SessionFacts) -> Self {
        #[derive(Serialize)]
        struct Part<'a> {
            node: &'a str,
            #[serde(flatten)]
            session: &'a SessionFacts,
        }
        Self(members(&Part { node, session }).into())
    }
}

/// A value as JSON. A record without it would be worse than no statement: what cannot be is a panic, which ends the session or
/// refuses the statement.
fn json(value: &impl Serialize) -> String {
    // INVARIANT: our records hold text and numbers under fixed names; JSON can say all of these.
    serde_json::to_string(value).expect("text and numbers are JSON")
}

fn members(object: &impl Serialize) -> String {
    let text = json(object);
    // INVARIANT: a struct is written as an object.
    text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).expect("an object").to_owned()
}

/// The operation of whoever turns masked values back.
pub const UNMASK: &str = "unmask";
/// The operation of whoever hears what comes over a channel.
pub const LISTEN: &str = "listen";
/// The operation of whoever says something on a channel.
pub const NOTIFY: &str = "notify";

/// A relation or channel that a statement touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectUse {
    /// `schema.table`, the governed name; `channel NAME` for a channel.
    pub relation: String,
    /// `read`, `write`, `unmask`, `listen` or `notify`.
    pub operation: &'static str,
    /// Row policies that limit it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<String>,
    /// `column: mask (policy)` for each masked column of the relation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub masks: Vec<String>,
    /// What shadow policies would have changed: `email: clear -> null (NAME)`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shadow: Vec<String>,
}

/// All that a statement touches, written out once however often it runs. Clones share it.
#[derive(Debug, Clone)]
pub struct Objects(Arc<(Vec<ObjectUse>, String)>);

impl Objects {
    /// Writes them out.
    #[must_use]
    pub fn new(uses: Vec<ObjectUse>) -> Self {
        let text = json(&uses);
        Self(Arc::new((uses, text)))
    }

    /// About how many bytes of memory they take: what is said of each stands in its fields and in the text.
    pub(crate) fn bytes(&self) -> usize {
        let (uses, text) = &*self.0;
        size_of_val(&**uses) + 2 * text.len()
    }
}

impl Default for Objects {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Deref for Objects {
    type Target = [ObjectUse];

    fn deref(&self) -> &[ObjectUse] {
        &self.0.0
    }
}

/// The part of a record that is the same each time a statement runs, written out once. Clones share it.
#[derive(Debug, Clone)]
pub struct StatementPart {
    text: Arc<str>,
    disposition: Disposition,
}

impl StatementPart {
    /// Writes it out: the statement kinds (`SELECT`) in order, the client's text or what stands for it, the text that is sent
    /// (none where it is refused), what it touches, and the ruling.
    #[must_use]
    pub fn new(
        operation: &str,
        statement: &str,
        sent: Option<&str>,
        objects: &Objects,
        disposition: Disposition,
    ) -> Self {
        let mut out = String::with_capacity(
            2 * statement.len() + sent.map_or(0, |sent| 2 * sent.len()) + objects.0.1.len() + 128,
        );
        out.push_str("\"operation\":");
        out.push_str(&json(&operation));
        out.push_str(",\"statement\":");
        out.push_str(&json(&statement));
        if let Some(sent) = sent {
            out.push_str(",\"sent\":");
            out.push_str(&json(&sent));
        }
        out.push_str(",\"objects\":");
        out.push_str(&objects.0.1);
        out.push_str(",\"disposition\":");
        out.push_str(&json(&disposition));
        Self { text: out.into(), disposition }
    }

    /// The ruling.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        self.disposition
    }
}

/// What is written before a statement is sent.
#[derive(Debug, Clone)]
pub struct Attempt<'a> {
    /// Joins the two lines.
    pub ruling: RulingId,
    /// Microseconds since 1970, UTC.
    pub time_us: u64,
    /// The proxy and the session.
    pub session: &'a SessionPart,
    /// `simple`, `extended`, `login`.
    pub protocol: &'static str,
    /// What runs, and the ruling.
    pub what: &'a StatementPart,
    /// SQLSTATE of a refusal.
    pub sqlstate: Option<&'a str>,
    /// Message of a refusal.
    pub reason: Option<&'a str>,
    /// Version of the snapshot that ruled.
    pub snapshot: u64,
    /// Time spent judging, microseconds.
    pub judge_us: u64,
}

/// Writes one line of JSON by hand, because lines stand in the way of every statement: what does not change between statements
/// is copied, not written out again.
struct Line<'a>(&'a mut Vec<u8>);

impl Line<'_> {
    /// Begins `{"event":"…","v":1,"ruling":"…","time_us":…`.
    fn begin<'a>(out: &'a mut Vec<u8>, event: &str, ruling: RulingId, time_us: u64) -> Line<'a> {
        let mut line = Line(out);
        line.0.extend_from_slice(b"{\"event\":\"");
        line.0.extend_from_slice(event.as_bytes());
        line.0.push(b'"');
        line.number("v", VERSION.into());
        line.name("ruling");
        line.0.push(b'"');
        line.0.extend_from_slice(&ruling.digits());
        line.0.push(b'"');
        line.number("time_us", time_us);
        line
    }

    fn name(&mut self, name: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        self.0.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        // INVARIANT: text is JSON, and a Vec takes every byte.
        serde_json::to_writer(&mut *self.0, value).expect("text is JSON");
    }

    /// Members written out before.
    fn part(&mut self, members: &str) {
        self.0.push(b',');
        self.0.extend_from_slice(members.as_bytes());
    }

    fn end(self) {
        self.0.extend_from_slice(b"}\n");
    }
}

impl Attempt<'_> {
    /// Appends the line, its newline included.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        let mut line = Line::begin(out, "attempt", self.ruling, self.time_us);
        line.part(&self.session.0);
        line.text("protocol", self.protocol);
        line.part(&self.what.text);
        if let Some(sqlstate) = self.sqlstate {
            line.text("sqlstate", sqlstate);
        }
        if let Some(reason) = self.reason {
            line.text("reason", reason);
        }
        line.number("snapshot", self.snapshot);
        line.number("judge_us", self.judge_us);
        line.end();
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The warehouse completed it.
    Ok,
    /// The warehouse answered with an error.
    Failed,
    /// Not run: an earlier statement of the pipeline failed.
    Skipped,
    /// The connection ended before an answer.
    Unknown,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Unknown => "unknown",
        }
    }
}

/// What is written after.
#[derive(Debug, Clone)]
pub struct Outcome<'a> {
    /// Joins the two lines.
    pub ruling: RulingId,
    /// Microseconds since 1970, UTC.
    pub time_us: u64,
    /// How it ended.
    pub status: Status,
    /// SQLSTATE of a failure.
    pub sqlstate: Option<&'a str>,
    /// Rows of the command tag.
    pub rows: u64,
    /// Bytes of result sent to the client.
    pub bytes: u64,
    /// From sending to completion, microseconds.
    pub warehouse_us: u64,
}

impl Outcome<'_> {
    /// Appends the line, its newline included.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        let mut line = Line::begin(out, "outcome", self.ruling, self.time_us);
        line.text("status", self.status.as_str());
        if let Some(sqlstate) = self.sqlstate {
            line.text("sqlstate", sqlstate);
        }
        line.number("rows", self.rows);
        line.number("bytes", self.bytes);
        line.number("warehouse_us", self.warehouse_us);
        line.end();
    }
}

/// Schema version of the lines above.
pub const VERSION: u32 = 1;
