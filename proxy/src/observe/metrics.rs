//! The counters, in Prometheus' text format.
//!
//! Every label value exists from the start, so that a rate over a counter that never moved is 0 and not absent.

use std::time::Duration;

use lanyard_engine::record::Disposition;
use lanyard_engine::refusal::Code;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

/// Seconds: 10 µs to 1 s, for what happens in this process.
const SHORT_SECONDS: &[f64] =
    &[0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.1, 1.0];
/// Seconds: 1 ms to 10 s, for what needs the warehouse.
const LONG_SECONDS: &[f64] = &[0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Every code we speak; the label `sqlstate` of refusals.
const CODES: [Code; 25] = [
    Code::Policy,
    Code::UndefinedTable,
    Code::UndefinedColumn,
    Code::UndefinedObject,
    Code::Unsupported,
    Code::Syntax,
    Code::TooLarge,
    Code::TooDeep,
    Code::LedgerFull,
    Code::TooManyClients,
    Code::BadLogin,
    Code::NoIdentity,
    Code::UnknownDatabase,
    Code::UnknownStatement,
    Code::UnknownPortal,
    Code::DuplicatePortal,
    Code::DuplicateStatement,
    Code::Protocol,
    Code::BadBytes,
    Code::BadValue,
    Code::Cancelled,
    Code::ShuttingDown,
    Code::Starting,
    Code::UpstreamLost,
    Code::Internal,
];

/// Which way bytes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From clients to the warehouse.
    ToWarehouse,
    /// From the warehouse to clients.
    ToClient,
}

/// The counters of one process. Share it behind an `Arc`; every method is a few atomic operations.
pub struct Metrics {
    registry: Registry,
    /// Sessions now.
    pub sessions: IntGauge,
    /// Those of them that have no backend now.
    pub detached: IntGauge,
    /// Outcomes of statements that could not be put on record since the start.
    pub outcomes_lost: IntGauge,
    allowed: IntCounter,
    filtered: IntCounter,
    masked: IntCounter,
    refused: IntCounter,
    refusals: IntCounterVec,
    vend: Histogram,
    judge: Histogram,
    audit_write: Histogram,
    to_warehouse: IntCounter,
    to_client: IntCounter,
}

