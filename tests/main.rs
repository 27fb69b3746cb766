//! All integration tests, as one binary.

mod cli;
mod completions;
mod embedded;
mod endings;
mod fuzzed;
mod harness;
mod keys;
#[cfg(target_os = "linux")]
mod lab;
#[cfg(target_os = "linux")]
mod recipes;
mod report;
mod rules;
mod sim;
#[cfg(target_os = "linux")]
mod ssh;
mod terminal;
mod tls;
mod transfers;
mod wire;
