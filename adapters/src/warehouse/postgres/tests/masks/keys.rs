//! Keys: who reaches them, what undoes a mask, and rotation.

use lanyard_engine::policy::encrypting;

use super::*;

const PEOPLE: &str = "
    CREATE TABLE public.people (id int PRIMARY KEY, name text, mail varchar(90), ref uuid);
    INSERT INTO public.people VALUES (1, 'Smith', 'Smith', '00112233-4455-6677-8899-aabbccddeeff'), (2, '', NULL, NULL),
      (3, 'Łódź, 日本 and a name that is longer than a block of sixteen bytes', 'x', '00112233-4455-6677-8899-aabbccddeeff');
    CREATE TABLE public.orders (name text); INSERT INTO public.orders VALUES ('Smith');";
const REVERSIBLE: &str = "policy m mask columns named name, mail with reversible(\"my.key\")";
const TOKEN: &str = "policy m mask columns named name, mail, ref with token";

impl Stage {
    async fn unmask(&self, masked: &str) -> Result<Option<String>, Box<dyn Error>> {
        let dba = self.shop.dba().await?;
        Ok(dba.query_one("SELECT lanyard.unmask($1)", &[&masked]).await?.try_get(0)?)
    }
}

#[tokio::test]
async fn reversible_is_undone_through_rotations_until_its_key_is_retired() -> Outcome {
    let stage = Stage::open("mask_reversible", PEOPLE).await?;
    let sql = "SELECT name, mail FROM {view} ORDER BY id";
    let first = stage.rows("taylor", REVERSIBLE, "people", sql).await?;
    assert_eq!(
        first,
        stage.rows("riley", REVERSIBLE, "people", sql).await?,
        "equal values are equal for everyone"
    );
    assert!(first[0][0].as_deref().is_some_and(|v| v.starts_with("my.key.1.")), "{first:?}");
    assert_eq!(first[0][0], first[0][1]);
    assert_eq!(first[1][1], None);
    let names = ["Smith", "", "Łódź, 日本 and a name that is longer than a block of sixteen bytes"];
    for (row, name) in first.iter().zip(names) {
        let masked = row[0].clone().expect("not null");
        assert_eq!(stage.unmask(&masked).await?.as_deref(), Some(name));
        // A changed character, another version, another key: nothing, and no error.
        for (place, old) in masked.char_indices() {
            let new = if old == 'A' { 'B' } else { 'A' };
            let forged = format!("{}{new}{}", &masked[..place], &masked[place + old.len_utf8()..]);
            assert_eq!(stage.unmask(&forged).await?, None, "{forged}");
        }
        for forged in
            [masked.replace(".1.", ".2."), format!("{masked}A"), masked[..masked.len() - 1].to_owned()]
        {
            assert_eq!(stage.unmask(&forged).await?, None, "{forged}");
        }
    }
    for nonsense in [
        "",
        ".",
        "my.key.1.",
        "my.key.0.AAAA",
        "my.key.99999999999.AAAA",
        "my.key.1.====",
        "my.key.1.\u{1F600}",
    ] {
        assert_eq!(stage.unmask(nonsense).await?, None, "{nonsense}");
    }

    let warehouse = &stage.shop.warehouse;
    let mut open = stage.sight("taylor", REVERSIBLE).await?;
    assert_eq!(warehouse.rotate_key("reversible:my.key").await?, Some(2));
    assert_eq!(warehouse.rotate_key("reversible:other").await?, None);
    // A session that was open sees the new version at once, through the same view.
    let second = open.ask("people", sql).await?;
    warehouse.end(&open.role).await?;
    let (old, new) = (first[0][0].clone().expect("not null"), second[0][0].clone().expect("not null"));
    assert!(new.starts_with("my.key.2.") && old[9..] != new[9..]);
    for masked in [&old, &new] {
        assert_eq!(stage.unmask(masked).await?.as_deref(), Some("Smith"));
    }
    let versions: Vec<(String, i32, bool)> =
        warehouse.keys().await?.into_iter().map(|k| (k.id, k.version, k.replaced.is_some())).collect();
    assert_eq!(
        versions,
        [("reversible:my.key".to_owned(), 2, false), ("reversible:my.key".to_owned(), 1, true)]
    );
    assert!(!warehouse.retire_key("reversible:my.key", 2).await?, "the one in force stays");
    assert!(warehouse.retire_key("reversible:my.key", 1).await?);
    assert!(!warehouse.retire_key("reversible:my.key", 1).await?);
    assert_eq!(stage.unmask(&old).await?, None);
    assert_eq!(stage.unmask(&new).await?.as_deref(), Some("Smith"));
    Ok(())
}

