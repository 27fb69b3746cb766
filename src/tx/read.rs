//! Cuts the source into feet.
//!
//! Feet never cross a multiple of the foot size; when a foot leaves before it is full is decided by
//! [`Flush`]. Reading stops where there are no buffers: that is the back-pressure; and where enough feet wait
//! to be packed ([`super::lead`]). Short feet are
//! digested here, where the stream is in order. The end of a source counts once it has said that it is one.
//! Does not know what happens to a foot.

use super::adapt::{Adapt, Ahead};
use super::pack::{Packers, Raw};
use crate::cancel::{Cancel, wait};
use crate::digest::{ShortFeet, Stretch, is_full};
use crate::error::Error;
use crate::pool::{Buffer, Pool};
use crate::proto::flush::Flush;
use crate::proto::hello::Settled;
use crate::source::Flow;
use crate::stats::Stats;
use crossbeam_channel::Sender;
use nix::poll::PollFlags;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// While a short foot waits, this often is looked whether it still must: acks come, the source's pace
/// changes.
const LOOK: Duration = Duration::from_millis(5);

/// While a foot waits because enough is packed ahead, this often is looked whether it still must.
const GLANCE: Duration = Duration::from_millis(2);

/// So much later than the end of the source a signal that came with it has been heard.
const SIGNAL: Duration = Duration::from_millis(10);

/// What the reader says to the dispatcher.
#[derive(Debug)]
pub(super) enum Progress {
    /// Short feet have filled a stretch of the stream, or ended it.
    Digested(Stretch),
    /// The source has ended.
    Finished {
        /// Feet in all.
        feet: u64,
        /// Bytes in all.
        bytes: u64,
    },
    /// The source has failed.
    Failed(Error),
}

/// The reading thread.
pub(super) struct Reader {
    source: Flow,
    pool: Pool,
    packers: Arc<Packers>,
    cancel: Cancel,
    stats: Arc<Stats>,
    progress: Sender<Progress>,
    foot_bytes: u32,
    flush: Flush,
    short_feet: Option<ShortFeet>,
    adapt: Option<Adapt>,
    offset: u64,
    feet: u64,
}

/// How reading one foot ended.
enum Fill {
    /// So many bytes are a foot.
    Foot(usize),
    /// The same, and the source has ended; perhaps no bytes at all.
    Last(usize),
    Stopped,
}

impl Reader {
    pub(super) fn new(
        source: Flow,
        settled: Settled,
        pool: Pool,
        packers: Arc<Packers>,
        cancel: Cancel,
        stats: &Arc<Stats>,
        progress: Sender<Progress>,
    ) -> Reader {
        Reader {
            source,
            pool,
            packers,
            cancel,
            stats: Arc::clone(stats),
            progress,
            foot_bytes: settled.foot_bytes,
            flush: Flush::new(settled.foot_bytes, Instant::now()),
            short_feet: settled.verify.then(|| ShortFeet::new(settled.foot_bytes)),
            adapt: None,
            offset: 0,
            feet: 0,
        }
    }

    /// The same, with packing that is adapted to what it has to wait for.
    pub(super) fn adapting(self, adapt: Option<Adapt>) -> Reader {
        Reader { adapt, ..self }
    }

    /// Starts the thread. It is never joined: a read may be stuck in the kernel.
    pub(super) fn spawn(mut self) -> Result<(), Error> {
        let run = move || {
            let ended = match self.run() {
                Ok(true) => self.finish(),
                unfinished => unfinished.map_err(|error| Error::io(self.source.name(), error)),
            };
            let last = match ended {
                Ok(true) => Progress::Finished { feet: self.feet, bytes: self.offset },
                Ok(false) => return,
                Err(error) => Progress::Failed(error),
            };
            // Nobody listens any more when another stage has failed first.
            let _ = self.progress.send(last);
        };
        let thread = thread::Builder::new().name("read".into()).spawn(run);
        thread.map(drop).map_err(|error| Error::io("the reading thread", error))
    }

    /// The source has ended; says whether that is the end of the stream. Where a producer died of a signal
    /// that came to us too, as Ctrl-C does to a pipeline, ours is about to be heard, and outranks the end.
    fn finish(&self) -> Result<bool, Error> {
        match self.cancel.sleep(SIGNAL) {
            Ok(true) => Ok(false),
            _ => self.source.finish(&self.cancel),
        }
    }

