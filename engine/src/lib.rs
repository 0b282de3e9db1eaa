//! The pure core of Lanyard.
//!
//! No I/O, clock, randomness, async or globals: time, ids and catalogs arrive as values. Called by the adapters (which
//! build what an entitlement says) and by the proxy (which judges with it).

pub mod approval;
pub mod catalog;
pub mod entitlement;
pub mod identify;
pub mod identity;
pub mod limits;
pub mod names;
pub mod policy;
pub mod record;
pub mod refusal;
pub mod released;
pub mod snapshot;
pub mod sql;
pub mod workspace;
