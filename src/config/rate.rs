//! `--rate`: how a rate is written, and where it is read again and again.
//!
//! Does not know who keeps to it.

use super::bytes::parse_bytes;
use crate::error::{Error, plain};
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

/// Least rate, in bytes a second.
const LEAST: u64 = 1000;
/// Least rate for each connection: its heartbeats take some 50 bytes a second, and what is left must move
/// it before the other end takes it for dead.
const LEAST_EACH: u64 = 250;
/// What is looked at of a file; a rate is far shorter.
const LONGEST: u64 = 256;

/// A rate that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rate {
    /// So many bytes a second.
    Fixed(u64),
    /// What this file says, now and later.
    File(PathBuf),
}

impl Rate {
    /// So many bytes a second, if they are not too few for anything.
    pub fn fixed(rate: u64) -> Option<Rate> {
        (rate >= LEAST).then_some(Rate::Fixed(rate))
    }

    /// Reads what was typed: `20MB`, `200Mbit` or `@FILE`.
    pub fn parse(text: &str) -> Result<Rate, String> {
        match text.strip_prefix('@') {
            Some("") => Err("no file behind the @".into()),
            Some(path) => Ok(Rate::File(path.into())),
            None => parse_rate(text).map(Rate::Fixed),
        }
    }

    /// The rate as it is now, in bytes a second.
    pub fn now(&self) -> Result<u64, Error> {
        let path = match self {
            Rate::Fixed(rate) => return Ok(*rate),
            Rate::File(path) => path,
        };
        let read = || -> io::Result<String> {
            let mut text = String::new();
            File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
            Ok(text)
        };
        let rate = read().map_err(|error| plain(&error)).and_then(|text| parse_rate(text.trim()));
        rate.map_err(|cause| Error::usage(format!("--rate @{}", path.display()), cause))
    }

    /// The same; an error where it leaves nothing to so many connections.
    pub fn now_for(&self, workers: u16) -> Result<u64, Error> {
        let (rate, least) = (self.now()?, u64::from(workers) * LEAST_EACH);
        if rate >= least {
            return Ok(rate);
        }
        let cause = format!("{rate} bytes a second are too few for {workers} connections");
        let (what, hint) = match self {
            Rate::Fixed(_) => ("--rate".into(), format!("--rate {least} would do")),
            Rate::File(path) => {
                (format!("--rate @{}", path.display()), format!("{least} in it would do"))
            }
        };
        Err(Error::usage(what, cause).with_hint(hint))
    }
}

/// Bytes a second: a number of bytes, or of bits with `Kbit`, `Mbit`, `Gbit` or `Tbit`, powers of 1000.
fn parse_rate(text: &str) -> Result<u64, String> {
    let bits = text.len().checked_sub(3).and_then(|at| text.split_at_checked(at));
    let rate = match bits.filter(|(_, unit)| unit.eq_ignore_ascii_case("bit")) {
        // `200M` of bits is as much as `200MB` of bytes, and an eighth of it.
        Some((number, _)) if number.ends_with(|unit: char| unit.is_ascii_alphabetic()) => {
            parse_bytes(&format!("{number}B")).map(|bits| bits / 8)
        }
        Some((number, _)) => parse_bytes(number).map(|bits| bits / 8),
        None => parse_bytes(text),
    };
    match rate {
        Ok(rate) if rate < LEAST => Err(format!("less than {LEAST} bytes a second")),
        Ok(rate) => Ok(rate),
        Err(_) => Err("not a rate like 500K, 20MB or 200Mbit".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_rate_is_bytes_or_bits_or_in_a_file() {
        let same = [
            ("1000", 1000),
            ("20MB", 20_000_000),
            ("1M", 1 << 20),
            ("64kbit", 8_000),
            ("200Mbit", 25_000_000),
            ("1GBIT", 125_000_000),
            ("2tbit", 250_000_000_000),
            ("80000bit", 10_000),
        ];
        for (text, rate) in same {
            assert_eq!(Rate::parse(text), Ok(Rate::Fixed(rate)), "{text}");
        }
        assert_eq!(Rate::parse("@a b"), Ok(Rate::File("a b".into())));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "bit", "Mbit", "fast", "1.5M", "-1", "5Mbits", "5MBbit", "5 Mbit", "@"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
        for text in ["0", "999", "7kbit", "0Mbit"] {
            let refused = Rate::parse(text).expect_err(text);
            assert_eq!(refused, "less than 1000 bytes a second", "{text}");
        }
    }

    #[test]
    fn a_file_is_read_when_it_is_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rate");
        let rate = Rate::File(path.clone());
        let told = rate.now().expect_err("it is not there").to_string();
        assert!(
            told.starts_with("--rate @/") && told.ends_with("No such file or directory"),
            "{told}"
        );
        fs::write(&path, " 5MB\n").expect("a file");
        assert_eq!(rate.now().expect("a rate"), 5_000_000);
        fs::write(&path, "80Mbit").expect("a file");
        assert_eq!(rate.now().expect("a rate"), 10_000_000);
        for garbled in ["", "@x", "5 MB", &"9".repeat(300)] {
            fs::write(&path, garbled).expect("a file");
            assert_eq!(rate.now().expect_err("no rate").exit_code(), 2, "{garbled}");
        }
        fs::write(&path, b"\xff\xfe").expect("a file");
        assert!(rate.now().is_err());
    }

    #[test]
    fn a_rate_must_do_for_the_heartbeats_of_all_connections() {
        assert_eq!(Rate::Fixed(1000).now_for(4).expect("just enough"), 1000);
        let refused = Rate::Fixed(10_000).now_for(256).expect_err("40 bytes each");
        assert_eq!((refused.exit_code(), refused.hint()), (2, Some("--rate 64000 would do")));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rate");
        fs::write(&path, "10000").expect("a file");
        let refused = Rate::File(path).now_for(256).expect_err("40 bytes each");
        assert_eq!((refused.exit_code(), refused.hint()), (2, Some("64000 in it would do")));
    }
}
