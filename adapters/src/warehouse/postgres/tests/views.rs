//! Catalog and preparation.

use lanyard_engine::catalog::RelationKind;

use super::*;

#[tokio::test]
async fn the_catalog_is_what_the_owner_can_read() -> Outcome {
    let shop = Shop::open("catalog").await?;
    shop.dba()
        .await?
        .batch_execute(
            "CREATE SCHEMA other; CREATE TABLE other.unreadable (a int); CREATE TABLE public.later (a int);
             REVOKE ALL ON public.later FROM lanyard_owner;
             CREATE VIEW public.v AS SELECT 1 AS one; GRANT SELECT ON public.v TO lanyard_owner;
             CREATE TABLE public.pairs (a int, b int, c int, PRIMARY KEY (c, a)); ALTER TABLE public.pairs DROP COLUMN b;
             ALTER TABLE public.pairs ENABLE ROW LEVEL SECURITY; GRANT SELECT ON public.pairs TO lanyard_owner;
             GRANT SELECT ON other.unreadable TO lanyard_owner",
        )
        .await?;
    let catalog = shop.warehouse.catalog().await?;
    let names: Vec<String> = catalog.relations.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["public.customer_orders", "public.pairs", "public.payroll", "public.v"]);
    let relation = |name: &str| catalog.relations.get(&RelationName::new("public", name)).expect("listed");
    let orders = relation("customer_orders");
    assert_eq!(orders.oid, shop.oid("public.customer_orders").await?);
    assert_eq!((orders.kind, relation("v").kind), (RelationKind::Table, RelationKind::View));
    let columns: Vec<_> = orders
        .columns
        .iter()
        .map(|c| (c.name.as_str(), c.number, c.type_sql.as_str(), c.category, c.not_null))
        .collect();
    assert_eq!(
        columns,
        [
            ("order_id", 1, "integer", 'N', true),
            ("lastname", 2, "text", 'S', false),
            ("region", 3, "text", 'S', true),
            ("order_total", 4, "numeric(12,2)", 'N', true),
            ("mood", 5, "public.mood", 'E', false),
        ]
    );
    let pairs = relation("pairs");
    assert_eq!(pairs.primary_key, ["c", "a"]);
    assert_eq!(pairs.columns.iter().map(|c| c.number).collect::<Vec<_>>(), [1, 3]);
    assert!(pairs.row_security && !orders.row_security);
    Ok(())
}

#[tokio::test]
async fn preparing_twice_or_at_once_builds_once() -> Outcome {
    let shop = Shop::open("prepare").await?;
    let dba = shop.dba().await?;
    let access = shop.orders(&[Operation::Read]).await?;
    let (oid, view) = (access.oid, access.view.name.clone());
    let entitlement = entitlement("prepare", vec![access]);
    let other = connect(&shop.endpoint(), "another node").await?;
    let (one, two, three) = tokio::join!(
        shop.warehouse.prepare(&entitlement),
        shop.warehouse.prepare(&entitlement),
        other.prepare(&entitlement),
    );
    let (one, two, three) = (one?, two?, three?);
    assert!(Arc::ptr_eq(&one, &two));
    assert_eq!(one, three);
    let identity = one.views.values().next().expect("one view");
    assert_eq!((identity.base_oid, identity.columns.as_slice()), (oid, [1, 2, 3, 4].as_slice()));

    let state = async || -> Result<Vec<String>, Box<dyn Error>> {
        let sql = "SELECT concat_ws(' ', c.oid, c.xmin, relname, reloptions, relowner::regrole, relacl) FROM pg_class c
                     WHERE relnamespace = 'lanyard_secured'::regnamespace
                   UNION ALL SELECT concat_ws(' ', xmin, r) FROM lanyard.bundle_relation r
                   UNION ALL SELECT concat_ws(' ', xmin, c) FROM lanyard.bundle_column c
                   UNION ALL SELECT concat_ws(' ', xmin, k) FROM lanyard.mask_key k ORDER BY 1";
        Ok(dba.query(sql, &[]).await?.iter().map(|r| r.get(0)).collect())
    };
    let before = state().await?;
    assert_eq!(before.len(), 1 + 1 + 4 + 1, "{before:#?}");
    assert!(before.iter().any(|line| line.contains(&view) && line.contains("security_barrier=true")));
    shop.warehouse.forget(&entitlement.fingerprint);
    assert_eq!(shop.warehouse.prepare(&entitlement).await?, one);
    assert_eq!(before, state().await?, "the second time nothing is written");

    let pads = dba.query_one("SELECT inner_pad, outer_pad FROM lanyard.mask_key", &[]).await?;
    let (inner, outer): (Vec<u8>, Vec<u8>) = (pads.get(0), pads.get(1));
    assert!(inner.iter().zip(&outer).all(|(i, o)| i ^ 0x36 == o ^ 0x5c));
    assert!(inner[32..].iter().all(|b| *b == 0x36) && inner[..32].iter().any(|b| *b != 0x36));
    let hex: String = inner[..32].iter().map(|b| format!("{b:02x}")).collect();
    assert!(!shop.server.log()?.contains(&hex));
    Ok(())
}

