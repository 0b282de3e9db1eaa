//! Whole-system tests against a real PostgreSQL.

mod drivers;
mod frames;
mod promises;
mod scenario;
mod support;
