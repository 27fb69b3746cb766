//! What a run has done so far and what it waits for, written by the stages and read by whoever
//! watches.
//!
//! All relaxed atomics: watching never holds the stream up, and a snapshot may be a moment out of
//! step with itself. Knows what the figures mean for the bottleneck. Does not know how they are
//! shown (`watch`), nor take part in any decision about the stream.

mod bottleneck;
mod link;
mod snapshot;
mod worker;

pub use bottleneck::Bottleneck;
pub(crate) use bottleneck::Tally;
pub(crate) use link::LinkRow;
pub use snapshot::Snapshot;
pub(crate) use worker::{WorkerRow, WorkerState};

use crate::codec::{LADDER, Packing};
use crate::proto::{LinkId, WorkerId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Most links of which totals are kept, however many the other end makes up.
const MAX_LINKS: usize = 256;

/// Which end of the stream this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It transmits.
    Sender,
    /// It receives.
    Receiver,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Role::Sender => "sender",
            Role::Receiver => "receiver",
        })
    }
}

/// A figure that any thread may change and read.
#[derive(Debug, Default)]
pub(crate) struct Figure(AtomicU64);

impl Figure {
    /// One more.
    pub(crate) fn increment(&self) {
        self.add(1);
    }

    /// `more` more.
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// `less` less; never more often than it was added.
    pub(crate) fn subtract(&self, less: u64) {
        self.0.fetch_sub(less, Relaxed);
    }

    /// This value, whatever it was.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// Its value now.
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A yes or no that any thread may change and read.
#[derive(Debug, Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    /// This value, whatever it was.
    pub(crate) fn set(&self, value: bool) {
        self.0.store(value, Relaxed);
    }

