//! Vending, ending, reaping.

use std::collections::HashSet;

use tokio_postgres::types::ToSql;

use super::*;

async fn shop_with_bundle(name: &str) -> Result<(Shop, String), Box<dyn Error>> {
    let shop = Shop::open(name).await?;
    let access = shop.orders(&[Operation::Read]).await?;
    let prepared = shop.warehouse.prepare(&entitlement(name, vec![access])).await?;
    Ok((shop, prepared.bundle.clone()))
}

async fn exists(dba: &Client, role: &str) -> Result<bool, Box<dyn Error>> {
    let sql = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1::text)
                   OR EXISTS (SELECT FROM lanyard.lease WHERE role = $1::text)
                   OR EXISTS (SELECT FROM lanyard.session_attribute WHERE role = $1::text)";
    Ok(dba.query_one(sql, &[&role]).await?.get(0))
}

#[tokio::test]
async fn a_vended_role_has_exactly_its_rights() -> Outcome {
    let (shop, bundle) = shop_with_bundle("exactly").await?;
    let lease = lease(&bundle)?;
    let login = shop.warehouse.vend(&lease).await?;
    let dba = shop.dba().await?;
    let role = lease.role.as_str();
    let row = dba
        .query_one(
            "SELECT concat_ws(' ', rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolcanlogin,
                              rolconnlimit, rolvaliduntil > now() + interval '9 min', rolpassword ~ '^SCRAM-SHA-256\\$1:')
             FROM pg_authid WHERE rolname = $1::text",
            &[&role],
        )
        .await?;
    assert_eq!(row.get::<_, &str>(0), "f f f f f t 2 t t");
    let groups = dba
        .query(
            "SELECT m.roleid::regrole::text, to_jsonb(m) ->> 'set_option', m.admin_option
             FROM pg_auth_members m WHERE m.member = (SELECT oid FROM pg_roles WHERE rolname = $1::text) ORDER BY 1",
            &[&role],
        )
        .await?;
    let names: Vec<&str> = groups.iter().map(|r| r.get(0)).collect();
    assert_eq!(names, [bundle.as_str(), "lanyard_session"]);
    for group in &groups {
        assert_ne!(group.get::<_, Option<&str>>(1), Some("true"), "SET must be off where it exists");
        assert!(!group.get::<_, bool>(2));
    }
    let rights = dba
        .query(
            // The virtual catalog is every session's; beyond it there is the one view.
            "SELECT c.oid::regclass::text FROM pg_class c, aclexplode(c.relacl) a
             WHERE a.grantee IN (SELECT oid FROM pg_roles WHERE rolname IN ($1::text, $2::text, 'lanyard_session'))
               AND c.relnamespace::regnamespace::text NOT IN ('lanyard_catalog', 'lanyard_information_schema')",
            &[&role, &bundle],
        )
        .await?;
    assert!(rights.len() == 1 && rights[0].get::<_, &str>(0).starts_with("lanyard_secured.v_"), "{rights:?}");
    assert!(!shop.server.log()?.contains(login.password.expose()));
    shop.warehouse.end(&lease.role).await?;
    Ok(())
}

