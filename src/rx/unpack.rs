//! Admits feet, and verifies and decompresses them in parallel.
//!
//! Admission is decided on the workers' threads before a buffer is taken: a foot beyond the window
//! closes its connection, one that is here already is read past. So there is never more in memory than
//! one buffer for each foot of the window, one for each connection, and one for each thread here. Does
//! not know the order of the stream.

use crate::codec::{Unpacker, packed_bound};
use crate::digest::{Checks, FootCheck};
use crate::error::Error;
use crate::foot::{Codec, FootHeader};
use crate::link::{Admit, Inlet};
use crate::pool::{Filled, Pool};
use crate::proto::WorkerId;
use crate::proto::hello::{Settled, min_window_feet};
use crate::stats::Stats;
use crate::team::{self, Team};
use bytes::BytesMut;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

/// A foot whose check was made.
pub(super) struct Unpacked {
    pub(super) worker: WorkerId,
    pub(super) header: FootHeader,
    /// The raw bytes and their hashes; `None` when the check failed.
    pub(super) raw: Option<(Filled, FootCheck)>,
}

/// Which feet may come in. The collector moves the window; the workers look.
#[derive(Debug)]
pub(super) struct Admission {
    checks: Checks,
    /// Feet below this number are with the sink.
    floor: AtomicU64,
    /// For each place in the window, one more than the last foot that came in whole there.
    slots: Box<[AtomicU64]>,
}

/// What all connections share: made when the first one is welcomed.
pub(super) struct Intake {
    window_bytes: u64,
    stats: Arc<Stats>,
    shared: OnceLock<Shared>,
    out: Sender<Unpacked>,
    unpacked: Receiver<Unpacked>,
    team: Arc<Team<Thread>>,
}

#[derive(Clone)]
struct Shared {
    admission: Arc<Admission>,
    pool: Pool,
}

/// What one thread keeps from foot to foot.
struct Thread {
    unpacker: Unpacker,
    spare: BytesMut,
}

impl Intake {
    pub(super) fn new(window_bytes: u64, stats: Arc<Stats>) -> Result<Arc<Intake>, Error> {
        // Bounded all the same: one message for each foot that has a buffer, and rayon never waits.
        let (out, unpacked) = unbounded();
        let keep = || Thread { unpacker: Unpacker::new(), spare: BytesMut::new() };
        // With fewer feet than threads need, `settle` counts the spares; with the smallest window,
        // six feet, that leaves two threads.
        let threads =
            team::threads((window_bytes / u64::from(crate::foot::MIN_FOOT_BYTES)) as usize);
        let team = Arc::new(Team::new("unpack", threads, keep)?);
        stats.threads.set(team.count() as u64);
        Ok(Arc::new(Intake { window_bytes, stats, shared: OnceLock::new(), out, unpacked, team }))
    }

    /// The inlet of a new connection.
    pub(super) fn inlet(self: &Arc<Intake>, settled: &Settled) -> Box<dyn Inlet> {
        let shared = self.shared(settled).clone();
        Box::new(Gullet { intake: Arc::clone(self), shared })
    }

    /// The admission of this session.
    pub(super) fn settle(&self, settled: &Settled) -> Arc<Admission> {
        Arc::clone(&self.shared(settled).admission)
    }

    /// Where checked feet come out.
    pub(super) fn unpacked(&self) -> Receiver<Unpacked> {
        self.unpacked.clone()
    }

    fn shared(&self, settled: &Settled) -> &Shared {
        self.shared.get_or_init(|| {
            let total = self.window_bytes / u64::from(settled.foot_bytes);
            let total = total.max(min_window_feet(settled.workers)) as usize;
            let workers = usize::from(settled.workers);
            let threads = self.team.count().min(total / 3);
            let window = total - workers - threads;
            let pool = Pool::new(window + workers, packed_bound(settled.foot_bytes));
            let slots = (0..window).map(|_| AtomicU64::new(0)).collect();
            let (checks, floor) = (settled.checks(), AtomicU64::new(0));
            Shared { admission: Arc::new(Admission { checks, floor, slots }), pool }
        })
    }

    /// Checks a foot: here if it is raw (its worker has just read it and still has it in cache; see
    /// `tx/pack.rs`), else on one of the threads.
    fn unpack(
        self: &Arc<Intake>,
        shared: &Shared,
        worker: WorkerId,
        header: FootHeader,
        payload: Filled,
    ) {
        let admission = Arc::clone(&shared.admission);
        if header.codec == Codec::Raw {
            let raw = verify(admission.checks, &header, payload);
            return self.hand_on(&admission, Unpacked { worker, header, raw });
        }
        self.stats.unpacking_feet.increment();
        let intake = Arc::clone(self);
        self.team.spawn(move |thread| {
            let raw = thread.unpack(admission.checks, &header, payload);
            intake.stats.unpacking_feet.subtract(1);
            intake.hand_on(&admission, Unpacked { worker, header, raw });
        });
    }

    fn hand_on(&self, admission: &Admission, unpacked: Unpacked) {
        if unpacked.raw.is_none() {
            admission.forget(unpacked.header.id);
        }
        // Nobody listens any more when another stage has failed first.
        let _ = self.out.send(unpacked);
    }
}

