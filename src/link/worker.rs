//! One worker: a thread with one non-blocking socket.
//!
//! It reads frames, and feet straight into the buffers that its [`Inlet`] gives; it writes what its
//! [`Handle`] was given, control frames before feet that are not yet begun. It knows bytes and frames,
//! not their order or meaning.

mod inlet;
mod outbox;
mod read;

pub use inlet::{Admit, Inlet, NoFeet};
pub use outbox::Handle;
pub(super) use outbox::Outbox;

use super::channel::Channel;
use super::limit::Share;
use super::{Crew, Event};
use crate::cancel::wait;
use crate::error::plain;
use crate::net;
use crate::pool::Filled;
use crate::proto::WorkerId;
use crate::proto::frame::{Abort, Frame, FrameError};
use crate::proto::hello::Role;
use crate::stats::{Stats, WorkerRow, WorkerState};
use nix::poll::PollFlags;
use outbox::Taken;
use read::Incoming;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};
use thiserror::Error;
use tracing::trace;

/// Room for what is read beside feet: the largest frame, and a little of what follows.
const READ_AHEAD: usize = 16 << 10;
/// Reads in a row before writing has its turn: acks must not wait behind a fast sender.
const READS_IN_A_ROW: usize = 16;
/// Times so many that are left to read of a connection that has failed: more than a kernel holds of acks.
const LEFT_OVER: usize = 64;
/// How often the kernel is asked how the connection is.
const LOOK: Duration = Duration::from_millis(500);
/// How long a worker that was retired, and has said so, waits for the other end to hang up.
const LAST_WORD: Duration = Duration::from_millis(500);

/// The cause of [`Event::Down`] when the other end has closed the connection.
pub(super) const HUNG_UP: &str = "closed by the other end";

/// Why a worker ends.
#[derive(Debug, Error)]
enum Ended {
    #[error("{}", plain(.0))]
    Io(#[from] io::Error),
    #[error("not our protocol: {0}")]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Refused(&'static str),
    #[error("{}", HUNG_UP)]
    Eof,
    #[error("closed here")]
    Closed,
}

/// The socket and what is under way on it.
pub(super) struct Worker {
    id: WorkerId,
    channel: Channel,
    crew: Crew,
    inlet: Box<dyn Inlet>,
    outbox: Arc<Outbox>,
    row: Arc<WorkerRow>,
    received: Arc<AtomicU64>,
    /// What it may write, where that is limited.
    share: Share,
    /// Bytes of the channel that are in the figures, and that the limit knows of.
    counted: u64,
    committed: u64,
    /// Control frames and foot headers being written, and how far.
    head: Vec<u8>,
    head_written: usize,
    foot: Option<(Arc<Filled>, usize)>,
    /// What was read and is not parsed is the first `ahead` bytes of it.
    read_ahead: Box<[u8]>,
    ahead: usize,
    incoming: Option<Incoming>,
    /// When the kernel is asked again.
    next_look: Instant,
    /// All is said, and the other end is to hang up; or else, where it has come, this one does.
    is_finished: bool,
    hang_up: Option<Instant>,
}

impl Worker {
    /// A worker on a welcomed connection, of which `read_ahead` was read already. All descriptors that it
    /// needs are in `outbox`: who cannot have them should not connect at all.
    pub(super) fn new(
        id: WorkerId,
        channel: Channel,
        read_ahead: Vec<u8>,
        outbox: Outbox,
        inlet: Box<dyn Inlet>,
        row: Arc<WorkerRow>,
        crew: Crew,
    ) -> io::Result<(Worker, Handle)> {
        if crew.role == Role::Receiver {
            net::end_untaken(&channel)?;
        }
        if let Some(name) = &crew.congestion {
            net::set_congestion(&channel, name)?;
        }
        let outbox = Arc::new(outbox);
        let received = Arc::new(AtomicU64::new(0));
        let handle = Handle::new(id, Arc::clone(&outbox), Arc::clone(&received), Arc::clone(&row));
        let (counted, committed) = (carried(&channel, crew.role), channel.committed_bytes());
        let mut share = Share::new(crew.limit.clone(), id, row.link, Arc::clone(&crew.stats));
        share.spend(committed); // what it took to get here
        let (ahead, mut room) = (read_ahead.len(), read_ahead);
        room.resize(READ_AHEAD.max(ahead), 0);
        let worker = Worker {
            id,
            channel,
            crew,
            inlet,
            outbox,
            row,
            received,
            share,
            counted,
            committed,
            head: Vec::new(),
            head_written: 0,
            foot: None,
            read_ahead: room.into_boxed_slice(),
            ahead,
            incoming: None,
            next_look: Instant::now(),
            is_finished: false,
            hang_up: None,
        };
        Ok((worker, handle))
    }

