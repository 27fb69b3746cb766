//! A stopped sink before a source that goes on: memory stays bounded, and nothing is lost. One that has
//! ended: nobody works.
//!
//! Looks at the figures of the kernel, under `/proc`.

use super::stream::{Pair, Stream, Tally, pour};
use crate::harness::{deadline, highest_kib, is_full, most_kib, until_quiet};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A pair that holds all it can, and the thread that would give it more.
struct Full {
    pair: Pair,
    feeder: JoinHandle<io::Result<Tally>>,
}

/// Feeds the pair until nothing has moved for so long, and holds both ends to the bound of a window of
/// so many MiB.
fn fill(tx: &str, rx: &str, bytes: u64, window_mib: u64, quiet: Duration) -> Full {
    let mut pair = Pair::start(tx, rx);
    let mut stdin = pair.tx.stdin.take().expect("stdin is a pipe");
    let fed = Arc::new(AtomicU64::new(0));
    let mut source = Counted(Stream::new(1, bytes), Arc::clone(&fed));
    let feeder = thread::spawn(move || pour(&mut source, &mut stdin));

    let look = || [fed.load(Relaxed), highest_kib(pair.tx.pid()), highest_kib(pair.rx.pid())];
    let (until, mut last, mut since) = (deadline(), look(), Instant::now());
    while since.elapsed() < quiet {
        // These figures can only be looked at; none of them tells when it changes.
        thread::sleep(Duration::from_millis(100));
        let now = look();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        assert!(Instant::now() < until, "it takes more and more: {now:?}");
    }
    assert!(!feeder.is_finished(), "the source has more than all that may be held: {last:?}");
    let [fed, tx_kib, rx_kib] = last;
    let most_kib = most_kib(window_mib);
    eprintln!("{tx}: {fed} bytes in, tx {tx_kib} KiB, rx {rx_kib} KiB, at most {most_kib}");
    assert!(tx_kib < most_kib && rx_kib < most_kib);
    Full { pair, feeder }
}

/// Counts what is taken from a stream.
struct Counted(Stream, Arc<AtomicU64>);

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.0.read(buffer)?;
        self.1.fetch_add(bytes as u64, Relaxed);
        Ok(bytes)
    }
}

#[test]
fn nobody_works_while_the_sink_is_stopped_after_the_end_of_the_source() {
    let mut pair = Pair::start("", "");
    let mut stdin = pair.tx.stdin.take().expect("stdin is a pipe");
    let sent = pour(&mut Stream::new(1, 3 << 20), &mut stdin).expect("tx takes all");
    drop(stdin);
    until_quiet(&[pair.tx.pid(), pair.rx.pid()], 10);
    let mut stdout = pair.rx.stdout.take().expect("stdout is a pipe");
    assert_eq!(pour(&mut stdout, &mut io::sink()).expect("rx gives its output"), sent);
    pair.end_well();
}

#[test]
fn memory_is_bounded_while_the_sink_is_stopped() {
    for options in ["", "--zstd 3 --verify"] {
        let window = "--window 64MiB";
        let quiet = Duration::from_secs(1);
        let full = fill(&format!("{window} {options}"), window, 400 << 20, 64, quiet);
        let Full { mut pair, feeder } = full;
        let mut stdout = pair.rx.stdout.take().expect("stdout is a pipe");
        let received = pour(&mut stdout, &mut io::sink()).expect("rx gives its output");
        let sent = feeder.join().expect("it only copies").expect("tx takes all");
        assert_eq!(received, sent);
        pair.end_well();
    }
}

#[test]
fn memory_is_bounded_at_every_extreme() {
    if !is_full() {
        return;
    }
    let quiet = Duration::from_secs(30);
    for (options, window_mib) in
        [("--window 1GiB", 1024), ("--window 4MiB --foot-size 64KiB --zstd 19", 4)]
    {
        let window = format!("--window {window_mib}MiB");
        let Full { pair, feeder } = fill(options, &window, u64::MAX, window_mib, quiet);
        drop(pair);
        let cut = feeder.join().expect("it only copies");
        assert!(cut.is_err(), "an endless source ends only because nobody reads it");
    }
    for options in [
        "--workers 64 --foot-size 16MiB --zstd 19",
        "--workers 4 --foot-size 16MiB --zstd 19",
        "--workers 4 --foot-size 16MiB",
        "--workers 64 --foot-size 64KiB --verify --lz4",
        "--workers 256 --foot-size 64KiB --zstd -5",
    ] {
        let Full { pair, feeder } = fill(options, "", u64::MAX, 256, quiet);
        drop(pair);
        let cut = feeder.join().expect("it only copies");
        assert!(cut.is_err(), "an endless source ends only because nobody reads it");
    }
}
