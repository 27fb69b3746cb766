//! What can go wrong, as the caller sees it: one line, perhaps one hint, and an exit code.
//!
//! Knows the table of exit codes and which of several errors is told. Does not know who prints, nor
//! how an error came about: whoever makes one names the thing it happened to.

use nix::sys::signal::Signal;
use std::io::{self, ErrorKind};
use std::path::Path;
use thiserror::Error;

/// The reason why a run ended without success.
#[derive(Debug, Error)]
pub enum Error {
    /// Input, output or a limit of this machine.
    #[error("{what}: {}", plain(source))]
    Io {
        /// The thing that failed, as the user would name it.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The command line cannot be meant.
    #[error("{what}: {cause}")]
    Usage {
        /// The argument at fault.
        what: String,
        /// Why it cannot be.
        cause: String,
        /// What would do instead.
        hint: Option<String>,
    },
    /// One end does not want the other: version, name, key.
    #[error("{what}: {cause}")]
    Refused {
        /// Who refused whom.
        what: String,
        /// Why.
        cause: String,
        /// What would do instead.
        hint: Option<String>,
    },
    /// The other end could not be started.
    #[error("{what}: {cause}")]
    Unstarted {
        /// The machine where it should be.
        what: String,
        /// Why it is not.
        cause: String,
        /// What would do instead.
        hint: String,
    },
    /// Silence, interruption or restart of the other end.
    #[error("{what}: {cause}")]
    PeerLost {
        /// Which end or way.
        what: String,
        /// How it was lost.
        cause: String,
    },
    /// The sender had sent all, and never heard whether it was taken.
    #[error("outcome unknown: the connection was lost after the whole stream had been sent")]
    OutcomeUnknown,
    /// A check failed again and again, or the digests of the stream differ.
    #[error("{what}: {cause}")]
    Corrupt {
        /// The foot or the stream.
        what: String,
        /// Which check.
        cause: String,
    },
    /// A program we started failed.
    #[error("{what}: {cause}")]
    Command {
        /// The program.
        what: String,
        /// Its own status, or why it did not start.
        cause: String,
    },
    /// The other end served another session all the time.
    #[error("{what}: busy with another session")]
    Busy {
        /// The other end.
        what: String,
    },
    /// The other end told us why it failed.
    #[error("the other end failed: {reason}")]
    Peer {
        /// The exit code that it ended with.
        code: u8,
        /// Its own words, not to be trusted on a terminal as they are.
        reason: String,
    },
    /// A signal asked us to end.
    #[error("ended by signal: {}", signal_name(*.0))]
    Signal(i32),
}

impl Error {
    /// An error of the system, met at `what`.
    pub fn io(what: impl Into<String>, source: io::Error) -> Error {
        Error::Io { what: what.into(), source }
    }

    /// An error of the system, met where this new file was to be made, which `option` names (none: "").
    ///
    /// Where its folder is missing the system says no more than that there is no such file, as if it had to be
    /// there.
    pub fn making(option: &str, path: &Path, source: io::Error) -> Error {
        let is_lost = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let (what, source) = match path.parent().filter(is_lost) {
            Some(folder) if source.kind() == ErrorKind::NotFound => {
                (folder, io::Error::new(ErrorKind::NotFound, "no such folder"))
            }
            _ => (path, source),
        };
        Error::io(format!("{option} {}", what.display()).trim_start(), source)
    }

    /// A usage error without a hint.
    pub fn usage(what: impl Into<String>, cause: impl Into<String>) -> Error {
        Error::Usage { what: what.into(), cause: cause.into(), hint: None }
    }

    /// The same usage error or refusal with a hint; any other error as it is.
    pub fn with_hint(mut self, text: impl Into<String>) -> Error {
        if let Error::Usage { hint, .. } | Error::Refused { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }

    /// The exit code of a process that ends with this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Io { .. } | Error::Unstarted { .. } => 1,
            Error::Usage { .. } => 2,
            Error::Refused { .. } => 3,
            Error::PeerLost { .. } | Error::OutcomeUnknown => 4,
            Error::Corrupt { .. } => 5,
            Error::Command { .. } => 6,
            Error::Busy { .. } => 7,
            // Only these are news from the other end; that it was interrupted or misused is a loss.
            Error::Peer { code: code @ (1 | 3 | 5 | 6), .. } => *code,
            Error::Peer { .. } => 4,
            Error::Signal(signal) => 128 + (*signal & 0x7f) as u8,
        }
    }

