//! What a vended role reaches when it sends SQL of its own, unrewritten: its views and nothing else.

use super::*;

#[tokio::test]
async fn a_vended_role_reads_its_view_and_nothing_else() -> Outcome {
    let shop = Shop::open("floor").await?;
    let access = shop.orders(&[Operation::Read]).await?;
    let view = access.view.name.clone();
    let prepared = shop.warehouse.prepare(&entitlement("floor", vec![access])).await?;
    let lease = lease(&prepared.bundle)?;
    let login = shop.warehouse.vend(&lease).await?;
    assert_eq!(login.user, lease.role.as_str());
    let mut session =
        shop.warehouse.open(&login, &[("application_name", "lanyard:test"), ("user", "postgres")]).await?;

    let rows =
        ask(&mut session, &format!("SELECT lastname, region FROM lanyard_secured.{view} ORDER BY order_id"))
            .await?;
    let row = || vec![Some("REDACTED".to_owned()), Some("US-EAST".to_owned())];
    assert_eq!(rows, [row(), row()]);
    let who = ask(&mut session, "SELECT session_user, current_user, current_setting('search_path')").await?;
    let me = Some(lease.role.as_str().to_owned());
    assert_eq!(who, [[me.clone(), me, Some("public, pg_temp".into())]]);

    let role = lease.role.as_str();
    let refused = [
        ("TABLE public.customer_orders", "42501"),
        ("SELECT count(*) FROM public.customer_orders", "42501"),
        ("SELECT 1 FROM public.payroll", "42501"),
        ("TABLE lanyard.session_attribute", "42501"),
        ("TABLE lanyard.mask_key", "42501"),
        ("TABLE lanyard.lease", "42501"),
        ("TABLE lanyard.bundle_relation", "42501"),
        ("INSERT INTO lanyard.session_attribute VALUES (session_user, 'user.region', 'US-WEST')", "42501"),
        ("SET ROLE lanyard_owner", "42501"),
        ("SET ROLE lanyard_definer", "42501"),
        ("SET ROLE postgres", "42501"),
        ("SET SESSION AUTHORIZATION lanyard_owner", "42501"),
        ("SET SESSION AUTHORIZATION postgres", "42501"),
        ("CREATE ROLE other", "42501"),
        ("GRANT lanyard_owner TO CURRENT_USER", "42501"),
        ("CREATE TABLE lanyard_secured.t ()", "42501"),
        ("CREATE TABLE lanyard_catalog.t ()", "42501"),
        ("CREATE VIEW lanyard.t AS SELECT 1", "42501"),
        ("SELECT nextval('public.customer_orders_order_id_seq')", "42501"),
        ("SELECT lanyard.create_bundle('lanyard_bundle_00000000000000000000000000000000')", "42501"),
        ("SELECT pg_read_file('/etc/passwd')", "42501"),
        ("COPY public.customer_orders TO STDOUT", "42501"),
        ("SELECT rolpassword FROM pg_authid", "42501"),
        ("SELECT stavalues1 FROM pg_statistic", "42501"),
    ];
    for (sql, sqlstate) in refused {
        assert_eq!(state_of(&mut session, sql).await, sqlstate, "{sql}");
    }
    for sql in [
        format!("INSERT INTO lanyard_secured.{view} (region) VALUES ('US-EAST')"),
        format!("UPDATE lanyard_secured.{view} SET region = 'US-WEST'"),
        format!("DELETE FROM lanyard_secured.{view}"),
        format!("GRANT SELECT ON lanyard_secured.{view} TO PUBLIC"),
        format!("SELECT lanyard.vend('{role}', '{}', '', now(), 1, '', '{{}}')", prepared.bundle),
        format!("SELECT lanyard.terminate('{role}')"),
        format!("SELECT lanyard.leftovers('{}')", shop.database),
    ] {
        // A GRANT of what one does not hold is a warning; whether it took is asked below.
        let state = state_of(&mut session, &sql).await;
        assert!(state == "42501" || sql.starts_with("GRANT"), "{sql}: {state}");
    }
    let public = format!("SELECT has_table_privilege('public', 'lanyard_secured.{view}', 'SELECT')");
    assert_eq!(ask(&mut session, &public).await?, [[Some("f".to_owned())]]);

    // Nothing of all this changed who the session is.
    ask(&mut session, "RESET ROLE; RESET SESSION AUTHORIZATION; DISCARD ALL")
        .await
        .expect_err("DISCARD ALL is refused in a transaction block");
    for sql in ["RESET ROLE", "RESET SESSION AUTHORIZATION", "DISCARD ALL"] {
        ask(&mut session, sql).await?;
    }
    let rows = ask(&mut session, &format!("SELECT lastname FROM lanyard_secured.{view}")).await?;
    assert_eq!(rows.len(), 2);
    let who =
        ask(&mut session, "SELECT session_user = current_user AND current_user LIKE 'LANYARD_VENDED_7_1_%'")
            .await?;
    assert_eq!(who, [[Some("t".to_owned())]]);
    shop.warehouse.end(&lease.role).await?;
    Ok(())
}

