//! Ends that are stopped at any moment, and go on too late or in time.

use super::killed::{LARGE, TINY, is_reversed, some_pair, wait_at_random};
use super::process::{End, Ended};
use super::stream::feed;
use super::{MARGIN, SHORT, at_once, sample, scatter};
use nix::sys::signal::Signal::{SIGCONT, SIGSTOP};
use std::thread;
use std::time::Duration;

#[test]
fn whoever_is_stopped_at_any_moment_is_noticed_and_nothing_is_taken_for_whole() {
    for round in 0..sample(1, 25) {
        at_once((0..8).map(|story| stopped(round * 8 + story)).collect());
    }
}

/// Stops either end at a random moment, for longer than patience or for a little.
fn stopped(seed: u64) -> Box<dyn FnOnce() + Send> {
    Box::new(move || {
        let total = if seed & 1 == 0 { TINY } else { LARGE };
        let (stops_rx, too_long) = (seed & 4 == 0, scatter(seed) & 8 == 0);
        let mut pair = some_pair(seed);
        feed(pair.tx.stdin(), total);
        let drain = pair.rx.drain();
        // A listening end that was never met waits without limit, so it has to be met first: also when it
        // is the one that is stopped, and goes on when the other is gone.
        let has_to_be_met = is_reversed(seed) == stops_rx || too_long;
        assert!(drain.has_seen(u64::from(has_to_be_met), MARGIN));
        let victim = if stops_rx { &pair.rx } else { &pair.tx };
        wait_at_random(&drain, total, seed);
        victim.signal(SIGSTOP);
        if too_long {
            let other = if stops_rx { &mut pair.tx } else { &mut pair.rx };
            let other = other.ended(SHORT).expect("it notices");
            done_or_lost(&other);
        } else {
            thread::sleep(Duration::from_millis(500)); // the pause itself
        }
        let victim: &End = if stops_rx { &pair.rx } else { &pair.tx };
        victim.signal(SIGCONT);
        let (tx, rx) = pair.ended(2 * SHORT);
        let out = drain.finish();
        for end in [&tx, &rx] {
            done_or_lost(end);
            assert!(end.code != 0 || out == total, "0 for a part: {end:?}");
        }
        assert!(tx.code != 0 || rx.code == 0, "the one disagreement is the other: {tx:?} {rx:?}");
        assert!(too_long || tx.code + rx.code == 0, "it was back in time: {tx:?} {rx:?}");
    })
}

fn done_or_lost(end: &Ended) {
    if end.code == 0 { end.delivered() } else { end.failed(4, "") }
}
