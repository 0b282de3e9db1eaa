//! What others do to one client: its latency while they flood, dawdle and stare, beside its latency when they do not.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::options::Options;
use crate::pgbench::Door;
use crate::raw::Raw;
use crate::statistics::{estimate, median};
use crate::targets::Stage;
use crate::{Failure, report};

const METHOD: &str = "one client asks for one row of pgbench_accounts again and again, alone and beside each crowd in turn, rounds interleaved; \
                      ratios are over rounds, of a round's 99th percentile beside the crowd and alone. Crowds: 500 connections a second that \
                      close at once; 200 a second that send a startup packet and nothing more; 20 logins a second with a wrong password; 8 \
                      readers of 200 MB that take 1 MB/s each; 16 writers that send a byte every 5 ms. The crowd's own work is done on the \
                      same two cores. Beside it the same crowds at a bare forwarder to PostgreSQL";
const COMPARED: [Kind; 2] = [Kind::Forwarder, Kind::LanyardOpen];
const STATEMENT: &str = "SELECT abalance FROM public.pgbench_accounts WHERE aid = 1";
const MUCH: &str = "SELECT repeat('x', 1000) FROM generate_series(1, 200000)";
const READ_BYTES: usize = 4 << 10;
/// A crowd has come together, or gone.
const SETTLE: Duration = Duration::from_millis(300);
/// Silent connections that one thread keeps open before it lets the first go.
const SILENT_MAX: usize = 400;

/// Who else is there.
#[derive(Debug, Clone, Copy)]
enum Crowd {
    Connections,
    Silent,
    WrongPasswords,
    SlowReaders,
    SlowWriters,
}

impl Crowd {
    const ALL: [Self; 5] =
        [Self::Connections, Self::Silent, Self::WrongPasswords, Self::SlowReaders, Self::SlowWriters];

    fn word(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Silent => "silent",
            Self::WrongPasswords => "wrong-passwords",
            Self::SlowReaders => "slow-readers",
            Self::SlowWriters => "slow-writers",
        }
    }

    fn members(self) -> usize {
        match self {
            Self::Connections | Self::Silent | Self::WrongPasswords => 1,
            Self::SlowReaders => 8,
            Self::SlowWriters => 16,
        }
    }

    /// What one member does until it is told to stop.
    fn play(self, door: &Door, stop: &AtomicBool) -> Result<(), Failure> {
        let going = || !stop.load(Ordering::Relaxed);
        match self {
            Self::Connections => {
                while going() {
                    drop(TcpStream::connect(("127.0.0.1", door.port))?);
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            Self::Silent => {
                let mut open = std::collections::VecDeque::new();
                while going() {
                    let mut stream = TcpStream::connect(("127.0.0.1", door.port))?;
                    stream.write_all(&Raw::startup_packet(door)?)?;
                    open.push_back(stream);
                    if open.len() > SILENT_MAX {
                        open.pop_front();
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
            Self::WrongPasswords => {
                let wrong = Door { password: "wrong".into(), ..door.clone() };
                while going() {
                    if Raw::log_in(&wrong, READ_BYTES).is_ok() {
                        return Err("a wrong password was taken".into());
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
            Self::SlowReaders => {
                let mut client = Raw::log_in(door, READ_BYTES)?;
                client.ask(MUCH)?;
                while going() {
                    client.sip(1_000_000, Duration::from_millis(100))?;
                }
            }
            Self::SlowWriters => {
                let mut client = Raw::log_in(door, READ_BYTES)?;
                while going() {
                    client.ask_slowly(STATEMENT, Duration::from_millis(5))?;
                    client.drain()?;
                }
            }
        }
        Ok(())
    }
}

/// Blocks the thread.
pub(crate) fn run(options: &Options, stage: &Stage) -> Result<Value, Failure> {
    let mut results = Vec::new();
    let long = Duration::from_secs(options.seconds.into());
    for ready in COMPARED.iter().filter_map(|kind| stage.target(*kind)) {
        println!("crowd: {} rounds at {}", options.rounds, ready.kind.word());
        let mut client = Raw::log_in(&ready.door, READ_BYTES)?;
        let mut rounds: Vec<Vec<(f64, f64)>> = vec![Vec::new(); Crowd::ALL.len()];
        for _ in 0..options.rounds {
            for (crowd, rounds) in Crowd::ALL.into_iter().zip(&mut rounds) {
                let alone = p99(&mut client, long)?;
                rounds.push((alone, beside(crowd, &ready.door, || p99(&mut client, long))?));
            }
        }
        for (crowd, rounds) in Crowd::ALL.into_iter().zip(rounds) {
            let ratios: Vec<f64> = rounds.iter().map(|(alone, beside)| beside / alone).collect();
            results.push(json!({
                "target": ready.kind.word(),
                "crowd": crowd.word(),
                "alone_p99_us": median(rounds.iter().map(|(alone, _)| *alone)),
                "beside_p99_us": median(rounds.iter().map(|(_, beside)| *beside)),
                "p99_ratio": estimate(&ratios).map(report::estimated),
            }));
        }
        client.leave()?;
    }
    println!(
        "\n{:<14} {:<16} {:>13} {:>14} {:>7}",
        "target", "crowd", "alone p99 µs", "beside p99 µs", "ratio"
    );
    for line in &results {
        println!(
            "{:<14} {:<16} {:>13.0} {:>14.0} {:>7.2}",
            line["target"].as_str().unwrap_or_default(),
            line["crowd"].as_str().unwrap_or_default(),
            line["alone_p99_us"].as_f64().unwrap_or(f64::NAN),
            line["beside_p99_us"].as_f64().unwrap_or(f64::NAN),
            line["p99_ratio"]["median"].as_f64().unwrap_or(f64::NAN),
        );
    }
    Ok(json!({ "method": METHOD, "results": results }))
}

/// What is measured while the crowd is there. A member that fails is an error: a crowd that is not there disturbs nobody.
fn beside<T>(crowd: Crowd, door: &Door, measure: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let members: Vec<_> = (0..crowd.members()).map(|_| scope.spawn(|| crowd.play(door, &stop))).collect();
        std::thread::sleep(SETTLE);
        let measured = measure();
        stop.store(true, Ordering::Relaxed);
        for member in members {
            member.join().map_err(|_| Failure::from("a member of the crowd panicked"))??;
        }
        std::thread::sleep(SETTLE);
        measured
    })
}

/// The 99th percentile of the client's statements for so long, in microseconds.
fn p99(client: &mut Raw, long: Duration) -> Result<f64, Failure> {
    let (begun, mut times) = (Instant::now(), Vec::new());
    while begun.elapsed() < long {
        let asked = Instant::now();
        client.ask(STATEMENT)?;
        client.drain()?;
        times.push(asked.elapsed().as_secs_f64() * 1_000_000.0);
    }
    times.sort_by(f64::total_cmp);
    let at = times.len() * 99 / 100;
    times.get(at).copied().ok_or_else(|| "no statement was answered".into())
}
