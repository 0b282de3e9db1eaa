//! What is open is found, and nothing else.

use super::*;

#[tokio::test]
async fn a_fresh_database_has_nothing_dangerous() -> Outcome {
    let shop = Shop::open("healthy").await?;
    let builder = Login::new("lanyard_builder", Secret::new(BUILDER_PASSWORD));
    for login in [shop.server.dba(), builder] {
        let findings = super::super::doctor(&shop.endpoint(), &login).await?;
        // Roles are the server's, and the test beside this one makes a bad one.
        let dangers =
            findings.iter().filter(|f| f.severity == Severity::Danger && !f.what.contains("table_owner"));
        assert_eq!(dangers.count(), 0, "{findings:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn every_hole_is_found_and_its_fix_closes_it() -> Outcome {
    let shop = Shop::open("holes").await?;
    let dba = shop.dba().await?;
    dba.batch_execute(
        "CREATE SCHEMA hidden;
         CREATE TABLE public.a (x int, y int); CREATE TABLE public.b (x int); CREATE TABLE public.c (x int);
         CREATE TABLE public.d (x int); CREATE TABLE public.parent (x int) PARTITION BY LIST (x);
         CREATE TABLE public.child PARTITION OF public.parent FOR VALUES IN (1);
         GRANT SELECT (y) ON public.a TO PUBLIC; GRANT SELECT ON public.child TO PUBLIC; GRANT INSERT ON public.c TO PUBLIC;
         CREATE VIEW public.over_b AS SELECT * FROM public.b;
         CREATE MATERIALIZED VIEW hidden.\"Over over\" AS SELECT * FROM public.over_b;
         GRANT SELECT ON hidden.\"Over over\" TO PUBLIC;
         CREATE FUNCTION public.leak(text) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM public.d';
         GRANT CREATE ON SCHEMA public TO PUBLIC;
         CREATE ROLE table_owner LOGIN; GRANT lanyard_owner TO table_owner; ALTER TABLE public.d OWNER TO table_owner",
    )
    .await?;
    super::super::bootstrap(&shop.endpoint(), &shop.server.dba(), &options()).await?;
    let all: Vec<RelationName> = ["a", "b", "c", "d", "parent", "child", "customer_orders", "nowhere"]
        .iter()
        .map(|name| RelationName::new("public", name))
        .collect();
    let open: Vec<String> =
        shop.warehouse.public_reads(&all).await?.iter().map(ToString::to_string).collect();
    assert_eq!(open, ["public.a", "public.b", "public.child", "public.parent"]);

    let findings = super::super::doctor(&shop.endpoint(), &shop.server.dba()).await?;
    for (what, fix) in [
        ("PUBLIC can read table public.a", "REVOKE SELECT (y) ON public.a FROM PUBLIC;"),
        ("PUBLIC can read table public.child", "REVOKE SELECT ON public.child FROM PUBLIC;"),
        (
            "PUBLIC can read public.b through hidden.\"Over over\"",
            "REVOKE SELECT ON hidden.\"Over over\" FROM PUBLIC;",
        ),
        ("PUBLIC can write public.c", "REVOKE INSERT, UPDATE"),
        (
            "PUBLIC may execute SECURITY DEFINER function public.leak(text)",
            "REVOKE EXECUTE ON FUNCTION public.leak(text)",
        ),
        ("PUBLIC can create in schema public", "REVOKE CREATE ON SCHEMA public FROM PUBLIC;"),
        ("role table_owner is a member of lanyard_owner", "REVOKE lanyard_owner FROM table_owner;"),
        ("role table_owner owns 1 governed", "-- "),
    ] {
        let found = findings.iter().find(|f| f.what.starts_with(what));
        assert!(found.is_some_and(|f| f.fix.starts_with(fix)), "{what}: {findings:#?}");
    }
    for finding in &findings {
        dba.batch_execute(&finding.fix).await?;
    }
    let after = super::super::doctor(&shop.endpoint(), &shop.server.dba()).await?;
    assert!(after.iter().all(|f| f.fix.starts_with("--")), "{after:#?}");
    assert_eq!(shop.warehouse.public_reads(&all).await?, []);
    Ok(())
}
