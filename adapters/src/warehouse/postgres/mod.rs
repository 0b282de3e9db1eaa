//! PostgreSQL.

pub mod virtual_catalog;
