//! Adapters: everything outside Lanyard that it talks to, one folder per kind.

pub mod cluster;
