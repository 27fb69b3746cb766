//! COMMAND as the sink: what it is given, and how it can fail.
//!
//! A COMMAND has rx's stderr, so an rx that is over has left nothing running.

use super::process::{End, PROGRAM, Pair};
use super::stream::{feed, put};
use super::{LONG, SHORT, at_once};
use crate::harness::until_found;
use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use nix::sys::signal::{kill, killpg};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// More than a pipe holds.
const LARGE: u64 = 16 << 20;

#[test]
fn a_command_takes_the_stream_whole() {
    at_once(
        [0, 1, 7, 5 << 20]
            .map(|bytes| boxed(move || Pair::with(&["--", "cat"], &[]).deliver(bytes)))
            .into(),
    );
}

fn boxed(story: impl FnOnce() + Send + 'static) -> Box<dyn FnOnce() + Send> {
    Box::new(story)
}

/// Runs a loop into a COMMAND with nothing to read; what COMMAND writes.
fn output_of(command: &mut Command) -> Vec<u8> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut end = End::spawn(command);
    let mut out = Vec::new();
    end.stdout().read_to_end(&mut out).expect("a pipe can be read");
    end.ended(LONG).expect("it ends").delivered();
    out
}

#[test]
fn arguments_arrive_byte_for_byte() {
    let awkward = [&b"a b"[..], b"", b"-q", b"--", b"'\"$HOME`", b"two\nlines", b"\xff\xfe"];
    let mut command = Command::new(PROGRAM);
    command.args(["loop", "-q", "--", "printf", "<%s>"]);
    command.args(awkward.map(OsStr::from_bytes));
    let expected: Vec<u8> = awkward.iter().flat_map(|it| [b"<", *it, b">"].concat()).collect();
    assert_eq!(output_of(&mut command), expected);
}

/// Descriptors, environment and signals are those that it would have without us.
#[test]
fn a_command_inherits_nothing_of_ours() {
    let script = "ls /proc/$$/fd; echo key=$VIAMILLIPEDE_KEY $ELSE; \
                  grep -E '^Sig(Blk|Ign)' /proc/self/status";
    let mut direct = Command::new("sh");
    direct.args(["-c", script]).env("ELSE", "kept").stdin(Stdio::null());
    let expected = direct.output().expect("every system has it").stdout;
    let mut command = Command::new(PROGRAM);
    command.args(["loop", "-q", "--", "sh", "-c", script]);
    command.env("VIAMILLIPEDE_KEY", "secret").env("ELSE", "kept");
    let out = String::from_utf8(output_of(&mut command)).expect("text");
    let expected = String::from_utf8(expected).expect("text");
    // Who starts us in the background of a script has SIGINT and SIGQUIT ignored; we hear them, and whoever
    // hears a signal passes its default on.
    let heard = |line: &str| match line.strip_prefix("SigIgn:\t") {
        Some(mask) => u64::from_str_radix(mask, 16).expect("a mask") & !0b110,
        None => 0,
    };
    let [ours, theirs] = [&out, &expected].map(|text| {
        text.lines().map(|line| (heard(line), line.split('\t').next())).collect::<Vec<_>>()
    });
    assert_eq!(ours, theirs, "{out}");
    assert!(out.contains("key= kept\n") && out.contains("SigBlk:\t0000000000000000\n"), "{out}");
}

#[test]
fn a_command_that_fails_fails_both_ends_with_its_status() {
    let stories = [
        ("exit 3", LARGE, "sh: exit status 3"),
        ("exit 3", 0, "sh: exit status 3"),
        ("cat >/dev/null; exit 5", 7, "sh: exit status 5"),
        ("cat >/dev/null; kill -TERM $$", 7, "sh: killed by SIGTERM"),
        ("head -c 5 >/dev/null; kill -KILL $$", LARGE, "sh: killed by SIGKILL"),
        ("exec <&-; exit 9", LARGE, "sh: exit status 9"),
        ("exit 0", 7, "sh: left input unread"),
        ("exec <&-; exit 0", LARGE, "sh: left input unread"),
        ("exec <&-; sleep 1", 7, "sh: left input unread"),
        ("head -c 5 >/dev/null", LARGE, "sh: left input unread"),
        // Somebody else still has the pipe, and does not read.
        ("exec 3<&0; sleep 300 <&3 & exit 0", LARGE, "sh: left input unread"),
        ("exec 3<&0; sleep 3000 <&3 & exit 0", 7, "sh: left input unread"),
        ("exec 3<&0; sleep 300 <&3 & exit 4", LARGE, "sh: exit status 4"),
    ];
    // In a loop, since a COMMAND that ends at once ends its receiver before that has met anybody.
    let told = |(script, bytes, words): (&'static str, u64, &'static str)| {
        boxed(move || {
            let mut end = End::with("loop", ["--", "sh", "-c", script]);
            feed(end.stdin(), bytes);
            end.ended(LONG).expect("it ends").failed(6, words);
        })
    };
    at_once(stories.into_iter().map(told).collect());
}

