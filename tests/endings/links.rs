//! Links as users have them: some dead, some slow to come, fewer places than were asked for, and
//! machines short of descriptors.

use super::process::{End, Pair};
use super::{LONG, SHORT, at_once};
use std::net::TcpListener;

/// A port at which nobody listens.
fn closed_port() -> u16 {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port");
    closed.local_addr().expect("it is bound").port()
}

/// The session has one place, and its number is that of a connection on the dead link.
#[test]
fn the_only_place_of_a_session_goes_to_the_link_that_works() {
    let mut rx = End::start(&format!("rx 127.0.0.1:0 --window 384K --patience {LONG}"));
    let port = rx.port();
    let dests = format!("127.0.0.1:{} 127.0.0.1:{port}", closed_port());
    let tx = End::start(&format!("tx {dests} --patience {SHORT}"));
    Pair { tx, rx, port }.deliver(3 << 20);
}

/// From too few to start with up to enough.
#[test]
fn want_of_descriptors_is_a_failure_of_this_machine() {
    at_once((5..21).map(|limit| short(limit) as Box<dyn FnOnce() + Send>).collect());
}

fn short(limit: u32) -> Box<dyn FnOnce() + Send> {
    Box::new(move || {
        let mut rx = End::start(&format!("rx 127.0.0.1:0 --patience {LONG}"));
        let dest = format!("127.0.0.1:{}", rx.port());
        let line = format!("tx {dest} --patience {SHORT} --workers 2");
        let ended = End::limited(&format!("-n {limit}"), &line).ended(SHORT).expect("it ends");
        if ended.code != 0 {
            ended.failed(1, "Too many open files");
        }
        assert!(ended.code == 0 || limit < 20, "so many are enough: {ended:?}");
    })
}
