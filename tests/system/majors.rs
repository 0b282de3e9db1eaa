//! The floor, the bypass and the write tests on every major of PostgreSQL that can be had, beside the one all other tests use.
//!
//! A major whose server is not there is told as NOT RUN, on standard error itself: the test harness swallows what a test
//! prints, and a version nobody tried must not look as if it had passed.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use lanyard_adapters::cluster::Cluster;
use lanyard_tests::{Governed, Outcome, program_folder};

use crate::{attacks, bypass, floor, writes};

/// Every major Lanyard is for.
const MAJORS: [u32; 4] = [15, 16, 17, 18];

fn tell(line: &str) -> Outcome {
    Ok(writeln!(std::io::stderr(), "{line}")?)
}

/// The major of the server in this folder.
fn major(bin: &Path) -> Outcome<u32> {
    let said = Command::new(bin.join("postgres")).arg("--version").output()?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let number = text.split_whitespace().find_map(|word| word.split('.').next()?.parse().ok());
    number.ok_or_else(|| format!("{}: {text:?} names no version", bin.display()).into())
}

/// Where `scripts/setup.sh test` and Debian put the server of a major.
pub(crate) fn server(major: u32) -> Outcome<Option<PathBuf>> {
    let fetched = program_folder()?.parent().map(|target| target.join(format!("servers/{major}/bin")));
    let debian = PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"));
    Ok(fetched.into_iter().chain([debian]).find(|bin| bin.join("postgres").is_file()))
}

/// Rights of PUBLIC on what is not the system's.
async fn public_rights(governed: &Governed) -> Outcome<Vec<String>> {
    let sql = "
        SELECT c.oid::regclass || ' ' || a.privilege_type FROM pg_class c CROSS JOIN aclexplode(c.relacl) a
        WHERE a.grantee = 0 AND c.oid >= 16384
        UNION ALL
        SELECT c.attrelid::regclass || '.' || c.attname || ' ' || a.privilege_type
        FROM pg_attribute c CROSS JOIN aclexplode(c.attacl) a WHERE a.grantee = 0 AND c.attrelid >= 16384
        UNION ALL
        SELECT p.oid::regprocedure || ' ' || a.privilege_type FROM pg_proc p
        CROSS JOIN aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0 AND p.oid >= 16384
        UNION ALL
        SELECT n.nspname || ' ' || a.privilege_type FROM pg_namespace n CROSS JOIN aclexplode(n.nspacl) a WHERE a.grantee = 0
        ORDER BY 1";
    let rights = governed.dba().await?.query(sql, &[]).await?;
    Ok(rights.iter().map(|row| row.get(0)).collect())
}

/// The floor holds hardened too, and what was taken is given back to the letter.
async fn hardened(governed: &Governed) -> Outcome {
    let dba = governed.dba().await?;
    dba.batch_execute(
        "GRANT INSERT ON app.audit_log TO PUBLIC; GRANT SELECT (who) ON app.audit_log TO PUBLIC",
    )
    .await?;
    let before = public_rights(governed).await?;
    let taken = governed.harden("--harden")?;
    assert!(
        taken.contains("REVOKE EXECUTE ON FUNCTION public.leak_customer(integer) FROM PUBLIC;"),
        "{taken}"
    );
    let during = public_rights(governed).await?;
    assert!(
        !during.iter().any(|right| right.contains("leak_customer") || right.contains("audit_log")),
        "{during:?}"
    );
    floor::no_value_leaks(governed, 201).await?;
    governed.harden("--unharden")?;
    assert_eq!(public_rights(governed).await?, before);
    assert!(governed.harden("--unharden")?.contains("nothing was hardened"));
    Ok(())
}

async fn on(bin: &Path, usual: bool) -> Outcome {
    let governed = attacks::attacked_on(Some(bin)).await?;
    // On the usual major, other tests do this.
    if !usual {
        floor::no_value_leaks(&governed, 101).await?;
        bypass::nothing_leaks(&governed).await?;
        writes::on(bin).await?;
    }
    // The long form hardens every major, the short one the usual one.
    if usual || cfg!(feature = "long") { hardened(&governed).await } else { Ok(()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_on_every_major() -> Outcome {
    let usual = major(&Cluster::find_binaries(None)?)?;
    let mut running = Vec::new();
    for number in MAJORS {
        let bin = if number == usual { Some(Cluster::find_binaries(None)?) } else { server(number)? };
        match bin {
            None => tell(&format!(
                "PostgreSQL {number}: floor, bypass and writes NOT RUN (no server; see scripts/setup.sh)"
            ))?,
            Some(bin) => running.push((
                number,
                std::thread::spawn(move || {
                    // A runtime of its own: what a load reports its progress to stays on its thread.
                    tokio::runtime::Runtime::new()?.block_on(on(&bin, number == usual))
                }),
            )),
        }
    }
    let mut failed = Vec::new();
    for (number, run) in running {
        match run.join().map_err(|_| "a thread panicked")? {
            Ok(()) => tell(&format!("PostgreSQL {number}: floor, bypass and writes held"))?,
            Err(error) => failed.push(format!("PostgreSQL {number}: {error}")),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}
