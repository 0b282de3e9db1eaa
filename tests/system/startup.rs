//! What a startup packet may bring along: a search path of the session's own, which opens nothing.

use lanyard::demo::governance;
use lanyard::demo::setting::SettingOptions;
use lanyard_tests::raw::PROTOCOL_3_0;
use lanyard_tests::wait::until;
use lanyard_tests::{Governed, GovernedOptions, Outcome, Raw};

use crate::messages::{answer, bind, exchange, execute, parse, state, sync};
use crate::wire::environment;

/// A session of harper's with these parameters, or the SQLSTATE it was turned away with.
async fn with(governed: &Governed, parameters: &[(&str, &str)]) -> Outcome<Result<Raw, String>> {
    let mut raw = governed.raw().await?;
    let who = [("user", "harper"), ("database", "shop")];
    raw.startup(PROTOCOL_3_0, &[&who, parameters].concat()).await?;
    if let Err(refused) = raw.authenticate(governed.key("harper")?).await {
        return Ok(Err(refused.to_string().split(' ').next().unwrap_or_default().to_owned()));
    }
    loop {
        let frame = raw.read().await?;
        match frame.tag {
            b'Z' => return Ok(Ok(raw)),
            b'E' => return Ok(Err(frame.sqlstate().unwrap_or_default())),
            _ => {}
        }
    }
}

async fn opened(governed: &Governed, parameters: &[(&str, &str)]) -> Outcome<Raw> {
    with(governed, parameters).await?.map_err(|state| format!("{parameters:?}: {state}").into())
}

const HERE: &str = "SELECT word FROM here";

#[tokio::test(flavor = "multi_thread")]
async fn a_search_path_of_ones_own_is_what_reset_goes_back_to() -> Outcome {
    let governed = environment().await?;
    for (parameters, shown, found) in [
        // As JDBC (currentSchema) and Npgsql (Search Path) send it, and as libpq's PGOPTIONS does.
        (vec![("search_path", "b,a")], "b,a", "in b"),
        (vec![("search_path", "\"a\", public")], "\"a\", public", "in a"),
        (vec![("options", "-c search_path=b")], "b", "in b"),
        (vec![("options", "--search-path=a,\\ b")], "a, b", "in a"),
        (vec![("options", "-csearch_path=\"$user\",b")], "\"$user\",b", "in b"),
        (vec![("search_path", "a"), ("options", "-c search_path=b")], "a", "in a"),
        (vec![("Search_Path", "A")], "A", "in a"),
    ] {
        let raw = &mut opened(&governed, &parameters).await?;
        assert_eq!(answer(raw, HERE).await?, [found], "{parameters:?}");
        assert_eq!(answer(raw, "SHOW search_path").await?, [shown], "{parameters:?}");
        for (change, back) in [
            ("SET search_path = c", "RESET search_path"),
            ("SET search_path = c", "RESET ALL"),
            ("SET search_path = c", "DISCARD ALL"),
            ("SET search_path = c", "SET search_path TO DEFAULT"),
            ("BEGIN; SET LOCAL search_path = c", "COMMIT"),
            ("BEGIN; SET search_path = c", "ROLLBACK"),
        ] {
            state(raw, change).await?;
            assert_eq!(state(raw, "SELECT 1 FROM here").await?.get(..5), Some("42P01"), "{change}");
            // What failed in a transaction is over with it.
            state(raw, back).await?;
            assert_eq!(answer(raw, HERE).await?, [found], "{parameters:?}: {change}; {back}");
            assert_eq!(answer(raw, "SHOW search_path").await?, [shown], "{change}; {back}");
        }
        let script = "SET search_path = c; RESET search_path; SELECT word FROM here";
        assert_eq!(answer(raw, script).await?, [found]);
        let extended = [parse("", HERE, &[]), bind("", "", &[]), execute("", 0), sync()];
        assert_eq!(exchange(raw, &extended).await?, "1 2 D C ZI");
        assert_eq!(
            state(raw, "SELECT * FROM ledger LIMIT 0").await?.get(..5),
            (shown == "\"a\", public").then_some("T C Z").or(Some("42P01")),
            "{shown}"
        );
    }
    // Nobody else's names are touched by what was remembered.
    let mut other = governed.raw_session("harper").await?;
    assert_eq!(state(&mut other, HERE).await?, "42P01 ZI");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_path_at_startup_opens_nothing() -> Outcome {
    let governed = environment().await?;
    for (path, sql) in [
        ("c", "SELECT * FROM only_c"),
        ("public, c", "SELECT * FROM only_c"),
        ("public", "SELECT * FROM hidden"),
        ("lanyard_secured, a", "SELECT * FROM v_hidden"),
        ("lanyard", "SELECT * FROM session_attribute"),
        ("lanyard_catalog", "SELECT * FROM _extensions"),
        ("", "SELECT * FROM here"),
        ("absent", "SELECT * FROM here"),
    ] {
        let mut raw = opened(&governed, &[("search_path", path)]).await?;
        assert_eq!(state(&mut raw, sql).await?, "42P01 ZI", "{path}: {sql}");
    }
    // Hidden, ours and absent schemas are told alike.
    for path in ["c", "absent", "lanyard", "lanyard_secured"] {
        let mut raw = opened(&governed, &[("options", &format!("-c search_path={path}"))]).await?;
        assert_eq!(
            answer(&mut raw, "SELECT current_schema() IS NULL, current_schemas(true)").await?,
            ["t"],
            "{path}"
        );
        assert_eq!(answer(&mut raw, "SHOW search_path").await?, [path]);
    }
    let many = vec!["a"; 65].join(",");
    for (path, code) in [
        ("pg_temp, public", "42501"),
        ("a, pg_temp_3, b", "42501"),
        ("a,,b", "22023"),
        ("a,", "22023"),
        ("\"a", "22023"),
        ("a b", "22023"),
        (many.as_str(), "54000"),
    ] {
        let refused = with(&governed, &[("search_path", path)]).await?.err();
        assert_eq!(refused.as_deref(), Some(code), "{path}");
    }
    until("roles of those turned away are gone", async || {
        let dba = governed.dba().await?;
        let idle = "SELECT count(*) FROM pg_roles r WHERE rolname LIKE 'LANYARD_VENDED%'
                    AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.usename = r.rolname)";
        Ok((dba.query_one(idle, &[]).await?.get::<_, i64>(0) == 0).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_let_its_backend_go_has_its_search_path_again() -> Outcome {
    let lines = [("session", "detach_seconds = 1")];
    let setting =
        SettingOptions { governance: &governance::FILES, lines: &lines, ..SettingOptions::default() };
    let governed = Governed::start_with(&GovernedOptions { setting, ..GovernedOptions::default() }).await?;
    let dba = governed.dba().await?;
    let mut raw = opened(&governed, &[("search_path", "retail, nowhere")]).await?;
    let shown = answer(&mut raw, "SHOW search_path").await?;
    until("it has no backend", async || {
        let backends = "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'LANYARD_VENDED%'";
        Ok((dba.query_one(backends, &[]).await?.get::<_, i64>(0) == 0).then_some(()))
    })
    .await?;
    assert_eq!(answer(&mut raw, "SHOW search_path").await?, shown);
    assert_eq!(shown, ["retail, nowhere"]);
    assert_eq!(answer(&mut raw, "SELECT current_schemas(false)::text").await?, ["{retail}"]);
    Ok(())
}
