//! Second copies (rule 3): a foot that others wait for, once more on a worker where it is there sooner.
//!
//! Knows what is late and who would be sooner; does not know what is sent for the first time: see
//! [`super::schedule`].

use super::Sender;
use super::schedule::{LATE, UNKNOWN};
use super::survey::Rescuer;
use super::workers::Seat;
use crate::foot::FootHeader;
use crate::proto::WorkerId;
use std::time::{Duration, Instant};

/// At the end of the stream so many of the oldest feet may have second copies.
const LAST_FEET: usize = 32;

/// Whether a foot gets a second copy.
enum Rescue {
    Now(Seat),
    /// Nor earlier than then, if nothing else happens.
    NotBefore(Instant),
    /// Nobody could have it there sooner, as things stand.
    Never,
}

impl Sender {
    /// A second copy of the oldest foot, where it blocks the window or the source waits for its buffer, for
    /// an idle worker on which it would be there sooner. At the stream's end, where idle workers have
    /// nothing else to do, it may be any of the last feet; the oldest comes first.
    pub(super) fn reinject(&mut self, now: Instant) -> Option<(WorkerId, FootHeader)> {
        if self.sink_blocked || self.ready.is_empty() {
            return None;
        }
        let feet = match (self.unsent.is_empty(), self.end) {
            (false, _) => 1,
            (true, Some(_)) if self.links.len() > 1 => LAST_FEET.min(self.feet.len()),
            (true, Some(_)) => self.feet.len().min(1), // the others only ever go to another link
            (true, None) if self.held_feet >= self.config.buffer_feet => 1,
            (true, None) => return None, // it is the source that is waited for
        };
        for index in 0..feet {
            let id = self.base + index as u64;
            match self.rescuer(now, id, index > 0) {
                Rescue::Now(seat) => {
                    self.counts.reinjected_feet += 1;
                    return self.dispatch(now, seat, id);
                }
                Rescue::NotBefore(at) => {
                    let at = at.max(now + Duration::from_millis(1));
                    self.look_again_at = Some(self.look_again_at.map_or(at, |then| then.min(at)));
                }
                Rescue::Never => {}
            }
        }
        None
    }

    /// Who should be given a second copy of foot `id`, and when; only somebody on another link, if so
    /// asked, for those on the same link share what it carries.
    fn rescuer(&mut self, now: Instant, id: u64, from_elsewhere: bool) -> Rescue {
        let Some(foot) = self.foot_mut(id) else { return Rescue::Never };
        let [Some(holder), None] = foot.copies else { return Rescue::Never };
        let bytes = u64::from(foot.packed_bytes);
        let held = &self.workers[holder.seat];
        if held.waits_for_turn() {
            return Rescue::Never; // another would wait as long
        }
        // Without a rate nothing is due but by a rescuer's time.
        let due = held.due(holder.number).map(|due| due + LATE);
        let quickest = self.quickness.least().filter(|(_, seat)| *seat != holder.seat);
        if let (Some(due), Some((foot_time, _))) = (due, quickest) {
            // No time of those that may be waited for is less: mostly there is no need to look at them all.
            let part = bytes as f64 / f64::from(self.config.foot_bytes);
            let time = foot_time.mul_f64(part).min(UNKNOWN);
            if !is_worth_it(now, time, due) {
                return Rescue::NotBefore(due + time + LATE);
            }
        }
        self.look_round(now);
        let held = &self.workers[holder.seat];
        let links = self.survey.links.iter();
        let links = links.filter(|(link, _)| !(from_elsewhere && **link == held.link));
        let others = links.flat_map(|(_, condition)| {
            let rescuers = condition.rescuers.into_iter().flatten().map(|rescuer| rescuer.seat);
            rescuers
                .filter(|seat| *seat != holder.seat)
                .map(|seat| condition.rescuer(now, seat, &self.workers[seat], bytes))
        });
        let Some(Rescuer { time, is_busy, seat, .. }) = others.min() else {
            return Rescue::Never;
        };
        if is_busy {
            // It asks as soon as it is free; by then at the latest, unless it stands still.
            return Rescue::NotBefore(now + time.max(LATE));
        }
        let is_sibling = self.workers[seat].link == held.link;
        let unknown = || held.last_sent + if is_sibling { time } else { UNKNOWN } + LATE;
        let due = due.unwrap_or_else(unknown);
        if is_worth_it(now, time, due) {
            Rescue::Now(seat)
        } else {
            Rescue::NotBefore(due + time + LATE)
        }
    }
}

/// Whether a copy that takes this `time` would be there sooner than a foot that is late once it is `due`.
fn is_worth_it(now: Instant, time: Duration, due: Instant) -> bool {
    // What is late already is expected to take as long again as it is late.
    let expected = due.max(now + now.saturating_duration_since(due));
    now + time + LATE < expected
}
