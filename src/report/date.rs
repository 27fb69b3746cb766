//! A moment of Unix time as people write it, in UTC.
//!
//! Does not know what time it is.

/// The first second of the year 10000, which has no such form.
const LAST_S: f64 = 253_402_300_800.0;

/// `2026-11-26 19:24:22 UTC`; none of a moment before 1970 or after 9999.
pub(super) fn date(unix_s: f64) -> Option<String> {
    if !(0.0..LAST_S).contains(&unix_s) {
        return None;
    }
    let seconds = unix_s as u64;
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(day);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    Some(format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC"))
}

/// Year, month and day of the day with this number, counted from 1970-01-01.
fn civil(day: u64) -> (u64, u64, u64) {
    // Years that begin in March have their odd day at their end, and 400 of them are always as long. That is Howard
    // Hinnant's `civil_from_days`.
    let day = day + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let is_next_year = month >= 10;
    let month = if is_next_year { month - 9 } else { month + 3 };
    (era * 400 + year + u64::from(is_next_year), month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // As `date -u -d @SECONDS` tells them.
        for (unix_s, told) in [
            (0.0, "1970-01-01 00:00:00 UTC"),
            (951_782_399.9, "2000-02-28 23:59:59 UTC"),
            (951_782_400.0, "2000-02-29 00:00:00 UTC"),
            (1_735_689_599.0, "2024-12-31 23:59:59 UTC"),
            (1_800_000_012.125, "2027-01-15 08:00:12 UTC"),
            (4_107_542_399.0, "2100-02-28 23:59:59 UTC"),
            (4_107_542_400.0, "2100-03-01 00:00:00 UTC"),
            (253_402_300_799.0, "9999-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(date(unix_s).as_deref(), Some(told));
        }
    }

    #[test]
    fn what_no_clock_says_has_no_date() {
        for unix_s in [-1.0, LAST_S, 1e300, f64::NAN, f64::INFINITY] {
            assert_eq!(date(unix_s), None, "{unix_s}");
        }
    }
}