#[tokio::test]
async fn tokens_are_stable_for_a_subject_and_nobody_elses() -> Outcome {
    let stage = Stage::open("mask_token", PEOPLE).await?;
    let sql = "SELECT name, mail, ref FROM {view} ORDER BY id";
    let mut taylor = stage.sight("taylor", TOKEN).await?;
    let mine = taylor.ask("people", sql).await?;
    assert_eq!(mine, stage.rows("taylor", TOKEN, "people", sql).await?, "the same in every session");
    let theirs = stage.rows("riley", TOKEN, "people", sql).await?;
    let token = mine[0][0].clone().expect("not null");
    assert!(token.starts_with("tok_"));
    assert_eq!(mine[0][0], mine[0][1]);
    assert_eq!(mine[0][2], mine[2][2]);
    for (mine, theirs) in mine.iter().flatten().zip(theirs.iter().flatten()) {
        assert!(mine.is_none() == theirs.is_none() && (mine.is_none() || mine != theirs));
    }
    // A token that was seen works in WHERE, and joins.
    let found = taylor.ask("people", &format!("SELECT id FROM {{view}} WHERE name = '{token}'")).await?;
    assert_eq!(found, [[Some("1".to_owned())]]);
    let orders = taylor.entitlement.access("public", "orders").expect("readable").view.name.clone();
    let joined = format!("SELECT p.id FROM {{view}} p JOIN lanyard_secured.{orders} o USING (name)");
    assert_eq!(taylor.ask("people", &joined).await?, [[Some("1".to_owned())]]);

    // Turning it back is a right of its own, and only ever for one's own tokens.
    let back = format!("SELECT public.back('{token}')");
    assert_eq!(state_of(&mut taylor.session, &back).await, "42883");
    let dba = stage.shop.dba().await?;
    dba.batch_execute(
        "CREATE FUNCTION public.back(t text) RETURNS text LANGUAGE sql RETURN lanyard.detokenize(t);
         CREATE FUNCTION public.back(t uuid) RETURNS uuid LANGUAGE sql RETURN lanyard.detokenize(t)",
    )
    .await?;
    assert_eq!(state_of(&mut taylor.session, &back).await, "42501");
    let bundle = format!("lanyard_bundle_{}", taylor.entitlement.fingerprint);
    dba.batch_execute(&format!(
        "GRANT EXECUTE ON FUNCTION lanyard.detokenize(text), lanyard.detokenize(uuid) TO {bundle}"
    ))
    .await?;
    assert_eq!(ask(&mut taylor.session, &back).await?, [[Some("Smith".to_owned())]]);
    let uuid = format!("SELECT public.back('{}'::uuid)", mine[0][2].clone().expect("not null"));
    assert_eq!(
        ask(&mut taylor.session, &uuid).await?,
        [[Some("00112233-4455-6677-8899-aabbccddeeff".to_owned())]]
    );
    let other = theirs[0][0].clone().expect("not null");
    for forged in [other, token.replace("tok_", ""), format!("{token}A"), token[..token.len() - 1].to_owned()]
    {
        let sql = format!("SELECT public.back('{forged}')");
        assert_eq!(ask(&mut taylor.session, &sql).await?, [[None]], "{forged}");
    }
    // The old key still turns old tokens back.
    stage.shop.warehouse.rotate_key("token").await?;
    assert_ne!(taylor.ask("people", sql).await?, mine);
    assert_eq!(ask(&mut taylor.session, &back).await?, [[Some("Smith".to_owned())]]);
    stage.shop.warehouse.end(&taylor.role).await?;
    Ok(())
}

