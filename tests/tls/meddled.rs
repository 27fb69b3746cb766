//! What somebody on the way can do: cost time, or the whole stream, and never a byte of it.

use super::between::Verdict::{Go, Last};
use super::between::{Between, Piece, Verdict};
use super::ended;
use crate::endings::process::{End, Guard};
use crate::endings::stream::feed;
use crate::endings::{LONG, SHORT, at_once, sample};
use std::collections::BTreeMap;

/// What becomes of one record.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Drop,
    /// It comes after the next one.
    Swap,
    Repeat,
    /// One bit is another, wherever the number says.
    Flip(u64),
    /// The connection ends in the middle of it.
    Truncate,
    /// The connection ends before it.
    End,
}

use Deed::{Drop, End as Cut, Flip, Repeat, Swap, Truncate};

/// Bits of the kind, of the length, and of what is encrypted.
const DEEDS: [Deed; 9] =
    [Drop, Swap, Repeat, Flip(3), Flip(4), Flip(38), Flip(7777), Truncate, Cut];

/// Does this to one record of each connection that `is_one`.
fn meddle(
    deed: Deed,
    is_one: impl Fn(&Piece) -> bool + Send + 'static,
) -> impl FnMut(&Piece) -> Verdict + Send {
    let mut held = BTreeMap::new();
    move |piece| {
        let mut bytes = piece.bytes.clone();
        if !is_one(piece) {
            let late = held.remove(&(piece.connection, piece.is_dialled));
            return Go([bytes, late.unwrap_or_default()].concat());
        }
        match deed {
            Drop => Go(Vec::new()),
            Swap => {
                held.insert((piece.connection, piece.is_dialled), bytes);
                Go(Vec::new())
            }
            Repeat => Go(bytes.repeat(2)),
            Flip(bit) => {
                let place = bit as usize / 8 % bytes.len();
                bytes[place] ^= 1 << (bit % 8);
                Go(bytes)
            }
            Truncate => Last(bytes[..bytes.len() / 2].to_vec()),
            Cut => Last(Vec::new()),
        }
    }
}

/// Both ends with a key, and somebody between them.
fn apart(
    patience: u64,
    flags: &str,
    meddler: impl FnMut(&Piece) -> Verdict + Send + 'static,
) -> (End, End, Between) {
    let mut rx = End::telling(Guard::Key, &format!("rx 127.0.0.1:0 --patience {patience}"));
    let between = Between::start(rx.port(), meddler);
    let line = format!("tx 127.0.0.1:{} --patience {patience} {flags}", between.port);
    (End::telling(Guard::Key, &line), rx, between)
}

#[test]
fn whatever_is_done_to_records_costs_their_connections_and_no_byte() {
    const TOTAL: u64 = 8 << 20;
    let story = |deed: Deed, is_dialled: bool| {
        Box::new(move || {
            // Behind the handshake; the receiver says less than the sender.
            let number = if is_dialled { 20 } else { 7 };
            let is_one = move |it: &Piece| {
                it.connection < 2 && it.is_dialled == is_dialled && it.number == number
            };
            let flags = "--workers 2 --foot-size 64KiB";
            let (mut tx, mut rx, _between) = apart(LONG, flags, meddle(deed, is_one));
            let drain = rx.drain();
            feed(tx.stdin(), TOTAL);
            let [tx, rx] = [&mut tx, &mut rx].map(ended);
            assert_eq!(drain.finish(), TOTAL);
            let [tx, rx] = [tx.summary(), rx.summary()];
            // Once all is delivered the receiver expects connections to go.
            let lost = tx.lost_connections + rx.lost_connections;
            assert!(lost > 0, "{deed:?}: {tx:?} {rx:?}");
        }) as Box<dyn FnOnce() + Send>
    };
    at_once(DEEDS.iter().flat_map(|deed| [true, false].map(|way| story(*deed, way))).collect());
}

#[test]
fn a_stream_that_is_meddled_with_for_ever_fails_at_both_ends() {
    let story = |deed: Deed| {
        Box::new(move || {
            let is_one = |it: &Piece| it.is_dialled && it.number == 20;
            let (mut tx, mut rx, _between) = apart(SHORT, "", meddle(deed, is_one));
            let drain = rx.drain();
            feed(tx.stdin(), 8 << 20);
            for end in [&mut tx, &mut rx] {
                let ended = ended(end);
                assert_eq!(ended.code, 4, "{ended:?}");
            }
            assert!(drain.finish() < 8 << 20);
        }) as Box<dyn FnOnce() + Send>
    };
    at_once([Drop, Flip(7777), Truncate].map(story).into());
}

/// After so many records nothing gets through any more: wherever that is, no end takes a part for the
/// whole, and the sender is content only if the receiver is.
#[test]
fn wherever_all_is_cut_for_good_no_end_takes_a_part_for_the_whole() {
    const TOTAL: u64 = 300_000;
    let story = |most: u64| {
        Box::new(move || {
            let mut passed = 0;
            let meddler = move |piece: &Piece| {
                passed += 1;
                if passed > most { Last(Vec::new()) } else { Go(piece.bytes.clone()) }
            };
            let (mut tx, mut rx, _between) = apart(SHORT, "--workers 1", meddler);
            let drain = rx.drain();
            feed(tx.stdin(), TOTAL);
            let tx = ended(&mut tx);
            let rx = ended(&mut rx);
            assert!([0, 4].contains(&tx.code) && [0, 4].contains(&rx.code), "{tx:?} {rx:?}");
            let out = drain.finish();
            assert!(rx.code == 4 || out == TOTAL, "{most}: {out} bytes, {rx:?}");
            assert!(tx.code == 4 || rx.code == 0, "{most}: {tx:?} {rx:?}");
        }) as Box<dyn FnOnce() + Send>
    };
    // Before the first of them the receiver has not met anybody; after the last all has been said.
    at_once((8..45).step_by(sample(3, 1) as usize).map(story).collect());
}
