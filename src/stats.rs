//! What a run has done so far and what it waits for, written by the stages and read by whoever
//! watches.
//!
//! All relaxed atomics: watching never holds the stream up, and a snapshot may be a moment out of
//! step with itself. Knows what the figures mean for the bottleneck. Does not know how they are
//! shown ([`crate::watch`]), nor take part in any decision about the stream.

mod bottleneck;
mod worker;

pub use bottleneck::{Bottleneck, Tally};
pub use worker::{WorkerRow, WorkerState};

use crate::codec::{LADDER, Packing};
use crate::net::TcpInfo;
use crate::proto::{LinkId, WorkerId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Most links of which totals are kept, however many the other end makes up.
const MAX_LINKS: usize = 256;

/// Which end of the stream this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It transmits.
    Sender,
    /// It receives.
    Receiver,
}

/// A figure that any thread may change and read.
#[derive(Debug, Default)]
pub struct Figure(AtomicU64);

impl Figure {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// `more` more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// `less` less; never more often than it was added.
    pub fn subtract(&self, less: u64) {
        self.0.fetch_sub(less, Relaxed);
    }

    /// This value, whatever it was.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// Its value now.
    pub fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A yes or no that any thread may change and read.
#[derive(Debug, Default)]
pub struct Flag(AtomicBool);

impl Flag {
    /// This value, whatever it was.
    pub fn set(&self, value: bool) {
        self.0.store(value, Relaxed);
    }

