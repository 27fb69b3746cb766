//! All integration tests, as one binary.

mod cli;
mod harness;
mod transfers;
mod wire;
