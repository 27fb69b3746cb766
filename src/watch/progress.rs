//! Progress while the run goes on: a live bar on a terminal, a plain line now and then elsewhere.
//!
//! Knows how it looks and how often it changes. Does not write by itself ([`super::say`]).

use super::figures;
use super::say::Say;
use crate::config::{Common, ProgressMode, Verbosity};
use crate::stats::{Role, Snapshot};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// Time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// How far back the current rate looks.
const RATE_SPAN: Duration = Duration::from_secs(3);
/// Redraws of the bar in a second, at most.
const REDRAWS: u8 = 5;

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
        match (settings.progress, io::stderr().is_terminal()) {
            _ if quiet => Progress::Never,
            (ProgressMode::Never, _) | (ProgressMode::Auto, false) => Progress::Never,
            (ProgressMode::Auto | ProgressMode::Always, true) => Progress::Live,
            (ProgressMode::Always, false) => Progress::Lines(None),
        }
    }

    /// Shows how the run stands, if it is time to.
    pub(super) fn tick(&mut self, now: Instant, snapshot: &Snapshot, rate: f64, say: &Say) {
        match self {
            Progress::Never => {}
            Progress::Live => say.picture(Picture {
                stream_bytes: snapshot.stream_bytes,
                expected_bytes: snapshot.expected_bytes,
                text: text(snapshot, rate),
            }),
            Progress::Lines(next) => {
                if *next.get_or_insert(now + LINE_EVERY) <= now {
                    *next = Some(now + LINE_EVERY);
                    say.always(&format!("viamillipede: {}", text(snapshot, rate)));
                }
            }
        }
    }
}

/// What the bar shows at one moment.
#[derive(Debug)]
pub(super) struct Picture {
    stream_bytes: u64,
    expected_bytes: Option<u64>,
    text: String,
}

/// The bar on the terminal.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// A bar where the size is known from the start, otherwise a sign of life.
    pub(super) fn new(first: &Picture) -> Bar {
        let target = ProgressDrawTarget::stderr_with_hz(REDRAWS);
        let bar = ProgressBar::with_draw_target(first.expected_bytes, target);
        let template = if first.expected_bytes.is_some() {
            "[{bar:10}] {wide_msg}"
        } else {
            "{spinner} {wide_msg}"
        };
        let style =
            ProgressStyle::with_template(template).expect("a constant that indicatif reads");
        bar.set_style(style.progress_chars("=> "));
        Bar(bar)
    }

    /// Shows this picture.
    pub(super) fn show(&mut self, picture: Picture) {
        self.0.set_message(picture.text);
        self.0.update(|state| state.set_pos(picture.stream_bytes));
    }

    /// Takes the bar away while `write` writes.
    pub(super) fn suspend(&self, write: impl FnOnce()) {
        self.0.suspend(write);
    }

    /// Takes the bar away for good.
    pub(super) fn clear(self) {
        self.0.finish_and_clear();
    }
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
pub(super) fn text(snapshot: &Snapshot, rate: f64) -> String {
    let Some(elapsed) = snapshot.elapsed else {
        return "waiting for the other end".into();
    };
    let mean = figures::mean(snapshot.stream_bytes, elapsed);
    let mut parts = vec![
        how_much(snapshot),
        format!("{} now, {} mean", figures::rate(rate), figures::rate(mean)),
    ];
    let left = snapshot
        .expected_bytes
        .and_then(|expected| figures::time_left(snapshot.stream_bytes, expected, rate));
    parts.extend(left.map(|left| format!("ETA {}", figures::clock(left))));
    parts.push(format!("bottleneck: {}", snapshot.bottleneck));
    // Last, for it is what a narrow terminal may cut off.
    // Of what was packed, not of what has arrived, which lags behind. A receiver cannot know it yet.
    let ratio = figures::ratio(snapshot.source_bytes, snapshot.packed_bytes)
        .filter(|_| snapshot.role == Role::Sender);
    parts.extend(ratio.map(|ratio| format!("ratio {ratio:.2}")));
    parts.join(", ")
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
        stats.source_bytes.set(1_500_000);
        stats.packed_bytes.set(750_000);
        let waiting = text(&stats.snapshot(), 0.0);
        assert_eq!(waiting, "waiting for the other end");
        let snapshot = Snapshot { elapsed: Some(Duration::from_secs(2)), ..stats.snapshot() };
        let expected = "1.00 MB of 4.00 MB (25 %), 1.00 MB/s now, 500 kB/s mean, ETA 0:03, \
                        bottleneck: network, ratio 2.00";
        assert_eq!(text(&snapshot, 1e6), expected);
    }

    #[test]
    fn a_run_of_unknown_size_has_neither() {
        let stats = Stats::new(Role::Receiver, 1);
        stats.start();
        let line = text(&stats.snapshot(), 0.0);
        assert!(line.starts_with("0 B, 0 B/s now") && !line.contains("ETA"), "{line}");
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
