//! Somebody on the way who has no key: he hears all, and does what he likes with it, record by record.
//!
//! Knows where records of TLS begin and end, and nothing of what is in them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The header of a record, which ends in the length of what follows.
const HEADER: usize = 5;
/// The first byte of each kind of record; our own protocol begins with another.
const KINDS: std::ops::RangeInclusive<u8> = 0x14..=0x17;

/// A record, or without TLS whatever came in one piece.
pub struct Piece {
    /// Which connection it is of, in the order of their coming.
    pub connection: usize,
    /// Whether the dialling end said it, or else the one that listens.
    pub is_dialled: bool,
    /// Its number in its direction of its connection.
    pub number: usize,
    pub bytes: Vec<u8>,
}

pub struct Between {
    pub port: u16,
    pieces: Arc<Mutex<Vec<Piece>>>,
}

/// What becomes of a piece.
pub enum Verdict {
    /// This goes on in its place.
    Go(Vec<u8>),
    /// This, and then the connection ends in due form, both ways.
    Last(Vec<u8>),
}

type Meddler = dyn FnMut(&Piece) -> Verdict + Send;

struct Place {
    meddler: Mutex<Box<Meddler>>,
    pieces: Arc<Mutex<Vec<Piece>>>,
}

impl Between {
    /// Stands between the one that dials here and the one that listens at the port `to`.
    pub fn start(to: u16, meddler: impl FnMut(&Piece) -> Verdict + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let pieces = Arc::default();
        let place = Place { meddler: Mutex::new(Box::new(meddler)), pieces: Arc::clone(&pieces) };
        let place = Arc::new(place);
        thread::spawn(move || {
            for (connection, near) in listener.incoming().map_while(Result::ok).enumerate() {
                let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                let (near, far) = (Arc::new(near), Arc::new(far));
                for is_dialled in [true, false] {
                    let (mut from, mut to) = (Arc::clone(&near), Arc::clone(&far));
                    if !is_dialled {
                        (from, to) = (to, from);
                    }
                    let place = Arc::clone(&place);
                    thread::spawn(move || place.pass(connection, is_dialled, &from, &to));
                }
            }
        });
        Between { port, pieces }
    }

    /// One who only listens.
    pub fn listening(to: u16) -> Between {
        Between::start(to, |piece| Verdict::Go(piece.bytes.clone()))
    }

    /// All that was heard so far.
    pub fn heard(&self) -> Vec<u8> {
        self.pieces
            .lock()
            .expect("no panics under it")
            .iter()
            .flat_map(|it| it.bytes.clone())
            .collect()
    }

    /// What one end said on one connection so far.
    pub fn said(&self, connection: usize, is_dialled: bool) -> Vec<u8> {
        let pieces = self.pieces.lock().expect("no panics under it");
        let those =
            pieces.iter().filter(|it| it.connection == connection && it.is_dialled == is_dialled);
        those.flat_map(|it| it.bytes.clone()).collect()
    }
}

impl Place {
    fn pass(&self, connection: usize, is_dialled: bool, mut from: &TcpStream, mut to: &TcpStream) {
        let (mut held, mut chunk) = (Vec::new(), vec![0; 64 << 10]);
        let (mut number, mut is_over) = (0, false);
        while let Ok(read @ 1..) = from.read(&mut chunk) {
            // What is not read would make a reset of the end.
            if is_over {
                continue;
            }
            held.extend_from_slice(&chunk[..read]);
            while let Some(bytes) = first_piece(&mut held) {
                let piece = Piece { connection, is_dialled, number, bytes };
                number += 1;
                let verdict = self.meddler.lock().expect("no panics under it")(&piece);
                self.pieces.lock().expect("no panics under it").push(piece);
                is_over = matches!(verdict, Verdict::Last(_));
                let (Verdict::Go(bytes) | Verdict::Last(bytes)) = verdict;
                // Who has hung up is noticed where he is read from.
                let _ = to.write_all(&bytes);
                if is_over {
                    let _ = (to.shutdown(Shutdown::Write), from.shutdown(Shutdown::Write));
                    break;
                }
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }
}

fn first_piece(held: &mut Vec<u8>) -> Option<Vec<u8>> {
    let bytes = match *held.first_chunk()? {
        [kind, _, _, high, low] if KINDS.contains(&kind) => {
            HEADER + usize::from(u16::from_be_bytes([high, low]))
        }
        _ => held.len(),
    };
    (held.len() >= bytes).then(|| held.drain(..bytes).collect())
}
