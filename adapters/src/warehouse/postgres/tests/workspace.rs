//! Workspaces on the floor: logged in as vended roles, without any rewriter in front.

use lanyard_engine::entitlement::Leftovers;
use lanyard_engine::workspace::Workspace;

use super::*;

/// A session of this agent and user, with or without a workspace.
async fn session(
    shop: &Shop,
    bundle: &str,
    (agent, user): (u32, u32),
    leftovers: Option<Leftovers>,
) -> Result<(Lease, Client), Box<dyn Error>> {
    let number = |n: u32| if n == 0 { Ok(None) } else { ShortId::new(n).map(Some) };
    let (agent, user) = (number(agent)?, number(user)?);
    let role = RoleName::of(agent, user, SessionId::from_u128(uuid::Uuid::new_v4().as_u128()));
    let workspace = leftovers.map(|leftovers| Workspace::of(agent, user, None, leftovers));
    let lease = Lease { role, workspace, ..lease(bundle)? };
    let login = shop.warehouse.vend(&lease).await?;
    let client = client_of(&shop.endpoint(), &login).await?;
    Ok((lease, client))
}

async fn open(name: &str) -> Result<(Shop, String), Box<dyn Error>> {
    let shop = Shop::open(name).await?;
    // Vended roles may make temporary tables by their workspace alone.
    let revoke = format!("REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC");
    shop.dba().await?.batch_execute(&revoke).await?;
    let access = shop.orders(&[Operation::Read]).await?;
    let prepared = shop.warehouse.prepare(&entitlement(name, vec![access])).await?;
    Ok((shop, prepared.bundle.clone()))
}

/// SQLSTATE of each statement, empty where it ran.
async fn states(client: &Client, statements: &[&str]) -> Vec<String> {
    let mut states = Vec::new();
    for sql in statements {
        let state = match client.batch_execute(sql).await {
            Ok(()) => String::new(),
            Err(error) => error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()),
        };
        states.push(state);
    }
    states
}

#[tokio::test]
async fn a_workspace_is_its_pairs_and_nobody_elses() -> Outcome {
    let (shop, bundle) = open("workspaces").await?;
    let kept = Some(Leftovers::Kept);
    let (first_lease, first) = session(&shop, &bundle, (0, 1), kept).await?;
    let (second_lease, second) = session(&shop, &bundle, (0, 1), kept).await?;
    let made = states(
        &first,
        &[
            "CREATE TABLE workspace_0_1.t (id serial PRIMARY KEY, a int)",
            "INSERT INTO workspace_0_1.t (a) VALUES (1)",
            "CREATE TYPE workspace_0_1.mood AS ENUM ('a')",
            "CREATE VIEW workspace_0_1.v AS SELECT a FROM workspace_0_1.t",
            "CREATE TEMP TABLE brief (a int)",
        ],
    )
    .await;
    assert_eq!(made, [""; 5]);
    let owners = "SELECT DISTINCT r.rolname::text FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
                  WHERE c.relnamespace = 'workspace_0_1'::regnamespace
                  UNION SELECT r.rolname FROM pg_type t JOIN pg_roles r ON r.oid = t.typowner WHERE t.typname = 'mood'
                    AND t.typnamespace = 'workspace_0_1'::regnamespace";
    let owners = shop.dba().await?.query(owners, &[]).await?;
    assert!(owners.len() == 1 && owners[0].get::<_, &str>(0) == "lanyard_workspace_0_1", "{owners:?}");
    let shared = states(
        &second,
        &[
            "INSERT INTO workspace_0_1.t (a) VALUES (2)",
            "ALTER TABLE workspace_0_1.t ADD COLUMN b workspace_0_1.mood",
            "DROP VIEW workspace_0_1.v",
            "SELECT * FROM brief",
        ],
    )
    .await;
    assert_eq!(shared, ["", "", "", "42P01"]);

    // Another user, the same user's agent, and a session without the right.
    for (pair, leftovers) in
        [((0, 2), kept), ((7, 1), kept), ((7, 1), Some(Leftovers::Dropped)), ((0, 1), None)]
    {
        let (lease, other) = session(&shop, &bundle, pair, leftovers).await?;
        let refused = states(
            &other,
            &[
                "SELECT * FROM workspace_0_1.t",
                "INSERT INTO workspace_0_1.t (a) VALUES (1)",
                "DROP TABLE workspace_0_1.t",
                "CREATE TABLE workspace_0_1.x (a int)",
                "ALTER TYPE workspace_0_1.mood ADD VALUE 'x'",
                "DROP SCHEMA workspace_0_1 CASCADE",
                "SET ROLE lanyard_workspace_0_1",
                "CREATE TABLE public.x (a int)",
            ],
        )
        .await;
        assert_eq!(refused, ["42501"; 8], "{pair:?}");
        let temporary = states(&other, &["CREATE TEMP TABLE x (a int)"]).await;
        assert_eq!(temporary, [if leftovers.is_some() { "" } else { "42501" }], "{pair:?}");
        drop(other);
        shop.warehouse.end(&lease.role).await?;
    }
    drop((first, second));
    shop.warehouse.end(&first_lease.role).await?;
    shop.warehouse.end(&second_lease.role).await?;
    let (lease, again) = session(&shop, &bundle, (0, 1), kept).await?;
    assert_eq!(
        states(&again, &["SELECT b FROM workspace_0_1.t", "DROP TABLE workspace_0_1.t"]).await,
        ["", ""]
    );
    drop(again);
    shop.warehouse.end(&lease.role).await?;
    Ok(())
}

