//! How hard to compress, by what holds the stream up now (`--adapt`).
//!
//! A ladder of levels, climbed where the connections are what is waited for and packers have time, descended where it
//! is the packers. Little is packed ahead: what waits for a connection was packed for a way that may have changed since,
//! and on a thin one that would be all there is. Only what does not shrink may be far ahead, and what follows it as far:
//! no way is worth packing it, and packers that stand still while it goes out would be missed afterwards. (The queues and
//! the ladder are those of `zstd --adapt`, which may stick at an end of its ladder, since it watches how full its queues
//! are; here it is the time that is spent waiting for either, so there is always a verdict.) Knows no threads and no
//! clock.

mod trials;

use super::lead::LEAST_BYTES;
use crate::codec::LADDER;
use std::time::{Duration, Instant};
pub(super) use trials::Trials;

/// Where it begins: what is packed in vain on a fast way costs little, and what travels raw on a thin one much.
const FIRST: usize = 1;
/// A verdict is over so many feet, or this long.
const FEET: u32 = 8;
const SPAN: Duration = Duration::from_millis(100);
/// The pace of fewer feet says nothing.
const FEET_OF_A_PACE: u32 = 4;
/// So many verdicts in a row make a step.
const AGREED: u32 = 2;
/// How fast the stream was on another step counts for this long; then that step is tried again.
const MEMORY: Duration = Duration::from_secs(2);
/// Harder packing was slower because of the packers, and what they pack has to change a lot if it was much slower: that
/// counts for as many times as long as it was slower, up to this. (A way that has become thin shows in the pace here.)
const LONGER: f64 = 4.0;
/// Packed feet may wait for a connection for so long on each step, if they are more than a few. Raw ones: so that the
/// connections never run dry. Lightly packed ones: packers and connections are about as fast there, and each has
/// to be busy where feet that hardly shrink are followed by others; longer, and what was packed for a gigabit would be all
/// that 10 Mbit/s carry for many seconds. On a way that is worth more packing nothing is gained by
/// it, and lost when it changes.
const AHEAD_MS: [u32; LADDER.len()] = [10, 40, 0, 0, 0, 0];
/// And for so long where feet do not shrink, if that is not more than half of all feet in memory.
const VAIN_AHEAD_MS: u32 = 500;
/// But not on a way that takes more bytes a second than this of each packing thread: what one packs on the lightest step.
/// Those that follow gain nothing there, and memory that is not in a cache costs more than the whole way.
const LIGHTLY_PACKED: f64 = 250e6;
/// If they are as many in a row: a few between others say nothing of those that follow.
const RUN_BYTES: u64 = LEAST_BYTES as u64;
/// Once those are out, what was packed behind them need not be out at once: in this time, half of it.
const HALF_LIFE: Duration = Duration::from_millis(140);

/// What a foot has to wait for before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// A connection.
    Network,
    /// A packer.
    Packers,
    /// A packer, though packed feet wait for a connection as well: both have enough to do.
    Both,
}

/// What was read and has not gone out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ahead {
    /// Feet that wait for a packer, or are with one.
    pub(super) packing_feet: u64,
    /// Packed feet that wait for a connection, and how large they are.
    pub(super) unsent_feet: u64,
    pub(super) unsent_bytes: u64,
    /// Bytes of all feet that were packed so far.
    pub(super) packed_bytes: u64,
}

impl Ahead {
    /// Bytes that connections have taken, or are about to.
    fn sent_bytes(&self) -> u64 {
        self.packed_bytes.saturating_sub(self.unsent_bytes)
    }
}

/// The controller; the reading thread owns it.
#[derive(Debug)]
pub(super) struct Adapt {
    rung: usize,
    most_packing: u64,
    /// So many packed feet may wait in any case, and so many at most.
    few_unsent: u64,
    most_unsent: u64,
    /// So many at most where feet do not shrink.
    most_vain: u64,
    /// Bytes a second that the packers may pack at best, or so.
    most_packed: f64,
    way: Way,
    /// As last told.
    ahead: Ahead,
    vain: Vain,
    span: Span,
    agreed: Agreed,
    /// When each step was last left, and how many feet a second there were on it.
    known: [Option<(Instant, f64)>; LADDER.len()],
    /// Until then, or for so many feet, what is packed is still of the step before.
    stale: (Instant, u64),
}

/// Verdicts in a row that say the same.
#[derive(Debug)]
struct Agreed {
    verdict: Option<Wait>,
    times: u32,
    since: Instant,
    feet: u32,
    /// What was ahead at the beginning.
    ahead: Ahead,
}

