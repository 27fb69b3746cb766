//! Signals: they end a process at once, whatever it waits for, and the other end is told.

use super::process::{End, Guard, Pair};
use super::relay::Relay;
use super::stream::{feed, put};
use super::{LONG, MARGIN, at_once};
use crate::harness::{Summary, until_found};
use nix::sys::signal::Signal::{self, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGSTOP, SIGTERM, SIGXCPU};
use std::io::Read;
use std::net::TcpListener;

const SIGNALS: [Signal; 5] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGXCPU];

#[test]
fn a_signal_ends_both_ends_at_once_while_the_source_is_silent() {
    at_once(SIGNALS.into_iter().flat_map(|signal| both_ends(signal, 7)).collect());
}

#[test]
fn a_signal_ends_both_ends_at_once_while_nobody_reads() {
    at_once(SIGNALS.into_iter().flat_map(|signal| both_ends(signal, 16 << 20)).collect());
}

fn both_ends(signal: Signal, bytes: u64) -> [Box<dyn FnOnce() + Send>; 2] {
    [
        Box::new(move || interrupted(signal, bytes, |pair| (&mut pair.tx, &mut pair.rx))),
        Box::new(move || interrupted(signal, bytes, |pair| (&mut pair.rx, &mut pair.tx))),
    ]
}

/// Interrupts the first of the two that `choose` names, after `bytes` were read; the source stays
/// open, and nobody reads more than the first byte that comes out.
fn interrupted(signal: Signal, bytes: u64, choose: fn(&mut Pair) -> (&mut End, &mut End)) {
    let mut pair = Pair::start(LONG, "");
    let (mut source, mut sink) = (pair.tx.stdin(), pair.rx.stdout());
    assert!(put(&mut source, 0, bytes));
    sink.read_exact(&mut [0]).expect("the stream has begun");
    let (victim, other) = choose(&mut pair);
    victim.signal(signal);
    let victim = victim.ended(0).expect("it ends at once");
    victim.failed(128 + signal as i32, signal.as_str());
    other.ended(0).expect("it is told at once").failed(4, signal.as_str());
}

/// Each connection has begun a foot, and the rest of it would take seconds.
#[test]
fn a_signal_under_a_rate_is_told_at_once_too() {
    at_once((0..4).map(|_| Box::new(under_a_rate) as Box<dyn FnOnce() + Send>).collect());
}

fn under_a_rate() {
    let mut rx = End::with("rx 127.0.0.1:0", ["--patience", "60"]);
    let relay = Relay::start(rx.port());
    let mut tx = End::start(&format!("tx 127.0.0.1:{} --rate 2MB --patience 60", relay.port));
    feed(tx.stdin(), 1 << 30);
    let _drain = rx.drain();
    // They take turns: all four are amidst their second foot.
    let passed = || relay.passed_bytes();
    until_found(|| (passed() >= 6 << 20).then_some(()), || format!("only {}", passed()));
    tx.signal(SIGINT);
    tx.ended(0).expect("it ends at once").failed(130, "SIGINT");
    rx.ended(0).expect("it is told at once").failed(4, "SIGINT");
}

/// Each connection has begun a foot, and the rest of it would take seconds here, too.
#[test]
fn a_signal_is_told_at_once_over_a_slow_way_too() {
    at_once(
        [Guard::Plain, Guard::Key]
            .map(|guard| -> Box<dyn FnOnce() + Send> { Box::new(move || over_a_slow_way(guard)) })
            .into(),
    );
}

fn over_a_slow_way(guard: Guard) {
    let mut rx = End::guarded(guard, "rx 127.0.0.1:0 --patience 60");
    let relay = Relay::start(rx.port());
    relay.throttle(4 << 20);
    let line = format!("tx 127.0.0.1:{} --foot-size 16M --patience 60", relay.port);
    let mut tx = End::guarded(guard, &line);
    feed(tx.stdin(), 1 << 30);
    let _drain = rx.drain();
    let passed = || relay.passed_bytes();
    until_found(|| (passed() >= 8 << 20).then_some(()), || format!("only {}", passed()));
    tx.signal(SIGINT);
    tx.ended(0).expect("it ends at once").failed(130, "SIGINT");
    rx.ended(0).expect("it is told at once").failed(4, "SIGINT");
}

#[test]
fn a_signal_to_both_ends_at_once_ends_both() {
    at_once(SIGNALS.into_iter().map(both_at_once).collect());
}

/// As Ctrl-C does where both ends are in one terminal.
fn both_at_once(signal: Signal) -> Box<dyn FnOnce() + Send> {
    Box::new(move || {
        let mut pair = Pair::start(LONG, "");
        let (mut source, mut sink) = (pair.tx.stdin(), pair.rx.stdout());
        assert!(put(&mut source, 0, 7));
        sink.read_exact(&mut [0]).expect("the stream has begun");
        pair.tx.signal(signal);
        pair.rx.signal(signal);
        let (tx, rx) = pair.ended(0);
        for end in [tx, rx] {
            // Whoever is second to look may hear of the other's signal before its own.
            let code = if end.code == 4 { 4 } else { 128 + signal as i32 };
            end.failed(code, signal.as_str());
        }
    })
}