#[tokio::test]
async fn what_changed_since_the_catalog_was_read_is_named() -> Outcome {
    let shop = Shop::open("changed").await?;
    let dba = shop.dba().await?;
    let mut access = shop.orders(&[Operation::Read]).await?;
    access.oid += 100_000;
    let swapped = shop.warehouse.prepare(&entitlement("changed", vec![access])).await;
    assert!(
        matches!(&swapped, Err(WarehouseError::Changed { relation, .. }) if relation.name == "customer_orders"),
        "{swapped:?}"
    );

    dba.batch_execute("ALTER TABLE public.customer_orders RENAME COLUMN region TO area").await?;
    let access = shop.orders(&[Operation::Read]).await?;
    let renamed = shop.warehouse.prepare(&entitlement("changed", vec![access])).await;
    assert!(
        matches!(&renamed, Err(WarehouseError::Changed { what, .. }) if what.contains("region")),
        "{renamed:?}"
    );

    let access = shop.orders(&[Operation::Read]).await?;
    dba.batch_execute("DROP TABLE public.customer_orders").await?;
    let gone = shop.warehouse.prepare(&entitlement("changed", vec![access])).await;
    assert!(matches!(gone, Err(WarehouseError::Changed { .. })), "{gone:?}");
    let left = dba
        .query_one(
            "SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = 'lanyard_secured'::regnamespace)
                  + (SELECT count(*) FROM lanyard.bundle_relation) + (SELECT count(*) FROM lanyard.mask_key)",
            &[],
        )
        .await?;
    assert_eq!(left.get::<_, i64>(0), 0, "a failed preparation leaves nothing");
    Ok(())
}

#[tokio::test]
async fn a_swapped_table_gets_its_view_anew() -> Outcome {
    let shop = Shop::open("swapped").await?;
    let dba = shop.dba().await?;
    let before = shop.orders(&[Operation::Read]).await?;
    let first = shop.warehouse.prepare(&entitlement("swapped", vec![before])).await?;
    dba.batch_execute(
        "BEGIN; CREATE TABLE public.fresh (LIKE public.customer_orders INCLUDING ALL);
         INSERT INTO public.fresh (order_id, region) VALUES (77, 'US-EAST');
         ALTER TABLE public.customer_orders RENAME TO stale; ALTER TABLE public.fresh RENAME TO customer_orders;
         GRANT SELECT ON public.customer_orders TO lanyard_owner; COMMIT",
    )
    .await?;
    let after = shop.orders(&[Operation::Read]).await?;
    let (oid, view) = (after.oid, after.view.name.clone());
    let entitlement = entitlement("swapped", vec![after]);
    let second = shop.warehouse.prepare(&entitlement).await?;
    assert_ne!(first, second);
    assert!(second.views.values().all(|v| v.base_oid == oid));
    let lease = lease(&second.bundle)?;
    let login = shop.warehouse.vend(&lease).await?;
    let mut session = shop.warehouse.open(&login, &[]).await?;
    let rows = ask(&mut session, &format!("SELECT order_id FROM lanyard_secured.{view}")).await?;
    assert_eq!(rows, [[Some("77".to_owned())]]);
    shop.warehouse.end(&lease.role).await?;
    Ok(())
}

