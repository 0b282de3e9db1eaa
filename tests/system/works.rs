//! What works through the proxy as it does directly: PostgreSQL's regression files, wide analytic queries, tools.
//!
//! It must never count as alike what was not compared, nor as passed what was not run. The long form writes
//! `docs/what-works.md`.

mod compare;
mod regression;
mod report;
mod script;
