//! Ways that are up and pass too little, or slowly: who waits in vain gives up, who does not goes on.

use super::process::{End, Pair};
use super::relay::{Fate, Relay};
use super::stream::feed;
use super::{LONG, at_once, sample};
use std::time::{Duration, Instant};
use viamillipede::proto::frame::Frame;

/// Patience where it runs out; heartbeats and stalls are well below.
const PATIENCE: u64 = 4;

#[test]
fn ways_that_pass_only_small_packets_are_given_up_by_both_ends() {
    at_once(vec![
        Box::new(|| nothing_large_passes("", 4 << 20)),
        Box::new(|| nothing_large_passes("--lz4", 7)),
    ]);
}

fn nothing_large_passes(flags: &str, bytes: u64) {
    let mut rx = End::start(&format!("rx 127.0.0.1:0 --patience {PATIENCE}"));
    let port = rx.port();
    let small_only = |frame: &Frame, _: &mut [u8]| match frame {
        Frame::Foot(_) => Fate::Drop,
        _ => Fate::Pass,
    };
    let relays = [(); 2].map(|()| Relay::judging(port, small_only));
    let dests = relays.each_ref().map(|relay| format!("127.0.0.1:{}", relay.port));
    let tx = End::start(&format!("tx {} --patience {PATIENCE} {flags}", dests.join(" ")));
    let mut pair = Pair { tx, rx, port };
    let drain = pair.rx.drain();
    let begun = Instant::now();
    feed(pair.tx.stdin(), bytes);
    let (tx, rx) = pair.ended(PATIENCE);
    assert!(begun.elapsed() >= Duration::from_secs(PATIENCE), "no sooner: {tx:?} {rx:?}");
    rx.failed(4, "");
    assert_eq!(drain.finish(), 0);
    // All of a short stream was sent, and perhaps arrived.
    let unknown = tx.said.contains("outcome unknown");
    tx.failed(4, if unknown { "" } else { "no progress" });
    // Whoever gives up first tells the other, which repeats that and names no links.
    if !unknown && !tx.said.contains("the other end failed") {
        for dest in &dests {
            assert!(tx.said.contains(dest.as_str()), "{dest} has no cause: {tx:?}");
        }
    }
}

/// A foot takes longer than patience, and so do two on the way.
#[test]
fn a_slow_way_never_times_out() {
    let (patience, foot_bytes, rate) =
        (sample(2, 20), sample(1 << 20, 16 << 20), sample(250_000, 62_500));
    let mut rx = End::start(&format!("rx 127.0.0.1:0 --patience {patience}"));
    let port = rx.port();
    let relay = Relay::start(port);
    relay.throttle(rate);
    let to = format!("127.0.0.1:{} --patience {patience} --foot-size {foot_bytes}", relay.port);
    let mut pair = Pair { tx: End::start(&format!("tx --workers 1 {to}")), rx, port };
    let drain = pair.rx.drain();
    let total = foot_bytes + foot_bytes / 2;
    let begun = Instant::now();
    feed(pair.tx.stdin(), total);
    let (tx, rx) = pair.ended(LONG * 2);
    tx.delivered();
    rx.delivered();
    assert!(begun.elapsed() > Duration::from_secs(2 * patience), "the way is slow");
    assert_eq!(drain.finish(), total);
}
