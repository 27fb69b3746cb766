//! All integration tests, as one binary.

mod cli;
mod endings;
mod rules;
mod sim;
mod wire;
