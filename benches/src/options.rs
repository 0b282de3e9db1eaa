//! Flags of the bench.

use std::path::PathBuf;

use crate::kind::Kind;
use crate::pgbench::Mode;
use crate::{Failure, failure};

pub(crate) const HELP: &str = "\
lanyard-bench: what Lanyard costs, beside PostgreSQL directly, PgBouncer and a bare forwarder

  --parts A,B        of latency,bulk,connect,idle,crowd,statement (all); parts not run keep their last numbers
  --rounds N         rounds, each with every combination once (5)
  --seconds N        length of one pgbench run (1)
  --scale N          pgbench's scale factor (10: a million rows)
  --clients A,B      numbers of clients (1,8,32)
  --modes A,B        of simple,extended,prepared (all)
  --targets A,B      of direct,forwarder,pgbouncer,lanyard-open, and direct,forwarder,pgbouncer,lanyard each with -governed (all)
  --connects N       turns of connecting (60)
  --idle N           idle sessions with a backend each (1000)
  --detached N       idle sessions whose backends Lanyard has let go (5000)
  --output FILE      where the numbers go (benches/results/latest.json)
  --pg-bin FOLDER    PostgreSQL's binaries
  LANYARD_BIN        the program under test (beside this one)

lanyard-bench publish [FILE]        charts, README's table and docs/speed.md again, from the numbers of a run
lanyard-bench enforcement [FLAGS]   what secured views cost in the database (see enforcement --help)
lanyard-bench forwarder --listen ADDRESS --to ADDRESS|SOCKET
lanyard-bench judge CASE TIMES      judges one statement so many times, for callgrind
";

pub(crate) const OUTPUT: &str = "benches/results/latest.json";

/// A part of the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Latency,
    Bulk,
    Connect,
    Idle,
    Crowd,
    Statement,
}

impl Part {
    pub(crate) const ALL: [Self; 6] =
        [Self::Latency, Self::Bulk, Self::Connect, Self::Idle, Self::Crowd, Self::Statement];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Bulk => "bulk",
            Self::Connect => "connect",
            Self::Idle => "idle",
            Self::Crowd => "crowd",
            Self::Statement => "statement",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.word() == word)
    }

    /// Does it need servers?
    pub(crate) fn needs_stage(self) -> bool {
        match self {
            Self::Latency | Self::Bulk | Self::Connect | Self::Idle | Self::Crowd => true,
            Self::Statement => false,
        }
    }
}

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) parts: Vec<Part>,
    pub(crate) rounds: u32,
    pub(crate) seconds: u32,
    pub(crate) scale: u32,
    pub(crate) clients: Vec<u32>,
    pub(crate) modes: Vec<Mode>,
    pub(crate) targets: Vec<Kind>,
    pub(crate) connects: u32,
    pub(crate) idle: u32,
    pub(crate) detached: u32,
    pub(crate) output: PathBuf,
    pub(crate) pg_bin: Option<PathBuf>,
}

impl Options {
    pub(crate) fn parse(flags: &[&str]) -> Result<Self, Failure> {
        let mut options = Self {
            parts: Part::ALL.to_vec(),
            rounds: 5,
            seconds: 1,
            scale: 10,
            clients: vec![1, 8, 32],
            modes: Mode::ALL.to_vec(),
            targets: Kind::ALL.to_vec(),
            connects: 60,
            idle: 1_000,
            detached: 5_000,
            output: PathBuf::from(OUTPUT),
            pg_bin: None,
        };
        for pair in flags.chunks(2) {
            let &[flag, value] = pair else {
                return Err(wrong(&format!("{:?} needs a value", pair.concat())));
            };
            match flag {
                "--parts" => options.parts = list(value, Part::parse)?,
                "--rounds" => options.rounds = number(value)?,
                "--seconds" => options.seconds = number(value)?,
                "--scale" => options.scale = number(value)?,
                "--clients" => options.clients = list(value, |word| word.parse().ok())?,
                "--modes" => options.modes = list(value, Mode::parse)?,
                "--targets" => options.targets = list(value, Kind::parse)?,
                "--connects" => options.connects = number(value)?,
                "--idle" => options.idle = number(value)?,
                "--detached" => options.detached = number(value)?,
                "--output" => options.output = value.into(),
                "--pg-bin" => options.pg_bin = Some(value.into()),
                unknown => return Err(wrong(&format!("unknown flag {unknown:?}"))),
            }
        }
        if let Some(alone) = options.without_baseline() {
            return Err(wrong(&format!("{:?} needs its baseline in --targets", alone.word())));
        }
        Ok(options)
    }

    fn without_baseline(&self) -> Option<Kind> {
        let has = |kind| self.targets.contains(&kind);
        self.targets.iter().copied().find(|kind| !has(kind.baseline()))
    }
}

fn wrong(text: &str) -> Failure {
    failure(&format!("{text} (see --help)"))
}

pub(crate) fn number(word: &str) -> Result<u32, Failure> {
    let parsed = word.parse().ok().filter(|number| *number > 0);
    parsed.ok_or_else(|| wrong(&format!("{word:?} is not a positive number")))
}

fn list<T>(words: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Failure> {
    words.split(',').map(|word| parse(word).ok_or_else(|| wrong(&format!("unknown word {word:?}")))).collect()
}