impl Admission {
    /// Feet that are held at most.
    pub(super) fn window_feet(&self) -> u64 {
        self.slots.len() as u64
    }

    /// The sink has taken all feet below `floor`, and their buffers are free.
    pub(super) fn release(&self, floor: u64) {
        self.floor.store(floor, SeqCst);
    }

    fn judge(&self, header: &FootHeader) -> Result<bool, &'static str> {
        if !header.is_plausible(self.checks.foot_bytes) {
            return Err("it sent a foot that cannot be");
        }
        let floor = self.floor.load(SeqCst);
        if header.id >= floor.saturating_add(self.window_feet()) {
            return Err("it sent a foot outside the window");
        }
        Ok(header.id >= floor && self.slot(header.id).load(SeqCst) <= header.id)
    }

    /// A foot came in whole; says whether it is the first to do so.
    fn claim(&self, id: u64) -> bool {
        self.slot(id).fetch_max(id + 1, SeqCst) <= id && id >= self.floor.load(SeqCst)
    }

    /// A foot that came in was no good: it is wanted again.
    pub(super) fn forget(&self, id: u64) {
        // Only this copy claimed the slot, and its place does not move on before it is written.
        self.slot(id).store(id, SeqCst);
    }

    fn slot(&self, id: u64) -> &AtomicU64 {
        &self.slots[(id % self.window_feet()) as usize]
    }
}

/// One connection's way in.
struct Gullet {
    intake: Arc<Intake>,
    shared: Shared,
}

impl Inlet for Gullet {
    fn admit(&mut self, _: WorkerId, header: &FootHeader) -> Admit {
        match self.shared.admission.judge(header) {
            Err(reason) => Admit::Refuse(reason),
            Ok(false) => Admit::Skip,
            // The pool runs dry only while a connection that was replaced still holds its buffer.
            Ok(true) => self.shared.pool.try_take().map_or(Admit::Refuse("no buffer"), Admit::Take),
        }
    }

    fn complete(&mut self, worker: WorkerId, header: FootHeader, payload: Filled) {
        if self.shared.admission.claim(header.id) {
            self.intake.unpack(&self.shared, worker, header, payload);
        } else {
            self.intake.stats.duplicate_feet.increment();
        }
    }
}

impl Thread {
    /// The raw bytes of a packed foot, if they are what its header says.
    fn unpack(
        &mut self,
        checks: Checks,
        header: &FootHeader,
        payload: Filled,
    ) -> Option<(Filled, FootCheck)> {
        let raw_bytes = header.raw_bytes as usize;
        if self.spare.is_empty() {
            self.spare = payload.spare();
        }
        self.unpacker.unpack(header.codec, &payload, &mut self.spare[..raw_bytes]).ok()?;
        let mut buffer = payload.into_buffer();
        buffer.swap(&mut self.spare);
        verify(checks, header, Filled::new(buffer, raw_bytes))
    }
}

/// The raw bytes with their hashes, if they are what the header says.
fn verify(checks: Checks, header: &FootHeader, raw: Filled) -> Option<(Filled, FootCheck)> {
    let check = checks.foot(header.offset, &raw);
    (check.check == header.check).then_some((raw, check))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(id: u64) -> FootHeader {
        FootHeader {
            id,
            offset: id * 65536,
            raw_bytes: 65536,
            packed_bytes: 65536,
            codec: Codec::Raw,
            check: [0; 32],
        }
    }

    fn admission(window: usize) -> Admission {
        let slots = (0..window).map(|_| AtomicU64::new(0)).collect();
        Admission {
            checks: Checks { foot_bytes: 65536, verify: false },
            floor: AtomicU64::new(0),
            slots,
        }
    }

    #[test]
    fn a_foot_is_admitted_once_and_only_inside_the_window() {
        let admission = admission(2);
        assert_eq!(admission.judge(&header(1)), Ok(true));
        assert!(admission.claim(1));
        assert_eq!(admission.judge(&header(1)), Ok(false), "it is here");
        assert!(!admission.claim(1), "a second copy that was under way comes too late");
        assert!(admission.judge(&header(2)).is_err(), "beyond the window");
        admission.release(2);
        assert_eq!(admission.judge(&header(1)), Ok(false), "it is written");
        assert_eq!(admission.judge(&header(3)), Ok(true), "the same place, the next foot");
    }

    #[test]
    fn a_foot_that_failed_its_check_is_wanted_again() {
        let admission = admission(2);
        assert!(admission.claim(0));
        admission.forget(0);
        assert_eq!(admission.judge(&header(0)), Ok(true));
        assert!(admission.claim(0));
    }

    #[test]
    fn lying_headers_are_refused() {
        let admission = admission(2);
        for bad in [
            FootHeader { raw_bytes: 0, ..header(0) },
            FootHeader { packed_bytes: u32::MAX, ..header(0) },
            FootHeader { raw_bytes: u32::MAX, packed_bytes: u32::MAX, ..header(0) },
            FootHeader { offset: u64::MAX, ..header(0) },
            FootHeader { id: u64::MAX, ..header(0) },
        ] {
            assert!(admission.judge(&bad).is_err(), "{bad:?}");
        }
    }
}
