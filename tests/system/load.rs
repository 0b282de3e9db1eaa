//! Very many sessions at once, under kills of clients, of backends and of the whole warehouse: every answer goes to who asked,
//! every statement is on record, and nothing is left of it afterwards.
//!
//! The short form runs seconds, `make test-long` ten minutes with 300 busy sessions and 1,500 that are mostly silent;
//! `LANYARD_LOAD` sets other seconds. What it counted is printed.

mod client;
mod harm;

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lanyard::demo::setting::SettingOptions;
use lanyard_tests::wait::until_within;
use lanyard_tests::{Governed, GovernedOptions, Outcome};
use serde_json::Value;
use tokio::task::JoinSet;

use client::{Door, Told};

/// Resident memory may differ by so much between two equal halves of the run.
const GROWN_KIB_MAX: u64 = 16 << 10;
/// Connections of the proxy's own to the warehouse come and go.
const DESCRIPTORS_MORE_MAX: usize = 8;
/// For the last role to go after the last client.
const END_SECONDS: u64 = 120;

/// How many clients of which habits, for how long.
struct Size {
    busy: usize,
    silent: usize,
    odd: usize,
    /// Of each half.
    seconds: u64,
}

impl Size {
    fn chosen() -> Outcome<Self> {
        let mut size = if cfg!(feature = "long") {
            Self { busy: 300, silent: 1_500, odd: 10, seconds: 300 }
        } else {
            Self { busy: 12, silent: 40, odd: 2, seconds: 6 }
        };
        if let Ok(seconds) = std::env::var("LANYARD_LOAD") {
            size.seconds = seconds.parse::<u64>()?.div_ceil(2);
        }
        Ok(size)
    }
}

/// What the process holds when nobody is connected.
struct Held {
    resident_kib: u64,
    descriptors: usize,
}

impl Held {
    fn by(process: u32) -> Outcome<Self> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let resident_kib = line.trim().trim_end_matches(" kB").parse()?;
        let descriptors = std::fs::read_dir(format!("/proc/{process}/fd"))?.count();
        Ok(Self { resident_kib, descriptors })
    }
}

/// One half: everybody comes, harm is done, everybody goes.
async fn half(governed: &Governed, size: &Size, number: u64) -> Outcome<Told> {
    let door = Door::of(governed)?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for index in 0..size.busy {
        clients.spawn(client::busy(door.clone(), Arc::clone(&stop), number, index));
    }
    for index in 0..size.silent {
        clients.spawn(client::silent(door.clone(), Arc::clone(&stop), number, index));
    }
    for index in 0..size.odd {
        clients.spawn(client::slow(door.clone(), Arc::clone(&stop), number, index));
        clients.spawn(client::by_single_bytes(door.clone(), Arc::clone(&stop), number, index));
        clients.spawn(client::flood(door.clone(), Arc::clone(&stop), index));
    }
    harm::work(governed, Duration::from_secs(size.seconds), number).await?;
    stop.store(true, Ordering::Relaxed);
    let mut told = Told::default();
    while let Some(done) = clients.join_next().await {
        told.add(done??);
    }
    let mut left = String::new();
    let gone = until_within(END_SECONDS, "the vended roles and sessions are gone", async || {
        let metrics = governed.http("/metrics").await?;
        let sessions = metrics.lines().find(|line| line.starts_with("lanyard_sessions ")).unwrap_or_default();
        // The warehouse may still be coming up.
        let roles = governed.vended_roles().await;
        left = match &roles {
            Ok(roles) => format!("{sessions}, {} roles, {:?}", roles.len(), roles.first()),
            Err(error) => format!("{sessions}, the warehouse says {error}"),
        };
        let ended = sessions.ends_with(" 0") && roles.is_ok_and(|roles| roles.is_empty());
        Ok(ended.then_some(()))
    })
    .await;
    if let Err(error) = gone {
        let log = governed.proxy_log().await;
        let last: Vec<&str> = log.lines().rev().take(20).collect();
        return Err(format!("{error}: {left}; the last of the log, latest first: {last:#?}").into());
    }
    Ok(told)
}

