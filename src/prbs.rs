//! A pseudo-random stream, to try a way with: made at one end, verified at the other.
//!
//! It is the output of xoshiro256++ (Blackman and Vigna, 2019), whose state is made from the seed by SplitMix64: 64-bit
//! numbers, little-endian, the same on every machine and in every version. It does not compress, no part
//! of it repeats, and it protects nothing. Does not know how it got from one end to the other.

use crate::error::Error;
use crate::pipe;
use crate::sink::Sink;
use crate::stdio;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use std::io::{self, Read};
use std::os::fd::AsFd;

/// So much is made at once: what fits into a pipe, and a multiple of the generator's numbers.
const BLOCK: usize = 1 << 20;

/// One of the streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prbs {
    /// Which.
    pub seed: u64,
    /// Its length in bytes; none is without end.
    pub size: Option<u64>,
}

impl Prbs {
    /// Writes the stream to `sink`. Of a stream without end that is until nobody reads any more.
    pub fn make(&self, mut sink: Box<dyn Sink>) -> Result<(), Error> {
        let (mut blocks, mut left) = (Blocks::new(self.seed), self.size);
        while left != Some(0) {
            let bytes = left.map_or(BLOCK, |left| left.min(BLOCK as u64) as usize);
            match sink.write_all(&blocks.next()[..bytes]) {
                Err(Error::Io { source, .. }) if self.is_enough(&source) => return Ok(()),
                written => written?,
            }
            left = left.map(|left| left - bytes as u64);
        }
        sink.close()
    }

    /// The same as [`Self::check`] of stdin, which must not be closed: that would be a stream of no bytes.
    pub fn check_stdin(&self) -> Result<u64, Error> {
        self.check(stdio::stdin()?)
    }

    /// Compares what is read with the stream, to the end of either; returns how many bytes there were. Whatever is wrong,
    /// the length included, is [`Error::Corrupt`] with the place of the first wrong byte.
    pub fn check(&self, mut input: impl Read + AsFd) -> Result<u64, Error> {
        pipe::widen(&input);
        let (mut blocks, mut seen) = (Blocks::new(self.seed), 0);
        let mut got = vec![0; BLOCK];
        loop {
            let bytes = fill(&mut input, &mut got).map_err(|error| Error::io("stdin", error))?;
            let expected = blocks.next();
            if got[..bytes] != expected[..bytes] {
                let wrong = got.iter().zip(expected).position(|(got, expected)| got != expected);
                let place = wrong.expect("they differ");
                let (got, expected) = (got[place], expected[place]);
                let at = seen + place as u64;
                return Err(wrong_at(format!("byte {at} is {got:#04x}, not {expected:#04x}")));
            }
            seen += bytes as u64;
            match self.size {
                Some(size) if seen > size => {
                    return Err(wrong_at(format!("it goes on after {size} bytes")));
                }
                Some(size) if bytes < BLOCK && seen < size => {
                    return Err(wrong_at(format!("it ends after {seen} bytes of {size}")));
                }
                _ if bytes < BLOCK => return Ok(seen),
                _ => {}
            }
        }
    }

    /// Whether an end of writing is no failure: the reader of a stream without end decides when it has enough.
    fn is_enough(&self, error: &io::Error) -> bool {
        self.size.is_none() && error.kind() == io::ErrorKind::BrokenPipe
    }
}

/// The stream, block by block.
struct Blocks {
    numbers: Xoshiro256PlusPlus,
    block: Vec<u8>,
}

impl Blocks {
    fn new(seed: u64) -> Blocks {
        Blocks { numbers: Xoshiro256PlusPlus::seed_from_u64(seed), block: vec![0; BLOCK] }
    }

    fn next(&mut self) -> &[u8] {
        for number in self.block.chunks_exact_mut(size_of::<u64>()) {
            number.copy_from_slice(&self.numbers.next_u64().to_le_bytes());
        }
        &self.block
    }
}

fn wrong_at(cause: String) -> Error {
    Error::Corrupt { what: "prbs".into(), cause }
}

/// Reads until `buffer` is full or the input ends; returns how much it has.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Seek, Write};

    fn checked(stream: Prbs, bytes: &[u8]) -> Result<u64, Error> {
        let mut file: File = tempfile::tempfile().expect("a file");
        file.write_all(bytes).and_then(|()| file.rewind()).expect("a file takes them");
        stream.check(file)
    }

    #[test]
    fn the_stream_is_that_of_every_version() {
        let mut blocks = Blocks::new(0);
        // From the generator's published reference code.
        assert_eq!(blocks.next()[..8], 0x53175d61490b23df_u64.to_le_bytes());
        assert_ne!(Blocks::new(1).next(), Blocks::new(0).next());
    }

    #[test]
    fn the_first_wrong_byte_is_told() {
        let mut blocks = Blocks::new(7);
        let mut bytes = [blocks.next().to_vec(), blocks.next()[..1000].to_vec()].concat();
        let stream = Prbs { seed: 7, size: None };
        let length = bytes.len() as u64;
        assert_eq!(checked(stream, &bytes).expect("it is right"), length);
        assert_eq!(checked(stream, &[]).expect("any length is right"), 0);
        let sized = |size| Prbs { size: Some(size), ..stream };
        assert_eq!(checked(sized(length), &bytes).expect("it is right"), length);
        let said =
            |stream, bytes: &[u8]| checked(stream, bytes).expect_err("it is wrong").to_string();
        assert!(said(sized(length + 1), &bytes).ends_with("ends after 1049576 bytes of 1049577"));
        assert!(said(sized(length - 1), &bytes).ends_with("goes on after 1049575 bytes"));
        bytes[BLOCK + 5] ^= 1;
        assert!(said(stream, &bytes).starts_with("prbs: byte 1048581 is 0x"));
        assert_eq!(checked(stream, &bytes).expect_err("it is wrong").exit_code(), 5);
    }
}
