//! viamillipede carries one pipe from a host to another over several TCP connections.

pub mod both;
mod cancel;
pub mod cli;
mod clock;
pub mod codec;
pub mod config;
pub mod digest;
pub mod error;
pub mod foot;
mod link;
mod net;
mod pipe;
mod pool;
pub mod proto;
pub mod rx;
pub mod stats;
pub mod stdio;
mod team;
pub mod tx;
pub mod watch;
