//! The checks of feet, and the BLAKE3 of the stream.
//!
//! Without `--verify` a foot's check is its XXH3-128: it finds what links, memory and programs do to a foot,
//! at a tenth of what a cryptographic hash costs, which is a quarter of all that a raw stream costs. Against an
//! adversary no check helps that travels with the data: that is what the key is for.
//!
//! With `--verify` the stream has a digest, and most feet get their check from it. BLAKE3 is a tree over the
//! stream. Feet never cross a multiple of the foot size, a power of two, so a *full* foot, one that begins at
//! such a multiple and fills it, is a subtree: its chaining value serves as its check, and the digest of the
//! stream is folded from values that were computed in parallel. Other feet are *short*; the stretch they share
//! is hashed in order.
//!
//! Does not know what a check is compared with, nor in what order feet arrive: [`StreamDigest`]
//! takes their stretches in the order of the stream.

use blake3::Hasher;
use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use twox_hash::XxHash3_128;

use crate::foot::Hash;

/// What hashing one foot gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FootCheck {
    /// The check that travels with the foot.
    pub check: Hash,
    /// For a full foot at offset 0, the digest of a stream that ends with it, where there is one. (The
    /// root of a tree is finished in another way than its branches.)
    pub root: Option<Hash>,
}

/// Whether a foot fills a multiple of the foot size, and so is a subtree of the stream.
pub fn is_full(foot_bytes: u32, offset: u64, raw_bytes: usize) -> bool {
    raw_bytes == foot_bytes as usize && offset.is_multiple_of(u64::from(foot_bytes))
}

/// How the feet of a session are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checks {
    /// Raw bytes of a full foot.
    pub foot_bytes: u32,
    /// Whether full feet are hashed for the digest of the stream.
    pub verify: bool,
}

impl Checks {
    /// Hashes one foot.
    ///
    /// Where the stream is digested, the check of a full foot is its chaining value at its offset. That of any
    /// other is XXH3-128 seeded with its offset (16 bytes little-endian, then zeros). So either tells a foot in
    /// the wrong place from one in the right place.
    pub fn foot(self, offset: u64, raw: &[u8]) -> FootCheck {
        if !self.verify || !is_full(self.foot_bytes, offset, raw.len()) {
            let mut check = [0; 32];
            let hash = XxHash3_128::oneshot_with_seed(offset, raw);
            check[..16].copy_from_slice(&hash.to_le_bytes());
            return FootCheck { check, root: None };
        }
        let mut hasher = hasher_at(offset);
        hasher.update(raw);
        FootCheck {
            check: hasher.finalize_non_root(),
            root: (offset == 0).then(|| hasher.finalize().into()),
        }
    }
}

/// A hash in hexadecimal, as `b3sum` prints it.
pub fn hex(hash: &Hash) -> String {
    blake3::Hash::from_bytes(*hash).to_hex().to_string()
}

/// The hash of one stretch of the stream: what lies between two multiples of the foot size, or
/// between the last multiple and the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Where it begins: at a multiple of the foot size.
    pub offset: u64,
    /// Its chaining value.
    pub check: Hash,
    /// Of the first stretch, the digest of a stream that ends with it.
    pub root: Option<Hash>,
}

/// Hashes the stretches that are made of short feet, which must come in the order of the stream.
pub struct ShortFeet {
    foot_bytes: u64,
    open: Option<(u64, Hasher)>,
}

impl ShortFeet {
    /// None so far. `foot_bytes` is a power of two, as [`crate::foot`] has it.
    pub fn new(foot_bytes: u32) -> ShortFeet {
        ShortFeet { foot_bytes: u64::from(foot_bytes), open: None }
    }

