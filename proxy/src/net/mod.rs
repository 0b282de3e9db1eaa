//! Sockets: listening, TLS, and the pump between the two sides of a session.

pub mod files;
pub mod listen;
pub mod pump;
pub mod strangers;
pub mod stream;
pub mod tls;
