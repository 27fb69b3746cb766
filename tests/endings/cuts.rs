//! Frames that are lost with their connections, and feet that change on the way: they cost time, not data.

use super::process::{End, Guard, Pair};
use super::relay::{Fate, Judge, Relay};
use super::stream::feed;
use super::{LONG, MARGIN, SHORT, at_once, scatter};
use crate::harness::until_found;
use nix::sys::signal::Signal::{SIGINT, SIGKILL};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use viamillipede::proto::frame::Frame;

/// How long a receiver waits for a last word that was lost.
const PATIENCE: u64 = 5;

/// Both ends, and the relay between them.
fn apart(flags: &str, judge: Box<Judge>) -> (Pair, Relay) {
    apart_as(End::start, flags, judge)
}

/// The same, and both ends tell what they have done.
fn apart_telling(flags: &str, judge: Box<Judge>) -> (Pair, Relay) {
    apart_as(|line| End::telling(Guard::Plain, line), flags, judge)
}

fn apart_as(start: impl Fn(&str) -> End, flags: &str, judge: Box<Judge>) -> (Pair, Relay) {
    let mut rx = start(&format!("rx 127.0.0.1:0 --patience {PATIENCE} {flags}"));
    let port = rx.port();
    let relay = Relay::judging(port, judge);
    let tx = start(&format!("tx 127.0.0.1:{} --patience {PATIENCE} {flags}", relay.port));
    (Pair { tx, rx, port }, relay)
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
    let (mut pair, _relay) = apart_telling("", Box::new(judge));
    let drain = pair.rx.drain();
    feed(pair.tx.stdin(), total);
    pair.whole(drain, total);
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
    let (mut pair, _relay) = apart_telling("--verify", Box::new(judge));
    let drain = pair.rx.drain();
    feed(pair.tx.stdin(), total);
    pair.whole(drain, total);
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
    let (mut pair, _relay) = apart("", Box::new(judge));
    let drain = pair.rx.drain();
    feed(pair.tx.stdin(), 7);
    let (tx, rx) = pair.ended(2 * PATIENCE);
    tx.failed(4, "outcome unknown");
    assert!(tx.said.contains("\nhint: "), "what to do about it: {tx:?}");
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
    let (mut pair, _relay) = apart("--verify", Box::new(judge));
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

/// Whoever is the sender loses its last word, and has ended.
fn cut_at_done_ack(frame: &Frame, _: &mut [u8]) -> Fate {
    if matches!(frame, Frame::DoneAck) { Fate::Cut } else { Fate::Pass }
}

#[test]
fn a_receiver_that_has_delivered_is_content_when_another_sender_waits_there_now() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("FILE");
    let mut tx = End::start(&format!("tx --listen 127.0.0.1:0 --patience {LONG}"));
    let port = tx.port();
    let relay = Relay::judging(port, cut_at_done_ack);
    let ways = format!("rx --connect 127.0.0.1:{} --patience {LONG} -o", relay.port);
    let mut rx = End::start(&format!("{ways} {}", file.display()));
    feed(tx.stdin(), 3 << 20);
    tx.ended(LONG).expect("it ends").delivered();
    assert!(file.exists() && !rx.has_ended(), "it waits for the last word");
    let mut next = End::start(&format!("tx --listen 127.0.0.1:{port} --patience {LONG}"));
    assert_eq!(next.port(), port);
    rx.ended_within(MARGIN).expect("it waits no more").delivered();
}

#[test]
fn a_sender_that_finds_another_receiver_there_does_not_know_the_outcome() {
    let mut rx = End::start("rx 127.0.0.1:0 --patience 1");
    let port = rx.port();
    let relay = Relay::judging(port, |frame, _| match frame {
        Frame::Done(_) => Fate::Drop,
        _ => Fate::Pass,
    });
    let mut tx = End::start(&format!("tx 127.0.0.1:{} --patience {LONG}", relay.port));
    let drain = rx.drain();
    feed(tx.stdin(), 7);
    rx.ended(LONG).expect("it ends").delivered();
    assert_eq!(drain.finish(), 7);
    let mut next = End::start(&format!("rx 127.0.0.1:{port} --patience {LONG}"));
    assert_eq!(next.port(), port);
    tx.ended_within(MARGIN).expect("it waits no more").failed(4, "outcome unknown");
}

/// All feet are with connections, which wait for their turns.
#[test]
fn a_stream_that_has_hardly_begun_to_go_out_is_not_delivered() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let file = folder.path().join("three-feet");
    fs::write(&file, vec![0; 3 << 20]).expect("a file");
    let mut rx = End::start("rx 127.0.0.1:0");
    let relay = Relay::start(rx.port());
    let line = format!("tx 127.0.0.1:{} --rate 10000 --patience {SHORT} -i", relay.port);
    let mut tx = End::telling(Guard::Plain, &format!("{line} {}", file.display()));
    let _drain = rx.drain();
    let passed = || relay.passed_bytes();
    until_found(|| (passed() >= 10_000).then_some(()), || format!("only {}", passed()));
    rx.signal(SIGKILL);
    let ended = tx.ended(LONG).expect("it ends");
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.said.contains(": not delivered; sent 0 bytes"), "{ended:?}");
    assert!(ended.said.contains("the other end: no progress"), "{ended:?}");
}

/// All has gone out, and whoever is interrupted then cannot know more.
#[test]
fn an_end_that_is_interrupted_when_all_is_sent_does_not_know_the_outcome() {
    let done = Arc::new(AtomicBool::new(false));
    let is_done = Arc::clone(&done);
    let mut rx = End::start(&format!("rx 127.0.0.1:0 --patience {LONG}"));
    let relay = Relay::judging(rx.port(), move |frame, _| match frame {
        Frame::Done(_) => {
            done.store(true, SeqCst);
            Fate::Drop
        }
        _ => Fate::Pass,
    });
    let line = format!("tx 127.0.0.1:{} --patience {LONG}", relay.port);
    let mut tx = End::telling(Guard::Plain, &line);
    let drain = rx.drain();
    feed(tx.stdin(), 7);
    until_found(|| is_done.load(SeqCst).then_some(()), || "nothing is delivered".into());
    tx.signal(SIGINT);
    let ended = tx.ended(0).expect("it ends at once");
    assert_eq!(ended.code, 130, "{ended:?}");
    assert!(ended.said.contains(": perhaps delivered; sent "), "{ended:?}");
    rx.ended(0).expect("it is told").delivered();
    assert_eq!(drain.finish(), 7);
}

#[test]
fn the_seconds_of_a_stream_are_not_those_of_the_wait_for_a_last_word() {
    let (mut pair, _relay) = apart_telling("", Box::new(cut_at_done_ack));
    let drain = pair.rx.drain();
    feed(pair.tx.stdin(), 7);
    let (tx, rx) = pair.ended(LONG);
    drain.finish();
    let [tx, rx] = [tx, rx].map(|end| {
        let seconds = end.said.split(" in ").nth(1).and_then(|rest| rest.split(" s:").next());
        seconds.and_then(|it| it.parse::<f64>().ok()).unwrap_or_else(|| panic!("{end:?}"))
    });
    assert!(rx < PATIENCE as f64 && tx < PATIENCE as f64, "{tx} {rx}");
}
