//! All integration tests, as one binary.

mod cli;
mod endings;
mod fuzzed;
mod harness;
#[cfg(target_os = "linux")]
mod lab;
mod rules;
mod sim;
mod transfers;
mod wire;
