//! What waits to be written on one connection, and the handle that puts it there.
//!
//! Does not know the socket: the worker's thread empties it.

use crate::cancel::Waker;
use crate::foot::FootHeader;
use crate::pool::Filled;
use crate::proto::WorkerId;
use crate::proto::frame::{Abort, Frame, Ping};
use crate::stats::WorkerRow;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Control frames that may wait; a connection that takes none of so many is dead.
const MAX_WAITING: usize = 1024;
/// With so many, heartbeats are put together: a foot may take minutes, in which others would pile up.
pub(super) const MANY_WAITING: usize = 512;

/// Speaks to one worker. Never blocks.
#[derive(Clone, Debug)]
pub struct Handle {
    id: WorkerId,
    outbox: Arc<Outbox>,
    received: Arc<AtomicU64>,
    row: Arc<WorkerRow>,
}

impl Handle {
    pub(in crate::link) fn new(
        id: WorkerId,
        outbox: Arc<Outbox>,
        received: Arc<AtomicU64>,
        row: Arc<WorkerRow>,
    ) -> Handle {
        Handle { id, outbox, received, row }
    }

    /// The connection that it speaks to.
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// The address at its other end.
    pub fn peer(&self) -> &str {
        &self.row.peer
    }

    /// Sends a control frame, before any foot that is not yet begun.
    pub fn send(&self, frame: Frame) {
        let mut state = self.outbox.lock();
        state.push(frame);
        drop(state);
        self.outbox.waker.wake();
    }

    /// Sends a foot.
    pub fn send_foot(&self, header: FootHeader, payload: Arc<Filled>) {
        self.outbox.lock().feet.push_back((header, payload));
        self.outbox.waker.wake();
    }

    /// Ends the connection now, for this reason.
    pub fn close(&self, reason: &'static str) {
        self.outbox.lock().ending = Ending::Now(reason);
        self.outbox.waker.wake();
    }

    /// Ends the connection once all control frames are out and the other end has hung up, or after
    /// half a second.
    pub fn retire(&self) {
        self.end(Ending::Retired);
    }

    /// Ends the connection once all control frames are out and the other end has hung up. Where one of them is an
    /// abort, it does not wait for the rest of a foot that was begun.
    pub fn finish(&self) {
        self.end(Ending::Flushed);
    }

    fn end(&self, ending: Ending) {
        let mut state = self.outbox.lock();
        if !matches!(state.ending, Ending::Now(_)) {
            state.ending = ending;
        }
        state.feet.clear();
        drop(state);
        self.outbox.waker.wake();
    }

    /// Payload bytes that came in on it so far.
    pub fn received_bytes(&self) -> u64 {
        self.received.load(Relaxed)
    }
}

/// What a worker finds in its outbox.
pub(super) enum Taken {
    /// Frames, and the header of this foot behind them.
    Foot(Arc<Filled>),
    /// Frames only.
    Frames,
    /// No frames, and no foot that may be begun: one waits.
    Held,
    Nothing,
    /// All is out and nothing more will come; whether it was retired.
    Finished {
        is_retired: bool,
    },
    /// The connection is to end now, for this reason.
    Closed(&'static str),
}

/// What waits for one worker, and the descriptors that wake it.
#[derive(Debug)]
pub(in crate::link) struct Outbox {
    state: Mutex<State>,
    waker: Waker,
}

#[derive(Debug)]
struct State {
    frames: VecDeque<Frame>,
    feet: VecDeque<(FootHeader, Arc<Filled>)>,
    ending: Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    No,
    Retired,
    Flushed,
    Now(&'static str),
}

impl Outbox {
    /// An empty one. Fails when the process is out of descriptors.
    pub(in crate::link) fn new() -> io::Result<Outbox> {
        let (frames, feet) = (VecDeque::new(), VecDeque::new());
        let state = State { frames, feet, ending: Ending::No };
        Ok(Outbox { state: Mutex::new(state), waker: Waker::new()? })
    }

    /// Encodes the waiting frames into `head`, and behind them the header of one foot, if one waits and
    /// may be begun.
    pub(super) fn take(&self, head: &mut Vec<u8>, may_begin: bool) -> Taken {
        if let Some(reason) = self.closed() {
            return Taken::Closed(reason);
        }
        let mut state = self.lock();
        for frame in state.frames.drain(..) {
            frame.encode(head);
        }
        match if may_begin { state.feet.pop_front() } else { None } {
            Some((header, payload)) => {
                Frame::Foot(header).encode(head);
                Taken::Foot(payload)
            }
            None if !head.is_empty() => Taken::Frames,
            None if !state.feet.is_empty() => Taken::Held,
            None => match state.ending {
                Ending::Retired => Taken::Finished { is_retired: true },
                Ending::Flushed => Taken::Finished { is_retired: false },
                Ending::No | Ending::Now(_) => Taken::Nothing,
            },
        }
    }

    /// Why the connection is to end now, if it is.
    pub(super) fn closed(&self) -> Option<&'static str> {
        match self.lock().ending {
            Ending::Now(reason) => Some(reason),
            Ending::No | Ending::Retired | Ending::Flushed => None,
        }
    }

    /// The abort behind which nothing will come any more, if there is one.
    pub(in crate::link) fn last_word(&self) -> Option<Abort> {
        let state = self.lock();
        let is_last = state.ending == Ending::Flushed;
        state.frames.iter().filter(|_| is_last).find_map(|frame| match frame {
            Frame::Abort(abort) => Some(abort.clone()),
            _ => None,
        })
    }

    /// Drops the frames that wait: another way was found to say what matters of them.
    pub(super) fn clear(&self) {
        self.lock().frames.clear();
    }

    /// Nothing is left to do: says whether it may be polled, or has to be looked into again.
    pub(super) fn rest(&self) -> bool {
        self.waker.rest()
    }

    /// It was polled, and this is whether it was readable.
    pub(super) fn rise(&self, is_readable: bool) {
        self.waker.rise(is_readable);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change of the state is complete before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Outbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}

impl State {
    fn push(&mut self, frame: Frame) {
        if let (Frame::Ack(new), Some(Frame::Ack(waiting))) = (&frame, self.frames.back_mut()) {
            // The newer says all that the older did, but for the ping that it answers.
            let echo = if new.echo == 0 { waiting.echo } else { new.echo };
            *waiting = new.clone();
            waiting.echo = echo;
            return;
        }
        if self.frames.len() >= MANY_WAITING
            && self.frames.iter_mut().any(|waiting| is_said_by(waiting, &frame))
        {
            return;
        }
        if self.frames.len() >= MAX_WAITING {
            self.ending = Ending::Now("it took nothing that was sent to it");
            return;
        }
        self.frames.push_back(frame);
    }
}

/// Whether a frame that waits says all that a newer one does; a heartbeat is made to, but for its token.
fn is_said_by(waiting: &mut Frame, new: &Frame) -> bool {
    match (waiting, new) {
        (Frame::Ping(waiting), Frame::Ping(new)) => {
            // How long the oldest takes tells how long the way is.
            let (token, window_blocked) = (waiting.token, waiting.window_blocked);
            let window_blocked = window_blocked || new.window_blocked;
            *waiting = Ping { token, window_blocked, ..*new };
            true
        }
        (Frame::End(waiting), Frame::End(new)) => waiting == new,
        _ => false,
    }
}