#[tokio::test]
async fn views_that_are_not_what_they_should_be_are_refused() -> Outcome {
    let shop = Shop::open("odd_views").await?;
    let dba = shop.dba().await?;
    let oid = shop.oid("public.customer_orders").await?;
    let id = [("order_id", 1, true)];
    let of = |select: &str, columns: &[(&str, i16, bool)]| {
        access("customer_orders", oid, &[Operation::Read], select, true, columns)
    };
    let good = "SELECT t.order_id FROM public.customer_orders AS t";
    let mut named = of(good, &id);
    named.view.name = "v_0; DROP TABLE public.payroll".into();
    let two = of(&format!("{good}; DROP TABLE public.payroll"), &id);
    let cases = [
        (named, None),
        (two, Some("42601")),
        (of("SELECT nonsense FROM public.customer_orders", &id), Some("42703")),
        (of("SELECT 1 AS order_id", &id), None),
        (
            of(
                "SELECT t.order_id FROM public.payroll AS p, public.customer_orders AS t",
                &[("order_id", 1, true), ("lastname", 2, true)],
            ),
            None,
        ),
        (of("SELECT t.order_id AS other FROM public.customer_orders AS t", &id), None),
        (of("SELECT a.rolpassword AS order_id FROM pg_authid AS a, public.customer_orders AS t", &id), None),
    ];
    for (access, sqlstate) in cases {
        let select = access.view.select_sql.clone();
        let refused = shop.warehouse.prepare(&entitlement("odd_views", vec![access])).await;
        let error = refused.expect_err(&select);
        assert!(matches!(error, WarehouseError::View { .. }), "{select}: {error:?}");
        if sqlstate.is_some() {
            assert_eq!(error.sqlstate(), sqlstate, "{select}");
        }
    }
    // One of the right name made by somebody else is not taken for ours.
    let access = of(good, &id);
    dba.batch_execute(&format!("CREATE VIEW lanyard_secured.{} AS {good}", access.view.name)).await?;
    let refused = shop.warehouse.prepare(&entitlement("odd_views", vec![access])).await;
    assert!(matches!(refused, Err(WarehouseError::View { .. })), "{refused:?}");
    dba.batch_execute("TABLE public.payroll").await?;
    Ok(())
}

#[tokio::test]
async fn rights_that_were_taken_away_are_granted_again() -> Outcome {
    let shop = Shop::open("regrant").await?;
    let dba = shop.dba().await?;
    let access = shop.orders(&[Operation::Read]).await?;
    let view = access.view.name.clone();
    let entitlement = entitlement("regrant", vec![access]);
    let prepared = shop.warehouse.prepare(&entitlement).await?;
    let holds = async || -> Result<(bool, bool), Box<dyn Error>> {
        let sql = format!(
            "SELECT has_table_privilege('{0}', 'lanyard_secured.{view}', 'SELECT'),
                    has_any_column_privilege('{0}', 'lanyard_secured.{view}', 'UPDATE')",
            prepared.bundle
        );
        let row = dba.query_one(&sql, &[]).await?;
        Ok((row.get(0), row.get(1)))
    };
    for change in ["REVOKE SELECT ON {view} FROM {bundle}", "GRANT UPDATE (region) ON {view} TO {bundle}"] {
        let sql = change
            .replace("{view}", &format!("lanyard_secured.{view}"))
            .replace("{bundle}", &prepared.bundle);
        dba.batch_execute(&sql).await?;
        assert_ne!(holds().await?, (true, false));
        shop.warehouse.forget(&entitlement.fingerprint);
        shop.warehouse.prepare(&entitlement).await?;
        assert_eq!(holds().await?, (true, false), "{sql}");
    }
    Ok(())
}

