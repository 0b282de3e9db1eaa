//! Whole-system tests against a real PostgreSQL.

mod attacks;
mod bypass;
mod demo;
mod drift;
mod drivers;
mod floor;
mod frames;
mod matrix;
mod pipeline;
mod promises;
mod scenario;
mod support;
