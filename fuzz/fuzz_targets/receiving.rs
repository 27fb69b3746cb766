//! Runs what `tests/fuzzed.rs` runs on random bytes, on those that the fuzzer finds.

#![no_main]
#![allow(dead_code, reason = "each target runs a part of what it shares with the tests")]

#[path = "../../tests/fuzzed/decoders.rs"]
mod decoders;
#[path = "../../tests/fuzzed/receiving.rs"]
mod receiving;
#[path = "../../tests/fuzzed/tape.rs"]
mod tape;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| receiving::play(bytes));
