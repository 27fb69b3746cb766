//! Who dials is independent of who sends, and of who was there first.

use super::stream::{Pair, Stream};
use crate::harness::{End, is_full};
use nix::sys::signal::Signal;
use socket2::{Domain, SockAddr, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

const SIZE: u64 = (2 << 20) + 1;

#[test]
fn the_sender_may_listen() {
    let tx = End::start("tx --plain --listen --verify 127.0.0.1:0");
    let rx = End::start(&format!("rx --plain --connect {}", tx.ready()));
    let mut pair = Pair { tx, rx };
    let tally = pair.carry(Stream::new(1, SIZE));
    pair.said_digest(&tally);
}

#[test]
fn the_receiver_may_ask_for_many_workers() {
    let tx = End::start("tx --plain --listen 127.0.0.1:0");
    let rx = End::start(&format!("rx --plain --connect --workers 16 {}", tx.ready()));
    Pair { tx, rx }.carry(Stream::new(2, SIZE));
}

/// Sockets at one port may share it as long as only one of them listens: so it stays ours while
/// nobody listens there.
#[cfg(target_os = "linux")]
#[test]
fn the_dialling_end_may_start_first() {
    for roles in [["tx --plain", "rx --plain"], ["rx --plain --connect", "tx --plain --listen"]] {
        let reserved = bound((Ipv4Addr::LOCALHOST, 0).into());
        let address = address_of(&reserved);
        let dialler = End::start(&format!("{} {address}", roles[0]));
        // It has certainly dialled when this has happened, and found nobody of ours.
        let nobody = bound(address);
        nobody.set_read_timeout(Some(Duration::from_secs(60))).expect("accept heeds it");
        nobody.listen(1).expect("nobody else listens here");
        nobody.accept().expect("it dials");
        drop(nobody);
        let listener = End::start(&format!("{} {address}", roles[1]));
        let (tx, rx) =
            if roles[0].starts_with("tx") { (dialler, listener) } else { (listener, dialler) };
        Pair { tx, rx }.carry(Stream::new(3, SIZE));
    }
}

#[test]
fn several_ways_lead_to_one_receiver() {
    let rx = End::start("rx --plain 0");
    let port = rx.ready().port();
    let refusing = bound((Ipv4Addr::LOCALHOST, 0).into());
    let mut dests = format!("{},workers=1 127.0.0.1:{port},workers=2", address_of(&refusing));
    let mut workers = vec![(1, 2)];
    if TcpListener::bind("[::1]:0").is_ok() {
        dests += &format!(" [::1]:{port},workers=3");
        workers.push((2, 3));
    }
    let mut pair = Pair { tx: End::start(&format!("tx --plain {dests}")), rx };
    wait_for_workers(&mut pair.rx, &workers);
    pair.carry(Stream::new(4, 8 * SIZE));
    for end in [&pair.tx, &pair.rx] {
        let said = end.said();
        assert!(said.contains(" 0 connections lost"), "a refused way is not a lost one: {said}");
    }
}

#[test]
fn a_second_way_that_refuses_holds_nobody_up() {
    let refusing = bound((Ipv4Addr::LOCALHOST, 0).into());
    for size in [10 << 20, if is_full() { 1024 << 20 } else { 1 }] {
        let rx = End::start("rx --plain 127.0.0.1:0");
        let tx = End::start(&format!("tx --plain {} {}", rx.ready(), address_of(&refusing)));
        Pair { tx, rx }.carry(Stream::new(5, size));
    }
}

/// Asks again and again how it stands, until there are so many workers on each of these links, and no
/// others.
fn wait_for_workers(end: &mut End, wanted: &[(u16, usize)]) {
    let total: usize = wanted.iter().map(|(_, workers)| workers).sum();
    for asked in 1.. {
        end.signal(Signal::SIGUSR1);
        let block = end.hears(|said| {
            let blocks = said.split("viamillipede: ").filter(|it| it.contains("\n  window: "));
            blocks.clone().nth(asked - 1).map(str::to_owned)
        });
        let on = |link: &str| block.lines().filter(|line| line.contains(link)).count();
        if on(" on link ") == total {
            for (link, workers) in wanted {
                assert_eq!(on(&format!(" on link {link} to ")), *workers, "{block}");
            }
            return;
        }
    }
}

fn bound(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None);
    let socket = socket.expect("there are sockets");
    socket.set_reuse_address(true).expect("every system has it");
    socket.bind(&SockAddr::from(address)).expect("the address is ours");
    socket
}

fn address_of(socket: &Socket) -> SocketAddr {
    let address = socket.local_addr().ok().and_then(|address| address.as_socket());
    address.expect("a bound socket has an address")
}
