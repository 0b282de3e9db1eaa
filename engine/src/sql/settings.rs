//! Which settings a client may change or read: allow-lists, default refused.

/// May this setting be SET, with what care?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Any value: harmless to enforcement.
    Free,
    /// Only a value that says what is already so (`on`, `UTF8`).
    Only(&'static [&'static str]),
    /// Only the name of an object without a schema, or of PostgreSQL's own: another schema's would tell whether that is there.
    Name,
    /// Accepted and put to our own value: the stamp lives there.
    Ours,
}

const UTF8: Setting = Setting::Only(&["utf8", "utf-8", "utf_8", "unicode"]);
const ON: Setting = Setting::Only(&["on", "true", "yes", "1"]);
const SETTINGS: [(&str, Setting); 39] = [
    ("datestyle", Setting::Free),
    ("intervalstyle", Setting::Free),
    ("timezone", Setting::Free),
    ("extra_float_digits", Setting::Free),
    ("bytea_output", Setting::Free),
    ("xmlbinary", Setting::Free),
    ("xmloption", Setting::Free),
    ("statement_timeout", Setting::Free),
    ("lock_timeout", Setting::Free),
    ("idle_in_transaction_session_timeout", Setting::Free),
    ("transaction_timeout", Setting::Free),
    ("client_min_messages", Setting::Free),
    ("lc_monetary", Setting::Free),
    ("lc_numeric", Setting::Free),
    ("lc_time", Setting::Free),
    ("jit", Setting::Free),
    ("plan_cache_mode", Setting::Free),
    ("default_transaction_isolation", Setting::Free),
    ("default_transaction_read_only", Setting::Free),
    ("default_transaction_deferrable", Setting::Free),
    ("transaction_isolation", Setting::Free),
    ("transaction_read_only", Setting::Free),
    ("transaction_deferrable", Setting::Free),
    ("synchronize_seqscans", Setting::Free),
    ("quote_all_identifiers", Setting::Free),
    ("enable_seqscan", Setting::Free),
    ("enable_nestloop", Setting::Free),
    ("enable_hashjoin", Setting::Free),
    ("enable_mergejoin", Setting::Free),
    ("cursor_tuple_fraction", Setting::Free),
    ("escape_string_warning", Setting::Free),
    ("default_text_search_config", Setting::Name),
    ("seed", Setting::Free),
    ("client_encoding", UTF8),
    ("names", UTF8),
    ("standard_conforming_strings", ON),
    // Off never shows more: PostgreSQL raises an error where row security would leave rows out.
    ("row_security", Setting::Free),
    ("check_function_bodies", ON),
    ("application_name", Setting::Ours),
];

/// Looks a setting up; names are case-insensitive.
#[must_use]
pub fn setting(name: &str) -> Option<Setting> {
    SETTINGS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, setting)| *setting)
}

/// Settings that may be read beside those that may be set.
const READ_ONLY: [&str; 22] = [
    "block_size",
    "default_table_access_method",
    "default_tablespace",
    "in_hot_standby",
    "integer_datetimes",
    "is_superuser",
    "lc_collate",
    "lc_ctype",
    "max_connections",
    "max_identifier_length",
    "max_index_keys",
    "max_prepared_transactions",
    "password_encryption",
    "role",
    "search_path",
    "server_encoding",
    "server_version",
    "server_version_num",
    "session_authorization",
    "ssl",
    "wal_level",
    "work_mem",
];

/// May this setting be shown?
#[must_use]
pub fn may_show(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    setting(&lower).is_some() || READ_ONLY.contains(&lower.as_str())
}

/// Names of all settings that may be shown, for the stand-in of `current_setting` in the warehouse.
pub fn shown() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|(name, _)| *name).chain(READ_ONLY)
}

/// Settings that may be set, each with the values that are allowed where not all are, for the stand-in of `set_config`.
pub fn settable() -> impl Iterator<Item = (&'static str, Option<&'static [&'static str]>)> {
    SETTINGS.iter().filter_map(|(name, setting)| match setting {
        Setting::Free => Some((*name, None)),
        Setting::Only(values) => Some((*name, Some(*values))),
        Setting::Name | Setting::Ours => None,
    })
}

/// Does this value of a [`Setting::Name`] say no schema but PostgreSQL's own?
#[must_use]
pub fn is_plain_name(value: &str) -> bool {
    !value.strip_prefix("pg_catalog.").unwrap_or(value).contains('.')
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
        let Some(Setting::Only(same)) = setting("client_encoding") else { panic!("the encoding is ours") };
        for (value, kept) in
            [("UNICODE", true), ("utf_8", true), ("UTF16", false), ("utf", false), ("SQL_ASCII", false)]
        {
            assert_eq!(says(value, same), kept, "{value}");
        }
        assert!(!says("GBK", &["utf8", "utf-8"]));
        for (value, plain) in
            [("english", true), ("pg_catalog.simple", true), ("vault.cfg", false), ("\"vault\".cfg", false)]
        {
            assert_eq!(is_plain_name(value), plain, "{value}");
        }
        assert!(!may_show("data_directory"));
        assert!(!may_show("all"));
        let settable: Vec<_> = settable().collect();
        assert!(settable.contains(&("timezone", None)));
        for (name, values) in settable {
            assert!(
                setting(name).is_some() && name != "application_name" && values.is_none_or(|v| !v.is_empty())
            );
        }
    }
}
