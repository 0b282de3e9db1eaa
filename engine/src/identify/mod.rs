//! What a column holds, from hit rates over a sample: which identifiers there are, how they compete, what is proposed.
//!
//! Values never come here: the warehouse counts how many of the sampled values an identifier's test takes, and only these
//! counts leave it. Pure; called by `lanyard identify`. Nothing here tags anything.

mod identifiers;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::{Column, RelationName, TagPath};

pub use identifiers::{Identifier, built_in};

/// Least share of the sampled values that a test must take.
pub const RATE_MIN: f64 = 0.9;
/// Fewest values a rate may stand on.
pub const SAMPLE_MIN: u64 = 10;

/// Why a tag is proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The values say so.
    Values,
    /// The values say so, and the column's name.
    ValuesAndName,
    /// The column's name alone: for a person to look at.
    Name,
}

/// A tag that fits a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// Its table.
    pub relation: RelationName,
    /// The column.
    pub column: String,
    /// The tag.
    pub tag: TagPath,
    /// The identifier's id.
    pub identifier: String,
    /// Why.
    pub evidence: Evidence,
    /// Share of the sampled values that its test takes, 0 to 1.
    pub score: f64,
    /// Values that were sampled, NULL and empty ones left out.
    pub sampled: u64,
}

impl Proposal {
    /// Do the values carry it, so that it may be applied without a look?
    #[must_use]
    pub fn is_sure(&self) -> bool {
        match self.evidence {
            Evidence::Values | Evidence::ValuesAndName => true,
            Evidence::Name => false,
        }
    }
}

/// What was counted in a column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Values looked at.
    pub sampled: u64,
    /// Identifier id -> values its test takes.
    pub hits: BTreeMap<&'static str, u64>,
}

/// The identifiers worth counting in a column.
pub fn candidates(column: &Column) -> impl Iterator<Item = &'static Identifier> + use<'_> {
    built_in().iter().filter(|identifier| identifier.fits(column))
}

/// The tag a column should have, if any. Of the identifiers whose test takes enough of the values the most specific wins,
/// then the higher rate; without one, an identifier that knows the column's name is proposed for a look.
#[must_use]
pub fn propose(relation: &RelationName, column: &Column, counts: &Counts) -> Option<Proposal> {
    let rate = |identifier: &Identifier| {
        let hits = counts.hits.get(identifier.id).copied().unwrap_or(0);
        if counts.sampled == 0 { 0.0 } else { hits as f64 / counts.sampled as f64 }
    };
    let make = |identifier: &Identifier, evidence| Proposal {
        relation: relation.clone(),
        column: column.name.clone(),
        tag: TagPath(identifier.tag.to_owned()),
        identifier: identifier.id.to_owned(),
        evidence,
        score: rate(identifier),
        sampled: counts.sampled,
    };
    let by_values = candidates(column)
        .filter(|identifier| counts.sampled >= SAMPLE_MIN && rate(identifier) >= RATE_MIN)
        // A test that many things pass needs the name on its side.
        .filter(|identifier| !identifier.needs_name || identifier.knows(&column.name))
        .max_by(|a, b| {
            (a.specificity, rate(a))
                .partial_cmp(&(b.specificity, rate(b)))
                .unwrap_or(std::cmp::Ordering::Equal)
        });
    if let Some(identifier) = by_values {
        let evidence =
            if identifier.knows(&column.name) { Evidence::ValuesAndName } else { Evidence::Values };
        return Some(make(identifier, evidence));
    }
    candidates(column)
        .filter(|identifier| identifier.knows(&column.name))
        .max_by_key(|identifier| identifier.specificity)
        .map(|identifier| make(identifier, Evidence::Name))
}

#[cfg(test)]
mod tests;
