//! Whole-system tests against a real PostgreSQL.
