//! One end, ssh and the direct connections that do not end together.

use super::server::Far;
use crate::harness::{End, viamillipede};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::Write;

/// How often is tried what a busy machine may spoil.
const TRIES: u32 = 20;

/// A push to COMMAND over a direct connection, once COMMAND has taken the start of the stream. Who starts the far end
/// there outlives it, and then does `last`.
fn pushed(far: &Far, last: &str, command: &str) -> End {
    let starter = far.name("starter");
    fs::write(&starter, format!("{} \"$@\"\n{last}\n", far.name("viamillipede"))).expect("a file");
    let command = ["--", "sh", "-c", command, "sh", &far.name("copy")];
    let line = "tx -q --patience 20 --direct always";
    let mut tx = End::run(far.command_through(line, "far", &format!("sh {starter}"), &command));
    tx.stdin.as_mut().expect("a pipe").write_all(b"some").expect("there is room");
    tx
}

fn kill_far_end(far: &Far) {
    kill(Pid::from_raw(far.until_there_is_one()), Signal::SIGKILL).expect("it runs");
}

#[test]
fn why_the_far_end_failed_is_heard_through_ssh_too() {
    let Some(far) = Far::start() else { return };
    let last = "printf '\\0\\0\\0\\0\\006\\0\\0\\0\\002\\006ouch'; exit 6";
    let mut tx = pushed(&far, last, "cat >\"$1\"");
    let _stdin = tx.stdin.take();
    far.until_there_is_in("copy", b"some");
    // Nothing but the word through ssh is left.
    kill_far_end(&far);
    assert_eq!(tx.code(), 6, "{}", tx.said());
    assert!(tx.said().ends_with("viamillipede: the other end failed: ouch\n"), "{}", tx.said());
    far.until_nothing_is_left();
}

#[test]
fn a_far_end_that_has_ended_is_not_waited_for() {
    let Some(far) = Far::start() else { return };
    let mut tx = pushed(&far, "exit $?", "cat >\"$1\"");
    let _stdin = tx.stdin.take();
    far.until_there_is_in("copy", b"some");
    kill_far_end(&far);
    assert_eq!(tx.code(), 4, "{}", tx.said());
    let words = "viamillipede: far: the far end has ended: exit status 137\n";
    assert!(tx.said().ends_with(words), "{}", tx.said());
    far.until_nothing_is_left();
}

#[test]
fn a_far_end_that_has_ended_may_have_delivered_what_was_sent() {
    let Some(far) = Far::start() else { return };
    let mut tx = pushed(&far, "exit $?", "cat >\"$1\"; echo ' and all' >>\"$1\"; exec sleep 3000");
    drop(tx.stdin.take());
    // COMMAND sees the end of the stream only when all has come.
    far.until_there_is_in("copy", b"some and all\n");
    kill_far_end(&far);
    assert_eq!(tx.code(), 4, "{}", tx.said());
    assert!(tx.said().contains("viamillipede: outcome unknown: "), "{}", tx.said());
    assert!(!tx.said().contains("no progress"), "{}", tx.said());
    far.until_nothing_is_left();
}

/// The terminal gives Ctrl-C to ssh too.
#[test]
fn a_signal_right_behind_the_end_of_ssh_is_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("ssh");
    // It is there until somebody has waited for it.
    let behind = "while kill -0 $$ 2>/dev/null; do :; done; kill -INT $PPID";
    fs::write(&script, format!("({behind}) >/dev/null 2>&1 &\nexit 255\n")).expect("a file");
    let interrupted = || {
        let mut command = viamillipede("tx -q --ssh far -e");
        command.args([&format!("sh {}", script.display()), "--", "cat"]);
        let mut tx = End::run(command);
        let _stdin = tx.stdin.take();
        tx.code() == 130
    };
    assert!((0..TRIES).any(|_| interrupted()), "each time ssh was blamed");
}

#[test]
fn a_stranger_at_the_direct_address_gets_nothing() {
    let stranger = End::start("rx --plain 127.0.0.1:0");
    let port = stranger.ready().port();
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("ssh");
    let [low, high] = port.to_le_bytes();
    let waits = format!("\\0\\0\\0\\0\\014\\0\\0\\0\\001\\{low:03o}\\{high:03o}127.0.0.1");
    let far = format!("printf 'viamillipede-remote 2 0.1.0\\n{waits}'; cat >/dev/null\n");
    fs::write(&script, far).expect("a file");
    let mut command = viamillipede("tx -q --plain --direct always --ssh far -e");
    command.args([&format!("sh {}", script.display()), "--", "cat"]);
    let mut tx = End::run(command);
    tx.stdin.as_mut().expect("a pipe").write_all(b"secret").expect("there is room");
    assert_eq!(tx.code(), 3, "{}", tx.said());
}
