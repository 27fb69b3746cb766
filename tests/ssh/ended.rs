//! However the near end ends, nothing goes on there.

use super::server::Far;
use crate::harness::End;
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
