//! The PostgreSQL frontend/backend protocol as bytes (PostgreSQL manual, "Message Formats").
//!
//! Framing is ours: one frame is cut by its length under the cap of its phase, decoded whole, and leftovers are refused.

pub mod backend;
pub mod frame;
pub mod inbound;
pub mod outgoing;
pub mod startup;