    /// Its connection, to say what comes before frames.
    pub(super) fn channel(&mut self) -> &mut Channel {
        &mut self.channel
    }

    /// Moves frames until the connection ends; then says so, unless nobody listens any more.
    pub(super) fn run(mut self) {
        let begun = self.tell_held().and_then(|()| self.parse());
        let ended = match begun.and_then(|()| self.serve()) {
            Ok(never) => match never {},
            Err(ended) => ended,
        };
        // Inside TLS that is an end which the other end has declared, and nobody else could.
        let is_declared = matches!(ended, Ended::Eof);
        if let Some(word) = self.broken_off().filter(|_| is_declared) {
            // As below.
            let _ = self.tell(Event::Frame(self.id, Frame::Abort(word)));
        }
        self.row.set_tcp(net::tcp_info(&self.channel));
        self.stats().leave(self.id);
        let (worker, feet, bytes) = (self.id.0, self.row.feet.now(), self.row.bytes.now());
        trace!(worker, reason = ended.to_string(), feet, bytes, "connection is closed");
        // A disconnected channel means that the run is over.
        let _ = self.crew.events.send(Event::Down(self.id, ended.to_string()));
    }

    fn serve(&mut self) -> Result<std::convert::Infallible, Ended> {
        loop {
            // Who takes nothing and never stops talking gets no rest.
            if let Some(reason) = self.outbox.closed() {
                return Err(Ended::Refused(reason));
            }
            if self.is_over() {
                return Err(Ended::Closed);
            }
            self.look();
            self.break_off();
            let wrote = self.write_some().inspect_err(|ended| {
                if matches!(ended, Ended::Io(_)) {
                    self.hear_out();
                }
            })?;
            let (read, all_read) = self.read_some()?;
            if wrote || read && !all_read {
                continue;
            }
            self.rest()?;
        }
    }

    /// Says a last word at once, in the place of the rest of a foot: the rest may take minutes, and is for nothing.
    fn break_off(&mut self) {
        let Some((payload, written)) = &self.foot else { return };
        let left = payload.len() - written;
        let Some(word) = self.outbox.last_word().map(Abort::within_foot) else { return };
        self.share.lift(); // nor does it wait for its turn
        if word.len() < left {
            self.outbox.clear();
            self.head.drain(..self.head_written);
            self.head.extend_from_slice(&word);
            (self.head_written, self.foot) = (0, None);
        }
    }

    /// The connection takes nothing more: what the other end had said before may tell why.
    fn hear_out(&mut self) {
        for _ in 0..LEFT_OVER {
            if !matches!(self.read_some(), Ok((_, false))) {
                return;
            }
        }
    }

    /// Whether the run is over, or the other end has had time enough to hang up.
    fn is_over(&self) -> bool {
        let is_late = self.hang_up.is_some_and(|at| at <= Instant::now());
        is_late || self.crew.cancel.is_cancelled()
    }

    /// Asks the kernel how the connection is, now and then, for people to see.
    fn look(&mut self) {
        let now = Instant::now();
        if now >= self.next_look {
            self.next_look = now + LOOK;
            self.row.set_tcp(net::tcp_info(&self.channel));
        }
    }

    /// Waits until there is something to do.
    fn rest(&mut self) -> Result<(), Ended> {
        let turn = self.share.turn();
        let writing = self.is_writing();
        self.row.set_state(if writing || turn.is_some() || self.incoming.is_some() {
            WorkerState::Busy
        } else {
            WorkerState::Idle
        });
        if !self.outbox.rest() {
            return Ok(()); // something has come into it since it was looked into
        }
        let mut wanted = PollFlags::POLLIN;
        wanted.set(PollFlags::POLLOUT, writing && turn.is_none() || !self.channel.is_flushed());
        let [_, woken, _] = wait(
            &mut [
                (self.channel.as_fd(), wanted),
                (self.outbox.as_fd(), PollFlags::POLLIN),
                (self.crew.cancel.as_fd(), PollFlags::POLLIN),
            ],
            self.hang_up.into_iter().chain(turn).min(),
        )?;
        self.outbox.rise(!woken.is_empty());
        Ok(())
    }

