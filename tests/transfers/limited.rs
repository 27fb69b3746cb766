//! `--rate`: streams arrive whole under it, and a file that holds it is followed.
//!
//! How well it is kept is the benches' question, and that of `proto::bucket` in virtual time.

use super::stream::{Pair, Stream, pour, pour_through};
use crate::harness::{End, viamillipede};
use std::fs;
use std::io;
use std::thread;

const SIZE: u64 = (4 << 20) + 7;

#[test]
fn a_limited_stream_arrives_whole_over_any_number_of_connections() {
    for options in ["--rate 40MB --workers 1", "--bwlimit 400Mbit --workers 16 --verify --lz4"] {
        Pair::start(options, "").carry(Stream::new(1, SIZE));
    }
}

#[test]
fn a_limited_stream_is_encrypted_and_may_be_waited_for() {
    let mut tx = End::start("tx --listen 127.0.0.1:0 --rate 40MB --foot-size 64KiB");
    let (at, key) =
        (tx.ready(), tx.hears(|said| said.split_once("key: ").map(|it| it.1.to_owned())));
    let mut rx = viamillipede(&format!("rx --connect {at}"));
    rx.env("VIAMILLIPEDE_KEY", key.trim());
    let mut rx = End::run(rx);
    let (stdin, stdout) = (tx.stdin.take(), rx.stdout.take());
    let (stdin, stdout) = (stdin.expect("a pipe"), stdout.expect("a pipe"));
    pour_through(Stream::new(2, SIZE), stdin, stdout, &mut io::sink());
    assert_eq!((tx.code(), rx.code()), (0, 0));
}

/// At first it would take an hour; then there is no rate to be read, and then a high one.
#[test]
fn the_rate_in_a_file_is_followed_and_one_that_cannot_be_read_is_told_once() {
    for line in ["tx", "loop"] {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("rate");
        fs::write(&file, "1KB\n").expect("a file");
        let rate = format!("-v --rate @{}", file.display());
        let mut ends = match line {
            "loop" => vec![End::start(&format!("loop {rate}"))],
            _ => {
                let Pair { tx, rx } = Pair::start(&rate, "");
                vec![tx, rx]
            }
        };
        let mut stdin = ends[0].stdin.take().expect("a pipe");
        let feeder = thread::spawn(move || pour(&mut Stream::new(3, SIZE), &mut stdin));
        ends[0].hears(|said| said.contains("is up").then_some(()));
        fs::write(&file, "fast\n").expect("a file");
        let kept = "not a rate like 500K, 20MB or 200Mbit; keeping to the last rate";
        ends[0].hears(|said| said.contains(kept).then_some(()));
        fs::remove_file(&file).expect("it is there");
        fs::write(folder.path().join("new"), "4Gbit").expect("a file");
        fs::rename(folder.path().join("new"), &file).expect("it is there");

        let mut stdout = ends.last_mut().and_then(|end| end.stdout.take()).expect("a pipe");
        let received = pour(&mut stdout, &mut io::sink()).expect("all comes out");
        let sent = feeder.join().expect("it only copies").expect("all goes in");
        assert_eq!(received, sent);
        for end in &mut ends {
            assert_eq!(end.code(), 0, "{line}");
        }
        assert_eq!(ends[0].said().matches("keeping to the last rate").count(), 1, "{line}");
    }
}

#[test]
fn a_congestion_control_is_taken_and_one_that_is_not_there_is_told_before_anything_starts() {
    Pair::start("--congestion reno", "").carry(Stream::new(4, SIZE));

    let mut tx = End::start("tx --plain 127.0.0.1:9 --congestion no-such-thing");
    assert_eq!(tx.code(), 2);
    let said = tx.said();
    let mut lines = said.lines();
    let refused = "viamillipede: --congestion no-such-thing: the kernel has none of that name";
    assert_eq!(lines.next(), Some(refused));
    assert!(lines.next().is_some_and(|hint| hint.contains("reno")), "{said}");
}

#[test]
fn a_rate_in_a_file_that_leaves_nothing_to_some_connections_is_not_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rate");
    fs::write(&file, "4Gbit").expect("a file");
    let mut pair = Pair::start(&format!("-v --workers 8 --rate @{}", file.display()), "");
    pair.tx.hears(|said| said.contains("is up").then_some(()));
    fs::write(&file, "1KB").expect("a file");
    let kept = "1000 bytes a second are too few for 8 connections; keeping to the last rate";
    pair.tx.hears(|said| said.contains(kept).then_some(()));
    pair.carry(Stream::new(4, SIZE));
}
