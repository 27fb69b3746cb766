//! The simulator: the real `Sender` and `Receiver` over virtual links, under seeded faults.
//!
//! Everything in a run follows from one number. `VIAMILLIPEDE_SEEDS=n` plays that many seeds instead
//! of the usual, `VIAMILLIPEDE_SEED=n` plays that one alone. Does not know sockets, codecs or the
//! layout of frames on the wire: those have tests of their own.

mod agenda;
mod efficiency;
mod ledger;
mod net;
mod plan;
mod rng;
mod world;

use net::Side;
use plan::Plan;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use world::{Outcome, Summary, World};

/// Seeds of every test run.
const SEEDS: u64 = 5_000;
/// Events that a failure shows; a replay shows them all.
const TRACE: usize = 40;

#[test]
fn seeded_faults_never_cost_data() {
    if let Some(seed) = env_number("VIAMILLIPEDE_SEED") {
        let (summary, trace) = play(seed, usize::MAX);
        eprintln!("{:#?}\n{trace}\n{summary:#?}", Plan::from_seed(seed));
        assert!(summary.is_ok(), "seed {seed} fails");
        return;
    }
    let seeds = env_number("VIAMILLIPEDE_SEEDS").unwrap_or(SEEDS);
    let began = Instant::now();
    let tally = Mutex::new(Tally::default());
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let (result, _) = play(seed, 0);
                    tally.lock().expect("no thread panics with the tally").add(seed, result);
                }
            });
        }
    });
    let tally = tally.into_inner().expect("no thread panics with the tally");
    eprintln!("{seeds} seeds in {:.1} s: {tally:?}", began.elapsed().as_secs_f64());
    if let Some((seed, broken)) = tally.failures.first_key_value() {
        let (_, trace) = play(*seed, TRACE);
        let failed = tally.failures.len();
        panic!(
            "{failed} of {seeds} seeds fail, first {seed}: {broken}\n{trace}\n\
             replay: VIAMILLIPEDE_SEED={seed} cargo test --test all seeded_faults -- --nocapture"
        );
    }
}

/// What the seeds came to, so that one can see that they reach what they are for.
#[derive(Debug, Default)]
struct Tally {
    failures: BTreeMap<u64, String>,
    both_delivered: u64,
    outcome_disputed: u64,
    neither_delivered: u64,
    resent_feet: u64,
    reinjected_feet: u64,
    nacked_feet: u64,
    duplicate_feet: u64,
    connections: u64,
    most_wakeups_a_second: u32,
    virtual_seconds: u64,
}

impl Tally {
    fn add(&mut self, seed: u64, result: Result<Summary, String>) {
        let summary = match result {
            Ok(summary) => summary,
            Err(broken) => {
                self.failures.insert(seed, broken);
                return;
            }
        };
        let delivered = |side: Side| summary.outcomes[side as usize] == Outcome::Delivered;
        match (delivered(Side::Sender), delivered(Side::Receiver)) {
            (true, true) => self.both_delivered += 1,
            (false, false) => self.neither_delivered += 1,
            _ => self.outcome_disputed += 1,
        }
        self.resent_feet += summary.counts.resent_feet;
        self.reinjected_feet += summary.counts.reinjected_feet;
        self.nacked_feet += summary.counts.nacked_feet;
        self.duplicate_feet += summary.duplicate_feet;
        self.connections += summary.connections as u64;
        self.most_wakeups_a_second = self.most_wakeups_a_second.max(summary.most_timeouts);
        self.virtual_seconds += summary.end / agenda::SECOND;
    }
}

/// One seed; a panic in the core is a failure like any other.
fn play(seed: u64, trace: usize) -> (Result<Summary, String>, String) {
    let mut world = World::new(Plan::from_seed(seed)).traced(trace);
    let result = catch_unwind(AssertUnwindSafe(|| world.run()));
    (result.unwrap_or_else(|_| Err("it panicked, see above".to_owned())), world.trace())
}

fn env_number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}
