//! `--source` and `--input`: the end of what a program writes counts only when it has gone well.

use super::process::{End, PROGRAM, Pair};
use super::relay::Relay;
use super::{LONG, at_once};
use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

/// How a stream from this source ends: what came out, and the code and words of both ends.
fn carried(source: &str) -> (String, i32, String) {
    let mut pair = Pair::with(&[], &[&format!("--source={source}")]);
    let mut out = String::new();
    pair.rx.stdout().read_to_string(&mut out).expect("text");
    let (tx, rx) = pair.ended(LONG);
    assert_eq!(tx.code, rx.code, "{tx:?} {rx:?}");
    (out, tx.code, tx.said)
}

#[test]
fn a_source_that_succeeds_is_delivered() {
    let stories = [
        ("printf 'a b\\n'; printf c", "a b\nc"),
        ("-x 2>/dev/null; printf fine", "fine"),
        ("true", ""),
        // Its stdin is empty.
        ("cat; printf x", "x"),
        // It closes its stdout and runs on.
        ("printf x; exec >&-; sleep 1", "x"),
        // It ends, and somebody else still writes.
        ("{ sleep 1; printf late; } & printf 'early '", "early late"),
        // It ends, and something has its stderr, but not its stdout: that ends with the session.
        ("sleep 3000 >/dev/null & printf x", "x"),
    ];
    at_once(
        stories
            .into_iter()
            .map(|(source, expected)| -> Box<dyn FnOnce() + Send> {
                Box::new(move || assert_eq!(carried(source), (expected.into(), 0, String::new())))
            })
            .collect(),
    );
}

#[test]
fn a_source_that_fails_fails_both_ends_with_its_status() {
    let stories = [
        ("exit 3", "exit status 3"),
        ("printf x; exit 3", "exit status 3"),
        ("printf x; kill -TERM $$", "killed by SIGTERM"),
        ("printf x; exec >&-; sleep 1; exit 4", "exit status 4"),
        ("/nowhere/at/all 2>/dev/null", "exit status 127"),
        // Whoever still writes is ended.
        ("sleep 300 & exit 3", "exit status 3"),
    ];
    at_once(
        stories
            .into_iter()
            .map(|(source, words)| -> Box<dyn FnOnce() + Send> {
                Box::new(move || {
                    let mut pair = Pair::with(&[], &["--source", source]);
                    let (tx, rx) = pair.ended(LONG);
                    tx.failed(6, &format!("--source: {words}"));
                    rx.failed(6, &format!("--source: {words}"));
                })
            })
            .collect(),
    );
}

/// What the kernel holds of the stream takes seconds, and what is said behind it is heard all the same.
#[test]
fn a_source_that_fails_fails_both_ends_over_a_slow_way_too() {
    let mut rx = End::with("rx 127.0.0.1:0", ["--patience", "60"]);
    let relay = Relay::start(rx.port());
    relay.throttle(300_000);
    let source = "head -c 50000000 /dev/zero; exit 3";
    let line = format!("tx 127.0.0.1:{} --patience 60", relay.port);
    let mut tx = End::with(&line, ["--source", source]);
    let _drain = rx.drain();
    tx.ended(60).expect("it ends").failed(6, "--source: exit status 3");
    rx.ended(0).expect("it is told").failed(6, "--source: exit status 3");
}

#[test]
fn a_source_is_started_when_the_ends_have_met() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let mark = folder.path().join("MARK");
    let source = format!("touch '{}'; printf x", mark.display());
    let mut tx = End::with("tx --listen 127.0.0.1:0", ["--source", &source]);
    let port = tx.port();
    assert!(!mark.exists());
    let rx = End::start(&format!("rx --connect 127.0.0.1:{port}"));
    let (tx, rx) = Pair { tx, rx, port }.ended(LONG);
    tx.delivered();
    rx.delivered();
    assert!(mark.exists());
}

#[test]
fn a_source_that_cannot_be_started_is_told() {
    let mut command = Command::new(PROGRAM);
    command.args(["loop", "-q", "--source", "true"]).env("PATH", "/nowhere");
    let mut end = End::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()));
    end.ended(0).expect("at once").failed(6, "--source: could not be started: No such file");
}

#[test]
fn a_source_does_not_know_the_key() {
    let mut command = Command::new(PROGRAM);
    command.args(["loop", "-q", "--source", "printf \"<$VIAMILLIPEDE_KEY>\""]);
    command.env("VIAMILLIPEDE_KEY", "secret");
    let mut end = End::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()));
    let mut out = String::new();
    end.stdout().read_to_string(&mut out).expect("text");
    end.ended(LONG).expect("it ends").delivered();
    assert_eq!(out, "<>");
}

#[test]
fn a_pipeline_fails_with_any_part_where_the_shell_knows_how() {
    let bash = fs::canonicalize("/bin/bash");
    let Ok(bash) = bash else { return };
    let folder = tempfile::tempdir().expect("a folder for files");
    symlink(bash, folder.path().join("sh")).expect("a link");
    let mut end = with_shell(folder.path(), &["-q", "--source", "(exit 3) | cat"]);
    end.ended(LONG).expect("it ends").failed(6, "--source: exit status 3");
}

#[test]
fn where_the_shell_does_not_know_how_that_is_said_of_pipelines() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let shell = folder.path().join("sh");
    fs::write(&shell, "#!/bin/sh\n[ \"$1\" != -o ] && exec /bin/sh \"$@\"\n").expect("room for it");
    fs::set_permissions(&shell, Permissions::from_mode(0o755)).expect("it is ours");
    let said = |options: &[&str]| {
        let ended = with_shell(folder.path(), options).ended(LONG).expect("it ends");
        assert_eq!(ended.code, 0, "{}", ended.said);
        ended.said
    };
    let words = "--source: this sh has no pipefail";
    assert_eq!(said(&["--source", "(exit 3) | cat"]).matches(words).count(), 1);
    for options in [
        &["--source", "false || true"][..],
        &["--source", "echo 'a | b' \"c | d\""],
        &["--source", "bash -o pipefail -c 'true | cat'"],
        &["-q", "--source", "(exit 3) | cat"],
    ] {
        assert!(!said(options).contains(words), "{options:?}");
    }
}

/// An end that finds its `sh` in this folder.
fn with_shell(folder: &Path, options: &[&str]) -> End {
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").expect("text"));
    let mut command = Command::new(PROGRAM);
    command.arg("loop").args(options).env("PATH", path);
    End::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))
}

#[test]
fn a_file_is_read_instead_of_stdin() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let name = |name: &str| folder.path().join(name).display().to_string();
    fs::write(name("file"), "a file").expect("room for it");
    nix::unistd::mkfifo(name("fifo").as_str(), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    let writer = std::thread::spawn({
        let fifo = name("fifo");
        move || fs::write(fifo, "a fifo")
    });
    for (input, expected) in [("file", "a file"), ("fifo", "a fifo")] {
        let mut end = End::with("loop", ["-i", &name(input)]);
        let mut out = String::new();
        end.stdout().read_to_string(&mut out).expect("text");
        end.ended(LONG).expect("it ends").delivered();
        assert_eq!(out, expected);
    }
    writer.join().expect("it only writes").expect("somebody reads");

    for (input, words) in [("none", "none: No such file"), ("", ": is a directory")] {
        let mut tx = End::with("tx 127.0.0.1:9", ["--input", &name(input)]);
        tx.ended(0).expect("at once").failed(1, words);
    }
}
