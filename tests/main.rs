//! All integration tests, as one binary.

mod cli;
mod sim;
mod wire;
