//! Receiving, the mirror of [`crate::tx`]:
//!
//! the connections' workers read feet into the buffers that `unpack` admits, `unpack` verifies and
//! decompresses them in parallel, `collect` owns the protocol's receiving half and puts them in
//! order, `write` gives them to the sink.
//!
//! Nothing unverified, and nothing out of order, reaches `write`.

mod collect;
mod unpack;
mod write;

use crate::cancel::Cancel;
use crate::config;
use crate::error::Error;
use crate::foot::MAX_FOOT_BYTES;
use crate::link::{self, Setup};
use crate::ports::Ports;
use crate::proto::hello::{MAX_WORKERS, Role, Settled, Wish};
use crate::proto::liveness::Pace;
use crate::sink::Sink;
use crate::stats::{self, Stats};
pub use crate::tx::Delivered;
use std::sync::Arc;

/// Receives a stream; returns once the sink has succeeded and the sender knows it, or has been given
/// all of patience to learn it.
///
/// What the settings say of output, progress, verbosity and records is for [`crate::run`].
///
/// # Errors
///
/// The stream is not whole, or the sink has failed: what the sink was given is a part at most, and the
/// [`Error`] says why. A thread of the run may go on for as long as a write to the sink takes.
pub fn run(
    config: &config::Rx,
    mut sink: Box<dyn Sink>,
    ports: Ports<'_>,
) -> Result<Delivered, Error> {
    let Ports { stats, news, interrupt, announce, spare, is_brief } = ports;
    let stats = stats.unwrap_or_else(|| Arc::new(Stats::of(stats::Role::Receiver)));
    let (remains, failures) = (sink.remains(), sink.failures());
    let cancel = Cancel::new().map_err(|error| Error::io("a descriptor", error))?;
    let _cancelled_at_the_end = cancel.on_drop();
    let intake = unpack::Intake::new(config.common.window_bytes, Arc::clone(&stats))?;
    let inlets = Arc::clone(&intake);
    let setup = Setup {
        role: Role::Receiver,
        wish: wish(config, spare.is_some()),
        name: config.common.name.clone(),
        security: config.common.security.clone(),
        inlet: Arc::new(move |settled: &Settled| inlets.inlet(settled)),
        limit: None,
        congestion: None,
        stats: Arc::clone(&stats),
        news: news.clone(),
        cancel,
    };
    let names = link::names(&config.rendezvous, spare.as_ref());
    let mut addresses = Vec::new();
    let events = link::start(&config.rendezvous, spare, setup, &mut |at| addresses.push(at))?;
    Ports::announce(announce, &addresses);
    let patience = config.common.patience;
    let roster = link::Roster::new(names, patience, Arc::clone(&stats), news).brief(is_brief);
    let (roster, first) = roster.meet(&events, &interrupt, &failures)?;
    let link::Event::Up { settled, .. } = first else { unreachable!("meet returns an Up") };
    stats.start();

    let begun = sink.start();
    let admission = intake.settle(&settled);
    let (writer, written) = write::start(sink, settled, admission.window_feet() as usize, &stats);
    let begun = begun.and(written);
    let unpacked = intake.unpacked();
    let inputs = collect::Inputs { begun, events, unpacked, writer, remains, failures, interrupt };
    collect::run(settled, patience, first, roster, inputs, admission, &stats)
}

fn wish(config: &config::Rx, has_spare: bool) -> Wish {
    let workers = config.rendezvous.most_workers(config.common.window_bytes, None);
    let workers = workers.map(|workers| workers + u16::from(has_spare));
    let workers = workers.map_or(MAX_WORKERS, |workers| workers.min(MAX_WORKERS));
    Wish {
        foot_bytes: MAX_FOOT_BYTES,
        workers,
        window_bytes: config.common.window_bytes,
        verify: config.common.verify,
        pace: Pace::for_patience(config.common.patience),
    }
}
