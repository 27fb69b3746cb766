//! The workers that ask for a foot.
//!
//! Of each link the first by number comes first, which keeps few connections busy and their windows open;
//! where it will not do, those that would carry a foot the soonest: so however many ask, few need to be
//! looked at. Does not know what is asked for, nor who gets it.

use super::workers::Seat;
use crate::proto::LinkId;
use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

/// So many of the quickest of a link speak for all that are slower. (Two of them may have half the window
/// each, one may have become busy.)
const QUICKEST: usize = 4;

/// The place of a worker that asks: its link, and how soon a full foot would arrive.
pub(super) type Asking = (LinkId, Duration, Seat);

/// Those that ask, by link, and then in either order.
#[derive(Debug, Default)]
pub(super) struct Ready {
    by_number: BTreeSet<(LinkId, Seat)>,
    by_time: BTreeSet<Asking>,
}

impl Ready {
    /// A worker stops asking, or begins, or asks from another place.
    pub(super) fn moves(&mut self, from: Option<Asking>, to: Option<Asking>) {
        if from == to {
            return;
        }
        if let Some((link, time, seat)) = from {
            self.by_time.remove(&(link, time, seat));
            if to.is_none() {
                self.by_number.remove(&(link, seat));
            }
        }
        if let Some((link, time, seat)) = to {
            self.by_time.insert((link, time, seat));
            if from.is_none() {
                self.by_number.insert((link, seat));
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    /// The first worker of the most preferred link of which any asks.
    pub(super) fn first(&self) -> Option<(LinkId, Seat)> {
        self.by_number.first().copied()
    }

    /// The same of the links after this one.
    pub(super) fn first_after(&self, link: LinkId) -> Option<(LinkId, Seat)> {
        let from = Excluded((link, Seat::LAST));
        self.by_number.range((from, Unbounded)).next().copied()
    }

    /// Those of this link that would carry a foot the soonest.
    pub(super) fn quickest(&self, link: LinkId) -> [Option<Seat>; QUICKEST] {
        let from = (link, Duration::ZERO, Seat::FIRST);
        let mut of_link = self.by_time.range(from..).take_while(|(on, ..)| *on == link);
        std::array::from_fn(|_| of_link.next().map(|(.., seat)| *seat))
    }
}
