//! Decisions, read from arbitrary bytes.
//!
//! Does not know what is decided.

/// Numbers that arithmetic trips over.
const NUMBERS: [u64; 8] = [0, 1, 2, 7, 1 << 32, i64::MAX as u64, u64::MAX - 1, u64::MAX];

/// A tape of decisions; behind its end all of them are 0.
pub struct Tape<'a>(pub &'a [u8]);

impl Tape<'_> {
    /// Whether nothing is left.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `count`.
    pub fn below(&mut self, count: u8) -> u8 {
        self.byte() % count
    }

    /// A number near `place`, or an absurd one.
    pub fn near(&mut self, place: u64) -> u64 {
        match self.byte() {
            wild @ 240.. => NUMBERS[usize::from(wild) % NUMBERS.len()],
            step => place.wrapping_add(u64::from(step % 16)).saturating_sub(4),
        }
    }

    /// Yes or no.
    pub fn coin(&mut self) -> bool {
        self.byte() & 1 == 1
    }
}
