//! What a predicate becomes on a table.

use super::{access, entitled, snapshot, values};
use crate::entitlement::RowRule;

const GRANT: &str = "policy g allow read on tables tagged Sales, Broken to everyone\n";

fn condition(predicate: &str) -> Option<String> {
    let text = format!("{GRANT}policy r show rows of tables tagged Sales where {predicate}");
    match access(&text, "casey", "public.customer_orders")?.rows {
        RowRule::All => Some("all".to_owned()),
        RowRule::Filtered { condition, .. } => Some(condition),
    }
}

const SOURCE: &str = "FROM lanyard.session_attribute AS a WHERE a.role = SESSION_USER AND a.key =";

#[test]
fn predicates_compile_to_sql_over_t() {
    for (predicate, sql) in [
        ("region = 'EU'", "(t.\"region\") = ('EU')".to_owned()),
        ("region = 'it''s \\'", "(t.\"region\") = (E'it''s \\\\')".to_owned()),
        ("true", "all".to_owned()),
        ("active", "t.\"active\"".to_owned()),
        (
            "order_total > 10 and level in (1, 2)",
            "((t.\"order_total\") > (10)) AND ((t.\"level\") IN (1, 2))".to_owned(),
        ),
        (
            "placed between '2024-01-01' and '2024-12-31'",
            "(t.\"placed\") BETWEEN ('2024-01-01') AND ('2024-12-31')".to_owned(),
        ),
        ("mood = 'happy'", "(CAST(t.\"mood\" AS pg_catalog.text)) = ('happy')".to_owned()),
        ("code like 'a%'", "(CAST(t.\"code\" AS pg_catalog.text)) LIKE 'a%'".to_owned()),
        ("left(lastname, 1) = 'A'", "(pg_catalog.left(t.\"lastname\", 1)) = ('A')".to_owned()),
        ("extra is null", "(t.\"extra\") IS NULL".to_owned()),
        (
            "region in (@user.region)",
            format!(
                "(t.\"region\") COLLATE pg_catalog.\"default\" IN (SELECT a.value {SOURCE} 'user.region')"
            ),
        ),
        (
            "@tagged(Region) = @user.region",
            format!(
                "(t.\"region\") COLLATE pg_catalog.\"default\" IN (SELECT a.value {SOURCE} 'user.region')"
            ),
        ),
        (
            "level = @user.level",
            format!(
                "(t.\"level\") IN (SELECT CASE WHEN a.key = 'user.level::integer' THEN CAST(a.value AS integer) END {SOURCE} 'user.level::integer')"
            ),
        ),
        (
            "code = @user.region",
            format!(
                "(t.\"code\") COLLATE pg_catalog.\"default\" IN (SELECT CAST(a.value AS pg_catalog.bpchar) {SOURCE} 'user.region')"
            ),
        ),
        (
            "region <> @user.region",
            format!(
                "(NOT ((t.\"region\") COLLATE pg_catalog.\"default\" IN (SELECT a.value {SOURCE} 'user.region'))) AND \
                 (EXISTS (SELECT 1 {SOURCE} 'user.region'))"
            ),
        ),
    ] {
        assert_eq!(condition(predicate).as_deref(), Some(sql.as_str()), "{predicate}");
    }
}

#[test]
fn what_does_not_compile_denies_the_table() {
    for predicate in [
        "nowhere = 1",
        "@tagged(Nowhere) = 'x'",
        "region = 5",
        "region",
        "level = 'x'",
        "level = true",
        "level > 'a'",
        "order_total = region",
        "placed = '01/02/2024'",
        "placed > '2024-02-30'",
        "seen > '2024-01-01'",
        "seen > placed",
        "extra = '{}'",
        "extra = @user.region",
        "level like '1%'",
        "lower(level) = 'x'",
        "cast(region as integer) = 1",
        "cast(placed as text) = 'x'",
        "cast(seen as date) = '2024-01-01'",
        "cast('x' as integer) = level",
        "left(region, level) = 'x'",
        "left(region, -1) = 'x'",
        "substr(region, 1.5) = 'x'",
        "coalesce(region, level) = 'x'",
        "coalesce(region, 5) = 'x'",
        "coalesce('a', 'b') = 'x'",
        "level in ('x')",
        "level between 'a' and 'b'",
        "order_total is true",
        "1 = 'x'",
    ] {
        assert_eq!(condition(predicate), None, "{predicate}");
    }
}

