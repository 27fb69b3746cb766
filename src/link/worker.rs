//! One worker: a thread with one non-blocking socket.
//!
//! It reads frames, and feet straight into the buffers that its [`Inlet`] gives; it writes what its
//! [`Handle`] was given, control frames before feet that are not yet begun. It knows bytes and frames,
//! not their order or meaning.

mod outbox;

pub use outbox::Handle;
pub(super) use outbox::Outbox;

use super::channel::Channel;
use super::{Crew, Event};
use crate::cancel::wait;
use crate::error::plain;
use crate::foot::FootHeader;
use crate::net;
use crate::pool::{Buffer, Filled};
use crate::proto::WorkerId;
use crate::proto::frame::{Frame, FrameError, decode};
use crate::proto::hello::Role;
use crate::stats::{Stats, WorkerRow, WorkerState};
use nix::poll::PollFlags;
use outbox::Taken;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use thiserror::Error;

/// Room for what is read beside feet: the largest frame, and a little of what follows.
const READ_AHEAD: usize = 16 << 10;
/// Reads in a row before writing has its turn: acks must not wait behind a fast sender.
const READS_IN_A_ROW: usize = 16;
/// How long a worker that has said its last word waits for the other end to hang up.
const LAST_WORD: Duration = Duration::from_millis(500);

/// What to do with a foot whose header came in.
pub enum Admit {
    /// Read its payload into this buffer, and give it to [`Inlet::complete`].
    Take(Buffer),
    /// It is there already: read past it.
    Skip,
    /// It must not come: close the connection for this reason.
    Refuse(&'static str),
}

/// Where the feet of one connection go.
pub trait Inlet: Send {
    /// A foot is about to come in.
    fn admit(&mut self, worker: WorkerId, header: &FootHeader) -> Admit;
    /// More of its payload has come in: so far it is this.
    fn advance(&mut self, payload: &[u8]);
    /// Its payload is here, as the first `packed_bytes` of the buffer.
    fn complete(&mut self, worker: WorkerId, header: FootHeader, payload: Filled);
}

/// The inlet of a sender, to which no feet come.
#[derive(Debug)]
pub struct NoFeet;

impl Inlet for NoFeet {
    fn admit(&mut self, _: WorkerId, _: &FootHeader) -> Admit {
        Admit::Refuse("it sent a foot to the sender")
    }

    fn advance(&mut self, _: &[u8]) {}

    fn complete(&mut self, _: WorkerId, _: FootHeader, _: Filled) {}
}

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
    /// Bytes of the channel that are in the figures.
    counted: u64,
    /// Control frames and foot headers being written, and how far.
    head: Vec<u8>,
    head_written: usize,
    foot: Option<(Arc<Filled>, usize)>,
    /// What was read and is not parsed is the first `ahead` bytes of it.
    read_ahead: Box<[u8]>,
    ahead: usize,
    incoming: Option<Incoming>,
    /// Set once all is said; when it comes, the connection ends.
    hang_up: Option<Instant>,
}

/// A foot whose payload is coming in.
struct Incoming {
    header: FootHeader,
    /// `None`: its bytes are not wanted.
    buffer: Option<Buffer>,
    filled: usize,
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
        let outbox = Arc::new(outbox);
        let received = Arc::new(AtomicU64::new(0));
        let handle = Handle::new(id, Arc::clone(&outbox), Arc::clone(&received), Arc::clone(&row));
        let counted = carried(&channel, crew.role);
        let mut room = vec![0; READ_AHEAD.max(read_ahead.len())];
        room[..read_ahead.len()].copy_from_slice(&read_ahead);
        let worker = Worker {
            id,
            channel,
            crew,
            inlet,
            outbox,
            row,
            received,
            counted,
            head: Vec::new(),
            head_written: 0,
            foot: None,
            read_ahead: room.into_boxed_slice(),
            ahead: read_ahead.len(),
            incoming: None,
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
        let ended = match self.parse().and_then(|()| self.serve()) {
            Ok(never) => match never {},
            Err(ended) => ended,
        };
        self.stats().leave(self.id);
        // A disconnected channel means that the run is over.
        let _ = self.crew.events.send(Event::Down(self.id, ended.to_string()));
    }

    fn serve(&mut self) -> Result<std::convert::Infallible, Ended> {
        loop {
            // Who takes nothing and never stops talking gets no rest.
            if let Some(reason) = self.outbox.closed() {
                return Err(Ended::Refused(reason));
            }
            let wrote = self.write_some()?;
            let (read, all_read) = self.read_some()?;
            if wrote || read && !all_read {
                continue;
            }
            self.rest()?;
        }
    }

    /// Waits until there is something to do.
    fn rest(&mut self) -> Result<(), Ended> {
        let writing = self.is_writing();
        self.row.set_state(if writing || self.incoming.is_some() {
            WorkerState::Busy
        } else {
            WorkerState::Idle
        });
        if !self.outbox.rest() {
            return Ok(()); // something has come into it since it was looked into
        }
        let mut wanted = PollFlags::POLLIN;
        wanted.set(PollFlags::POLLOUT, writing);
        let [_, woken, cancelled] = wait(
            &mut [
                (self.channel.as_fd(), wanted),
                (self.outbox.as_fd(), PollFlags::POLLIN),
                (self.crew.cancel.as_fd(), PollFlags::POLLIN),
            ],
            self.hang_up,
        )?;
        self.outbox.rise(!woken.is_empty());
        let late = self.hang_up.is_some_and(|at| at <= Instant::now());
        if late || !cancelled.is_empty() { Err(Ended::Closed) } else { Ok(()) }
    }

