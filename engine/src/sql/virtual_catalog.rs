//! stub
/// x
#[must_use]
pub fn relation(schema: &str, name: &str) -> Option<&'static str> {
    match (schema, name) {
        ("pg_catalog", "pg_class" | "pg_namespace" | "pg_attribute" | "pg_type" | "pg_roles") => {
            Some("lanyard_catalog")
        }
        ("information_schema", "tables") => Some("lanyard_information_schema"),
        _ => None,
    }
}
/// y
#[must_use]
pub fn function(name: &str) -> Option<&'static str> {
    (name == "pg_table_is_visible").then_some("lanyard_catalog")
}
