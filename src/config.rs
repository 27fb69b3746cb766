//! What a run was asked to do, as plain settings that have been checked against each other.
//!
//! Knows the limits, the defaults, and what the window must hold. Does not know clap or how the
//! settings were written, nor what is later settled with the other end.

pub mod bytes;
mod defaults;
pub mod files;
pub mod place;
pub mod rate;
pub mod ssh;
pub mod workers;

pub use place::{Bind, Dest, Listen};
pub use rate::Rate;
pub use ssh::{Direct, Near, Ssh, SshCommand, Task};
pub use workers::Workers;

pub use crate::codec::{Packing, ZSTD_LEVELS};
use crate::error::Error;
pub use crate::foot::{DEFAULT_FOOT_BYTES, MAX_FOOT_BYTES, MIN_FOOT_BYTES};
pub use crate::key::Security;
pub use crate::proto::hello::min_window_feet;
pub use crate::ssh::words::split as split_words;
use bytes::format_bytes;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// Most connections that one `--workers` or `workers=` may ask for.
pub const MAX_WORKERS: u16 = 256;
/// Most connections over all DESTs, with their own counts.
pub const MAX_TOTAL_WORKERS: u32 = 1024;
/// Largest default window, in bytes.
pub const DEFAULT_WINDOW_BYTES: u64 = 256 << 20;
/// Largest window, in bytes: there are tables with a place for each of its feet.
pub const MAX_WINDOW_BYTES: u64 = 1 << 40;
/// Longest `--name`, in bytes.
pub const MAX_NAME_BYTES: usize = 255;
/// How long to go on without progress when nothing is said.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(120);
/// The level of zstd when none is said.
pub const DEFAULT_ZSTD_LEVEL: i32 = 3;

/// What the process is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Transmit a stream.
    Tx(Tx),
    /// Receive a stream.
    Rx(Rx),
    /// Both ends in this process.
    Loop(Loop),
    /// The other end is started through ssh.
    Ssh(Box<Ssh>),
}

/// Settings of `tx`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tx {
    /// What every end knows.
    pub common: Common,
    /// Where the stream comes from.
    pub input: Input,
    /// How the stream becomes feet.
    pub packaging: Packaging,
    /// What its connections keep to.
    pub shaping: Shaping,
    /// Where the other end is met.
    pub rendezvous: Rendezvous,
}

/// Settings of `rx`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rx {
    /// What every end knows.
    pub common: Common,
    /// Where the stream goes.
    pub output: Output,
    /// Where the other end is met.
    pub rendezvous: Rendezvous,
}

/// Settings of `loop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loop {
    /// What every end knows.
    pub common: Common,
    /// Where the stream comes from.
    pub input: Input,
    /// Where the stream goes.
    pub output: Output,
    /// How the stream becomes feet.
    pub packaging: Packaging,
    /// What its connections keep to.
    pub shaping: Shaping,
    /// TCP connections over 127.0.0.1.
    pub workers: Workers,
}

/// Where the stream comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Stdin.
    Stdin,
    /// This file, whatever it is.
    File(PathBuf),
    /// What this command writes, for `sh`. The process must begin with [`crate::guardian::was_asked`].
    Source(OsString),
}

/// Where the stream goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Stdout.
    Stdout,
    /// A file.
    File {
        /// Its name.
        path: PathBuf,
        /// It may be there already, and is replaced.
        replaces: bool,
    },
    /// This program's stdin: the program and its arguments, never empty. The process must begin with
    /// [`crate::guardian::was_asked`].
    Command(Vec<OsString>),
}

/// Settings that every end has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Common {
    /// Most stream bytes that an end holds in memory at once.
    pub window_bytes: u64,
    /// Hash the whole stream at both ends and compare.
    pub verify: bool,
    /// How connections are protected.
    pub security: Security,
    /// Must be the same at both ends.
    pub name: String,
    /// How long to go on without progress; none is for ever.
    pub patience: Option<Duration>,
    /// Whether progress is shown.
    pub progress: ProgressMode,
    /// How much is said.
    pub verbosity: Verbosity,
    /// Where figures are written.
    pub records: Records,
}

/// Where the figures of a run are written, beside what people see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// Lines of JSON, appended to this file; `-` is stderr.
    pub stats: Option<PathBuf>,
    /// Prometheus' text form, in place of this file.
    pub metrics: Option<PathBuf>,
}

/// How the stream becomes feet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packaging {
    /// How each foot is compressed.
    pub packing: Packing,
    /// The work block asked for; what is used is settled with the other end, and may be less.
    pub foot_bytes: u32,
    /// Expected size of the stream, for percent and ETA only.
    pub size: Option<u64>,
}

/// What the connections of a transmitter keep to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shaping {
    /// At most so much over all of them together.
    pub rate: Option<Rate>,
    /// TCP's congestion control for each, by the system's name for it; or else the system's choice.
    pub congestion: Option<String>,
}

