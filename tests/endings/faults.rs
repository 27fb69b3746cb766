//! What a network can do to connections: they cost time, not data, and both ends say what it cost.

use super::process::Guard::{self, Key, Plain};
use super::process::{End, Pair};
use super::relay::{Relay, Way};
use super::stream::{Drain, feed, put};
use super::{LONG, MARGIN, at_once, sample, scatter};
use crate::harness::Summary;
use std::thread;
use std::time::Duration;

/// Long enough to go on after anything that happens here, short enough to notice it.
const PATIENCE: u64 = 20;
const TOTAL: u64 = 48 << 20;

/// Both ends with relays between them, one for each link, of two connections each.
fn apart<const LINKS: usize>(guard: Guard, patience: u64, flags: &str) -> (Pair, [Relay; LINKS]) {
    let mut rx = End::telling(guard, &format!("rx 127.0.0.1:0 --patience {patience}"));
    let port = rx.port();
    let relays = [(); LINKS].map(|()| Relay::start(port));
    let dests = relays.each_ref().map(|relay| format!("127.0.0.1:{},workers=2", relay.port));
    let dests = dests.join(" ");
    let tx = End::telling(guard, &format!("tx {dests} --patience {patience} {flags}"));
    (Pair { tx, rx, port }, relays)
}

/// Lets `fault` happen to connections in the middle of a stream; what both ends say of it. Most of the
/// stream comes after it, while `meanwhile` does.
fn suffer<const LINKS: usize>(
    guard: Guard,
    flags: &str,
    fault: impl FnOnce(&[Relay; LINKS]),
    meanwhile: impl FnOnce(&[Relay; LINKS], &Drain),
) -> [Summary; 2] {
    let (mut pair, relays) = apart(guard, PATIENCE, flags);
    let drain = pair.rx.drain();
    let mut source = pair.tx.stdin();
    assert!(put(&mut source, 0, TOTAL / 4) && drain.has_seen(TOTAL / 8, MARGIN));
    fault(&relays);
    let rest = thread::spawn(move || put(&mut source, TOTAL / 4, TOTAL / 4 * 3));
    meanwhile(&relays, &drain);
    let said = pair.whole(drain, TOTAL);
    assert!(rest.join().expect("it does not panic"), "tx takes all");
    let lost: u64 = relays.iter().map(Relay::swallowed_bytes).sum();
    assert!(lost < FEET_BYTES || said[0].sent_again > 0, "{lost} bytes vanished: {said:?}");
    said
}

/// Something was lost, and the sender says so.
#[track_caller]
fn lost_some([tx, _]: [Summary; 2]) {
    assert!(tx.lost_connections > 0, "{tx:?}");
}

/// More than heartbeats: feet, or parts of them, in bytes.
const FEET_BYTES: u64 = 10_000;

#[test]
fn resets_all_the_time_lose_nothing() {
    at_once(vec![Box::new(|| resets(Plain)), Box::new(|| resets(Key))]);
}

fn resets(guard: Guard) {
    let total = sample(200_000_000, 2_000_000_000);
    let (mut pair, [relay]) = apart(guard, PATIENCE, "");
    let drain = pair.rx.drain();
    // A steady source, so that there is something to break for a while.
    let mut source = pair.tx.stdin();
    let feeder = thread::spawn(move || {
        let part = total / 20;
        (0..20).all(|n| {
            thread::sleep(Duration::from_millis(sample(100, 1500)));
            put(&mut source, n * part, part)
        })
    });
    let mut cuts = 0;
    for n in 0.. {
        if drain.has_seen(total, Duration::from_millis(250)) || pair.tx.has_ended() {
            break;
        }
        cuts += u64::from(relay.cut_one(scatter(n)));
    }
    assert!(cuts >= 5, "{cuts} cuts are no test");
    let said = pair.whole(drain, total);
    assert!(feeder.join().expect("it does not panic"));
    eprintln!("{guard:?}, {cuts} resets: {said:?}");
    lost_some(said);
}

#[test]
fn all_connections_cut_at_once_lose_nothing() {
    at_once(vec![Box::new(|| all_cut(Plain)), Box::new(|| all_cut(Key))]);
}

fn all_cut(guard: Guard) {
    let total = 64 << 20;
    let (mut pair, [relay]) = apart(guard, PATIENCE, "--workers 4");
    let drain = pair.rx.drain();
    feed(pair.tx.stdin(), total);
    for quarter in 1..4 {
        assert!(drain.has_seen(total / 4 * quarter, MARGIN));
        relay.cut_all();
    }
    lost_some(pair.whole(drain, total));
}

/// For faults that are over at once, or for good.
fn nothing<const LINKS: usize>(_: &[Relay; LINKS], _: &Drain) {}

