//! Which settings a client may change or read: allow-lists, default refused.

/// May this setting be SET, with what care?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Any value: harmless to enforcement.
    Free,
    /// Only a value that says what is already so (`on`, `UTF8`).
    Only(&'static [&'static str]),
    /// Accepted and put to our own value: the stamp lives there.
    Ours,
}

/// Looks a setting up; names are case-insensitive.
#[must_use]
pub fn setting(name: &str) -> Option<Setting> {
    let name = name.to_ascii_lowercase();
    Some(match name.as_str() {
        "datestyle"
        | "intervalstyle"
        | "timezone"
        | "extra_float_digits"
        | "bytea_output"
        | "xmlbinary"
        | "xmloption"
        | "statement_timeout"
        | "lock_timeout"
        | "idle_in_transaction_session_timeout"
        | "transaction_timeout"
        | "client_min_messages"
        | "lc_messages"
        | "lc_monetary"
        | "lc_numeric"
        | "lc_time"
        | "jit"
        | "plan_cache_mode"
        | "default_transaction_isolation"
        | "default_transaction_read_only"
        | "default_transaction_deferrable"
        | "transaction_isolation"
        | "transaction_read_only"
        | "transaction_deferrable"
        | "synchronize_seqscans"
        | "quote_all_identifiers"
        | "enable_seqscan"
        | "enable_nestloop"
        | "enable_hashjoin"
        | "enable_mergejoin"
        | "cursor_tuple_fraction"
        | "escape_string_warning"
        | "default_text_search_config"
        | "seed" => Setting::Free,
        "client_encoding" | "names" => Setting::Only(&["utf8", "utf-8", "unicode"]),
        "standard_conforming_strings" | "row_security" | "check_function_bodies" => {
            Setting::Only(&["on", "true", "yes", "1"])
        }
        "application_name" => Setting::Ours,
        _ => return None,
    })
}

/// May this setting be shown?
#[must_use]
pub fn may_show(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    setting(&lower).is_some()
        || matches!(
            lower.as_str(),
            "server_version"
                | "server_version_num"
                | "server_encoding"
                | "integer_datetimes"
                | "in_hot_standby"
                | "is_superuser"
                | "search_path"
                | "max_identifier_length"
                | "max_index_keys"
                | "lc_collate"
                | "lc_ctype"
                | "block_size"
                | "work_mem"
                | "role"
                | "session_authorization"
                | "password_encryption"
                | "default_tablespace"
                | "default_table_access_method"
                | "wal_level"
                | "ssl"
                | "max_connections"
        )
}

/// Is this value one of those allowed, in the spellings drivers use (`'utf-8'`, `"UTF8"`)?
#[must_use]
pub fn says(value: &str, allowed: &[&str]) -> bool {
    let bare = value.trim().trim_matches(|c| matches!(c, '\'' | '"'));
    allowed.iter().any(|a| bare.eq_ignore_ascii_case(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_move_identity_or_parsing_are_refused() {
        for name in [
            "role",
            "session_authorization",
            "search_path",
            "session_replication_role",
            "log_statement",
            "local_preload_libraries",
            "temp_tablespaces",
            "dynamic_library_path",
            "backslash_quote",
            "lanyard.user",
            "array_nulls",
        ] {
            assert_eq!(setting(name), None, "{name}");
        }
        assert_eq!(setting("TimeZone"), Some(Setting::Free));
        assert!(says("'utf-8'", &["utf8", "utf-8"]));
        assert!(!says("GBK", &["utf8", "utf-8"]));
        assert!(!may_show("data_directory"));
        assert!(!may_show("all"));
    }
}
