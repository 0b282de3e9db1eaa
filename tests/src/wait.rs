//! Waiting for a state, with a deadline instead of a guess.

use std::time::{Duration, Instant};

use crate::Outcome;

/// How long anything may take in a test, in seconds. The machine may be busy with ten others, and in the long form with
/// thousands of sessions.
pub const PATIENCE_SECONDS: u64 = if cfg!(feature = "long") { 120 } else { 30 };
const POLL_MILLISECONDS: u64 = 20;

/// Asks until the answer is `Some`, and gives it.
///
/// # Errors
/// What the question failed with, or that `what` did not come true in [`PATIENCE_SECONDS`].
pub async fn until<T>(what: &str, ask: impl AsyncFnMut() -> Outcome<Option<T>>) -> Outcome<T> {
    until_within(PATIENCE_SECONDS, what, ask).await
}

/// As [`until`], for what takes longer by its nature.
///
/// # Errors
/// What the question failed with, or that `what` did not come true in so many seconds.
pub async fn until_within<T>(
    seconds: u64,
    what: &str,
    mut ask: impl AsyncFnMut() -> Outcome<Option<T>>,
) -> Outcome<T> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            return Err(format!("{what}: not within {seconds} s").into());
        }
        tokio::time::sleep(Duration::from_millis(POLL_MILLISECONDS)).await;
    }
}
