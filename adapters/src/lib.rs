//! Adapters: everything outside Lanyard that it talks to, one folder per kind.

pub mod cluster;
pub mod process;
