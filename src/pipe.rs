//! What pipes need: room.
//!
//! Does not know which end of a pipe it is given.

use std::os::fd::AsFd;

/// Room of a pipe at either end of the program. A pipe's own 64 KiB make it the narrowest place of
/// the whole way: a third of the speed.
const PIPE_BYTES: i32 = 1 << 20;

/// Gives a pipe more room, if it is one and the system lets us; nothing depends on it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn widen(file: impl AsFd) {
    use nix::fcntl::{FcntlArg, fcntl};
    let _ = fcntl(file, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
}

/// Elsewhere pipes grow by themselves.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn widen(_: impl AsFd) {
    let _ = PIPE_BYTES;
}
