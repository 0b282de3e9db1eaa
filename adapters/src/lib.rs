//! Everything outside Lanyard that it talks to: warehouses, governance stores, ledgers.
//!
//! Must never decide: the engine decides, this crate reads, writes and carries. Called by the proxy.

pub mod ledger;
pub mod store;
