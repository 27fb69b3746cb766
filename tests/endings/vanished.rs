//! COMMAND and its group when somebody vanishes in the middle of the stream: it never sees an early end of
//! its input, and is not left running.
//!
//! `MARK` is made by a COMMAND that believes its input whole. A COMMAND has rx's stderr, so an rx that is
//! over has left nothing running.

use super::process::{Ended, Pair};
use super::stream::put;
use super::{MARGIN, SHORT, at_once, sample, scatter};
use crate::harness::side_by_side;
use nix::sys::signal::Signal::{self, SIGCONT, SIGINT, SIGKILL, SIGSTOP, SIGTERM};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
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

/// Before it has a COMMAND, while it starts one, and soon after.
#[test]
fn a_receiver_that_is_killed_at_the_start_leaves_nothing_running() {
    side_by_side(0..sample(8, 100), |seed| {
        let (_folder, mark) = mark();
        let mut pair = marking(&mark);
        let mut source = pair.tx.stdin();
        assert!(put(&mut source, 0, 7));
        // Any moment is as good as another: nothing waits for this one.
        thread::sleep(Duration::from_micros(scatter(seed) % 40_000));
        pair.rx.signal(SIGKILL);
        let (tx, rx) = pair.ended(SHORT);
        assert_eq!(rx.code, -9, "{rx:?}");
        tx.failed(4, "");
        assert!(!mark.exists(), "a part was taken for the whole: {tx:?}");
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

/// Whichever of the two survives holds the pipe, however long it takes to act.
#[test]
fn a_survivor_that_is_slow_holds_the_input_open() {
    at_once(vec![
        Box::new(|| survive(|pair| child(pair.rx.pid()), |pair| pair.rx.pid())),
        Box::new(|| survive(|pair| pair.rx.pid(), |pair| child(pair.rx.pid()))),
    ]);
}

fn survive(survivor: fn(&Pair) -> i32, victim: fn(&Pair) -> i32) {
    // Else a guardian without rx would be in an orphaned process group, and the kernel would wake it.
    nix::sys::prctl::set_child_subreaper(true).expect("anybody may");
    let (_folder, mark) = mark();
    let mut pair = marking(&mark);
    let drain = pair.rx.drain();
    let mut source = pair.tx.stdin();
    assert!(put(&mut source, 0, 7) && drain.has_seen(7, MARGIN));
    let (survivor, victim) = (survivor(&pair), victim(&pair));
    send(survivor, SIGSTOP);
    send(victim, SIGKILL);
    // Time enough for COMMAND to see an end of its input, if there were one.
    pair.tx.ended(SHORT).expect("it ends").failed(4, "the other end");
    assert!(!mark.exists(), "a part was taken for the whole");
    send(survivor, SIGCONT);
    pair.rx.ended(SHORT).expect("it ends, with all that it started");
    assert!(!mark.exists(), "a part was taken for the whole");
}

#[test]
fn a_guardian_of_a_source_that_is_killed_fails_both_ends() {
    let mut pair = Pair::with_patience(SHORT, &[], &["--source", "yes | cat"]);
    let mut out = pair.rx.stdout();
    out.read_exact(&mut [0; 4096]).expect("it has begun");
    thread::spawn(move || out.read_to_end(&mut Vec::new()));
    send(child(pair.tx.pid()), SIGKILL);
    let (tx, rx) = pair.ended(SHORT);
    tx.failed(6, "--source: its guardian was killed");
    rx.failed(6, "--source: its guardian was killed");
}

#[test]
fn a_guardian_survives_what_ends_others() {
    let mut pair = Pair::with(&["--", "sh", "-c", "echo up >&2; cat"], &[]);
    pair.rx.hears("up");
    let guardian = child(pair.rx.pid());
    // `pkill -9` and `killall -9` by our name do not find it.
    let name = fs::read_to_string(format!("/proc/{guardian}/comm")).expect("it runs");
    assert_eq!(name, "millipede-guard\n");
    for signal in [SIGINT, SIGTERM, Signal::SIGHUP, Signal::SIGPIPE, Signal::SIGQUIT] {
        send(guardian, signal);
    }
    pair.deliver(MOST);
}

#[test]
fn a_sender_that_ends_takes_its_source_along() {
    for signal in [SIGKILL, SIGTERM] {
        let mut pair = Pair::with_patience(SHORT, &[], &["--source", "yes | cat"]);
        let mut sink = pair.rx.stdout(); // somebody reads it until both have ended
        sink.read_exact(&mut [0; 4096]).expect("it has begun");
        pair.tx.signal(signal);
        let (tx, _) = pair.ended(SHORT);
        assert!([-9, 143].contains(&tx.code), "{tx:?}");
    }
}

/// Lets somebody vanish at a random moment of an endless stream.
fn vanish(seed: u64, victim: impl Fn(&Pair)) -> (Ended, Ended) {
    let (_folder, mark) = mark();
    let mut pair = marking(&mark);
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

/// A stream into a COMMAND that makes `mark` once it believes its input whole.
fn marking(mark: &Path) -> Pair {
    let script = "cat | cat && touch \"$0\"";
    let command = ["--", "sh", "-c", script, mark.to_str().expect("a plain name")];
    Pair::with_patience(SHORT, &command, &[])
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
