//! Packing and unpacking one foot: none, zstd or lz4, into buffers that are there already.
//!
//! Each foot is packed on its own, so feet may be unpacked in any order and a lost one costs no
//! other. Contexts are kept from foot to foot; after the first there is no allocation. What comes
//! out of [`Unpacker`] has the right length and no other promise: whether it has the right *bytes*
//! is for [`crate::digest`] to say, which is why zstd's own checksum is off.
//!
//! Does not know threads (keep one [`Packer`] and one [`Unpacker`] on each), the wire, or which
//! level is wise.

use std::fmt;
use std::ops::RangeInclusive;

use lz4_flex::block::{self, CompressTable, DecompressError};
use zstd::zstd_safe::{self, CCtx, CParameter, DCtx, ResetDirective};

use crate::foot::Codec;

/// The zstd levels that may be asked for. Beyond 19, memory grows out of all proportion.
pub const ZSTD_LEVELS: RangeInclusive<i32> = -7..=19;

/// The highest level that `--adapt` chooses: more time hardly makes less any more.
const MAX_ADAPT_LEVEL: i32 = 9;

/// How `--adapt` may pack a foot, from the cheapest to the tightest.
pub const LADDER: [Packing; 6] = [
    Packing::None,
    Packing::Zstd(1),
    Packing::Zstd(2),
    Packing::Zstd(3),
    Packing::Zstd(6),
    Packing::Zstd(MAX_ADAPT_LEVEL),
];

/// Level 3 with a long hash table of half zstd's size (256 KiB), which leaves more of a core's own cache
/// to the foot when every core packs: 1 % and 6 % less CPU in two noisy runs of five, for 0.24 % more
/// bytes, on a tar of /usr.
const HASH_LOG_OF_3: u32 = 16;

/// How the user wants feet packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    #[default]
    None,
    /// With zstd at this level, one of [`ZSTD_LEVELS`]; 0 is zstd's own default, which is 3.
    Zstd(i32),
    /// With lz4.
    Lz4,
    /// Not at all or with zstd, by what holds the stream up; which, is said anew for each foot
    /// ([`Packer::set_packing`]).
    Adapt,
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Packing::None => f.write_str("none"),
            Packing::Zstd(level) => write!(f, "zstd {level}"),
            Packing::Lz4 => f.write_str("lz4"),
            Packing::Adapt => f.write_str("adapt"),
        }
    }
}

/// The version of the zstd that is linked.
pub fn zstd_version() -> &'static str {
    zstd_safe::version_string()
}

/// Length of the buffer that packing a foot may need.
///
/// More than the foot, though nothing that long is ever sent: lz4 does not start without room for
/// its worst case.
pub fn packed_bound(foot_bytes: u32) -> usize {
    block::get_maximum_output_size(foot_bytes as usize)
}

/// The most memory a [`Packer`] comes to hold with feet of up to `foot_bytes`, in bytes.
///
/// An upper bound, at most four times the truth (or 4 MiB): zstd's tables grow with the level, and with the
/// foot until it outgrows the level's window. At 1 MiB feet level 3 takes 1.2 MiB, 9 takes 10 MiB
/// and 19 takes 17 MiB; at 16 MiB feet level 19 takes 81 MiB.
pub fn packer_bytes(packing: Packing, foot_bytes: u32) -> u64 {
    /// For level 1 onwards, measured with zstd 1.5.7 on feet of 16 MiB.
    const ZSTD_LEVEL_MIB: [u64; 19] =
        [1, 1, 2, 3, 3, 3, 6, 6, 11, 21, 21, 41, 33, 49, 65, 33, 49, 50, 82];
    const MIB: u64 = 1 << 20;
    const LZ4_TABLE_BYTES: u64 = 16 << 10;
    match packing {
        Packing::None => 0,
        Packing::Lz4 => LZ4_TABLE_BYTES,
        Packing::Adapt => packer_bytes(Packing::Zstd(MAX_ADAPT_LEVEL), foot_bytes),
        Packing::Zstd(level) => {
            let level = if level == 0 { 3 } else { level.clamp(1, *ZSTD_LEVELS.end()) };
            // No tables take more than 20 bytes for each byte they can refer to.
            (ZSTD_LEVEL_MIB[level as usize - 1] * MIB).min(MIB + 20 * u64::from(foot_bytes))
        }
    }
}

/// Packs feet; for one thread.
pub struct Packer {
    packing: Packing,
    /// Made at the first foot that needs it, as is `lz4`.
    zstd: Option<CCtx<'static>>,
    lz4: Option<CompressTable>,
}

