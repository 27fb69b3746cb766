//! What `-v` and `-vv` say, each with its fields, and what they never say.

use super::said::Until;
use super::stream::{Pair, Stream, pour_through};
use crate::harness::{End, viamillipede};
use std::io::{self, Cursor};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

/// All that is in the stream of [`carry`].
const SECRET: &str = "bytes of the stream; ";
/// How every key begins.
const KEY: &str = "vmkey1_";
/// How the lines go on that are said without any detail.
const OTHERS: [&str; 6] =
    ["listening on ", "key: ", "sent ", "received ", "cannot connect yet: ", "connected over "];

/// Carries a stream under a key between ends with these options, over two connections; what each said.
fn carry(options: &str) -> [String; 2] {
    let mut rx = viamillipede(&format!("rx {options} 127.0.0.1:0"));
    rx.env_remove("VIAMILLIPEDE_KEY").env_remove("JOURNAL_STREAM");
    let rx = End::run(rx);
    let key = rx.hears(|said| {
        let line = said.lines().find_map(|line| line.strip_prefix("viamillipede: key: "))?;
        Some(line.to_owned())
    });
    let mut tx = viamillipede(&format!("tx {options} --workers 2 {}", rx.ready()));
    tx.env("VIAMILLIPEDE_KEY", &key);
    let mut pair = Pair { tx: End::run(tx), rx };
    pair.carry(Cursor::new(SECRET.repeat(10_000)));
    let said = [pair.tx.said(), pair.rx.said()];
    for said in &said {
        assert!(!said.contains(SECRET) && !said.contains(['\x1b', '\r']), "{said}");
    }
    assert_eq!(
        said.each_ref().map(|said| said.matches(KEY).count()),
        [0, 1],
        "only where it was made"
    );
    said
}

/// The details in what was said, as level and event.
fn details(said: &str) -> Vec<(&str, &str)> {
    let lines = said.lines().map(|line| line.strip_prefix("viamillipede: ").unwrap_or(line));
    let detail = |line: &'_ str| OTHERS.iter().all(|start| !line.starts_with(start));
    let details = lines.filter(|line| detail(line)).map(|line| {
        let (level, rest) = line.split_once(" at ").unwrap_or_else(|| panic!("{line}\nin\n{said}"));
        let (seconds, event) = rest.split_once(" s: ").unwrap_or_else(|| panic!("{line}"));
        assert!(seconds.parse::<f64>().is_ok(), "{line}");
        (level, event)
    });
    details.collect()
}

/// How many of these events there are at this level, with all these fields.
fn count(details: &[(&str, &str)], level: &str, message: &str, fields: &[&str]) -> usize {
    let is_one = |(of, event): &&(&str, &str)| {
        *of == level
            && event.starts_with(message)
            && fields.iter().all(|field| event.contains(&format!(" {field}=")))
    };
    details.iter().filter(is_one).count()
}

#[test]
fn without_a_wish_for_it_there_is_no_detail() {
    for said in carry("") {
        assert_eq!(details(&said), []);
    }
}

#[test]
fn detail_is_what_becomes_of_each_connection_and_of_the_stream() {
    let [tx, rx] = carry("-v").map(|said| {
        let found = details(&said);
        let (met, up) = (["foot_bytes", "workers", "window_bytes"], ["worker", "link", "peer"]);
        assert_eq!(count(&found, "info", "the ends have met", &met), 1, "{said}");
        // The stream may be over before the second is there.
        assert!((1..=2).contains(&count(&found, "debug", "connection is up", &up)), "{said}");
        assert_eq!(count(&found, "trace", "", &[]), 0, "{said}");
        said
    });
    assert_eq!(count(&details(&tx), "debug", "source has ended", &["feet", "bytes"]), 1, "{tx}");
    assert_eq!(count(&details(&tx), "debug", "dialled from now on", &["link", "dest"]), 1, "{tx}");
    assert_eq!(count(&details(&rx), "debug", "sink has succeeded", &["bytes"]), 1, "{rx}");
}

#[test]
fn more_detail_is_how_each_connection_comes_about() {
    let [tx, rx] = carry("-vv");
    let found = details(&tx);
    let steps = ["dialling", "connected", "handshake is over", "hello is answered"];
    for step in steps {
        let steps = count(&found, "trace", step, &["link", "thread"]);
        assert!((1..=2).contains(&steps), "{step}:\n{tx}");
    }
    assert_eq!(count(&found, "info", "the ends have met", &[]), 1, "{tx}");
    let found = details(&rx);
    let who = ["peer", "worker", "link", "kind"];
    assert!((1..=2).contains(&count(&found, "trace", "caller has said hello", &who)), "{rx}");
    assert_eq!(count(&found, "trace", "dialling", &[]), 0, "{rx}");
}

#[test]
fn more_detail_is_why_a_connection_was_closed() {
    let rx = End::start("rx --plain -vv 127.0.0.1:0");
    let tx = End::start(&format!("tx --plain -vv --workers 1 {}", rx.ready()));
    tx.hears(|said| said.contains("connection is up").then_some(()));
    drop(tx);
    let said = rx.hears(|said| said.contains("connection is closed").then(|| said.to_owned()));
    let closed = ["worker", "reason", "feet", "bytes"];
    assert_eq!(count(&details(&said), "trace", "connection is closed", &closed), 1, "{said}");
}

/// The stream goes on until both ends have told twice where the window is.
#[test]
fn more_detail_is_where_the_window_is_and_not_for_each_foot() {
    let mut pair = Pair::start("-vv --foot-size 64K", "-vv");
    let (stdin, stdout) = (pair.tx.stdin.take(), pair.rx.stdout.take());
    let (stdin, stdout) = (stdin.expect("a pipe"), stdout.expect("a pipe"));
    let is_told = AtomicBool::new(false);
    let source = Until { stream: Stream::new(3, u64::MAX), is_over: &is_told, least: 0 };
    thread::scope(|scope| {
        scope.spawn(|| {
            for end in [&pair.tx, &pair.rx] {
                end.hears(|said| (windows(said) > 1).then_some(()));
            }
            is_told.store(true, SeqCst);
        });
        pour_through(source, stdin, stdout, &mut io::sink());
    });
    pair.end_well();
    for end in [&pair.tx, &pair.rx] {
        let said = end.said();
        let at = |line: &str| line.split_once(" s: window ")?.0.rsplit(' ').next()?.parse().ok();
        let last: f64 = said.lines().rev().find_map(at).expect("there were two");
        assert!(windows(&said) as f64 <= last + 1.0, "not more than one a second:\n{said}");
    }
}

fn windows(said: &str) -> usize {
    count(&details(said), "trace", "window ", &["verified", "limit", "unacked_feet", "unsent_feet"])
}
