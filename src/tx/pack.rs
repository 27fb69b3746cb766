//! Packs feet in parallel: compresses and checks each one, in whatever order that ends.
//!
//! A packed foot swaps memory with its thread's spare buffer, so nothing is copied or allocated for a
//! foot. Where nothing is compressed a foot is only checked, and that by the thread that has just read
//! it, which still has it in cache: handing it over costs more than the check (measured on two cores:
//! 12 % of the speed, 0.15 CPU seconds a gigabyte, with the receiver doing likewise). Does not know the
//! order of the stream.

use super::adapt::Trials;
use super::lead::Lead;
use crate::codec::{LADDER, Packer, Packing, packer_bytes};
use crate::digest::{Checks, FootCheck};
use crate::error::Error;
use crate::foot::{Codec, FootHeader, Hash};
use crate::pool::{Buffer, Filled};
use crate::stats::Stats;
use crate::team::Team;
use bytes::BytesMut;
use crossbeam_channel::Sender;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

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
    packing: Packing,
    /// Where adaptive packing is on its ladder.
    rung: AtomicUsize,
    trials: Trials,
    lead: Lead,
    checks: Checks,
    stats: Arc<Stats>,
    packed: Sender<Packed>,
}

/// What one thread keeps from foot to foot.
struct Thread {
    packer: Packer,
    /// Empty until it is first needed.
    spare: BytesMut,
}

/// How many threads may pack at once, so that their contexts stay within bounds.
pub(super) fn affordable_threads(packing: Packing, foot_bytes: u32) -> usize {
    (CONTEXTS_BYTES / packer_bytes(packing, foot_bytes).max(1)).max(1) as usize
}

impl Packers {
    /// Starts `threads` threads; `packed` has room for every foot that can have a buffer.
    pub(super) fn new(
        packing: Packing,
        checks: Checks,
        threads: usize,
        stats: Arc<Stats>,
        packed: Sender<Packed>,
    ) -> Result<Arc<Packers>, Error> {
        let team = Team::new("pack", threads, || Thread {
            packer: Packer::new(packing),
            spare: BytesMut::new(),
        })?;
        let (rung, trials) = (AtomicUsize::new(0), Trials::new(Instant::now()));
        let lead = Lead::new(threads, checks.foot_bytes);
        Ok(Arc::new(Packers { team, packing, rung, trials, lead, checks, stats, packed }))
    }

    /// From now on packing takes this step of the ladder, if it is adaptive; feet that wait for a thread do too.
    pub(super) fn set_rung(&self, rung: usize) {
        self.rung.store(rung, Relaxed);
        self.stats.rung.set(rung as u64 + 1);
    }

    /// How the next foot is packed.
    fn packing(&self) -> Packing {
        match self.packing {
            Packing::Adapt => LADDER[self.rung.load(Relaxed)],
            fixed => fixed,
        }
    }

    /// Whether the last foot that was packed did not shrink.
    pub(super) fn is_in_vain(&self) -> bool {
        self.trials.are_vain()
    }

    /// Waits until few enough feet wait for a thread that one more should be read. (`--adapt` has rules of its own.)
    pub(super) fn wait_for_room(&self) {
        if self.packing != Packing::Adapt {
            self.lead.wait();
        }
    }

    /// Reading waits for something else.
    pub(super) fn are_not_waited_for(&self) {
        self.lead.forget();
    }

    /// Packs a foot: here if it only wants its check, else on one of the threads.
    pub(super) fn pack(self: &Arc<Packers>, raw: Raw) {
        if self.packing() == Packing::None || self.trials.skips(Instant::now()) {
            let check = self.checks.foot(raw.offset, &raw.buffer[..raw.bytes]);
            let bytes = raw.bytes;
            return self.hand_on(Packed::new(raw, check, Codec::Raw, bytes));
        }
        self.stats.packing_feet.increment();
        self.lead.read();
        let packers = Arc::clone(self);
        self.team.spawn(move |thread| {
            let packed = thread.pack(raw, &packers);
            packers.stats.packing_feet.subtract(1);
            packers.lead.packed();
            packers.hand_on(packed);
        });
    }

    fn hand_on(&self, packed: Packed) {
        self.stats.packed_bytes.add(u64::from(packed.header.packed_bytes));
        self.stats.raw_bytes.add(u64::from(packed.header.raw_bytes));
        // Nobody listens any more when another stage has failed first.
        let _ = self.packed.send(packed);
    }
}

impl Thread {
    fn pack(&mut self, mut raw: Raw, packers: &Packers) -> Packed {
        let bytes = raw.bytes;
        // Whether feet shrink again the cheapest level tells as well.
        let is_trial = packers.packing == Packing::Adapt && packers.trials.are_vain();
        self.packer.set_packing(if is_trial { LADDER[1] } else { packers.packing() });
        let check = packers.checks.foot(raw.offset, &raw.buffer[..bytes]);
        if self.spare.is_empty() {
            self.spare = raw.buffer.spare();
        }
        let shorter = self.packer.pack(&raw.buffer[..bytes], &mut self.spare);
        let pays = packers.packing != Packing::Adapt
            || packers.trials.pays(bytes, shorter.map_or(bytes, |(_, packed_bytes)| packed_bytes));
        let (codec, packed_bytes) = match shorter.filter(|_| pays) {
            Some((codec, packed_bytes)) => {
                raw.buffer.swap(&mut self.spare);
                (codec, packed_bytes)
            }
            None => (Codec::Raw, bytes),
        };
        Packed::new(raw, check, codec, packed_bytes)
    }
}

impl Packed {
    /// The foot `raw`, whose buffer now holds its payload.
    fn new(raw: Raw, check: FootCheck, codec: Codec, packed_bytes: usize) -> Packed {
        let header = FootHeader {
            id: raw.id,
            offset: raw.offset,
            raw_bytes: raw.bytes as u32, // a foot at most
            packed_bytes: packed_bytes as u32,
            codec,
            check: check.check,
        };
        let payload = Arc::new(Filled::new(raw.buffer, packed_bytes));
        Packed { header, payload, root: check.root }
    }
}