impl Metrics {
    /// A registry of its own.
    ///
    /// # Errors
    /// [`prometheus::Error`] when two metrics share a name, which the test of this file rules out.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, label: &str| {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            let histogram = Histogram::with_opts(options)?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        let sessions = IntGauge::new("lanyard_sessions", "Sessions that are open.")?;
        registry.register(Box::new(sessions.clone()))?;
        let detached = IntGauge::new(
            "lanyard_sessions_detached",
            "Sessions that are open and have no backend in the warehouse, because they are idle.",
        )?;
        registry.register(Box::new(detached.clone()))?;
        let outcomes_lost = IntGauge::new(
            "lanyard_audit_outcomes_lost",
            "Outcomes that could not be put on record; the next start marks them unknown.",
        )?;
        registry.register(Box::new(outcomes_lost.clone()))?;
        let statements =
            counters("lanyard_statements_total", "Statements judged, by disposition.", "disposition")?;
        let refusals = counters(
            "lanyard_refusals_total",
            "What was refused, by SQLSTATE; statements, logins and protocol violations.",
            "sqlstate",
        )?;
        for code in CODES {
            refusals.with_label_values(&[code.sqlstate()]);
        }
        let bytes = counters("lanyard_relayed_bytes_total", "Bytes relayed.", "direction")?;
        let build = counters("lanyard_build_info", "Always 1; the version is a label.", "version")?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).inc();
        Ok(Self {
            sessions,
            detached,
            outcomes_lost,
            allowed: statements.with_label_values(&["allowed"]),
            filtered: statements.with_label_values(&["filtered"]),
            masked: statements.with_label_values(&["masked"]),
            refused: statements.with_label_values(&["refused"]),
            refusals,
            vend: histogram("lanyard_vend_seconds", "Time to vend a role.", LONG_SECONDS)?,
            judge: histogram("lanyard_judge_seconds", "Time to judge a statement.", SHORT_SECONDS)?,
            audit_write: histogram(
                "lanyard_audit_write_seconds",
                "Time to write the record of an attempt.",
                SHORT_SECONDS,
            )?,
            to_warehouse: bytes.with_label_values(&["to_warehouse"]),
            to_client: bytes.with_label_values(&["to_client"]),
            registry,
        })
    }

    /// A statement was judged.
    pub fn judged(&self, disposition: Disposition, took: Duration) {
        match disposition {
            Disposition::Allowed => self.allowed.inc(),
            Disposition::Filtered => self.filtered.inc(),
            Disposition::Masked => self.masked.inc(),
            Disposition::Refused => self.refused.inc(),
        }
        self.judge.observe(took.as_secs_f64());
    }

    /// A client was told no: a statement, a login, a violation of the protocol.
    pub fn refusal(&self, code: Code) {
        self.refusals.with_label_values(&[code.sqlstate()]).inc();
    }

    /// A role was vended.
    pub fn vended(&self, took: Duration) {
        self.vend.observe(took.as_secs_f64());
    }

    /// The record of an attempt was written.
    pub fn audit_written(&self, took: Duration) {
        self.audit_write.observe(took.as_secs_f64());
    }

    /// Bytes were relayed.
    pub fn relayed(&self, direction: Direction, bytes: u64) {
        match direction {
            Direction::ToWarehouse => self.to_warehouse.inc_by(bytes),
            Direction::ToClient => self.to_client.inc_by(bytes),
        }
    }

    /// Everything, in Prometheus' text format 0.0.4.
    ///
    /// # Errors
    /// [`prometheus::Error`] from the encoder.
    pub fn encode(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_there_from_the_start_and_counts() -> Result<(), prometheus::Error> {
        let metrics = Metrics::new()?;
        let before = metrics.encode()?;
        for line in [
            "lanyard_sessions 0",
            "lanyard_audit_outcomes_lost 0",
            "lanyard_statements_total{disposition=\"refused\"} 0",
            "lanyard_refusals_total{sqlstate=\"53000\"} 0",
            "lanyard_relayed_bytes_total{direction=\"to_client\"} 0",
            "lanyard_vend_seconds_count 0",
            "lanyard_judge_seconds_bucket{le=\"0.00001\"} 0",
            "lanyard_audit_write_seconds_count 0",
        ] {
            assert!(before.lines().any(|l| l == line), "{line}\n{before}");
        }
        metrics.sessions.inc();
        metrics.judged(Disposition::Masked, Duration::from_micros(20));
        metrics.refusal(Code::Policy);
        metrics.vended(Duration::from_millis(3));
        metrics.audit_written(Duration::from_micros(5));
        metrics.relayed(Direction::ToClient, 1234);
        let after = metrics.encode()?;
        for line in [
            "lanyard_sessions 1",
            "lanyard_statements_total{disposition=\"masked\"} 1",
            "lanyard_statements_total{disposition=\"refused\"} 0",
            "lanyard_refusals_total{sqlstate=\"42501\"} 1",
            "lanyard_relayed_bytes_total{direction=\"to_client\"} 1234",
            "lanyard_vend_seconds_bucket{le=\"0.005\"} 1",
            "lanyard_audit_write_seconds_bucket{le=\"0.00001\"} 1",
        ] {
            assert!(after.lines().any(|l| l == line), "{line}\n{after}");
        }
        Ok(())
    }

    #[test]
    fn every_code_is_counted_under_its_own_label() {
        let labels: std::collections::BTreeSet<_> = CODES.iter().map(|c| c.sqlstate()).collect();
        assert_eq!(labels.len(), CODES.len());
    }
}