#[test]
fn a_stream_that_ends_in_mid_foot_is_not_taken_for_whole() {
    at_once(vec![
        Box::new(|| lost_some(suffer(Plain, "", |[relay]| relay.busiest(Way::End), nothing))),
        Box::new(|| lost_some(suffer(Plain, "--lz4", |[relay]| relay.all(Way::End), nothing))),
        Box::new(|| lost_some(suffer(Key, "", |[relay]| relay.busiest(Way::End), nothing))),
        Box::new(|| lost_some(suffer(Key, "--lz4", |[relay]| relay.all(Way::End), nothing))),
    ]);
}

#[test]
fn what_nobody_is_told_of_costs_time_and_no_data() {
    at_once(vec![
        // One connection of two is a black hole.
        Box::new(|| {
            suffer(Plain, "", |[relay]| relay.busiest(Way::Swallow), nothing);
        }),
        Box::new(|| {
            // All of a link of two, for good: the other goes on.
            let fault = |relays: &[Relay; 2]| {
                let used = relays.iter().max_by_key(|relay| relay.passed_bytes());
                used.expect("there are two").weather(Way::Swallow);
            };
            suffer(Key, "", fault, nothing);
        }),
        Box::new(|| {
            // All that there is, and in the full battery what is dialled meanwhile.
            let fault = |[relay]: &[Relay; 1]| relay.weather(Way::Swallow);
            lost_some(suffer(Key, "", fault, |[relay], drain| {
                // What was through already comes out; the time is the fault itself.
                drain.has_seen(TOTAL, Duration::from_secs(sample(2, 15)));
                relay.weather(Way::Open);
            }));
        }),
        // One end believes in the connection, the other has seen its end.
        Box::new(|| {
            suffer(Plain, "", |[relay]| relay.busiest(Way::HalfOpen), nothing);
        }),
        Box::new(|| lost_some(suffer(Plain, "", |[relay]| relay.all(Way::HalfOpen), nothing))),
        Box::new(|| {
            // One connection takes no more in mid-foot: what it holds is delivered by the others.
            let fault = |[relay]: &[Relay; 1]| relay.busiest(Way::Stall);
            suffer(Key, "--workers 4", fault, |_, drain| {
                assert!(drain.has_seen(TOTAL, MARGIN), "the others go on");
            });
        }),
    ]);
}

#[test]
fn a_throttled_link_delivers_all() {
    let fault = |[slow, _]: &[Relay; 2]| {
        slow.throttle(2_000_000);
        slow.cut_all();
    };
    suffer(Plain, "--foot-size 256KiB", fault, nothing);
}

#[test]
fn one_bit_in_a_hundred_chunks_costs_resends_only() {
    let total = sample(200 << 20, 2 << 30);
    let (mut pair, [relay]) = apart(Plain, PATIENCE, "--workers 4 --verify");
    relay.flip_one_in(100);
    let drain = pair.rx.drain();
    feed(pair.tx.stdin(), total);
    let [tx, rx] = pair.whole(drain, total);
    let flips = relay.flips();
    assert!(flips > 10, "{flips} flips are no test");
    // A foot with two bad bits is sent again once.
    assert!(tx.sent_again > 0 && tx.sent_again >= flips / 4, "{flips} flips, {tx:?}");
    assert!(rx.sent_again > 0, "what came in bad came in again: {rx:?}");
    eprintln!("{flips} bits flipped: {tx:?}, {rx:?}");
}

/// With a key nothing that was changed is taken: it costs its connection.
#[test]
fn with_a_key_a_bit_that_flips_costs_its_connection() {
    let total = sample(200 << 20, 2 << 30);
    let (mut pair, [relay]) = apart(Key, PATIENCE, "--workers 4 --verify");
    relay.flip_one_in(300);
    let drain = pair.rx.drain();
    feed(pair.tx.stdin(), total);
    let [tx, rx] = pair.whole(drain, total);
    let flips = relay.flips();
    assert!(flips > 3 && tx.lost_connections > 0 && tx.sent_again > 0, "{flips} flips: {tx:?}");
    eprintln!("{flips} bits flipped: {tx:?}, {rx:?}");
}

#[test]
fn a_link_that_comes_back_is_used_again() {
    let (mut pair, [first, second]) = apart(Plain, LONG, "");
    let drain = pair.rx.drain();
    let mut source = pair.tx.stdin();
    let mut place = 0;
    let mut carry = |bytes: u64| {
        assert!(put(&mut source, place, bytes));
        place += bytes;
        assert!(drain.has_seen(place, MARGIN));
    };
    carry(8 << 20);
    first.weather(Way::Reset);
    second.weather(Way::Reset);
    second.weather(Way::Open);
    carry(8 << 20);
    let passed = first.passed_bytes();
    carry(8 << 20);
    assert_eq!(first.passed_bytes(), passed, "nothing passes a link that is down");
    first.weather(Way::Open);
    second.weather(Way::Reset);
    carry(16 << 20);
    assert!(first.passed_bytes() > passed + (12 << 20), "the link that is back carries the stream");
    drop(source);
    lost_some(pair.whole(drain, 40 << 20));
}
