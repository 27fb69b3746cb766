//! Stdin and stdout that fail: the end says which, and the other repeats it.

use super::process::{End, Ended, Pair};
use super::stream::{feed, put};
use super::{LONG, MARGIN, at_once};

#[test]
fn a_sink_that_fails_ends_both_ends_with_its_reason() {
    at_once(vec![
        Box::new(|| {
            // The disk is full.
            let mut rx =
                End::redirected(&format!("rx 127.0.0.1:0 --patience {LONG}"), ">/dev/full");
            let port = rx.port();
            let tx = End::start(&format!("tx 127.0.0.1:{port} --patience {LONG}"));
            let mut pair = Pair { tx, rx, port };
            let _source = put(&mut pair.tx.stdin(), 0, 7);
            refused_by_the_sink(&pair.ended(0), "No space left");
        }),
        Box::new(|| {
            // The reader leaves in the middle of the stream.
            let mut pair = Pair::start(LONG, "");
            feed(pair.tx.stdin(), 1 << 40);
            std::io::Read::read_exact(&mut pair.rx.stdout(), &mut vec![0; 4 << 20]).expect("some");
            refused_by_the_sink(&pair.ended(0), "Broken pipe");
        }),
        Box::new(|| {
            // There was never a reader, and the stream is tiny.
            let mut pair = Pair::start(LONG, "");
            drop(pair.rx.stdout());
            feed(pair.tx.stdin(), 7);
            refused_by_the_sink(&pair.ended(0), "Broken pipe");
        }),
        Box::new(|| {
            // Open, but not for writing.
            let mut rx = End::redirected("rx 127.0.0.1:0", "1</dev/null");
            let port = rx.port();
            let tx = End::start(&format!("tx 127.0.0.1:{port}"));
            let mut pair = Pair { tx, rx, port };
            feed(pair.tx.stdin(), 7);
            refused_by_the_sink(&pair.ended(0), "Bad file descriptor");
        }),
    ]);
    // Closed at the start, for which Rust's runtime puts /dev/null: whatever the length, it is told.
    at_once(
        [0, 7, 4 << 20]
            .into_iter()
            .map(|bytes| -> Box<dyn FnOnce() + Send> {
                Box::new(move || {
                    let mut rx =
                        End::redirected(&format!("rx 127.0.0.1:0 --patience {LONG}"), ">&-");
                    let port = rx.port();
                    let tx = End::start(&format!("tx 127.0.0.1:{port} --patience {LONG}"));
                    let mut pair = Pair { tx, rx, port };
                    feed(pair.tx.stdin(), bytes);
                    refused_by_the_sink(&pair.ended(0), "closed");
                })
            })
            .collect(),
    );
}

fn refused_by_the_sink((tx, rx): &(Ended, Ended), cause: &str) {
    rx.failed(1, &format!("stdout: {cause}"));
    tx.failed(1, &format!("stdout: {cause}"));
}

#[test]
fn a_source_that_fails_ends_both_ends_with_its_reason() {
    at_once(vec![
        Box::new(|| {
            // Seen before anybody is dialled.
            let mut tx = End::redirected("tx 127.0.0.1:9", "</");
            tx.ended(0).expect("at once").failed(1, "stdin: is a directory");
        }),
        Box::new(|| {
            // Closed at the start.
            let mut tx = End::redirected("tx 127.0.0.1:9", "<&-");
            tx.ended(0).expect("at once").failed(1, "stdin: closed");
        }),
        Box::new(|| {
            // Seen when it is read.
            let mut rx = End::start(&format!("rx 127.0.0.1:0 --patience {LONG}"));
            let port = rx.port();
            let tx =
                End::redirected(&format!("tx 127.0.0.1:{port} --patience {LONG}"), "0>/dev/null");
            let (tx, rx) = Pair { tx, rx, port }.ended(0);
            tx.failed(1, "stdin: Bad file descriptor");
            rx.failed(1, "stdin: Bad file descriptor");
        }),
    ]);
}

#[test]
fn a_reader_that_comes_late_finds_all_of_the_stream() {
    let mut pair = Pair::start(1, "");
    let mut source = pair.tx.stdin();
    assert!(put(&mut source, 0, 16 << 20));
    drop(source);
    // Longer than patience: a sink that stands still is no dead peer.
    let early = pair.tx.ended_within(std::time::Duration::from_secs(4));
    assert!(early.is_err(), "{early:?}");
    let drain = pair.rx.drain();
    let (tx, rx) = pair.ended(LONG);
    tx.delivered();
    rx.delivered();
    assert!(drain.has_seen(16 << 20, MARGIN));
}
