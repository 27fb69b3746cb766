//! What a foot is: one numbered block of the stream, and the header that travels before it.
//!
//! Knows the limits of a foot and its place in the stream. Does not know how it is compressed
//! ([`crate::codec`]), checked ([`crate::digest`]) or written on the wire ([`crate::proto::frame`]).

/// Smallest foot size that may be asked for, in bytes.
pub const MIN_FOOT_BYTES: u32 = 64 << 10;
/// Largest foot size that may be asked for, in bytes.
pub const MAX_FOOT_BYTES: u32 = 16 << 20;
/// Foot size when nothing is said, in bytes.
pub const DEFAULT_FOOT_BYTES: u32 = 1 << 20;

/// 32 bytes: the check of a foot, or the BLAKE3 of a stream.
pub type Hash = [u8; 32];

/// How the payload of one foot is packed. The numbers are those on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// The raw bytes themselves.
    Raw = 0,
    /// One zstd frame.
    Zstd = 1,
    /// One lz4 block, without a size in front.
    Lz4 = 2,
}

impl Codec {
    /// The codec with this number on the wire, if there is one.
    pub fn from_wire(number: u8) -> Option<Codec> {
        match number {
            0 => Some(Codec::Raw),
            1 => Some(Codec::Zstd),
            2 => Some(Codec::Lz4),
            _ => None,
        }
    }
}

/// All that is said of a foot before its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FootHeader {
    /// Number of the foot, from 0, without gaps.
    pub id: u64,
    /// Where its first raw byte stands in the stream.
    pub offset: u64,
    /// Length of its raw bytes: 1 to the foot size.
    pub raw_bytes: u32,
    /// Length of its payload on the wire: `raw_bytes` at most.
    pub packed_bytes: u32,
    /// How the payload is packed.
    pub codec: Codec,
    /// Check of the raw bytes, as [`crate::digest::Checks`] makes it.
    pub check: Hash,
}

impl FootHeader {
    /// Whether a receiver whose feet hold `foot_bytes` may believe this header at all: lengths in
    /// bounds, and no foot across a multiple of the foot size.
    pub fn is_plausible(&self, foot_bytes: u32) -> bool {
        let place = self.offset % u64::from(foot_bytes);
        self.raw_bytes > 0
            && place + u64::from(self.raw_bytes) <= u64::from(foot_bytes)
            && self.offset.checked_add(u64::from(self.raw_bytes)).is_some()
            && self.packed_bytes > 0
            && match self.codec {
                Codec::Raw => self.packed_bytes == self.raw_bytes,
                Codec::Zstd | Codec::Lz4 => self.packed_bytes < self.raw_bytes,
            }
    }
}
