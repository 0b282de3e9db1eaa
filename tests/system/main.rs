//! Whole-system tests against a real PostgreSQL.

mod attacks;
mod bypass;
mod changing;
mod commands;
mod demo;
mod detach;
mod differential;
mod drift;
mod drivers;
mod floor;
mod frames;
mod majors;
mod matrix;
mod permits;
mod pipeline;
mod promises;
mod purposes;
mod question;
mod relations;
mod scenario;
mod starting;
mod support;
mod wire;
mod works;
mod workspace;
