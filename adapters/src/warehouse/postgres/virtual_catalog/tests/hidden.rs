//! Hidden objects: whatever is asked about them is answered as for missing ones.

use std::collections::BTreeSet;

use tokio_postgres::Client;

use super::server::{Outcome, Server};
use super::{AGENT, ask, leak, list, refused, with_oids};

/// Its columns, and nothing of what it reads.
const VIEW_SHAPE: &str =
    " SELECT NULL::integer AS order_id,    NULL::retail.amount AS total    /* what it reads is not shown */;";

/// Expressions about what is hidden, or missing, and their answer.
const SILENT: &[(&str, &str)] = &[
    ("pg_table_is_visible('{class public.hidden_payroll}')", "-"),
    ("pg_table_is_visible('{class public.hidden_expr_idx}')", "-"),
    ("pg_table_is_visible('{class lanyard_secured.v_00000000000000000000000000000001}')", "-"),
    ("pg_table_is_visible(4000000000)", "-"),
    ("pg_type_is_visible('{type public.hidden_enum}')", "-"),
    ("format_type('{type public.hidden_payroll}', NULL)", "???"),
    ("format_type('{type public._hidden_payroll}', NULL)", "???"),
    ("format_type('{type public.hidden_composite}', -1)", "???"),
    ("format_type(4000000000, NULL)", "???"),
    ("to_regclass('hidden_payroll')", "-"),
    ("to_regclass('hidden_schema.customers')", "-"),
    ("to_regclass('lanyard.lease')", "-"),
    ("to_regclass('{class public.hidden_payroll}')", "-"),
    ("to_regclass('nothing')", "-"),
    ("to_regclass('orders')", "-"),
    ("regclass('{class public.hidden_payroll}'::oid)", "-"),
    ("to_regtype('hidden_enum')", "-"),
    ("to_regtype('public.hidden_enum')", "-"),
    ("to_regtype('hidden_schema.customers')", "-"),
    ("to_regtype('no_schema.customers')", "-"),
    ("to_regtype('hidden_payroll[]')", "-"),
    ("to_regproc('hidden_function')", "-"),
    ("to_regprocedure('public.hidden_function(integer)')", "-"),
    ("to_regnamespace('hidden_schema')", "-"),
    ("to_regnamespace('lanyard')", "-"),
    ("to_regrole('hidden_boss')", "-"),
    ("to_regrole('postgres')", "-"),
    ("pg_get_userbyid(10)", "unknown (OID=10)"),
    ("obj_description('{class public.hidden_payroll}', 'pg_class')", "-"),
    ("obj_description('{class public.hidden_payroll}')", "-"),
    ("col_description('{class public.customers}', 3)", "-"),
    ("pg_get_indexdef('{class public.hidden_expr_idx}')", "-"),
    ("pg_get_indexdef('{class public.hidden_whole_idx}', 1, true)", "-"),
    ("pg_get_indexdef('{class public.hidden_payroll_pkey}')", "-"),
    ("translate(pg_get_viewdef('{class public.big_orders}'::oid), E'\\n', '')", VIEW_SHAPE),
    ("translate(pg_get_viewdef('big_orders', true), E'\\n', '')", VIEW_SHAPE),
    ("pg_get_viewdef('customers', true)", "-"),
    ("pg_get_viewdef('{class lanyard_secured.v_00000000000000000000000000000001}'::oid)", "-"),
    ("pg_get_serial_sequence('hidden_payroll', 'id')", "-"),
    ("pg_get_partkeydef('{class public.hidden_payroll}')", "-"),
    ("pg_total_relation_size('{class public.customers}')", "-"),
    ("pg_relation_size('customers')", "-"),
    ("pg_database_size(current_database())", "-"),
    ("pg_relation_filepath('{class public.customers}')", "-"),
    ("pg_partition_root('{class public.hidden_events_2025}'::oid)", "-"),
    ("(SELECT count(*) FROM pg_partition_tree('events'))", "2"),
    ("(SELECT count(*) FROM pg_partition_ancestors('{class public.hidden_events_2025}'))", "0"),
    ("has_table_privilege('{class public.hidden_payroll}'::oid, 'SELECT')", "-"),
    ("has_column_privilege('{class public.customers}'::oid, 3::smallint, 'SELECT')", "-"),
    ("has_schema_privilege('{class public.hidden_payroll}'::oid, 'USAGE')", "-"),
    ("has_sequence_privilege('{class public.hidden_payroll_id_seq}'::oid, 'USAGE')", "-"),
    ("pg_has_role('hidden_boss', 'MEMBER')", "f"),
    ("pg_has_role('no_such_role', 'MEMBER')", "f"),
    ("pg_has_role(10, 'MEMBER')", "f"),
];

