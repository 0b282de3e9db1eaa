//! Whole-system tests against a real PostgreSQL.

mod demo;
mod promises;
mod scenario;
mod support;
