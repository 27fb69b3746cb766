//! All integration tests, as one binary.

mod cli;
mod endings;
mod wire;
