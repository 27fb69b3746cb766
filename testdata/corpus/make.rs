//! Makes the corpus: `rustc make.rs -o make && ./make .` writes its five files here.
//!
//! All is drawn from seeded generators, so that tests can check the files against this, and benches
//! can ask for more of the same kind. Does not know what for.

use std::{env, fs, io, path::Path};

/// The files: name and content.
pub(crate) fn files() -> [(&'static str, Vec<u8>); 5] {
    [
        ("text.txt", text(1, 48 << 10)),
        ("records.bin", records(2, 48 << 10)),
        ("zeros.bin", vec![0; 16 << 10]),
        ("noise.bin", noise(3, 32 << 10)),
        ("mixed.bin", mixed(4, 40 << 10)),
    ]
}

/// Prose of a sort: sentences and paragraphs of common words, the commoner the oftener.
pub(crate) fn text(seed: u64, bytes: usize) -> Vec<u8> {
    const WORDS: &str = "the of and to a in that it is was for on with as his they be at one have \
        this from or had by word but not what all were we when your can said there use an each \
        which she do how their if will up other about out many then them these so some her would \
        make like him into time has look two more write go see number no way could people my than \
        first water been call who oil its now find long down day did get come made may part over \
        new sound take only little work know place year live me back give most very after thing \
        our just name good sentence man think say great where help through much before line right \
        too mean old any same tell boy follow came want show also around form three small set put \
        end does another well large must big even such because turn here why ask went men read \
        need land different home us move try kind hand picture again change off play spell air \
        away animal house point page letter mother answer found study still learn should world";
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut random = Random(seed);
    let mut out = Vec::with_capacity(bytes + 256);
    while out.len() < bytes {
        for place in 0..5 + random.below(15) {
            // The smaller of two draws, twice over, leans towards the front of the list.
            let draw = (0..3).map(|_| random.below(words.len())).min().unwrap_or(0);
            let word = words[draw].as_bytes();
            match place {
                0 => out.push(word[0].to_ascii_uppercase()),
                _ => out.extend([b' ', word[0]]),
            }
            out.extend(&word[1..]);
        }
        let stop: &[u8] = if random.below(6) == 0 { b".\n\n" } else { b". " };
        out.extend(stop);
    }
    out.truncate(bytes);
    out
}

/// Records of 32 bytes, little-endian: number, time, kind, flags, a reading, a random key.
pub(crate) fn records(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let mut out = Vec::with_capacity(bytes + 32);
    let (mut time_us, mut reading) = (1_700_000_000_000_000_u64, 20_000_u32);
    let mut number = 0_u32;
    while out.len() < bytes {
        time_us += 900 + random.below(200) as u64;
        reading = reading + random.below(64) as u32 - 31;
        out.extend(number.to_le_bytes());
        out.extend(time_us.to_le_bytes());
        out.extend((random.below(5) as u16).to_le_bytes());
        out.extend(0x0100_u16.to_le_bytes());
        out.extend(reading.to_le_bytes());
        out.extend((random.draw() as u32).to_le_bytes());
        out.extend([0; 8]);
        number += 1;
    }
    out.truncate(bytes);
    out
}

/// Bytes that no codec can shrink.
pub(crate) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        out.extend(random.draw().to_le_bytes());
    }
    out.truncate(bytes);
    out
}

/// 4 KiB of each kind in turn, as in a disk image.
pub(crate) fn mixed(seed: u64, bytes: usize) -> Vec<u8> {
    const STRETCH: usize = 4 << 10;
    let mut out = Vec::with_capacity(bytes + STRETCH);
    for turn in 0.. {
        match turn % 4 {
            0 => out.extend(text(seed + turn, STRETCH)),
            1 => out.extend(noise(seed + turn, STRETCH)),
            2 => out.extend(records(seed + turn, STRETCH)),
            _ => out.extend([0; STRETCH]),
        }
        if out.len() >= bytes {
            break;
        }
    }
    out.truncate(bytes);
    out
}

/// SplitMix64: 64 good bits from a counter.
pub(crate) struct Random(u64);

impl Random {
    /// The next 64 bits.
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number under `bound`, which is small, so that the bias of a remainder does not matter.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.draw() % bound as u64) as usize
    }
}

/// Writes the files into the folder named, or into this one.
pub(crate) fn main() -> io::Result<()> {
    let folder = env::args().nth(1).unwrap_or_else(|| ".".into());
    for (name, content) in files() {
        fs::write(Path::new(&folder).join(name), content)?;
    }
    Ok(())
}
