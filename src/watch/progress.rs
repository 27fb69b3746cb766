//! Progress while the run goes on: a live bar on a terminal, a plain line now and then elsewhere.
//!
//! Knows how it looks and how often it changes. Does not write by itself ([`super::say`]).

use super::figures;
use super::lanes::Lanes;
use super::say::Say;
use crate::config::{Common, ProgressMode, Verbosity};
use crate::stats::{Role, Snapshot};
use std::collections::VecDeque;
use std::env;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// Time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// How far back the current rate looks.
const RATE_SPAN: Duration = Duration::from_secs(3);
/// What is said before there is a session.
const WAITING: &str = "waiting for the other end";

/// Shows progress in the way that was asked for and stderr allows.
#[derive(Debug)]
pub(super) enum Progress {
    /// A bar that is drawn again and again.
    Live,
    /// A line every now and then, the next one at this time; none before the first tick.
    Lines(Option<Instant>),
    /// Nothing.
    Never,
}

impl Progress {
    /// The way that these settings ask for.
    pub(super) fn new(settings: &Common) -> Progress {
        let quiet = settings.verbosity == Verbosity::Quiet;
        // A terminal that cannot move its cursor is not one to draw on.
        let is_dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        match (settings.progress, io::stderr().is_terminal() && !is_dumb) {
            _ if quiet => Progress::Never,
            (ProgressMode::Never, _) | (ProgressMode::Auto, false) => Progress::Never,
            (ProgressMode::Auto | ProgressMode::Always, true) => Progress::Live,
            (ProgressMode::Always, false) => Progress::Lines(None),
        }
    }

    /// Shows how the run stands, if it is time to.
    pub(super) fn tick(&mut self, now: Instant, seen: &Seen<'_>, say: &Say) {
        let Seen { snapshot, rates, lanes } = *seen;
        match self {
            Progress::Never => {}
            Progress::Live => say.picture(Picture {
                stream_bytes: snapshot.stream_bytes,
                expected_bytes: snapshot.expected_bytes,
                text: text(snapshot, rates),
                short: short(snapshot, rates.stream),
                lanes: lanes.lines(),
            }),
            Progress::Lines(next) => {
                if *next.get_or_insert(now + LINE_EVERY) <= now {
                    *next = Some(now + LINE_EVERY);
                    say.always(&format!("viamillipede: {}", line(snapshot, rates)));
                }
            }
        }
    }
}

/// What there is to show at one moment.
pub(super) struct Seen<'a> {
    /// The figures of the run.
    pub(super) snapshot: &'a Snapshot,
    /// What the figures say of the last seconds.
    pub(super) rates: Rates,
    /// The links.
    pub(super) lanes: &'a Lanes,
}

/// Bytes a second in the last seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rates {
    /// Of the stream.
    pub(super) stream: f64,
    /// On the wire.
    pub(super) wire: f64,
}

/// What the bar shows at one moment.
#[derive(Debug)]
pub(super) struct Picture {
    /// How far the stream is.
    pub(super) stream_bytes: u64,
    /// How long it will be, where that is known.
    pub(super) expected_bytes: Option<u64>,
    /// The parts of the stream's line, of which what matters less comes later.
    pub(super) text: Vec<String>,
    /// The same for a narrow terminal.
    pub(super) short: Vec<String>,
    /// The links' lines.
    pub(super) lanes: Vec<String>,
}

/// The current rate of the stream, from what was seen in the last seconds.
#[derive(Debug, Default)]
pub(super) struct Meter(VecDeque<(Instant, u64)>);

impl Meter {
    /// So many bytes are through now.
    pub(super) fn sample(&mut self, now: Instant, bytes: u64) {
        self.0.push_back((now, bytes));
        // The oldest one is that just outside the span, so that there are two as long as there can
        // be.
        while self.0.get(1).is_some_and(|(then, _)| now.duration_since(*then) >= RATE_SPAN) {
            self.0.pop_front();
        }
    }

    /// Bytes a second.
    pub(super) fn rate(&self) -> f64 {
        match (self.0.front(), self.0.back()) {
            (Some((then, before)), Some((now, bytes))) => {
                figures::mean(bytes.saturating_sub(*before), now.duration_since(*then))
            }
            _ => 0.0,
        }
    }
}

/// How the run stands, in one line.
pub(super) fn line(snapshot: &Snapshot, rates: Rates) -> String {
    text(snapshot, rates).join(", ")
}