    /// Writes until there is nothing to write, no room, or one foot is out (reading has its turn);
    /// says whether anything was written.
    fn write_some(&mut self) -> Result<bool, Ended> {
        let mut wrote = false;
        loop {
            if !self.is_writing() && !self.refill()? {
                return Ok(wrote);
            }
            let result = self.write_once();
            self.count();
            match result {
                Ok(()) => wrote = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(wrote),
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
        match self.outbox.take(&mut self.head) {
            Taken::Foot(payload) => self.foot = Some((payload, 0)),
            Taken::Frames => {}
            Taken::Nothing => return Ok(false),
            Taken::Closed(reason) => return Err(Ended::Refused(reason)),
            Taken::Finished => {
                if self.hang_up.is_none() {
                    self.channel.finish()?;
                    self.hang_up = Some(Instant::now() + LAST_WORD);
                }
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn write_once(&mut self) -> io::Result<()> {
        let head = &self.head[self.head_written..];
        let payload = self.foot.as_ref().map_or(&[][..], |(payload, written)| &payload[*written..]);
        let written = self.channel.write(head, payload)?;
        let of_head = written.min(head.len());
        self.head_written += of_head;
        if let Some((_, place)) = &mut self.foot {
            *place += written - of_head;
        }
        Ok(())
    }

    fn is_writing(&self) -> bool {
        self.head_written < self.head.len() || self.foot.is_some() || !self.channel.is_flushed()
    }

    /// Whether the foot being written has gone to the kernel whole.
    fn is_foot_out(&self) -> bool {
        let is_taken = |(payload, written): &(Arc<Filled>, usize)| *written == payload.len();
        self.foot.as_ref().is_some_and(is_taken) && self.channel.is_flushed()
    }

    /// Reads a little; says whether anything came, and whether nothing more is there.
    fn read_some(&mut self) -> Result<(bool, bool), Ended> {
        for reads in 0..READS_IN_A_ROW {
            let result = self.read_once();
            self.count();
            match result {
                Ok(0) => return Err(Ended::Eof),
                Ok(_) => self.parse()?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok((reads > 0, true));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok((true, false))
    }

    /// One read: a foot's payload straight into its buffer, what follows it into the read-ahead.
    fn read_once(&mut self) -> io::Result<usize> {
        let ahead = self.ahead;
        debug_assert!(ahead < READ_AHEAD, "a whole frame fits, and whole frames are parsed");
        let (bytes, kept) = match &mut self.incoming {
            Some(Incoming { header, buffer: Some(buffer), filled }) => {
                let payload = &mut buffer[*filled..header.packed_bytes as usize];
                let wanted = payload.len();
                self.channel.read(payload, &mut self.read_ahead).map(|bytes| {
                    let of_payload = bytes.min(wanted);
                    *filled += of_payload;
                    self.received.fetch_add(of_payload as u64, Relaxed);
                    (bytes, bytes - of_payload)
                })?
            }
            _ => {
                let room = &mut self.read_ahead[ahead..];
                self.channel.read(room, &mut []).map(|bytes| (bytes, ahead + bytes))?
            }
        };
        self.ahead = kept;
        Ok(bytes)
    }

    /// Takes apart what was read ahead, and hands on what is complete.
    fn parse(&mut self) -> Result<(), Ended> {
        let mut place = 0;
        loop {
            if self.incoming.is_some() {
                place += self.take_payload(place);
                if self.incoming.is_some() {
                    break;
                }
            }
            match decode(&self.read_ahead[place..self.ahead])? {
                None => break,
                Some((frame, bytes)) => {
                    place += bytes;
                    match frame {
                        Frame::Foot(header) => self.begin_foot(header)?,
                        frame => self.tell(Event::Frame(self.id, frame))?,
                    }
                }
            }
        }
        self.read_ahead.copy_within(place..self.ahead, 0);
        self.ahead -= place;
        Ok(())
    }

    fn begin_foot(&mut self, header: FootHeader) -> Result<(), Ended> {
        let buffer = match self.inlet.admit(self.id, &header) {
            Admit::Take(buffer) => Some(buffer),
            Admit::Skip => None,
            Admit::Refuse(reason) => return Err(Ended::Refused(reason)),
        };
        self.incoming = Some(Incoming { header, buffer, filled: 0 });
        Ok(())
    }

    /// Moves payload from the read-ahead, from `place` on, to the foot that is coming in, and hands
    /// the foot on once it is whole; returns how much was moved.
    fn take_payload(&mut self, place: usize) -> usize {
        let Some(incoming) = &mut self.incoming else { return 0 };
        let length = incoming.header.packed_bytes as usize;
        let ahead = &self.read_ahead[place..self.ahead];
        let moved = ahead.len().min(length - incoming.filled);
        if let Some(buffer) = &mut incoming.buffer {
            buffer[incoming.filled..incoming.filled + moved].copy_from_slice(&ahead[..moved]);
        }
        incoming.filled += moved;
        self.received.fetch_add(moved as u64, Relaxed);
        if let Some(buffer) = &incoming.buffer {
            self.inlet.advance(&buffer[..incoming.filled]);
        }
        if incoming.filled == length
            && let Some(Incoming { header, buffer, .. }) = self.incoming.take()
        {
            self.row.feet.increment();
            match buffer {
                Some(buffer) => self.inlet.complete(self.id, header, Filled::new(buffer, length)),
                None => self.stats().duplicate_feet.increment(),
            }
        }
        moved
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
