//! Which foot goes to which worker next (rules 2 to 5).
//!
//! Lost feet before new ones, lowest first; the first ready worker in the order of preference, unless
//! the foot would arrive there after the others have run dry of window or of stream (the ideas are
//! those of BLEST and ECF, two schedulers for multipath TCP). Does not know how estimates come about:
//! see [`super::path`].

use super::Sender;
use crate::foot::FootHeader;
use crate::proto::WorkerId;
use crate::proto::frame::Frame;
use std::time::{Duration, Instant};

/// An ack this much later than expected may still be the machine's doing, not the path's.
const LATE: Duration = Duration::from_millis(50);
/// How long a foot may take on a connection of which nothing is known.
const UNKNOWN: Duration = Duration::from_secs(1);
/// A connection that was passed over for this long gets one foot, to see how fast it is by now.
const PROBE: Duration = Duration::from_secs(10);
/// Shortest time between two complaints about the window.
const COMPLAINT: Duration = Duration::from_millis(2);
/// Longer than anything lasts, and short enough to reckon with.
const LONG_SECONDS: f64 = 1e9;

impl Sender {
    /// The next foot and its worker, taken note of as sent.
    pub(super) fn schedule(&mut self, now: Instant) -> Option<(WorkerId, FootHeader)> {
        if let Some(&id) = self.lost.first() {
            let worker = self.choose(now, id, false)?;
            self.lost.remove(&id);
            self.counts.resent_feet += 1;
            return self.dispatch(now, worker, id);
        }
        if let Some(&id) = self.unsent.first()
            && id < self.limit
        {
            let worker = self.choose(now, id, true)?;
            self.unsent.remove(&id);
            return self.dispatch(now, worker, id);
        }
        self.reinject(now)
    }

    /// Whether `worker` asks for a foot now.
    pub(super) fn judge_ready(&mut self, worker: WorkerId) {
        let Some(path) = self.workers.get(&worker) else { return };
        let key = (path.link, worker);
        if path.unwritten_feet < path.unwritten_limit(self.config.foot_bytes) {
            self.ready.insert(key);
        } else {
            self.ready.remove(&key);
        }
    }

    /// The first ready worker that may take foot `id`. A foot that is waited for is never `patient`.
    fn choose(&self, now: Instant, id: u64, patient: bool) -> Option<WorkerId> {
        let mut ready = self.ready.iter().map(|(_, worker)| *worker);
        ready.find(|&worker| !patient || !self.should_wait(now, worker, id))
    }

    /// Whether new foot `id` should rather wait for another worker than go to this one.
    fn should_wait(&self, now: Instant, worker: WorkerId, id: u64) -> bool {
        let path = &self.workers[&worker];
        if self.workers.len() == 1 {
            return false;
        }
        if 2 * path.in_flight.len() as u64 >= self.window_feet.max(2) {
            return true; // half the window is for the others
        }
        let others_rate = self.rate_total - path.rate();
        if others_rate == 0 {
            return false;
        }
        let Some(foot) = &self.feet[(id - self.base) as usize] else { return false };
        let bytes = u64::from(foot.header.packed_bytes);
        let Some(time) = path.time_for(bytes) else {
            return !path.in_flight.is_empty(); // cold: one foot to learn from
        };
        if path.in_flight.is_empty() && now - path.last_sent >= PROBE {
            return false; // it may have recovered; a probe that is late gets a second copy
        }
        let seconds = |bytes: u64| {
            Duration::from_secs_f64((bytes as f64 / others_rate as f64).min(LONG_SECONDS))
        };
        let others_feet = self.limit - id - 1;
        let window_bytes = others_feet.saturating_mul(u64::from(self.config.foot_bytes));
        let window_time = seconds(window_bytes);
        let others_bytes = self.in_flight_bytes - path.in_flight_bytes;
        let is_end = self.end.is_some();
        let end_time = seconds(self.backlog_bytes + others_bytes) + LATE;
        if time <= window_time && (!is_end || time <= end_time) {
            return false;
        }
        // It may be late. Only for a quicker one, or all would wait for one another.
        let others = self.workers.iter().filter(|(other, _)| **other != worker);
        let quickest = others
            .filter_map(|(_, path)| Some((path.time_for(bytes)?, path.rtt / 2)))
            .filter(|(others_time, _)| *others_time < time)
            .min();
        quickest.is_some_and(|(others_time, way)| {
            time > others_time + window_time || is_end && time > way + end_time
        })
    }

    /// Tells the receiver that its window is what holds us back, so that it may open it further; not at
    /// every foot.
    pub(super) fn complain(&mut self, now: Instant) -> Option<(WorkerId, Frame)> {
        let next = *self.unsent.first()?;
        if self.limit == 0 {
            return None; // it has not said yet how far its window is open
        }
        let (_, worker) = *self.ready.first()?;
        let rtt = self.workers[&worker].rtt;
        let recently = |at: Instant| now < at + rtt.clamp(COMPLAINT, PROBE);
        if next < self.limit || self.complained.is_some_and(recently) {
            return None;
        }
        self.complained = Some(now);
        Some((worker, Frame::Ping(self.ping(now, worker, true))))
    }

    /// A second copy of the oldest foot for an idle worker, if it blocks the window or the stream's
    /// end, and would be there sooner.
    fn reinject(&mut self, now: Instant) -> Option<(WorkerId, FootHeader)> {
        self.reinject_at = None;
        let blocked = !self.unsent.is_empty() || (self.end.is_some() && !self.feet.is_empty());
        if !blocked || self.sink_blocked {
            return None;
        }
        let foot = self.feet.front()?.as_ref()?;
        let (id, due) = (self.base, foot.due?);
        let [Some(holder), None] = foot.copies else { return None };
        let bytes = u64::from(foot.header.packed_bytes);
        let (worker, time) = self
            .ready
            .iter()
            .filter(|(_, worker)| *worker != holder)
            .filter_map(|(_, worker)| {
                let path = &self.workers[worker];
                let time = path.ack_time_for(bytes).unwrap_or(UNKNOWN);
                (path.unwritten_feet == 0).then_some((*worker, time))
            })
            .min_by_key(|(_, time)| *time)?;
        // What is late already is expected to take as long again as it is late.
        let expected = due.max(now + now.saturating_duration_since(due));
        if now + time + LATE >= expected {
            self.reinject_at = Some((due + time + LATE).max(now + Duration::from_millis(1)));
            return None;
        }
        self.counts.reinjected_feet += 1;
        self.dispatch(now, worker, id)
    }

    /// Takes note that foot `id` goes out on `worker`.
    fn dispatch(
        &mut self,
        now: Instant,
        worker: WorkerId,
        id: u64,
    ) -> Option<(WorkerId, FootHeader)> {
        let place = (id - self.base) as usize;
        let foot = self.feet[place].as_mut()?;
        let path = self.workers.get_mut(&worker)?;
        let bytes = u64::from(foot.header.packed_bytes);
        self.different_feet += u64::from(foot.due.is_none());
        if foot.copies == [None; 2] {
            self.backlog_bytes -= bytes;
            let time = path.ack_time_for(bytes).unwrap_or(UNKNOWN);
            foot.due = Some(now + time + LATE);
        }
        let free = foot.copies.iter_mut().find(|copy| copy.is_none());
        *free.expect("a foot with two copies is never dispatched") = Some(worker);
        path.sent(now, id, bytes);
        self.in_flight_bytes += bytes;
        self.sent_feet = self.sent_feet.max(id + 1);
        let header = foot.header;
        self.judge_ready(worker);
        Some((worker, header))
    }
}