/// The parts of that line.
fn text(snapshot: &Snapshot, rates: Rates) -> Vec<String> {
    let Some(elapsed) = snapshot.elapsed else {
        return vec![WAITING.into()];
    };
    let mean = figures::mean(snapshot.stream_bytes, elapsed);
    let mut parts = vec![
        how_much(snapshot),
        figures::rate(rates.stream),
        time(snapshot, elapsed, rates.stream),
        format!("bottleneck: {}", snapshot.bottleneck),
        format!("{} mean", figures::rate(mean)),
        format!("{} on the wire", figures::rate(rates.wire)),
    ];
    parts.extend(snapshot.packing.map(|packing| packing.to_string()));
    // Of what was packed, not of what has arrived, which lags behind. A receiver cannot know it yet.
    let ratio = figures::ratio(snapshot.raw_bytes, snapshot.packed_bytes)
        .filter(|_| snapshot.role == Role::Sender);
    parts.extend(ratio.map(|ratio| format!("ratio {ratio:.2}")));
    parts
}

/// The same in forty columns.
fn short(snapshot: &Snapshot, rate: f64) -> Vec<String> {
    let Some(elapsed) = snapshot.elapsed else {
        return vec![WAITING.into()];
    };
    let through = match snapshot.expected_bytes {
        Some(expected) => format!("{} %", figures::percent(snapshot.stream_bytes, expected)),
        None => figures::bytes(snapshot.stream_bytes),
    };
    let (rate, time) = (figures::rate(rate), time(snapshot, elapsed, rate));
    vec![through, rate, time, snapshot.bottleneck.to_string()]
}

/// The time to come where the size is known, which nobody can tell while nothing moves; else the time that has passed.
fn time(snapshot: &Snapshot, elapsed: Duration, rate: f64) -> String {
    let Some(expected) = snapshot.expected_bytes else { return figures::clock(elapsed) };
    match figures::time_left(snapshot.stream_bytes, expected, rate) {
        Some(left) => format!("ETA {}", figures::clock(left)),
        None => "ETA -".to_owned(),
    }
}

fn how_much(snapshot: &Snapshot) -> String {
    let through = figures::bytes(snapshot.stream_bytes);
    match snapshot.expected_bytes {
        None => through,
        Some(expected) => {
            let percent = figures::percent(snapshot.stream_bytes, expected);
            format!("{through} of {} ({percent} %)", figures::bytes(expected))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Stats;

    #[test]
    fn a_run_of_known_size_has_percent_and_eta() {
        let stats = Stats::new(Role::Sender, 1);
        stats.expect_bytes(4_000_000);
        stats.stream_bytes.set(1_000_000);
        stats.source_bytes.set(9_000_000); // most of it is not packed yet
        stats.raw_bytes.set(1_500_000);
        stats.packed_bytes.set(750_000);
        let rates = Rates { stream: 1e6, wire: 5e5 };
        assert_eq!(line(&stats.snapshot(), rates), "waiting for the other end");
        let snapshot = Snapshot { elapsed: Some(Duration::from_secs(2)), ..stats.snapshot() };
        let expected = "1.00 MB of 4.00 MB (25 %), 1.00 MB/s, ETA 0:03, bottleneck: network, \
                        500 kB/s mean, 500 kB/s on the wire, ratio 2.00";
        assert_eq!(line(&snapshot, rates), expected);
        assert_eq!(short(&snapshot, 1e6).join(" "), "25 % 1.00 MB/s ETA 0:03 network");
    }

    #[test]
    fn a_run_of_unknown_size_has_neither() {
        let stats = Stats::new(Role::Receiver, 1);
        stats.start();
        let said = line(&stats.snapshot(), Rates::default());
        assert!(said.starts_with("0 B, 0 B/s, 0:00, bottleneck"), "{said}");
        let line = short(&stats.snapshot(), 0.0).join(" ");
        assert_eq!(line, "0 B 0 B/s 0:00 network or sender");
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut meter = Meter::default();
        let start = Instant::now();
        assert_eq!(meter.rate(), 0.0);
        for tenth in 0..100_u64 {
            // Ten bytes a tick for five seconds, then none.
            meter.sample(start + Duration::from_millis(100 * tenth), 10 * tenth.min(50));
            if tenth == 50 {
                assert!((meter.rate() - 100.0).abs() < 1e-6, "{}", meter.rate());
            }
        }
        assert_eq!(meter.rate(), 0.0);
        assert!(meter.0.len() < 40);
    }
}
