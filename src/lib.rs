//! viamillipede carries one pipe from a host to another over several TCP connections.

pub mod cli;
pub mod config;
pub mod error;
pub mod foot;
pub mod proto;
pub mod stats;
pub mod watch;
