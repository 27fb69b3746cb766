//! Has each link the connections that bring something: looks at the figures, asks [`super::growth`] what to
//! change, and does it.
//!
//! It starts threads that dial, and asks for connections to be retired, the newest first; who owns the state
//! machine sees that nothing is lost of what they carry. Does not know what a connection is worth.

use super::Event;
use super::diallers::Diallers;
use super::growth::{Change, Growth, Held, Seen};
use crate::error::Error;
use crate::news::Fact;
use crate::proto::{LinkId, WorkerId};
use crate::stats::WorkerState;
use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

/// How often is looked.
const TICK: Duration = Duration::from_millis(100);

/// What decides how many connections there are.
pub(super) struct Steer {
    diallers: Diallers,
    growth: Growth,
    /// What went over each link so far, of what was seen of its connections.
    bytes: Vec<u64>,
    /// The same of each connection that is up.
    counted: BTreeMap<WorkerId, u64>,
    retiring: BTreeSet<WorkerId>,
    /// When was looked last, and how long connections had been held back by then.
    looked: (Instant, Duration),
}

impl Steer {
    /// For links with so many connections each, and whether that may change.
    pub(super) fn new(diallers: Diallers, links: Vec<(u16, bool)>) -> Steer {
        let bytes = vec![0; links.len()];
        let growth = Growth::new(Instant::now(), links);
        let (counted, retiring) = (BTreeMap::new(), BTreeSet::new());
        let looked = (Instant::now(), Duration::ZERO);
        Steer { diallers, growth, bytes, counted, retiring, looked }
    }

    /// Steers from now on, on a thread of its own.
    pub(super) fn start(self) -> Result<(), Error> {
        let spawned = thread::Builder::new().name("steer".into()).spawn(move || self.run());
        spawned.map(drop).map_err(|error| Error::io("a thread", error))
    }

    fn run(mut self) {
        let crew = self.diallers.crew().clone();
        while matches!(crew.cancel.sleep(TICK), Ok(false)) {
            if crew.stats.elapsed().is_none() {
                continue; // the ends have not met
            }
            let seen = self.see();
            let now = Instant::now();
            let waits = !self.is_held(now, &seen) && crew.stats.waits_for_connections();
            if let Some(change) = self.growth.look(now, waits, self.diallers.most(), &seen)
                && !self.change(change)
            {
                return; // the run is over
            }
        }
    }

    /// Whether a rate that all share is what held connections back since the last look.
    fn is_held(&mut self, now: Instant, seen: &[Seen]) -> bool {
        let stats = &self.diallers.crew().stats;
        let waited = Duration::from_micros(stats.held_us.now());
        let (then, before) = std::mem::replace(&mut self.looked, (now, waited));
        let held = Held { waited: waited - before, waiting: stats.held_workers.now() };
        held.is_much(now - then, seen.iter().map(|link| u64::from(link.live)).sum())
    }

    /// Each link as it is now.
    fn see(&mut self) -> Vec<Seen> {
        let mut seen = vec![Seen::default(); self.bytes.len()];
        let workers = self.diallers.crew().stats.workers();
        let is_up = |worker: &WorkerId| workers.iter().any(|(other, _)| other == worker);
        self.retiring.retain(is_up);
        self.counted.retain(|worker, _| is_up(worker));
        for (worker, row) in &workers {
            let link = usize::from(row.link.0);
            let Some(seen) = seen.get_mut(link) else { continue }; // the spare way does not count
            seen.live += 1;
            seen.busy += u16::from(row.state() == WorkerState::Busy);
            let bytes = row.bytes.now();
            self.bytes[link] += bytes - self.counted.insert(*worker, bytes).unwrap_or(0);
        }
        for (seen, bytes) in seen.iter_mut().zip(&self.bytes) {
            seen.bytes = *bytes;
        }
        seen
    }

    /// Sees that a link gets as many connections as it should have; says whether anybody cares.
    fn change(&mut self, change: Change) -> bool {
        let Change { link, wanted, cause } = change;
        let id = LinkId(link as u16); // DESTs are fewer than connections, which fit
        self.diallers.crew().news.tell(Fact::Resized { link: id, workers: wanted, cause });
        self.diallers.want(id, wanted);
        let workers = self.diallers.crew().stats.workers();
        let carriers = workers.iter().filter(|(_, row)| row.link == id).map(|(worker, _)| *worker);
        let carriers = carriers.filter(|worker| !self.retiring.contains(worker));
        let surplus: Vec<WorkerId> = carriers.skip(usize::from(wanted)).collect();
        self.retiring.extend(&surplus);
        let events = &self.diallers.crew().events;
        surplus.into_iter().all(|worker| events.send(Event::Retire(worker)).is_ok())
    }
}
