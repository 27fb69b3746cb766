//! Ends that die, stop or start anew without a word.

use super::process::{End, Guard, Pair};
use super::stream::{Drain, feed, put};
use super::{LONG, MARGIN, SHORT, at_once, sample, scatter};
use nix::sys::signal::Signal::{SIGCONT, SIGKILL, SIGSTOP};
use std::process::ChildStdin;
use std::thread;
use std::time::Duration;

pub const TINY: u64 = 3;
pub const LARGE: u64 = 40 << 20;

#[test]
fn a_receiver_that_is_killed_is_noticed_and_never_taken_for_a_success() {
    for round in 0..sample(3, 25) {
        at_once((0..4).map(|story| killed_receiver(round * 4 + story)).collect());
    }
}

/// Kills `rx` once a random part of the stream is out, or a random moment after all of it is.
fn killed_receiver(seed: u64) -> Box<dyn FnOnce() + Send> {
    Box::new(move || {
        let total = if seed & 1 == 0 { TINY } else { LARGE };
        let mut pair = some_pair(seed);
        feed(pair.tx.stdin(), total);
        let drain = pair.rx.drain();
        // A listening end that was never met waits without limit, so it has to be met first; one
        // that dials may not.
        assert!(drain.has_seen(u64::from(is_reversed(seed)), MARGIN));
        kill_at_random(&pair.rx, &drain, total, seed);
        let (tx, rx) = pair.ended(SHORT);
        let out = drain.finish();
        match (tx.code, rx.code) {
            (0, 0 | -9) => assert_eq!(out, total, "0 for a part: {tx:?}"),
            (_, code) => {
                tx.failed(4, "");
                assert!(code == -9 || code == 0 && out == total, "{rx:?}, {out} bytes");
            }
        }
    })
}

#[test]
fn a_sender_that_is_killed_is_noticed_and_its_part_never_taken_for_the_whole() {
    for round in 0..sample(3, 25) {
        at_once((0..4).map(|story| killed_sender(round * 4 + story)).collect());
    }
}

fn killed_sender(seed: u64) -> Box<dyn FnOnce() + Send> {
    Box::new(move || {
        let total = if seed & 1 == 0 { TINY } else { LARGE };
        let mut pair = some_pair(seed);
        feed(pair.tx.stdin(), total);
        let drain = pair.rx.drain();
        assert!(drain.has_seen(u64::from(!is_reversed(seed)), MARGIN));
        kill_at_random(&pair.tx, &drain, total, seed);
        let (tx, rx) = pair.ended(SHORT);
        let out = drain.finish();
        match rx.code {
            0 => assert_eq!(out, total, "0 for a part: {rx:?}"),
            _ => rx.failed(4, ""),
        }
        assert!(tx.code == -9 || tx.code == 0 && out == total && rx.code == 0, "{tx:?} {rx:?}");
    })
}

/// Ends of either way of dialling, with or without a key, and one connection, four or sixteen.
pub fn some_pair(seed: u64) -> Pair {
    let flags = ["--workers 1", "--workers 4", "--workers 16"][scatter(seed) as usize % 3];
    let guard = if seed & 4 == 0 { Guard::Plain } else { Guard::Key };
    let start = if is_reversed(seed) { Pair::reversed_guarded } else { Pair::guarded };
    start(guard, SHORT, flags)
}

pub fn is_reversed(seed: u64) -> bool {
    seed & 2 != 0
}

fn kill_at_random(victim: &End, drain: &Drain, total: u64, seed: u64) {
    wait_at_random(drain, total, seed);
    victim.signal(SIGKILL);
}

/// Waits until a random part of the stream is out, or a random moment after all of it is.
pub fn wait_at_random(drain: &Drain, total: u64, seed: u64) {
    let part = scatter(seed) % (total + 1);
    assert!(drain.has_seen(part, MARGIN), "the stream goes on until then");
    if part == total || total == TINY {
        // Any moment is as good as another: nothing waits for this one.
        thread::sleep(Duration::from_micros(scatter(!seed) % 5000));
    }
}