    /// Takes the next short foot; returns the stretch that it fills up.
    ///
    /// # Panics
    ///
    /// When a foot crosses a multiple of the foot size, or does not begin where the last one ended.
    pub fn push(&mut self, offset: u64, raw: &[u8]) -> Option<Stretch> {
        let place = offset % self.foot_bytes;
        let (start, stretch) = self.open.get_or_insert_with(|| (offset, hasher_at(offset)));
        assert_eq!(*start + stretch.count(), offset, "short feet come in order");
        assert!(place + raw.len() as u64 <= self.foot_bytes, "a foot crosses its foot size");
        stretch.update(raw);
        if stretch.count() == self.foot_bytes { self.close() } else { None }
    }

    /// The stretch that is not full, if there is one: the last one of the stream.
    pub fn finish(mut self) -> Option<Stretch> {
        self.close()
    }

    fn close(&mut self) -> Option<Stretch> {
        let (offset, stretch) = self.open.take()?;
        Some(Stretch {
            offset,
            check: stretch.finalize_non_root(),
            root: (offset == 0).then(|| stretch.finalize().into()),
        })
    }
}

/// The BLAKE3 of a stream, from its stretches in order: the same as hashing it in one go.
///
/// A few hundred bytes for each doubling of the stream, and next to no work.
#[derive(Debug, Default)]
pub struct StreamDigest {
    /// Chaining values of larger and larger subtrees from top to bottom. Two of equal size are merged
    /// only when a further stretch comes: the last merge makes the root, and which one that is only
    /// the end of the stream tells.
    subtrees: Vec<Hash>,
    /// How many stretches are in `subtrees`.
    stretches: u64,
    /// The digest, should the stream end after its first stretch.
    root: Option<Hash>,
}

impl StreamDigest {
    /// Of an empty stream.
    pub fn new() -> StreamDigest {
        StreamDigest::default()
    }

    /// Takes the next stretch. Only the last one may be shorter than the foot size.
    pub fn push(&mut self, stretch: Stretch) {
        // Something follows what is there, so none of it is the root: subtrees of equal size merge
        // until each stands for one bit of their number.
        while self.subtrees.len() > self.stretches.count_ones() as usize {
            let right = self.subtrees.pop().expect("longer than a count of ones");
            let left = self.subtrees.last_mut().expect("stretches have at least a bit set");
            *left = merge_subtrees_non_root(left, &right, Mode::Hash);
        }
        self.subtrees.push(stretch.check);
        self.root = stretch.root;
        self.stretches += 1;
    }

    /// The digest of all that was pushed.
    pub fn finish(mut self) -> Hash {
        let Some(mut right) = self.subtrees.pop() else { return blake3::hash(b"").into() };
        let Some((&largest, rest)) = self.subtrees.split_first() else {
            return self.root.expect("the only stretch is the first, which has a root");
        };
        for left in rest.iter().rev() {
            right = merge_subtrees_non_root(left, &right, Mode::Hash);
        }
        merge_subtrees_root(&largest, &right, Mode::Hash).into()
    }
}

