//! What an operator can watch: metrics, health, logs.
//!
//! Must never carry SQL, parameters, rows, ids of principals or secrets: labels are enums. Called by everything that
//! counts, and by `serve`, which runs the HTTP side.

pub mod http;
pub mod logging;
pub mod metrics;

pub use http::{Readiness, ReadinessCheck, serve_http};
pub use metrics::{Direction, Metrics};