#[test]
fn a_death_is_noticed_whatever_the_stream_was_doing() {
    at_once(vec![
        Box::new(|| {
            // The listening end dies before it was met.
            let mut pair = Pair::start(SHORT, "");
            pair.rx.signal(SIGKILL);
            pair.tx.ended(SHORT).expect("it ends").failed(4, "127.0.0.1:");
        }),
        Box::new(|| quiet_death(|pair| &pair.rx, |pair| &mut pair.tx)),
        Box::new(|| quiet_death(|pair| &pair.tx, |pair| &mut pair.rx)),
        Box::new(|| blocked_death(|pair| &pair.rx, |pair| &mut pair.tx)),
        Box::new(|| blocked_death(|pair| &pair.tx, |pair| &mut pair.rx)),
        Box::new(|| {
            // The dialling receiver dies while the listening sender's source is silent.
            let mut pair = Pair::reversed(SHORT, "");
            let mut source = pair.tx.stdin();
            let drain = pair.rx.drain();
            assert!(put(&mut source, 0, 7) && drain.has_seen(7, MARGIN));
            pair.rx.signal(SIGKILL);
            pair.tx.ended(SHORT).expect("it ends").failed(4, "the other end");
        }),
    ]);
}

/// One end dies while the source is silent: all that was read has arrived.
fn quiet_death(victim: fn(&Pair) -> &End, other: fn(&mut Pair) -> &mut End) {
    let mut pair = Pair::start(SHORT, "");
    let mut source = pair.tx.stdin();
    let drain = pair.rx.drain();
    assert!(put(&mut source, 0, 7) && drain.has_seen(7, MARGIN));
    victim(&pair).signal(SIGKILL);
    other(&mut pair).ended(SHORT).expect("it ends").failed(4, "the other end");
}

/// One end dies while nobody reads what comes out, and all of the stream is read.
fn blocked_death(victim: fn(&Pair) -> &End, other: fn(&mut Pair) -> &mut End) {
    let mut pair = Pair::start(SHORT, "");
    let mut source = pair.tx.stdin();
    let sink = pair.rx.stdout();
    // More than a pipe holds, and less than the window.
    assert!(put(&mut source, 0, 16 << 20));
    drop(source);
    victim(&pair).signal(SIGKILL);
    // Lost; or, where all of the stream had been sent already, of unknown outcome.
    let ended = other(&mut pair).ended(SHORT).expect("it ends");
    let unknown = ended.said.contains("outcome unknown: ");
    ended.failed(4, if unknown { "the whole stream had been sent" } else { "the other end" });
    drop(sink);
}

#[test]
fn an_end_that_stands_still_is_noticed_within_patience() {
    at_once(vec![
        Box::new(|| standstill(|pair| &pair.rx, |pair| &mut pair.tx)),
        Box::new(|| standstill(|pair| &pair.tx, |pair| &mut pair.rx)),
    ]);
}

fn standstill(victim: fn(&Pair) -> &End, other: fn(&mut Pair) -> &mut End) {
    let mut pair = Pair::start(SHORT, "");
    let drain = pair.rx.drain();
    feed(pair.tx.stdin(), 1 << 40);
    assert!(drain.has_seen(LARGE / 4, MARGIN));
    victim(&pair).signal(SIGSTOP);
    other(&mut pair).ended(SHORT).expect("it ends").failed(4, "no progress");
    victim(&pair).signal(SIGCONT);
    let (tx, rx) = pair.ended(SHORT);
    assert_eq!((tx.code, rx.code), (4, 4), "{tx:?} {rx:?}");
}

#[test]
fn an_end_that_goes_on_within_patience_loses_nothing() {
    at_once(vec![Box::new(|| pause(|pair| &pair.rx)), Box::new(|| pause(|pair| &pair.tx))]);
}

