//! Everything a decision reads, as one immutable value with a version (policy.md §8).

use std::ops::{Deref, DerefMut};

use crate::approval::Approvals;
use crate::catalog::{Catalog, Tags};
use crate::identity::Identities;
use crate::policy::{PolicySet, SnapshotIndex};

/// What a snapshot is made of: identities, tags, policies, approvals and one database's catalog.
#[derive(Debug, Clone)]
pub struct Parts {
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

/// The parts, and an index over them that is built when it is first needed.
///
/// Read the parts through it. Whoever writes to one gets a snapshot without an index, so that no decision can rest on an old
/// one.
#[derive(Debug, Clone)]
pub struct Snapshot {
    parts: Parts,
    index: SnapshotIndex,
}

impl Snapshot {
    /// Takes the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts, index: SnapshotIndex::default() }
    }

    pub(crate) fn index(&self) -> &SnapshotIndex {
        &self.index
    }
}

impl Deref for Snapshot {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl DerefMut for Snapshot {
    fn deref_mut(&mut self) -> &mut Parts {
        self.index = SnapshotIndex::default();
        &mut self.parts
    }
}