    /// Reads to the end; says whether that was reached.
    fn run(&mut self) -> io::Result<bool> {
        loop {
            if !self.adapt()? {
                return Ok(false);
            }
            self.packers.wait_for_room();
            let Some(mut buffer) = self.buffer() else { return Ok(false) };
            let (bytes, is_last) = match self.fill(&mut buffer)? {
                Fill::Foot(bytes) => (bytes, false),
                Fill::Last(bytes) => (bytes, true),
                Fill::Stopped => return Ok(false),
            };
            self.flush.left();
            if bytes > 0 {
                self.digest(&buffer[..bytes]);
                let raw = Raw { id: self.feet, offset: self.offset, buffer, bytes };
                self.packers.pack(raw);
                self.feet += 1;
                self.offset += bytes as u64;
            }
            if is_last {
                if let Some(stretch) = self.short_feet.take().and_then(ShortFeet::finish) {
                    let _ = self.progress.send(Progress::Digested(stretch));
                }
                return Ok(true);
            }
        }
    }

    /// A buffer, as soon as there is one; `None` once the run is over.
    fn buffer(&self) -> Option<Buffer> {
        self.pool.try_take().or_else(|| {
            self.packers.are_not_waited_for();
            self.pool.take()
        })
    }

    /// Where packing is adaptive: waits until little enough is packed ahead, and says how the next foot is packed. False:
    /// the run is over.
    fn adapt(&mut self) -> io::Result<bool> {
        let Some(adapt) = &mut self.adapt else { return Ok(true) };
        let stats = &self.stats;
        let ahead = || Ahead {
            packing_feet: stats.packing_feet.now(),
            unsent_feet: stats.unsent_feet.now(),
            unsent_bytes: stats.unsent_bytes.now(),
            packed_bytes: stats.packed_bytes.now(),
        };
        let mut since = Instant::now();
        adapt.hear(self.packers.is_in_vain());
        while let Some(wait) = adapt.must_wait(since, ahead()) {
            if self.cancel.sleep(GLANCE)? {
                return Ok(false);
            }
            if !stats.sink_blocked.now() {
                let now = Instant::now();
                self.packers.set_rung(adapt.waited(now, wait, now - since));
            }
            since = Instant::now();
        }
        self.packers.set_rung(adapt.next(Instant::now()));
        Ok(true)
    }

    /// Reads until the foot is full or must leave, or the source ends.
    fn fill(&mut self, buffer: &mut Buffer) -> io::Result<Fill> {
        let room = self.foot_bytes as usize - (self.offset % u64::from(self.foot_bytes)) as usize;
        let mut filled = 0;
        while filled < room {
            let now = Instant::now();
            let unacked = self.stats.unacked_feet.now() > 0;
            let due = self.flush.due(now, unacked, (room - filled) as u64);
            if due.is_some_and(|due| due <= now) {
                return Ok(Fill::Foot(filled));
            }
            let deadline = due.map(|due| due.min(now + LOOK));
            let Some(readable) = self.wait(deadline)? else {
                return Ok(Fill::Stopped);
            };
            if !readable {
                continue;
            }
            match self.source.read(&mut buffer[filled..room]) {
                Ok(0) => return Ok(Fill::Last(filled)),
                Ok(bytes) => {
                    filled += bytes;
                    self.flush.arrived(Instant::now(), bytes);
                    self.stats.source_bytes.add(bytes as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody else made the descriptor non-blocking; poll has waited already.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Fill::Foot(filled))
    }

    /// Waits for the source until `deadline`; says whether it can be read, `None` when cancelled.
    fn wait(&self, deadline: Option<Instant>) -> io::Result<Option<bool>> {
        self.stats.waiting_for_source.set(true);
        let [readable, cancelled] = wait(
            &mut [
                (self.source.as_fd(), PollFlags::POLLIN),
                (self.cancel.as_fd(), PollFlags::POLLIN),
            ],
            deadline,
        )?;
        self.stats.waiting_for_source.set(false);
        Ok(cancelled.is_empty().then_some(!readable.is_empty()))
    }

    fn digest(&mut self, raw: &[u8]) {
        let Some(short_feet) = &mut self.short_feet else { return };
        if is_full(self.foot_bytes, self.offset, raw.len()) {
            return; // its check is its part of the digest, and is made in parallel
        }
        if let Some(stretch) = short_feet.push(self.offset, raw) {
            // Nobody listens any more when another stage has failed first.
            let _ = self.progress.send(Progress::Digested(stretch));
        }
    }
}
