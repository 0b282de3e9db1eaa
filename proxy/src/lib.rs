//! Lanyard, the proxy.