    /// Its value now.
    pub(crate) fn now(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// The figures of one end.
#[derive(Debug)]
pub struct Stats {
    /// Which end this is.
    pub(crate) role: Role,
    /// Threads that pack or unpack.
    pub(crate) threads: Figure,

    /// Raw bytes read from the source (sender).
    pub(crate) source_bytes: Figure,
    /// Raw bytes of the stream that are through: written to the sink, as the receiver has last said it (sender).
    pub(crate) stream_bytes: Figure,
    /// Headers and payloads on all connections, sent (sender) or received (receiver).
    pub(crate) wire_bytes: Figure,
    /// Payload bytes of the feet, each counted once.
    pub(crate) packed_bytes: Figure,
    /// Raw bytes of the same feet.
    pub(crate) raw_bytes: Figure,
    /// Feet, each counted once.
    pub(crate) feet: Figure,
    /// Feet sent again, for any reason (sender); as far as it is known here, those that came in bad or
    /// were there already (receiver).
    pub(crate) resent_feet: Figure,
    /// Feet that came although they were there already.
    pub(crate) duplicate_feet: Figure,
    /// Feet that failed their check.
    pub(crate) nacks: Figure,
    /// Feet sent a second time on a faster worker, while the first copy was on its way.
    pub(crate) reinjected: Figure,
    /// Connections that ended before the stream did.
    pub(crate) lost_connections: Figure,
    /// Connections that carry the stream, or did when it was over.
    pub(crate) connections_in_use: Figure,
    /// Hellos that were said, and of which is not known yet what comes of them.
    pub(crate) hellos: Figure,
    /// All of the stream has gone out: the receiver may have it (sender).
    pub(crate) all_sent: Flag,

    /// The source has nothing to read.
    pub(crate) waiting_for_source: Flag,
    /// Feet that wait for a packing thread or are in one.
    pub(crate) packing_feet: Figure,
    /// Where adaptive packing is on its ladder, counted from 1; 0 where packing is not adaptive.
    pub(crate) rung: Figure,
    /// Feet that wait for an unpacking thread or are in one.
    pub(crate) unpacking_feet: Figure,
    /// Packed feet that no worker has taken.
    pub(crate) unsent_feet: Figure,
    /// Their payloads, as packed.
    pub(crate) unsent_bytes: Figure,
    /// Connections that wait for their turn under `--rate`.
    pub(crate) held_workers: Figure,
    /// For how many microseconds they have waited for it, all together.
    pub(crate) held_us: Figure,
    /// The receiver's window is what holds the next foot back.
    pub(crate) window_blocked: Flag,
    /// It does not yet, but will before any connection that is free could carry that foot.
    pub(crate) window_short: Flag,
    /// How many feet it has been wide at most, as known at the sender; 0 before it is.
    pub(crate) far_window_feet: Figure,
    /// The sink has feet, or its own end, to digest, as known at this end: nothing else is to blame for
    /// that these are not through. One that is quick may have some all the time.
    pub(crate) sink_blocked: Flag,
    /// It is in the middle of taking something, as known at this end: that is what is waited for.
    pub(crate) sink_writing: Flag,
    /// Feet packed, and not yet acked.
    pub(crate) unacked_feet: Figure,
    /// Feet verified, and not yet with the sink (receiver).
    pub(crate) held_feet: Figure,
    /// Feet of the stream that this end can hold, and the size of each in bytes; 0 before they are settled.
    pub(crate) window_feet: Figure,
    /// The size of a whole foot in bytes.
    pub(crate) foot_bytes: Figure,
    /// Feet below this number may be sent.
    pub(crate) limit: Figure,
    /// Every foot below this number is verified.
    pub(crate) cumulative: Figure,

    started: OnceLock<Instant>,
    /// When the stream was over.
    stopped: OnceLock<Instant>,
    best_link: AtomicU16,
    expected_bytes: OnceLock<u64>,
    table: Mutex<Table>,
}

/// The connections that are there, and what those that are gone have left.
#[derive(Debug, Default)]
struct Table {
    workers: BTreeMap<WorkerId, Arc<WorkerRow>>,
    links: BTreeMap<LinkId, LinkRow>,
    /// How many connections of each carry the stream, or did when it was over.
    in_use: BTreeMap<LinkId, usize>,
}

impl Stats {
    /// All figures at zero, for an end on this machine.
    pub fn of(role: Role) -> Stats {
        Stats::new(role, thread::available_parallelism().map_or(1, usize::from))
    }

    /// All figures at zero, for an end with this many packing or unpacking threads.
    pub(crate) fn new(role: Role, threads: usize) -> Stats {
        Stats {
            role,
            threads: Figure(AtomicU64::new(threads as u64)),
            source_bytes: Figure::default(),
            stream_bytes: Figure::default(),
            wire_bytes: Figure::default(),
            packed_bytes: Figure::default(),
            raw_bytes: Figure::default(),
            feet: Figure::default(),
            resent_feet: Figure::default(),
            duplicate_feet: Figure::default(),
            nacks: Figure::default(),
            reinjected: Figure::default(),
            lost_connections: Figure::default(),
            connections_in_use: Figure::default(),
            hellos: Figure::default(),
            all_sent: Flag::default(),
            waiting_for_source: Flag::default(),
            packing_feet: Figure::default(),
            rung: Figure::default(),
            unpacking_feet: Figure::default(),
            unsent_feet: Figure::default(),
            unsent_bytes: Figure::default(),
            held_workers: Figure::default(),
            held_us: Figure::default(),
            window_blocked: Flag::default(),
            window_short: Flag::default(),
            far_window_feet: Figure::default(),
            sink_blocked: Flag::default(),
            sink_writing: Flag::default(),
            unacked_feet: Figure::default(),
            held_feet: Figure::default(),
            window_feet: Figure::default(),
            foot_bytes: Figure::default(),
            limit: Figure::default(),
            cumulative: Figure::default(),
            started: OnceLock::new(),
            stopped: OnceLock::new(),
            best_link: AtomicU16::new(u16::MAX),
            expected_bytes: OnceLock::new(),
            table: Mutex::default(),
        }
    }

    /// The session is there: seconds and rates count from now. Only the first call does anything.
    pub(crate) fn start(&self) {
        self.started.get_or_init(Instant::now);
    }

    /// The stream is over: what is still waited for, as a last word, is no part of its seconds. Only the first
    /// call does anything.
    pub(crate) fn stop(&self) {
        self.stopped.get_or_init(Instant::now);
    }

    /// Whether there is a stream under way.
    pub(crate) fn is_running(&self) -> bool {
        self.started.get().is_some() && self.stopped.get().is_none()
    }

    /// Whether there was a stream, and is none any more.
    pub(crate) fn is_over(&self) -> bool {
        self.stopped.get().is_some()
    }

    /// Time since the session was there, or for which the stream took; none before.
    pub(crate) fn elapsed(&self) -> Option<Duration> {
        let now = || self.stopped.get().copied().unwrap_or_else(Instant::now);
        self.started.get().map(|started| now().saturating_duration_since(*started))
    }

    /// The stream is expected to be this long. Only the first call does anything.
    pub(crate) fn expect_bytes(&self, bytes: u64) {
        self.expected_bytes.get_or_init(|| bytes);
    }

    /// A worker has a connection to `peer`. It keeps the row, and updates it without a lock.
    pub(crate) fn join(&self, worker: WorkerId, link: LinkId, peer: String) -> Arc<WorkerRow> {
        let row = Arc::new(WorkerRow::new(link, peer));
        self.enter(worker, &row);
        row
    }

    /// The worker of this row has a connection; with [`Stats::join`], from its beginning.
    pub(crate) fn enter(&self, worker: WorkerId, row: &Arc<WorkerRow>) {
        let link = row.link;
        self.best_link.fetch_min(link.0, Relaxed);
        let mut table = self.table();
        if table.links.len() < MAX_LINKS {
            table.links.entry(link).or_default().peer.clone_from(&row.peer);
        }
        table.workers.insert(worker, Arc::clone(row));
    }

    /// Whether there ever was a connection over one of the first links, this many.
    pub(crate) fn has_known(&self, links: u16) -> bool {
        self.best_link.load(Relaxed) < links
    }

    /// The worker's connection is no more. Whether it was *lost* is the caller's to count.
    pub(crate) fn leave(&self, worker: WorkerId) {
        let mut table = self.table();
        if let Some(row) = table.workers.remove(&worker)
            && let Some(link) = table.links.get_mut(&row.link)
        {
            link.add(&row, false);
        }
    }

    /// These links have so many connections in use, and no other has any.
    pub(crate) fn use_connections(&self, in_use: BTreeMap<LinkId, usize>) {
        self.connections_in_use.set(in_use.values().sum::<usize>() as u64);
        self.table().in_use = in_use;
    }

    /// How many connections of this link carry the stream, or did when it was over.
    pub(crate) fn in_use(&self, link: LinkId) -> usize {
        self.table().in_use.get(&link).copied().unwrap_or_default()
    }

    /// A connection of this link was lost.
    pub(crate) fn lose(&self, link: LinkId) {
        self.lost_connections.increment();
        if let Some(link) = self.table().links.get_mut(&link) {
            link.lost = Some(Instant::now());
        }
    }

    /// How many workers have a connection.
    pub(crate) fn live_workers(&self) -> usize {
        self.table().workers.len()
    }

    /// The workers that have a connection, in order of their numbers.
    pub(crate) fn workers(&self) -> Vec<(WorkerId, Arc<WorkerRow>)> {
        self.table().workers.iter().map(|(&worker, row)| (worker, Arc::clone(row))).collect()
    }

    /// Every link that there was a connection on, the preferred one first.
    pub(crate) fn links(&self) -> BTreeMap<LinkId, LinkRow> {
        let table = self.table();
        let mut links = table.links.clone();
        for row in table.workers.values() {
            if let Some(link) = links.get_mut(&row.link) {
                link.add(row, true);
            }
        }
        links
    }

    /// All figures as they are now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            role: self.role,
            elapsed: self.elapsed(),
            expected_bytes: self.expected_bytes.get().copied(),
            stream_bytes: self.stream_bytes.now(),
            wire_bytes: self.wire_bytes.now(),
            source_bytes: self.source_bytes.now(),
            packed_bytes: self.packed_bytes.now(),
            raw_bytes: self.raw_bytes.now(),
            feet: self.feet.now(),
            resent_feet: self.resent_feet.now(),
            lost_connections: self.lost_connections.now(),
            connections_in_use: self.connections_in_use.now(),
            all_sent: self.all_sent.now(),
            live_workers: self.live_workers(),
            unacked_feet: self.unacked_feet.now(),
            held_feet: self.held_feet.now(),
            unsent_feet: self.unsent_feet.now(),
            window_feet: self.window_feet.now(),
            far_window_feet: self.far_window_feet.now(),
            foot_bytes: self.foot_bytes.now(),
            threads: self.threads.now(),
            limit: self.limit.now(),
            cumulative: self.cumulative.now(),
            packing: self.packing(),
            bottleneck: self.bottleneck(),
        }
    }

