//! What is asked of a push or pull through ssh: this end, the other, and the ways between them.
//!
//! Does not know how the other end is told (`ssh`).

use super::{Common, Dest, Rx, Tx, Workers};
pub use crate::ssh::order::Task;
use crate::stats::Role;

/// Settings of `tx --ssh` and `rx --ssh`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssh {
    /// This end. It dials; where, is known once the far end listens.
    pub near: Near,
    /// The ssh to use.
    pub command: SshCommand,
    /// Other addresses of the far end, the preferred first; none is the one that ssh goes to. Port 0 is
    /// the one that the far end picks.
    pub dests: Vec<Dest>,
    /// TCP connections over all ways together.
    pub workers: Workers,
    /// Whether the stream goes directly, or through ssh.
    pub direct: Direct,
    /// The window that was asked for, in bytes: the far end may have another default.
    pub window_asked: Option<u64>,
    /// The end that shall be there.
    pub task: Task,
}

/// The end of the stream that is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Near {
    /// Transmit: push.
    Tx(Tx),
    /// Receive: pull.
    Rx(Rx),
}

impl Near {
    /// Whether it sends or receives.
    pub fn role(&self) -> Role {
        match self {
            Near::Tx(_) => Role::Sender,
            Near::Rx(_) => Role::Receiver,
        }
    }
}

/// How ssh is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshCommand {
    /// The program and its arguments; never empty.
    pub words: Vec<String>,
    /// Where it goes: `[USER@]HOST`, or a name of its configuration.
    pub host: String,
    /// viamillipede over there, as the shell there understands it.
    pub program: String,
}

/// Whether the stream goes through direct TCP connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direct {
    /// Where they come up; through ssh otherwise.
    Auto,
    /// Only so.
    Always,
    /// Not at all: through ssh.
    Never,
}

impl Ssh {
    /// What the near end has of what every end has.
    pub fn common(&self) -> &Common {
        match &self.near {
            Near::Tx(tx) => &tx.common,
            Near::Rx(rx) => &rx.common,
        }
    }

    /// How many links do not lead through ssh.
    pub fn direct_links(&self) -> usize {
        if self.direct == Direct::Never { 0 } else { self.dests.len().max(1) }
    }

    /// The same, to be changed.
    pub fn common_mut(&mut self) -> &mut Common {
        match &mut self.near {
            Near::Tx(tx) => &mut tx.common,
            Near::Rx(rx) => &mut rx.common,
        }
    }
}
