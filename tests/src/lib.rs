//! What the whole-system tests stand on: a governed warehouse with a running proxy, real drivers, raw frames.
//!
//! Must never stand in for a part of Lanyard: the proxy is the program itself, started as an operator starts it. Tests in
//! `tests/system` use it.

pub mod governed;
pub mod programs;
pub mod raw;
pub mod trees;
pub mod wait;

pub use governed::{Governed, GovernedOptions, program_folder};
pub use raw::{Frame, Raw};

/// What a test returns.
pub type Outcome<T = ()> = Result<T, TestError>;
/// Whatever went wrong.
pub type TestError = Box<dyn std::error::Error + Send + Sync>;
