//! All integration tests, as one binary.

mod cli;
mod endings;
mod harness;
mod keys;
mod rules;
mod sim;
mod transfers;
mod wire;
