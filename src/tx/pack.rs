//! Packs feet in parallel: compresses and checks each one, in whatever order that ends.
//!
//! A packed foot swaps memory with its thread's spare buffer, so nothing is copied or allocated for a
//! foot. Does not know the order of the stream.

use crate::codec::{Packer, Packing, packed_bound, packer_bytes};
use crate::digest::foot_check;
use crate::error::Error;
use crate::foot::{Codec, FootHeader, Hash};
use crate::pool::{Buffer, Filled};
use crate::stats::Stats;
use crate::team::Team;
use crossbeam_channel::Sender;
use std::sync::Arc;

/// Memory for the contexts of all packing threads together, in bytes: what is left of the promise
/// (96 MiB beside the window) when all else is counted.
const CONTEXTS_BYTES: u64 = 64 << 20;

/// A foot as it was read.
pub(super) struct Raw {
    pub(super) id: u64,
    pub(super) offset: u64,
    pub(super) buffer: Buffer,
    pub(super) bytes: usize,
}

/// A foot as it travels.
pub(super) struct Packed {
    pub(super) header: FootHeader,
    pub(super) payload: Arc<Filled>,
    /// The digest of the stream, should this foot be all of it.
    pub(super) root: Option<Hash>,
}

/// The packing threads.
pub(super) struct Packers {
    team: Team<Thread>,
    foot_bytes: u32,
    stats: Arc<Stats>,
    packed: Sender<Packed>,
}

/// What one thread keeps from foot to foot.
struct Thread {
    packer: Packer,
    /// Empty until it is first needed; never needed where nothing is compressed.
    spare: Box<[u8]>,
}

/// How many threads may pack at once, so that their contexts stay within bounds.
pub(super) fn affordable_threads(packing: Packing, foot_bytes: u32) -> usize {
    (CONTEXTS_BYTES / packer_bytes(packing, foot_bytes).max(1)).max(1) as usize
}

impl Packers {
    /// Starts `threads` threads; `packed` has room for every foot that can have a buffer.
    pub(super) fn new(
        packing: Packing,
        foot_bytes: u32,
        threads: usize,
        stats: Arc<Stats>,
        packed: Sender<Packed>,
    ) -> Result<Arc<Packers>, Error> {
        let team = Team::new("pack", threads, || Thread {
            packer: Packer::new(packing),
            spare: Box::default(),
        })?;
        Ok(Arc::new(Packers { team, foot_bytes, stats, packed }))
    }

    /// Packs a foot on one of the threads; returns at once.
    pub(super) fn pack(self: &Arc<Packers>, raw: Raw) {
        self.stats.packing_feet.increment();
        let packers = Arc::clone(self);
        self.team.spawn(move |thread| {
            let packed = thread.pack(raw, packers.foot_bytes);
            packers.stats.packing_feet.subtract(1);
            packers.stats.packed_bytes.add(u64::from(packed.header.packed_bytes));
            packers.stats.feet.increment();
            // Nobody listens any more when another stage has failed first.
            let _ = packers.packed.send(packed);
        });
    }
}

impl Thread {
    fn pack(&mut self, raw: Raw, foot_bytes: u32) -> Packed {
        let Raw { id, offset, mut buffer, bytes } = raw;
        let check = foot_check(foot_bytes, offset, &buffer[..bytes]);
        let (codec, packed_bytes) = self.compress(&mut buffer, bytes, foot_bytes);
        let header = FootHeader {
            id,
            offset,
            raw_bytes: bytes as u32, // a foot at most
            packed_bytes: packed_bytes as u32,
            codec,
            check: check.check,
        };
        Packed { header, payload: Arc::new(Filled::new(buffer, packed_bytes)), root: check.root }
    }

    /// Compresses the first `bytes` of the buffer, in place as it seems; returns what it now holds.
    fn compress(&mut self, buffer: &mut Buffer, bytes: usize, foot_bytes: u32) -> (Codec, usize) {
        if self.packer.packing() == Packing::None {
            return (Codec::Raw, bytes);
        }
        if self.spare.is_empty() {
            self.spare = vec![0; packed_bound(foot_bytes)].into_boxed_slice();
        }
        match self.packer.pack(&buffer[..bytes], &mut self.spare) {
            Some((codec, packed_bytes)) => {
                buffer.swap(&mut self.spare);
                (codec, packed_bytes)
            }
            None => (Codec::Raw, bytes),
        }
    }
}