#[tokio::test]
async fn a_session_with_a_workspace_gains_nothing_else() -> Outcome {
    let (shop, bundle) = open("workspace_floor").await?;
    let (lease, client) = session(&shop, &bundle, (0, 11), Some(Leftovers::Kept)).await?;
    let view =
        client.query_one("SELECT relname FROM pg_class WHERE relname ~ '^v_[0-9a-f]{32}$'", &[]).await?;
    let view = format!("lanyard_secured.{}", view.get::<_, &str>(0));
    let refused = [
        // The schema is not theirs.
        "DROP SCHEMA workspace_0_11".to_owned(),
        "ALTER SCHEMA workspace_0_11 RENAME TO mine".into(),
        "CREATE SCHEMA mine".into(),
        "GRANT lanyard_workspace_0_11 TO lanyard_vendor".into(),
        "GRANT lanyard_workspace TO lanyard_vendor".into(),
        // Base tables hold no rights for it, not even for a foreign key.
        "CREATE TABLE workspace_0_11.f (a int REFERENCES public.customer_orders)".into(),
        "CREATE TABLE workspace_0_11.f (LIKE public.payroll)".into(),
        "CREATE TABLE workspace_0_11.f AS SELECT * FROM public.payroll".into(),
        "CREATE TABLE workspace_0_11.f PARTITION OF public.payroll DEFAULT".into(),
        "SELECT lanyard.open_workspace('LANYARD_VENDED_0_11_00000000000000000000000000000000', 'workspace_0_1')".into(),
        "SELECT lanyard.close_workspace('scratch_0_1')".into(),
        "DROP EVENT TRIGGER lanyard_after_ddl".into(),
        "ALTER EVENT TRIGGER lanyard_after_ddl DISABLE".into(),
    ];
    let statements: Vec<&str> = refused.iter().map(String::as_str).collect();
    let states_of = statements.iter().zip(states(&client, &statements).await);
    // A table that is not partitioned is told before the right to it.
    let wrong: Vec<_> =
        states_of.filter(|(_, state)| !["42501", "42809"].contains(&state.as_str())).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    // PostgreSQL warns, and grants nothing.
    assert_eq!(states(&client, &["GRANT USAGE ON SCHEMA workspace_0_11 TO PUBLIC"]).await, [""]);
    let public = "SELECT has_schema_privilege('lanyard_vendor', 'workspace_0_11', 'USAGE')";
    assert!(!shop.dba().await?.query_one(public, &[]).await?.get::<_, bool>(0));
    // What is kept hangs on nothing of Lanyard's, and prints no names.
    let hanging = [
        format!("CREATE VIEW workspace_0_11.v AS SELECT * FROM {view}"),
        format!("CREATE TABLE workspace_0_11.v AS SELECT x FROM {view} x"),
        format!("CREATE TABLE workspace_0_11.v (x {view})"),
        format!("CREATE TABLE workspace_0_11.v (x {view}[])"),
        format!("CREATE DOMAIN workspace_0_11.v AS {view}"),
        format!("CREATE TYPE workspace_0_11.v AS (x {view})"),
        format!("CREATE MATERIALIZED VIEW workspace_0_11.v AS SELECT order_id FROM {view}"),
        "CREATE TABLE workspace_0_11.v (x text DEFAULT lanyard_catalog.current_setting('search_path'))"
            .into(),
        "CREATE VIEW workspace_0_11.v AS TABLE lanyard_catalog.pg_class".into(),
        "CREATE TEMP VIEW v AS TABLE lanyard_catalog.pg_class".into(),
        "CREATE TABLE workspace_0_11.v (x regclass)".into(),
        "CREATE TEMP TABLE v (x regrole[])".into(),
        "CREATE TEMP TABLE v (x aclitem)".into(),
        "CREATE TYPE workspace_0_11.v AS (x regproc)".into(),
        "CREATE DOMAIN workspace_0_11.v AS regtype".into(),
    ];
    let statements: Vec<&str> = hanging.iter().map(String::as_str).collect();
    let states_of = statements.iter().zip(states(&client, &statements).await);
    let wrong: Vec<_> = states_of.filter(|(_, state)| state != "0A000").collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let altered = states(
        &client,
        &[
            "CREATE TABLE workspace_0_11.t (a int)",
            "ALTER TABLE workspace_0_11.t ADD COLUMN x regclass",
            "ALTER TABLE workspace_0_11.t ALTER COLUMN a TYPE regclass",
            &format!("ALTER TABLE workspace_0_11.t ADD COLUMN x {view}"),
            "ALTER TABLE workspace_0_11.t ADD CHECK (lanyard_catalog.pg_table_is_visible(a::oid))",
            "CREATE TEMP TABLE x (a regclass)",
        ],
    )
    .await;
    assert_eq!(altered, ["", "0A000", "0A000", "0A000", "0A000", "0A000"]);
    // The pair's role holds the workspace and nothing else: becoming it loses the views.
    let becoming = states(
        &client,
        &["SET ROLE lanyard_workspace_0_11", &format!("TABLE {view}"), "SELECT * FROM workspace_0_11.t"],
    )
    .await;
    assert_eq!(becoming, ["", "42501", ""]);
    drop(client);
    shop.warehouse.end(&lease.role).await?;
    Ok(())
}