#[tokio::test]
async fn filters_stand_against_functions_pushed_below_them() -> Outcome {
    let shop = Shop::open("barrier").await?;
    let oid = shop.oid("public.customer_orders").await?;
    let select = "SELECT t.order_id, t.lastname FROM public.customer_orders AS t WHERE t.region = 'US-EAST'";
    let columns = [("order_id", 1, true), ("lastname", 2, true)];
    let access = access("customer_orders", oid, &[Operation::Read], select, true, &columns);
    let view = access.view.name.clone();
    let prepared = shop.warehouse.prepare(&entitlement("barrier", vec![access])).await?;
    let lease = lease(&prepared.bundle)?;
    let login = shop.warehouse.vend(&lease).await?;
    let mut session = shop.warehouse.open(&login, &[]).await?;
    // Casting a hidden name to a number would show it in the error's text.
    let sql = format!(
        "SELECT order_id FROM lanyard_secured.{view} WHERE lastname NOT LIKE '%o%' AND lastname::int = 1"
    );
    assert_eq!(state_of(&mut session, &sql).await, "22P02");
    let sql = format!(
        "SELECT 1 FROM lanyard_secured.{view} WHERE 1 / (length(lastname) - length('SECRETNAME')) > 5"
    );
    assert_eq!(state_of(&mut session, &sql).await, "00000");
    shop.warehouse.end(&lease.role).await?;
    Ok(())
}

#[tokio::test]
async fn writes_stay_in_sight_and_off_masked_columns() -> Outcome {
    let shop = Shop::open("writes").await?;
    let access = shop.orders(&[Operation::Read, Operation::Write]).await?;
    let view = format!("lanyard_secured.{}", access.view.name);
    let prepared = shop.warehouse.prepare(&entitlement("writes", vec![access])).await?;
    let lease = lease(&prepared.bundle)?;
    let login = shop.warehouse.vend(&lease).await?;
    let mut session = shop.warehouse.open(&login, &[]).await?;
    let hole = shop.warehouse.inner.hole;
    let update = if hole == UpsertHole::Open { "42501" } else { "00000" };
    let cases = [
        (format!("INSERT INTO {view} (region, order_total) VALUES ('US-EAST', 5)"), "00000"),
        (format!("INSERT INTO {view} (region) VALUES ('US-WEST')"), "44000"),
        (format!("INSERT INTO {view} (region, lastname) VALUES ('US-EAST', 'x')"), "0A000"),
        (format!("UPDATE {view} SET order_total = 6 WHERE order_total = 5"), update),
        (format!("UPDATE {view} SET lastname = 'x'"), "0A000"),
        (format!("DELETE FROM {view} WHERE order_total = 999"), "00000"),
        (format!("DELETE FROM {view} WHERE order_id > 3"), "00000"),
        (format!("TRUNCATE {view}"), "42809"),
        ("INSERT INTO public.customer_orders (region) VALUES ('US-EAST')".to_owned(), "42501"),
        ("DELETE FROM public.customer_orders".to_owned(), "42501"),
        ("SELECT setval('public.customer_orders_order_id_seq', 1)".to_owned(), "42501"),
    ];
    for (sql, sqlstate) in &cases {
        assert_eq!(state_of(&mut session, sql).await, *sqlstate, "{sql}");
    }
    if hole == UpsertHole::Closed {
        let sql = format!("UPDATE {view} SET region = 'US-WEST'");
        assert_eq!(state_of(&mut session, &sql).await, "44000", "{sql}");
    }
    // The hidden row is moved by no upsert, whatever this server does with them.
    let upsert = format!(
        "INSERT INTO {view} (order_id, region) VALUES (3, 'US-EAST') ON CONFLICT (order_id) DO UPDATE SET region = 'US-EAST'"
    );
    assert_ne!(state_of(&mut session, &upsert).await, "00000");
    let rows =
        shop.dba().await?.query("SELECT region FROM public.customer_orders ORDER BY order_id", &[]).await?;
    let regions: Vec<&str> = rows.iter().map(|r| r.get(0)).collect();
    assert_eq!(regions, ["US-EAST", "US-EAST", "US-WEST"]);
    shop.warehouse.end(&lease.role).await?;
    Ok(())
}
