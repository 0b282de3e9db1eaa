//! Whole-system tests against a real PostgreSQL.

mod attacks;
mod bypass;
mod floor;
mod pipeline;
mod promises;
mod scenario;
mod support;
