//! Lanyard, the proxy: clients' sockets, sessions, vending, command line, configuration, observability.
//!
//! Concrete adapters are chosen here and nowhere else. The binary only calls [`cli`].

pub mod config;
pub mod observe;