#[tokio::test]
async fn vend_refuses_what_is_not_a_lease() -> Outcome {
    let (shop, bundle) = shop_with_bundle("not_a_lease").await?;
    let good = lease(&bundle)?;
    let minute = Duration::from_secs(60);
    let now = SystemTime::now();
    let bad = [
        Lease { bundle: "lanyard_bundle_ffffffffffffffffffffffffffffffff".into(), ..good.clone() },
        Lease { bundle: "lanyard_owner".into(), ..good.clone() },
        Lease { bundle: "pg_execute_server_program".into(), ..good.clone() },
        Lease { bundle: format!("{bundle}, lanyard_owner"), ..good.clone() },
        Lease { bundle: String::new(), ..good.clone() },
        Lease { expires: now - minute, ..good.clone() },
        Lease { expires: now + minute * 60 * 24 * 40, ..good.clone() },
        Lease { connections: 0, ..good.clone() },
        Lease { connections: u32::MAX, ..good.clone() },
    ];
    for lease in bad {
        let refused = shop.warehouse.vend(&lease).await.expect_err("not a lease");
        assert_eq!(refused.sqlstate(), Some("22023"), "{lease:?}: {refused:?}");
    }
    // Once, not twice; and a second try must not take over the first one's role.
    shop.warehouse.vend(&good).await?;
    let twice = shop.warehouse.vend(&good).await.expect_err("exists");
    assert_eq!(twice.sqlstate(), Some("42710"));

    let login = Login::new("lanyard_vendor", Secret::new(VENDOR_PASSWORD));
    let vendor = client_of(&shop.endpoint(), &login).await?;
    let role = new_role()?;
    let verifier = super::super::roles::new_secret()?.verifier;
    let hex = "0".repeat(32);
    let later = now + minute;
    let names = [
        "postgres".to_owned(),
        "lanyard_owner".to_owned(),
        String::new(),
        format!("LANYARD_VENDED_1_1_{hex}\n"),
        format!("x\nLANYARD_VENDED_1_1_{hex}"),
        format!("LANYARD_VENDED_1_1_{hex}; DROP ROLE postgres"),
        format!("LANYARD_VENDED_1_1_{}", "G".repeat(32)),
        format!("LANYARD_VENDED_01_1_{hex}"),
        format!("LANYARD_VENDED_12345678_1_{hex}"),
        format!("lanyard_vended_1_1_{hex}"),
    ];
    let verifiers = [
        String::new(),
        "password".to_owned(),
        "md5aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned(),
        verifier.replace("$1:", "$4096:"),
        format!("{verifier}'"),
        format!("{verifier}\n"),
        format!(" {verifier}"),
        format!("{verifier}' SUPERUSER --"),
    ];
    let cases = names
        .iter()
        .map(|name| (name.as_str(), verifier.as_str()))
        .chain(verifiers.iter().map(|v| (role.as_str(), v.as_str())));
    for (name, verifier) in cases {
        let sql = "SELECT lanyard.vend($1, $2, $3, $4, 1, 'n', '{}')";
        let error = vendor.execute(sql, &[&name, &bundle, &verifier, &later]).await.expect_err(name);
        assert_eq!(error.code().map(|c| c.code()), Some("22023"), "{name:?} {verifier:?}");
    }
    for (value, sqlstate) in
        [("[]", "22023"), ("null", "22023"), ("{\"k\": 1}", "22023"), ("{\"k\": {}}", "22023")]
    {
        let sql = format!("SELECT lanyard.vend($1, $2, $3, $4, 1, 'n', '{value}')");
        let error =
            vendor.execute(&sql, &[&role.as_str(), &bundle, &verifier, &later]).await.expect_err(value);
        assert_eq!(error.code().map(|c| c.code()), Some(sqlstate), "{value}: {error:?}");
    }
    for name in &names {
        for function in ["terminate", "end_lease"] {
            let sql = format!("SELECT lanyard.{function}($1::text)");
            let error = vendor.execute(&sql, &[name]).await.expect_err(name);
            assert_eq!(error.code().map(|c| c.code()), Some("22023"), "{function} {name:?}");
        }
    }
    let roles = shop.dba().await?.query("SELECT FROM pg_roles WHERE rolname LIKE '%12345678%'", &[]).await?;
    assert!(roles.is_empty());
    shop.warehouse.end(&good.role).await?;
    Ok(())
}

