//! Whole-system tests against a real PostgreSQL.

mod demo;
mod drivers;
mod promises;
mod scenario;
mod support;
