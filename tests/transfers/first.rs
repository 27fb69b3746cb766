//! What the program's first version was tested with, and what it hung on.
//!
//! `echo asdf` is in [`super::looping`], the source that pauses between feet in [`super::trickle`].

use super::stream::{Pair, Stream, pour};
use crate::harness::{End, is_full};
use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn many_zeros_through_a_loop() {
    for options in ["loop", "loop --lz4"] {
        let mut end = End::start(options);
        let mut stdin = end.stdin.take().expect("stdin is a pipe");
        let mut zeros = io::repeat(0).take(if is_full() { 2000 << 20 } else { 50 << 20 });
        let feeder = thread::spawn(move || pour(&mut zeros, &mut stdin));
        let received = pour(&mut end.stdout.take().expect("a pipe"), &mut io::sink());
        let sent = feeder.join().expect("it only copies").expect("all input is taken");
        assert_eq!((received.expect("it gives its output"), end.code()), (sent, 0));
    }
}

#[test]
fn an_unbounded_stream_never_locks_up() {
    let time = Duration::from_secs(if is_full() { 600 } else { 3 });
    let mut pair = Pair::start("--verify", "");
    let tally = pair.carry(Until(Stream::new(1, u64::MAX), Instant::now() + time));
    pair.said_digest(&tally);
    eprintln!("{} bytes in {time:?}", tally.bytes);
}

/// A stream that ends at a time.
struct Until(Stream, Instant);

impl Read for Until {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Instant::now() < self.1 { self.0.read(buffer) } else { Ok(0) }
    }
}

#[test]
#[should_panic(expected = "what goes in comes out")]
fn these_tests_notice_a_byte_that_changed() {
    spoiled(r"tr '\000' '\001'");
}

#[test]
#[should_panic(expected = "what goes in comes out")]
fn these_tests_notice_an_end_that_is_missing() {
    spoiled("head -c 99999; cat > /dev/null");
}

/// Carries a stream of which somebody behind the receiver makes another.
fn spoiled(script: &str) {
    let mut pair = Pair::start("", "");
    let mut spoiler = Command::new("sh");
    spoiler.args(["-c", script]).stdout(Stdio::piped());
    spoiler.stdin(pair.rx.stdout.take().expect("stdout is a pipe"));
    pair.rx.stdout = spoiler.spawn().expect("every system has it").stdout;
    pair.carry(Stream::new(1, 100_000));
}
