//! Policies.

/// Compiled policies.
#[derive(Debug, Clone, Default)]
pub struct PolicySet {}
