//! Tests of reading and recovery: torn and foreign lines, crashes, filters.

use std::io::Write as _;

use lanyard_engine::record::{Disposition, ObjectUse, Objects};
use lanyard_engine::released::{Filed, Ledger as _};

use super::super::file::tests::{Folder, attempt, facts, outcome, what};
use super::super::{FileLedger, Shard, Sync, recover};
use super::*;

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn put(
    shard: &mut Shard,
    ruling: u128,
    who: (&str, &str),
    table: &str,
    disposition: Disposition,
) -> TestResult {
    let objects = Objects::new(vec![ObjectUse {
        relation: table.into(),
        operation: "read",
        filters: vec!["own_region".into()],
        masks: vec![],
        shadow: vec![],
    }]);
    let facts = facts(who.0, who.1);
    let Filed { .. } = shard.file(&attempt(ruling, &facts, &what("select", &objects, disposition)))?;
    Ok(())
}

fn append(folder: &Folder, bytes: &[u8]) -> TestResult {
    let mut file = std::fs::OpenOptions::new().append(true).open(folder.0.join("audit-test-1-0.jsonl"))?;
    file.write_all(bytes)?;
    Ok(())
}

fn rulings(folder: &Folder, filter: &Filter) -> Result<Vec<String>, LedgerError> {
    let found = query(&folder.0, filter)?;
    Ok(found.into_iter().map(|e| e.ruling.trim_start_matches('0').to_owned()).collect())
}

#[test]
fn filters_join_order_and_limit_across_shards() -> TestResult {
    let folder = Folder::new()?;
    let ledger = FileLedger::open(&folder.options(Sync::Write, 2))?;
    let (mut a, mut b) = (ledger.shard(0), ledger.shard(1));
    put(&mut a, 1, ("m", "taylor"), "public.orders", Disposition::Filtered)?;
    put(&mut b, 2, ("m", "riley"), "retail.orders", Disposition::Allowed)?;
    put(&mut a, 3, ("n", "taylor"), "public.payroll", Disposition::Refused)?;
    put(&mut b, 4, ("n", "taylor"), "public.orders", Disposition::Masked)?;
    b.complete(&outcome(2));
    a.complete(&outcome(1));
    ledger.flush();

    assert_eq!(rulings(&folder, &Filter::default())?, ["1", "2", "3", "4"]);
    let with = |change: fn(&mut Filter)| {
        let mut filter = Filter::default();
        change(&mut filter);
        rulings(&folder, &filter)
    };
    assert_eq!(with(|f| f.agent = Some("m".into()))?, ["1", "2"]);
    assert_eq!(with(|f| f.user = Some("taylor".into()))?, ["1", "3", "4"]);
    assert_eq!(with(|f| f.table = Some("orders".into()))?, ["1", "2", "4"]);
    assert_eq!(with(|f| f.table = Some("public.orders".into()))?, ["1", "4"]);
    assert_eq!(with(|f| f.table = Some("rders".into()))?, [""; 0]);
    assert_eq!(with(|f| f.since = Some(1_000_003))?, ["3", "4"]);
    assert_eq!(with(|f| f.limit = Some(2))?, ["3", "4"]);
    assert_eq!(with(|f| f.limit = Some(0))?, [""; 0]);
    assert_eq!(with(|f| f.role = Some("LANYARD_VENDED_9".into()))?, [""; 0]);
    assert_eq!(with(|f| f.ruling = Some(format!("{:032x}", 2)))?, ["2"]);

    let all = query(&folder.0, &Filter::default())?;
    let ends: Vec<_> = all.iter().map(|e| e.outcome.is_some()).collect();
    assert_eq!(ends, [true, true, false, false]);
    assert_eq!(all[0].objects[0].filters, ["own_region"]);
    assert_eq!(all[2].sqlstate.as_deref(), Some("42501"));
    Ok(())
}

