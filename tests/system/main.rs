//! Whole-system tests against a real PostgreSQL.

mod support;
