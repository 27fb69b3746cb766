//! What somebody on the way reads: all of a stream without a key, and nothing with one.

use super::between::Between;
use super::ended;
use crate::endings::process::{End, Guard, KEY};
use crate::endings::{LONG, MARGIN, at_once};
use std::io::Write;

const MARK: &[u8] = b"this is what nobody shall read. ";
const NAME: &str = "a-name-that-nobody-shall-know";

fn holds(heard: &[u8], part: &[u8]) -> bool {
    heard.windows(part.len()).any(|window| window == part)
}

/// Carries a stream of marks past somebody who listens, and says what he heard.
fn overheard(guard: Guard) -> Vec<u8> {
    let mut rx =
        End::guarded(guard, &format!("rx 127.0.0.1:0 --patience {LONG} --verify --name {NAME}"));
    let between = Between::listening(rx.port());
    let line = format!("tx 127.0.0.1:{} --patience {LONG} --name {NAME}", between.port);
    let mut tx = End::guarded(guard, &line);
    let mut source = tx.stdin();
    let stream = MARK.repeat(2 << 20 >> 5);
    source.write_all(&stream).expect("tx takes it");
    drop(source);
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut rx.stdout(), &mut out).expect("rx gives it");
    assert!(out == stream, "{} bytes came out", out.len());
    assert_eq!([ended(&mut tx).code, ended(&mut rx).code], [0, 0]);
    between.heard()
}

#[test]
fn with_a_key_nobody_on_the_way_reads_the_stream_or_its_name() {
    at_once(vec![
        Box::new(|| {
            let heard = overheard(Guard::Key);
            assert!(heard.len() > 2 << 20, "{} bytes are not all", heard.len());
            // Not even a part of a mark, and not a word of the protocol.
            for part in
                [&MARK[..8], &MARK[24..], NAME.as_bytes(), &viamillipede::proto::hello::MAGIC]
            {
                assert!(!holds(&heard, part), "{}", String::from_utf8_lossy(part));
            }
            assert!(!holds(&heard, KEY.as_bytes()));
        }),
        Box::new(|| {
            let heard = overheard(Guard::Plain);
            assert!(holds(&heard, &MARK.repeat(100)) && holds(&heard, NAME.as_bytes()));
        }),
    ]);
}

/// What was recorded of a session opens nothing: neither while it lasts nor after it, at neither end.
#[test]
fn what_was_recorded_of_a_session_is_of_no_use() {
    let mut rx = End::guarded(Guard::Key, &format!("rx 127.0.0.1:0 --patience {LONG}"));
    let port = rx.port();
    let between = Between::listening(port);
    let line = format!("tx 127.0.0.1:{} --patience {LONG} --workers 1", between.port);
    let mut tx = End::guarded(Guard::Key, &line);
    let mut source = tx.stdin();
    let drain = rx.drain();
    const PART: u64 = 4 << 20;
    assert!(crate::endings::stream::put(&mut source, 0, PART) && drain.has_seen(PART, MARGIN));
    let recorded = between.said(0, true);
    assert!(recorded.len() as u64 > PART);
    let replay = || {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.set_read_timeout(Some(MARGIN)).expect("a socket option");
        let _ = stream.write_all(&recorded);
        let mut answer = Vec::new();
        let hung_up = std::io::Read::read_to_end(&mut stream, &mut answer);
        let is_late = |error: std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        assert!(!hung_up.is_err_and(is_late), "it is still listened to");
        assert!(answer.len() < 8 << 10, "no more than a handshake: {} bytes", answer.len());
    };
    replay();
    assert!(
        crate::endings::stream::put(&mut source, PART, PART) && drain.has_seen(2 * PART, MARGIN)
    );
    replay();
    drop(source);
    assert_eq!([ended(&mut tx).code, ended(&mut rx).code], [0, 0]);
    assert_eq!(drain.finish(), 2 * PART);
    assert!(tx_is_not_fooled(between.said(0, false)));
}

/// Plays what a true receiver once said to a new sender with the same key.
fn tx_is_not_fooled(recorded: Vec<u8>) -> bool {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.write_all(&recorded);
        }
    });
    let mut tx = End::guarded(Guard::Key, &format!("tx 127.0.0.1:{port} --patience 2"));
    drop(tx.stdin());
    ended(&mut tx).code == 4
}
