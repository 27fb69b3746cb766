//! However the near end ends, nothing goes on there.

use super::server::Far;
use crate::harness::{End, viamillipede};
use nix::sys::signal::Signal;
use std::io::{Read, Write};

/// What a program starts that notices nothing of an end.
const ASIDE: &str = "sleep 3000 >/dev/null 2>&1 &";

/// A push whose COMMAND runs and waits for more.
fn pushing(far: &Far, line: &str) -> End {
    let script = format!("{ASIDE} cat && touch \"$1\"");
    let mut tx = far.end(line, &["--", "sh", "-c", &script, "sh", &far.name("mark")]);
    tx.stdin.as_mut().expect("a pipe").write_all(b"some").expect("there is room");
    far.until_there_is("cat && touch");
    far.until_there_is("sleep 3000 ");
    tx
}

/// A pull whose source writes without end.
fn pulling(far: &Far, line: &str) -> End {
    let mut rx = far.end(line, &["--source", &format!("{ASIDE} cat /dev/zero")]);
    rx.stdout.as_mut().expect("a pipe").read_exact(&mut [0; 1000]).expect("it comes");
    rx
}

#[test]
fn a_signal_here_ends_what_is_there() {
    let Some(far) = Far::start() else { return };
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        for line in ["-q", "-q --direct never"] {
            for mut end in
                [pushing(&far, &format!("tx {line}")), pulling(&far, &format!("rx {line}"))]
            {
                // An end of it would be another reason to end.
                let _stdin = end.stdin.take();
                end.signal(signal);
                assert_eq!(end.code(), code, "{}", end.said());
            }
            far.until_nothing_is_left();
        }
    }
    assert!(!far.at("mark").exists(), "a part was taken for the whole");
}

#[test]
fn a_kill_here_ends_what_is_there() {
    let Some(far) = Far::start() else { return };
    for line in ["-q", "-q --direct never"] {
        let mut ends = [pushing(&far, &format!("tx {line}")), pulling(&far, &format!("rx {line}"))];
        for end in &mut ends {
            end.signal(Signal::SIGKILL);
        }
        far.until_nothing_is_left();
    }
    assert!(!far.at("mark").exists(), "a part was taken for the whole");
}

#[test]
fn a_kill_before_the_session_ends_what_is_there() {
    // Nobody ever connects directly: it only waits.
    let Some(far) = Far::start() else { return };
    let mut rx = far.end("rx -q --direct always 192.0.2.1:0 --source", &["echo x"]);
    far.until_there_is("remote --stdio");
    rx.signal(Signal::SIGKILL);
    far.until_nothing_is_left();
}

#[test]
fn a_file_that_was_begun_here_does_not_stay_where_no_stream_ever_comes() {
    let Some(far) = Far::start() else { return };
    let copy = far.name("copy");
    let leaves_nothing = |mut rx: End, code| {
        assert_eq!(rx.code(), code, "{}", rx.said());
        assert!(!far.at("copy.part").exists(), "{}", rx.said());
    };
    let rest = ["--output", &copy, "--input", "/nowhere/at/all"];
    leaves_nothing(far.end("rx -q", &rest), 1);
    leaves_nothing(End::run(far.command_through("rx -q", "far", "/nowhere", &rest)), 1);
    let mut hanging = viamillipede("rx -q --ssh far -e");
    hanging.arg("sh -c 'echo up >&2; exec sleep 300'").args(rest);
    let mut rx = End::run(hanging);
    rx.hears(|said| said.contains("up").then_some(()));
    rx.signal(Signal::SIGTERM);
    leaves_nothing(rx, 143);
}
