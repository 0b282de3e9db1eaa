//! Everything outside Lanyard that it talks to, one folder per kind: warehouses, governance stores, ledgers, and the
//! private PostgreSQL of the demo and the tests.
//!
//! Must never decide: the engine decides, this crate reads, writes and carries. Called by the proxy.

pub mod cluster;
pub mod ledger;
pub mod process;
pub mod store;
pub mod warehouse;
