//! `--workers auto`: more connections where each brings its part.

use super::stream::{Pair, Stream};
use crate::endings::relay::Relay;
use crate::harness::End;

/// Bytes a second of each connection.
const EACH: u64 = 1 << 20;
/// Enough to find out what more connections bring, and to see them bring it.
const SIZE: u64 = 40 << 20;

#[test]
fn more_connections_come_where_they_bring_more() {
    for dialler in ["tx", "rx"] {
        let mut pair = grown(dialler, "");
        let dialling = if dialler == "tx" { &pair.tx } else { &pair.rx };
        let said = dialling.said();
        assert!(
            said.contains(" connections wanted link=0 workers=8 cause=\"4 bring "),
            "{dialler} dials: {said}"
        );
        assert!(said.contains("connection is up worker=7 link=0"), "{dialler} dials: {said}");
        for end in [&mut pair.tx, &mut pair.rx] {
            assert!(end.said().contains(" 0 connections lost, "), "{}", end.said());
        }
    }
}

#[test]
fn a_dest_with_a_number_of_its_own_keeps_it() {
    let pair = grown("tx", ",workers=4");
    assert!(!pair.tx.said().contains(" connections wanted "), "{}", pair.tx.said());
}

/// A stream over connections that bring so much each, to a DEST with these words behind it.
fn grown(dialler: &str, words: &str) -> Pair {
    let listener = End::start(match dialler {
        "tx" => "rx --plain 127.0.0.1:0",
        _ => "tx --plain --listen 127.0.0.1:0 --foot-size 64K",
    });
    let relay = Relay::start(listener.ready().port());
    relay.throttle(EACH);
    let dest = format!("127.0.0.1:{}{words}", relay.port);
    let mut pair = match dialler {
        "tx" => {
            let line = format!("tx --plain -v --workers auto --foot-size 64K {dest}");
            Pair { tx: End::start(&line), rx: listener }
        }
        _ => {
            let line = format!("rx --plain -v --connect --workers auto {dest}");
            Pair { tx: listener, rx: End::start(&line) }
        }
    };
    pair.carry(Stream::new(1, SIZE));
    pair
}
