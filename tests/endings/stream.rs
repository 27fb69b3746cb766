//! A stream of which each byte is known by its place: made, and checked as it comes out.
//!
//! Does not know who carries it.

use super::scatter;
use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The stream repeats after so many bytes: no multiple of any foot size, so that feet in a wrong order
/// show.
const PERIOD: usize = (1 << 20) + 7;
const CHUNK: usize = 256 << 10;

fn period() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let twice = (0..(PERIOD as u64).div_ceil(8)).flat_map(|n| scatter(n).to_le_bytes());
        let once: Vec<u8> = twice.take(PERIOD).collect();
        // A chunk that begins anywhere in the period is one slice of this.
        [&once[..], &once[..CHUNK]].concat()
    })
}

fn at(offset: u64, bytes: usize) -> &'static [u8] {
    let start = (offset % PERIOD as u64) as usize;
    &period()[start..start + bytes]
}

/// Writes the bytes from `offset` on; false when nobody takes them any more.
pub fn put(sink: &mut impl Write, offset: u64, bytes: u64) -> bool {
    let mut place = offset;
    while place < offset + bytes {
        let some = (offset + bytes - place).min(CHUNK as u64);
        if sink.write_all(at(place, some as usize)).is_err() {
            return false;
        }
        place += some;
    }
    true
}

/// Writes the first `bytes` of the stream and ends it, on a thread of its own.
pub fn feed(mut sink: impl Write + Send + 'static, bytes: u64) {
    thread::spawn(move || put(&mut sink, 0, bytes));
}

/// Reads a stream to its end, on a thread of its own.
pub struct Drain {
    seen: Arc<(Mutex<u64>, Condvar)>,
    thread: JoinHandle<u64>,
}

impl Drain {
    pub fn start(mut source: impl Read + Send + 'static) -> Drain {
        let seen = Arc::new((Mutex::new(0), Condvar::new()));
        let shown = Arc::clone(&seen);
        let thread = thread::spawn(move || {
            let mut buffer = vec![0; CHUNK];
            let mut place = 0;
            loop {
                match source.read(&mut buffer) {
                    Ok(0) | Err(_) => return place,
                    Ok(read) => {
                        let same = buffer[..read] == *at(place, read);
                        assert!(same, "wrong bytes from {place} on");
                        place += read as u64;
                        *shown.0.lock().expect("no panics under it") = place;
                        shown.1.notify_all();
                    }
                }
            }
        });
        Drain { seen, thread }
    }

    /// Waits until so many bytes have come out; says whether they did in time.
    pub fn has_seen(&self, bytes: u64, within: Duration) -> bool {
        let seen = self.seen.0.lock().expect("no panics under it");
        let waited = self.seen.1.wait_timeout_while(seen, within, |seen| *seen < bytes);
        !waited.expect("no panics under it").1.timed_out()
    }

    /// How many bytes came out in all, each of them right.
    pub fn finish(self) -> u64 {
        self.thread.join().expect("the bytes that came out are those of the stream")
    }
}

#[test]
#[should_panic(expected = "the bytes that came out are those of the stream")]
fn a_drain_notices_a_bit_that_flipped() {
    let mut bytes = at(0, CHUNK).to_vec();
    bytes[CHUNK / 2] ^= 1;
    Drain::start(std::io::Cursor::new(bytes)).finish();
}
