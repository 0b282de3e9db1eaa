//! Whole-system tests against a real PostgreSQL.

mod promises;
mod scenario;
mod support;
