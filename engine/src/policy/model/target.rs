//! Which tables and which columns a policy means.
//!
//! Values only; `matching` says whether they mean a table, `index` where to look for them.

use std::fmt;

use regex_lite::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::Place;
use crate::catalog::{RelationName, TagPath};
use crate::limits;

/// Tables, by any of the matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tables {
    /// Never empty.
    pub any: Vec<TableMatch>,
}

/// One way to say which tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableMatch {
    /// The table or its schema carries one of the tags, or one below.
    Tagged(Vec<Tag>),
    /// By name.
    Named(Vec<TableName>),
    /// `schema.table` is LIKE one of the patterns.
    Like(Vec<String>),
    /// Some part of `schema.table` matches one of the regular expressions.
    Matching(Vec<NamePattern>),
    /// Some column matches.
    WithColumns(ColumnMatch),
    /// Every one of these holds; never empty.
    AllOf(Vec<TableMatch>),
    /// One of these holds; never empty. For use inside `AllOf`.
    AnyOf(Vec<TableMatch>),
}

/// Columns, by any of the matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    /// Never empty.
    pub any: Vec<ColumnMatch>,
    /// Of these tables only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Tables>,
}

/// One way to say which columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnMatch {
    /// The column, its table or its schema carries one of the tags, or one below.
    Tagged(Vec<Tag>),
    /// By name.
    Named(Vec<ColumnName>),
    /// The column's name is LIKE one of the patterns.
    Like(Vec<String>),
    /// Some part of the column's name matches one of the regular expressions.
    Matching(Vec<NamePattern>),
}

/// A tag a policy names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tag {
    /// The tag.
    pub path: TagPath,
    /// Where it stands.
    #[serde(skip)]
    pub place: Place,
}

/// A table a policy names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TableName {
    /// Schema and name.
    pub relation: RelationName,
    /// Where it stands.
    #[serde(skip)]
    pub place: Place,
}

/// A column a policy names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnName {
    /// Its table; in every table without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relation: Option<RelationName>,
    /// Its name.
    pub column: String,
    /// Where it stands.
    #[serde(skip)]
    pub place: Place,
}

/// A regular expression over names, compiled when it is read. The engine takes time linear in the text, whatever the pattern.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern {
    text: Box<str>,
    program: Regex,
}

impl NamePattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// Why it is not one, or that it is larger than [`limits::POLICY_REGEX_BYTES_MAX`] or its program larger than
    /// [`limits::POLICY_REGEX_PROGRAM_BYTES_MAX`].
    pub fn parse(text: &str) -> Result<Self, String> {
        let most = limits::POLICY_REGEX_BYTES_MAX;
        if text.is_empty() || text.len() > most {
            return Err(format!("a regular expression has 1 to {most} bytes"));
        }
        let program = RegexBuilder::new(text)
            .size_limit(limits::POLICY_REGEX_PROGRAM_BYTES_MAX)
            .nest_limit(limits::POLICY_REGEX_DEPTH_MAX)
            .build()
            .map_err(|e| format!("this is not a regular expression we take: {e}"))?;
        Ok(Self { text: text.into(), program })
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Is it found in the name?
    #[must_use]
    pub fn is_in(&self, name: &str) -> bool {
        self.program.is_match(name)
    }
}

impl fmt::Debug for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NamePattern").field(&self.text).finish()
    }
}

impl PartialEq for NamePattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for NamePattern {}

impl TryFrom<String> for NamePattern {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> Self {
        pattern.text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_would_blow_up_are_refused_or_linear() {
        for bad in ["", "(", "a{1000}{1000}{1000}", "[", "(?<a", "\\p{Greek}", "(a)\\1", "(?=a)"] {
            assert!(NamePattern::parse(bad).is_err(), "{bad}");
        }
        assert!(NamePattern::parse(&"(".repeat(200)).is_err());
        assert!(NamePattern::parse(&"a".repeat(limits::POLICY_REGEX_BYTES_MAX + 1)).is_err());
        let slow = NamePattern::parse("^(a+)+$").expect("a pattern");
        assert!(!slow.is_in(&format!("{}b", "a".repeat(60))));
    }
}