/// The same by name, where PostgreSQL raises an error.
const REFUSED: &[(&str, &str)] = &[
    ("regclass('hidden_payroll')", "42P01 relation \"hidden_payroll\" does not exist"),
    ("regclass('nothing')", "42P01 relation \"nothing\" does not exist"),
    ("has_table_privilege('hidden_payroll', 'SELECT')", "42P01 relation \"hidden_payroll\" does not exist"),
    ("has_table_privilege('public.nothing', 'SELECT')", "42P01 relation \"public.nothing\" does not exist"),
    (
        "has_column_privilege('customers', 'hidden_ssn', 'SELECT')",
        "42703 column \"hidden_ssn\" of relation does not exist",
    ),
    (
        "has_column_privilege('customers', 'nothing', 'SELECT')",
        "42703 column \"nothing\" of relation does not exist",
    ),
    ("has_schema_privilege('hidden_schema', 'USAGE')", "3F000 schema \"hidden_schema\" does not exist"),
    ("has_schema_privilege('nothing', 'USAGE')", "3F000 schema \"nothing\" does not exist"),
    ("has_database_privilege('postgres', 'CONNECT')", "3D000 database \"postgres\" does not exist"),
    (
        "has_table_privilege('hidden_boss', 'customers', 'SELECT')",
        "42704 role \"hidden_boss\" does not exist",
    ),
    ("has_table_privilege('nobody', 'customers', 'SELECT')", "42704 role \"nobody\" does not exist"),
    ("has_table_privilege('customers', 'BOGUS')", "22023 unrecognized privilege type: \"BOGUS\""),
    ("pg_relation_size('hidden_payroll')", "42P01 relation \"hidden_payroll\" does not exist"),
    ("pg_relation_size('nothing')", "42P01 relation \"nothing\" does not exist"),
];

/// Relations and a column that holds names.
const NAMED: &[(&str, &str)] = &[
    ("pg_class", "relname"),
    ("pg_attribute", "attname"),
    ("pg_type", "typname"),
    ("pg_namespace", "nspname"),
    ("pg_constraint", "conname"),
    ("pg_description", "description"),
    ("pg_enum", "enumlabel"),
    ("pg_proc", "proname"),
    ("pg_opclass", "opcname"),
    ("pg_collation", "collname"),
    ("pg_database", "datname"),
    ("pg_roles", "rolname"),
    ("pg_user", "usename"),
    ("pg_indexes", "indexname"),
    ("pg_tables", "tablename"),
    ("pg_views", "viewname"),
    ("pg_stat_user_tables", "relname"),
    ("information_schema.tables", "table_name"),
    ("information_schema.columns", "column_name"),
    ("information_schema.table_constraints", "constraint_name"),
    ("information_schema.table_privileges", "table_name"),
    ("information_schema.column_privileges", "column_name"),
];

pub(super) async fn hidden_objects_answer_like_missing_ones(server: &Server, dba: &Client) -> Outcome {
    let agent = server.connect(AGENT, "shop").await?;
    for (expression, answer) in SILENT {
        let sql = with_oids(dba, &format!("SELECT {expression}")).await?;
        assert_eq!(list(&agent, &sql).await?, *answer, "{sql}");
    }
    for (expression, answer) in REFUSED {
        assert_eq!(refused(&agent, &format!("SELECT {expression}")).await?, *answer, "{expression}");
    }
    Ok(())
}

/// A tree from one relation, read against another, would print the other's column names.
pub(super) async fn expressions_are_read_against_their_own_relation(
    server: &Server,
    dba: &Client,
) -> Outcome {
    let agent = server.connect(AGENT, "shop").await?;
    let everything = "SELECT pg_get_expr(t.tree, c.oid) FROM (
            SELECT adbin FROM pg_attrdef UNION ALL SELECT indpred FROM pg_index UNION ALL SELECT indexprs FROM pg_index
            UNION ALL SELECT conbin FROM pg_constraint UNION ALL SELECT relpartbound FROM pg_class
        ) t (tree), (SELECT generate_series(16384, {class lanyard_secured.v_00000000000000000000000000000001}) ) c (oid)";
    let sql = with_oids(dba, everything).await?;
    let printed: BTreeSet<String> = ask(&agent, &sql).await?.into_iter().flatten().collect();
    assert!(printed.contains("'EU'::text") && printed.contains("(region <> ''::text)"), "{printed:?}");
    assert!(!printed.iter().any(|text| leak(text)), "{printed:?}");
    Ok(())
}

/// A condition must never run on a row the session does not see: its error would tell.
pub(super) async fn conditions_do_not_reach_hidden_rows(server: &Server) -> Outcome {
    let agent = server.connect(AGENT, "shop").await?;
    for (relation, column) in NAMED {
        // Cheaper than any condition of the view, and it fails on what must stay unseen.
        let sql = format!(
            "SELECT count(*) FROM {relation} x
             WHERE CASE WHEN x.{column}::text ~ '^(hidden|lanyard|v_0|postgres$|x$)' THEN 1 / (length(x.{column}::text) - length(x.{column}::text)) ELSE 1 END = 1"
        );
        assert_ne!(list(&agent, &sql).await?, "0", "{relation}");
    }
    Ok(())
}
