//! Bootstrap: idempotent, and each login may do its own work only.

use super::*;

/// Everything a bootstrap makes, as text.
const STATE: &str = "
    SELECT concat_ws(' ', 'role', rolname, rolsuper, rolinherit, rolcreaterole, rolcanlogin, rolbypassrls) FROM pg_roles
      WHERE rolname LIKE 'lanyard\\_%' AND rolname !~ 'bundle'
    UNION ALL SELECT concat_ws(' ', 'schema', nspname, nspowner::regrole, nspacl) FROM pg_namespace
    UNION ALL SELECT concat_ws(' ', 'relation', oid, oid::regclass, relowner::regrole, relacl) FROM pg_class
      WHERE relnamespace IN ('lanyard'::regnamespace, 'public'::regnamespace)
    UNION ALL SELECT concat_ws(' ', 'function', oid, oid::regprocedure, proowner::regrole, proacl, prosecdef, proconfig)
      FROM pg_proc WHERE pronamespace = 'lanyard'::regnamespace
    UNION ALL SELECT concat_ws(' ', 'member', roleid::regrole, member::regrole, to_jsonb(m) - 'oid') FROM pg_auth_members m
      WHERE roleid::regrole::text !~ 'bundle|VENDED' AND member::regrole::text !~ 'bundle|VENDED'
    UNION ALL SELECT concat_ws(' ', 'database', datacl) FROM pg_database WHERE datname = current_database()
    ORDER BY 1";

#[tokio::test]
async fn a_second_bootstrap_changes_nothing() -> Outcome {
    let shop = Shop::open("again").await?;
    let dba = shop.dba().await?;
    let state = async || -> Result<Vec<String>, Box<dyn Error>> {
        let rows = dba.query(STATE, &[]).await?;
        Ok(rows.iter().map(|r| r.get(0)).collect())
    };
    let before = state().await?;
    assert!(before.len() > 30, "{before:#?}");
    super::super::bootstrap(&shop.endpoint(), &shop.server.dba(), &options()).await?;
    assert_eq!(before, state().await?);
    // Printed for psql, it is the same.
    dba.batch_execute(&bootstrap_sql(&options())).await?;
    assert_eq!(before, state().await?);
    assert!(!shop.server.log()?.contains("vendor $1 password"));
    Ok(())
}

#[tokio::test]
async fn bootstrap_refuses_schemas_it_does_not_own_and_leaves_nothing() -> Outcome {
    let server = Server::shared().await?;
    let dba = client_of(&server.endpoint("postgres"), &server.dba()).await?;
    dba.batch_execute("CREATE DATABASE squatted").await?;
    dba.batch_execute("CREATE ROLE squatter LOGIN PASSWORD 'squatter'").await?;
    let endpoint = server.endpoint("squatted");
    let dba = client_of(&endpoint, &server.dba()).await?;
    dba.batch_execute(
        "CREATE SCHEMA lanyard AUTHORIZATION squatter; GRANT CREATE ON DATABASE squatted TO squatter",
    )
    .await?;
    let nobody = BootstrapOptions { grant: vec!["nowhere".into()], ..options() };
    for (login, options, sqlstate) in [
        (server.dba(), options(), "42P06"),
        (Login::new("squatter", Secret::new("squatter")), options(), "42501"),
        (Login::new("postgres", Secret::new("wrong")), options(), "28P01"),
    ] {
        let refused = super::super::bootstrap(&endpoint, &login, &options).await;
        assert_eq!(refused.expect_err("refused").sqlstate(), Some(sqlstate));
    }
    dba.batch_execute("DROP SCHEMA lanyard").await?;
    let refused = super::super::bootstrap(&endpoint, &server.dba(), &nobody).await;
    assert_eq!(refused.expect_err("refused").sqlstate(), Some("3F000"));
    let left = dba.query_one("SELECT count(*) FROM pg_namespace WHERE nspname ~ 'lanyard'", &[]).await?;
    assert_eq!(left.get::<_, i64>(0), 0);
    // A database without bootstrap says so, or does not know the login at all.
    let unknown = connect(&endpoint, "squatted").await.expect_err("not bootstrapped");
    assert!(
        matches!(unknown, WarehouseError::NotBootstrapped { .. }) || unknown.sqlstate() == Some("28P01"),
        "{unknown:?}"
    );
    Ok(())
}

