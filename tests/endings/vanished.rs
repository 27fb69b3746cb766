//! COMMAND and its group when somebody vanishes in the middle of the stream: it never sees an early end of
//! its input, and is not left running.
//!
//! `MARK` is made by a COMMAND that believes its input whole. A COMMAND has rx's stderr, so an rx that is
//! over has left nothing running.

use super::process::{Ended, Pair};
use super::stream::put;
use super::{MARGIN, SHORT, sample, scatter};
use crate::harness::side_by_side;
use nix::sys::signal::Signal::{self, SIGINT, SIGKILL, SIGTERM};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// As much may come out before somebody vanishes.
const MOST: u64 = 8 << 20;

#[test]
fn a_receiver_that_is_killed_takes_its_command_along() {
    side_by_side(0..sample(15, 200), |seed| {
        let (tx, rx) = vanish(seed, |pair| pair.rx.signal(SIGKILL));
        assert_eq!(rx.code, -9, "{rx:?}");
        tx.failed(4, "the other end");
    });
}

#[test]
fn a_receiver_that_is_interrupted_ends_its_command() {
    side_by_side(0..sample(6, 100), |seed| {
        let signal = [SIGINT, SIGTERM][seed as usize & 1];
        let (tx, rx) = vanish(seed, |pair| pair.rx.signal(signal));
        rx.failed(128 + signal as i32, signal.as_str());
        tx.failed(4, signal.as_str());
    });
}

#[test]
fn a_sender_that_is_killed_ends_the_command() {
    side_by_side(0..sample(6, 50), |seed| {
        let (_, rx) = vanish(seed, |pair| pair.tx.signal(SIGKILL));
        rx.failed(4, "the other end");
    });
}

#[test]
fn a_guardian_that_is_killed_ends_the_command() {
    side_by_side(0..sample(6, 50), |seed| {
        let (tx, rx) = vanish(seed, |pair| send(child(pair.rx.pid()), SIGKILL));
        rx.failed(6, "sh: its guardian was killed");
        tx.failed(6, "sh: its guardian was killed");
    });
}

#[test]
fn a_command_that_is_killed_ends_the_rest_of_its_group() {
    side_by_side(0..sample(6, 50), |seed| {
        let (tx, rx) = vanish(seed, |pair| send(child(child(pair.rx.pid())), SIGKILL));
        rx.failed(6, "sh: killed by SIGKILL");
        tx.failed(6, "sh: killed by SIGKILL");
    });
}

#[test]
fn a_guardian_survives_what_ends_others() {
    let pair = Pair::with(&["--", "cat"], &[]);
    let guardian = child(pair.rx.pid());
    for signal in [SIGINT, SIGTERM, Signal::SIGHUP, Signal::SIGPIPE, Signal::SIGQUIT] {
        send(guardian, signal);
    }
    pair.deliver(MOST);
}

#[test]
fn a_sender_that_ends_takes_its_source_along() {
    for signal in [SIGKILL, SIGTERM] {
        let mut pair = Pair::with_patience(SHORT, &[], &["--source", "yes | cat"]);
        std::io::Read::read_exact(&mut pair.rx.stdout(), &mut [0; 4096]).expect("it has begun");
        pair.tx.signal(signal);
        let (tx, _) = pair.ended(SHORT);
        assert!([-9, 143].contains(&tx.code), "{tx:?}");
    }
}

/// Lets somebody vanish at a random moment of an endless stream.
fn vanish(seed: u64, victim: impl Fn(&Pair)) -> (Ended, Ended) {
    let (_folder, mark) = mark();
    let script = "cat | cat && touch \"$0\"";
    let command = ["--", "sh", "-c", script, mark.to_str().expect("a plain name")];
    let mut pair = Pair::with_patience(SHORT, &command, &[]);
    let drain = pair.rx.drain();
    let part = scatter(seed) % MOST + 1;
    // Some sources fall silent then; none of them ends.
    let bytes = if seed & 2 == 0 { part } else { 1 << 40 };
    let mut source = pair.tx.stdin();
    let feeder = thread::spawn(move || put(&mut source, 0, bytes).then_some(source));
    assert!(drain.has_seen(part, MARGIN));
    // Any moment is as good as another: nothing waits for this one.
    thread::sleep(Duration::from_micros(scatter(!seed) % 5000));
    victim(&pair);
    let ended = pair.ended(SHORT);
    drop(feeder);
    assert!(!mark.exists(), "a part was taken for the whole: {ended:?}");
    ended
}

fn mark() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder for files");
    let mark = folder.path().join("MARK");
    (folder, mark)
}

fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).expect("it runs");
}

/// The one child of a process.
fn child(pid: i32) -> i32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.expect("the process runs");
    let first = children.split_whitespace().next().expect("it has a child");
    first.parse().expect("a number")
}