impl Agreed {
    fn new(verdict: Option<Wait>, since: Instant, ahead: Ahead) -> Agreed {
        Agreed { verdict, times: 0, since, feet: 0, ahead }
    }

    /// How many feet a second go through with this packing, where enough were read to tell: as many as were packed, if
    /// packers are waited for, else as many of what they make as the way takes. (What goes out now was packed before.)
    fn pace(&self, now: Instant, ahead: Ahead) -> Option<f64> {
        let packed =
            f64::from(self.feet) + self.ahead.packing_feet as f64 - ahead.packing_feet as f64;
        if self.feet < FEET_OF_A_PACE || packed < 1.0 {
            return None;
        }
        let time = (now - self.since).as_secs_f64();
        Some(match self.verdict? {
            Wait::Packers | Wait::Both => packed / time,
            Wait::Network => {
                let sent_bytes = ahead.sent_bytes().saturating_sub(self.ahead.sent_bytes());
                let bytes = ahead.packed_bytes.saturating_sub(self.ahead.packed_bytes);
                sent_bytes as f64 / time * packed / bytes.max(1) as f64
            }
        })
    }
}

/// What was waited for since the last verdict.
#[derive(Debug)]
struct Span {
    since: Instant,
    feet: u32,
    /// What was ahead at the beginning.
    ahead: Ahead,
    network: Duration,
    packers: Duration,
}

impl Span {
    fn new(since: Instant, ahead: Ahead) -> Span {
        Span { since, feet: 0, ahead, network: Duration::ZERO, packers: Duration::ZERO }
    }

    /// What a good part of the time was spent waiting for.
    fn verdict(&self, now: Instant) -> Option<Wait> {
        let part = (now - self.since) / 4;
        if self.network.max(self.packers) < part {
            return None;
        }
        Some(if self.network > self.packers { Wait::Network } else { Wait::Packers })
    }
}

/// How much the connections take.
#[derive(Debug)]
struct Way {
    since: Instant,
    /// Bytes that were out then.
    sent_bytes: u64,
    /// Bytes a second; at first none.
    rate: f64,
}

impl Way {
    fn look(&mut self, now: Instant, ahead: Ahead) {
        let time = now - self.since;
        if time < SPAN {
            return;
        }
        let sent_bytes = ahead.sent_bytes();
        let sent = sent_bytes.saturating_sub(self.sent_bytes) as f64;
        *self = Way { since: now, sent_bytes, rate: sent / time.as_secs_f64() };
    }
}

/// Feet that do not shrink, and what may be packed behind them.
#[derive(Debug)]
struct Vain {
    /// The last foot that was packed did not shrink, nor those since so many bytes were packed.
    since: Option<u64>,
    /// They are [`RUN_BYTES`] or more.
    is_run: bool,
    /// So many bytes were packed with the last of such a run.
    packed_bytes: u64,
    /// So many bytes more may wait for a connection, at that time.
    behind: f64,
    at: Instant,
}

impl Vain {
    fn hear(&mut self, in_vain: bool, packed_bytes: u64) {
        self.since = in_vain.then(|| self.since.unwrap_or(packed_bytes));
        self.is_run = self.since.is_some_and(|since| packed_bytes - since >= RUN_BYTES);
        if self.is_run {
            self.packed_bytes = packed_bytes;
        }
    }

    /// Bytes of such feet that are not out. Until they are, the connections are busy with them, and what does shrink has
    /// not shown yet whether they are too slow for it.
    fn left(&self, ahead: Ahead) -> u64 {
        self.packed_bytes.saturating_sub(ahead.sent_bytes())
    }

    /// For each byte of such feet that is not out, one of those that follow may be packed.
    fn look(&mut self, now: Instant, ahead: Ahead) {
        let half_lives = (now - self.at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.behind = (self.behind * (-half_lives).exp2()).max(2.0 * self.left(ahead) as f64);
        self.at = now;
    }
}

impl Adapt {
    /// A controller for so many packing threads, connections, feet in memory, and bytes a foot.
    pub(super) fn new(
        threads: usize,
        workers: u16,
        window_feet: usize,
        foot_bytes: u32,
        now: Instant,
    ) -> Adapt {
        Adapt {
            rung: FIRST,
            most_packing: u64::from(LEAST_BYTES / foot_bytes).max(2 * threads as u64),
            few_unsent: u64::from(workers) + 2,
            most_unsent: window_feet as u64 * 3 / 4,
            most_vain: window_feet as u64 / 2,
            most_packed: threads as f64 * LIGHTLY_PACKED,
            way: Way { since: now, sent_bytes: 0, rate: 0.0 },
            ahead: Ahead::default(),
            vain: Vain { since: None, is_run: false, packed_bytes: 0, behind: 0.0, at: now },
            span: Span::new(now, Ahead::default()),
            agreed: Agreed::new(None, now, Ahead::default()),
            known: [None; LADDER.len()],
            stale: (now, 0),
        }
    }