    /// Writes until there is nothing to write, no room, it is another's turn, or one foot is out (reading
    /// has its turn); says whether anything was written.
    fn write_some(&mut self) -> Result<bool, Ended> {
        let mut wrote = false;
        loop {
            if !self.is_writing() && !self.refill()? {
                return Ok(wrote);
            }
            if self.has_unwritten() && self.foot.is_some() && !self.may_write()? {
                return Ok(wrote);
            }
            let result = self.write_once();
            self.count();
            match result {
                Ok(()) => wrote = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.share.full();
                    self.tell_held()?;
                    return Ok(wrote);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            if self.is_foot_out() {
                self.foot = None;
                self.row.feet.increment();
                self.tell(Event::Written(self.id))?;
                return Ok(true);
            }
        }
    }

    /// Takes the next things to write from the outbox; says whether there are any.
    fn refill(&mut self) -> Result<bool, Ended> {
        self.head.clear();
        self.head_written = 0;
        let mut taken = self.outbox.take(&mut self.head, self.share.most() > 0);
        if matches!(taken, Taken::Held) {
            if !self.may_write()? {
                return Ok(false);
            }
            taken = self.outbox.take(&mut self.head, true);
        }
        match taken {
            Taken::Foot(payload) => self.foot = Some((payload, 0)),
            Taken::Frames => {}
            Taken::Nothing | Taken::Held => {
                self.share.rest();
                return Ok(false);
            }
            Taken::Closed(reason) => return Err(Ended::Refused(reason)),
            Taken::Finished { is_retired } => {
                if !self.is_finished && self.finish()? {
                    self.hang_up = is_retired.then(|| Instant::now() + LAST_WORD);
                }
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Ends the way out; says whether that is done, or has to wait for room.
    fn finish(&mut self) -> Result<bool, Ended> {
        match self.channel.finish() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            finished => {
                finished?;
                self.is_finished = true;
            }
        }
        Ok(self.is_finished)
    }

    fn write_once(&mut self) -> io::Result<()> {
        let head = &self.head[self.head_written..];
        let payload = self.foot.as_ref().map_or(&[][..], |(payload, written)| &payload[*written..]);
        let most = self.share.most().saturating_sub(head.len());
        let written = self.channel.write(head, &payload[..payload.len().min(most)])?;
        let of_head = written.min(head.len());
        self.head_written += of_head;
        if let Some((_, place)) = &mut self.foot {
            *place += written - of_head;
        }
        Ok(())
    }

    /// Whether some of a foot may be written now, as far as the limit goes.
    fn may_write(&mut self) -> Result<bool, Ended> {
        let left = self.foot.as_ref().map(|(payload, written)| {
            let bytes = self.head.len() - self.head_written + payload.len() - written;
            bytes as u64
        });
        let opens = self.share.opens(left);
        self.tell_held()?;
        Ok(opens)
    }

    /// Tells the owner whether the limit is what holds it back, when that has changed.
    fn tell_held(&mut self) -> Result<(), Ended> {
        self.share.news().map_or(Ok(()), |is_held| self.tell(Event::Held(self.id, is_held)))
    }

    fn is_writing(&self) -> bool {
        self.has_unwritten() || self.foot.is_some() || !self.channel.is_flushed()
    }

    /// Whether the channel has not taken all yet of what is being written.
    fn has_unwritten(&self) -> bool {
        let is_left = |(payload, written): &(Arc<Filled>, usize)| *written < payload.len();
        self.head_written < self.head.len() || self.foot.as_ref().is_some_and(is_left)
    }

    /// Whether the foot being written has gone to the kernel whole.
    fn is_foot_out(&self) -> bool {
        self.foot.is_some() && !self.has_unwritten() && self.channel.is_flushed()
    }

    fn tell(&self, event: Event) -> Result<(), Ended> {
        self.crew.events.send(event).map_err(|_| Ended::Closed)
    }

    /// Counts what has gone over the wire, the way that the stream goes.
    fn count(&mut self) {
        let bytes = carried(&self.channel, self.crew.role);
        let more = bytes - std::mem::replace(&mut self.counted, bytes);
        self.row.bytes.add(more);
        self.stats().wire_bytes.add(more);
        let committed = self.channel.committed_bytes();
        self.share.spend(committed - std::mem::replace(&mut self.committed, committed));
    }

    fn stats(&self) -> &Stats {
        &self.crew.stats
    }
}

fn carried(channel: &Channel, role: Role) -> u64 {
    match role {
        Role::Sender => channel.sent_bytes(),
        Role::Receiver => channel.received_bytes(),
    }
}

#[cfg(test)]
mod tests;