#[tokio::test]
async fn leftovers_end_with_the_last_lease_or_stay() -> Outcome {
    let (shop, bundle) = open("workspace_ends").await?;
    let dba = shop.dba().await?;
    let there = async |name: &str| -> Result<bool, Box<dyn Error>> {
        Ok(dba.query_one("SELECT to_regclass($1::text) IS NOT NULL", &[&name]).await?.get(0))
    };
    let dropped = Some(Leftovers::Dropped);
    let (first_lease, first) = session(&shop, &bundle, (0, 21), dropped).await?;
    let (second_lease, second) = session(&shop, &bundle, (0, 21), dropped).await?;
    assert_eq!(states(&first, &["CREATE TABLE scratch_0_21.t (a int)"]).await, [""]);
    drop(first);
    shop.warehouse.end(&first_lease.role).await?;
    assert!(there("scratch_0_21.t").await?);
    assert_eq!(states(&second, &["SELECT * FROM scratch_0_21.t"]).await, [""]);
    drop(second);
    shop.warehouse.end(&second_lease.role).await?;
    assert!(!there("scratch_0_21.t").await?);
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'scratch_0_21'";
    assert_eq!(dba.query_one(schemas, &[]).await?.get::<_, i64>(0), 0);

    // Where the DBA switched the event trigger off, the end hands over what the session still owns.
    dba.batch_execute("ALTER EVENT TRIGGER lanyard_after_ddl DISABLE").await?;
    let (lease, client) = session(&shop, &bundle, (0, 22), Some(Leftovers::Kept)).await?;
    assert_eq!(states(&client, &["CREATE TABLE workspace_0_22.t (a int)"]).await, [""]);
    dba.batch_execute("ALTER EVENT TRIGGER lanyard_after_ddl ENABLE").await?;
    drop(client);
    shop.warehouse.end(&lease.role).await?;
    let owner = "SELECT relowner::regrole::text FROM pg_class WHERE oid = 'workspace_0_22.t'::regclass";
    assert_eq!(dba.query_one(owner, &[]).await?.get::<_, &str>(0), "lanyard_workspace_0_22");
    let members = "SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
                   WHERE r.rolname = 'lanyard_workspace_0_22' AND coalesce((to_jsonb(m) ->> 'inherit_option')::bool, true)";
    assert_eq!(dba.query_one(members, &[]).await?.get::<_, i64>(0), 0, "nobody is left inside");
    Ok(())
}

