//! SQL.

pub mod virtual_catalog;
