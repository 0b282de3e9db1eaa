//! Flags of the bench.

use std::path::PathBuf;

use crate::pgbench::Mode;
use crate::targets::Kind;
use crate::{Failure, failure};

pub(crate) const HELP: &str = "\
lanyard-bench: pgbench against PostgreSQL directly, PgBouncer, a bare forwarder and Lanyard

  --rounds N         rounds, each with every combination once (5)
  --seconds N        length of one pgbench run (3)
  --scale N          pgbench's scale factor (10)
  --clients A,B      numbers of clients (1,8)
  --modes A,B        of simple,extended,prepared (all)
  --targets A,B      of direct,forwarder,pgbouncer,lanyard-open,direct-governed,lanyard-governed (all)
  --output FILE      where the numbers go (benches/results/latest.json)
  --pg-bin FOLDER    PostgreSQL's binaries
  LANYARD_BIN        the program under test (beside this one)

lanyard-bench forwarder --listen ADDRESS --to ADDRESS|SOCKET
";

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) rounds: u32,
    pub(crate) seconds: u32,
    pub(crate) scale: u32,
    pub(crate) clients: Vec<u32>,
    pub(crate) modes: Vec<Mode>,
    pub(crate) targets: Vec<Kind>,
    pub(crate) output: PathBuf,
    pub(crate) pg_bin: Option<PathBuf>,
}

impl Options {
    pub(crate) fn parse(flags: &[&str]) -> Result<Self, Failure> {
        let mut options = Self {
            rounds: 5,
            seconds: 3,
            scale: 10,
            clients: vec![1, 8],
            modes: Mode::ALL.to_vec(),
            targets: Kind::ALL.to_vec(),
            output: PathBuf::from("benches/results/latest.json"),
            pg_bin: None,
        };
        for pair in flags.chunks(2) {
            let &[flag, value] = pair else {
                return Err(wrong(&format!("{:?} needs a value", pair.concat())));
            };
            match flag {
                "--rounds" => options.rounds = number(value)?,
                "--seconds" => options.seconds = number(value)?,
                "--scale" => options.scale = number(value)?,
                "--clients" => options.clients = list(value, |word| word.parse().ok())?,
                "--modes" => options.modes = list(value, Mode::parse)?,
                "--targets" => options.targets = list(value, Kind::parse)?,
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

fn number(word: &str) -> Result<u32, Failure> {
    let parsed = word.parse().ok().filter(|number| *number > 0);
    parsed.ok_or_else(|| wrong(&format!("{word:?} is not a positive number")))
}

fn list<T>(words: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Failure> {
    words.split(',').map(|word| parse(word).ok_or_else(|| wrong(&format!("unknown word {word:?}")))).collect()
}
