//! Everything outside Lanyard that it talks to, one folder per kind.
//!
//! Must never decide who may see what: entitlements arrive from the engine. Called by the proxy.

pub mod warehouse;