/// A lease and the end of its bundle at the same time, in either order: nobody gets a role whose rights are gone.
#[tokio::test]
async fn a_lease_and_the_end_of_its_bundle_exclude_each_other() -> Outcome {
    let (shop, bundle) = shop_with_bundle("exclude").await?;
    let vendor =
        client_of(&shop.endpoint(), &Login::new("lanyard_vendor", Secret::new(VENDOR_PASSWORD))).await?;
    let builder =
        client_of(&shop.endpoint(), &Login::new("lanyard_builder", Secret::new(BUILDER_PASSWORD))).await?;
    let (role, verifier) = (new_role()?, super::super::roles::new_secret()?.verifier);
    let later = SystemTime::now() + Duration::from_secs(600);
    let vend = "SELECT lanyard.vend($1, $2, $3, $4, 1, 'n', '{}')";

    // While a lease is being made, its bundle stays; garbage is left for the next time.
    vendor.batch_execute("BEGIN").await?;
    vendor.execute(vend, &[&role.as_str(), &bundle, &verifier, &later]).await?;
    assert_eq!(shop.warehouse.collect(&HashSet::new()).await?, Collected::default());
    vendor.batch_execute("COMMIT").await?;
    let dba = shop.dba().await?;
    let member = "SELECT pg_has_role($1::text, $2::text, 'MEMBER')";
    assert!(dba.query_one(member, &[&role.as_str(), &bundle]).await?.get::<_, bool>(0));
    shop.warehouse.end(&role).await?;

    // While a bundle is being dropped, nobody gets a lease on it: it waits, and hears that the bundle is gone.
    builder.batch_execute("BEGIN; SET LOCAL ROLE lanyard_owner").await?;
    let held: Vec<String> = dba
        .query("SELECT view::regclass::text FROM lanyard.bundle_relation WHERE bundle = $1::text", &[&bundle])
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();
    for view in held {
        builder.batch_execute(&format!("REVOKE ALL ON {view} FROM {bundle}")).await?;
    }
    builder.batch_execute("SET LOCAL ROLE NONE").await?;
    builder.execute("SELECT lanyard.drop_bundle($1::text)", &[&bundle]).await?;
    let role = new_role()?;
    let arguments: [&(dyn ToSql + Sync); 4] = [&role.as_str(), &bundle, &verifier, &later];
    let (refused, ended) = tokio::join!(vendor.execute(vend, &arguments), async {
        eventually("the lease waits", async || {
            let waiting =
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'lanyard.lease'::regclass";
            Ok(dba.query_one(waiting, &[]).await?.get::<_, i64>(0) == 1)
        })
        .await?;
        Ok::<(), Box<dyn Error>>(builder.batch_execute("COMMIT").await?)
    });
    ended?;
    assert_eq!(refused.expect_err("the bundle is gone").code().map(|c| c.code()), Some("22023"));
    assert!(!exists(&dba, role.as_str()).await?);
    Ok(())
}

#[tokio::test]
async fn the_end_kills_sessions_and_leaves_nothing() -> Outcome {
    let (shop, bundle) = shop_with_bundle("ending").await?;
    let dba = shop.dba().await?;
    let lease = lease(&bundle)?;
    let login = shop.warehouse.vend(&lease).await?;
    let mut busy = shop.warehouse.open(&login, &[]).await?;
    let mut idle = shop.warehouse.open(&login, &[]).await?;
    let third = shop.warehouse.open(&login, &[]).await.expect_err("two connections were leased");
    assert_eq!(third.sqlstate(), Some("53300"));
    // What it can own, it owns: a temporary table and a large object.
    ask(&mut idle, "CREATE TEMP TABLE mine (a int); SELECT lo_create(0)").await?;
    assert!(exists(&dba, lease.role.as_str()).await?);

    let running = tokio::spawn(async move { ask(&mut busy, "SELECT pg_sleep(600)").await });
    eventually("the query runs", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1::text AND wait_event = 'PgSleep'";
        Ok(dba.query_one(sql, &[&lease.role.as_str()]).await?.get::<_, i64>(0) == 1)
    })
    .await?;
    shop.warehouse.end(&lease.role).await?;
    assert_eq!(running.await?.expect_err("killed"), "57P01");
    assert!(matches!(state_of(&mut idle, "SELECT 1").await.as_str(), "57P01" | "08006"));
    assert!(!exists(&dba, lease.role.as_str()).await?);
    let refused = shop.warehouse.open(&login, &[]).await.expect_err("no role any more");
    assert_eq!(refused.sqlstate(), Some("28P01"));
    // Again, and for one that never was.
    shop.warehouse.end(&lease.role).await?;
    shop.warehouse.end(&new_role()?).await?;
    Ok(())
}