#[test]
fn a_missing_or_ambiguous_tagged_column_denies_even_the_excepted() {
    let text = format!(
        "{GRANT}policy r show rows of tables tagged Broken where @tagged(Region) = 'EU' for everyone except users in group hr"
    );
    assert_eq!(access(&text, "harper", "public.no_region"), None);
    assert_eq!(access(&text, "casey", "public.no_region"), None);
    assert!(access(&text, "casey", "public.customer_orders").is_some());
    let mut twice =
        snapshot(&format!("{GRANT}policy r show rows of tables tagged Sales where @tagged(PII) = 'EU'"));
    assert_eq!(entitled(&twice, "casey").iter().count(), 2);
    for relation in twice.catalog.relations.values_mut() {
        for column in &mut relation.columns {
            if column.name == "code" {
                column.tags.insert(crate::catalog::TagPath("PII.Code".into()));
            }
        }
    }
    assert_eq!(entitled(&twice, "casey").iter().count(), 1);
}

#[test]
fn empty_attributes_hide_every_row() {
    for (who, predicate) in [
        ("nobody", "region = @user.region"),
        ("nobody", "region <> @user.region"),
        ("nobody", "not (region = @user.region)"),
        ("nobody", "region = @user.region or order_total > 0"),
        ("nobody", "region in ('EU', @user.region)"),
        ("nobody", "region = @user.groups"),
        ("casey", "region = @agent.id"),
        ("casey", "region <> @agent.certified"),
        // 'x' is no number and counts as absent; nothing is left.
        ("riley", "level = @user.level"),
        ("taylor", "seen = @user.level"),
    ] {
        let text = format!("{GRANT}policy r show rows of tables tagged Sales where {predicate}");
        let snapshot = snapshot(&text);
        let entitlement = entitled(&snapshot, who);
        let access = entitlement.access("public", "customer_orders").expect("granted");
        let RowRule::Filtered { condition, .. } = &access.rows else {
            panic!("{predicate}: not filtered");
        };
        assert_eq!(condition, "FALSE", "{who} {predicate}");
        assert!(entitlement.session_attributes.is_empty(), "{who} {predicate}");
        assert!(access.view.barrier);
    }
}

#[test]
fn session_attributes_are_exactly_those_a_view_reads() {
    for (who, predicate, keys) in [
        ("harper", "region = @user.region", vec![("user.region", vec!["US-EAST", "US-WEST"])]),
        ("taylor", "level = @user.level", vec![("user.level::integer", vec!["7"])]),
        ("taylor", "order_total = @user.level", vec![("user.level::numeric", vec!["7"])]),
        ("taylor", "region = @user.id", vec![("user.id", vec!["taylor"])]),
        ("harper", "region = @user.groups", vec![("user.groups", vec!["analysts", "hr"])]),
        (
            "marketing-agent~taylor",
            "region in (@agent.id, @user.id)",
            vec![("agent.id", vec!["marketing-agent"]), ("user.id", vec!["taylor"])],
        ),
        ("taylor", "region = 'EU'", vec![]),
    ] {
        let snapshot =
            snapshot(&format!("{GRANT}policy r show rows of tables tagged Sales where {predicate}"));
        let entitlement = entitled(&snapshot, who);
        assert_eq!(values(&entitlement), keys.into_iter().collect(), "{who} {predicate}");
    }
}

#[test]
fn two_regions_share_one_view() {
    let snapshot =
        snapshot(&format!("{GRANT}policy r show rows of tables tagged Sales where region = @user.region"));
    let (riley, casey, harper, nobody) = (
        entitled(&snapshot, "riley"),
        entitled(&snapshot, "casey"),
        entitled(&snapshot, "harper"),
        entitled(&snapshot, "nobody"),
    );
    assert_eq!(riley.fingerprint, casey.fingerprint);
    assert_eq!(riley.fingerprint, harper.fingerprint);
    assert_eq!(riley.relations, harper.relations);
    assert_ne!(riley.session_attributes, casey.session_attributes);
    assert_ne!(riley.fingerprint, nobody.fingerprint);
    for access in riley.iter() {
        assert!(!access.view.select_sql.contains("US-EAST"));
    }
}
