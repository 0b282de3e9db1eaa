//! What pg_dump needs: it gets what its principal sees, and nothing that switching row security off could show.

use std::process::Command;

use lanyard::demo::governance;
use lanyard::demo::setting::SettingOptions;
use lanyard_tests::{Governed, GovernedOptions, Outcome, Raw};

use crate::majors;
use crate::messages::{answer, state};

const LOGIN: &str = "marketing-agent~taylor";

/// Runs pg_dump of the server's own version.
fn dump(governed: &Governed, flags: &[&str]) -> Outcome<(bool, String)> {
    let ran = Command::new(governed.cluster().bin().join("pg_dump"))
        .args(["-h", "127.0.0.1", "-p", &governed.setting().port.to_string(), "-U", LOGIN, "-w"])
        .args(flags)
        .arg("shop")
        .env("PGPASSWORD", governed.key(LOGIN)?)
        .env("PGSSLMODE", "disable")
        .output()?;
    let said = if ran.status.success() { ran.stdout } else { ran.stderr };
    Ok((ran.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_holds_what_its_principal_sees() -> Outcome {
    let governed = Governed::shared().await?;
    let (done, text) = dump(&governed, &["--data-only"])?;
    assert!(done, "{text}");
    let copied: Vec<&str> = text.lines().filter(|line| line.starts_with("COPY ")).collect();
    assert!(copied.iter().any(|line| line.starts_with("COPY public.customer_orders (")), "{copied:?}");
    assert!(!text.contains("payroll") && !text.contains("lanyard_secured"), "what is hidden is not named");
    // Row for row what the session reads.
    let mut raw = governed.raw_session(LOGIN).await?;
    let frames = raw.query("COPY customer_orders TO STDOUT").await?;
    let rows: Vec<String> = (frames.iter().filter(|frame| frame.tag == b'd'))
        .map(|frame| String::from_utf8_lossy(&frame.body).into_owned())
        .collect();
    assert!(!rows.is_empty() && rows.iter().all(|row| row.contains("REDACTED")), "{rows:?}");
    for row in &rows {
        assert!(text.contains(row.as_str()), "{row}");
    }
    let (_, rest) = text.split_once("COPY public.customer_orders (").ok_or("no data")?;
    let (data, _) = rest.split_once("\n\\.").ok_or("no end of data")?;
    assert_eq!(data.lines().count(), rows.len() + 1, "and no other rows");
    for (flags, done) in [
        (vec!["-t", "public.customer_orders"], true),
        (vec!["-t", "public.customer_orders", "-Fc"], true),
        (vec!["-t", "public.payroll"], false),
        (vec!["-t", "public.nowhere"], false),
    ] {
        assert_eq!(dump(&governed, &flags)?.0, done, "{flags:?}");
    }
    let hidden = dump(&governed, &["-t", "public.payroll"])?.1;
    assert_eq!(hidden.replace("payroll", "nowhere"), dump(&governed, &["-t", "public.nowhere"])?.1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_what_a_select_takes() -> Outcome {
    let governed = Governed::shared().await?;
    let dba = governed.dba().await?;
    let mut raw = governed.raw_session(LOGIN).await?;
    for (sql, code) in [
        ("LOCK TABLE customer_orders", "42501"),
        ("LOCK TABLE customer_orders IN ROW SHARE MODE", "42501"),
        ("LOCK TABLE customer_orders IN ACCESS EXCLUSIVE MODE", "42501"),
        ("LOCK TABLE payroll IN ACCESS SHARE MODE", "42P01"),
        ("LOCK TABLE nowhere IN ACCESS EXCLUSIVE MODE", "42P01"),
        ("LOCK TABLE payroll IN ACCESS EXCLUSIVE MODE", "42P01"),
        ("LOCK TABLE pg_catalog.pg_class IN ACCESS SHARE MODE", "42501"),
        ("LOCK TABLE lanyard_secured.session_attribute IN ACCESS SHARE MODE", "42P01"),
    ] {
        assert_eq!(state(&mut raw, sql).await?, format!("{code} ZI"), "{sql}");
    }
    state(&mut raw, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    assert_eq!(state(&mut raw, "LOCK TABLE customer_orders IN ACCESS SHARE MODE").await?, "C ZT");
    let held = "SELECT string_agg(DISTINCT l.mode, ' ') FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                WHERE a.usename LIKE 'LANYARD_VENDED%' AND l.relation = 'public.customer_orders'::regclass";
    assert_eq!(dba.query_one(held, &[]).await?.get::<_, String>(0), "AccessShareLock");
    state(&mut raw, "COMMIT").await?;
    Ok(())
}

/// A view of the DBA's over a table with row security, as a role that it binds.
const BEHIND: &str = "
CREATE ROLE viewer;
CREATE TABLE public.vault (id int, word text);
INSERT INTO public.vault VALUES (1, 'OPEN'), (2, 'VAULTED');
ALTER TABLE public.vault ENABLE ROW LEVEL SECURITY;
CREATE POLICY first ON public.vault USING (id = 1);
GRANT SELECT ON public.vault TO viewer;
CREATE VIEW public.window AS SELECT id, word FROM public.vault;
GRANT CREATE ON SCHEMA public TO viewer;
ALTER VIEW public.window OWNER TO viewer;
CREATE TABLE public.plain (id int, word text);
INSERT INTO public.plain VALUES (1, 'seen'), (2, 'HIDDEN-ROW');
";
const POLICIES: &str = "
policy windows allow read on tables named public.\"window\", public.plain to everyone
policy first_row show rows of tables named public.plain where id = 1
policy masked mask columns named public.plain.word with constant('masked')
";

async fn without_row_security(raw: &mut Raw) -> Outcome {
    let window = "SELECT word FROM \"window\"";
    let plain = "SELECT word FROM plain";
    assert_eq!(answer(raw, window).await?, ["OPEN"]);
    raw.query("PREPARE p AS SELECT word FROM \"window\"").await?;
    for off in ["SET row_security = off", "SELECT set_config('row_security', 'off', false)"] {
        raw.query("RESET row_security").await?;
        assert_eq!(answer(raw, "EXECUTE p").await?, ["OPEN"]);
        raw.query(off).await?;
        // Lanyard's filters and masks are no row security: they stand.
        assert_eq!(answer(raw, plain).await?, ["masked"], "{off}");
        for sql in [window, "EXECUTE p", "COPY \"window\" TO STDOUT", "SELECT count(*) FROM \"window\""] {
            let frames = raw.query(sql).await?;
            let said =
                frames.iter().find(|frame| frame.tag == b'E').ok_or_else(|| format!("{sql}: {frames:?}"))?;
            assert_eq!(said.sqlstate().as_deref(), Some("42501"), "{off}; {sql}");
            let text = format!("{:?}", said.fields());
            assert!(!text.contains("vault") && !text.contains("VAULTED"), "{text}");
            assert!(frames.iter().all(|frame| frame.tag != b'D' && frame.tag != b'd'), "{sql}: {frames:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn row_security_off_shows_less_and_never_more_on_every_major() -> Outcome {
    let mut files = governance::FILES.to_vec();
    files.push(("dump.policy", POLICIES));
    let mut tried = 0;
    for major in [15, 16, 17, 18] {
        let Some(bin) = majors::server(major)? else {
            eprintln!("PostgreSQL {major}: row_security NOT RUN (no server; see scripts/setup.sh)");
            continue;
        };
        let setting = SettingOptions { governance: &files, ..SettingOptions::default() };
        let options = GovernedOptions { setting, sql: BEHIND, bin: Some(&bin), ..GovernedOptions::default() };
        let governed = Governed::start_with(&options).await?;
        let told = without_row_security(&mut governed.raw_session(LOGIN).await?).await;
        told.map_err(|error| format!("PostgreSQL {major}: {error}"))?;
        tried += 1;
    }
    assert!(tried > 0, "no server was found");
    Ok(())
}
