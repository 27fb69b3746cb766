//! Numbers of bytes as people write them, in both directions.
//!
//! Knows the suffixes of coreutils. Does not know what the number is for, nor its limits.

/// Reads `BYTES`: a number and a suffix. `K M G T P E` and `KiB MiB …` are powers of 1024, `KB MB
/// …` powers of 1000, in either case; nothing or `B` is bytes.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let unit = unit_of(suffix).filter(|_| digits > 0);
    let unit = unit.ok_or("not a number of bytes like 1000, 64KiB, 10M or 5GB")?;
    let count = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    count.ok_or_else(|| "more bytes than there can be".into())
}

fn unit_of(suffix: &str) -> Option<u64> {
    let suffix = suffix.to_ascii_uppercase();
    let mut letters = suffix.chars();
    let Some(prefix) = letters.next().filter(|&first| suffix.len() > 1 || first != 'B') else {
        return Some(1);
    };
    let power = u32::try_from("KMGTPE".find(prefix)? + 1).ok()?;
    match letters.as_str() {
        "" | "IB" => Some(1024_u64.pow(power)),
        "B" => Some(1000_u64.pow(power)),
        _ => None,
    }
}

/// Writes a number of bytes as `--window` and `--foot-size` take it: exact, and as short as may be.
pub fn format_bytes(bytes: u64) -> String {
    let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let fits = units.iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    fits.map_or_else(|| bytes.to_string(), |(unit, name)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn suffixes_are_those_of_coreutils() {
        let same = [
            ("0", 0),
            ("7b", 7),
            ("1K", 1 << 10),
            ("1k", 1 << 10),
            ("1KiB", 1 << 10),
            ("1kib", 1 << 10),
            ("1KB", 1000),
            ("1kB", 1000),
            ("3M", 3 << 20),
            ("3MB", 3_000_000),
            ("2GiB", 2 << 30),
            ("2gb", 2_000_000_000),
            ("1T", 1 << 40),
            ("1TB", 1_000_000_000_000),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, bytes) in same {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let wrong = [
            "",
            "K",
            "B",
            "-1",
            "+1",
            "1.5M",
            "1 M",
            "1Mi",
            "1MBB",
            "1X",
            "1BB",
            "0x10",
            "１M",
            "18446744073709551616",
            "16777216T",
            "99E",
        ];
        for text in wrong {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(bytes in any::<u64>(), shift in 0_u32..60) {
            let bytes = bytes >> shift << (shift / 2);
            prop_assert_eq!(parse_bytes(&format_bytes(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC*") {
            if let Ok(bytes) = parse_bytes(&text) {
                prop_assert!(text.starts_with(|c: char| c.is_ascii_digit()), "{} from {}", bytes, text);
            }
        }
    }
}
