//! Signals that whoever started us wants ignored, as `nohup` does.
//!
//! Does not know what the signals are for.

use signal_hook::consts::SIGCHLD;
use std::fs;
use std::io;
use std::sync::Arc;

/// Whether this signal is ignored, where the system tells that in a file.
pub(crate) fn is_ignored(signal: i32) -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| is_ignored_in(&status, signal))
}

/// Has the ends of our children told to us also where they are ignored: the system would tell nobody then.
pub(crate) fn heed_children() -> io::Result<()> {
    signal_hook::flag::register(SIGCHLD, Arc::default()).map(drop)
}

fn is_ignored_in(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use signal_hook::consts::{SIGHUP, SIGINT};

    #[test]
    fn an_ignored_signal_is_read_from_the_mask() {
        let nohup = "Name:\tx\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        assert!(is_ignored_in(nohup, SIGHUP));
        assert!(!is_ignored_in(nohup, SIGINT));
        assert!(!is_ignored_in("Name:\tx\n", SIGHUP));
        assert!(!is_ignored_in("SigIgn:\tnonsense\n", SIGHUP));
    }
}
