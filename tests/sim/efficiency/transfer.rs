//! Plans as real sessions have them, what the links could do at best, and the scores.
//!
//! Does not judge which bound is right.

use super::run;
use crate::sim::agenda::{MS, SECOND};
use crate::sim::plan::{Fault, LinkPlan, Plan};
use crate::sim::world::Summary;
use viamillipede::foot::{Codec, DEFAULT_FOOT_BYTES, FootHeader};

pub(super) const MB: u64 = 1_000_000;
pub(super) const FOOT: u64 = DEFAULT_FOOT_BYTES as u64;
/// A session's default window.
const WINDOW_FEET: u64 = 256;

/// A link of so many Mbit/s and so many milliseconds each way.
pub(super) fn link(mbit: u64, delay_ms: u64, workers: usize) -> LinkPlan {
    LinkPlan { bytes_per_second: mbit * super::MBIT, delay: delay_ms * MS, workers }
}

/// A stream of `bytes` from a source that is always ready, in full feet but for the last, under the
/// default window, which opens as it does in a session.
pub(super) fn transfer(links: &[LinkPlan], bytes: u64, congestion: bool) -> Plan {
    transfer_in_feet(links, bytes, congestion, FOOT, WINDOW_FEET)
}

/// The same in feet of `foot_bytes`, under a window of `window_feet` or the least there may be.
pub(super) fn transfer_in_feet(
    links: &[LinkPlan],
    bytes: u64,
    congestion: bool,
    foot_bytes: u64,
    window_feet: u64,
) -> Plan {
    let workers: usize = links.iter().map(|link| link.workers).sum();
    let mut plan = super::plan(links.to_vec(), 0);
    plan.foot_bytes = foot_bytes as u32;
    plan.feet = (0..bytes.div_ceil(foot_bytes)).map(|id| foot(id, bytes, foot_bytes)).collect();
    plan.chunk_bytes = 16 << 10;
    plan.congestion = congestion;
    plan.open_feet = 2 * workers as u64 + 4;
    plan.window_feet = window_feet.max(plan.open_feet);
    plan.buffers = plan.window_feet;
    plan
}

fn foot(id: u64, bytes: u64, foot_bytes: u64) -> FootHeader {
    let offset = id * foot_bytes;
    let raw_bytes = (bytes - offset).min(foot_bytes) as u32;
    let (packed_bytes, codec) = (raw_bytes, Codec::Raw);
    FootHeader { id, offset, raw_bytes, packed_bytes, codec, check: [id as u8; 32] }
}

/// The link is a black hole from `at` on, for `time`.
pub(super) fn silent(link: usize, at: u64, time: u64) -> (u64, Fault) {
    (at, Fault::Silence { link, time })
}

/// How long the links take for `bytes` when each is full from the start but while it is silent.
pub(super) fn fluid(plan: &Plan, bytes: u64) -> u64 {
    let is_silent = |link: usize, now: u64| {
        plan.faults.iter().any(|(at, fault)| match fault {
            Fault::Silence { link: silent, time } => {
                *silent == link && (*at..at.saturating_add(*time)).contains(&now)
            }
            _ => false,
        })
    };
    let (mut now, mut left) = (0, u128::from(bytes) * u128::from(SECOND / MS));
    loop {
        let links = plan.links.iter().enumerate();
        let fine = links.filter(|(number, _)| !is_silent(*number, now));
        let rate: u128 = fine.map(|(_, link)| u128::from(link.bytes_per_second)).sum();
        if left <= rate {
            return now + (left * u128::from(MS)).checked_div(rate).unwrap_or(0) as u64;
        }
        left -= rate;
        now += MS;
    }
}

/// The longest round trip of any link.
pub(super) fn longest_rtt(links: &[LinkPlan]) -> u64 {
    links.iter().map(|link| 2 * link.delay).max().unwrap_or(0)
}

/// When the first foot was sent: the ends have met.
pub(super) fn first_send(summary: &Summary) -> u64 {
    summary.sends.first().map_or(0, |(at, _, _)| *at)
}

/// From the first foot sent to the last ack.
pub(super) fn sending_time(plan: &Plan) -> u64 {
    let summary = run(plan);
    summary.last_ack - first_send(&summary)
}

/// Feet that went to the link at times in `during`.
pub(super) fn feet_on(summary: &Summary, link: usize, during: std::ops::Range<u64>) -> usize {
    let sends = summary.sends.iter();
    sends.filter(|(at, on, _)| *on == link && during.contains(at)).count()
}

/// What a family of scenarios came to.
#[derive(Default)]
pub(super) struct Scores {
    lines: Vec<String>,
    misses: Vec<String>,
}

impl Scores {
    /// It took `time`, and may take `most`, in nanoseconds.
    pub(super) fn at_most(&mut self, name: &str, time: u64, most: u64) {
        let line = format!("{name}: {} ms, at most {}", time.div_ceil(MS), most / MS);
        self.note(&line, time <= most);
    }

    /// It put `feet` where there may be `most`.
    pub(super) fn feet_at_most(&mut self, name: &str, feet: usize, most: usize) {
        self.note(&format!("{name}: {feet} feet, at most {most}"), feet <= most);
    }

    /// It put `feet` where there should be `least`.
    pub(super) fn feet_at_least(&mut self, name: &str, feet: usize, least: usize) {
        self.note(&format!("{name}: {feet} feet, at least {least}"), feet >= least);
    }

    fn note(&mut self, line: &str, is_met: bool) {
        if !is_met {
            self.misses.push(line.to_owned());
        }
        self.lines.push(format!("{} {line}", if is_met { "    " } else { "MISS" }));
    }

    /// Shows them all, and fails if any missed its bound.
    pub(super) fn judge(self) {
        eprintln!("{}", self.lines.join("\n"));
        let (misses, all) = (self.misses.len(), self.lines.len());
        assert!(misses == 0, "{misses} of {all} miss:\n{}", self.misses.join("\n"));
    }
}
