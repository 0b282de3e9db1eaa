//! Lanyard, the proxy.

pub mod demo;
