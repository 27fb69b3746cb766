//! Ends that wait: for a sink or a source that pauses, for one another, for nobody. They lose nothing, and
//! do nothing.
//!
//! Looks at the figures of the kernel, under `/proc`.

use super::process::{End, Pair};
use super::relay::{Relay, Way};
use super::stream::{Drain, feed, put};
use super::{LONG, MARGIN, SHORT, at_once, sample};
use crate::harness::{ticks, until_quiet};
use nix::sys::signal::Signal::{self, SIGCONT, SIGSTOP};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::net::TcpListener;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

const TOTAL: u64 = 24 << 20;
/// Longer than patience.
const PAUSE: Duration = Duration::from_secs(3 * SHORT);

#[test]
fn a_sink_or_source_that_pauses_for_longer_than_patience_loses_nothing() {
    at_once(vec![
        Box::new(|| {
            // A program behind rx is stopped.
            let mut pair = Pair::start(SHORT, "");
            let mut cat = Command::new("cat");
            cat.stdin(pair.rx.stdout()).stdout(Stdio::piped());
            let mut cat = cat.spawn().expect("every system has it");
            let drain = Drain::start(cat.stdout.take().expect("a pipe"));
            feed(pair.tx.stdin(), TOTAL);
            assert!(drain.has_seen(TOTAL / 8, MARGIN));
            signal(&cat, SIGSTOP);
            thread::sleep(PAUSE); // the pause itself
            signal(&cat, SIGCONT);
            exact(pair, drain);
            assert!(cat.wait().expect("it is a child of ours").success());
        }),
        Box::new(|| {
            let mut pair = Pair::start(SHORT, "");
            let drain = pair.rx.drain();
            let mut source = pair.tx.stdin();
            assert!(put(&mut source, 0, TOTAL / 2));
            thread::sleep(PAUSE); // the pause itself
            assert!(put(&mut source, TOTAL / 2, TOTAL / 2));
            drop(source);
            exact(pair, drain);
        }),
        Box::new(|| {
            // Of the two ends only one is impatient: heartbeats must come at its pace.
            let mut rx = End::start("rx --patience 1 127.0.0.1:0");
            let port = rx.port();
            let tx = End::start(&format!("tx --patience 20 127.0.0.1:{port}"));
            let mut pair = Pair { tx, rx, port };
            let drain = pair.rx.drain();
            let mut source = pair.tx.stdin();
            assert!(put(&mut source, 0, TOTAL / 2));
            thread::sleep(PAUSE); // the pause itself
            assert!(put(&mut source, TOTAL / 2, TOTAL / 2));
            drop(source);
            exact(pair, drain);
        }),
    ]);
}

fn signal(child: &Child, signal: Signal) {
    // It was not waited for yet, so the number cannot be another's.
    kill(Pid::from_raw(child.id().cast_signed()), signal).expect("a child of ours takes signals");
}

fn exact(mut pair: Pair, drain: Drain) {
    let (tx, rx) = pair.ended(LONG);
    tx.delivered();
    rx.delivered();
    assert_eq!(drain.finish(), TOTAL);
}

/// A pair of which `bytes` were put in and the first came out; its source and its sink stay as they are.
fn begun(mut pair: Pair, bytes: u64) -> (Pair, ChildStdin, ChildStdout) {
    let (mut source, mut sink) = (pair.tx.stdin(), pair.rx.stdout());
    assert!(put(&mut source, 0, bytes));
    std::io::Read::read_exact(&mut sink, &mut [0]).expect("the stream has begun");
    (pair, source, sink)
}

#[test]
fn who_waits_uses_less_than_one_percent_of_a_core() {
    let mut lonely_rx = End::start("rx 127.0.0.1:0");
    lonely_rx.port();
    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let nowhere = closed.local_addr().expect("it is bound");
    drop(closed);
    let lonely_tx = End::start(&format!("tx {nowhere} --patience {LONG}"));

    let silent = begun(Pair::start(LONG, ""), 7);
    let many = begun(Pair::start(LONG, "--workers 64"), 7);
    let stopped = begun(Pair::start(LONG, ""), 16 << 20);
    let many_stopped = begun(Pair::start(LONG, "--workers 64"), 16 << 20);

    let mut rx = End::start(&format!("rx 127.0.0.1:0 --patience {LONG}"));
    let port = rx.port();
    let relay = Relay::start(port);
    let tx = End::start(&format!("tx 127.0.0.1:{} --patience {LONG}", relay.port));
    let mut lost = begun(Pair { tx, rx, port }, 7);
    relay.weather(Way::Swallow);
    assert!(put(&mut lost.1, 7, 4 << 20));

    let pairs = [
        ("a silent source", &silent.0),
        ("a silent source, 64 workers", &many.0),
        ("a stopped sink", &stopped.0),
        ("a stopped sink, 64 workers", &many_stopped.0),
        ("a peer in a black hole", &lost.0),
    ];
    let mut ends =
        vec![("rx alone".to_owned(), lonely_rx.pid()), ("tx alone".to_owned(), lonely_tx.pid())];
    for (what, pair) in pairs {
        ends.push((format!("tx, {what}"), pair.tx.pid()));
        ends.push((format!("rx, {what}"), pair.rx.pid()));
    }
    // What is on its way arrives, and buffers fill.
    until_quiet(&ends.iter().map(|(_, pid)| *pid).collect::<Vec<_>>(), 10);
    let before: Vec<u64> = ends.iter().map(|(_, pid)| ticks(*pid)).collect();
    let seconds = sample(4, 30);
    thread::sleep(Duration::from_secs(seconds)); // the waiting itself
    for ((what, pid), before) in ends.iter().zip(before) {
        let used = ticks(*pid) - before;
        eprintln!("{what}: {used} ticks in {seconds} s");
        // User and system time are each rounded to a tick.
        assert!(used <= seconds + 2, "{what}: {used} hundredths of a second in {seconds} s");
    }
}
