//! Every size, codec, foot size and number of workers.

use super::stream::{Pair, Stream};
use crate::harness::{is_full, side_by_side};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Sizes about the edges of the smallest foot and of the usual one.
const SIZES: [u64; 11] = [
    0,
    1,
    64 * KIB - 1,
    64 * KIB,
    64 * KIB + 1,
    MIB - 1,
    MIB,
    MIB + 1,
    2 * MIB,
    4 * MIB - 1,
    4 * MIB,
];
const WORKERS: [u16; 4] = [1, 4, 16, 64];
const FOOT_SIZES: [&str; 3] = ["64KiB", "1MiB", "16MiB"];
const CODECS: [&str; 6] = ["", "--zstd -5", "--zstd 3", "--zstd 19", "--lz4", "--adapt"];

/// One in so many of the matrix is the sample: a prime that none of its sides has, so that each value
/// of each side comes up.
const SAMPLE: usize = 23;

fn carry(seed: u64, size: u64, options: &str) {
    let mut pair = Pair::start(options, "");
    let tally = pair.carry(Stream::new(seed, size));
    assert_eq!(tally.bytes, size);
    if options.contains("--verify") {
        pair.said_digest(&tally);
    } else {
        assert!(!pair.tx.said().contains("blake3") && !pair.rx.said().contains("blake3"));
    }
}

#[test]
fn every_size_in_every_shape() {
    let mut cases = Vec::new();
    for size in SIZES {
        for workers in WORKERS {
            for foot_size in FOOT_SIZES {
                for codec in CODECS {
                    for verify in ["", "--verify"] {
                        let options =
                            format!("--workers {workers} --foot-size {foot_size} {codec} {verify}");
                        cases.push((cases.len() as u64, size, options));
                    }
                }
            }
        }
    }
    let step = if is_full() { 1 } else { SAMPLE };
    side_by_side(cases.into_iter().step_by(step), |(seed, size, options)| {
        carry(seed, size, &options);
    });
}

#[test]
fn every_size_as_people_start_it() {
    side_by_side(SIZES, |size| carry(size, size, "--verify"));
}

#[test]
fn one_stream_after_the_other_and_none_lost() {
    let streams = if is_full() { 200 } else { 40 };
    side_by_side(0..streams, |seed: u64| {
        // Spread over the powers of two from 1 B to 4 MiB, and never at the same place in one.
        let power = 1 << (seed % 23);
        let size = power + blake3::hash(&seed.to_le_bytes()).as_bytes()[0] as u64 % power;
        carry(seed, size.min(4 * MIB), "");
    });
}

#[test]
fn either_end_may_ask_for_the_digest() {
    for (tx, rx) in [("--verify", ""), ("", "--verify")] {
        let mut pair = Pair::start(tx, rx);
        let tally = pair.carry(Stream::new(7, 3 * MIB + 5));
        pair.said_digest(&tally);
    }
}

#[test]
fn big_streams_stay_exact() {
    if !is_full() {
        return carry(1, 128 * MIB + 1, "--verify");
    }
    for (seed, codec) in (1..).zip(["", "--zstd -5", "--zstd 3", "--lz4", "--adapt"]) {
        carry(seed, 1 << 30, &format!("--verify {codec}"));
        carry(seed, 1 << 30, &format!("--workers 64 --foot-size 64KiB {codec}"));
        carry(seed, 1 << 30, &format!("--workers 1 --foot-size 16MiB {codec}"));
    }
    carry(10, 10_000_000_000, "--verify");
    carry(11, 10_000_000_000, "--zstd 1 --verify");
}