#[tokio::test]
async fn reaping_takes_what_this_node_left_and_what_is_over() -> Outcome {
    let (shop, bundle) = shop_with_bundle("reaping").await?;
    let dba = shop.dba().await?;
    let other = connect(&shop.endpoint(), "another node").await?;
    let again = connect(&shop.endpoint(), "reaping").await?;
    let (left, live, foreign, over) = (lease(&bundle)?, lease(&bundle)?, lease(&bundle)?, lease(&bundle)?);
    let login = shop.warehouse.vend(&left).await?;
    let mut session = shop.warehouse.open(&login, &[]).await?;
    again.vend(&live).await?;
    other.vend(&foreign).await?;
    other.vend(&over).await?;
    dba.execute(
        "UPDATE lanyard.lease SET expires = now() - interval '1 s' WHERE role = $1::text",
        &[&over.role.as_str()],
    )
    .await?;

    let mut expected = vec![left.role.to_string(), over.role.to_string()];
    expected.sort();
    assert_eq!(again.reap().await?, expected);
    assert_eq!(again.reap().await?, Vec::<String>::new());
    for (role, there) in [(&left, false), (&over, false), (&live, true), (&foreign, true)] {
        assert_eq!(exists(&dba, role.role.as_str()).await?, there);
    }
    assert!(matches!(state_of(&mut session, "SELECT 1").await.as_str(), "57P01" | "08006"));
    // A vend that was given up half-way is a leftover too.
    let dropped = lease(&bundle)?;
    {
        let vending = again.vend(&dropped);
        tokio::pin!(vending);
        let mut polls = 0;
        std::future::poll_fn(|cx| {
            polls += 1;
            let done = vending.as_mut().poll(cx).is_ready();
            if done || polls > 2 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }
    again.reap().await?;
    again.end(&live.role).await?;
    other.end(&foreign.role).await?;
    Ok(())
}

#[tokio::test]
async fn an_expired_lease_opens_no_session() -> Outcome {
    let (shop, bundle) = shop_with_bundle("expiry").await?;
    let lease = Lease { expires: SystemTime::now() + Duration::from_secs(3), ..lease(&bundle)? };
    let login = shop.warehouse.vend(&lease).await?;
    shop.warehouse.open(&login, &[]).await?;
    eventually("the lease is over", async || match shop.warehouse.open(&login, &[]).await {
        Ok(_) => Ok(false),
        Err(e) if e.sqlstate() == Some("53300") => Ok(false),
        Err(e) if e.sqlstate() == Some("28P01") => Ok(true),
        Err(e) => Err(e.into()),
    })
    .await?;
    assert_eq!(shop.warehouse.reap().await?, [lease.role.to_string()]);
    Ok(())
}

#[tokio::test]
async fn two_databases_of_one_server_end_only_their_own() -> Outcome {
    let (one, bundle) = shop_with_bundle("first_database").await?;
    let (two, _) = shop_with_bundle("second_database").await?;
    let lease = lease(&bundle)?;
    one.warehouse.vend(&lease).await?;
    assert_eq!(two.warehouse.reap().await?, Vec::<String>::new());
    assert!(exists(&one.dba().await?, lease.role.as_str()).await?);
    one.warehouse.end(&lease.role).await?;
    Ok(())
}

#[tokio::test]
async fn lost_connections_are_made_again() -> Outcome {
    let (shop, bundle) = shop_with_bundle("lost").await?;
    let dba = shop.dba().await?;
    for _ in 0..2 {
        let killed = dba
            .query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND usename IN ('lanyard_builder', 'lanyard_vendor')",
                &[],
            )
            .await?;
        assert!(killed.len() >= 2);
        eventually("the vendor is back", async || Ok(shop.warehouse.ping().await.is_ok())).await?;
        eventually("the builder is back", async || Ok(shop.warehouse.catalog().await.is_ok())).await?;
    }
    let lease = lease(&bundle)?;
    shop.warehouse.vend(&lease).await?;
    shop.warehouse.end(&lease.role).await?;
    Ok(())
}

#[tokio::test]
async fn who_may_see_nothing_has_a_session_all_the_same() -> Outcome {
    let shop = Shop::open("nothing").await?;
    let prepared = shop.warehouse.prepare(&entitlement("nothing", vec![])).await?;
    assert!(prepared.views.is_empty());
    let lease = lease(&prepared.bundle)?;
    let login = shop.warehouse.vend(&lease).await?;
    let mut session = shop.warehouse.open(&login, &[]).await?;
    assert_eq!(ask(&mut session, "SELECT 1").await?, [[Some("1".to_owned())]]);
    let refused = state_of(&mut session, "TABLE public.customer_orders").await;
    assert_eq!(refused, "42501");
    shop.warehouse.end(&lease.role).await?;
    Ok(())
}

#[tokio::test]
async fn more_leases_than_end_at_once_all_end() -> Outcome {
    let (shop, bundle) = shop_with_bundle("herd").await?;
    let mut roles = Vec::new();
    for _ in 0..40 {
        let lease = lease(&bundle)?;
        shop.warehouse.vend(&lease).await?;
        roles.push(lease.role);
    }
    let mut ends = tokio::task::JoinSet::new();
    for role in roles.clone() {
        let warehouse = shop.warehouse.clone();
        ends.spawn(async move { warehouse.end(&role).await });
    }
    while let Some(ended) = ends.join_next().await {
        ended??;
    }
    let dba = shop.dba().await?;
    for role in &roles {
        assert!(!exists(&dba, role.as_str()).await?, "{role}");
    }
    Ok(())
}
