//! Transmitting, in the order of the pipeline:
//!
//! `read` cuts the source into feet, `pack` compresses and checks them in parallel (how hard, `adapt` may say), `dispatch`
//! owns the protocol's sending half and hands them to the connections.
//!
//! Nothing is started or read before the other end has been met: what a foot is, is settled with it, and it
//! is to hear of a source that fails.

mod adapt;
mod dispatch;
mod lead;
mod pack;
mod read;
mod shape;

pub(crate) use shape::check;

use crate::cancel::Cancel;
use crate::codec::Packing;
use crate::config;
use crate::error::Error;
use crate::foot::Hash;
use crate::link::{self, NoFeet, Setup};
use crate::pool::Pool;
use crate::ports::Ports;
use crate::proto::hello::{MAX_WORKERS, Role, Settled, Wish, min_window_feet};
use crate::proto::liveness::Pace;
use crate::proto::sender;
use crate::sink::Remains;
use crate::source::Source;
use crate::stats::{self, Stats};
use crate::team;
use crossbeam_channel::bounded;
use std::sync::Arc;
use std::time::Instant;

/// A stream that was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Its length.
    pub bytes: u64,
    /// Its BLAKE3, where either end verifies.
    pub digest: Option<Hash>,
}

/// Transmits the source; returns once the receiver has said that its sink has succeeded.
///
/// What the settings say of input, progress, verbosity and records is for [`crate::run`].
///
/// # Errors
///
/// The stream is not known to be delivered: the [`Error`] says why, as gravely as it is known. A thread of the
/// run may go on for as long as a read of the source takes, or the packing of a few feet.
pub fn run(config: &config::Tx, source: Source, ports: Ports<'_>) -> Result<Delivered, Error> {
    let Ports { stats, news, interrupt, announce, spare, is_brief } = ports;
    let stats = stats.unwrap_or_else(|| Arc::new(Stats::of(stats::Role::Sender)));
    let failures = source.failures();
    if let Some(bytes) = config.packaging.size.or(source.size_bytes()) {
        stats.expect_bytes(bytes);
    }
    let cancel = Cancel::new().map_err(|error| Error::io("a descriptor", error))?;
    let _cancelled_at_the_end = cancel.on_drop();
    let limit = shape::limit(&config.shaping, config.rendezvous.workers(), &news, &cancel)?;
    let setup = Setup {
        role: Role::Sender,
        wish: wish(config, spare.is_some()),
        name: config.common.name.clone(),
        security: config.common.security.clone(),
        inlet: Arc::new(|_: &Settled| Box::new(NoFeet)),
        limit,
        congestion: config.shaping.congestion.clone(),
        stats: Arc::clone(&stats),
        news: news.clone(),
        cancel: cancel.clone(),
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

    let budget = Budget::of(config.common.window_bytes, config.packaging.packing, settled);
    stats.window_feet.set(budget.feet as u64);
    stats.foot_bytes.set(settled.foot_bytes.into());
    stats.threads.set(budget.threads as u64);
    let pool = Pool::new(budget.feet, budget.buffer_bytes);
    // One message for each foot that has a buffer: whoever packs never waits here.
    let (packed_out, packed) = bounded(budget.feet);
    let (progress_out, progress) = bounded(1);
    let packers = pack::Packers::new(
        config.packaging.packing,
        settled.checks(),
        budget.threads,
        Arc::clone(&stats),
        packed_out,
    );
    let adapt = (config.packaging.packing == Packing::Adapt).then(|| {
        let (workers, foot_bytes) = (settled.workers, settled.foot_bytes);
        adapt::Adapt::new(budget.threads, workers, budget.feet, foot_bytes, Instant::now())
    });
    // From here on the other end is to be told of what fails.
    let flow = packers.and_then(|packers| Ok((source.start()?, packers)));
    let remains = flow.as_ref().map_or_else(|_| Remains::none(), |(flow, _)| flow.remains());
    let begun = flow.and_then(|(flow, packers)| {
        read::Reader::new(
            flow,
            settled,
            pool.clone(),
            packers,
            cancel.clone(),
            &stats,
            progress_out,
        )
        .adapting(adapt)
        .spawn()
    });
    let inputs =
        dispatch::Inputs { begun, events, packed, progress, pool, remains, failures, interrupt };
    let (foot_bytes, buffer_feet) = (settled.foot_bytes, budget.feet as u64);
    let config = sender::Config { foot_bytes, buffer_feet, patience, pace: settled.pace };
    dispatch::run(settled, config, first, roster, inputs, &stats)
}

fn wish(config: &config::Tx, has_spare: bool) -> Wish {
    let workers = config
        .rendezvous
        .most_workers(config.common.window_bytes, Some(config.packaging.foot_bytes));
    let workers = workers.map(|workers| workers + u16::from(has_spare));
    let workers = workers.map_or(MAX_WORKERS, |workers| workers.min(MAX_WORKERS));
    Wish {
        foot_bytes: config.packaging.foot_bytes,
        workers,
        window_bytes: config.common.window_bytes,
        verify: config.common.verify,
        pace: Pace::for_patience(config.common.patience),
    }
}

/// How the window is spent.
struct Budget {
    /// Feet between the source and their ack.
    feet: usize,
    /// Threads that pack, each with one buffer to pack into.
    threads: usize,
    buffer_bytes: usize,
}

impl Budget {
    fn of(window_bytes: u64, packing: Packing, settled: Settled) -> Budget {
        let total = window_bytes / u64::from(settled.foot_bytes);
        let total = total.max(min_window_feet(settled.workers)) as usize;
        let threads = team::threads(total);
        if packing == Packing::None {
            return Budget { feet: total, threads, buffer_bytes: settled.foot_bytes as usize };
        }
        let threads = threads.min(pack::affordable_threads(packing, settled.foot_bytes));
        let buffer_bytes = crate::codec::packed_bound(settled.foot_bytes);
        Budget { feet: total - threads, threads, buffer_bytes }
    }
}
