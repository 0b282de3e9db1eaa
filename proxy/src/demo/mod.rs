//! The demo: sample data, and the governance folder of the story it tells.
//!
//! Must never touch a warehouse it did not start. The data and the policies are also what the whole-system tests and the
//! benches run on.

pub mod data;
pub mod governance;
pub mod lanyard_process;
pub mod setting;
