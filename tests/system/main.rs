//! Whole-system tests against a real PostgreSQL.

mod attacks;
mod bypass;
mod demo;
mod drivers;
mod floor;
mod frames;
mod pipeline;
mod promises;
mod scenario;
mod support;
mod wire;