#[tokio::test]
async fn vend_takes_no_workspace_but_the_pairs_own() -> Outcome {
    let (shop, bundle) = open("workspace_vend").await?;
    let dba = shop.dba().await?;
    dba.batch_execute("CREATE SCHEMA workspace_0_31; CREATE SCHEMA owned_by_dba").await?;
    let vendor =
        client_of(&shop.endpoint(), &Login::new("lanyard_vendor", Secret::new(VENDOR_PASSWORD))).await?;
    let verifier = format!("SCRAM-SHA-256$1:{0}==${1}=:{1}=", "a".repeat(22), "b".repeat(43));
    let sql = "SELECT lanyard.vend($1, $2, $3, now() + interval '1 minute', 1, 'n', '{}', $4)";
    for (workspace, state) in [
        ("workspace_0_31", "42P06"),
        ("workspace_0_32", "22023"),
        ("workspace_31_0", "22023"),
        ("scratch_0_311", "22023"),
        ("owned_by_dba", "22023"),
        ("public", "22023"),
        ("lanyard", "22023"),
        ("pg_catalog", "22023"),
        ("workspace_0_31_", "22023"),
        ("workspace_0_31_0123456789ABCDEF", "22023"),
        ("workspace_0_31; DROP", "22023"),
        ("", "22023"),
    ] {
        let role =
            RoleName::of(None, Some(ShortId::new(31)?), SessionId::from_u128(uuid::Uuid::new_v4().as_u128()));
        let error = vendor.execute(sql, &[&role.as_str(), &bundle, &verifier, &workspace]).await;
        let found = error.err().and_then(|e| e.code().map(|code| code.code().to_owned()));
        assert_eq!(found.as_deref(), Some(state), "{workspace:?}");
        let left = dba
            .query_one("SELECT count(*) FROM pg_roles WHERE rolname = $1::text", &[&role.as_str()])
            .await?;
        assert_eq!(left.get::<_, i64>(0), 0, "{workspace:?}");
    }
    // Nor may the vendor do any of it by itself.
    let refused = states(
        &vendor,
        &[
            "SELECT lanyard.open_workspace('LANYARD_VENDED_0_1_00000000000000000000000000000000', 'workspace_0_1')",
            "SELECT lanyard.hand_over('LANYARD_VENDED_0_1_00000000000000000000000000000000', 'workspace_0_1')",
            "SELECT lanyard.close_workspace('scratch_0_1')",
            "CREATE SCHEMA x",
            "SET ROLE lanyard_workspace",
            "SET ROLE lanyard_definer",
        ],
    )
    .await;
    assert_eq!(refused, ["42501"; 6]);
    Ok(())
}

#[tokio::test]
async fn other_peoples_tables_are_made_as_ever() -> Outcome {
    let (shop, _) = open("workspace_others").await?;
    let dba = shop.dba().await?;
    dba.batch_execute(
        "CREATE TABLE public.plain (id serial PRIMARY KEY, r regclass);
         CREATE VIEW public.over AS SELECT * FROM public.plain;
         ALTER TABLE public.plain ADD COLUMN a int;
         CREATE TYPE public.m AS ENUM ('a');
         CREATE ROLE workspace_other_dba; GRANT CREATE ON SCHEMA public TO workspace_other_dba;
         SET ROLE workspace_other_dba; CREATE TABLE public.theirs AS SELECT 1 AS a; RESET ROLE",
    )
    .await?;
    let owner = "SELECT relowner::regrole::text FROM pg_class WHERE oid = 'public.theirs'::regclass";
    assert_eq!(dba.query_one(owner, &[]).await?.get::<_, &str>(0), "workspace_other_dba");
    dba.batch_execute("DROP OWNED BY workspace_other_dba; DROP ROLE workspace_other_dba").await?;
    // A second bootstrap changes nothing and loses nothing.
    super::super::bootstrap(&shop.endpoint(), &shop.server.dba(), &options()).await?;
    dba.batch_execute("CREATE TABLE public.after_all (a int)").await?;
    Ok(())
}
