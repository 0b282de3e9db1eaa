//! Harm done to the warehouse while clients work: backends are ended one by one, and now and then all of them at once.

use std::process::Command;
use std::time::{Duration, Instant};

use lanyard_tests::{Governed, Outcome};
use tokio::time::sleep;

use crate::messages::Dice;

/// Between two backends that are ended.
const PAUSE: Duration = Duration::from_millis(300);
/// How often the whole warehouse goes down in one half of a run.
const CRASHES: u32 = 2;

const VICTIM: &str =
    "SELECT pid FROM pg_stat_activity WHERE usename LIKE 'LANYARD_VENDED%' ORDER BY random() LIMIT 1";

/// Does harm for so long. A killed backend (SIGKILL) makes the server end all others and start over (PostgreSQL
/// documentation, "Shutting Down the Server").
pub(super) async fn work(governed: &Governed, time: Duration, seed: u64) -> Outcome {
    let mut dice = Dice(0x9E37_79B9 + seed);
    let begun = Instant::now();
    let mut crashes = 0;
    while begun.elapsed() < time {
        sleep(PAUSE).await;
        // Down because of us: it comes back.
        let Ok(dba) = governed.dba().await else { continue };
        let Ok(Some(row)) = dba.query_opt(VICTIM, &[]).await else { continue };
        let victim: i32 = row.get(0);
        if begun.elapsed() > time * (crashes + 1) / (CRASHES + 1) {
            crashes += 1;
            // It may have ended by itself meanwhile.
            Command::new("kill").args(["-KILL", &victim.to_string()]).status()?;
        } else if dice.roll(4) == 0 {
            dba.execute("SELECT pg_cancel_backend($1)", &[&victim]).await.ok();
        } else {
            dba.execute("SELECT pg_terminate_backend($1)", &[&victim]).await.ok();
        }
    }
    Ok(())
}
