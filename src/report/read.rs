//! A file of `--stats`, line by line.
//!
//! Runs are appended to one another; of several it is the last that is told. A last line without its end is what a
//! run leaves that was killed while it wrote; any other line that is none is an error, with its number. Does not
//! know what becomes of a record ([`Run::take`]).

use super::run::Run;
use crate::watch::record::{Event, Record, VERSION};
use serde::Deserialize;
use std::io::{self, BufRead, Read};

/// More than any line has: 256 connections and as many links take some 100 KB.
const MAX_LINE_BYTES: usize = 1 << 20;
/// Thirty years are no run.
const MAX_SECONDS: f64 = 1e9;

/// What a file holds.
#[derive(Debug)]
pub(super) struct Found {
    /// The last run.
    pub(super) run: Run,
    /// How many runs there are, and with which line of the file the last begins.
    pub(super) runs: u64,
    pub(super) first_line: u64,
    /// The last line has no end.
    pub(super) is_cut: bool,
}

/// Reads it all. What it is not is [`io::ErrorKind::InvalidData`], with the number of the line.
pub(super) fn read(mut input: impl BufRead) -> io::Result<Found> {
    let (mut line, mut number, mut is_cut) = (Vec::new(), 0_u64, false);
    let mut reading: Option<Reading> = None;
    loop {
        line.clear();
        let bytes = input.by_ref().take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line)?;
        number += 1;
        if bytes == 0 {
            break;
        }
        if bytes > MAX_LINE_BYTES {
            return Err(invalid(number, &format!("is longer than {MAX_LINE_BYTES} bytes")));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        match parse(&line) {
            Ok(record) => match &mut reading {
                Some(reading) => reading.take(number, record),
                None => reading = Some(Reading::new(number, record)),
            },
            Err(_) if !line.ends_with(b"\n") && reading.is_some() => is_cut = true,
            Err(cause) => return Err(invalid(number, &cause)),
        }
    }
    let Some(Reading { mut run, runs, first_line, .. }) = reading else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "has no line of --stats"));
    };
    run.finish();
    Ok(Found { run, runs, first_line, is_cut })
}

fn invalid(number: u64, cause: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("line {number} {cause}"))
}

/// A line, or what it is instead.
fn parse(line: &[u8]) -> Result<Record, String> {
    /// All that lines of any version have in common.
    #[derive(Deserialize)]
    struct Versioned {
        v: u64,
    }

    match serde_json::from_slice::<Record>(line) {
        Ok(record) if record.v == VERSION && is_sound(&record) => Ok(record),
        result => match serde_json::from_slice::<Versioned>(line) {
            Ok(Versioned { v }) if v > VERSION.into() => {
                Err(format!("is of version {v}, and only {VERSION} is known here"))
            }
            _ => {
                let column = result.map_or_else(|error| error.column(), |_| line.len());
                Err(format!("is no line of --stats (seen at column {column})"))
            }
        },
    }
}

/// Whether its times are some, and an end says how.
fn is_sound(record: &Record) -> bool {
    (0.0..MAX_SECONDS).contains(&record.elapsed_s)
        && (record.event == Event::End) == record.end.is_some()
}

/// The runs so far.
struct Reading {
    run: Run,
    runs: u64,
    first_line: u64,
    last: Last,
}

/// What tells the next line of a run from the first of another.
struct Last {
    event: Event,
    elapsed_s: f64,
    bytes: (u64, u64),
}

impl Last {
    fn of(record: &Record) -> Last {
        let bytes = (record.stream_bytes, record.wire_bytes);
        Last { event: record.event, elapsed_s: record.elapsed_s, bytes }
    }
}

impl Reading {
    fn new(first_line: u64, first: Record) -> Reading {
        let last = Last::of(&first);
        Reading { run: Run::new(first), runs: 1, first_line, last }
    }

    fn take(&mut self, number: u64, record: Record) {
        let last = std::mem::replace(&mut self.last, Last::of(&record));
        let Last { elapsed_s, bytes, .. } = &self.last;
        let is_another = last.event == Event::End
            || *elapsed_s < last.elapsed_s
            || bytes.0 < last.bytes.0
            || bytes.1 < last.bytes.1
            || !self.run.is_of(&record);
        if is_another {
            self.run = Run::new(record);
            self.runs += 1;
            self.first_line = number;
        } else {
            self.run.take(record);
        }
    }
}
