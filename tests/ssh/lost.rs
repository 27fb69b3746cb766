//! A far end that is not there, or not the right one; an ssh that ends too soon.

use super::LARGE;
use super::server::Far;
use crate::harness::End;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// What an end says whose far end should be this program there.
fn told(far: &Far, program: &str) -> (i32, String) {
    let mut tx = End::run(far.command_through("tx", "far", program, &["--", "cat"]));
    (tx.code(), tx.said())
}

#[test]
fn a_program_that_is_missing_there_is_told_with_a_hint() {
    let Some(far) = Far::start() else { return };
    let (code, said) = told(&far, "/nowhere/viamillipede");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("viamillipede: far: cannot run /nowhere/viamillipede there\n"), "{said}");
    assert!(said.ends_with("hint: say where it is with --remote-path PROGRAM\n"), "{said}");
    let (code, said) = told(&far, "true");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("far: true there does not answer as viamillipede"), "{said}");
}

/// As whoever started us may want it, who thereby leaves nobody to be told how they ended.
#[test]
fn a_program_that_is_missing_there_is_told_where_ends_of_children_are_ignored() {
    let Some(far) = Far::start() else { return };
    let program = far.name("nothing");
    let inner = far.command_through("tx -q", "far", &program, &["--", "cat"]);
    let mut command = Command::new("env");
    command.arg("--ignore-signal=CHLD").arg(inner.get_program()).args(inner.get_args());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tx = End::run(command);
    assert_eq!(tx.code(), 1, "{}", tx.said());
    assert!(tx.said().contains(&format!("far: cannot run {program} there\n")), "{}", tx.said());
}

#[test]
fn another_version_there_is_refused() {
    let Some(far) = Far::start() else { return };
    let (code, said) = told(&far, "echo viamillipede-remote 99 9.9.9; cat >/dev/null; :");
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("viamillipede 9.9.9 there speaks version 99"), "{said}");
    far.until_nothing_is_left();
}

#[test]
fn nonsense_in_the_place_of_an_answer_is_told_as_such() {
    let Some(far) = Far::start() else { return };
    for nonsense in ["head -c 100000 /dev/zero", "yes"] {
        let program = format!("echo viamillipede-remote 2 0.1.0; {nonsense}; cat >/dev/null; :");
        let (code, said) = told(&far, &program);
        assert_eq!(code, 4, "{said}");
        let words = "viamillipede: far: something else than viamillipede answers there\n";
        assert!(said.ends_with(words), "{said}");
    }
    far.until_nothing_is_left();
}

#[test]
fn an_ssh_that_cannot_connect_is_a_lost_peer() {
    let Some(far) = Far::start() else { return };
    let program = far.name("viamillipede");
    let mut tx = End::run(far.command_through("tx", "nobody@127.0.0.1", &program, &["--", "cat"]));
    assert_eq!(tx.code(), 4, "{}", tx.said());
    assert!(tx.said().contains("ssh to nobody@127.0.0.1: exit status 255"), "{}", tx.said());
    let mut missing = far.command("tx", &["--", "cat"]);
    missing.env("PATH", "/nowhere");
    let mut tx = End::run(missing);
    assert_eq!(tx.code(), 1, "{}", tx.said());
    assert!(tx.said().contains("sh: No such file"), "{}", tx.said());
}

#[test]
fn a_direct_session_outlives_ssh() {
    let Some(far) = Far::start() else { return };
    let copy = far.name("copy");
    // What it says once nobody hears it any more is no reason to fail.
    let script = "cat >\"$1\"; echo done; echo done >&2";
    let mut tx = far.end("tx -q --patience 20", &["--", "sh", "-c", script, "sh", &copy]);
    let mut stdin = tx.stdin.take().expect("a pipe");
    stdin.write_all(b"before, ").expect("there is room");
    // Both ends know then that there is a direct connection.
    far.until_there_is_in("copy", b"before, ");
    kill(Pid::from_raw(far.ssh_pid()), Signal::SIGKILL).expect("it runs");
    far.until_sshd_is_alone();
    stdin.write_all(b"after").expect("there is room");
    drop(stdin);
    assert_eq!((tx.code(), tx.said()), (0, String::new()));
    assert_eq!(std::fs::read(copy).expect("it was written"), b"before, after");
    far.until_nothing_is_left();
}

#[test]
fn a_direct_pull_outlives_ssh() {
    let Some(far) = Far::start() else { return };
    let source = format!("head -c {} /dev/zero; echo done >&2", 4 * LARGE);
    let mut rx = far.end("rx -q --patience 20 --window 16MiB", &["--source", &source]);
    let mut stdout = rx.stdout.take().expect("a pipe");
    // Nobody reads more yet, and most of it has no room anywhere.
    let mut bytes = vec![1; 1000];
    stdout.read_exact(&mut bytes).expect("it comes");
    kill(Pid::from_raw(far.ssh_pid()), Signal::SIGKILL).expect("it runs");
    far.until_sshd_is_alone();
    stdout.read_to_end(&mut bytes).expect("a pipe can be read");
    assert_eq!((rx.code(), rx.said()), (0, String::new()));
    assert!(bytes.len() as u64 == 4 * LARGE && bytes.iter().all(|byte| *byte == 0));
    far.until_nothing_is_left();
}

#[test]
fn a_session_through_ssh_ends_with_it() {
    let Some(far) = Far::start() else { return };
    let mark = far.name("mark");
    let script = "cat && touch \"$1\"";
    let mut tx = far.end("tx -q --direct never", &["--", "sh", "-c", script, "sh", &mark]);
    let mut stdin = tx.stdin.take().expect("a pipe");
    stdin.write_all(b"some").expect("there is room");
    far.until_there_is("cat && touch");
    kill(Pid::from_raw(far.ssh_pid()), Signal::SIGKILL).expect("it runs");
    assert_eq!(tx.code(), 4, "{}", tx.said());
    assert!(tx.said().contains("viamillipede: ssh to far: signal: 9"), "{}", tx.said());
    far.until_nothing_is_left();
    assert!(!far.at("mark").exists(), "a part was taken for the whole");
}

/// What the far end answers to this, without any ssh: its exit code, and what it said on stderr.
fn answered(order: &[u8]) -> (i32, String) {
    let mut end = End::start("remote --stdio");
    end.stdin.take().expect("a pipe").write_all(order).expect("there is room");
    let mut said = Vec::new();
    end.stdout.take().expect("a pipe").read_to_end(&mut said).expect("a pipe can be read");
    assert!(said.starts_with(b"viamillipede-remote 2 "), "{said:?}");
    (end.code(), end.said())
}

#[test]
fn a_far_end_that_hears_nonsense_ends_at_once() {
    let huge = [&[0; 4][..], &[0xff; 4]].concat();
    for order in [&b""[..], b"\0\0", b"GET / HTTP/1.0\r\n\r\n", &huge] {
        let (code, said) = answered(order);
        assert_eq!(code, 4, "{said}");
        assert!(said.starts_with("viamillipede: the near end: "), "{said}");
    }
    // An order it is, but none that could be carried out: the near end is told.
    let (code, said) = answered(&[&[0, 0, 0, 0, 5, 0, 0, 0][..], b"hello"].concat());
    assert_eq!((code, said), (5, String::new()));
}