#[tokio::test]
async fn a_session_runs_masks_and_can_call_none_of_it() -> Outcome {
    let stage = Stage::open("mask_calls", PEOPLE).await?;
    let policy = "policy m mask columns named name with reversible(people) policy f mask columns named mail with fpe(alphanumeric)";
    let mut sight = stage.sight("taylor", policy).await?;
    assert_eq!(sight.ask("people", "SELECT name FROM {view}").await?.len(), 3);
    for sql in [
        "SELECT lanyard.mask_siv_seal(NULL, 'x')",
        "SELECT lanyard.mask_siv_open(NULL, 'x')",
        "SELECT lanyard.mask_ff1('x', '', '0123456789', '1234567')",
        "SELECT lanyard.mask_aes_ecb('x', 'x')",
        "SELECT lanyard.mask_subkey('x', 'x', 'x')",
        "SELECT lanyard.mask_redact('x', '{}')",
        "SELECT lanyard.encrypt('x', 'x', 'aes')",
        "SELECT lanyard.unmask('x')",
        "SELECT lanyard.detokenize('x'::text)",
        "SELECT lanyard.rotate_key('reversible:people')",
        "SELECT lanyard.retire_key('reversible:people', 1)",
        "SELECT * FROM lanyard.list_keys()",
        "TABLE lanyard.mask_key",
        "TABLE lanyard.mask_key_former",
        "TABLE lanyard.generalised",
    ] {
        assert_eq!(state_of(&mut sight.session, sql).await, "42501", "{sql}");
    }
    let dba = stage.shop.dba().await?;
    let open = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'lanyard'::regnamespace AND has_function_privilege('public', oid, 'EXECUTE')";
    assert_eq!(dba.query_one(open, &[]).await?.get::<_, i64>(0), 0);
    let parallel = "SELECT string_agg(oid::regprocedure::text, ', ') FROM pg_proc WHERE pronamespace = 'lanyard'::regnamespace
                    AND proname ~ '^mask_' AND (proparallel <> 's' OR prosecdef OR provolatile = 'v')";
    assert_eq!(dba.query_one(parallel, &[]).await?.get::<_, Option<String>>(0), None);
    // No key in a plan, in the definition of a view, or in the log.
    let key = stage.pads("reversible:people").await?;
    let hex: String = key.iter().map(|b| format!("{b:02x}")).collect();
    let view = sight.entitlement.access("public", "people").expect("readable").view.name.clone();
    let plan =
        dba.query(&format!("EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM lanyard_secured.{view}"), &[]).await?;
    let plan: String = plan.iter().map(|r| r.get::<_, String>(0) + "\n").collect();
    assert!(plan.contains("InitPlan") && !plan.contains(&hex), "{plan}");
    let pads = dba
        .query_one(
            "SELECT encode(inner_pad, 'hex'), encode(outer_pad, 'hex') FROM lanyard.mask_key LIMIT 1",
            &[],
        )
        .await?;
    let definition = dba
        .query_one("SELECT pg_get_viewdef($1::text::regclass)", &[&format!("lanyard_secured.{view}")])
        .await?;
    let log = stage.shop.server.log()?;
    for pad in [hex, pads.get(0), pads.get(1)] {
        assert!(
            !log.contains(&pad) && !plan.contains(&pad) && !definition.get::<_, String>(0).contains(&pad)
        );
    }
    stage.shop.warehouse.end(&sight.role).await?;
    Ok(())
}

