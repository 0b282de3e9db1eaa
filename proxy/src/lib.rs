//! Lanyard, the proxy.
pub mod net;
pub mod observe;
pub mod server;
pub mod session;
pub mod vend;
pub mod wire;
