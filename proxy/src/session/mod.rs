//! One client's session: login, then statements until it ends.
//!
//! One task owns both sockets. `contact` reads the first packets, `wish` what is asked for; `login` proves who it is
//! and vends the role, `backend` logs in as it; `exchange` holds what is under way, `named` what
//! SQL prepares;
//! `inbound` judges and sends what the client says; `outbound` relays what the warehouse answers; `serve` is the loop.

mod backend;
pub mod contact;
mod copy;
mod exchange;
mod inbound;
pub mod login;
mod messages;
mod named;
mod outbound;
mod path;
mod question;
mod scram;
pub mod serve;
mod types;
mod wish;

pub use exchange::RecordText;
