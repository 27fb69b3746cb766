//! Which foot goes to which worker next (rules 2 to 5).
//!
//! Lost feet before new ones, lowest first; the first ready worker in the order of preference, unless
//! the foot would arrive there after the others have run dry of window or of stream (the ideas are
//! those of BLEST and ECF, two schedulers for multipath TCP). Does not know when later links help the
//! first ([`super::spill`]), what gets a second copy ([`super::reinject`]), nor how estimates come about
//! ([`super::path`]).

use super::copies::Carrier;
use super::path::seconds;
use super::survey::MOMENT;
use super::workers::Seat;
use super::{Event, Sender};
use crate::foot::FootHeader;
use crate::proto::frame::Frame;
use crate::proto::{LinkId, WorkerId};
use std::time::{Duration, Instant};

/// An ack this much later than expected may still be the machine's doing, not the path's.
pub(super) const LATE: Duration = Duration::from_millis(50);
/// How long a foot may take on a connection of which nothing is known.
pub(super) const UNKNOWN: Duration = Duration::from_secs(1);
/// A link that asks for feet and is given none for this long counts as passed over.
const PASSED_OVER: Duration = Duration::from_secs(3);
/// A connection that was passed over for this long gets one foot, to see how fast it is by now.
pub(super) const PROBE: Duration = Duration::from_secs(10);
/// Shortest time between two complaints about the window.
const COMPLAINT: Duration = Duration::from_millis(2);

/// Whether a worker that asks for a foot is given it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Yes.
    Take,
    /// No: the others will have carried all there is before it could.
    Late,
    /// No: the others would have filled the window before it could.
    WindowShort,
}

/// Since when a link has been passed over.
#[derive(Debug)]
pub(super) struct PassedOver {
    since: Instant,
    last: Instant,
    is_told: bool,
}

impl PassedOver {
    fn new(now: Instant) -> PassedOver {
        PassedOver { since: now, last: now, is_told: false }
    }
}

impl Sender {
    /// The next foot and its worker, taken note of as sent.
    pub(super) fn schedule(&mut self, now: Instant) -> Option<(WorkerId, FootHeader)> {
        self.look_again_at = None;
        self.was_short = false;
        self.reckon();
        self.note_waiting(now);
        if let Some(&id) = self.lost.first() {
            let seat = self.choose(now, id, false)?;
            self.lost.remove(&id);
            self.counts.resent_feet += 1;
            return self.dispatch(now, seat, id);
        }
        if let Some(&id) = self.unsent.front()
            && id < self.limit
        {
            let Some(seat) = self.choose(now, id, true) else {
                let spills_at = self.spills_at().filter(|at| *at > now);
                self.look_again_at = spills_at.into_iter().chain(self.quickest_until(now)).min();
                return None;
            };
            self.unsent.pop_front();
            return self.dispatch(now, seat, id);
        }
        self.reinject(now)
    }

    /// The first ready worker that may take foot `id`. A foot that is waited for is never `patient`.
    fn choose(&mut self, now: Instant, id: u64, patient: bool) -> Option<Seat> {
        let first = self.first_link();
        self.note_overdue(now);
        self.spills |= self.spills_at().is_some_and(|at| at <= now);
        let mut asks = self.ready.first();
        let mut passed_over = false;
        while let Some((link, seat)) = asks {
            // The first link keeps up, unless it was the one that asked, and was passed over.
            if patient && Some(link) != first && !self.spills && !passed_over {
                break;
            }
            if !patient || self.may_take(now, seat, id) {
                return Some(seat);
            }
            let quickest = self.ready.quickest(link).into_iter().flatten();
            let mut quickest = quickest.filter(|other| *other != seat);
            if let Some(seat) = quickest.find(|seat| self.may_take(now, *seat, id)) {
                return Some(seat);
            }
            self.pass_over(now, link);
            passed_over = true;
            asks = self.ready.first_after(link);
        }
        None
    }

    /// Until when the quickest worker is waited for, if nothing is heard of it.
    fn quickest_until(&self, now: Instant) -> Option<Instant> {
        let (_, quickest) = self.quickness.least()?;
        let at = self.workers[quickest].overdue_at(LATE + MOMENT)?;
        Some(at.max(now + MOMENT))
    }

    /// Whether new foot `id` may go to this worker; if not for the window's sake, that is noted.
    fn may_take(&mut self, now: Instant, seat: Seat, id: u64) -> bool {
        let verdict = self.judge(now, seat, id);
        self.was_short = verdict == Verdict::WindowShort;
        self.window_is_short |= self.was_short;
        verdict == Verdict::Take
    }

