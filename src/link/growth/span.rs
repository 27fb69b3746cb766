//! A stretch of time in which the connections stayed the same, and what they brought.
//!
//! Does not judge it.

use super::Seen;
use std::time::{Duration, Instant};

/// The first moments of a set of connections say nothing of it: TCP begins slowly, and the kernel takes a gulp.
const SETTLING: Duration = Duration::from_secs(1);
/// The parts of a span that are compared.
const SECOND: Duration = Duration::from_secs(1);
/// A link that carried less says nothing: it is by gulps of hundreds of kilobytes that the kernel takes what is
/// sent.
const TELLING_BYTES: u64 = 2 << 20;
/// A link is waited for in a span if it was at this part of the looks.
const WAITED_PERCENT: u32 = 80;

/// A second that carried less than this part of the mean is one in which something stood still.
const EVEN: f64 = 0.5;

/// The span.
#[derive(Debug)]
pub(super) struct Span {
    /// Before this the connections have not settled.
    settled: Instant,
    since: Instant,
    /// Each link at its begin.
    began: Vec<Seen>,
    looks: u32,
    /// At how many looks each link was waited for.
    waited: Vec<u32>,
    /// What each link had carried at the end of each of its seconds.
    seconds: Vec<(Instant, Vec<u64>)>,
}

impl Span {
    /// One that begins once the connections have settled.
    pub(super) fn begin(now: Instant, seen: &[Seen]) -> Span {
        let (began, waited) = (seen.to_vec(), vec![0; seen.len()]);
        let seconds = vec![(now, bytes(seen))];
        Span { settled: now + SETTLING, since: now, began, looks: 0, waited, seconds }
    }

    /// Begins anew, with the same connections.
    pub(super) fn restart(&mut self, now: Instant, seen: &[Seen]) {
        *self = Span { settled: self.settled, ..Span::begin(now, seen) };
    }

    /// Takes note of how it is. Where connections have come or gone it begins anew.
    pub(super) fn note(&mut self, now: Instant, waits: bool, seen: &[Seen]) {
        if self.began.iter().zip(seen).any(|(began, now)| began.live != now.live) {
            *self = Span::begin(now, seen);
        }
        if now < self.settled {
            return self.restart(now, seen);
        }
        self.looks += 1;
        if self.seconds.last().is_some_and(|(at, _)| now - *at >= SECOND) {
            self.seconds.push((now, bytes(seen)));
        }
        for (waited, link) in self.waited.iter_mut().zip(seen) {
            // Those that wait for a foot could do more; the other half may just have come to the end of one.
            *waited += u32::from(waits && link.live > 0 && 2 * link.busy >= link.live);
        }
    }

    /// How long it is.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Whether this link was what was waited for.
    pub(super) fn is_waited_for(&self, link: usize) -> bool {
        self.looks > 0 && self.waited[link] * 100 >= self.looks * WAITED_PERCENT
    }

    /// Whether it was so at every look.
    pub(super) fn is_always_waited_for(&self, link: usize) -> bool {
        self.looks > 0 && self.waited[link] == self.looks
    }

    /// Whether this link carried much the same in each of the span's seconds: nothing stood still.
    pub(super) fn is_even(&self, now: Instant, link: usize, seen: &[Seen]) -> bool {
        let mean = self.rates(now, seen)[link];
        self.by_seconds(link).all(|rate| rate >= mean * EVEN)
    }

    /// Whether enough went over this link to say something of it.
    pub(super) fn is_telling(&self, link: usize, seen: &[Seen]) -> bool {
        seen[link].bytes - self.began[link].bytes >= TELLING_BYTES
    }

    /// What this link brought in each of the span's seconds, in bytes a second.
    pub(super) fn by_seconds(&self, link: usize) -> impl Iterator<Item = f64> {
        self.seconds.windows(2).filter_map(move |pair| match pair {
            [(then, before), (now, after)] => {
                Some((after[link] - before[link]) as f64 / (*now - *then).as_secs_f64())
            }
            _ => None,
        })
    }

    /// What each link brought, in bytes a second.
    pub(super) fn rates(&self, now: Instant, seen: &[Seen]) -> Vec<f64> {
        let seconds = self.age(now).as_secs_f64().max(1e-3);
        let bytes = seen.iter().zip(&self.began).map(|(now, began)| now.bytes - began.bytes);
        bytes.map(|bytes| bytes as f64 / seconds).collect()
    }
}

fn bytes(seen: &[Seen]) -> Vec<u64> {
    seen.iter().map(|link| link.bytes).collect()
}