#[test]
fn a_signal_outranks_the_end_of_the_source_that_comes_with_it() {
    at_once((0..8).map(|_| Box::new(with_the_end) as Box<dyn FnOnce() + Send>).collect());
}

/// As Ctrl-C does to a pipeline: the producer is gone, and with it the stream ends.
fn with_the_end() {
    let mut pair = Pair::start(LONG, "");
    let (mut source, mut sink) = (pair.tx.stdin(), pair.rx.stdout());
    assert!(put(&mut source, 0, 7));
    sink.read_exact(&mut [0]).expect("the stream has begun");
    pair.tx.signal(SIGSTOP); // so that it meets both when it goes on
    pair.tx.signal(SIGTERM);
    drop(source);
    pair.tx.signal(SIGCONT);
    let (tx, rx) = pair.ended(0);
    tx.failed(128 + SIGTERM as i32, SIGTERM.as_str());
    rx.failed(4, SIGTERM.as_str());
}

/// As `timeout` does, which tells the process and then its group.
#[test]
fn a_second_signal_at_once_takes_nothing_from_the_end_of_the_first() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let file = folder.path().join("FILE");
    let mut pair = Pair::with(&["-o", file.to_str().expect("a plain name")], &[]);
    let mut source = pair.tx.stdin();
    assert!(put(&mut source, 0, 3 << 20)); // more than a pipe holds, so they have met
    for signal in [SIGSTOP, SIGTERM, SIGHUP, SIGCONT] {
        pair.rx.signal(signal); // so that it meets both when it goes on
    }
    let (tx, rx) = pair.ended(0);
    // Which comes first is for the system to say.
    let first = if rx.code == 128 + SIGHUP as i32 { SIGHUP } else { SIGTERM };
    rx.failed(128 + first as i32, first.as_str());
    tx.failed(4, first.as_str());
    assert!(!folder.path().join("FILE.part").exists());
}

#[test]
fn a_signal_ends_an_end_that_has_met_nobody() {
    at_once(SIGNALS.into_iter().flat_map(alone).collect());
}

fn alone(signal: Signal) -> [Box<dyn FnOnce() + Send>; 3] {
    let interrupted = move |mut end: End| {
        end.signal(signal);
        end.ended(0).expect("it ends at once").failed(128 + signal as i32, signal.as_str());
    };
    let listening = move |line: &str| {
        let mut end = End::start(line);
        end.port();
        interrupted(end);
    };
    [
        Box::new(move || listening("rx 127.0.0.1:0")),
        Box::new(move || listening("tx --listen 127.0.0.1:0")),
        Box::new(move || {
            // A port that is taken and never answers: the dialling end is between two tries, or in one.
            let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let port = taken.local_addr().expect("it is bound").port();
            let end = End::start(&format!("tx 127.0.0.1:{port} --patience {LONG}"));
            let refused = taken.accept().expect("it dials, so it runs and hears signals");
            drop((refused, taken));
            interrupted(end);
        }),
    ]
}

#[test]
fn what_an_interrupted_sender_says_it_has_sent_has_been_sent() {
    // The window is full of feet that wait for --rate, and the source has more.
    let [tx, rx] = interrupted_sender("--workers 1 --foot-size 64K --rate 1M", 1 << 20);
    assert!(rx.feet <= tx.feet && tx.feet <= rx.feet + 16, "{tx:?} {rx:?}");
}

#[test]
fn connections_that_end_with_an_abort_are_not_lost() {
    let [tx, rx] = interrupted_sender("--workers 16 --rate 40M", 16 << 20);
    assert_eq!((tx.lost_connections, rx.lost_connections), (0, 0), "{tx:?} {rx:?}");
}

/// Longer than the other end takes to be told, where the machine is not busy with something else.
const PATIENCE: u64 = 20;

/// Interrupts a sender whose source never ends, once so much has come out; what both ends say then.
fn interrupted_sender(flags: &str, bytes: u64) -> [Summary; 2] {
    let mut rx = End::telling(Guard::Plain, &format!("rx 127.0.0.1:0 --patience {PATIENCE}"));
    let port = rx.port();
    let line = format!("tx 127.0.0.1:{port} --patience {PATIENCE} {flags}");
    let mut tx = End::telling(Guard::Plain, &line);
    let (source, drain) = (tx.stdin(), rx.drain());
    feed(source, 1 << 40);
    assert!(drain.has_seen(bytes, MARGIN));
    tx.signal(SIGTERM);
    [tx, rx].map(|mut end| {
        let ended = end.ended(PATIENCE).expect("it ends");
        Summary::find(&ended.said).unwrap_or_else(|| panic!("no summary: {ended:?}"))
    })
}