#[test]
fn what_a_command_has_left_unread_is_lost_whatever_may_come() {
    let mut pair = Pair::with(&["--", "head", "-c", "3"], &[]);
    let mut source = pair.tx.stdin(); // which stays open, and silent
    assert!(put(&mut source, 0, 6));
    let (tx, rx) = pair.ended(LONG);
    rx.failed(6, "head: left input unread");
    tx.failed(6, "head: left input unread");
}

#[test]
fn why_a_command_failed_is_told_to_the_other_end() {
    let stories = [
        ("cat >/dev/null; exit 5", "sh: exit status 5"),
        ("head -c 5 >/dev/null; kill -KILL $$", "sh: killed by SIGKILL"),
        ("head -c 5 >/dev/null", "sh: left input unread"),
    ];
    let told = |(script, words): (&'static str, &'static str)| {
        boxed(move || {
            let mut pair = Pair::with(&["--", "sh", "-c", script], &[]);
            feed(pair.tx.stdin(), LARGE);
            let (tx, rx) = pair.ended(LONG);
            rx.failed(6, words);
            tx.failed(6, words);
        })
    };
    at_once(stories.into_iter().map(told).collect());
}

#[test]
fn a_command_that_needs_no_more_may_leave_before_the_end() {
    let mut pair = Pair::with(&["--", "head", "-c", "7"], &[]);
    let mut source = pair.tx.stdin();
    assert!(put(&mut source, 0, 7));
    let drain = pair.rx.drain();
    assert!(drain.has_seen(7, super::MARGIN));
    drop(source);
    let (tx, rx) = pair.ended(LONG);
    tx.delivered();
    rx.delivered();
}

#[test]
fn a_command_that_fails_is_told_before_anything_is_sent() {
    let both = |command: &'static [&str], words: &'static str| {
        boxed(move || {
            let mut pair = Pair::with(&[&["--"], command].concat(), &[]);
            // The source is silent.
            let _source = pair.tx.stdin();
            let (tx, rx) = pair.ended(LONG);
            rx.failed(6, words);
            tx.failed(6, words);
        })
    };
    at_once(vec![
        both(&["sh", "-c", "exit 3"], "sh: exit status 3"),
        both(&["/nowhere/at/all"], "/nowhere/at/all: could not be started: No such file"),
        boxed(|| {
            let mut end = End::with("loop", ["--", "/"]);
            let ended = end.ended(0).expect("at once");
            ended.failed(6, "/: could not be started: Permission denied");
        }),
        boxed(|| {
            // Both ends in one process have perhaps not met.
            let mut end = End::with("loop", ["--", "sh", "-c", "exit 3"]);
            let _source = end.stdin();
            end.ended(0).expect("at once").failed(6, "sh: exit status 3");
        }),
        boxed(|| {
            let mut pair = Pair::with(&["--", "sh", "-c", "head -c 1; exit 3"], &[]);
            let mut source = pair.tx.stdin();
            assert!(put(&mut source, 0, 7));
            let (tx, rx) = pair.ended(LONG);
            rx.failed(6, "sh: exit status 3");
            tx.failed(6, "sh: exit status 3");
        }),
    ]);
}

#[test]
fn a_command_may_take_longer_than_patience_after_its_input() {
    let mut pair = Pair::with_patience(SHORT, &["--", "sh", "-c", "cat >/dev/null; sleep 6"], &[]);
    feed(pair.tx.stdin(), 7);
    let (tx, rx) = pair.ended(LONG);
    tx.delivered();
    rx.delivered();
}

