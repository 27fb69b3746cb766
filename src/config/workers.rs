//! How many connections there shall be.
//!
//! Knows how it is written, and how far `auto` may go. Does not know what makes it go there.

use super::place::parse_workers;
use super::{Dest, shares};
use crate::foot::DEFAULT_FOOT_BYTES;

/// Connections over all DESTs together when nothing is said.
pub const DEFAULT_WORKERS: u16 = 4;
/// Most connections over all DESTs that `auto` makes. Where each brings little that is still worth having
/// (200 Mbit/s, 50 ms, 0.5 % of loss: 4 Mbit/s each) these fill a link; more of them would need a wider window
/// than the default.
const MOST: u16 = 64;
/// Feet of the window for each connection that `auto` makes. Two are needed; with so many the fast ones need
/// not wait for the slow.
const FEET_EACH: u64 = 4;

/// Connections over all DESTs that have no count of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// So many.
    Count(u16),
    /// As many as bring throughput.
    Auto,
}

impl Default for Workers {
    fn default() -> Workers {
        Workers::Count(DEFAULT_WORKERS)
    }
}

impl Workers {
    /// Reads a number of connections, or `auto`.
    pub fn parse(text: &str) -> Result<Workers, String> {
        if text == "auto" {
            return Ok(Workers::Auto);
        }
        parse_workers(text).map(Workers::Count).map_err(|cause| format!("{cause}, nor auto"))
    }

    /// How many there are at first.
    pub fn at_first(self) -> u16 {
        match self {
            Workers::Count(count) => count,
            Workers::Auto => DEFAULT_WORKERS,
        }
    }

    /// The most that there may be over these DESTs, with their own ones, where a window of so many bytes holds
    /// feet of this size; of one that is not known, where the other end sends.
    pub fn most(self, dests: &[Dest], window_bytes: u64, foot_bytes: Option<u32>) -> u16 {
        let at_first: u16 = shares(dests, self.at_first()).into_iter().sum();
        let all_count = dests.iter().all(|dest| dest.workers.is_some());
        if self != Workers::Auto || all_count {
            return at_first;
        }
        let counted: u16 = dests.iter().filter_map(|dest| dest.workers).sum();
        let feet = window_bytes / u64::from(foot_bytes.unwrap_or(DEFAULT_FOOT_BYTES));
        let affordable = u16::try_from(feet / FEET_EACH).unwrap_or(u16::MAX);
        (counted + MOST).min(affordable).max(at_first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn most(dests: &[&str], window_bytes: u64, foot_bytes: u32) -> u16 {
        let parse = |text: &&str| Dest::parse(text).expect("a DEST of this test");
        let dests: Vec<Dest> = dests.iter().map(parse).collect();
        Workers::Auto.most(&dests, window_bytes, Some(foot_bytes))
    }

    #[test]
    fn a_number_or_auto() {
        assert_eq!(Workers::parse("256"), Ok(Workers::Count(256)));
        assert_eq!(Workers::parse("auto"), Ok(Workers::Auto));
        assert!(["", "0", "257", "Auto", "-1"].iter().all(|text| Workers::parse(text).is_err()));
    }

    #[test]
    fn auto_goes_as_far_as_the_window_affords() {
        assert_eq!(most(&["a:1"], 256 << 20, 1 << 20), 64);
        assert_eq!(most(&["a:1"], 8 << 30, 1 << 20), 64, "no further");
        assert_eq!(most(&["a:1"], 64 << 20, 1 << 20), 16);
        assert_eq!(most(&["a:1"], 12 << 20, 1 << 20), 4, "never less than at first");
        assert_eq!(most(&["a:1", "b:1,workers=7"], 8 << 30, 1 << 20), 71);
        assert_eq!(most(&["a:1,workers=9"], 8 << 30, 1 << 20), 9, "nothing is left to it");
        assert_eq!(Workers::Count(5).most(&[], 8 << 30, None), 0);
    }
}
