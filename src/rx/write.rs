//! Gives the stream to the sink, in order, and digests it.
//!
//! A thread of its own, since a sink may block for hours. Does not know where feet came from.

use crate::digest::{FootCheck, ShortFeet, StreamDigest, Stretch, is_full};
use crate::error::Error;
use crate::foot::{FootHeader, Hash};
use crate::pool::Filled;
use crate::proto::hello::Settled;
use crate::sink::Sink;
use crate::stats::Stats;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::Arc;
use std::thread;

/// What the writer is told.
pub(super) enum Order {
    /// The next foot.
    Write(FootHeader, Filled, FootCheck),
    /// There are no more. The digest must be this one, where the session verifies.
    Close(Option<Hash>),
}

/// What the writer says.
pub(super) enum Report {
    /// The next foot is with the sink; it had this many bytes.
    Written,
    /// The sink has succeeded.
    Closed(Option<Hash>),
    /// The sink has failed, or the digests differ.
    Failed(Error),
}

/// The writing thread, as its owner sees it.
pub(super) struct Writer {
    pub(super) orders: Sender<Order>,
    pub(super) reports: Receiver<Report>,
}

/// Starts the thread. It is never joined: a write may be stuck in the kernel. At most `window_feet`
/// feet are with it at once, so neither side waits for the other's messages. An error: there is no thread, and
/// nobody takes orders.
pub(super) fn start(
    sink: Box<dyn Sink>,
    settled: Settled,
    window_feet: usize,
    stats: &Arc<Stats>,
) -> (Writer, Result<(), Error>) {
    let (orders, ordered) = bounded(window_feet + 1);
    let (reports, reported) = bounded(window_feet + 1);
    let digest = settled.verify.then(|| Digest {
        foot_bytes: settled.foot_bytes,
        short_feet: ShortFeet::new(settled.foot_bytes),
        stream: StreamDigest::new(),
    });
    let stats = Arc::clone(stats);
    let run = move || {
        if let Err(error) = write(sink, digest, &ordered, &reports, &stats) {
            // Nobody listens any more when another stage has failed first.
            let _ = reports.send(Report::Failed(error));
        }
    };
    let thread = thread::Builder::new().name("write".into()).spawn(run);
    let begun = thread.map(drop).map_err(|error| Error::io("the writing thread", error));
    (Writer { orders, reports: reported }, begun)
}

fn write(
    mut sink: Box<dyn Sink>,
    mut digest: Option<Digest>,
    orders: &Receiver<Order>,
    reports: &Sender<Report>,
    stats: &Stats,
) -> Result<(), Error> {
    for order in orders {
        match order {
            Order::Write(header, raw, check) => {
                stats.sink_writing.set(true);
                sink.write_all(&raw)?;
                stats.sink_writing.set(false);
                stats.stream_bytes.add(raw.len() as u64);
                if let Some(digest) = &mut digest {
                    digest.push(&header, &raw, check);
                }
                drop(raw); // its buffer is free before the window moves on
                if reports.send(Report::Written).is_err() {
                    return Ok(());
                }
            }
            Order::Close(expected) => {
                let digest = digest.take().map(Digest::finish);
                if digest.is_some() && digest != expected {
                    let cause = "the digests of the two ends differ".into();
                    return Err(Error::Corrupt { what: "the stream".into(), cause });
                }
                stats.sink_writing.set(true);
                sink.close()?;
                stats.sink_writing.set(false);
                let _ = reports.send(Report::Closed(digest));
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The digest of what was written.
struct Digest {
    foot_bytes: u32,
    short_feet: ShortFeet,
    stream: StreamDigest,
}

impl Digest {
    fn push(&mut self, header: &FootHeader, raw: &[u8], check: FootCheck) {
        if is_full(self.foot_bytes, header.offset, raw.len()) {
            let FootCheck { check, root } = check;
            self.stream.push(Stretch { offset: header.offset, check, root });
        } else if let Some(stretch) = self.short_feet.push(header.offset, raw) {
            self.stream.push(stretch);
        }
    }

    fn finish(mut self) -> Hash {
        if let Some(stretch) = self.short_feet.finish() {
            self.stream.push(stretch);
        }
        self.stream.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::liveness::Pace;
    use crate::stats::Role;

    struct Closed;

    impl Sink for Closed {
        fn write_all(&mut self, _: &[u8]) -> Result<(), Error> {
            Ok(())
        }

        fn close(self: Box<Self>) -> Result<(), Error> {
            Ok(())
        }
    }

    /// A holder of the key may leave it out.
    #[test]
    fn a_stream_that_is_verified_ends_with_its_digest_and_no_other() {
        let (foot_bytes, workers, window_bytes) = (64 << 10, 1, 1 << 20);
        let pace = Pace::for_patience(None);
        let settled = Settled { foot_bytes, workers, window_bytes, verify: true, pace };
        let empty = *blake3::hash(b"").as_bytes();
        for (expected, is_right) in [(Some(empty), true), (Some([7; 32]), false), (None, false)] {
            let stats = Arc::new(Stats::new(Role::Receiver, 1));
            let (writer, begun) = start(Box::new(Closed), settled, 2, &stats);
            begun.expect("a thread");
            writer.orders.send(Order::Close(expected)).expect("it listens");
            let report = writer.reports.recv().expect("it answers");
            assert_eq!(matches!(report, Report::Closed(Some(_))), is_right, "{expected:?}");
        }
    }
}
