//! A file of `--stats`, line by line.
//!
//! Runs are appended to one another; of several it is the last that is told. What is no line is left out and counted:
//! a run that is killed while it writes, or whose disk is full, leaves a part of one. A file of nothing else is an error,
//! and so is what a later version has written. Does not know what becomes of a record ([`Run::take`]).

use super::run::Run;
use crate::watch::record::{Event, Record, VERSION};
use serde::Deserialize;
use std::io::{self, BufRead, Read};

/// More than any line has: 256 connections and as many links take some 100 KB.
const MAX_LINE_BYTES: usize = 1 << 20;
/// Thirty years are no run.
const MAX_SECONDS: f64 = 1e9;
/// The first lines of a run come no later.
const FIRST_S: f64 = 3.0;
/// Two lines of a run agree on when it began, but for what clocks and slow machines do.
const SAME_START_S: f64 = 5.0;

/// What a file holds.
#[derive(Debug)]
pub(super) struct Found {
    /// The last run.
    pub(super) run: Run,
    /// How many runs there are, and with which line of the file the last begins.
    pub(super) runs: u64,
    pub(super) first_line: u64,
    /// How many lines are none, and which is the first of them; but for the last, where it has no end.
    pub(super) bad_lines: u64,
    pub(super) first_bad: u64,
    /// The last line has no end.
    pub(super) is_cut: bool,
}

/// Reads it all. What holds no line is [`io::ErrorKind::InvalidData`], with the number of the first that is none.
pub(super) fn read(mut input: impl BufRead) -> io::Result<Found> {
    let (mut line, mut number, mut is_cut) = (Vec::new(), 0_u64, false);
    let mut reading: Option<Reading> = None;
    let (mut bad_lines, mut first_bad) = (0, None);
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
            Err(Other::Newer(cause)) => return Err(invalid(number, &cause)),
            Err(_) if !line.ends_with(b"\n") && reading.is_some() => is_cut = true,
            Err(Other::Garbled(cause)) => {
                bad_lines += 1;
                first_bad.get_or_insert((number, cause));
            }
        }
    }
    match (reading, first_bad) {
        (Some(Reading { mut run, runs, first_line, .. }), first_bad) => {
            run.finish();
            let first_bad = first_bad.map_or(0, |(number, _)| number);
            Ok(Found { run, runs, first_line, bad_lines, first_bad, is_cut })
        }
        (None, Some((number, cause))) => Err(invalid(number, &cause)),
        (None, None) => Err(io::Error::new(io::ErrorKind::InvalidData, "has no line of --stats")),
    }
}

fn invalid(number: u64, cause: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("line {number} {cause}"))
}

/// What is there instead of a line.
enum Other {
    /// What only a later version knows.
    Newer(String),
    /// A part of a line, or none at all.
    Garbled(String),
}

/// A line, or what it is instead.
fn parse(line: &[u8]) -> Result<Record, Other> {
    /// All that lines of any version have in common.
    #[derive(Deserialize)]
    struct Versioned {
        v: u64,
    }

    match serde_json::from_slice::<Record>(line) {
        Ok(record) if record.v == VERSION && is_sound(&record) => Ok(record),
        result => match serde_json::from_slice::<Versioned>(line) {
            Ok(Versioned { v }) if v > VERSION.into() => {
                let cause = format!("is of version {v}, and only {VERSION} is known here");
                Err(Other::Newer(cause))
            }
            _ => {
                let column = result.map_or_else(|error| error.column(), |_| line.len());
                let cause = format!("is no line of --stats (seen at column {column})");
                Err(Other::Garbled(cause))
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
    /// When the run began, as far as a line can tell: one that is no longer running does not know.
    began_s: f64,
    bytes: (u64, u64),
}

impl Last {
    fn of(record: &Record) -> Last {
        let bytes = (record.stream_bytes, record.wire_bytes);
        let (elapsed_s, began_s) = (record.elapsed_s, record.unix_s - record.elapsed_s);
        Last { event: record.event, elapsed_s, began_s, bytes }
    }

    /// Whether this, the line after `before`, is of a run that began later, and was a second or two old. (A line of one that
    /// has stopped grows no older; a machine that slept would make any later line look like that.)
    fn is_fresh(&self, before: &Last) -> bool {
        let is_running = before.elapsed_s > 0.0 && self.elapsed_s > before.elapsed_s;
        let is_young = self.elapsed_s < FIRST_S;
        is_running && is_young && (self.began_s - before.began_s).abs() > SAME_START_S
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
            || self.last.is_fresh(&last)
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
