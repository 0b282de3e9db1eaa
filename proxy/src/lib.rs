//! Lanyard, the proxy: clients' sockets, sessions, vending, command line, configuration, observability.
//!
//! Concrete adapters are chosen here and nowhere else. The binary only calls [`cli`].

pub mod cli;
pub mod config;
pub mod demo;
pub mod net;
pub mod observe;
pub mod server;
pub mod session;
pub mod vend;
pub mod wire;
