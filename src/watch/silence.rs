//! Links of which a receiver hears nothing, though their connections are there.
//!
//! A sender sends a heartbeat over each connection every second, gives up those that are not answered and dials anew;
//! a receiver is patient with what may only be slow. What it could know by then it says. Looks are counted, not time: who
//! was suspended has heard nothing either. Does not know whether anything is done about it.

use super::lanes::Row;
use crate::proto::LinkId;
use std::collections::BTreeMap;

/// Looks without a byte after which a link is silent, ten to a second.
const LOOKS: u32 = 50;
/// Looks for which no more is said of a link that was told to be silent: it may be so again and again.
const QUIET_LOOKS: u32 = 600;
/// Most links of which it is told: the others are seldom alone.
const TOLD: usize = 8;

/// What was heard of each link.
#[derive(Debug, Default)]
pub(super) struct Silence(BTreeMap<LinkId, Heard>);

#[derive(Debug, Default)]
struct Heard {
    bytes: u64,
    /// Since then.
    looks: u32,
    is_told: bool,
    /// Looks until it may be told again.
    quiet: u32,
}

impl Silence {
    /// The links as they are now; what is to be said of them.
    pub(super) fn look(&mut self, rows: impl Iterator<Item = Row>) -> Vec<String> {
        rows.take(TOLD).filter_map(|row| self.hear(&row)).collect()
    }

    fn hear(&mut self, row: &Row) -> Option<String> {
        let heard = self.0.entry(row.link).or_default();
        heard.quiet = heard.quiet.saturating_sub(1);
        if row.bytes != heard.bytes || row.live == 0 {
            let is_back = heard.is_told && row.live > 0;
            *heard = Heard { bytes: row.bytes, quiet: heard.quiet, ..Heard::default() };
            return is_back.then(|| format!("link {} is heard again", row.name));
        }
        heard.looks += 1;
        if heard.looks < LOOKS || heard.is_told || heard.quiet > 0 {
            return None;
        }
        (heard.is_told, heard.quiet) = (true, QUIET_LOOKS);
        let seconds = LOOKS / 10;
        Some(format!("link {} is silent: nothing was heard for {seconds} s", row.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::TcpInfo;

    /// What is said in so many looks at a link with this many connections, on which there are so many bytes more each time.
    fn said(silence: &mut Silence, looks: u64, live: usize, from: u64, more: u64) -> Vec<String> {
        let row = |look| Row {
            link: LinkId(1),
            name: "from 10.0.0.1".into(),
            live,
            busy: 0,
            bytes: from + look * more,
            rate: 0.0,
            lost: None,
            tcp: TcpInfo::default(),
        };
        (1..=looks).flat_map(|look| silence.look([row(look)].into_iter())).collect()
    }

    #[test]
    fn a_link_that_is_silent_is_told_once_and_once_more_when_it_is_heard() {
        let mut silence = Silence::default();
        assert!(said(&mut silence, 1000, 4, 0, 20).is_empty());
        assert!(said(&mut silence, 49, 4, 20_000, 0).is_empty());
        let told = said(&mut silence, 1000, 4, 20_000, 0);
        assert_eq!(told, ["link from 10.0.0.1 is silent: nothing was heard for 5 s"]);
        assert_eq!(said(&mut silence, 100, 4, 20_000, 1), ["link from 10.0.0.1 is heard again"]);
        let told: usize = (1..=20).map(|n| said(&mut silence, 60, 4, n * 30_000, 0).len()).sum();
        assert_eq!(told, 4, "silent and heard, twice in two minutes");
    }

    #[test]
    fn a_link_without_a_connection_is_not_silent_but_down() {
        let mut silence = Silence::default();
        assert!(said(&mut silence, 1000, 0, 20_000, 0).is_empty());
        assert_eq!(said(&mut silence, 100, 1, 20_000, 0).len(), 1);
        assert!(said(&mut silence, 1000, 0, 20_000, 0).is_empty());
        assert!(said(&mut silence, 40, 1, 20_000, 0).is_empty(), "it has a new one");
    }
}
