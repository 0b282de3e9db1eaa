//! Logs of this process, to standard error.
//!
//! `LANYARD_LOG` says how much (`info`, `debug`, `lanyard=debug,warn`), `LANYARD_LOG_FORMAT` how: `plain` or `json`.
//! Must never be given SQL, parameters, rows, tokens or startup maps: what is not said to tracing is not in the logs, and
//! libraries that log statements do so through the `log` crate, which is not connected here.

use thiserror::Error;
use tracing_subscriber::EnvFilter;

/// Why logging cannot be set up.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LoggingError {
    /// Not a filter.
    #[error("LANYARD_LOG {0:?} is not a filter; use for example info, debug, or lanyard=debug,warn")]
    Filter(String),
    /// Not a format.
    #[error("LANYARD_LOG_FORMAT must be plain or json, found {0:?}")]
    Format(String),
    /// Something set up logging before.
    #[error("logging is set up already")]
    Twice,
}

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Plain,
    /// One JSON object per line.
    Json,
}

/// Reads the two variables' values.
///
/// # Errors
/// [`LoggingError`] for values that mean nothing.
pub fn parse(filter: Option<&str>, format: Option<&str>) -> Result<(EnvFilter, Format), LoggingError> {
    let filter = filter.filter(|text| !text.trim().is_empty()).unwrap_or("info");
    let parsed = EnvFilter::try_new(filter).map_err(|_| LoggingError::Filter(filter.to_owned()))?;
    let format = match format {
        None | Some("" | "plain") => Format::Plain,
        Some("json") => Format::Json,
        Some(other) => return Err(LoggingError::Format(other.to_owned())),
    };
    Ok((parsed, format))
}

/// Sets up logging for the process, from the environment.
///
/// # Errors
/// [`LoggingError`].
pub fn init() -> Result<(), LoggingError> {
    init_or("info")
}

/// The same, with another filter when the environment names none.
///
/// # Errors
/// [`LoggingError`].
pub fn init_or(otherwise: &str) -> Result<(), LoggingError> {
    let variable = |name| std::env::var(name).ok().filter(|text: &String| !text.trim().is_empty());
    let filter = variable("LANYARD_LOG");
    let (filter, format) =
        parse(Some(filter.as_deref().unwrap_or(otherwise)), variable("LANYARD_LOG_FORMAT").as_deref())?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        // No colours, on terminals neither: the library panics when asked for what it was not built with.
        Format::Plain => subscriber.with_ansi(false).try_init(),
        Format::Json => subscriber.json().try_init(),
    }
    .map_err(|_| LoggingError::Twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_mean_nothing_are_refused() {
        for (filter, format) in
            [(Some("lanyard=loud"), None), (Some("=="), None), (None, Some("xml")), (None, Some("JSON"))]
        {
            assert!(parse(filter, format).is_err(), "{filter:?} {format:?}");
        }
        for (filter, format, expected) in [
            (None, None, Format::Plain),
            (Some(""), Some(""), Format::Plain),
            (Some("lanyard=debug,warn"), Some("json"), Format::Json),
        ] {
            assert_eq!(parse(filter, format).map(|(_, f)| f), Ok(expected));
        }
    }
}
