//! All integration tests, as one binary.

mod cli;
mod rules;
mod sim;
mod wire;