/// Where the ends meet, and which of them this one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rendezvous {
    /// This end dials.
    Dial {
        /// The ways to the other end, the preferred first; never empty.
        dests: Vec<Dest>,
        /// Connections over all DESTs that have no count of their own.
        workers: Workers,
    },
    /// This end waits, at each of these; never empty.
    Listen(Vec<Listen>),
}

/// When progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressMode {
    /// When stderr is a terminal, and the stream itself is on none: it would be mixed with a bar.
    Auto,
    /// Always; off a terminal as a line now and then.
    Always,
    /// Never.
    Never,
}

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors and what was asked for.
    Quiet,
    /// The end of a run too.
    Normal,
    /// Each connection too.
    Verbose,
    /// How each connection comes about and goes, and how the window moves.
    VeryVerbose,
}

impl Command {
    /// Where the stream begins, and where it ends, as far as that is in this process.
    pub fn ends(&self) -> (Option<&Input>, Option<&Output>) {
        match self {
            Command::Tx(tx) => (Some(&tx.input), None),
            Command::Rx(rx) => (None, Some(&rx.output)),
            Command::Loop(both) => (Some(&both.input), Some(&both.output)),
            Command::Ssh(pair) => match &pair.near {
                Near::Tx(tx) => (Some(&tx.input), None),
                Near::Rx(rx) => (None, Some(&rx.output)),
            },
        }
    }

    /// What the end in this process knows, as every end does.
    pub fn common(&self) -> &Common {
        match self {
            Command::Tx(tx) => &tx.common,
            Command::Rx(rx) => &rx.common,
            Command::Loop(both) => &both.common,
            Command::Ssh(pair) => pair.common(),
        }
    }

    /// What the connections of a transmitter here keep to.
    pub fn shaping(&self) -> Option<&Shaping> {
        match self {
            Command::Tx(tx) => Some(&tx.shaping),
            Command::Rx(_) => None,
            Command::Loop(both) => Some(&both.shaping),
            Command::Ssh(pair) => match &pair.near {
                Near::Tx(tx) => Some(&tx.shaping),
                Near::Rx(_) => None,
            },
        }
    }
}

impl Rendezvous {
    /// A rendezvous that dials, if the connections are not too many.
    pub fn dial(dests: Vec<Dest>, workers: Workers) -> Result<Rendezvous, Error> {
        let total: u32 = shares(&dests, workers.at_first()).into_iter().map(u32::from).sum();
        if total > MAX_TOTAL_WORKERS {
            let cause = format!("{total} connections, more than {MAX_TOTAL_WORKERS}");
            return Err(Error::usage("DEST", cause));
        }
        Ok(Rendezvous::Dial { dests, workers })
    }

    /// The links by name, in the order of their preference; none where this end listens.
    pub fn names(&self) -> Vec<String> {
        match self {
            Rendezvous::Dial { dests, .. } => dests.iter().map(Dest::to_string).collect(),
            Rendezvous::Listen(_) => Vec::new(),
        }
    }

    /// Connections over all DESTs together, at first; not known where this end listens.
    pub fn workers(&self) -> Option<u16> {
        match self {
            // `dial` has seen that they are few enough.
            Rendezvous::Dial { dests, workers } => {
                Some(shares(dests, workers.at_first()).into_iter().sum())
            }
            Rendezvous::Listen(_) => None,
        }
    }

    /// The most that there may be, see [`Workers::most`]; not known where this end listens.
    pub fn most_workers(&self, window_bytes: u64, foot_bytes: Option<u32>) -> Option<u16> {
        match self {
            Rendezvous::Dial { dests, workers } => {
                Some(workers.most(dests, window_bytes, foot_bytes))
            }
            Rendezvous::Listen(_) => None,
        }
    }

    /// Fewest feet that the window must hold, as far as this end can know.
    pub fn least_feet(&self) -> u64 {
        min_window_feet(self.workers().unwrap_or(1))
    }
}

/// How many connections each DEST gets: its own count, or else an equal part of `workers`, the
/// first DESTs taking the remainder, and at least one.
pub(crate) fn shares(dests: &[Dest], workers: u16) -> Vec<u16> {
    let sharing = dests.iter().filter(|dest| dest.workers.is_none()).count().max(1);
    let each = usize::from(workers) / sharing;
    let mut left_over = usize::from(workers) % sharing;
    let mut share = || {
        let extra = usize::from(left_over > 0);
        left_over -= extra;
        // No more than `workers`, or 1.
        u16::try_from(each + extra).unwrap_or(workers).max(1)
    };
    dests.iter().map(|dest| dest.workers.unwrap_or_else(&mut share)).collect()
}

