//! Adapters.

pub mod warehouse;
