//! Warehouses: where governed data lives. One folder per kind.
//!
//! Must never send a statement of an agent; that is the session's, and only as released text. Called by the proxy.

pub mod postgres;