impl Packer {
    /// A packer that holds no memory yet.
    pub fn new(packing: Packing) -> Packer {
        Packer { packing, zstd: None, lz4: None }
    }

    /// How the next foot is packed.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// Packs the next feet in another way. Costs next to nothing.
    pub fn set_packing(&mut self, packing: Packing) {
        self.packing = packing;
    }

    /// Packs `raw` into the front of `into`, and says how and how long; `None` when that makes it
    /// no shorter, and the raw bytes should travel.
    ///
    /// Should a codec fail in itself, such as for want of memory for its tables, the foot travels
    /// raw too: the stream is whole all the same.
    ///
    /// # Panics
    ///
    /// When `into` is shorter than [`packed_bound`] of the length of `raw`.
    pub fn pack(&mut self, raw: &[u8], into: &mut [u8]) -> Option<(Codec, usize)> {
        assert!(into.len() >= block::get_maximum_output_size(raw.len()), "no room to pack");
        match self.packing {
            Packing::None | Packing::Adapt => None,
            Packing::Zstd(level) => {
                // With room for less than the foot, zstd stops by itself when it does not shrink.
                let room = &mut into[..raw.len().saturating_sub(1)];
                Some((Codec::Zstd, self.pack_zstd(level, raw, room)?))
            }
            Packing::Lz4 => {
                let table = self.lz4.get_or_insert_with(CompressTable::large);
                let packed_bytes = block::compress_into_with_table(raw, into, table).ok()?;
                (packed_bytes < raw.len()).then_some((Codec::Lz4, packed_bytes))
            }
        }
    }

    fn pack_zstd(&mut self, level: i32, raw: &[u8], room: &mut [u8]) -> Option<usize> {
        let context = match &mut self.zstd {
            Some(context) => context,
            none => none.insert(zstd_context()?),
        };
        context.set_parameter(CParameter::CompressionLevel(level)).ok()?;
        context
            .set_parameter(CParameter::HashLog(if level == 3 { HASH_LOG_OF_3 } else { 0 }))
            .ok()?;
        let packed_bytes = context.compress2(room, raw).ok();
        if packed_bytes.is_none() {
            // The frame that did not fit is still open, and would refuse the next parameter.
            // Resetting no more than the session cannot fail.
            let _ = context.reset(ResetDirective::SessionOnly);
        }
        packed_bytes
    }
}

/// A context whose frames say nothing that the foot's header says: 1 to 3 bytes less a foot.
fn zstd_context() -> Option<CCtx<'static>> {
    let mut context = CCtx::try_create()?;
    context.set_parameter(CParameter::ContentSizeFlag(false)).ok()?;
    context.set_parameter(CParameter::ChecksumFlag(false)).ok()?;
    Some(context)
}

