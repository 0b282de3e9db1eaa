//! Which functions a statement may call: an allow-list of names in `pg_catalog`.
//!
//! The list is every immutable or stable function of PostgreSQL 15 to 18 that neither carries SQL text, nor reads files,
//! other sessions, statistics or large objects, nor takes `internal` or `cstring`; and a few volatile ones agents and
//! drivers need. Default: refused.

use std::collections::HashSet;
use std::sync::LazyLock;

static ALLOWED: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("functions_allowed.txt").lines().collect());

/// May `pg_catalog.<name>` be called?
pub(super) fn is_allowed(name: &str) -> bool {
    ALLOWED.contains(name)
}

/// Operators of `pg_catalog` in PostgreSQL 15 to 18.
const OPERATORS: &str = "!! !~ !~* !~~ !~~* # ## #- #> #>> % & && &< &<| &> * *< *<= *<> *= *> *>= + - -> ->> -|- / < <-> << <<= <<| \
    <= <> <@ <^ = > >= >> >>= >^ ? ?# ?& ?- ?-| ?| ?|| @ @-@ @> @? @@ @@@ ^ ^@ | |&> |/ |>> || ||/ ~ ~* ~<=~ ~<~ ~= ~>=~ \
    ~>~ ~~ ~~*";

static KNOWN_OPERATORS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| OPERATORS.split(' ').collect());

/// Is this the name of an operator of PostgreSQL's own? Words (`BETWEEN SYMMETRIC`) are the grammar's: nobody can define one.
pub(super) fn is_operator(name: &str) -> bool {
    name.contains(|c: char| c.is_ascii_alphabetic()) || KNOWN_OPERATORS.contains(name)
}

/// Does a call leave something in the session that a later statement may find: a setting, a place in a sequence, a seed?
pub(super) fn leaves_something(name: &str) -> bool {
    matches!(name, "set_config" | "nextval" | "setseed")
}

/// Function names that must not be reached as `(expression).name` or `alias.name` either: PostgreSQL reads such a field
/// as a call when there is no column of that name. Only families with side effects or SQL text need the guard; values
/// are guarded by the role's rights.
pub(super) fn is_guarded_field(name: &str) -> bool {
    const PREFIXES: [&str; 9] = [
        "pg_read_",
        "pg_ls_",
        "pg_stat_",
        "pg_advisory_",
        "pg_notify",
        "lo_",
        "pg_terminate_",
        "pg_cancel_",
        "pg_relation_",
    ];
    const PARTS: [&str; 2] = ["_to_xml", "ts_stat"];
    PREFIXES.iter().any(|p| name.starts_with(p)) || PARTS.iter().any(|p| name.contains(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_carry_sql_or_reach_outside_are_not_on_the_list() {
        for name in [
            "query_to_xml",
            "table_to_xml",
            "schema_to_xml",
            "database_to_xml",
            "cursor_to_xml",
            "ts_stat",
            "ts_rewrite",
            "pg_read_file",
            "pg_ls_dir",
            "pg_notify",
            "lo_get",
            "lo_import",
            "pg_terminate_backend",
            "pg_advisory_lock",
            "pg_export_snapshot",
            "pg_sequence_last_value",
            "pg_stat_get_live_tuples",
            "current_query",
            "setval",
            "pg_logical_emit_message",
            "regclassin",
            "inet_server_addr",
            "dblink",
            "binary_upgrade_set_next_pg_type_oid",
        ] {
            assert!(!is_allowed(name), "{name}");
        }
        for name in [
            "lower",
            "count",
            "to_char",
            "sha256",
            "percentile_cont",
            "row_number",
            "jsonb_path_query",
            "now",
        ] {
            assert!(is_allowed(name), "{name}");
        }
    }
}
