//! Runs what `tests/fuzzed.rs` runs on random bytes, on those that the fuzzer finds.

#![no_main]
#![allow(dead_code, reason = "each target runs a part of what it shares with the tests")]

#[path = "../../tests/fuzzed/texts.rs"]
mod texts;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| texts::key(bytes));
