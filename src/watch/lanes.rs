//! One line for each link while the run goes on: its connections, how fast they are, what they do.
//!
//! Only words and figures; does not know how they are drawn, nor why a link is slow.

use super::figures;
use super::progress::Meter;
use crate::error::one_line;
use crate::net::TcpInfo;
use crate::proto::LinkId;
use crate::stats::LinkRow;
use std::collections::BTreeMap;
use std::time::Instant;

/// Most links that have a lane of their own; the others share one.
const LANES: usize = 8;
/// Most bytes a second of a connection that carries nothing: with these a link is idle, with more it is one that is
/// held back, and has had nothing to write at this moment only.
const HEARTBEATS: f64 = 250.0;
/// So much of a link's name is shown.
const NAME: usize = 28;

/// All links as they are drawn.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// The links as the user named them; none where this end listens.
    names: Vec<String>,
    lanes: BTreeMap<LinkId, Lane>,
}

/// What is known of one link.
#[derive(Debug)]
pub(super) struct Row {
    /// Which.
    pub(super) link: LinkId,
    /// What people call it.
    pub(super) name: String,
    /// Connections now, and how many of them carry something.
    pub(super) live: usize,
    pub(super) busy: usize,
    /// Bytes that it has carried, and a second in the last seconds.
    pub(super) bytes: u64,
    pub(super) rate: f64,
    /// When one of its connections was last lost.
    pub(super) lost: Option<Instant>,
    /// What the kernel says of its connections.
    pub(super) tcp: TcpInfo,
}

/// One link.
#[derive(Debug, Default)]
struct Lane {
    row: LinkRow,
    meter: Meter,
}

impl Lanes {
    /// Lanes for the links that are dialled; those by which somebody else comes in are named by where from.
    pub(super) fn new(names: Vec<String>) -> Lanes {
        let dialled = (0..names.len()).map(|link| (LinkId(link as u16), Lane::default()));
        Lanes { lanes: dialled.collect(), names }
    }

    /// The links as they are now.
    pub(super) fn sample(&mut self, now: Instant, links: BTreeMap<LinkId, LinkRow>) {
        for (link, row) in links {
            let lane = self.lanes.entry(link).or_default();
            lane.meter.sample(now, row.bytes);
            lane.row = row;
        }
    }

    /// Each link, the preferred one first. No two have the same name, though several may come in from one address.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row> {
        let mut rows: Vec<Row> = self.plain_rows().collect();
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        rows.iter().for_each(|row| *seen.entry(row.name.clone()).or_default() += 1);
        for row in rows.iter_mut().filter(|row| seen.get(&row.name).is_some_and(|&many| many > 1)) {
            row.name = format!("{} ({})", row.name, row.link);
        }
        rows.into_iter()
    }

    fn plain_rows(&self) -> impl Iterator<Item = Row> {
        self.lanes.iter().map(|(&link, lane)| {
            let LinkRow { peer, bytes, live, busy, lost, tcp } = &lane.row;
            let from = || format!("from {}", peer.rsplit_once(':').map_or("", |(host, _)| host));
            let name = self.names.get(usize::from(link.0)).cloned().unwrap_or_else(from);
            let (name, rate) = (one_line(&name), lane.meter.rate());
            let (live, busy, bytes, lost, tcp) = (*live, *busy, *bytes, *lost, *tcp);
            Row { link, name, live, busy, bytes, rate, lost, tcp }
        })
    }

    /// A line for each.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.rows().map(Row::line).collect();
        if lines.len() > LANES {
            let more = lines.len() - (LANES - 1);
            lines.truncate(LANES - 1);
            lines.push(format!("and {more} more links"));
        }
        lines
    }
}