fn pause(victim: fn(&Pair) -> &End) {
    let mut pair = Pair::start(20, "");
    let drain = pair.rx.drain();
    feed(pair.tx.stdin(), LARGE);
    assert!(drain.has_seen(LARGE / 4, MARGIN));
    victim(&pair).signal(SIGSTOP);
    thread::sleep(Duration::from_secs(2)); // the pause itself
    victim(&pair).signal(SIGCONT);
    let (tx, rx) = pair.ended(20);
    tx.delivered();
    rx.delivered();
    assert_eq!(drain.finish(), LARGE);
}

#[test]
fn a_receiver_that_was_restarted_says_so_and_waits_on() {
    at_once(vec![Box::new(|| restarted(7)), Box::new(|| restarted(LARGE))]);
}

/// Kills the receiver when `bytes` of an endless stream are out, and starts another in its place.
fn restarted(bytes: u64) {
    let (mut pair, drain, mut source, port) = begun(LONG);
    let feeder = thread::spawn(move || put(&mut source, 7, bytes * 1000 - 7).then_some(source));
    assert!(drain.has_seen(bytes, MARGIN));
    pair.rx.signal(SIGKILL);
    assert_eq!(pair.rx.ended(0).expect("it was killed").code, -9);
    let mut rx = End::start(&format!("rx 127.0.0.1:{port} --patience {LONG}"));
    assert_eq!(rx.port(), port);
    pair.tx.ended(0).expect("it is told at once").failed(4, "restarted");
    drop(feeder);
    assert!(!rx.has_ended());
    let tx = End::start(&format!("tx 127.0.0.1:{port} --patience {LONG}"));
    Pair { tx, rx, port }.deliver(LARGE);
}

#[test]
fn a_second_sender_is_told_busy_and_disturbs_nothing() {
    at_once(vec![
        Box::new(|| {
            let (mut pair, drain, mut source, port) = begun(LONG);
            let mut second = End::start(&format!("tx 127.0.0.1:{port} --patience {SHORT}"));
            second.ended(SHORT).expect("patience ends").failed(7, "busy");
            assert!(put(&mut source, 7, LARGE));
            drop(source);
            let (tx, rx) = pair.ended(LONG);
            tx.delivered();
            rx.delivered();
            assert_eq!(drain.finish(), LARGE + 7);
        }),
        Box::new(|| {
            // The first sender is killed and started anew: busy, until the receiver has given up.
            let (mut pair, _drain, _source, port) = begun(5);
            pair.tx.signal(SIGKILL);
            let mut second = End::start(&format!("tx 127.0.0.1:{port} --patience 1"));
            second.ended(1).expect("patience ends").failed(7, "busy");
            pair.rx.ended(5).expect("it gives up").failed(4, "no progress");
        }),
        Box::new(|| {
            // The first session ends within the second's patience, and a new receiver comes up.
            let (mut pair, drain, source, port) = begun(LONG);
            let tx = End::start(&format!("tx 127.0.0.1:{port} --patience {LONG}"));
            drop(source);
            let (first, rx) = pair.ended(LONG);
            first.delivered();
            rx.delivered();
            assert_eq!(drain.finish(), 7);
            let mut rx = End::start(&format!("rx 127.0.0.1:{port} --patience {LONG}"));
            assert_eq!(rx.port(), port);
            Pair { tx, rx, port }.deliver(LARGE);
        }),
    ]);
}

/// A stream of which seven bytes have arrived; its sink, its source, and its port.
fn begun(patience: u64) -> (Pair, Drain, ChildStdin, u16) {
    let mut pair = Pair::start(patience, "");
    let mut source = pair.tx.stdin();
    let drain = pair.rx.drain();
    assert!(put(&mut source, 0, 7) && drain.has_seen(7, MARGIN));
    let port = pair.port;
    (pair, drain, source, port)
}