/// What is on record of each marked statement.
#[derive(Debug, Default)]
struct Records {
    attempts: HashMap<String, u32>,
    /// Rulings whose outcome has not come.
    open: HashSet<String>,
    /// Marks of statements that the warehouse completed.
    completed: HashSet<String>,
}

fn read_records(governed: &Governed) -> Outcome<Records> {
    let mut records = Records::default();
    let mut marks: HashMap<String, String> = HashMap::new();
    governed.each_audit_line(&mut |line| {
        let text = |field: &str| line.get(field).and_then(Value::as_str).unwrap_or_default();
        let ruling = text("ruling");
        match text("event") {
            "attempt" if text("disposition") != "refused" => {
                records.open.insert(ruling.to_owned());
                if let Some(mark) = client::mark_in(text("statement")) {
                    *records.attempts.entry(mark.to_owned()).or_default() += 1;
                    marks.insert(ruling.to_owned(), mark.to_owned());
                }
            }
            "outcome" => {
                records.open.remove(ruling);
                if let Some(mark) = marks.remove(ruling).filter(|_| text("status") == "ok") {
                    records.completed.insert(mark);
                }
            }
            _ => {}
        }
    })?;
    Ok(records)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_mixed_up_or_left_under_load_and_kills() -> Outcome {
    let size = Size::chosen()?;
    let governed = Governed::start_with(&GovernedOptions {
        setting: SettingOptions {
            lines: &[
                ("listen", "clients_max = 5000"),
                ("session", "detach_seconds = 2\nlogin_seconds = 120"),
            ],
            ..SettingOptions::default()
        },
        postgres: &[("max_connections", "700")],
        ..GovernedOptions::default()
    })
    .await?;
    let process = governed.proxy_id().await?;
    let mut told = half(&governed, &size, 1).await?;
    let before = Held::by(process)?;
    told.add(half(&governed, &size, 2).await?);
    let after = Held::by(process)?;
    assert_eq!(governed.proxy_id().await?, process, "the proxy was not restarted");

    let records = read_records(&governed)?;
    writeln!(
        std::io::stderr(),
        "load: {} logins, {} answers, {} connections lost by kills, {} abandoned by clients, {} attempts with a mark; \
         resident {} then {} KiB, descriptors {} then {}",
        told.logins,
        told.answered.len(),
        told.lost,
        told.abandoned,
        records.attempts.len(),
        before.resident_kib,
        after.resident_kib,
        before.descriptors,
        after.descriptors,
    )?;
    for mark in &told.answered {
        assert_eq!(records.attempts.get(mark), Some(&1), "{mark} was answered");
        assert!(records.completed.contains(mark), "{mark} was answered, and its record says otherwise");
    }
    let log = governed.server_log()?;
    let ran: HashSet<&str> = log.lines().filter_map(client::mark_in).collect();
    for mark in &ran {
        assert_eq!(records.attempts.get(*mark), Some(&1), "{mark} came to the warehouse");
    }
    assert!(told.answered.iter().all(|mark| ran.contains(mark.as_str())), "the warehouse's log is not whole");
    assert!(told.answered.len() > size.busy + size.silent, "hardly anything was asked");
    assert!(told.lost > 0, "nothing was killed");
    assert!(records.open.is_empty(), "{} attempts without an outcome", records.open.len());
    assert!(
        after.resident_kib <= before.resident_kib + GROWN_KIB_MAX,
        "memory: {} then {} KiB",
        before.resident_kib,
        after.resident_kib
    );
    assert!(
        after.descriptors <= before.descriptors + DESCRIPTORS_MORE_MAX,
        "descriptors: {} then {}",
        before.descriptors,
        after.descriptors
    );
    Ok(())
}