impl Row {
    fn line(self) -> String {
        let shown: String = match self.name.chars().count() {
            0..=NAME => self.name,
            _ => self.name.chars().take(NAME - 1).chain(['…']).collect(),
        };
        let state = match (self.live, self.busy) {
            (0, _) => "down".into(),
            (live, 0) if self.rate <= HEARTBEATS * live as f64 => "idle".into(),
            (live, busy) => format!("{busy} of {live} busy"),
        };
        let mut line = format!("{shown}: {}, {state}", figures::rate(self.rate));
        if !self.tcp.rtt.is_zero() {
            line += &format!(", rtt {}", figures::round_trip(self.tcp.rtt));
        }
        if self.tcp.retransmits > 0 {
            line +=
                &format!(", {} again", figures::count(self.tcp.retransmits, "segment", "segments"));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::WorkerId;
    use crate::stats::{Role, Stats, WorkerState};
    use std::time::Duration;

    #[test]
    fn a_link_alone_has_its_lane_too() {
        assert_eq!(Lanes::new(vec!["h:1".into()]).lines(), ["h:1: 0 B/s, down"]);
    }

    #[test]
    fn each_link_has_its_rate_and_state() {
        let (stats, start) = (Stats::new(Role::Sender, 1), Instant::now());
        let mut lanes =
            Lanes::new(vec!["h:1".into(), "a-name-that-is-much-too-long.example.org:7000".into()]);
        let row = stats.join(WorkerId(3), LinkId(0), "192.0.2.1:1".into());
        row.set_state(WorkerState::Busy);
        lanes.sample(start, stats.links());
        row.bytes.add(2_000_000);
        let rtt = Duration::from_millis(24);
        row.set_tcp(Some(TcpInfo { rtt, retransmits: 3, ..TcpInfo::default() }));
        lanes.sample(start + Duration::from_secs(2), stats.links());
        let expected = [
            "h:1: 1.00 MB/s, 1 of 1 busy, rtt 24 ms, 3 segments again",
            "a-name-that-is-much-too-lon…: 0 B/s, down",
        ];
        assert_eq!(lanes.lines(), expected);
        row.set_state(WorkerState::Idle);
        lanes.sample(start + Duration::from_secs(3), stats.links());
        assert!(
            lanes.lines()[0].contains("667 kB/s, 0 of 1 busy"),
            "it waits: {:?}",
            lanes.lines()
        );
        lanes.sample(start + Duration::from_secs(9), stats.links());
        assert!(lanes.lines()[0].contains("0 B/s, idle"), "nothing flows: {:?}", lanes.lines());
        stats.leave(WorkerId(3));
        lanes.sample(start + Duration::from_secs(10), stats.links());
        assert!(
            lanes.lines()[0].ends_with("down, 3 segments again"),
            "what it has carried stays: {:?}",
            lanes.lines()
        );
    }

    #[test]
    fn links_from_one_address_are_told_apart() {
        let stats = Stats::new(Role::Receiver, 1);
        for (worker, link) in [(0, 0), (1, 1), (2, 1), (3, 2)] {
            let host = if link == 2 { 2 } else { 1 };
            stats.join(WorkerId(worker), LinkId(link), format!("192.0.2.{host}:99"));
        }
        let mut lanes = Lanes::new(Vec::new());
        lanes.sample(Instant::now(), stats.links());
        let names: Vec<String> = lanes.rows().map(|row| row.name).collect();
        assert_eq!(names, ["from 192.0.2.1 (link 0)", "from 192.0.2.1 (link 1)", "from 192.0.2.2"]);
    }

    #[test]
    fn who_comes_in_is_named_by_where_from_and_many_share_a_lane() {
        let stats = Stats::new(Role::Receiver, 1);
        for link in 0..20 {
            stats.join(WorkerId(link.into()), LinkId(link), format!("[2001:db8::{link}]:99\n"));
        }
        let mut lanes = Lanes::new(Vec::new());
        lanes.sample(Instant::now(), stats.links());
        let lines = lanes.lines();
        assert_eq!(lines.len(), LANES);
        assert_eq!(lines[0], "from [2001:db8::0]: 0 B/s, idle");
        assert_eq!(lines[LANES - 1], "and 13 more links");
    }
}
