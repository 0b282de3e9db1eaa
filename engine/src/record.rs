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

impl Serialize for RulingId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (at, digit) in text.iter_mut().enumerate() {
            *digit = DIGITS[usize::try_from(self.0 >> (124 - 4 * at) & 0xf).unwrap_or_default()];
        }
        serializer.serialize_str(std::str::from_utf8(&text).unwrap_or_default())
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

/// A relation that a statement touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectUse {
    /// `schema.table`, the governed name.
    pub relation: String,
    /// `read`, `write` or `unmask`.
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
    /// Statement kinds, `SELECT`, in order.
    pub operation: &'a str,
    /// The client's text, or what stands for it.
    pub statement: &'a str,
    /// The text sent to the warehouse; absent when refused.
    pub sent: Option<&'a str>,
    /// What it touches.
    pub objects: &'a Objects,
    /// Ruling.
    pub disposition: Disposition,
    /// SQLSTATE of a refusal.
    pub sqlstate: Option<&'a str>,
    /// Message of a refusal.
    pub reason: Option<&'a str>,
    /// Version of the snapshot that ruled.
    pub snapshot: u64,
    /// Time spent judging, microseconds.
    pub judge_us: u64,
}

impl Attempt<'_> {
    /// Appends the line, its newline included. By hand, because it stands in the way of every statement: what does not
    /// change between statements is copied, not written out again.
    ///
    /// # Errors
    /// [`serde_json::Error`], which a `Vec` never causes.
    pub fn write_line(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        fn member(out: &mut Vec<u8>, name: &str, value: impl Serialize) -> serde_json::Result<()> {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            serde_json::to_writer(out, &value)
        }
        out.extend_from_slice(b"{\"event\":\"attempt\"");
        member(out, "v", VERSION)?;
        member(out, "ruling", self.ruling)?;
        member(out, "time_us", self.time_us)?;
        out.push(b',');
        out.extend_from_slice(self.session.0.as_bytes());
        member(out, "protocol", self.protocol)?;
        member(out, "operation", self.operation)?;
        member(out, "statement", self.statement)?;
        if let Some(sent) = self.sent {
            member(out, "sent", sent)?;
        }
        out.extend_from_slice(b",\"objects\":");
        out.extend_from_slice(self.objects.0.1.as_bytes());
        member(out, "disposition", self.disposition)?;
        if let Some(sqlstate) = self.sqlstate {
            member(out, "sqlstate", sqlstate)?;
        }
        if let Some(reason) = self.reason {
            member(out, "reason", reason)?;
        }
        member(out, "snapshot", self.snapshot)?;
        member(out, "judge_us", self.judge_us)?;
        out.extend_from_slice(b"}\n");
        Ok(())
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
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

/// What is written after.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome<'a> {
    /// Always `outcome`.
    pub event: &'static str,
    /// Schema version of this line.
    pub v: u32,
    /// Joins the two lines.
    pub ruling: RulingId,
    /// Microseconds since 1970, UTC.
    pub time_us: u64,
    /// How it ended.
    pub status: Status,
    /// SQLSTATE of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sqlstate: Option<&'a str>,
    /// Rows of the command tag.
    pub rows: u64,
    /// Bytes of result sent to the client.
    pub bytes: u64,
    /// From sending to completion, microseconds.
    pub warehouse_us: u64,
}

/// Schema version of the lines above.
pub const VERSION: u32 = 1;