    /// Whether new foot `id` should go to this worker rather than wait for another.
    fn judge(&self, now: Instant, seat: Seat, id: u64) -> Verdict {
        let path = &self.workers[seat];
        if self.workers.len() == 1 {
            return Verdict::Take;
        }
        if 2 * path.in_flight.len() as u64 >= self.window_feet.max(2) {
            return Verdict::WindowShort; // half the window is for the others
        }
        let others_rate = self.total.rate - path.rate();
        if others_rate == 0 {
            return Verdict::Take;
        }
        let Some(foot) = &self.feet[(id - self.base) as usize] else { return Verdict::Take };
        let bytes = u64::from(foot.packed_bytes);
        let Some(time) = path.time_for(bytes) else {
            let is_tried = !path.in_flight.is_empty() || self.is_tried(path.link);
            return if is_tried { Verdict::Late } else { Verdict::Take };
        };
        if path.in_flight.is_empty() && now - path.last_sent >= PROBE {
            return Verdict::Take; // it may have recovered; a probe that is late gets a second copy
        }
        // It may be late, but only for a quicker one, or all would wait for one another; and not for one that
        // is overdue itself, whatever it was like before.
        let Some((_, quickest)) = self.quickness.least() else { return Verdict::Take };
        let other = &self.workers[quickest];
        let Some(others_time) = other.time_for(bytes).filter(|others_time| *others_time < time)
        else {
            return Verdict::Take;
        };
        // When the others have run dry: of stream, and of window.
        let rate = self.total.timely_rate - path.share.timely_rate;
        let others_bytes = self.total.in_flight_bytes - path.in_flight_bytes;
        let left_bytes = self.end.map(|_| self.backlog_bytes + others_bytes);
        if left_bytes.is_some_and(|left| time > other.rtt / 2 + seconds(left, rate)) {
            return Verdict::Late;
        }
        let window_bytes = (self.limit - id - 1).saturating_mul(u64::from(self.config.foot_bytes));
        if time > others_time + seconds(window_bytes, rate) {
            return Verdict::WindowShort;
        }
        Verdict::Take
    }

    /// Whether a foot is on its way over this link to learn from, while others are known to carry the
    /// rest. (One, however many workers there are: they share the link, and all would be late.)
    fn is_tried(&self, link: LinkId) -> bool {
        let share = self.links.get(&link).copied().unwrap_or_default();
        share.tried > 0 && self.total.rate > share.rate
    }

    /// A worker of this link was left without the foot that it asked for.
    fn pass_over(&mut self, now: Instant, link: LinkId) {
        if self.links.get(&link).is_some_and(|share| share.busy > 0) {
            return; // the link is in use
        }
        let passed = self.passed_over.entry(link).or_insert(PassedOver::new(now));
        if now - passed.last > PASSED_OVER / 2 {
            passed.since = now; // meanwhile nothing was there to carry
        }
        passed.last = now;
        if !passed.is_told && now - passed.since >= PASSED_OVER {
            passed.is_told = true;
            self.events.push_back(Event::PassedOver { link });
        }
    }

    /// Tells the receiver that its window is what holds us back, so that it may open it further; not at
    /// every foot.
    pub(super) fn complain(&mut self, now: Instant) -> Option<(WorkerId, Frame)> {
        let next = *self.unsent.front()?;
        if self.limit == 0 {
            return None; // it has not said yet how far its window is open
        }
        let (_, seat) = self.ready.first()?;
        let rtt = self.workers[seat].rtt;
        let recently = |at: Instant| now < at + rtt.clamp(COMPLAINT, PROBE);
        let holds_back = next >= self.limit || std::mem::take(&mut self.window_is_short);
        if !holds_back || self.complained.is_some_and(recently) {
            return None;
        }
        self.complained = Some(now);
        Some((seat.worker, Frame::Ping(self.ping(now, seat.worker, true))))
    }

    /// Takes note that foot `id` goes out on this connection.
    pub(super) fn dispatch(
        &mut self,
        now: Instant,
        seat: Seat,
        id: u64,
    ) -> Option<(WorkerId, FootHeader)> {
        let index = (id - self.base) as usize;
        let foot = self.feet[index].as_mut()?;
        let header = self.headers[index].expect("a foot and its header are offered together");
        let path = self.workers.get(seat)?;
        let bytes = u64::from(foot.packed_bytes);
        self.different_feet += u64::from(!foot.was_sent);
        foot.was_sent = true;
        if foot.copies == [None; 2] {
            self.backlog_bytes -= bytes;
        }
        if now - path.last_sent < PROBE {
            self.passed_over.remove(&path.link); // a probe once in a while is not yet use
        }
        let mut number = 0;
        self.change(seat, |path| number = path.sent(now, id, bytes));
        let foot = self.feet[index].as_mut()?;
        let free = foot.copies.iter_mut().find(|copy| copy.is_none());
        *free.expect("a foot with two copies is never dispatched") = Some(Carrier { seat, number });
        self.sent_feet = self.sent_feet.max(id + 1);
        Some((seat.worker, header))
    }
}
