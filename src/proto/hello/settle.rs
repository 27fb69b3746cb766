//! Foot size and number of connections that suit both ends, so that rule 1 of the protocol (no
//! deadlock) holds in either window.
//!
//! Knows only the two wishes, which must be within the limits that [`super::Hello`] names.

use super::{Settled, Wish};
use crate::foot::MIN_FOOT_BYTES;

/// How many feet a window must hold: on each connection one that moves and one that waits for its
/// ack, and a few in the hands of the stages before and behind.
pub const fn min_window_feet(workers: u16) -> u64 {
    2 * workers as u64 + 4
}

/// What the session uses: first the feet shrink until enough of them fit into both windows, then
/// connections are given up. `None`: not even one connection with the smallest feet fits.
pub fn settle(sender: Wish, receiver: Wish) -> Option<Settled> {
    let window_bytes = sender.window_bytes.min(receiver.window_bytes);
    let workers = sender.workers.min(receiver.workers).max(1);
    let mut foot_bytes = sender.foot_bytes.min(receiver.foot_bytes);
    while foot_bytes > MIN_FOOT_BYTES && !fits(foot_bytes, workers, window_bytes) {
        foot_bytes /= 2;
    }
    let workers = (1..=workers).rev().find(|&fewer| fits(foot_bytes, fewer, window_bytes))?;
    Some(Settled {
        foot_bytes,
        workers,
        window_bytes: receiver.window_bytes,
        verify: sender.verify || receiver.verify,
        pace: sender.pace.max(receiver.pace),
    })
}

/// Whether a window holds the feet that so many connections need.
pub(super) fn fits(foot_bytes: u32, workers: u16, window_bytes: u64) -> bool {
    min_window_feet(workers) * u64::from(foot_bytes) <= window_bytes
}

impl Wish {
    /// Whether this end can live with what was settled: the dialling end's check of a welcome,
    /// which keeps its memory bounded whatever the other end says.
    pub fn admits(&self, settled: &Settled) -> bool {
        settled.foot_bytes <= self.foot_bytes
            && settled.workers <= self.workers
            && (settled.verify || !self.verify)
            && settled.pace >= self.pace
            && fits(settled.foot_bytes, settled.workers, self.window_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foot::MAX_FOOT_BYTES;
    use crate::proto::{hello::MAX_WORKERS, liveness::Pace};
    use proptest::prelude::*;

    fn wish() -> impl Strategy<Value = Wish> {
        let window = prop_oneof![0..64_u64 << 20, 0..8_u64 << 30, any::<u64>()];
        (0..=8_u32, 1..=MAX_WORKERS, window, any::<bool>(), any::<u8>()).prop_map(
            |(doublings, workers, window_bytes, verify, more_a_second)| Wish {
                foot_bytes: MIN_FOOT_BYTES << doublings,
                workers,
                window_bytes,
                verify,
                pace: Pace { more_a_second },
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_settled_fits_both_ends(sender in wish(), receiver in wish()) {
            let Some(settled) = settle(sender, receiver) else {
                let smaller = sender.window_bytes.min(receiver.window_bytes);
                prop_assert!(smaller < 6 * u64::from(MIN_FOOT_BYTES));
                return Ok(());
            };
            prop_assert!(sender.admits(&settled) && receiver.admits(&settled));
            prop_assert!(settled.foot_bytes.is_power_of_two() && settled.workers >= 1);
            prop_assert!((MIN_FOOT_BYTES..=MAX_FOOT_BYTES).contains(&settled.foot_bytes));
            prop_assert_eq!(settled.window_bytes, receiver.window_bytes);
            prop_assert_eq!(settled.verify, sender.verify || receiver.verify);
            prop_assert_eq!(settled.pace, sender.pace.max(receiver.pace));
        }

        #[test]
        fn nothing_is_given_up_without_need(sender in wish(), receiver in wish()) {
            let Some(settled) = settle(sender, receiver) else { return Ok(()) };
            let window_bytes = sender.window_bytes.min(receiver.window_bytes);
            let workers = sender.workers.min(receiver.workers);
            let foot_bytes = sender.foot_bytes.min(receiver.foot_bytes);
            if settled.foot_bytes < foot_bytes {
                prop_assert!(!fits(settled.foot_bytes * 2, workers, window_bytes));
            }
            if settled.workers < workers {
                prop_assert_eq!(settled.foot_bytes, MIN_FOOT_BYTES);
                prop_assert!(!fits(settled.foot_bytes, settled.workers + 1, window_bytes));
            }
        }

        #[test]
        fn who_sends_changes_only_whose_window_is_named(one in wish(), other in wish()) {
            let there = settle(one, other).map(|it| (it.foot_bytes, it.workers, it.verify));
            let back = settle(other, one).map(|it| (it.foot_bytes, it.workers, it.verify));
            prop_assert_eq!(there, back);
        }
    }

    #[test]
    fn usual_wishes_are_granted_whole() {
        let wish = Wish {
            foot_bytes: 1 << 20,
            workers: 4,
            window_bytes: 256 << 20,
            verify: false,
            pace: Pace::default(),
        };
        let receiver = Wish { foot_bytes: MAX_FOOT_BYTES, workers: 64, verify: true, ..wish };
        let settled = settle(wish, receiver).expect("256 MiB hold 12 feet of 1 MiB");
        assert_eq!((settled.foot_bytes, settled.workers, settled.verify), (1 << 20, 4, true));
    }

    #[test]
    fn small_windows_take_small_feet_then_fewer_workers_then_nothing() {
        let settled = |window_bytes: u64| {
            let pace = Pace::default();
            let wish = Wish { foot_bytes: 1 << 20, workers: 4, window_bytes, verify: false, pace };
            settle(wish, wish).map(|settled| (settled.foot_bytes, settled.workers))
        };
        assert_eq!(settled(12 << 20), Some((1 << 20, 4)));
        assert_eq!(settled((12 << 20) - 1), Some((512 << 10, 4)));
        assert_eq!(settled(12 * (64 << 10)), Some((64 << 10, 4)));
        assert_eq!(settled(12 * (64 << 10) - 1), Some((64 << 10, 3)));
        assert_eq!(settled(6 * (64 << 10)), Some((64 << 10, 1)));
        assert_eq!(settled(6 * (64 << 10) - 1), None);
    }
}
