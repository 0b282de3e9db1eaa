//! The demo: sample data, the governance folder of the story it tells, and the story itself.
//!
//! Must never touch a warehouse it did not start. The data and the policies are also what the whole-system tests and the
//! benches run on.

pub mod data;
pub mod governance;
pub mod lanyard_process;
pub mod play;
pub mod setting;