#[tokio::test]
async fn without_aes_what_needs_it_is_null_and_doctor_says_so() -> Outcome {
    let stage = Stage::open("mask_no_aes", PEOPLE).await?;
    let dba = stage.shop.dba().await?;
    let warned = async || -> Result<bool, Box<dyn Error>> {
        let findings = super::super::super::doctor(&stage.shop.endpoint(), &stage.shop.server.dba()).await?;
        Ok(findings.iter().any(|f| f.what.contains("pgcrypto")))
    };
    assert!(!warned().await? && stage.shop.warehouse.has_aes().await?);
    // As bootstrap leaves them on a server without the extension.
    for name in ["ecb", "cbc", "undo"] {
        dba.batch_execute(&format!(
            "CREATE OR REPLACE FUNCTION lanyard.mask_aes_{name}(data bytea, key bytea) RETURNS bytea
             LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN NULL::bytea"
        ))
        .await?;
    }
    dba.batch_execute("DROP EXTENSION pgcrypto").await?;
    assert!(warned().await? && !stage.shop.warehouse.has_aes().await?);
    let policies = ["reversible(people)", "fpe(letters)", "token"];
    for mask in policies {
        let policy = format!("policy m mask columns named name, mail, ref with {mask}");
        let told = encrypting(&stage.snapshot(&policy).await?);
        assert!(told.len() == 1 && told[0].message.contains("pgcrypto"), "{told:?}");
        let rows = stage.rows("taylor", &policy, "people", "SELECT name, mail, ref FROM {view}").await?;
        assert!(rows.iter().flatten().all(Option::is_none), "{mask}: {rows:?}");
    }
    // A bootstrap where the extension can be had puts them in force, views and all.
    super::super::super::bootstrap(&stage.shop.endpoint(), &stage.shop.server.dba(), &options()).await?;
    assert!(!warned().await?);
    let policy = "policy m mask columns named name, mail, ref with reversible(people)";
    let rows = stage.column("taylor", policy, "people", "SELECT name FROM {view} ORDER BY id").await?;
    assert!(rows.iter().all(Option::is_some));
    Ok(())
}

#[tokio::test]
async fn pgcrypto_is_used_where_it_is_and_never_an_impostor() -> Outcome {
    let stage = Stage::open("mask_elsewhere", PEOPLE).await?;
    let dba = stage.shop.dba().await?;
    let bootstrap = async || {
        super::super::super::bootstrap(&stage.shop.endpoint(), &stage.shop.server.dba(), &options()).await
    };
    let policy = "policy m mask columns named public.people.name with reversible(people)";
    let sql = "SELECT name FROM {view} ORDER BY id";
    let before = stage.column("taylor", policy, "people", sql).await?;
    // The same keys, the same values, wherever the extension is.
    dba.batch_execute("CREATE SCHEMA \"ext 1\"; ALTER EXTENSION pgcrypto SET SCHEMA \"ext 1\"").await?;
    assert_eq!(stage.column("taylor", policy, "people", sql).await?, before);
    bootstrap().await?;
    assert_eq!(stage.column("taylor", policy, "people", sql).await?, before);
    // Somebody takes its place: no bootstrap, and nothing of it is left.
    dba.batch_execute(
        "CREATE OR REPLACE FUNCTION lanyard.mask_aes_ecb(data bytea, key bytea) RETURNS bytea LANGUAGE sql RETURN NULL::bytea;
         CREATE OR REPLACE FUNCTION lanyard.mask_aes_cbc(data bytea, key bytea) RETURNS bytea LANGUAGE sql RETURN NULL::bytea;
         ALTER EXTENSION pgcrypto DROP FUNCTION \"ext 1\".encrypt(bytea, bytea, text);
         DROP FUNCTION \"ext 1\".encrypt(bytea, bytea, text);
         CREATE FUNCTION \"ext 1\".encrypt(bytea, bytea, text) RETURNS bytea LANGUAGE sql AS 'SELECT $2';
         ALTER EXTENSION pgcrypto ADD FUNCTION \"ext 1\".encrypt(bytea, bytea, text)",
    )
    .await?;
    assert_eq!(bootstrap().await.expect_err("an impostor").sqlstate(), Some("42883"));
    let rows = stage.column("taylor", policy, "people", sql).await?;
    assert!(rows.iter().all(Option::is_none), "{rows:?}");
    Ok(())
}
