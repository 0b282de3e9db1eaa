//! Whole-system tests against a real PostgreSQL.

mod scenario;
mod support;
