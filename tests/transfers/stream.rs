//! Streams of test data, made as they are read, and two ends to carry them.
//!
//! A stream is a function of its seed and size: part text, part noise, no two blocks alike.

use crate::harness::End;
use std::io::{self, Read, Write};
use std::process::{ChildStdin, ChildStdout};
use std::thread;

/// Blocks of a stream; each is a piece of the tile with its number at its start.
const BLOCK: usize = 64 << 10;
/// What a stream's blocks are cut from: the first half text, the other noise.
const TILE: usize = 1 << 20;

/// Test data, to be read.
pub struct Stream {
    tile: Vec<u8>,
    seed: u64,
    block: Vec<u8>,
    place: u64,
    size: u64,
}

impl Stream {
    /// The stream of this seed and size.
    pub fn new(seed: u64, size: u64) -> Stream {
        let mut noise = vec![0; TILE];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut noise);
        let text = noise[..TILE / 2].iter().flat_map(|byte| WORDS[usize::from(byte % 16)].bytes());
        let mut tile: Vec<u8> = text.take(TILE / 2).collect();
        tile.extend_from_slice(&noise[TILE / 2..]);
        Stream { tile, seed, block: Vec::new(), place: 0, size }
    }

    fn make_block(&mut self, number: u64) {
        let spread = (number ^ self.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let start = spread as usize % (TILE - BLOCK);
        self.block.clear();
        self.block.extend_from_slice(&number.to_le_bytes());
        self.block.extend_from_slice(&self.tile[start..][..BLOCK - size_of::<u64>()]);
    }
}

const WORDS: [&str; 16] = [
    "foot ", "worker ", "link ", "window ", "stream ", "session ", "ack ", "of ", "the ", "and ",
    "a ", "to ", "pipe\n", "in ", "order ", "is ",
];

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let within = (self.place % BLOCK as u64) as usize;
        if within == 0 {
            self.make_block(self.place / BLOCK as u64);
        }
        let left = usize::try_from(self.size - self.place).unwrap_or(usize::MAX);
        let bytes = buffer.len().min(BLOCK - within).min(left);
        buffer[..bytes].copy_from_slice(&self.block[within..][..bytes]);
        self.place += bytes as u64;
        Ok(bytes)
    }
}

/// What passed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    pub bytes: u64,
    pub hash: blake3::Hash,
}

/// Copies all of `from` to `to`, and says what it was.
pub fn pour(from: &mut impl Read, to: &mut impl Write) -> io::Result<Tally> {
    let (mut chunk, mut hasher, mut total) = (vec![0; 4 * BLOCK], blake3::Hasher::new(), 0);
    loop {
        let bytes = from.read(&mut chunk)?;
        if bytes == 0 {
            return Ok(Tally { bytes: total, hash: hasher.finalize() });
        }
        hasher.update(&chunk[..bytes]);
        to.write_all(&chunk[..bytes])?;
        total += bytes as u64;
    }
}

/// Copies all of a stream into one end and out of the other.
pub fn pour_through(
    mut stream: impl Read + Send,
    mut stdin: ChildStdin,
    mut stdout: ChildStdout,
    sink: &mut impl Write,
) -> Tally {
    let (sent, received) = thread::scope(|scope| {
        let feeder = scope.spawn(move || pour(&mut stream, &mut stdin));
        let received = pour(&mut stdout, sink);
        (feeder.join().expect("it only copies"), received)
    });
    let sent = sent.expect("tx takes all of its input");
    assert_eq!(received.expect("rx gives its output"), sent, "what goes in comes out");
    sent
}

/// A sending and a receiving process.
pub struct Pair {
    pub tx: End,
    pub rx: End,
}

impl Pair {
    /// `rx` listens, `tx` dials; both with these options beside.
    pub fn start(tx: &str, rx: &str) -> Pair {
        let rx = End::start(&format!("rx --plain {rx} 127.0.0.1:0"));
        let tx = End::start(&format!("tx --plain {tx} {}", rx.ready()));
        Pair { tx, rx }
    }

    /// Carries a stream from here to here, and holds both ends to it.
    pub fn carry(&mut self, stream: impl Read + Send) -> Tally {
        self.carry_into(stream, &mut io::sink())
    }

    /// The same, with what comes out going to `sink`.
    pub fn carry_into(&mut self, stream: impl Read + Send, sink: &mut impl Write) -> Tally {
        let stdin = self.tx.stdin.take().expect("stdin is a pipe");
        let stdout = self.rx.stdout.take().expect("stdout is a pipe");
        let sent = pour_through(stream, stdin, stdout, sink);
        self.end_well();
        sent
    }

    /// Both ends end by themselves, with success.
    pub fn end_well(&mut self) {
        assert_eq!((self.tx.code(), self.rx.code()), (0, 0), "codes of tx and rx");
    }

    /// With `--verify`, both ends say what `b3sum` would.
    pub fn said_digest(&self, of: &Tally) {
        let line = format!("viamillipede: blake3 {}", of.hash);
        for end in [&self.tx, &self.rx] {
            assert_eq!(end.said().lines().filter(|said| *said == line).count(), 1, "{line}");
        }
    }
}
