//! What the virtual catalog answers: which relations of `pg_catalog` and `information_schema`, and which functions, have a
//! stand-in that shows only what a session's bundle may query.
//!
//! Names only; the adapter that builds the stand-ins tests that these lists and the warehouse agree. What is not listed
//! must be refused like a relation that does not exist: there is no way to PostgreSQL's own catalog. The SQL judge asks
//! for every catalog name in a statement.

use crate::names::{CATALOG_SCHEMA, INFORMATION_SCHEMA};

/// The schema whose relation of the same name stands in for `schema.name`, or `None` when it is not answered.
///
/// Names are as PostgreSQL stores them (folded, unquoted). What tells of rows, roles or files is missing on purpose
/// (`pg_statistic`, `pg_authid`, `pg_shadow`, `pg_hba_file_rules`).
#[must_use]
pub fn relation(schema: &str, name: &str) -> Option<&'static str> {
    let (names, stand_in) = match schema {
        "pg_catalog" => (CATALOG_RELATIONS, CATALOG_SCHEMA),
        "information_schema" => (INFORMATION_RELATIONS, INFORMATION_SCHEMA),
        _ => return None,
    };
    names.binary_search(&name).is_ok().then_some(stand_in)
}

/// The schema whose function of the same name stands in for `pg_catalog.name`, or `None` when PostgreSQL's own is meant.
///
/// A stand-in takes every argument list that PostgreSQL's takes; where that is `regclass`, it takes `oid` and `text`.
/// `None` says nothing about whether the function may be called.
#[must_use]
pub fn function(name: &str) -> Option<&'static str> {
    FUNCTIONS.binary_search(&name).is_ok().then_some(CATALOG_SCHEMA)
}

/// Every relation that [`relation`] answers, as (schema, name).
pub fn relations() -> impl Iterator<Item = (&'static str, &'static str)> {
    let catalog = CATALOG_RELATIONS.iter().map(|name| ("pg_catalog", *name));
    let information = INFORMATION_RELATIONS.iter().map(|name| ("information_schema", *name));
    catalog.chain(information)
}

/// Every function that [`function`] answers.
pub fn functions() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().copied()
}

/// Of `pg_catalog`, sorted by byte. Some exist on newer majors only.
const CATALOG_RELATIONS: &[&str] = &[
    "pg_aggregate",
    "pg_am",
    "pg_amop",
    "pg_amproc",
    "pg_attrdef",
    "pg_attribute",
    "pg_auth_members",
    "pg_cast",
    "pg_class",
    "pg_collation",
    "pg_constraint",
    "pg_conversion",
    "pg_cursors",
    "pg_database",
    "pg_db_role_setting",
    "pg_default_acl",
    "pg_depend",
    "pg_description",
    "pg_enum",
    "pg_event_trigger",
    "pg_extension",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_foreign_table",
    "pg_group",
    "pg_index",
    "pg_indexes",
    "pg_inherits",
    "pg_init_privs",
    "pg_language",
    "pg_largeobject_metadata",
    "pg_locks",
    "pg_matviews",
    "pg_namespace",
    "pg_opclass",
    "pg_operator",
    "pg_opfamily",
    "pg_parameter_acl",
    "pg_partitioned_table",
    "pg_policies",
    "pg_policy",
    "pg_prepared_statements",
    "pg_prepared_xacts",
    "pg_proc",
    "pg_publication",
    "pg_publication_namespace",
    "pg_publication_rel",
    "pg_publication_tables",
    "pg_range",
    "pg_rewrite",
    "pg_roles",
    "pg_rules",
    "pg_seclabel",
    "pg_seclabels",
    "pg_sequence",
    "pg_sequences",
    "pg_settings",
    "pg_shdepend",
    "pg_shdescription",
    "pg_shseclabel",
    "pg_stat_activity",
    "pg_stat_all_indexes",
    "pg_stat_all_tables",
    "pg_stat_user_functions",
    "pg_stat_user_indexes",
    "pg_stat_user_tables",
    "pg_statio_all_tables",
    "pg_statio_user_sequences",
    "pg_statio_user_tables",
    "pg_statistic_ext",
    "pg_stats",
    "pg_stats_ext",
    "pg_stats_ext_exprs",
    "pg_subscription",
    "pg_subscription_rel",
    "pg_tables",
    "pg_tablespace",
    "pg_timezone_abbrevs",
    "pg_timezone_names",
    "pg_transform",
    "pg_trigger",
    "pg_ts_config",
    "pg_ts_config_map",
    "pg_ts_dict",
    "pg_ts_parser",
    "pg_ts_template",
    "pg_type",
    "pg_user",
    "pg_user_mappings",
    "pg_views",
];

