//! All integration tests, as one binary.

mod cli;
mod endings;
mod harness;
mod rules;
mod sim;
mod transfers;
mod wire;