#[test]
fn bad_lines_are_reported_and_stop_nothing() -> TestResult {
    let folder = Folder::new()?;
    let ledger = FileLedger::open(&folder.options(Sync::Write, 1))?;
    let mut shard = ledger.shard(0);
    put(&mut shard, 1, ("m", "t"), "public.o", Disposition::Allowed)?;
    append(&folder, b"\0\0\0\0\n{\"event\":\"attempt\"\n\xff\xfe\n[]\n{}\n")?;
    append(&folder, b"{\"event\":\"future\",\"ruling\":\"9\",\"deep\":{\"x\":[1]}}\n")?;
    append(&folder, b"{\"event\":\"attempt\",\"ruling\":\"0a\",\"time_us\":9000000,\"new\":1}\n")?;
    append(&folder, b"{\"event\":\"attempt\",\"ruling\":\"0b\",\"time_us\":-1}\n")?;
    append(&folder, b"{\"event\":\"outcome\",\"ruling\":\"77\",\"status\":\"ok\"}\n")?;
    append(&folder, b"{\"event\":\"att")?;
    let answer = search(&folder.0, &Filter::default())?;
    let found: Vec<_> = answer.entries.iter().map(|e| e.ruling.as_str()).collect();
    assert_eq!(found, ["00000000000000000000000000000001", "0a"]);
    let bad: Vec<_> = answer.unreadable.iter().map(|u| u.line).collect();
    assert_eq!(bad, [2, 3, 4, 5, 6, 9, 11]);
    assert!(query(&folder.0.join("missing"), &Filter::default()).is_err());
    Ok(())
}

#[test]
fn a_crash_leaves_unknown_and_a_torn_line_stays_as_evidence() -> TestResult {
    let folder = Folder::new()?;
    let ledger = FileLedger::open(&folder.options(Sync::Write, 1))?;
    let mut shard = ledger.shard(0);
    put(&mut shard, 1, ("m", "t"), "public.o", Disposition::Allowed)?;
    put(&mut shard, 2, ("m", "t"), "public.o", Disposition::Refused)?;
    shard.complete(&outcome(1));
    put(&mut shard, 3, ("m", "t"), "public.o", Disposition::Masked)?;
    // What kill -9 does: outcome lines in memory are gone, a write may be half done, the lock is free.
    shard.complete(&outcome(3));
    assert_eq!(recover(&folder.0)?.busy.len(), 1, "a live writer is left alone");
    shard.forget_pending();
    drop((shard, ledger));
    append(&folder, b"{\"event\":\"outco")?;

    let recovery = recover(&folder.0)?;
    assert_eq!((recovery.unknown, recovery.torn.len(), recovery.unreadable), (1, 1, 1));
    let again = recover(&folder.0)?;
    assert_eq!((again.unknown, again.torn.len()), (0, 0), "once");

    let ledger = FileLedger::open(&folder.options(Sync::Write, 1))?;
    put(&mut ledger.shard(0), 4, ("m", "t"), "public.o", Disposition::Allowed)?;
    let answer = search(&folder.0, &Filter::default())?;
    let ends: Vec<_> =
        answer.entries.iter().map(|e| e.outcome.as_ref().map_or("", |o| o.status.as_str())).collect();
    assert_eq!(ends, ["ok", "", "unknown", ""]);
    assert_eq!(answer.unreadable.len(), 1, "the piece is still there");
    Ok(())
}

#[test]
fn a_torn_end_is_closed_by_the_next_write_even_without_recovery() -> TestResult {
    let folder = Folder::new()?;
    std::fs::write(folder.0.join("audit-test-1-0.jsonl"), b"{\"event\":\"att")?;
    let ledger = FileLedger::open(&folder.options(Sync::Write, 1))?;
    put(&mut ledger.shard(0), 1, ("m", "t"), "public.o", Disposition::Allowed)?;
    assert_eq!(rulings(&folder, &Filter::default())?, ["1"]);
    Ok(())
}

#[test]
fn recovery_of_nothing_is_nothing() -> TestResult {
    let folder = Folder::new()?;
    assert_eq!(recover(&folder.0.join("missing"))?, Default::default());
    assert_eq!(recover(&folder.0)?, Default::default());
    Ok(())
}
