//! stub
use crate::{entitlement::Entitlement, identity::Principal, refusal::Refusal, snapshot::Snapshot};
/// Compiled policies.
#[derive(Debug, Clone, Default)]
pub struct PolicySet {}
/// s
#[derive(Debug)]
pub struct Source<'a> {
    /// f
    pub file: &'a str,
    /// t
    pub text: &'a str,
}
/// s
#[derive(Debug, Clone, PartialEq)]
pub enum Severity {
    /// e
    Error,
    /// w
    Warning,
}
/// d
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// s
    pub severity: Severity,
}
impl std::fmt::Display for Diagnostic {
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}
impl PolicySet {
    /// p
    pub fn parse(_s: &[Source<'_>]) -> Result<PolicySet, Vec<Diagnostic>> {
        Ok(Self {})
    }
}
/// c
pub fn check(_s: &Snapshot) -> Vec<Diagnostic> {
    vec![]
}
/// e
pub fn entitle(_s: &Snapshot, _p: &Principal) -> Result<Entitlement, Refusal> {
    Err(Refusal::new(crate::refusal::Code::Internal, "stub"))
}
