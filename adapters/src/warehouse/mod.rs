//! Warehouses.

pub mod postgres;
