//! How many connections each link should have, by what they bring.
//!
//! One link at a time is given more connections on trial. Those that bring a good part of what as many of the
//! others bring stay; else they go again, and the next trials are later, and smaller until a gain is clear. Once in
//! a while fewer are tried in the same way. It judges only spans in which the link was waited for and its
//! connections stayed the same: a source or a sink that is slow or stands still changes nothing.
//!
//! Pure: figures and the time go in, and what is to be changed comes out. Does not know how connections come and
//! go ([`super::steer`]), nor what they carry.

mod span;

use span::Span;
use std::time::{Duration, Instant};

/// Shortest span that says something.
const SHORT: Duration = Duration::from_secs(1);
/// A gain that is clear is believed after [`SHORT`]; all else only after this. Longer than the pauses of single
/// connections, and most of a machine's.
const LONG: Duration = Duration::from_secs(6);
/// Connections that are added must bring this part of what as many of the others bring: more than what they would
/// take from another transfer with as many, on a link that both fill (0.33 where they are doubled, 0.4 where half of
/// them is added).
const GAIN: f64 = 0.45;
/// This part is believed at once.
const CLEAR: f64 = 0.6;
/// Connections that brought less than this part of it are not missed. Less than [`GAIN`], or noise would add and
/// drop the same ones for ever.
const LOSS: f64 = 0.2;
/// What other links lose meanwhile counts against a gain, but for this part, which is noise.
const NOISE: f64 = 0.03;
/// Pause after a trial of more that brought nothing; doubles each time.
const PAUSE: Duration = Duration::from_secs(5);
/// The same for trials of fewer, each of which costs throughput if it fails.
const REST: Duration = Duration::from_secs(30);
/// Longest pause: links change in the course of a day.
const LONGEST: Duration = Duration::from_secs(120);
/// How long connections may take to come up, or to carry to the end what they have.
const ARRIVAL: Duration = Duration::from_secs(10);
/// A rate that all share is what holds connections back if they wait for their turns in this part of the time. One
/// that they need nine tenths of has them wait for a hundredth, one that they need 1.1 of for six.
const HELD: f64 = 0.05;
/// Who looks less often than this was not running.
const GAP: Duration = Duration::from_secs(1);

/// One link at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Connections that are up.
    pub(super) live: u16,
    /// Those of them that are in the midst of a foot.
    pub(super) busy: u16,
    /// What went over all of its connections so far.
    pub(super) bytes: u64,
}

/// How a rate that all connections share held them back for a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// How long they waited for their turns, all together.
    pub(super) waited: Duration,
    /// How many wait at this moment.
    pub(super) waiting: u64,
}

impl Held {
    /// Whether more of them would only wait longer, where `live` ones did so in this `time`. (Turns are waited for
    /// now and then by chance, too. A wait that is not over may not be counted yet.)
    pub(super) fn is_much(self, time: Duration, live: u64) -> bool {
        let shared = time.as_secs_f64() * live as f64;
        self.waited.as_secs_f64() > shared * HELD || self.waiting > 0 && 2 * self.waiting >= live
    }
}

/// A link is to have so many connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) link: usize,
    pub(super) wanted: u16,
    /// Why, for people.
    pub(super) cause: String,
}

/// The state of it; see the module's text.
#[derive(Debug)]
pub(super) struct Growth {
    links: Vec<Link>,
    span: Span,
    looked: Instant,
    trial: Option<Trial>,
}

#[derive(Debug)]
struct Link {
    /// Never fewer than these.
    least: u16,
    wanted: u16,
    /// Their number is not fixed.
    grows: bool,
    /// A trial doubles them. Once that has failed it adds half of them, until a gain is clear again: it may have
    /// failed by chance.
    doubles: bool,
    more_at: Instant,
    more_pause: Duration,
    fewer_at: Instant,
    fewer_pause: Duration,
}

#[derive(Debug)]
struct Trial {
    link: usize,
    /// How many connections there were before.
    from: u16,
    /// What each link brought then, in bytes a second.
    before: Vec<f64>,
    /// The best second of this one.
    best_before: f64,
    /// It is what is left of one that has failed.
    is_rest: bool,
    /// It has begun anew, since everything stood still for a while.
    is_repeated: bool,
    /// When they must have come, or gone.
    until: Instant,
}

/// What a trial says so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Kept {
        is_clear: bool,
    },
    Undone,
    /// It would be, but part of the time nothing went at all.
    Spoilt,
    Open,
}

impl Growth {
    /// Links with so many connections each at first, and whether that may change.
    pub(super) fn new(now: Instant, links: impl IntoIterator<Item = (u16, bool)>) -> Growth {
        let links: Vec<Link> =
            links.into_iter().map(|(count, grows)| Link::new(now, count, grows)).collect();
        let span = Span::begin(now, &vec![Seen::default(); links.len()]);
        Growth { links, span, looked: now, trial: None }
    }

