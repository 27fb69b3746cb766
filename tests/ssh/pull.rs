//! `rx --ssh`: a stream from a program or a file there to here.

use super::LARGE;
use super::server::{Far, own_lines};
use std::fs;
use std::io::Read;
use std::time::{Duration, Instant};

/// All that comes out, to its end.
fn drained(rx: &mut crate::harness::End) -> Vec<u8> {
    let mut bytes = Vec::new();
    rx.stdout.take().expect("a pipe").read_to_end(&mut bytes).expect("a pipe can be read");
    bytes
}

#[test]
fn what_a_source_there_writes_comes_here() {
    let Some(far) = Far::start() else { return };
    let source = format!("head -c {LARGE} /dev/zero; echo 'the end' >&2");
    for line in ["rx", "rx --zstd 1 --verify", "rx --plain --workers 1"] {
        let mut rx = far.end(line, &["--source", &source]);
        let bytes = drained(&mut rx);
        assert_eq!(rx.code(), 0, "{}", rx.said());
        assert!(bytes.len() as u64 == LARGE && bytes.iter().all(|byte| *byte == 0));
        assert!(rx.said().lines().any(|line| line == "the end"), "its stderr: {}", rx.said());
        far.until_nothing_is_left();
    }
}

#[test]
fn a_file_there_goes_to_a_command_here() {
    let Some(far) = Far::start() else { return };
    fs::write(far.at("original"), b"from there").expect("a file");
    let original = far.name("original");
    let mut rx = far.end("rx -q --input", &[&original, "--", "tr", "a-z", "A-Z"]);
    assert_eq!(drained(&mut rx), b"FROM THERE");
    assert_eq!((rx.code(), rx.said()), (0, String::new()));
    let mut rx = far.end("rx -q --input /nowhere/at/all", &[]);
    assert_eq!(rx.code(), 1, "{}", rx.said());
    assert!(rx.said().contains("/nowhere/at/all: No such file"), "{}", rx.said());
}

#[test]
fn the_transmitter_there_keeps_to_a_rate_said_here() {
    let Some(far) = Far::start() else { return };
    let began = Instant::now();
    let mut rx = far.end("rx -q --rate 2MB", &["--source", "head -c 4000000 /dev/zero"]);
    assert_eq!((drained(&mut rx).len(), rx.code()), (4_000_000, 0), "{}", rx.said());
    // No faster: a busy machine may be as slow as it likes.
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());

    let mut rx = far.end("rx -q --congestion nosuch", &["--source", "echo"]);
    drained(&mut rx);
    assert!(rx.code() != 0 && rx.said().contains("nosuch"), "{}", rx.said());
    far.until_nothing_is_left();
}

#[test]
fn a_source_that_fails_there_fails_here() {
    let Some(far) = Far::start() else { return };
    for script in ["echo some; exit 9", "exit 9"] {
        let mut rx = far.end("rx -q", &["--source", script]);
        drained(&mut rx);
        assert_eq!(rx.code(), 6, "{}", rx.said());
        assert!(rx.said().contains("--source: exit status 9"), "{}", rx.said());
        assert_eq!(own_lines(&rx.said()), 1, "{}", rx.said());
        far.until_nothing_is_left();
    }
}

#[test]
fn a_command_that_fails_here_ends_what_is_there() {
    let Some(far) = Far::start() else { return };
    let mut rx =
        far.end("rx -q", &["--source", "cat /dev/zero", "--", "sh", "-c", "head -c 1000; exit 4"]);
    drained(&mut rx);
    assert_eq!(rx.code(), 6, "{}", rx.said());
    assert!(rx.said().contains("sh: exit status 4"), "{}", rx.said());
    far.until_nothing_is_left();
}