    /// Its value now.
    pub fn now(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// The figures of one end.
#[derive(Debug)]
pub struct Stats {
    /// Which end this is.
    pub role: Role,
    /// Threads that pack or unpack.
    pub threads: u64,

    /// Raw bytes read from the source (sender).
    pub source_bytes: Figure,
    /// Raw bytes of the stream that are through: acked (sender), written to the sink (receiver).
    pub stream_bytes: Figure,
    /// Headers and payloads on all connections, sent (sender) or received (receiver).
    pub wire_bytes: Figure,
    /// Payload bytes of the feet, each counted once.
    pub packed_bytes: Figure,
    /// Feet, each counted once.
    pub feet: Figure,
    /// Feet sent again, for any reason (sender); as far as it is known here, those that came in bad or
    /// were there already (receiver).
    pub resent_feet: Figure,
    /// Feet that came although they were there already.
    pub duplicate_feet: Figure,
    /// Feet that failed their check.
    pub nacks: Figure,
    /// Feet sent a second time on a faster worker, while the first copy was on its way.
    pub reinjected: Figure,
    /// Connections that ended before the stream did.
    pub lost_connections: Figure,
    /// Connections that carry the stream, or did when it was over.
    pub connections_in_use: Figure,

    /// The source has nothing to read.
    pub waiting_for_source: Flag,
    /// Feet that wait for a packing thread or are in one.
    pub packing_feet: Figure,
    /// Where adaptive packing is on its ladder, counted from 1; 0 where packing is not adaptive.
    pub rung: Figure,
    /// Feet that wait for an unpacking thread or are in one.
    pub unpacking_feet: Figure,
    /// Packed feet that no worker has taken.
    pub unsent_feet: Figure,
    /// Connections that wait for their turn under `--rate`.
    pub held_workers: Figure,
    /// For how many microseconds they have waited for it, all together.
    pub held_us: Figure,
    /// The receiver's window is what holds the next foot back.
    pub window_blocked: Flag,
    /// The sink takes nothing, as known at this end.
    pub sink_blocked: Flag,
    /// Feet sent, and not yet acked.
    pub unacked_feet: Figure,
    /// Feet of the stream that this end can hold, and the size of each in bytes; 0 before they are settled.
    pub window_feet: Figure,
    /// The size of a whole foot in bytes.
    pub foot_bytes: Figure,
    /// Feet below this number may be sent.
    pub limit: Figure,
    /// Every foot below this number is verified.
    pub cumulative: Figure,

    started: OnceLock<Instant>,
    best_link: AtomicU16,
    expected_bytes: OnceLock<u64>,
    table: Mutex<Table>,
}

/// The connections that are there, and what those that are gone have left.
#[derive(Debug, Default)]
struct Table {
    workers: BTreeMap<WorkerId, Arc<WorkerRow>>,
    links: BTreeMap<LinkId, LinkRow>,
}

/// What the connections of one link have done together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkRow {
    /// The address at the other end of the last of them.
    pub peer: String,
    /// Bytes sent or received on them, headers included, those of connections included that are gone.
    pub bytes: u64,
    /// How many there are now.
    pub live: usize,
    /// How many of these carry something.
    pub busy: usize,
    /// What their kernel says: counts and times are sums over all there ever were, the window is the sum over
    /// those that are there, the round trip the shortest of theirs; zero where none is known.
    pub tcp: TcpInfo,
}

impl LinkRow {
    /// Adds what a connection has done, which is there or is gone.
    fn add(&mut self, row: &WorkerRow, is_there: bool) {
        self.bytes += row.bytes.now();
        self.live += usize::from(is_there);
        self.busy += usize::from(is_there && row.state() == WorkerState::Busy);
        let Some(tcp) = row.tcp() else { return };
        self.tcp.retransmits += tcp.retransmits;
        self.tcp.busy += tcp.busy;
        self.tcp.held_by_receiver += tcp.held_by_receiver;
        self.tcp.held_by_buffer += tcp.held_by_buffer;
        if is_there {
            self.tcp.window_bytes += tcp.window_bytes;
            let known = Some(self.tcp.rtt).filter(|rtt| !rtt.is_zero());
            self.tcp.rtt = known.map_or(tcp.rtt, |rtt| rtt.min(tcp.rtt));
        }
    }
}

impl Stats {
    /// All figures at zero, for an end with this many packing or unpacking threads.
    pub fn new(role: Role, threads: usize) -> Stats {
        Stats {
            role,
            threads: threads as u64,
            source_bytes: Figure::default(),
            stream_bytes: Figure::default(),
            wire_bytes: Figure::default(),
            packed_bytes: Figure::default(),
            feet: Figure::default(),
            resent_feet: Figure::default(),
            duplicate_feet: Figure::default(),
            nacks: Figure::default(),
            reinjected: Figure::default(),
            lost_connections: Figure::default(),
            connections_in_use: Figure::default(),
            waiting_for_source: Flag::default(),
            packing_feet: Figure::default(),
            rung: Figure::default(),
            unpacking_feet: Figure::default(),
            unsent_feet: Figure::default(),
            held_workers: Figure::default(),
            held_us: Figure::default(),
            window_blocked: Flag::default(),
            sink_blocked: Flag::default(),
            unacked_feet: Figure::default(),
            window_feet: Figure::default(),
            foot_bytes: Figure::default(),
            limit: Figure::default(),
            cumulative: Figure::default(),
            started: OnceLock::new(),
            best_link: AtomicU16::new(u16::MAX),
            expected_bytes: OnceLock::new(),
            table: Mutex::default(),
        }
    }

    /// The session is there: seconds and rates count from now. Only the first call does anything.
    pub fn start(&self) {
        self.started.get_or_init(Instant::now);
    }

    /// Time since the session was there; none before.
    pub fn elapsed(&self) -> Option<Duration> {
        self.started.get().map(Instant::elapsed)
    }

    /// The stream is expected to be this long. Only the first call does anything.
    pub fn expect_bytes(&self, bytes: u64) {
        self.expected_bytes.get_or_init(|| bytes);
    }

    /// A worker has a connection to `peer`. It keeps the row, and updates it without a lock.
    pub fn join(&self, worker: WorkerId, link: LinkId, peer: String) -> Arc<WorkerRow> {
        self.best_link.fetch_min(link.0, Relaxed);
        let row = Arc::new(WorkerRow::new(link, peer));
        let mut table = self.table();
        if table.links.len() < MAX_LINKS {
            table.links.entry(link).or_default().peer.clone_from(&row.peer);
        }
        table.workers.insert(worker, Arc::clone(&row));
        row
    }

    /// Whether there ever was a connection over one of the first links, this many.
    pub fn has_known(&self, links: u16) -> bool {
        self.best_link.load(Relaxed) < links
    }