    /// Looks at all links, in their order, several times a second. `waits`: connections are what is waited for.
    /// `most`: there may be so many over all links.
    pub(super) fn look(
        &mut self,
        now: Instant,
        waits: bool,
        most: u16,
        seen: &[Seen],
    ) -> Option<Change> {
        if now - self.looked > GAP {
            self.span.restart(now, seen);
        }
        self.looked = now;
        self.span.note(now, waits, seen);
        match self.trial.take() {
            Some(trial) => self.go_on(now, trial, seen),
            None => self.begin(now, most, seen),
        }
    }

    /// Begins the trial that has been due for longest, if one is.
    fn begin(&mut self, now: Instant, most: u16, seen: &[Seen]) -> Option<Change> {
        let age = self.span.age(now);
        if age < SHORT {
            return None;
        }
        let total: u16 = self.links.iter().map(|link| link.wanted).sum();
        let room = most.saturating_sub(total);
        let is_ready = |place: usize| {
            let is_whole = seen[place].live == self.links[place].wanted;
            // By chance it seems so for a moment.
            let is_waited_for = match age {
                age if age < LONG => self.span.is_always_waited_for(place),
                _ => self.span.is_waited_for(place),
            };
            is_whole && is_waited_for && self.span.is_telling(place, seen)
        };
        let due = (0..self.links.len()).filter(|place| is_ready(*place));
        let due = due.filter_map(|place| Some((self.links[place].due(now, age, room)?, place)));
        if let Some(((_, wanted), place)) = due.min() {
            let before = self.span.rates(now, seen);
            let best_before = self.span.by_seconds(place).fold(0.0, f64::max);
            let link = &mut self.links[place];
            let cause = format!("{} bring {}", link.wanted, rate(before[place]));
            let from = std::mem::replace(&mut link.wanted, wanted);
            let until = now + ARRIVAL;
            let (is_rest, is_repeated) = (false, false);
            let trial =
                Trial { link: place, from, before, best_before, is_rest, is_repeated, until };
            self.trial = Some(trial);
            return Some(Change { link: place, wanted, cause });
        }
        let is_used_up = (0..self.links.len())
            .all(|place| !self.span.is_waited_for(place) || self.span.is_telling(place, seen));
        if age >= LONG && is_used_up || age >= LONGEST {
            self.span.restart(now, seen); // what is compared later shall be of late
        }
        None
    }

    /// Goes on with a trial until there is a verdict.
    fn go_on(&mut self, now: Instant, trial: Trial, seen: &[Seen]) -> Option<Change> {
        let Trial { link: place, from, .. } = trial;
        let (verdict, cause) = self.judge(now, &trial, seen);
        let link = &mut self.links[place];
        match verdict {
            Verdict::Open => self.trial = Some(trial),
            Verdict::Spoilt => {
                self.span.restart(now, seen);
                self.trial = Some(Trial { is_repeated: true, ..trial });
            }
            Verdict::Kept { is_clear } => link.kept(now, from, is_clear),
            Verdict::Undone => {
                link.undo(now, from);
                let wanted = link.wanted;
                if wanted != from {
                    self.trial = Some(Trial { until: now + ARRIVAL, is_rest: true, ..trial });
                }
                return Some(Change { link: place, wanted, cause });
            }
        }
        None
    }

    fn judge(&mut self, now: Instant, trial: &Trial, seen: &[Seen]) -> (Verdict, String) {
        let (place, wanted) = (trial.link, self.links[trial.link].wanted);
        if seen[place].live != wanted {
            let verdict = if now < trial.until { Verdict::Open } else { Verdict::Undone };
            return (verdict, format!("there are still {}", seen[place].live));
        }
        let age = self.span.age(now);
        let (is_waited_for, is_telling) =
            (self.span.is_waited_for(place), self.span.is_telling(place, seen));
        let is_late = age >= LONG;
        // Where something else is what is waited for, it must flow all the time to say anything.
        let flows = self.span.is_even(now, place, seen) && (is_telling || !is_late);
        if age >= SHORT && !is_waited_for && !flows {
            self.span.restart(now, seen);
            return (Verdict::Open, String::new());
        }
        if age < SHORT || !is_telling || !is_waited_for && !is_late {
            return (Verdict::Open, String::new());
        }
        let after = self.span.rates(now, seen);
        let cause = format!(
            "{wanted} bring {}, {} brought {}",
            rate(after[place]),
            trial.from,
            rate(trial.before[place])
        );
        // Where it is only noise, and nothing has changed, that happens once in seventy times.
        let is_steady = self.span.by_seconds(place).all(|rate| rate >= trial.best_before);
        let verdict = match trial.verdict(wanted, &after, is_steady, is_late) {
            // That says nothing of the connections; but it may be the way of this link.
            Verdict::Undone if !trial.is_repeated && !self.span.is_even(now, place, seen) => {
                Verdict::Spoilt
            }
            verdict => verdict,
        };
        (verdict, cause)
    }
}

