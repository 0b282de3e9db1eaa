//! Everything a decision reads, as one immutable value with a version (policy.md §8).

use crate::approval::Approvals;
use crate::catalog::{Catalog, Tags};
use crate::identity::Identities;
use crate::policy::PolicySet;

/// Identities, tags, policies, approvals and one database's catalog.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Grows with every change; it is in every audit record.
    pub version: u64,
    /// Everybody.
    pub identities: Identities,
    /// Assignments; already applied to `catalog`.
    pub tags: Tags,
    /// Compiled policies.
    pub policies: PolicySet,
    /// The database's relations, tags applied.
    pub catalog: Catalog,
    /// Individual grants and approved requests, and what time it is.
    pub approvals: Approvals,
}
