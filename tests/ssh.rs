//! Push and pull through a real ssh and sshd on 127.0.0.1.
//!
//! Where there is no sshd, or it cannot run here, these tests say so and end. Does not know how the ends
//! talk through ssh.

mod apart;
mod ended;
mod hidden;
mod lost;
mod pull;
mod push;
mod server;
mod ways;

/// More than pipes and sockets hold, and soon carried.
const LARGE: u64 = 16 << 20;