    /// What the next foot must wait for, now that so much is ahead of it.
    pub(super) fn must_wait(&mut self, now: Instant, ahead: Ahead) -> Option<Wait> {
        self.ahead = ahead;
        self.way.look(now, ahead);
        self.vain.look(now, ahead);
        let (most_feet, ms, behind) = match self.rung {
            _ if self.vain.is_run && self.way.rate < self.most_packed => {
                (self.most_vain, VAIN_AHEAD_MS, 0.0)
            }
            0 => (self.most_unsent, AHEAD_MS[0], 0.0),
            rung => (self.most_unsent, AHEAD_MS[rung], self.vain.behind),
        };
        let enough = ahead.unsent_bytes as f64 >= self.way.rate * f64::from(ms) / 1e3 + behind;
        if ahead.unsent_feet >= most_feet || enough && ahead.unsent_feet >= self.few_unsent {
            return Some(Wait::Network);
        }
        let is_dry = ahead.unsent_feet < self.few_unsent;
        (ahead.packing_feet >= self.most_packing).then_some(if is_dry {
            Wait::Packers
        } else {
            Wait::Both
        })
    }

    /// Whether the last foot that was packed did not shrink. No harder packing helps such feet; what they tell of the
    /// way is nothing that those after them should start from.
    pub(super) fn hear(&mut self, in_vain: bool) {
        self.vain.hear(in_vain, self.ahead.packed_bytes);
    }

    /// The next foot has waited this long for that, until now; the step on the [`LADDER`] for what is packed from now on.
    /// (A sink that takes nothing is nobody's fault: not to be told here.)
    pub(super) fn waited(&mut self, now: Instant, wait: Wait, time: Duration) -> usize {
        match wait {
            Wait::Network => self.span.network += time,
            Wait::Packers => self.span.packers += time,
            Wait::Both => {}
        }
        self.look(now)
    }

    /// A foot is read now; the same.
    pub(super) fn next(&mut self, now: Instant) -> usize {
        self.span.feet += 1;
        self.stale.1 = self.stale.1.saturating_sub(1);
        self.look(now)
    }

    fn look(&mut self, now: Instant) -> usize {
        if self.stale.1 > 0 && now < self.stale.0 {
            self.span = Span::new(now, self.ahead);
        } else if self.span.feet >= FEET || now - self.span.since >= SPAN {
            self.judge(now);
        }
        self.rung
    }

    fn judge(&mut self, now: Instant) {
        let span = std::mem::replace(&mut self.span, Span::new(now, self.ahead));
        let verdict = span.verdict(now);
        if verdict != self.agreed.verdict {
            self.agreed = Agreed::new(verdict, span.since, span.ahead);
        }
        self.agreed.times += 1;
        self.agreed.feet += span.feet;
        if self.agreed.times >= AGREED {
            self.step(now, verdict);
            self.agreed = Agreed::new(None, now, self.ahead);
        }
    }

    /// One step up or down, unless the stream was just seen to be slower there.
    fn step(&mut self, now: Instant, verdict: Option<Wait>) {
        let next = match verdict {
            Some(Wait::Network) => self.rung + 1,
            Some(Wait::Packers) => self.rung.wrapping_sub(1),
            Some(Wait::Both) | None => return,
        };
        // (From no packing to the first step it goes all the same: else nothing would be tried any more.)
        let is_early = next > self.rung && self.vain.left(self.ahead) > 0;
        if next > FIRST && (self.vain.is_run || is_early) {
            return;
        }
        let Some(known) = self.known.get(next) else { return };
        let pace = self.agreed.pace(now, self.ahead);
        let is_slower = |(at, known): (Instant, f64), pace: f64| {
            let times = if next > self.rung { (pace / known).clamp(1.0, LONGER) } else { 1.0 };
            known < pace && now - at < MEMORY.mul_f64(times)
        };
        if known.zip(pace).is_some_and(|(known, pace)| is_slower(known, pace)) {
            return;
        }
        self.known[self.rung] = pace.map(|pace| (now, pace));
        self.stale = (now + SPAN, self.most_packing);
        self.rung = next;
    }
}

#[cfg(test)]
mod tests;
