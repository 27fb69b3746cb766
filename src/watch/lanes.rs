//! One line for each link while the run goes on: its connections, how fast they are, what they do.
//!
//! Only words and figures; does not know how they are drawn, nor why a link is slow.

use super::figures;
use super::progress::Meter;
use crate::error::one_line;
use crate::proto::{LinkId, WorkerId};
use crate::stats::{WorkerRow, WorkerState};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Most links that have a lane of their own; the others share one.
const LANES: usize = 8;
/// So much of a link's name is shown.
const NAME: usize = 28;

/// All links as they are drawn.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// The links as the user named them; none where this end listens.
    names: Vec<String>,
    lanes: BTreeMap<LinkId, Lane>,
}

/// One link.
#[derive(Debug, Default)]
struct Lane {
    /// The address at the other end of its last connection.
    peer: String,
    /// Bytes that each of its connections has carried, those included that are gone.
    carried: BTreeMap<WorkerId, u64>,
    meter: Meter,
    /// Connections now, and how many of them carry something.
    live: usize,
    busy: usize,
}

impl Lanes {
    /// Lanes for the links that are dialled; those by which somebody else comes in are named by where from.
    pub(super) fn new(names: Vec<String>) -> Lanes {
        let dialled = (0..names.len()).map(|link| (LinkId(link as u16), Lane::default()));
        Lanes { lanes: dialled.collect(), names }
    }

    /// So much these connections have carried by now.
    pub(super) fn sample(&mut self, now: Instant, workers: &[(WorkerId, Arc<WorkerRow>)]) {
        for lane in self.lanes.values_mut() {
            (lane.live, lane.busy) = (0, 0);
        }
        for (worker, row) in workers {
            let lane = self.lanes.entry(row.link).or_default();
            lane.peer.clone_from(&row.peer);
            lane.carried.insert(*worker, row.bytes.now());
            lane.live += 1;
            lane.busy += usize::from(row.state() == WorkerState::Busy);
        }
        for lane in self.lanes.values_mut() {
            lane.meter.sample(now, lane.carried.values().sum());
        }
    }

    /// A line for each, the preferred link first. None for one link alone: the stream's line says it all.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.lanes.iter().map(|(link, lane)| self.line(*link, lane)).collect();
        if lines.len() > LANES {
            let more = lines.len() - (LANES - 1);
            lines.truncate(LANES - 1);
            lines.push(format!("and {more} more links"));
        }
        if lines.len() > 1 { lines } else { Vec::new() }
    }

    fn line(&self, link: LinkId, lane: &Lane) -> String {
        let from = format!("from {}", lane.peer.rsplit_once(':').map_or("", |(host, _)| host));
        let name = one_line(self.names.get(usize::from(link.0)).unwrap_or(&from));
        let shown: String = match name.chars().count() {
            0..=NAME => name,
            _ => name.chars().take(NAME - 1).chain(['…']).collect(),
        };
        let state = match (lane.live, lane.busy) {
            (0, _) => "down".into(),
            (_, 0) => "idle".into(),
            (live, busy) => format!("{busy} of {live} busy"),
        };
        format!("{shown}: {}, {state}", figures::rate(lane.meter.rate()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Role, Stats};
    use std::time::Duration;

    #[test]
    fn a_link_alone_has_no_lane() {
        assert!(Lanes::new(vec!["h:1".into()]).lines().is_empty());
    }

    #[test]
    fn each_link_has_its_rate_and_state() {
        let (stats, start) = (Stats::new(Role::Sender, 1), Instant::now());
        let mut lanes =
            Lanes::new(vec!["h:1".into(), "a-name-that-is-much-too-long.example.org:7000".into()]);
        let row = stats.join(WorkerId(3), LinkId(0), "192.0.2.1:1".into());
        row.set_state(WorkerState::Busy);
        lanes.sample(start, &stats.workers());
        row.bytes.add(2_000_000);
        lanes.sample(start + Duration::from_secs(2), &stats.workers());
        let expected = ["h:1: 1.00 MB/s, 1 of 1 busy", "a-name-that-is-much-too-lon…: 0 B/s, down"];
        assert_eq!(lanes.lines(), expected);
        stats.leave(WorkerId(3));
        lanes.sample(start + Duration::from_secs(3), &stats.workers());
        assert!(
            lanes.lines()[0].ends_with("down"),
            "what it has carried stays: {:?}",
            lanes.lines()
        );
    }

    #[test]
    fn who_comes_in_is_named_by_where_from_and_many_share_a_lane() {
        let stats = Stats::new(Role::Receiver, 1);
        for link in 0..20 {
            stats.join(WorkerId(link.into()), LinkId(link), format!("[2001:db8::{link}]:99\n"));
        }
        let mut lanes = Lanes::new(Vec::new());
        lanes.sample(Instant::now(), &stats.workers());
        let lines = lanes.lines();
        assert_eq!(lines.len(), LANES);
        assert_eq!(lines[0], "from [2001:db8::0]: 0 B/s, idle");
        assert_eq!(lines[LANES - 1], "and 13 more links");
    }
}
