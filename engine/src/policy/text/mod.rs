//! Policy text: one grammar, read with exact positions and printed back canonically.
//!
//! Must never guess: what the grammar does not say is an error with file, line, column and a hint. Called by `PolicySet`.

pub(crate) mod diagnostic;
pub(crate) mod json;
mod lessons;
pub(crate) mod lexer;
mod masks;
pub(crate) mod parser;
pub(crate) mod phrases;
pub(crate) mod printer;
mod rows;
mod who;
pub(crate) mod words;
