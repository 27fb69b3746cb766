//! `tx --ssh`: a stream from here to a program or a file there.

use super::LARGE;
use super::server::{Far, own_lines};
use crate::harness::End;
use crate::transfers::stream::Stream;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::ChildStdin;
use std::thread;

/// Sends so many bytes, on a thread of its own.
fn pour(mut stdin: ChildStdin, bytes: u64) {
    thread::spawn(move || io::copy(&mut Stream::new(1, bytes), &mut stdin));
}

fn is_stream(bytes: &[u8]) -> bool {
    let mut expected = Vec::new();
    let length = bytes.len() as u64;
    Stream::new(1, length).read_to_end(&mut expected).expect("it is made here");
    expected == bytes
}

#[test]
fn a_command_there_takes_the_stream() {
    let Some(far) = Far::start() else { return };
    for bytes in [0, 7, LARGE] {
        let copy = far.name("copy");
        let mut tx = far.end("tx", &["--", "sh", "-c", "cat >\"$1\"; echo done", "sh", &copy]);
        pour(tx.stdin.take().expect("a pipe"), bytes);
        assert_eq!(tx.code(), 0, "{}", tx.said());
        let there = fs::read(&copy).expect("it was written");
        assert!(there.len() as u64 == bytes && is_stream(&there));
        assert!(tx.said().lines().any(|line| line == "done"), "COMMAND's stdout: {}", tx.said());
        assert!(!tx.said().contains("ssh session"), "{}", tx.said());
        far.until_nothing_is_left();
    }
}

#[test]
fn a_file_there_is_written_whole_and_not_replaced() {
    let Some(far) = Far::start() else { return };
    let copy = far.name("a copy");
    let mut tx = far.end("tx --verify -z", &["--output", &copy]);
    pour(tx.stdin.take().expect("a pipe"), LARGE);
    assert_eq!(tx.code(), 0, "{}", tx.said());
    assert!(tx.said().contains("viamillipede: blake3 "), "{}", tx.said());
    assert!(is_stream(&fs::read(&copy).expect("it was written")));

    let mut tx = far.end("tx", &["--output", &copy]);
    tx.stdin.take().expect("a pipe").write_all(b"other").expect("there is room");
    assert_eq!(tx.code(), 1, "{}", tx.said());
    assert!(tx.said().contains("is there already"), "{}", tx.said());
    assert_eq!(own_lines(&tx.said()), 1, "{}", tx.said());

    let mut tx = far.end("tx --force", &["--output", &copy]);
    tx.stdin.take().expect("a pipe").write_all(b"other").expect("there is room");
    assert_eq!(tx.code(), 0, "{}", tx.said());
    assert_eq!(fs::read(&copy).expect("it was written"), b"other");
}

#[test]
fn arguments_arrive_byte_for_byte() {
    let Some(far) = Far::start() else { return };
    let copy = far.name("copy");
    let script = "printf '<%s>' \"$@\" >\"$0\"; cat >/dev/null";
    let awkward = ["a b", "", "-q", "--", "'\"$HOME`id`", "two\nlines", "\\", "*", "ü", "~", "!"];
    let mut command = far.command("tx -q", &["--", "sh", "-c", script, &copy]);
    command.args(awkward).arg(OsStr::from_bytes(b"\xff\xfe"));
    let mut tx = End::run(command);
    assert_eq!(tx.code(), 0, "{}", tx.said());
    let expected: String = awkward.iter().map(|it| format!("<{it}>")).collect();
    let expected = [expected.as_bytes(), b"<\xff\xfe>"].concat();
    assert_eq!(fs::read(&copy).expect("it was written"), expected);
}

#[test]
fn a_command_that_fails_there_fails_here() {
    let Some(far) = Far::start() else { return };
    let stories = [
        ("exit 3", LARGE, "sh: exit status 3"),
        ("cat >/dev/null; echo ouch >&2; exit 5", 7, "sh: exit status 5"),
        ("head -c 5 >/dev/null", LARGE, "sh: left input unread"),
    ];
    for (script, bytes, words) in stories {
        let mut tx = far.end("tx -q", &["--", "sh", "-c", script]);
        pour(tx.stdin.take().expect("a pipe"), bytes);
        assert_eq!(tx.code(), 6, "{}", tx.said());
        assert!(tx.said().contains(words), "{}", tx.said());
        assert_eq!(tx.said().contains("ouch\n"), script.contains("ouch"), "{}", tx.said());
        let ours = own_lines(&tx.said());
        assert_eq!(ours, 1, "{}", tx.said());
        far.until_nothing_is_left();
    }
    let mut tx = far.end("tx -q", &["--", "/nowhere/at/all"]);
    assert_eq!(tx.code(), 6, "{}", tx.said());
    assert!(tx.said().contains("/nowhere/at/all: could not be started"), "{}", tx.said());
}
