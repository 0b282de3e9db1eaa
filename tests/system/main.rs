//! Whole-system tests against a real PostgreSQL.

mod attacks;
mod bypass;
mod demo;
mod differential;
mod drivers;
mod floor;
mod frames;
mod majors;
mod pipeline;
mod promises;
mod relations;
mod scenario;
mod starting;
mod support;