    /// The worker's connection is no more. Whether it was *lost* is the caller's to count.
    pub fn leave(&self, worker: WorkerId) {
        let mut table = self.table();
        if let Some(row) = table.workers.remove(&worker)
            && let Some(link) = table.links.get_mut(&row.link)
        {
            link.add(&row, false);
        }
    }

    /// How many workers have a connection.
    pub fn live_workers(&self) -> usize {
        self.table().workers.len()
    }

    /// The workers that have a connection, in order of their numbers.
    pub fn workers(&self) -> Vec<(WorkerId, Arc<WorkerRow>)> {
        self.table().workers.iter().map(|(&worker, row)| (worker, Arc::clone(row))).collect()
    }

    /// Every link that there was a connection on, the preferred one first.
    pub fn links(&self) -> BTreeMap<LinkId, LinkRow> {
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
            feet: self.feet.now(),
            resent_feet: self.resent_feet.now(),
            lost_connections: self.lost_connections.now(),
            connections_in_use: self.connections_in_use.now(),
            live_workers: self.live_workers(),
            unacked_feet: self.unacked_feet.now(),
            unsent_feet: self.unsent_feet.now(),
            window_feet: self.window_feet.now(),
            foot_bytes: self.foot_bytes.now(),
            threads: self.threads,
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
    pub fn waits_for_connections(&self) -> bool {
        match self.role {
            _ if self.sink_blocked.now() => false,
            Role::Sender => self.unsent_feet.now() > 0 && !self.window_blocked.now(),
            Role::Receiver => self.unpacking_feet.now() < self.threads,
        }
    }

    /// What holds the stream up at this moment, as far as this end can see.
    pub fn bottleneck(&self) -> Bottleneck {
        let unsent = self.unsent_feet.now() > 0;
        match self.role {
            _ if self.sink_blocked.now() => Bottleneck::Sink,
            Role::Receiver if self.unpacking_feet.now() >= self.threads => {
                Bottleneck::Decompression
            }
            Role::Receiver => Bottleneck::NetworkOrSender,
            Role::Sender if self.waiting_for_source.now() && !unsent => Bottleneck::Source,
            Role::Sender if self.packing_feet.now() >= 2 * self.threads => Bottleneck::Compression,
            Role::Sender if self.held_workers.now() > 0 => Bottleneck::Rate,
            Role::Sender if unsent && self.window_blocked.now() => Bottleneck::Window,
            Role::Sender if !unsent && self.is_full() => Bottleneck::Window,
            Role::Sender => Bottleneck::Network,
        }
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

/// The figures of one end at one moment.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each figure is described where `Stats` has it")]
pub struct Snapshot {
    pub role: Role,
    pub elapsed: Option<Duration>,
    pub expected_bytes: Option<u64>,
    pub stream_bytes: u64,
    pub wire_bytes: u64,
    pub source_bytes: u64,
    pub packed_bytes: u64,
    pub feet: u64,
    pub resent_feet: u64,
    pub lost_connections: u64,
    pub connections_in_use: u64,
    pub live_workers: usize,
    pub unacked_feet: u64,
    pub unsent_feet: u64,
    pub window_feet: u64,
    pub foot_bytes: u64,
    pub threads: u64,
    pub limit: u64,
    pub cumulative: u64,
    pub packing: Option<Packing>,
    pub bottleneck: Bottleneck,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_sees_what_holds_it_up() {
        let stats = Stats::new(Role::Sender, 2);
        assert_eq!(stats.bottleneck(), Bottleneck::Network);
        stats.waiting_for_source.set(true);
        assert_eq!(stats.bottleneck(), Bottleneck::Source);
        stats.unsent_feet.set(1);
        assert_eq!(stats.bottleneck(), Bottleneck::Network);
        stats.window_blocked.set(true);
        assert_eq!(stats.bottleneck(), Bottleneck::Window);
        stats.held_workers.set(1);
        assert_eq!(stats.bottleneck(), Bottleneck::Rate);
        stats.packing_feet.set(4);
        assert_eq!(stats.bottleneck(), Bottleneck::Compression);
        stats.sink_blocked.set(true);
        assert_eq!(stats.bottleneck(), Bottleneck::Sink);
    }

    #[test]
    fn a_sender_whose_feet_are_all_on_their_way_needs_a_larger_window() {
        let stats = Stats::new(Role::Sender, 2);
        stats.window_feet.set(100);
        stats.unacked_feet.set(97);
        assert_eq!(stats.bottleneck(), Bottleneck::Network);
        stats.unacked_feet.set(98);
        assert_eq!(stats.bottleneck(), Bottleneck::Window);
        stats.unsent_feet.set(1);
        assert_eq!(stats.bottleneck(), Bottleneck::Network, "one could go, and does not");
    }

    #[test]
    fn a_link_keeps_what_its_connections_have_done() {
        let stats = Stats::new(Role::Sender, 1);
        let info = |milliseconds, retransmits| TcpInfo {
            rtt: Duration::from_millis(milliseconds),
            window_bytes: 1000,
            retransmits,
            busy: Duration::from_secs(1),
            ..TcpInfo::default()
        };
        for (worker, told) in [(1, Some(info(30, 5))), (2, Some(info(20, 1))), (3, None)] {
            stats.join(WorkerId(worker), LinkId(0), "192.0.2.1:5000".into()).set_tcp(told);
        }
        let both = TcpInfo { window_bytes: 2000, busy: Duration::from_secs(2), ..info(20, 6) };
        assert_eq!(stats.links()[&LinkId(0)].tcp, both);
        stats.leave(WorkerId(2));
        let left = TcpInfo { busy: Duration::from_secs(2), ..info(30, 6) };
        assert_eq!(stats.links()[&LinkId(0)].tcp, left);
    }

    #[test]
    fn a_receiver_sees_what_holds_it_up() {
        let stats = Stats::new(Role::Receiver, 2);
        assert_eq!(stats.bottleneck(), Bottleneck::NetworkOrSender);
        stats.unpacking_feet.add(2);
        assert_eq!(stats.bottleneck(), Bottleneck::Decompression);
        stats.sink_blocked.set(true);
        assert_eq!(stats.bottleneck(), Bottleneck::Sink);
    }

    #[test]
    fn a_sender_waits_for_connections_only_where_nothing_else_holds_it_up() {
        let stats = Stats::new(Role::Sender, 2);
        assert!(!stats.waits_for_connections(), "there is nothing to send");
        stats.unsent_feet.set(1);
        assert!(stats.waits_for_connections());
        stats.window_blocked.set(true);
        assert!(!stats.waits_for_connections(), "the window, or a slow sink behind it");
        stats.window_blocked.set(false);
        stats.sink_blocked.set(true);
        assert!(!stats.waits_for_connections());
    }

    #[test]
    fn a_receiver_waits_for_connections_while_it_could_take_more() {
        let stats = Stats::new(Role::Receiver, 2);
        assert!(stats.waits_for_connections());
        stats.unpacking_feet.add(2);
        assert!(!stats.waits_for_connections());
        stats.unpacking_feet.subtract(1);
        stats.sink_blocked.set(true);
        assert!(!stats.waits_for_connections());
    }

    #[test]
    fn workers_come_and_go() {
        let stats = Stats::new(Role::Sender, 1);
        let row = stats.join(WorkerId(7), LinkId(0), "192.0.2.1:5000".into());
        assert_eq!(row.state(), WorkerState::Joining);
        row.bytes.add(5);
        row.set_state(WorkerState::Stalled);
        let (worker, seen) = stats.workers().remove(0);
        assert_eq!(
            (worker, seen.bytes.now(), seen.state()),
            (WorkerId(7), 5, WorkerState::Stalled)
        );
        assert_eq!((stats.links()[&LinkId(0)].bytes, stats.links()[&LinkId(0)].live), (5, 1));
        stats.leave(WorkerId(7));
        assert_eq!((stats.live_workers(), row.bytes.now()), (0, 5));
        assert_eq!((stats.links()[&LinkId(0)].bytes, stats.links()[&LinkId(0)].live), (5, 0));
    }

    #[test]
    fn what_is_set_once_stays() {
        let stats = Stats::new(Role::Sender, 1);
        assert_eq!(stats.elapsed(), None);
        stats.start();
        assert!(stats.elapsed().is_some());
        stats.expect_bytes(5);
        stats.expect_bytes(6);
        assert_eq!(stats.snapshot().expected_bytes, Some(5));
    }
}