/// Collects until that many bundles and views are gone. On a busy server one look may find a lock that is held for longer than a look waits:
/// that is left for the next, as in service.
async fn collect_all(
    shop: &Shop,
    keep: &HashSet<Fingerprint>,
    bundles: usize,
    views: usize,
) -> Result<Collected, Box<dyn Error>> {
    let mut all = Collected::default();
    for _ in 0..20 {
        let collected = shop.warehouse.collect(keep).await?;
        all.bundles.extend(collected.bundles);
        all.views.extend(collected.views);
        if all.bundles.len() >= bundles && all.views.len() >= views {
            break;
        }
    }
    all.bundles.sort();
    Ok(all)
}

#[tokio::test]
async fn garbage_is_what_nobody_needs() -> Outcome {
    let shop = Shop::open("garbage").await?;
    let dba = shop.dba().await?;
    let writable = shop.orders(&[Operation::Read, Operation::Write]).await?;
    let oid = writable.oid;
    let one = |n: u32| {
        let select = format!("SELECT t.order_id FROM public.customer_orders AS t WHERE t.order_id = {n}");
        access("customer_orders", oid, &[Operation::Read], &select, true, &[("order_id", 1, true)])
    };
    let (kept, leased) = (entitlement("kept", vec![one(1)]), entitlement("leased", vec![one(2)]));
    let (read, unused) = (entitlement("read", vec![one(3)]), entitlement("unused", vec![writable]));
    let mut prepared = Vec::new();
    for entitlement in [&kept, &leased, &read, &unused] {
        prepared.push(shop.warehouse.prepare(entitlement).await?);
    }
    let lease = lease(&prepared[1].bundle)?;
    shop.warehouse.vend(&lease).await?;
    let view = read.iter().next().expect("one").view.name.clone();
    dba.batch_execute(&format!("BEGIN; TABLE lanyard_secured.{view}")).await?;

    let keep = HashSet::from([kept.fingerprint]);
    let first = collect_all(&shop, &keep, 2, 1).await?;
    let mut bundles = vec![prepared[2].bundle.clone(), prepared[3].bundle.clone()];
    bundles.sort();
    assert_eq!(first.bundles, bundles);
    assert_eq!(first.views, [unused.iter().next().expect("one").view.name.clone()], "the read one is busy");
    dba.batch_execute("COMMIT").await?;
    shop.warehouse.end(&lease.role).await?;
    let second = collect_all(&shop, &keep, 1, 2).await?;
    assert_eq!(second.bundles, [prepared[1].bundle.clone()]);
    assert_eq!(second.views.len(), 2);
    assert_eq!(shop.warehouse.collect(&keep).await?, Collected::default());
    let left = dba
        .query(
            "SELECT DISTINCT bundle::text FROM lanyard.bundle_relation UNION SELECT DISTINCT bundle::text FROM lanyard.bundle_column",
            &[],
        )
        .await?;
    assert_eq!(left.iter().map(|r| r.get(0)).collect::<Vec<&str>>(), [prepared[0].bundle.as_str()]);
    // What was collected is made again when it is needed again.
    let again = shop.warehouse.prepare(&unused).await?;
    assert_eq!(again.bundle, prepared[3].bundle);

    // The builder itself cannot drop a bundle that is in use.
    let lease = super::lease(&again.bundle)?;
    shop.warehouse.vend(&lease).await?;
    let login = Login::new("lanyard_builder", Secret::new(BUILDER_PASSWORD));
    let builder = client_of(&shop.endpoint(), &login).await?;
    let used =
        builder.execute("SELECT lanyard.drop_bundle($1::text)", &[&again.bundle]).await.expect_err("in use");
    assert_eq!(used.code().map(|c| c.code()), Some("55006"));
    shop.warehouse.end(&lease.role).await?;
    Ok(())
}
