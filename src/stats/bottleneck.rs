//! The names of what can hold a stream up, and a count of which did.
//!
//! Does not know by which figures a bottleneck is seen: that is [`super::Stats::bottleneck`].

use std::collections::BTreeMap;
use std::fmt;

/// The part of the way that is slowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bottleneck {
    /// What is read.
    Source,
    /// Packing.
    Compression,
    /// The connections.
    Network,
    /// `--rate`.
    Rate,
    /// The window is too small for the way.
    Window,
    /// Unpacking.
    Decompression,
    /// What is written.
    Sink,
    /// Nothing comes, and the receiver cannot know why.
    NetworkOrSender,
}

impl fmt::Display for Bottleneck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Bottleneck::Source => "source",
            Bottleneck::Compression => "compression",
            Bottleneck::Network => "network",
            Bottleneck::Rate => "rate",
            Bottleneck::Window => "window",
            Bottleneck::Decompression => "decompression",
            Bottleneck::Sink => "sink",
            Bottleneck::NetworkOrSender => "network or sender",
        })
    }
}

/// How often each bottleneck was seen.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<Bottleneck, u64>);

impl Tally {
    /// Counts what was seen once.
    pub fn count(&mut self, seen: Bottleneck) {
        *self.0.entry(seen).or_default() += 1;
    }

    /// What was seen most often, if anything was, and its share of all.
    pub fn most_frequent(&self) -> Option<(Bottleneck, f64)> {
        let (&seen, &times) = self.0.iter().max_by_key(|(_, times)| **times)?;
        Some((seen, times as f64 / self.0.values().sum::<u64>() as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_names_what_was_seen_most() {
        let mut tally = Tally::default();
        assert_eq!(tally.most_frequent(), None);
        for seen in [Bottleneck::Sink, Bottleneck::Source, Bottleneck::Sink, Bottleneck::Sink] {
            tally.count(seen);
        }
        assert_eq!(tally.most_frequent(), Some((Bottleneck::Sink, 0.75)));
    }
}
