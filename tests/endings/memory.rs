//! Memory while a foot is missing: all that came after it waits for it, and is no more than the window.

use super::process::{End, Pair};
use super::relay::{Fate, Relay};
use super::stream::put;
use super::{MARGIN, at_once, sample};
use crate::harness::{highest_kib, most_kib};
use std::thread;
use std::time::{Duration, Instant};
use viamillipede::proto::frame::Frame;

/// A stalled connection is given up after half of it.
const PATIENCE: u64 = 8;

#[test]
fn memory_is_bounded_while_the_first_foot_is_missing() {
    let mut stories: Vec<Box<dyn FnOnce() + Send>> =
        vec![Box::new(|| first_foot_is_late("", 64)), Box::new(|| first_foot_is_late("--lz4", 16))];
    if sample(0, 1) == 1 {
        stories.push(Box::new(|| first_foot_is_late("--workers 64 --foot-size 256KiB", 256)));
        stories.push(Box::new(|| first_foot_is_late("--workers 2 --foot-size 16MiB", 256)));
    }
    at_once(stories);
}

/// The first foot is lost until the window has long been full of those after it.
fn first_foot_is_late(flags: &str, window_mib: u64) {
    let window = format!("--patience {PATIENCE} --window {window_mib}MiB");
    let mut rx = End::start(&format!("rx 127.0.0.1:0 {window}"));
    let port = rx.port();
    let until = Instant::now() + Duration::from_secs(3);
    let relay = Relay::judging(port, move |frame, _| match frame {
        Frame::Foot(header) if header.id == 0 && Instant::now() < until => Fate::Drop,
        _ => Fate::Pass,
    });
    let tx = End::start(&format!("tx 127.0.0.1:{} {window} {flags}", relay.port));
    let mut pair = Pair { tx, rx, port };
    let drain = pair.rx.drain();
    let mut source = pair.tx.stdin();
    let total = (3 * window_mib) << 20;
    let source = thread::spawn(move || put(&mut source, 0, total).then_some(source));
    assert!(drain.has_seen(total, MARGIN));
    let used = [&pair.tx, &pair.rx].map(|end| highest_kib(end.pid()));
    drop(source.join().expect("it does not panic"));
    let (tx, rx) = pair.ended(PATIENCE);
    tx.delivered();
    rx.delivered();
    assert_eq!(drain.finish(), total);
    eprintln!("{flags}, window {window_mib} MiB: {used:?} KiB, at most {}", most_kib(window_mib));
    assert!(used.iter().all(|kib| *kib <= most_kib(window_mib)), "{flags}: {used:?} KiB");
}
