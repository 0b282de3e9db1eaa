//! A real client over TCP: an ordinary driver that knows nothing of Lanyard.
//!
//! Must never go round the proxy. Called by the acts.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::error::DemoError;
use super::stage::Stage;
use crate::demo::setting::DATABASE;

const CONNECT_SECONDS_MAX: u64 = 60;

/// Rows as text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Answer {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Option<String>>>,
}

impl Answer {
    /// Every value of a column, by its name; NULL and absent columns give the empty text.
    pub(super) fn column(&self, name: &str) -> Vec<&str> {
        let at = self.columns.iter().position(|column| column == name);
        self.rows.iter().map(|row| at.and_then(|at| row.get(at)?.as_deref()).unwrap_or_default()).collect()
    }
}

/// What an ErrorResponse said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) severity: String,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// Rows, or an error in PostgreSQL's form. Anything else that goes wrong is a [`DemoError`].
pub(super) type Reply<T> = Result<T, Refused>;

/// A logged-in client.
pub(super) struct Client {
    login: String,
    client: tokio_postgres::Client,
    connection: JoinHandle<Result<(), tokio_postgres::Error>>,
}

/// Who logs in, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    /// `agent~user`, `agent` or `user`.
    pub(super) login: &'a str,
    /// What it calls itself; records are found by it.
    pub(super) application: &'a str,
    /// Its own key, when it is not the right one.
    pub(super) key: Option<&'a str>,
    /// libpq's `options`.
    pub(super) options: &'a str,
}

impl Client {
    pub(super) async fn connect(stage: &Stage, wish: Wish<'_>) -> Result<Reply<Self>, DemoError> {
        let key = wish.key.or(stage.setting.key(wish.login)).unwrap_or_default();
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(stage.setting.port)
            .user(wish.login)
            .password(key)
            .dbname(DATABASE)
            .application_name(wish.application)
            .connect_timeout(Duration::from_secs(CONNECT_SECONDS_MAX));
        if !wish.options.is_empty() {
            config.options(wish.options);
        }
        match config.connect(NoTls).await {
            Ok((client, connection)) => {
                let connection = tokio::spawn(connection);
                Ok(Ok(Self { login: wish.login.to_owned(), client, connection }))
            }
            Err(error) => refused(wish.login, error).map(Err),
        }
    }

    /// One statement in the simple protocol.
    pub(super) async fn ask(&self, sql: &str) -> Result<Reply<Answer>, DemoError> {
        let messages = match self.client.simple_query(sql).await {
            Ok(messages) => messages,
            Err(error) => return refused(&self.login, error).map(Err),
        };
        let mut answer = Answer::default();
        for message in &messages {
            match message {
                SimpleQueryMessage::RowDescription(columns) => {
                    answer.columns = columns.iter().map(|column| column.name().to_owned()).collect();
                }
                SimpleQueryMessage::Row(row) => {
                    answer.rows.push((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect());
                }
                // A foreign enum that may grow; nothing else carries rows.
                _ => {}
            }
        }
        Ok(Ok(answer))
    }

    /// Waits, asking nothing, until the other side ends the session; what it said, or `None` when it does not in time.
    pub(super) async fn ended(self, patience: Duration) -> Result<Option<Refused>, DemoError> {
        let Ok(Ok(ended)) = tokio::time::timeout(patience, self.connection).await else { return Ok(None) };
        match ended {
            Ok(()) => Ok(None),
            Err(error) => refused(&self.login, error).map(Some),
        }
    }
}

/// What the other side said; an error when it said nothing.
fn refused(login: &str, error: tokio_postgres::Error) -> Result<Refused, DemoError> {
    match error.as_db_error() {
        Some(said) => Ok(Refused {
            severity: said.severity().to_owned(),
            code: said.code().code().to_owned(),
            message: said.message().to_owned(),
            hint: said.hint().map(str::to_owned),
        }),
        None => Err(DemoError::Client { login: login.to_owned(), source: error }),
    }
}