/// Why a foot could not be unpacked. The foot is corrupt, or its header is.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It is no valid zstd frame, or makes more bytes than the header says.
    #[error("foot is no valid zstd: {0}")]
    Zstd(&'static str),
    /// It is no valid lz4 block, or makes more bytes than the header says.
    #[error("foot is no valid lz4: {0}")]
    Lz4(#[from] DecompressError),
    /// It makes another number of bytes than the header says.
    #[error("foot unpacks to {unpacked_bytes} bytes, its header says {raw_bytes}")]
    Length {
        /// What came out.
        unpacked_bytes: usize,
        /// What should have come out.
        raw_bytes: usize,
    },
}

/// Unpacks feet, hostile ones too; for one thread. Takes 94 KiB once it has met zstd.
///
/// Output goes straight into the slice that is given, and is the only history that matches are
/// copied from, so windows and sizes that a frame claims for itself allocate nothing.
#[derive(Default)]
pub struct Unpacker {
    zstd: Option<DCtx<'static>>,
}

impl Unpacker {
    /// An unpacker that holds no memory yet.
    pub fn new() -> Unpacker {
        Unpacker::default()
    }

    /// Unpacks `packed` into `into`, which has just the length of the raw foot.
    ///
    /// After an error `into` holds rubbish.
    pub fn unpack(
        &mut self,
        codec: Codec,
        packed: &[u8],
        into: &mut [u8],
    ) -> Result<(), UnpackError> {
        let raw_bytes = into.len();
        let unpacked_bytes = match codec {
            Codec::Raw => {
                if packed.len() == raw_bytes {
                    into.copy_from_slice(packed);
                }
                packed.len()
            }
            Codec::Zstd => self.unpack_zstd(packed, into)?,
            Codec::Lz4 => block::decompress_into(packed, into)?,
        };
        if unpacked_bytes != raw_bytes {
            return Err(UnpackError::Length { unpacked_bytes, raw_bytes });
        }
        Ok(())
    }

    fn unpack_zstd(&mut self, packed: &[u8], into: &mut [u8]) -> Result<usize, UnpackError> {
        let context = match &mut self.zstd {
            Some(context) => context,
            none => none.insert(DCtx::try_create().ok_or(UnpackError::Zstd("out of memory"))?),
        };
        context
            .decompress(into, packed)
            .map_err(|code| UnpackError::Zstd(zstd_safe::get_error_name(code)))
    }
}

#[cfg(test)]
#[path = "../testdata/corpus/make.rs"]
#[expect(dead_code, reason = "its main and its generators are for other uses")]
mod corpus;

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use proptest::prelude::*;

    use super::*;

    const PACKINGS: [Packing; 8] = [
        Packing::Lz4,
        Packing::Zstd(-7),
        Packing::Zstd(-1),
        Packing::Zstd(0),
        Packing::Zstd(1),
        Packing::Zstd(3),
        Packing::Zstd(9),
        Packing::Zstd(19),
    ];

    fn pack(packer: &mut Packer, raw: &[u8]) -> Option<(Codec, Vec<u8>)> {
        let mut into = vec![0; packed_bound(raw.len() as u32)];
        let (codec, packed_bytes) = packer.pack(raw, &mut into)?;
        assert!(packed_bytes < raw.len());
        into.truncate(packed_bytes);
        Some((codec, into))
    }

    #[test]
    fn corpus_is_what_its_generator_makes() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/corpus");
        for (name, content) in corpus::files() {
            let file = fs::read(folder.join(name)).expect("the corpus is in the repository");
            assert!(file == content, "{name} is not what make.rs makes");
        }
    }

    #[test]
    fn corpus_comes_back_as_it_was() {
        let mut unpacker = Unpacker::new();
        for packing in PACKINGS {
            // One packer for all, as in life: noise must not spoil what comes after it.
            let mut packer = Packer::new(packing);
            for (name, raw) in corpus::files().into_iter().chain(corpus::files()) {
                let packed = pack(&mut packer, &raw);
                assert_eq!(packed.is_none(), name == "noise.bin", "{name} {packing:?}");
                let Some((codec, packed)) = packed else { continue };
                let mut back = vec![0xaa; raw.len()];
                assert!(unpacker.unpack(codec, &packed, &mut back).is_ok(), "{name}");
                assert!(back == raw, "{name} {packing:?}");
            }
        }
    }

    #[test]
    fn tiny_feet_travel_raw() {
        for packing in PACKINGS {
            for raw in [&b""[..], b"a", b"ab", b"abcdefgh"] {
                assert_eq!(pack(&mut Packer::new(packing), raw), None, "{raw:?} {packing:?}");
            }
        }
        assert_eq!(pack(&mut Packer::new(Packing::None), &[0; 1000]), None);
    }

    #[test]
    fn packing_may_change_between_feet() {
        let raw = corpus::text(7, 100_000);
        let mut packer = Packer::new(Packing::None);
        for packing in PACKINGS {
            packer.set_packing(packing);
            let fresh = pack(&mut Packer::new(packing), &raw);
            assert!(fresh.is_some() && pack(&mut packer, &raw) == fresh, "{packing:?}");
        }
    }

    #[test]
    fn a_wrong_length_is_an_error() {
        let raw = corpus::text(8, 5000);
        let mut unpacker = Unpacker::new();
        for packing in PACKINGS {
            let (codec, packed) = pack(&mut Packer::new(packing), &raw).expect("text shrinks");
            for raw_bytes in [0, 1, raw.len() - 1, raw.len() + 1, 2 * raw.len()] {
                let unpacked = unpacker.unpack(codec, &packed, &mut vec![0; raw_bytes]);
                assert!(unpacked.is_err(), "{packing:?} {raw_bytes}");
            }
        }
        for raw_bytes in [4999, 5001] {
            let unpacked = unpacker.unpack(Codec::Raw, &raw, &mut vec![0; raw_bytes]);
            assert!(matches!(unpacked, Err(UnpackError::Length { unpacked_bytes: 5000, .. })));
        }
    }

    #[test]
    fn truncation_is_an_error() {
        let raw = corpus::mixed(9, 9000);
        let mut unpacker = Unpacker::new();
        let mut back = vec![0; raw.len()];
        for packing in PACKINGS {
            let (codec, packed) = pack(&mut Packer::new(packing), &raw).expect("it shrinks");
            for end in 0..packed.len() {
                let unpacked = unpacker.unpack(codec, &packed[..end], &mut back);
                assert!(unpacked.is_err(), "{packing:?} {end}");
            }
        }
    }

    /// What a zstd frame claims of itself: window of 2^log bytes, content size, and then one last
    /// block that makes `bytes` zeros.
    fn zstd_frame(window_log: u8, content_bytes: u64, bytes: u32) -> Vec<u8> {
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1100_0000, (window_log - 10) << 3];
        frame.extend(content_bytes.to_le_bytes());
        frame.extend(&(bytes << 3 | 0b011).to_le_bytes()[..3]);
        frame.push(0);
        frame
    }

    #[test]
    fn claims_of_a_hostile_frame_allocate_nothing() {
        let mut unpacker = Unpacker::new();
        let mut into = vec![1; 1000];
        assert!(unpacker.unpack(Codec::Zstd, &zstd_frame(20, 1000, 1000), &mut into).is_ok());
        assert_eq!(into, [0; 1000]);
        let held = |unpacker: &Unpacker| unpacker.zstd.as_ref().map(|context| context.sizeof());
        let before = held(&unpacker);
        assert!(before.is_some_and(|bytes| bytes < 128 << 10));
        for (window_log, content_bytes, bytes) in [
            (20, 1 << 60, 1000),
            (20, 1001, 1000),
            (20, 999, 1000),
            (31, 1 << 31, 1000),
            (31, 1 << 31, 128 << 10),
            (41, 1000, 1000),
            (31, 1000, 1001),
        ] {
            let frame = zstd_frame(window_log, content_bytes, bytes);
            let unpacked = unpacker.unpack(Codec::Zstd, &frame, &mut into);
            assert!(unpacked.is_err(), "{window_log} {content_bytes} {bytes}");
        }
        // A huge window is harmless where there is no window buffer, and so is no error.
        assert!(unpacker.unpack(Codec::Zstd, &zstd_frame(31, 1000, 1000), &mut into).is_ok());
        assert_eq!(held(&unpacker), before);
    }

    #[test]
    fn packer_bytes_is_a_close_upper_bound() {
        let raw = vec![0; 16 << 20];
        let mut into = vec![0; packed_bound(raw.len() as u32)];
        for level in ZSTD_LEVELS {
            let mut packer = Packer::new(Packing::Zstd(level));
            for foot_log in 16..=24 {
                packer.pack(&raw[..1 << foot_log], &mut into).expect("zeros shrink");
                let held = packer.zstd.as_ref().expect("it has packed").sizeof() as u64;
                let bound = packer_bytes(packer.packing, 1 << foot_log);
                assert!(held <= bound, "level {level}, 2^{foot_log}: {held} over {bound}");
                let close = 4 * held.max(1 << 20);
                assert!(bound <= close, "level {level}, 2^{foot_log}: {bound} for {held}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(raw in prop::collection::vec(0_u8..4, 0..3000), which in 0..8_usize) {
            if let Some((codec, packed)) = pack(&mut Packer::new(PACKINGS[which]), &raw) {
                let mut back = vec![0; raw.len()];
                prop_assert!(Unpacker::new().unpack(codec, &packed, &mut back).is_ok());
                prop_assert_eq!(back, raw);
            }
        }

        #[test]
        fn hostile_bytes_do_no_harm(packed in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut into = [0; 500];
            // Whatever they say is good, as long as they come back from it.
            let _ = Unpacker::new().unpack(Codec::Lz4, &packed, &mut into);
            let _ = Unpacker::new().unpack(Codec::Zstd, &packed, &mut into);
        }

        #[test]
        fn flipped_bits_do_no_harm(which in 0..8_usize, flips in prop::collection::vec(any::<(usize, u8)>(), 1..8)) {
            let raw = corpus::mixed(10, 20_000);
            let (codec, mut packed) = pack(&mut Packer::new(PACKINGS[which]), &raw).expect("it shrinks");
            for (place, bits) in flips {
                let place = place % packed.len();
                packed[place] ^= bits;
            }
            let _ = Unpacker::new().unpack(codec, &packed, &mut vec![0; raw.len()]);
        }
    }
}