#[test]
fn a_signal_ends_a_command_that_stands_still() {
    let stories = [
        ("echo up; sleep 300", LARGE),
        ("echo up; kill -STOP $$; cat >/dev/null", LARGE),
        ("cat >/dev/null; echo up; sleep 300", 7),
        ("trap '' TERM INT HUP; cat >/dev/null; echo up; sleep 300; sleep 300", 7),
    ];
    let ended = |(script, bytes): (&'static str, u64)| {
        boxed(move || {
            let mut pair = Pair::with(&["--", "sh", "-c", script], &[]);
            let mut source = pair.tx.stdin();
            assert!(put(&mut source, 0, bytes));
            drop(source);
            pair.rx.stdout().read_exact(&mut [0; 3]).expect("it says so");
            pair.rx.signal(SIGTERM);
            let (tx, rx) = pair.ended(LONG);
            rx.failed(143, "SIGTERM");
            tx.failed(4, "SIGTERM");
        })
    };
    at_once(stories.into_iter().map(ended).collect());
}

/// Needs root, to make a program that runs as root whoever starts it, as `sudo` does.
#[cfg(target_os = "linux")]
#[test]
fn what_runs_as_another_user_sees_no_early_end_of_its_input_either() {
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65534;
    const COMMAND: &str = "echo $$ > group; \
        ./shell -p -c 'exec setpriv --reuid 0 --regid 0 --clear-groups \
            sh -c \"touch begun; cat > /dev/null; touch eof\"'; true";
    if !rustix::process::geteuid().is_root() || !Path::new("/bin/bash").exists() {
        return eprintln!("skipped: it needs root and bash");
    }
    let folder = tempfile::tempdir().expect("a folder for files");
    let place = |name: &str| folder.path().join(name);
    let admit = |path: &Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
    };
    admit(folder.path(), 0o777);
    for (program, copy, mode) in [(PROGRAM, "program", 0o755), ("/bin/bash", "shell", 0o4755)] {
        fs::copy(program, place(copy)).expect("there is room");
        admit(&place(copy), mode);
    }
    let mut command = Command::new(place("program"));
    command.args(["rx", "127.0.0.1:0", "--plain", "-q", "--", "sh", "-c", COMMAND]);
    command.current_dir(folder.path()).uid(NOBODY).gid(NOBODY);
    let mut rx = End::spawn(command.stdout(Stdio::null()));
    let mut tx = End::start(&format!("tx 127.0.0.1:{}", rx.port()));
    feed(tx.stdin(), 1 << 40);
    until_found(|| place("begun").exists().then_some(()), || "it does not begin".into());
    let group: i32 =
        fs::read_to_string(place("group")).expect("text").trim().parse().expect("a number");
    rx.signal(SIGTERM);
    rx.hears("viamillipede: ended by signal: SIGTERM");
    rx.hears(&format!(
        "viamillipede: process group {group} runs as another user and cannot be ended: it waits for input for ever"
    ));
    killpg(Pid::from_raw(group), SIGKILL).expect("root may");
    assert_eq!(rx.ended(0).expect("nobody is left").code, 128 + SIGTERM as i32);
    assert!(!place("eof").exists());
}

#[test]
fn a_command_is_started_when_the_ends_have_met() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let mark = folder.path().join("MARK");
    let script = "touch \"$0\"; cat";
    let command = ["--", "sh", "-c", script, mark.to_str().expect("a plain name")];
    let mut rx = End::with("rx 127.0.0.1:0", command);
    let port = rx.port();
    assert!(!mark.exists());
    let tx = End::start(&format!("tx 127.0.0.1:{port}"));
    Pair { tx, rx, port }.deliver(7);
    assert!(mark.exists());
}

#[test]
fn what_a_command_leaves_in_the_background_lives_on_after_a_success_alone() {
    let script = "sleep 3000 <&- >&- 2>&- & echo $!; cat >/dev/null; exit \"$0\"";
    for (code, lives) in [("0", true), ("3", false)] {
        let mut pair = Pair::with(&["--", "sh", "-c", script, code], &[]);
        feed(pair.tx.stdin(), LARGE);
        let mut said = String::new();
        pair.rx.stdout().read_to_string(&mut said).expect("text");
        let (_, rx) = pair.ended(LONG);
        assert_eq!(rx.code == 0, lives, "{rx:?}");
        let background = Pid::from_raw(said.trim().parse().expect("a number"));
        assert_eq!(is_running(background), lives);
        if lives {
            kill(background, SIGKILL).expect("it runs");
        }
    }
}

/// Whether a process does anything any more: who has ended may wait for somebody who wants to know.
fn is_running(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}
