pub fn check(_: &crate::snapshot::Snapshot) -> Vec<super::Diagnostic> {
    Vec::new()
}