#[tokio::test]
async fn the_vendor_can_only_vend() -> Outcome {
    let shop = Shop::open("vendor_only").await?;
    let login = Login::new("lanyard_vendor", Secret::new(VENDOR_PASSWORD));
    let vendor = client_of(&shop.endpoint(), &login).await?;
    for sql in [
        "CREATE ROLE mine",
        "CREATE ROLE \"LANYARD_VENDED_1_1_00000000000000000000000000000000\"",
        "ALTER ROLE lanyard_builder PASSWORD 'x'",
        "GRANT lanyard_owner TO lanyard_vendor",
        "GRANT pg_execute_server_program TO lanyard_vendor",
        "SET ROLE lanyard_owner",
        "SET ROLE lanyard_definer",
        "SET SESSION AUTHORIZATION postgres",
        "SELECT * FROM public.customer_orders",
        "SELECT * FROM lanyard.lease",
        "SELECT * FROM lanyard.mask_key",
        "SELECT * FROM lanyard.session_attribute",
        "INSERT INTO lanyard.session_attribute VALUES ('x', 'user.region', 'US-WEST')",
        "CREATE TABLE lanyard.t ()",
        "CREATE VIEW lanyard_secured.v AS SELECT 1",
        "SELECT lanyard.create_bundle('lanyard_bundle_00000000000000000000000000000000')",
        "SELECT lanyard.drop_bundle('lanyard_bundle_00000000000000000000000000000000')",
    ] {
        let error = vendor.batch_execute(sql).await.expect_err(sql);
        assert_eq!(error.code().map(|c| c.code()), Some("42501"), "{sql}");
    }
    Ok(())
}

#[tokio::test]
async fn the_builder_cannot_reach_the_definers_rights() -> Outcome {
    let shop = Shop::open("builder_only").await?;
    let login = Login::new("lanyard_builder", Secret::new(BUILDER_PASSWORD));
    let builder = client_of(&shop.endpoint(), &login).await?;
    let denied = [
        "SELECT * FROM public.customer_orders",
        "CREATE ROLE mine",
        "SET ROLE lanyard_definer",
        "SET ROLE lanyard_session",
        "GRANT lanyard_owner TO lanyard_vendor",
        "SELECT lanyard.terminate('LANYARD_VENDED_1_1_00000000000000000000000000000000')",
        "SELECT lanyard.leftovers('x')",
        "SET ROLE lanyard_owner; CREATE TABLE lanyard.t ()",
        "SET ROLE lanyard_owner; DROP TABLE lanyard.lease",
        "SET ROLE lanyard_owner; DROP FUNCTION lanyard.create_bundle(text)",
        "SET ROLE lanyard_owner; CREATE FUNCTION lanyard_secured.f() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN CREATE ROLE mine; RETURN NEW; END'; \
         CREATE TRIGGER t BEFORE INSERT ON lanyard.lease EXECUTE FUNCTION lanyard_secured.f()",
        "SET ROLE lanyard_owner; CREATE RULE r AS ON DELETE TO lanyard.bundle_relation DO NOTHING",
        "SET ROLE lanyard_owner; INSERT INTO lanyard.lease VALUES ('x', 'y', 'z', now(), now())",
        "SET ROLE lanyard_owner; INSERT INTO lanyard.session_attribute VALUES ('x', 'user.region', 'US-WEST')",
        "SET ROLE lanyard_owner; UPDATE lanyard.mask_key SET id = 'x'",
        "SET ROLE lanyard_owner; GRANT SELECT ON public.customer_orders TO PUBLIC; SELECT 1/0",
    ];
    for sql in denied {
        let error = builder.batch_execute(sql).await.expect_err(sql);
        let state = error.code().map(|c| c.code().to_owned());
        // GRANT without the right to is a warning in PostgreSQL: the division says that nothing else stopped it.
        let expected = if sql.ends_with("1/0") { "22012" } else { "42501" };
        assert_eq!(state.as_deref(), Some(expected), "{sql}");
        builder.batch_execute("RESET ROLE").await?;
    }
    let exposed = shop.warehouse.public_reads(&[RelationName::new("public", "customer_orders")]).await?;
    assert_eq!(exposed, []);
    for name in [
        "lanyard_bundle_0000000000000000000000000000000",
        "lanyard_bundle_0000000000000000000000000000000G",
        "lanyard_bundle_00000000000000000000000000000000\n",
        "postgres",
        "",
    ] {
        for function in ["create_bundle", "drop_bundle"] {
            let sql = format!("SELECT lanyard.{function}($1::text)");
            let error = builder.execute(&sql, &[&name]).await.expect_err(name);
            assert_eq!(error.code().map(|c| c.code()), Some("22023"), "{function} {name:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn bundles_from_before_an_upgrade_can_be_vended_after_a_bootstrap() -> Outcome {
    let shop = Shop::open("upgraded").await?;
    let entitlement = entitlement("upgraded", vec![shop.orders(&[Operation::Read]).await?]);
    // As PostgreSQL 15 left it: made by nobody in particular.
    let bundle = format!("lanyard_bundle_{}", entitlement.fingerprint);
    shop.dba().await?.batch_execute(&format!("CREATE ROLE {bundle}")).await?;
    let prepared = shop.warehouse.prepare(&entitlement).await?;
    assert_eq!(prepared.bundle, bundle);
    super::super::bootstrap(&shop.endpoint(), &shop.server.dba(), &options()).await?;
    let lease = lease(&bundle)?;
    shop.warehouse.vend(&lease).await?;
    shop.warehouse.end(&lease.role).await?;
    Ok(())
}
