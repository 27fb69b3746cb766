//! Short feet: what waits in stdin moves at once, and nothing moves while there is nothing.

use super::stream::{Pair, Stream};
use crate::harness::{is_full, ticks};
use std::io::{Read, Write};
use std::process::{ChildStdin, ChildStdout};
use std::thread;
use std::time::Duration;

/// A pair and the two ends of its pipe.
fn pipe(options: &str) -> (Pair, ChildStdin, ChildStdout) {
    let mut pair = Pair::start(options, "");
    let stdin = pair.tx.stdin.take().expect("stdin is a pipe");
    let stdout = pair.rx.stdout.take().expect("stdout is a pipe");
    (pair, stdin, stdout)
}

/// Puts bytes in and waits until they have come out.
fn pass(bytes: &[u8], stdin: &mut ChildStdin, stdout: &mut ChildStdout) {
    thread::scope(|scope| {
        scope.spawn(|| stdin.write_all(bytes).expect("tx takes input"));
        let mut out = vec![0; bytes.len()];
        stdout.read_exact(&mut out).expect("all comes out before more goes in");
        assert!(out == bytes, "and it is the same");
    });
}

fn end(mut pair: Pair, stdin: ChildStdin, mut stdout: ChildStdout) -> Pair {
    drop(stdin);
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).expect("stdout ends");
    assert!(rest.is_empty());
    pair.end_well();
    pair
}

#[test]
fn each_byte_comes_out_before_the_next_goes_in() {
    for options in ["--verify", "--zstd 3 --verify"] {
        let (pair, mut stdin, mut stdout) = pipe(options);
        let bytes: Vec<u8> = (0..=255).collect();
        for byte in bytes.chunks(1) {
            pass(byte, &mut stdin, &mut stdout);
        }
        let pair = end(pair, stdin, stdout);
        let line = format!("viamillipede: blake3 {}", blake3::hash(&bytes));
        assert!(pair.tx.said().contains(&line) && pair.rx.said().contains(&line));
    }
}

#[test]
fn a_source_that_pauses() {
    let (pair, mut stdin, mut stdout) = pipe("");
    let (waits, long) = if is_full() { (4, Duration::from_secs(5)) } else { (4, Duration::ZERO) };
    let mut feet = vec![0; 1 << 20];
    for seed in 0..waits {
        Stream::new(seed, 1 << 20).read_exact(&mut feet).expect("it is as long");
        pass(&feet, &mut stdin, &mut stdout);
        // The pause is the source's own, and is what is tested.
        thread::sleep(long.max(Duration::from_millis(300)));
    }
    end(pair, stdin, stdout);
}

/// A short foot, full ones, short ones again: offsets and numbers part company.
#[test]
fn bursts_of_all_lengths() {
    let (pair, mut stdin, mut stdout) = pipe("--foot-size 64KiB --verify --lz4");
    let mut stream = Stream::new(9, u64::MAX);
    for length in [1, 65_535, 65_536, 1, 200_000, 65_536, 7, 131_071, 300_000, 3] {
        let mut burst = vec![0; length];
        stream.read_exact(&mut burst).expect("it never ends");
        pass(&burst, &mut stdin, &mut stdout);
    }
    end(pair, stdin, stdout);
}

/// Two idle ends use no CPU that could be measured.
#[cfg(target_os = "linux")]
#[test]
fn a_silent_source_costs_nothing() {
    let (seconds, most_ticks) = if is_full() { (30, 30) } else { (3, 5) };
    let (pair, mut stdin, mut stdout) = pipe("");
    pass(b"here we are", &mut stdin, &mut stdout);
    let before = [ticks(pair.tx.pid()), ticks(pair.rx.pid())];
    // The silence is what is measured.
    thread::sleep(Duration::from_secs(seconds));
    let after = [ticks(pair.tx.pid()), ticks(pair.rx.pid())];
    let used = [after[0] - before[0], after[1] - before[1]];
    assert!(used.iter().all(|ticks| *ticks <= most_ticks), "{used:?} ticks of tx and rx");
    pass(b"still", &mut stdin, &mut stdout);
    end(pair, stdin, stdout);
}
