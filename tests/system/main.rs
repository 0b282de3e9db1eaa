//! Whole-system tests against a real PostgreSQL.

mod drivers;
mod promises;
mod scenario;
mod support;
