//! One record per attempt, refused ones included (wire.md, "The audit").
//!
//! Never carries parameters or rows. Written as two JSON lines joined by the ruling id: `attempt` before the statement
//! is sent, `outcome` after.

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
        serializer.collect_str(self)
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

/// A relation that a statement touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectUse {
    /// `schema.table`, the governed name.
    pub relation: String,
    /// `read` or `write`.
    pub operation: &'static str,
    /// Row policies that limit it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<String>,
    /// `column: mask (policy)` for each masked column of the relation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub masks: Vec<String>,
}

/// What is written before a statement is sent.
#[derive(Debug, Clone, Serialize)]
pub struct Attempt<'a> {
    /// Always `attempt`.
    pub event: &'static str,
    /// Schema version of this line.
    pub v: u32,
    /// Joins the two lines.
    pub ruling: RulingId,
    /// Microseconds since 1970, UTC.
    pub time_us: u64,
    /// The proxy's name.
    pub node: &'a str,
    /// The session.
    #[serde(flatten)]
    pub session: &'a SessionFacts,
    /// `simple`, `extended`, `login`.
    pub protocol: &'static str,
    /// Statement kinds, `SELECT`, in order.
    pub operation: &'a str,
    /// The client's text, or what stands for it.
    pub statement: &'a str,
    /// The text sent to the warehouse, stamp included; absent when refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<&'a str>,
    /// What it touches.
    pub objects: &'a [ObjectUse],
    /// Ruling.
    pub disposition: Disposition,
    /// SQLSTATE of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sqlstate: Option<&'a str>,
    /// Message of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// Version of the snapshot that ruled.
    pub snapshot: u64,
    /// Time spent judging, microseconds.
    pub judge_us: u64,
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