/// The window in bytes, from what `--window` said: big enough for `least_feet` feet.
///
/// A window that was asked for must hold them at the foot size asked for. The default one need not,
/// since the ends settle for smaller feet; but they cannot go below the smallest.
pub fn window_bytes(asked: Option<u64>, least_feet: u64, foot_bytes: u32) -> Result<u64, Error> {
    let (window, foot_bytes) = match asked {
        Some(window) => (window, u64::from(foot_bytes)),
        None => (default_window_bytes(physical_memory_bytes()), u64::from(MIN_FOOT_BYTES)),
    };
    if window > MAX_WINDOW_BYTES {
        let cause = format!("more than {}", format_bytes(MAX_WINDOW_BYTES));
        return Err(Error::usage(format!("--window {}", format_bytes(window)), cause));
    }
    let least = least_feet * foot_bytes;
    if window >= least {
        return Ok(window);
    }
    let cause = format!(
        "{} is too small: {least_feet} feet of {} must fit, which is {}",
        format_bytes(window),
        format_bytes(foot_bytes),
        format_bytes(least)
    );
    // Nothing smaller than the smallest foot, and a foot size is a power of two.
    let smaller = (window / least_feet).checked_ilog2().map(|log| 1 << log);
    let hint = match smaller.filter(|&bytes: &u64| bytes >= u64::from(MIN_FOOT_BYTES)) {
        Some(foot) => {
            format!(
                "--foot-size {} or --window {} would do",
                format_bytes(foot),
                format_bytes(least)
            )
        }
        None => format!("--window {} would do", format_bytes(least)),
    };
    Err(Error::usage("--window", cause).with_hint(hint))
}

/// The default window on a machine with this much memory.
fn default_window_bytes(memory_bytes: Option<u64>) -> u64 {
    memory_bytes.map_or(DEFAULT_WINDOW_BYTES, |memory| DEFAULT_WINDOW_BYTES.min(memory / 8))
}

/// Memory of this machine, where the system tells it in a file.
fn physical_memory_bytes() -> Option<u64> {
    let table = fs::read_to_string("/proc/meminfo").ok()?;
    let line = table.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dests(texts: &[&str]) -> Vec<Dest> {
        texts.iter().map(|text| Dest::parse(text).expect("a DEST of this test")).collect()
    }

    #[test]
    fn workers_are_shared_out_and_each_dest_has_one_at_least() {
        assert_eq!(shares(&dests(&["a:1"]), 4), [4]);
        assert_eq!(shares(&dests(&["a:1", "b:1", "c:1"]), 4), [2, 1, 1]);
        assert_eq!(shares(&dests(&["a:1", "b:1", "c:1"]), 2), [1, 1, 1]);
        assert_eq!(shares(&dests(&["a:1,workers=7", "b:1", "c:1"]), 4), [7, 2, 2]);
        assert_eq!(shares(&dests(&["a:1,workers=7"]), 4), [7]);
    }

    #[test]
    fn connections_have_a_limit_over_all() {
        let many = dests(&["a:1,workers=256"; 5]);
        let workers = Workers::default();
        assert!(Rendezvous::dial(many[..4].to_vec(), workers).is_ok());
        assert_eq!(Rendezvous::dial(many, workers).expect_err("1280 in all").exit_code(), 2);
    }

    #[test]
    fn a_window_that_was_asked_for_holds_the_feet_asked_for() {
        assert_eq!(window_bytes(Some(12 << 20), 12, 1 << 20).expect("just fits"), 12 << 20);
        let error = window_bytes(Some((12 << 20) - 1), 12, 1 << 20).expect_err("one byte short");
        assert_eq!(error.hint(), Some("--foot-size 512KiB or --window 12MiB would do"));
        let error = window_bytes(Some(700 << 10), 12, 64 << 10).expect_err("no foot fits");
        assert_eq!(error.hint(), Some("--window 768KiB would do"));
        assert_eq!(window_bytes(Some(0), 6, 64 << 10).expect_err("nothing").exit_code(), 2);
    }

    #[test]
    fn a_window_is_no_larger_than_any_machine() {
        assert!(window_bytes(Some(MAX_WINDOW_BYTES), 12, 64 << 10).is_ok());
        let error = window_bytes(Some(MAX_WINDOW_BYTES + 1), 12, 64 << 10).expect_err("too large");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn the_default_window_only_has_to_hold_the_smallest_feet() {
        let window = window_bytes(None, min_window_feet(8), 16 << 20).expect("feet get smaller");
        assert!(window <= DEFAULT_WINDOW_BYTES);
    }

    #[test]
    fn a_small_machine_has_a_small_window() {
        assert_eq!(default_window_bytes(None), 256 << 20);
        assert_eq!(default_window_bytes(Some(64 << 30)), 256 << 20);
        assert_eq!(default_window_bytes(Some(1 << 30)), 128 << 20);
    }
}