impl Link {
    fn new(now: Instant, count: u16, grows: bool) -> Link {
        Link {
            least: count,
            wanted: count,
            grows,
            doubles: true,
            more_at: now,
            more_pause: PAUSE,
            fewer_at: now + REST,
            fewer_pause: REST,
        }
    }

    /// The next trial, if it is due and a span of this `age` will do: since when, and with how many. There is
    /// `room` for so many more.
    fn due(&self, now: Instant, age: Duration, room: u16) -> Option<(Instant, u16)> {
        let is_long = age >= LONG;
        let more = if self.doubles { self.wanted } else { (self.wanted / 2).max(1) };
        // Of a few among many nobody could tell what they bring.
        let more = self.wanted + if room < self.wanted / 4 { 0 } else { more.min(room) };
        let fewer = (self.wanted - (self.wanted / 4).max(1).min(self.wanted)).max(self.least);
        let may_grow = self.grows && more > self.wanted && (is_long || self.doubles);
        let may_shrink = fewer < self.wanted && is_long;
        let trials =
            [(may_grow, self.more_at, more), (may_shrink, self.fewer_at, fewer)].into_iter();
        let due = trials.filter(|(may, at, _)| *may && *at <= now);
        due.map(|(_, at, wanted)| (at, wanted)).min()
    }

    /// What was tried is better than `from` was; perhaps it `is_clear` by how much.
    fn kept(&mut self, now: Instant, from: u16, is_clear: bool) {
        if self.wanted > from {
            self.doubles |= is_clear;
            (self.more_at, self.more_pause) = (now, PAUSE);
            (self.fewer_at, self.fewer_pause) = (now + REST, REST);
        } else {
            self.fewer_at = now + PAUSE;
            self.more_at = self.more_at.max(now + self.more_pause);
        }
    }

    /// What was tried is no better than `from` was: back to that, or, where twice as many were too many, half
    /// of the way.
    fn undo(&mut self, now: Instant, from: u16) {
        let added = self.wanted.saturating_sub(from);
        if added > 1 && std::mem::take(&mut self.doubles) {
            self.wanted = from + added / 2;
            return;
        }
        if added == 0 {
            self.fewer_pause = (self.fewer_pause * 2).min(LONGEST);
            self.fewer_at = now + self.fewer_pause;
        } else {
            self.more_at = now + self.more_pause;
            self.more_pause = (self.more_pause * 2).min(LONGEST);
        }
        self.wanted = from;
    }
}

impl Trial {
    /// What is to be said of `wanted` connections, which bring `after`: in all of its seconds more than before, if
    /// that `is_steady`; and for so long that there must be a verdict, if it `is_late`.
    fn verdict(&self, wanted: u16, after: &[f64], is_steady: bool, is_late: bool) -> Verdict {
        let others = |rates: &[f64]| rates.iter().sum::<f64>() - rates[self.link];
        let [own, others_before, others_after] =
            [self.before[self.link], others(&self.before), others(after)];
        let change = after[self.link] - own;
        // What as many of the others bring.
        let fair = own * f64::from(wanted.abs_diff(self.from)) / f64::from(self.from);
        if wanted > self.from {
            let taken = (others_before * (1.0 - NOISE) - others_after).max(0.0);
            match (change - taken) / fair {
                // Of what is left it is known that twice as many were too many, or it was chance: the next will tell.
                gain if is_steady && gain >= CLEAR => Verdict::Kept { is_clear: !self.is_rest },
                _ if !is_late => Verdict::Open,
                gain if is_steady && gain >= GAIN => Verdict::Kept { is_clear: false },
                _ => Verdict::Undone,
            }
        } else {
            let taken_over = (others_after - others_before * (1.0 + NOISE)).max(0.0);
            match (-change - taken_over) / fair {
                loss if loss >= CLEAR => Verdict::Undone,
                _ if !is_late => Verdict::Open,
                loss if loss <= LOSS => Verdict::Kept { is_clear: false },
                _ => Verdict::Undone,
            }
        }
    }
}

fn rate(bytes_per_second: f64) -> String {
    format!("{:.1} MB/s", bytes_per_second / 1e6)
}

#[cfg(test)]
mod tests;
