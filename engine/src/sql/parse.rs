//! The one door to libpg_query: PostgreSQL's own grammar, as a tree.
//!
//! Nothing else in Lanyard parses client SQL. Called by `judge` and `verify`.

use pg_raw_parse::{Owned, StmtList};

use crate::refusal::{Code, Refusal};

/// A parsed message: its raw statements.
pub(super) type Tree = Owned<StmtList>;

/// Parses a whole message.
///
/// # Errors
/// 42601 with the grammar's own message.
pub(super) fn parse(text: &str) -> Result<Tree, Refusal> {
    match pg_raw_parse::parse(text) {
        Ok(result) => Ok(result.into_inner()),
        Err(pg_raw_parse::Error::StatementContainedNul(_)) => {
            Err(Refusal::new(Code::BadBytes, "a statement cannot contain a NUL byte"))
        }
        Err(pg_raw_parse::Error::Parse(error)) => {
            let message = error.to_string();
            let refusal = Refusal::new(Code::Syntax, message.clone());
            Err(match position(text, &message) {
                Some(at) => refusal.at(at),
                None => refusal,
            })
        }
        Err(error @ pg_raw_parse::Error::PgError(_)) => Err(Refusal::new(Code::Syntax, error.to_string())),
    }
}

/// Where the token named by `… at or near "token"` stands, when it stands in the text only once.
fn position(text: &str, message: &str) -> Option<usize> {
    let token = message.split("at or near \"").nth(1)?.strip_suffix('"')?;
    let mut places = text.match_indices(token);
    let (at, _) = places.next()?;
    places.next().is_none().then_some(at)
}
