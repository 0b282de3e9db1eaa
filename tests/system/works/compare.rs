//! One statement on two sides, and what may differ: nothing but the order of rows that nobody ordered.

use std::collections::BTreeMap;

use tokio_postgres::{Client, SimpleQueryMessage};

/// What a side said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Names of columns, rows as a multiset, and the count of the command tag.
    Rows { names: Vec<String>, rows: Vec<Vec<Option<String>>>, affected: u64 },
    /// SQLSTATE and message.
    Failed { state: String, message: String },
}

impl Answer {
    pub(crate) fn is_rows(&self) -> bool {
        matches!(self, Self::Rows { .. })
    }

    /// The session was ended: the statement is still to be run.
    pub(crate) fn is_ended(&self) -> bool {
        matches!(self, Self::Failed { state, .. } if state == "57P01")
    }

    /// At least one row came.
    pub(crate) fn has_rows(&self) -> bool {
        matches!(self, Self::Rows { rows, .. } if !rows.is_empty())
    }

    /// Only the names of columns, where rows cannot be the same. `tableoid` is a column like others of the virtual catalog's
    /// relations, so a star has it too.
    pub(crate) fn shape(&self) -> Self {
        match self {
            Self::Rows { names, .. } => {
                let names = names.iter().filter(|name| *name != "tableoid").cloned().collect();
                Self::Rows { names, rows: Vec::new(), affected: 0 }
            }
            Self::Failed { .. } => self.clone(),
        }
    }

    /// The same rows, or the same SQLSTATE.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Failed { state, .. }, Self::Failed { state: theirs, .. }) => state == theirs,
            (one, other) => one == other,
        }
    }

    /// For a report: how this differs from the other side's.
    pub(crate) fn against(&self, other: &Self) -> String {
        match (self, other) {
            (Self::Rows { names, .. }, Self::Rows { names: theirs, .. }) if names != theirs => {
                format!("columns {names:?} against {theirs:?}")
            }
            (Self::Rows { rows, affected, .. }, Self::Rows { rows: theirs, affected: touched, .. }) => {
                let only = |a: &[Vec<Option<String>>], b: &[Vec<Option<String>>]| {
                    a.iter().find(|row| !b.contains(row)).map(|row| format!("{row:?}")).unwrap_or_default()
                };
                format!(
                    "{} rows ({affected}) with {} against {} ({touched}) with {}",
                    rows.len(),
                    only(rows, theirs),
                    theirs.len(),
                    only(theirs, rows)
                )
            }
            (one, other) => format!("{} against {}", one.shown(), other.shown()),
        }
    }

    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Rows { rows, .. } => format!("{} rows", rows.len()),
            Self::Failed { state, message } => format!("{state} {message}"),
        }
    }
}

/// Asks one side. Rows come sorted.
pub(crate) async fn answer(client: &Client, sql: &str) -> Answer {
    let messages = match client.simple_query(sql).await {
        Ok(messages) => messages,
        Err(error) => return failed(&error),
    };
    let (mut names, mut rows, mut affected) = (Vec::new(), Vec::new(), 0);
    for message in &messages {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                names = columns.iter().map(|c| c.name().to_owned()).collect();
            }
            SimpleQueryMessage::Row(row) => {
                rows.push((0..row.len()).map(|n| row.get(n).map(str::to_owned)).collect());
            }
            SimpleQueryMessage::CommandComplete(count) => affected = *count,
            _ => {}
        }
    }
    rows.sort();
    Answer::Rows { names, rows, affected }
}

fn failed(error: &tokio_postgres::Error) -> Answer {
    match error.as_db_error() {
        Some(db) => Answer::Failed { state: db.code().code().to_owned(), message: db.message().to_owned() },
        None => Answer::Failed { state: "connection".to_owned(), message: error.to_string() },
    }
}

/// What became of the statements of one file or set.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// What it is called in the table.
    pub(crate) name: String,
    /// Statements that succeed directly.
    pub(crate) succeed: usize,
    /// Of those, the ones whose tables have another shape here than when PostgreSQL runs the file; not compared.
    pub(crate) left: usize,
    /// Of those compared, the ones with the same rows.
    pub(crate) alike: usize,
    /// Those, and how they fail here.
    pub(crate) apart: Vec<String>,
    /// Statements that fail directly, and with the same SQLSTATE through the proxy.
    pub(crate) fail_alike: usize,
    /// Statements that fail directly, and otherwise through the proxy.
    pub(crate) fail_otherwise: usize,
    /// Reasons of refusals, and the statements.
    pub(crate) refused: BTreeMap<String, Vec<String>>,
    /// Not refused, and yet not the same: the statement, and how.
    pub(crate) different: Vec<(String, String)>,
    /// What fails directly, and otherwise through the proxy.
    pub(crate) otherwise: Vec<String>,
}

impl Tally {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Statements compared.
    pub(crate) fn compared(&self) -> usize {
        self.succeed - self.left
    }

    /// Percent of the compared that are alike.
    pub(crate) fn share(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts of statements")]
        let percent =
            |part: usize, whole: usize| if whole == 0 { 100.0 } else { part as f64 * 100.0 / whole as f64 };
        percent(self.alike, self.compared())
    }

    /// Notes one statement; is it alike?
    pub(crate) fn note(&mut self, sql: &str, direct: &Answer, proxied: &Answer) -> bool {
        let alike = direct.is_like(proxied);
        if !direct.is_rows() {
            if alike {
                self.fail_alike += 1;
            } else {
                self.fail_otherwise += 1;
                self.otherwise.push(format!("{}\n  {sql}", proxied.against(direct)));
            }
            return alike;
        }
        self.succeed += 1;
        if alike {
            self.alike += 1;
        } else if let Answer::Failed { state, message } = proxied {
            self.refused.entry(reason(state, message)).or_default().push(sql.to_owned());
        } else {
            self.different.push((sql.to_owned(), proxied.against(direct)));
        }
        alike
    }
}

/// A message with its names taken out, except for those of functions, operators and types.
fn reason(state: &str, message: &str) -> String {
    if ["function", "operator", "type", "setting", "field"].iter().any(|word| message.starts_with(word)) {
        return format!("{state} {message}");
    }
    let parts = message.split('"').enumerate();
    let text: String = parts.map(|(n, part)| if n % 2 == 0 { part } else { "…" }).collect();
    format!("{state} {text}")
}
