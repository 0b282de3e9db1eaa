//! What a session says it is for (policy.md §6).
//!
//! Must never be built from unchecked text. Used by principals and by policies that name a purpose.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits;

/// Why a text is not a purpose.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PurposeError {
    /// Empty, or longer than [`limits::POLICY_NAME_BYTES_MAX`].
    #[error("a purpose has 1 to {max} bytes, this one has {0}", max = limits::POLICY_NAME_BYTES_MAX)]
    Length(usize),
    /// A part between dots is empty, or holds something else than letters, digits, `_` and `-`.
    #[error("a purpose is words with dots between, as in Marketing.Campaign")]
    Form,
}

/// A dotted path, `Marketing.Campaign`. Matching is by whole parts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PurposeName(Box<str>);

impl PurposeName {
    /// Checks and takes a text.
    ///
    /// # Errors
    /// [`PurposeError`] names what is wrong.
    pub fn parse(text: &str) -> Result<Self, PurposeError> {
        if text.is_empty() || text.len() > limits::POLICY_NAME_BYTES_MAX {
            return Err(PurposeError::Length(text.len()));
        }
        let word = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        };
        if text.split('.').all(word) { Ok(Self(text.into())) } else { Err(PurposeError::Form) }
    }

    /// The purpose as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Is `self` this one or below it?
    #[must_use]
    pub fn is_under(&self, above: &Self) -> bool {
        self.0.strip_prefix(&*above.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// Itself and every purpose above it, the shortest first.
    pub(crate) fn line(&self) -> impl Iterator<Item = &str> {
        let ends = self.0.match_indices('.').map(|(n, _)| n).chain([self.0.len()]);
        ends.filter_map(|end| self.0.get(..end))
    }
}

impl fmt::Display for PurposeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for PurposeName {
    type Error = PurposeError;
    fn try_from(text: String) -> Result<Self, PurposeError> {
        Self::parse(&text)
    }
}

impl From<PurposeName> for String {
    fn from(name: PurposeName) -> Self {
        name.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_match_by_whole_parts() -> Result<(), PurposeError> {
        let campaign = PurposeName::parse("Marketing.Campaign")?;
        assert!(campaign.is_under(&PurposeName::parse("Marketing")?));
        assert!(campaign.is_under(&campaign));
        assert!(!campaign.is_under(&PurposeName::parse("Market")?));
        assert!(!PurposeName::parse("Marketing")?.is_under(&campaign));
        assert_eq!(campaign.line().collect::<Vec<_>>(), ["Marketing", "Marketing.Campaign"]);
        Ok(())
    }

    #[test]
    fn what_is_no_path_is_refused() {
        let long = "x".repeat(limits::POLICY_NAME_BYTES_MAX + 1);
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "1a", "ä", "a'b", &long] {
            assert!(PurposeName::parse(bad).is_err(), "{bad}");
        }
    }
}