/// Of `information_schema`, sorted by byte.
const INFORMATION_RELATIONS: &[&str] = &[
    "administrable_role_authorizations",
    "applicable_roles",
    "attributes",
    "character_sets",
    "check_constraint_routine_usage",
    "check_constraints",
    "collation_character_set_applicability",
    "collations",
    "column_column_usage",
    "column_domain_usage",
    "column_options",
    "column_privileges",
    "column_udt_usage",
    "columns",
    "constraint_column_usage",
    "constraint_table_usage",
    "data_type_privileges",
    "domain_constraints",
    "domain_udt_usage",
    "domains",
    "element_types",
    "enabled_roles",
    "foreign_data_wrapper_options",
    "foreign_data_wrappers",
    "foreign_server_options",
    "foreign_servers",
    "foreign_table_options",
    "foreign_tables",
    "information_schema_catalog_name",
    "key_column_usage",
    "parameters",
    "referential_constraints",
    "role_column_grants",
    "role_routine_grants",
    "role_table_grants",
    "role_udt_grants",
    "role_usage_grants",
    "routine_column_usage",
    "routine_privileges",
    "routine_routine_usage",
    "routine_sequence_usage",
    "routine_table_usage",
    "routines",
    "schemata",
    "sequences",
    "sql_features",
    "sql_implementation_info",
    "sql_sizing",
    "table_constraints",
    "table_privileges",
    "tables",
    "transforms",
    "triggered_update_columns",
    "triggers",
    "udt_privileges",
    "usage_privileges",
    "user_defined_types",
    "user_mapping_options",
    "user_mappings",
    "view_column_usage",
    "view_routine_usage",
    "view_table_usage",
    "views",
];

/// Of `pg_catalog`, sorted by byte.
const FUNCTIONS: &[&str] = &[
    "acldefault",
    "col_description",
    "current_schema",
    "current_schemas",
    "current_setting",
    "format_type",
    "has_any_column_privilege",
    "has_column_privilege",
    "has_database_privilege",
    "has_function_privilege",
    "has_schema_privilege",
    "has_sequence_privilege",
    "has_table_privilege",
    "has_type_privilege",
    "obj_description",
    "pg_collation_is_visible",
    "pg_column_is_updatable",
    "pg_conversion_is_visible",
    "pg_database_size",
    "pg_filenode_relation",
    "pg_function_is_visible",
    "pg_get_constraintdef",
    "pg_get_expr",
    "pg_get_function_arg_default",
    "pg_get_function_arguments",
    "pg_get_function_identity_arguments",
    "pg_get_function_result",
    "pg_get_function_sqlbody",
    "pg_get_functiondef",
    "pg_get_indexdef",
    "pg_get_partition_constraintdef",
    "pg_get_partkeydef",
    "pg_get_replica_identity_index",
    "pg_get_ruledef",
    "pg_get_serial_sequence",
    "pg_get_statisticsobjdef",
    "pg_get_statisticsobjdef_columns",
    "pg_get_statisticsobjdef_expressions",
    "pg_get_triggerdef",
    "pg_get_userbyid",
    "pg_get_viewdef",
    "pg_has_role",
    "pg_index_column_has_property",
    "pg_index_has_property",
    "pg_indexes_size",
    "pg_opclass_is_visible",
    "pg_operator_is_visible",
    "pg_opfamily_is_visible",
    "pg_partition_ancestors",
    "pg_partition_root",
    "pg_partition_tree",
    "pg_relation_filenode",
    "pg_relation_filepath",
    "pg_relation_is_publishable",
    "pg_relation_is_updatable",
    "pg_relation_size",
    "pg_statistics_obj_is_visible",
    "pg_table_is_visible",
    "pg_table_size",
    "pg_tablespace_location",
    "pg_tablespace_size",
    "pg_total_relation_size",
    "pg_ts_config_is_visible",
    "pg_ts_dict_is_visible",
    "pg_ts_parser_is_visible",
    "pg_ts_template_is_visible",
    "pg_type_is_visible",
    "regclass",
    "row_security_active",
    "set_config",
    "shobj_description",
    "to_regclass",
    "to_regnamespace",
    "to_regproc",
    "to_regprocedure",
    "to_regrole",
    "to_regtype",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_without_repeats() {
        for names in [CATALOG_RELATIONS, INFORMATION_RELATIONS, FUNCTIONS] {
            assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn answered() {
        assert_eq!(relation("pg_catalog", "pg_class"), Some("lanyard_catalog"));
        assert_eq!(relation("information_schema", "columns"), Some("lanyard_information_schema"));
        assert_eq!(function("pg_table_is_visible"), Some("lanyard_catalog"));
        for (schema, name) in relations() {
            assert!(relation(schema, name).is_some());
        }
        for name in functions() {
            assert!(function(name).is_some());
        }
    }

    #[test]
    fn not_answered() {
        for name in [
            "pg_statistic",
            "pg_statistic_ext_data",
            "pg_stat_statements",
            "pg_authid",
            "pg_shadow",
            "pg_hba_file_rules",
            "pg_ident_file_mappings",
            "pg_file_settings",
            "pg_largeobject",
            "pg_user_mapping",
            "pg_stat_replication",
            "pg_backend_memory_contexts",
            "PG_CLASS",
            "_relation",
            "_seen",
            "",
        ] {
            assert_eq!(relation("pg_catalog", name), None, "{name}");
        }
        for schema in ["public", "lanyard", "lanyard_catalog", "pg_toast", "PG_CATALOG", ""] {
            assert_eq!(relation(schema, "pg_class"), None, "{schema}");
        }
        assert_eq!(relation("information_schema", "pg_class"), None);
        assert_eq!(relation("information_schema", "_pg_foreign_tables"), None);
        for name in ["lower", "_visible", "_resolve", "pg_stat_get_live_tuples", "pg_read_file", ""] {
            assert_eq!(function(name), None, "{name}");
        }
    }
}
