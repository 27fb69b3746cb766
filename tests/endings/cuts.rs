//! Connections that break and bytes that change on the way: they cost time, not data.

use super::process::{End, Ended, Pair};
use super::relay::{Fate, Judge, Relay};
use super::stream::{feed, put};
use super::{LONG, MARGIN, at_once, sample, scatter};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;
use viamillipede::proto::frame::Frame;

/// How long a receiver waits for a last word that was lost.
const PATIENCE: u64 = 5;

/// Both ends, and the relay between them.
fn apart(flags: &str, judge: Option<Box<Judge>>) -> (Pair, Relay) {
    let mut rx = End::start(&format!("rx 127.0.0.1:0 --patience {PATIENCE} {flags}"));
    let port = rx.port();
    let relay = match judge {
        Some(judge) => Relay::judging(port, judge),
        None => Relay::start(port),
    };
    let tx = End::start(&format!("tx 127.0.0.1:{} --patience {PATIENCE} {flags}", relay.port));
    (Pair { tx, rx, port }, relay)
}

fn whole((tx, rx): &(Ended, Ended)) {
    tx.delivered();
    rx.delivered();
}

#[test]
fn resets_all_the_time_lose_nothing() {
    let total = sample(200_000_000, 2_000_000_000);
    let (mut pair, relay) = apart("", None);
    let drain = pair.rx.drain();
    // A steady source, so that there is something to break for a while.
    let mut source = pair.tx.stdin();
    let feeder = thread::spawn(move || {
        let part = total / 20;
        (0..20).all(|n| {
            thread::sleep(Duration::from_millis(100));
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
    whole(&pair.ended(LONG));
    assert!(feeder.join().expect("it does not panic"));
    assert_eq!(drain.finish(), total);
}

#[test]
fn all_connections_cut_at_once_lose_nothing() {
    let total = 64 << 20;
    let (mut pair, relay) = apart("", None);
    let drain = pair.rx.drain();
    feed(pair.tx.stdin(), total);
    for quarter in 1..4 {
        assert!(drain.has_seen(total / 4 * quarter, MARGIN));
        relay.cut_all();
    }
    whole(&pair.ended(LONG));
    assert_eq!(drain.finish(), total);
}

#[test]
fn the_last_words_may_be_lost_again_and_again() {
    at_once(vec![
        Box::new(|| cut_when(|frame| matches!(frame, Frame::Done(_)))),
        Box::new(|| cut_when(|frame| matches!(frame, Frame::End(_)))),
        Box::new(|| cut_when(|frame| matches!(frame, Frame::DoneAck))),
        Box::new(|| cut_when(|frame| matches!(frame, Frame::Ack(ack) if ack.cumulative > 1))),
    ]);
}

/// The first three of these frames are lost, each with every connection.
fn cut_when(is_one: fn(&Frame) -> bool) {
    let total = (4 << 20) + 5;
    let lost = AtomicU64::new(0);
    let judge = move |frame: &Frame, _: &mut [u8]| {
        if is_one(frame) && lost.fetch_add(1, SeqCst) < 3 { Fate::Cut } else { Fate::Pass }
    };
    let (mut pair, _relay) = apart("", Some(Box::new(judge)));
    let drain = pair.rx.drain();
    feed(pair.tx.stdin(), total);
    whole(&pair.ended(LONG));
    assert_eq!(drain.finish(), total);
}

#[test]
fn a_stream_of_which_no_ack_came_back_is_not_written_twice() {
    let total = (4 << 20) + 5;
    let (written, cut) = (AtomicBool::new(false), AtomicBool::new(false));
    let judge = move |frame: &Frame, _: &mut [u8]| match frame {
        Frame::Done(_) if !written.swap(true, SeqCst) => Fate::Drop,
        Frame::Ack(_) | Frame::Done(_) if !cut.load(SeqCst) => {
            // All was held back until the second Done; now every connection goes.
            let all_written = written.load(SeqCst) && matches!(frame, Frame::Done(_));
            cut.store(all_written, SeqCst);
            if all_written { Fate::Cut } else { hold(frame) }
        }
        _ => Fate::Pass,
    };
    let (mut pair, _relay) = apart("--verify", Some(Box::new(judge)));
    let drain = pair.rx.drain();
    feed(pair.tx.stdin(), total);
    let (tx, rx) = pair.ended(LONG);
    assert_eq!((tx.code, rx.code), (0, 0), "{tx:?} {rx:?}");
    assert_eq!(drain.finish(), total);
}

/// Passes an ack only as long as it acknowledges nothing: without a limit nothing would be sent.
fn hold(frame: &Frame) -> Fate {
    match frame {
        Frame::Ack(ack) if ack.cumulative == 0 && ack.ranges.is_empty() => Fate::Pass,
        _ => Fate::Drop,
    }
}

#[test]
fn a_last_word_that_never_comes_through_ends_in_an_unknown_outcome() {
    // The one disagreement that the contract allows.
    let judge = |frame: &Frame, _: &mut [u8]| match frame {
        Frame::Done(_) => Fate::Cut,
        _ => Fate::Pass,
    };
    let (mut pair, _relay) = apart("", Some(Box::new(judge)));
    let drain = pair.rx.drain();
    feed(pair.tx.stdin(), 7);
    let (tx, rx) = pair.ended(2 * PATIENCE);
    tx.failed(4, "outcome unknown");
    rx.delivered();
    assert_eq!(drain.finish(), 7);
}

#[test]
fn a_bit_that_flips_now_and_then_costs_one_foot() {
    let total = 64 << 20;
    let feet = AtomicU64::new(0);
    let judge = move |frame: &Frame, payload: &mut [u8]| {
        let n = feet.fetch_add(u64::from(matches!(frame, Frame::Foot(_))), SeqCst);
        if matches!(frame, Frame::Foot(_)) && n % 7 == 3 {
            flip(payload, n);
        }
        Fate::Pass
    };
    let (mut pair, _relay) = apart("--verify", Some(Box::new(judge)));
    let drain = pair.rx.drain();
    feed(pair.tx.stdin(), total);
    let (tx, rx) = pair.ended(LONG);
    assert_eq!((tx.code, rx.code), (0, 0), "{tx:?} {rx:?}");
    assert!(tx.said.starts_with("viamillipede: blake3 ") && tx.said == rx.said, "{tx:?} {rx:?}");
    assert_eq!(drain.finish(), total);
}

#[test]
fn a_bit_that_always_flips_is_corruption() {
    at_once(["", "--zstd", "--lz4"].into_iter().map(always_flipped).collect());
}

fn always_flipped(packing: &'static str) -> Box<dyn FnOnce() + Send> {
    Box::new(move || {
        let mut rx = End::start(&format!("rx 127.0.0.1:0 --patience {LONG}"));
        let port = rx.port();
        let flips = AtomicU64::new(0);
        let relay = Relay::judging(port, move |frame, payload| {
            if matches!(frame, Frame::Foot(_)) {
                flip(payload, flips.fetch_add(1, SeqCst));
            }
            Fate::Pass
        });
        let tx = End::start(&format!("tx 127.0.0.1:{} --patience {LONG} {packing}", relay.port));
        let mut pair = Pair { tx, rx, port };
        let drain = pair.rx.drain();
        feed(pair.tx.stdin(), 3 << 20);
        let (tx, rx) = pair.ended(LONG);
        rx.failed(5, "failed its check 16 times");
        tx.failed(5, "failed its check 16 times");
        assert_eq!(drain.finish(), 0, "nothing that was not verified came out");
    })
}

fn flip(payload: &mut [u8], seed: u64) {
    let place = scatter(seed) as usize % payload.len();
    payload[place] ^= 1 << (seed % 8);
}
