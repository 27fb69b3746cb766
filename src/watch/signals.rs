//! Signals: those that end the process, and those that ask how it stands.
//!
//! They arrive on a thread of their own, so they work while stdin, stdout or stderr block. Does not
//! know how a run is ended, only that it should be; when that takes too long, the process ends
//! here.

use super::say::Say;
use crate::error::Error;
use crate::ignored::is_ignored;
use crossbeam_channel::after;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGXCPU, SIGXFSZ};
use signal_hook::iterator::Signals;
use std::process;
use std::thread::Builder;
use std::time::Duration;

/// How long a run may take to end by itself after a signal: a little longer than its farewell to an
/// other end that does not answer.
const GRACE: Duration = Duration::from_millis(1000);
/// How long the last line may take when the run has not ended by itself.
const LAST_WORD: Duration = Duration::from_millis(100);

/// Signals that ask how it stands: where terminals send SIGINFO (Ctrl-T), that too. It has this
/// number on every system that has it.
const ASKING: &[i32] = if cfg!(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "netbsd",
    target_os = "openbsd"
)) {
    &[SIGUSR1, 29]
} else {
    &[SIGUSR1]
};

/// Takes the signals over. `on_ask` is called for each that asks how it stands, `on_end` for the
/// first that ends the process.
pub(super) fn listen(
    say: Say,
    on_ask: impl Fn() + Send + 'static,
    on_end: impl FnOnce(i32) + Send + 'static,
) -> Result<(), Error> {
    let mut wanted = vec![SIGINT, SIGTERM];
    // `nohup` has it ignored, and means it.
    wanted.extend((!is_ignored(SIGHUP)).then_some(SIGHUP));
    // Ctrl-\: it would leave what is begun behind, and the other end waiting.
    wanted.extend((!is_ignored(SIGQUIT)).then_some(SIGQUIT));
    // `ulimit -t`: the same.
    wanted.extend((!is_ignored(SIGXCPU)).then_some(SIGXCPU));
    // By itself it would end us without a word; who hears it is told at the write that there is no room.
    wanted.extend((!is_ignored(SIGXFSZ)).then_some(SIGXFSZ));
    wanted.extend(ASKING);
    let signals = Signals::new(wanted).map_err(|error| Error::io("signals", error))?;
    let spawned =
        Builder::new().name("signals".into()).spawn(move || take(signals, &say, &on_ask, on_end));
    spawned.map(drop).map_err(|error| Error::io("a thread", error))
}

fn take(mut signals: Signals, say: &Say, on_ask: &dyn Fn(), on_end: impl FnOnce(i32)) {
    let mut on_end = Some(on_end);
    for signal in signals.forever() {
        if ASKING.contains(&signal) {
            on_ask();
            continue;
        }
        if signal == SIGXFSZ {
            continue;
        }
        // The first has set a limit already, and whoever sends one often sends two: `timeout` tells the
        // process and its group, and an end in haste would leave behind what the first clears away.
        if let Some(on_end) = on_end.take() {
            // First the limit, then the request: so it holds whatever the request does.
            end_after_grace(signal, say.clone());
            on_end(signal);
        }
    }
}

/// Ends the process if it is still there after the grace.
fn end_after_grace(signal: i32, say: Say) {
    let limit = move || {
        // A channel that gets one message, when the grace is over.
        let _ = after(GRACE).recv();
        if let Some(code) = say.settled() {
            // It has ended by itself, and says so; where nobody takes that, it is enough now.
            let _ = after(GRACE).recv();
            process::exit(code.into());
        }
        say.always(&Error::Signal(signal).report());
        say.flush(LAST_WORD);
        process::exit(exit_code(signal));
    };
    if Builder::new().name("grace".into()).spawn(limit).is_err() {
        process::exit(exit_code(signal));
    }
}

fn exit_code(signal: i32) -> i32 {
    Error::Signal(signal).exit_code().into()
}
