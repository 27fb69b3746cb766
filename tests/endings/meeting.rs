//! Ends that never come together: each says why, with the code for it.

use super::process::End;
use super::{LONG, SHORT, at_once};
use crate::harness;
use std::net::TcpListener;

#[test]
fn ends_that_do_not_belong_together_part_at_once() {
    // How the listening end is started, how the dialling one, and why they part.
    let couples = [
        ("rx 127.0.0.1:0 --name a", "tx --name b", "it is named \"a\", not \"b\""),
        ("tx --listen 127.0.0.1:0 --name a", "rx --connect", "it is named \"a\", not \"\""),
        ("rx 127.0.0.1:0", "rx --connect", "both ends receive"),
        ("tx --listen 127.0.0.1:0", "tx", "both ends transmit"),
    ];
    at_once(couples.into_iter().map(part).collect());
}

fn part((listens, dials, why): (&str, &str, &str)) -> Box<dyn FnOnce() + Send> {
    let (listens, dials, why) = (listens.to_owned(), dials.to_owned(), why.to_owned());
    Box::new(move || {
        let mut listening = End::start(&listens);
        let port = listening.port();
        let mut dialling = End::start(&format!("{dials} 127.0.0.1:{port} --patience {LONG}"));
        dialling.ended(0).expect("at once").failed(3, &why);
        assert!(!listening.has_ended(), "the right one may still come");
    })
}

#[test]
fn the_end_that_waits_tells_whom_it_turned_away() {
    let rx = harness::End::start("rx --plain 127.0.0.1:0 --name a");
    let mut tx = harness::End::start(&format!("tx --plain --name b {}", rx.ready()));
    assert_eq!(tx.code(), 3);
    rx.hears(|said| said.contains("127.0.0.1: it wants an end named \"b\"").then_some(()));
}

#[test]
fn a_way_that_leads_nowhere_is_tried_for_all_of_patience() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = closed.local_addr().expect("it is bound").port();
    drop(closed);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let unanswered = silent.local_addr().expect("it is bound").port();
    at_once(vec![
        Box::new(move || gives_up(&format!("127.0.0.1:{port}"), "Connection refused")),
        Box::new(move || gives_up(&format!("127.0.0.1:{unanswered}"), "no answer")),
        Box::new(|| gives_up("name.invalid:5000", "name.invalid:5000")),
    ]);
    drop(silent);
}

fn gives_up(dest: &str, why: &str) {
    let mut tx = End::start(&format!("tx {dest} --patience {SHORT}"));
    let ended = tx.ended(SHORT).expect("patience ends");
    ended.failed(4, dest);
    ended.failed(4, why);
}

#[test]
fn a_port_that_is_taken_is_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound");
    for role in ["rx", "tx --listen"] {
        let ended = End::start(&format!("{role} {address}")).ended(0).expect("at once");
        ended.failed(1, &format!("listen on {address}: Address already in use"));
    }
    let ended = End::start("rx name.invalid:5000").ended(SHORT).expect("at once");
    ended.failed(1, "listen on name.invalid:5000");
}
