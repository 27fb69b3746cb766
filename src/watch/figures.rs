//! Figures as people read them: bytes, rates and times.
//!
//! Powers of 1000 throughout, as rates are printed. Does not know what a figure is about.

use std::time::Duration;

/// A number of things, by their name.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Bytes to three digits: `999 B`, `1.07 GB`.
pub(crate) fn bytes(count: u64) -> String {
    scaled(count as f64, "B")
}

/// A rate to three digits: `87.3 MB/s`.
pub(crate) fn rate(bytes_per_second: f64) -> String {
    scaled(bytes_per_second, "B/s")
}

/// The mean rate of so many bytes in this time; none when there was no time.
pub(crate) fn mean(bytes: u64, elapsed: Duration) -> f64 {
    if elapsed.is_zero() { 0.0 } else { bytes as f64 / elapsed.as_secs_f64() }
}

/// Seconds: to the millisecond while that is much, to a tenth later.
pub(crate) fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 10.0 { format!("{seconds:.3} s") } else { format!("{seconds:.1} s") }
}

/// A round trip: `0.04 ms`, `24 ms`.
pub(super) fn round_trip(time: Duration) -> String {
    let milliseconds = 1000.0 * time.as_secs_f64();
    if milliseconds < 10.0 {
        format!("{milliseconds:.2} ms")
    } else {
        format!("{milliseconds:.0} ms")
    }
}

/// A time to come, as a clock shows it: `0:07`, `1:02:03`.
pub(crate) fn clock(time: Duration) -> String {
    let (minutes, seconds) = (time.as_secs() / 60, time.as_secs() % 60);
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes}:{seconds:02}"),
        (hours, minutes) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// Stream bytes for each wire byte; none before anything is on the wire.
pub(crate) fn ratio(stream_bytes: u64, wire_bytes: u64) -> Option<f64> {
    (wire_bytes > 0).then(|| stream_bytes as f64 / wire_bytes as f64)
}

/// How much of the expected bytes is through, 100 at most, though the guess may have been too low.
pub(crate) fn percent(bytes: u64, expected: u64) -> u64 {
    let share = u128::from(bytes) * 100 / u128::from(expected.max(1));
    u64::try_from(share).map_or(100, |share| share.min(100))
}

/// The time that the rest takes at this rate, while there is a rest and a rate.
pub(crate) fn time_left(bytes: u64, expected: u64, bytes_per_second: f64) -> Option<Duration> {
    let rest = expected.checked_sub(bytes)? as f64;
    // More than a thousand years is no forecast.
    Some(rest / bytes_per_second)
        .filter(|left| (0.0..3e10).contains(left))
        .map(Duration::from_secs_f64)
}

fn scaled(value: f64, unit: &str) -> String {
    let mut value = value;
    let mut prefixes = ["", "k", "M", "G", "T", "P", "E"].into_iter();
    let mut prefix = prefixes.next().unwrap_or_default();
    // 999.5 and more would be shown as 1000.
    while value >= 999.5 {
        let Some(next) = prefixes.next() else { break };
        (value, prefix) = (value / 1000.0, next);
    }
    let digits = match (prefix, value) {
        ("", _) | (_, 99.95..) => 0,
        (_, 9.995..) => 1,
        _ => 2,
    };
    format!("{value:.digits$} {prefix}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_never_a_thousand() {
        let shown = [0, 7, 999, 1000, 1024, 9_994, 9_996, 99_949, 99_951, 999_499, 999_500];
        let texts = shown.map(bytes);
        let expected = [
            "0 B", "7 B", "999 B", "1.00 kB", "1.02 kB", "9.99 kB", "10.0 kB", "99.9 kB", "100 kB",
            "999 kB", "1.00 MB",
        ];
        assert_eq!(texts, expected);
        assert_eq!(bytes(u64::MAX), "18.4 EB");
        assert_eq!(rate(87_300_000.0), "87.3 MB/s");
    }

    #[test]
    fn times() {
        assert_eq!(seconds(Duration::from_millis(1234)), "1.234 s");
        assert_eq!(seconds(Duration::from_millis(12_340)), "12.3 s");
        assert_eq!(clock(Duration::from_secs(7)), "0:07");
        assert_eq!(clock(Duration::from_secs(3723)), "1:02:03");
    }

    #[test]
    fn a_forecast_needs_a_rest_and_a_rate() {
        assert_eq!(time_left(50, 100, 10.0), Some(Duration::from_secs(5)));
        assert_eq!(time_left(50, 100, 0.0), None);
        assert_eq!(time_left(101, 100, 10.0), None);
        assert_eq!(time_left(100, 100, 0.0), None);
        assert_eq!((percent(50, 100), percent(200, 100), percent(0, 0)), (50, 100, 0));
        assert_eq!((ratio(10, 0), ratio(10, 5)), (None, Some(2.0)));
        assert_eq!(mean(10, Duration::ZERO), 0.0);
    }
}