    /// How much this error explains: of several, the one of greatest gravity is told.
    ///
    /// One failure makes others (a full disk ends the connections), so causes outrank consequences,
    /// and what we know ourselves outranks the same thing heard from the other end.
    pub(crate) fn gravity(&self) -> u8 {
        let rank = match self.exit_code() {
            4 => 1,
            7 => 2,
            3 => 3,
            1 => 4,
            6 => 5,
            5 => 6,
            2 => 7,
            _ => 8,
        };
        2 * rank + u8::from(!matches!(self, Error::Peer { .. } | Error::OutcomeUnknown))
    }

    /// The graver of the two; this one when they are equal.
    pub(crate) fn or_graver(self, other: Error) -> Error {
        if other.gravity() > self.gravity() { other } else { self }
    }

    /// What the other end is told, if it is to be told anything: our exit code, and why.
    pub(crate) fn farewell(&self) -> Option<(u8, String)> {
        match self {
            // It knows, or nobody hears us.
            Error::Peer { .. } | Error::OutcomeUnknown => None,
            error => Some((error.exit_code(), error.to_string())),
        }
    }

    /// Whether the other end ends with the same code, so that it must hear of it if that is possible at all.
    pub(crate) fn is_to_be_heard(&self) -> bool {
        matches!(self.exit_code(), 1 | 3 | 5 | 6)
    }

    /// What the user could do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::Usage { hint, .. } | Error::Refused { hint, .. } => hint.as_deref(),
            Error::Unstarted { hint, .. } => Some(hint),
            Error::OutcomeUnknown => {
                Some("the receiver knows: look at what it has written, or at its own exit code")
            }
            _ => None,
        }
    }

    /// All that is printed: one line, and at most one `hint:` line, without a line end.
    pub fn report(&self) -> String {
        let mut report = format!("viamillipede: {}", one_line(&self.to_string()));
        if let Some(hint) = self.hint() {
            report.push_str("\nhint: ");
            report.push_str(&one_line(hint));
        }
        report
    }
}

/// What the system says, without its number: the text says it.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let number = error.raw_os_error().map(|number| format!(" (os error {number})"));
    number.and_then(|number| text.strip_suffix(&number)).unwrap_or(&text).to_owned()
}

/// The text on one line and harmless on a terminal, wherever it came from.
pub fn one_line(text: &str) -> String {
    let harmless = |c: char| match c {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
        // Marks that turn the direction of what follows could make a line read as another.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '?',
        c if c.is_control() => '?',
        c => c,
    };
    text.trim().chars().map(harmless).collect()
}

fn signal_name(signal: i32) -> String {
    Signal::try_from(signal).map_or_else(|_| signal.to_string(), |known| known.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(code: u8) -> Error {
        Error::Peer { code, reason: "disk full".into() }
    }

    #[test]
    fn what_the_other_end_says_keeps_its_code_only_where_the_table_says_so() {
        let codes = [0, 1, 2, 3, 4, 5, 6, 7, 130].map(|code| peer(code).exit_code());
        assert_eq!(codes, [4, 1, 4, 3, 4, 5, 6, 4, 4]);
    }

    #[test]
    fn a_cause_outranks_its_consequences() {
        let full = || Error::io("stdout", ErrorKind::StorageFull.into());
        let lost = || Error::PeerLost { what: "h:1".into(), cause: "reset".into() };
        assert_eq!(lost().or_graver(full()).exit_code(), 1);
        assert_eq!(full().or_graver(lost()).exit_code(), 1);
        assert_eq!(full().or_graver(Error::Signal(15)).exit_code(), 143);
        assert!(matches!(peer(1).or_graver(full()), Error::Io { .. }));
        assert!(matches!(lost().or_graver(peer(1)), Error::Peer { .. }));
        assert!(matches!(Error::OutcomeUnknown.or_graver(lost()), Error::PeerLost { .. }));
    }

    #[test]
    fn a_report_is_one_line_and_one_hint_whatever_is_in_it() {
        let error =
            Error::Peer { code: 1, reason: "a\nviamillipede: b\x1b[2J\u{202e}c\r\n".into() };
        let report = error.report();
        assert_eq!(report, "viamillipede: the other end failed: a viamillipede: b?[2J?c");
        let hinted = Error::usage("--x", "no").with_hint("one\ntwo").report();
        assert_eq!(hinted, "viamillipede: --x: no\nhint: one two");
    }

    #[test]
    fn a_signal_is_named() {
        assert_eq!(Error::Signal(2).report(), "viamillipede: ended by signal: SIGINT");
        assert_eq!(Error::Signal(2).exit_code(), 130);
    }
}