    /// How feet are packed now, where that is adaptive.
    fn packing(&self) -> Option<Packing> {
        LADDER.get(self.rung.now().checked_sub(1)? as usize).copied()
    }

    /// Whether more could go over the connections, or come, as far as this end can see: nothing before them
    /// or behind them is what is waited for. (A rate that they share may be.)
    pub(crate) fn waits_for_connections(&self) -> bool {
        match self.role {
            _ if self.sink_blocked.now() => false,
            Role::Sender => self.unsent_feet.now() > 0 && !self.window_blocked.now(),
            Role::Receiver => self.unpacking_feet.now() < self.threads.now(),
        }
    }

    /// What holds the stream up at this moment, as far as this end can see.
    pub(crate) fn bottleneck(&self) -> Bottleneck {
        let unsent = self.unsent_feet.now() > 0;
        let is_blocked = unsent && (self.window_blocked.now() || self.window_short.now());
        match self.role {
            _ if self.sink_writing.now() => Bottleneck::Sink,
            // It had not begun to write when we last heard, and the window is full of what it has.
            Role::Sender if is_blocked && self.sink_blocked.now() => Bottleneck::Sink,
            Role::Receiver if self.unpacking_feet.now() >= self.threads.now() => {
                Bottleneck::Decompression
            }
            Role::Receiver => Bottleneck::NetworkOrSender,
            Role::Sender if self.waiting_for_source.now() && !unsent => Bottleneck::Source,
            Role::Sender if self.packing_feet.now() > self.threads.now() && !self.packs_ahead() => {
                Bottleneck::Compression
            }
            Role::Sender if self.held_workers.now() > 0 => Bottleneck::Rate,
            Role::Sender if is_blocked => Bottleneck::Window,
            Role::Sender if !unsent && self.is_full() => Bottleneck::Window,
            Role::Sender => Bottleneck::Network,
        }
    }

    /// Whether feet are packed faster than they go: more wait than what the threads have just handed over.
    fn packs_ahead(&self) -> bool {
        self.unsent_feet.now() > self.threads.now()
    }

    /// Whether this end holds all the feet that it can, or nearly: the last are being read or packed.
    fn is_full(&self) -> bool {
        let held = self.unacked_feet.now() + self.packing_feet.now();
        let most = self.window_feet.now();
        most > 0 && held + 2 >= most
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change is an insert or a remove: the table is whole even if its holder panicked.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