/// A hasher for the subtree that begins at `offset`.
fn hasher_at(offset: u64) -> Hasher {
    let mut hasher = Hasher::new();
    hasher.set_input_offset(offset);
    hasher
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FOOT_BYTES: u32 = 64 << 10;
    const VERIFYING: Checks = Checks { foot_bytes: FOOT_BYTES, verify: true };

    /// Bytes of which no two stretches are alike.
    fn stream(bytes: usize) -> Vec<u8> {
        let mut stream = vec![0; bytes];
        Hasher::new().update(b"stream").finalize_xof().fill(&mut stream);
        stream
    }

    /// The digest of `stream`, cut where the foot size says and after as many bytes as each of
    /// `cuts` says in turn.
    fn digest(stream: &[u8], mut cuts: impl Iterator<Item = usize>) -> Hash {
        let mut digest = StreamDigest::new();
        let mut short_feet = ShortFeet::new(FOOT_BYTES);
        let mut offset = 0;
        while offset < stream.len() {
            let rest = FOOT_BYTES as usize - offset % FOOT_BYTES as usize;
            let cut = cuts.next().unwrap_or(rest).clamp(1, rest);
            let raw = &stream[offset..stream.len().min(offset + cut)];
            let place = offset as u64;
            if is_full(FOOT_BYTES, place, raw.len()) {
                let FootCheck { check, root } = VERIFYING.foot(place, raw);
                digest.push(Stretch { offset: place, check, root });
            } else if let Some(stretch) = short_feet.push(place, raw) {
                digest.push(stretch);
            }
            offset += raw.len();
        }
        if let Some(stretch) = short_feet.finish() {
            digest.push(stretch);
        }
        digest.finish()
    }

    fn whole(stream: &[u8]) -> Hash {
        blake3::hash(stream).into()
    }

    #[test]
    fn full_feet_and_a_rest_give_the_digest_of_the_stream() {
        let foot_bytes = FOOT_BYTES as usize;
        let stream = stream(17 * foot_bytes + 1);
        for feet in 0..=17 {
            for bytes in [feet * foot_bytes, feet * foot_bytes + 1, (feet * foot_bytes).max(1) - 1]
            {
                let stream = &stream[..bytes];
                assert_eq!(digest(stream, [].into_iter()), whole(stream), "{bytes}");
            }
        }
    }

    #[test]
    fn short_feet_that_fill_a_stretch_give_the_digest_of_the_stream() {
        let half = FOOT_BYTES as usize / 2;
        let stream = stream(9 * 2 * half);
        for feet in 1..=9 {
            let stream = &stream[..feet * 2 * half];
            let halves = std::iter::repeat(half);
            assert_eq!(digest(stream, halves.clone()), whole(stream), "{feet}");
            // Only the first stretch in halves, and only the last.
            assert_eq!(digest(stream, halves.clone().take(2)), whole(stream), "{feet}");
            let last = std::iter::repeat_n(2 * half, feet - 1).chain(halves);
            assert_eq!(digest(stream, last), whole(stream), "{feet}");
        }
    }

    #[test]
    fn check_binds_the_offset() {
        let raw = stream(FOOT_BYTES as usize);
        let foot_bytes = u64::from(FOOT_BYTES);
        for checks in [VERIFYING, Checks { verify: false, ..VERIFYING }] {
            let check = |offset, raw| checks.foot(offset, raw).check;
            assert_ne!(check(0, &raw), check(foot_bytes, &raw));
            assert_ne!(check(0, &raw[1..]), check(1, &raw[1..]));
            // The last full foot that a stream can have.
            check(foot_bytes * (u64::MAX / foot_bytes), &raw);
        }
    }

    #[test]
    fn hex_is_what_b3sum_prints() {
        let empty = StreamDigest::new().finish();
        let printed = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(hex(&empty), printed);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_split_gives_the_digest_of_the_stream(
            bytes in prop_oneof![0..1_200_000_usize, (0..18_usize).prop_map(|feet| feet << 16)],
            cuts in prop::collection::vec(
                prop_oneof![Just(usize::MAX), 1..70_000_usize, 1..3000_usize],
                0..60,
            ),
        ) {
            let stream = stream(bytes);
            prop_assert_eq!(digest(&stream, cuts.into_iter()), whole(&stream));
        }

        #[test]
        fn a_flipped_bit_changes_the_check(
            offset in prop_oneof![Just(0_u64), Just(64 << 10), 1..60_000_u64],
            full in any::<bool>(),
            verify in any::<bool>(),
            bit in 0..(8 * 65536_usize),
        ) {
            let mut raw = stream(if full { 65536 } else { 5000 });
            // A full foot begins at a multiple of its size.
            let offset = if full { offset & !0xffff } else { offset };
            let checks = Checks { foot_bytes: FOOT_BYTES, verify };
            let before = checks.foot(offset, &raw);
            let place = bit / 8 % raw.len();
            raw[place] ^= 1 << (bit % 8);
            let after = checks.foot(offset, &raw);
            prop_assert_ne!(before.check, after.check);
            prop_assert!(before.root.is_none() || before.root != after.root);
        }
    }
}
