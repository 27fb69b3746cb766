//! DESTs that lead to somebody else: none of them is believed while another leads to the other end. Callers who
//! are somebody else: none of them is told anything.

use super::between::{Between, Verdict};
use super::intruder::Intruder;
use super::{ended, other_key};
use crate::endings::process::{End, Ended, Guard};
use crate::endings::strangers::stranger;
use crate::endings::stream::feed;
use crate::endings::{LONG, MARGIN, SHORT, at_once};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use viamillipede::proto::hello::{Answer, Hello, Refusal, RefusalKind, Role, VERSIONS};

const WORDS: &str = "type your key here";

/// Somebody at a port of his own, who does this with each caller once that has said something.
fn somebody(does: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        for mut caller in listener.incoming().map_while(Result::ok) {
            let _ = caller.read(&mut [0; 4096]);
            does(caller);
        }
    });
    port
}

/// Who says no without having shown that he may.
fn refusing(reason: RefusalKind) -> u16 {
    let mut no = Vec::new();
    Answer::Refuse(Refusal::new(reason, WORDS)).encode(&mut no);
    somebody(move |mut caller| drop(caller.write_all(&no)))
}

fn saying(words: &'static [u8]) -> u16 {
    somebody(move |mut caller| drop(caller.write_all(words)))
}

/// Those who say no, and a reader of the key can tell that it is meant.
fn refusers() -> Vec<(u16, Option<End>)> {
    let mut other = End::holding(&other_key(), &format!("rx 127.0.0.1:0 --patience {LONG}"));
    let mut plain = End::start(&format!("rx 127.0.0.1:0 --patience {LONG}"));
    let access_denied = b"\x15\x03\x03\x00\x02\x02\x31";
    vec![
        (other.port(), Some(other)),
        (plain.port(), Some(plain)),
        (refusing(RefusalKind::Plain), None),
        (saying(access_denied), None),
    ]
}

/// Those whose answer is none.
fn others() -> Vec<u16> {
    let kinds = [RefusalKind::UnknownSession, RefusalKind::Name, RefusalKind::Busy];
    let mut ports: Vec<u16> = kinds.map(refusing).into();
    ports.push(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    ports.push(saying(b"\x16\x03\x03\xff\xff"));
    ports.push(somebody(drop));
    ports.push(somebody(|caller| {
        thread::spawn(move || {
            // He keeps it, and says nothing.
            let _ = (&caller).read_to_end(&mut Vec::new());
        });
    }));
    ports
}

/// The same refusal is not believed any more from a way that has led to the other end.
#[test]
fn once_it_was_welcome_an_end_believes_no_refusal_that_nobody_vouches_for() {
    const TOTAL: u64 = 8 << 20;
    let mut rx = End::guarded(Guard::Key, &format!("rx 127.0.0.1:0 --patience {LONG}"));
    let mut no = Vec::new();
    Answer::Refuse(Refusal::new(RefusalKind::Plain, WORDS)).encode(&mut no);
    let between = Between::start(rx.port(), move |piece| match piece.connection {
        0 if piece.is_dialled && piece.number == 100 => Verdict::Last(Vec::new()),
        1..=3 if !piece.is_dialled => Verdict::Last(no.clone()),
        _ => Verdict::Go(piece.bytes.clone()),
    });
    let line = format!("tx 127.0.0.1:{} --patience {LONG} --workers 1", between.port);
    let mut tx = End::guarded(Guard::Key, &line);
    let drain = rx.drain();
    feed(tx.stdin(), TOTAL);
    assert_eq!([ended(&mut tx).code, ended(&mut rx).code], [0, 0]);
    assert_eq!(drain.finish(), TOTAL);
    assert!(between.said(4, true).len() > 1 << 20, "three were refused before it");
}

fn dests(ports: impl IntoIterator<Item = u16>) -> String {
    ports.into_iter().map(|port| format!("127.0.0.1:{port} ")).collect()
}

#[test]
fn no_dest_that_leads_elsewhere_is_in_the_way_of_one_that_leads_home() {
    let (refusers, others) = (refusers(), others());
    let bad: Vec<u16> = refusers.iter().map(|it| it.0).chain(others).collect();
    let mut rx = End::guarded(Guard::Key, &format!("rx 127.0.0.1:0 --patience {LONG}"));
    // The good one comes last, after all have said no.
    let line = format!("tx {} 127.0.0.1:{} --patience {LONG}", dests(bad), rx.port());
    let mut tx = End::guarded(Guard::Key, &line);
    let drain = rx.drain();
    feed(tx.stdin(), 20_000_000);
    assert_eq!([ended(&mut tx).code, ended(&mut rx).code], [0, 0]);
    assert_eq!(drain.finish(), 20_000_000);
}

#[test]
fn only_when_all_say_no_it_is_believed() {
    let says = |ports: Vec<u16>, patience: u64| {
        let line = format!("tx {} --patience {patience}", dests(ports));
        ended(&mut End::guarded(Guard::Key, &line))
    };
    let refusers = refusers();
    let ports: Vec<u16> = refusers.iter().map(|it| it.0).collect();
    let Ended { code, said } = says(ports.clone(), LONG);
    assert_eq!(code, 3, "{said}");
    assert!(!said.contains(WORDS), "strangers have no say in what people read: {said}");
    at_once(
        others()
            .into_iter()
            .map(|port| {
                let ports = [&ports[..], &[port]].concat();
                Box::new(move || {
                    let ended = says(ports, SHORT);
                    ended.failed(4, "no connection: 127.0.0.1:");
                    ended.failed(4, "it has another key");
                }) as Box<dyn FnOnce() + Send>
            })
            .collect(),
    );
}

/// An end with another key hangs up on a stranger itself; this one does not mind whom he meets.
#[test]
fn who_calls_with_another_key_and_takes_whoever_answers_does_not_get_in() {
    let ways = [("rx", "tx", Role::Sender), ("tx --listen", "rx --connect", Role::Receiver)];
    for (listens, dials, role) in ways {
        let mut words = Vec::new();
        Hello { role, ..stranger(VERSIONS) }.encode(&mut words);
        let line = format!("{listens} 127.0.0.1:0 --patience {LONG}");
        let mut listener = End::telling(Guard::Key, &line);
        let port = listener.port();
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.set_read_timeout(Some(MARGIN)).expect("a socket option");
        let (heard, end) = Intruder::new().call(stream, &words);
        assert!(heard.is_empty() && end.is_err(), "{listens}: {heard:?} {end:?}");
        listener.hears("viamillipede: refused 127.0.0.1: it has another key");
        let line = format!("{dials} 127.0.0.1:{port} --patience {LONG}");
        let mut dialler = End::guarded(Guard::Key, &line);
        let (tx, rx) = match role {
            Role::Sender => (&mut dialler, &mut listener),
            Role::Receiver => (&mut listener, &mut dialler),
        };
        let drain = rx.drain();
        feed(tx.stdin(), 1 << 20);
        assert_eq!([ended(&mut dialler).code, ended(&mut listener).code], [0, 0]);
        assert_eq!(drain.finish(), 1 << 20);
    }
}
