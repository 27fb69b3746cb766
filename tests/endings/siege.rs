//! A crowd of strangers all through a transfer, at the end that listens: the stream is exact, that end keeps to its
//! memory and descriptors, and every stranger is sent away.
//!
//! How much longer it takes is for `benches/strangers` to say.

mod crowd;

use super::process::{End, Guard};
use super::relay::Relay;
use super::stream::put;
use super::{LONG, MARGIN, sample};
use crate::harness::{highest_kib, most_kib};
use crowd::Crowd;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that the source has in a second.
const RATE: u64 = 40_000_000;
const WINDOW_MIB: u64 = 16;
/// Callers that there may be at once, with room for the connections of the session and all else.
const MOST_DESCRIPTORS: usize = 256 + 64;

/// Which end listens.
#[derive(Clone, Copy, Debug)]
enum Way {
    Receiver,
    Sender,
}

impl Way {
    fn listens(self) -> &'static str {
        match self {
            Way::Receiver => "rx",
            Way::Sender => "tx --listen",
        }
    }

    fn dials(self) -> &'static str {
        match self {
            Way::Receiver => "tx",
            Way::Sender => "rx --connect",
        }
    }
}

#[test]
fn a_crowd_of_strangers_does_not_disturb_a_receiver() {
    besieged(Guard::Plain, Way::Receiver);
}

#[test]
fn a_crowd_of_strangers_does_not_disturb_a_receiver_with_a_key() {
    besieged(Guard::Key, Way::Receiver);
}

#[test]
fn a_crowd_of_strangers_does_not_disturb_a_sender() {
    besieged(Guard::Plain, Way::Sender);
}

#[test]
fn a_crowd_of_strangers_does_not_disturb_a_sender_with_a_key() {
    besieged(Guard::Key, Way::Sender);
}

fn besieged(guard: Guard, way: Way) {
    let total = sample(40_000_000, 120_000_000);
    let settings = format!("--window {WINDOW_MIB}MiB --patience {LONG}");
    let mut listener = End::telling(guard, &format!("{} 127.0.0.1:0 {settings}", way.listens()));
    let port = listener.port();
    let crowd = Crowd::gather(guard, way, port);
    let relay = Relay::start(port);
    let line = format!("{} 127.0.0.1:{} {settings}", way.dials(), relay.port);
    let mut dialler = End::guarded(guard, &line);
    let (tx, rx) = match way {
        Way::Receiver => (&mut dialler, &mut listener),
        Way::Sender => (&mut listener, &mut dialler),
    };
    let (mut source, drain) = (tx.stdin(), rx.drain());
    assert!(put(&mut source, 0, 1 << 20) && drain.has_seen(1 << 20, MARGIN));

    let (is_over, began) = (AtomicBool::new(false), Instant::now());
    let (strangers, mistaken, most_descriptors) = thread::scope(|scope| {
        let _over = Over(&is_over);
        let strangers = scope.spawn(|| crowd.call(&is_over));
        let mistaken = scope.spawn(|| crowd.mistake(&is_over));
        let (begun, mut place, mut most) = (Instant::now(), 1 << 20, 0);
        let mut cuts = vec![total * 2 / 3, total / 3];
        while place < total {
            let bytes = (total - place).min(RATE / 100);
            assert!(put(&mut source, place, bytes));
            place += bytes;
            if cuts.pop_if(|at| *at <= place).is_some() {
                relay.cut_all(); // who comes back has to get through
            }
            most = most.max(listener.descriptors());
            let due = Duration::from_secs_f64(place as f64 / RATE as f64);
            thread::sleep(due.saturating_sub(begun.elapsed())); // the rate itself
        }
        assert!(drain.has_seen(total, MARGIN));
        is_over.store(true, SeqCst);
        let [strangers, mistaken] =
            [strangers, mistaken].map(|thread| thread.join().expect("they are sent away"));
        (strangers, mistaken, most)
    });
    let peak = highest_kib(listener.pid());
    eprintln!(
        "{guard:?}, {way:?}: {strangers} strangers, {mistaken} mistaken, {most_descriptors} descriptors, \
         {peak} KiB at most"
    );
    drop(source);
    dialler.ended(LONG).expect("no hang").delivered();
    let listener = listener.ended(LONG).expect("no hang");
    assert_eq!((listener.code, drain.finish()), (0, total), "{listener:?}");
    assert!(peak <= most_kib(WINDOW_MIB), "{peak} KiB resident");
    assert!(most_descriptors <= MOST_DESCRIPTORS, "{most_descriptors} descriptors");
    let (lines, seconds) = (listener.said.matches("refused ").count(), began.elapsed().as_secs());
    let most = 3 + seconds as usize;
    assert!((1..=most).contains(&lines), "at most a new cause a second: {listener:?}");
}

/// Those who go on until all is over shall not go on for ever where a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}
