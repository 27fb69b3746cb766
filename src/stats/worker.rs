//! One worker's row in the table of connections.
//!
//! The worker updates it without a lock that anybody holds for long. Does not know the table, nor when a
//! worker is gone.

use super::Figure;
use crate::net::TcpInfo;
use crate::proto::LinkId;
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// One worker's connection.
#[derive(Debug)]
pub struct WorkerRow {
    /// The way it takes.
    pub link: LinkId,
    /// The address at the other end.
    pub peer: String,
    /// When it connected.
    pub since: Instant,
    /// Feet sent or received on it.
    pub feet: Figure,
    /// Bytes sent or received on it, headers included.
    pub bytes: Figure,
    state: AtomicU8,
    tcp: Mutex<Option<TcpInfo>>,
}

impl WorkerRow {
    pub(crate) fn new(link: LinkId, peer: String) -> WorkerRow {
        WorkerRow {
            link,
            peer,
            since: Instant::now(),
            feet: Figure::default(),
            bytes: Figure::default(),
            state: AtomicU8::new(WorkerState::Joining as u8),
            tcp: Mutex::default(),
        }
    }

    /// What the kernel says of the connection now.
    pub fn set_tcp(&self, info: Option<TcpInfo>) {
        *self.tcp.lock().unwrap_or_else(PoisonError::into_inner) = info;
    }

    /// What the kernel said of the connection last, if it ever did.
    pub fn tcp(&self) -> Option<TcpInfo> {
        *self.tcp.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the worker does now.
    pub fn set_state(&self, state: WorkerState) {
        self.state.store(state as u8, Relaxed);
    }

    /// What the worker did last.
    pub fn state(&self) -> WorkerState {
        let number = self.state.load(Relaxed);
        let known = [WorkerState::Joining, WorkerState::Idle, WorkerState::Busy];
        known.into_iter().find(|&state| state as u8 == number).unwrap_or(WorkerState::Stalled)
    }
}

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum WorkerState {
    /// Connected, and not yet welcome.
    Joining,
    /// Has nothing to carry.
    Idle,
    /// Carries feet.
    Busy,
    /// Carries feet, and nothing has moved for a while.
    Stalled,
}

impl fmt::Display for WorkerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            WorkerState::Joining => "joining",
            WorkerState::Idle => "idle",
            WorkerState::Busy => "busy",
            WorkerState::Stalled => "stalled",
        })
    }
}
