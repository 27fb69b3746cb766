//! `loop`: the program as a pipe, between all that stdin and stdout can be.

use super::stream::{Stream, Tally, pour};
use crate::harness::{End, PROGRAM, viamillipede};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::process::{Command, Stdio};
use std::thread;

const SIZE: u64 = (5 << 20) + 3;

fn tally(mut stream: impl Read) -> Tally {
    pour(&mut stream, &mut io::sink()).expect("it can be read")
}

/// Carries a stream through `command`'s stdin and stdout.
fn carry(command: Command, mut stream: Stream) -> Tally {
    let mut end = End::run(command);
    let mut stdin = end.stdin.take().expect("stdin is a pipe");
    let feeder = thread::spawn(move || pour(&mut stream, &mut stdin));
    let received = tally(end.stdout.take().expect("stdout is a pipe"));
    let sent = feeder.join().expect("it only copies").expect("all input is taken");
    assert_eq!(end.code(), 0);
    assert_eq!(received, sent);
    received
}

#[test]
fn echo_through_a_loop() {
    let mut end = End::start("loop");
    let mut stdin = end.stdin.take().expect("stdin is a pipe");
    stdin.write_all(b"asdf\n").expect("it takes input");
    drop(stdin);
    let mut out = String::new();
    end.stdout.take().expect("a pipe").read_to_string(&mut out).expect("it gives output");
    assert_eq!((out.as_str(), end.code()), ("asdf\n", 0));
    let said = end.said();
    assert_eq!(said.lines().count(), 1, "one summary line and nothing else: {said}");
}

#[test]
fn any_number_of_workers_gives_the_same_bytes() {
    for options in
        ["--workers 1", "--workers 1 --zstd 3", "--workers 2", "--workers 64 --lz4", "--adapt"]
    {
        let command = viamillipede(&format!("loop --verify {options}"));
        assert_eq!(carry(command, Stream::new(1, SIZE)), tally(Stream::new(1, SIZE)));
    }
}

/// Where there is a `taskset`, one CPU, and so one thread of each kind, gives the same bytes as all.
#[cfg(target_os = "linux")]
#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let mut command = Command::new("taskset");
    command.args(["-c", "0", PROGRAM, "loop", "--zstd", "3", "--workers", "1"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let has_taskset = Command::new("taskset").arg("-V").stdout(Stdio::null()).status().is_ok();
    if has_taskset {
        assert_eq!(carry(command, Stream::new(2, SIZE)), tally(Stream::new(2, SIZE)));
    }
}

#[test]
fn from_the_place_in_a_file_to_the_end_of_another() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let mut file = File::create(&from).expect("a file");
    pour(&mut Stream::new(3, SIZE), &mut file).expect("room for it");
    std::fs::write(&to, "before ").expect("a file");
    let mut source = File::open(&from).expect("it was made");
    source.seek(SeekFrom::Start(1000)).expect("it is longer");
    let sink = OpenOptions::new().append(true).open(&to).expect("it was made");

    let mut command = viamillipede("loop --zstd 3 --verify");
    command.stdin(source).stdout(sink);
    assert_eq!(End::run(command).code(), 0);

    let (from, to) = (std::fs::read(&from).expect("a file"), std::fs::read(&to).expect("a file"));
    let (before, rest) = to.split_at(7);
    assert_eq!(before, b"before ");
    assert!(rest == &from[1000..], "the rest of one file is at the end of the other");
}

#[test]
fn devices_at_both_ends() {
    let mut command = viamillipede("loop");
    command.stdin(File::open("/dev/null").expect("every system has it"));
    let mut end = End::run(command);
    assert_eq!(tally(end.stdout.take().expect("a pipe")).bytes, 0);
    assert_eq!(end.code(), 0);

    let nowhere = OpenOptions::new().write(true).open("/dev/null").expect("every system has it");
    let mut command = viamillipede("loop --verify");
    command.stdout(nowhere);
    let mut end = End::run(command);
    let mut stdin = end.stdin.take().expect("stdin is a pipe");
    let sent = pour(&mut Stream::new(4, SIZE), &mut stdin).expect("it takes all");
    drop(stdin);
    assert_eq!(end.code(), 0);
    assert!(end.said().contains(&format!("viamillipede: blake3 {}", sent.hash)), "{}", end.said());
}

/// `/dev/zero` never ends, so the reader of the loop's output does: that is a failure, and told.
#[test]
fn zeros_between_two_heads() {
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script, PROGRAM]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        End::run(command)
    };
    let mut end = shell(r#"head -c 9999999 /dev/zero | "$0" loop --lz4"#);
    assert_eq!(tally(end.stdout.take().expect("a pipe")), tally(io::repeat(0).take(9_999_999)));
    assert_eq!(end.code(), 0);

    let mut end = shell(r#"{ "$0" loop < /dev/zero; echo "code $?" >&2; } | head -c 9999999"#);
    assert_eq!(tally(end.stdout.take().expect("a pipe")), tally(io::repeat(0).take(9_999_999)));
    end.code();
    let said = end.said();
    assert!(said.contains("code 1\n") && said.contains("viamillipede: stdout: "), "{said}");
}

/// Whoever shares stdout may have made it non-blocking; a full pipe is then no failure.
#[test]
fn a_stdout_that_does_not_block_takes_all_the_same() {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let (reader, writer) = io::pipe().expect("a pipe");
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("a flag");
    let mut command = viamillipede("loop");
    command.stdout(writer);
    let mut end = End::run(command);
    let mut stdin = end.stdin.take().expect("stdin is a pipe");
    let sent = pour(&mut Stream::new(6, SIZE), &mut stdin).expect("it has room for so much");
    drop(stdin);
    assert_eq!((tally(reader), end.code()), (sent, 0));
}

/// The stream must not fail at its end for want of what was there at its beginning.
#[cfg(target_os = "linux")]
#[test]
fn few_descriptors_fail_at_the_start_or_not_at_all() {
    for limit in (8..40).step_by(2) {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {limit}; exec \"$0\" loop -q --workers 1 --patience 1");
        command.args(["-c", &script, PROGRAM]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut end = End::run(command);
        let mut stdin = end.stdin.take().expect("stdin is a pipe");
        // It may have ended already.
        let _ = stdin.write_all(b"asdf");
        drop(stdin);
        let mut out = String::new();
        end.stdout.take().expect("a pipe").read_to_string(&mut out).expect("text");
        let code = end.code();
        assert!(
            (code == 0) == (out == "asdf") && [0, 1, 4].contains(&code),
            "{limit}: {code}, {out}"
        );
    }
}
