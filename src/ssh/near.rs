//! The near end: has the far end started through ssh, dials it, and carries the stream to it or from it.
//!
//! Does not know how ssh is run, nor what it says ([`super::session`]).

use super::child;
use super::order::Order;
use super::session::{Place, Session};
use crate::config::{self, Dest, Direct, Near, Rendezvous, Verbosity};
use crate::error::Error;
use crate::link::{self, Spare};
use crate::news::{Fact, News};
use crate::run::open_source;
use crate::sink::Remains;
use crate::source::Source;
use crate::stats::Stats;
use crate::tx::Delivered;
use crate::watch::say::Say;
use crate::{rx, sink, tx};
use crossbeam_channel::{Receiver, Sender};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// What the way through ssh is called.
pub const SPARE_NAME: &str = "through ssh";
/// How long direct connections have the stream for themselves; no longer than half of patience.
const FALLBACK: Duration = Duration::from_secs(3);

/// What a run needs beside its settings.
pub struct Ports {
    /// What is counted.
    pub stats: Arc<Stats>,
    /// Hears what becomes of links.
    pub news: News,
    /// Says that the stream goes through ssh.
    pub say: Say,
    /// Ends the run.
    pub stop: Sender<Error>,
    /// What ends the run.
    pub interrupt: Receiver<Error>,
}

/// Starts the far end, and carries the stream to it or from it.
pub fn run(config: &config::Ssh, ports: Ports) -> Result<Delivered, Error> {
    let config = &private(config)?;
    let opened = Opened::open(&config.near, &ports.say)?;
    // Also where it never comes to a stream.
    let remains = opened.remains();
    let (stats, stop, say) = (Arc::clone(&ports.stats), ports.stop.clone(), ports.say.clone());
    let session = Session::start(&config.command, &order(config), stats, stop)?;
    let patience = config.common().patience;
    let outcome = session
        .await_place(patience, &ports.interrupt)
        .and_then(|place| dests(config, &place, &ports.interrupt))
        .and_then(|dests| carry(config, opened, dests, &session, ports));
    drop(remains);
    // However long ssh takes to end.
    say.settle(outcome.as_ref().err().map_or(0, Error::exit_code));
    session.finish(&outcome);
    outcome
}

/// The same under a random name, which nobody else answers to: with `--plain` there is no key that would tell a stranger
/// at the address from the far end.
fn private(config: &config::Ssh) -> Result<config::Ssh, Error> {
    let mut config = config.clone();
    config.common_mut().name = link::random_name()?;
    Ok(config)
}

/// What the far end shall do.
fn order(config: &config::Ssh) -> Order {
    let common = config.common();
    let mut ports: Vec<u16> = match config.direct {
        Direct::Never => Vec::new(),
        _ if config.dests.is_empty() => vec![0],
        _ => config.dests.iter().map(|dest| dest.port).collect(),
    };
    // 0 comes first, so that the port in the answer is the one that was picked.
    ports.sort_unstable();
    ports.dedup();
    Order {
        security: common.security.clone(),
        name: common.name.clone(),
        verify: common.verify,
        window_bytes: config.window_asked,
        patience: common.patience,
        // What there is to say is said here.
        verbosity: match common.verbosity {
            detailed @ (Verbosity::Verbose | Verbosity::VeryVerbose) => detailed,
            Verbosity::Normal | Verbosity::Quiet => Verbosity::Quiet,
        },
        ports,
        // They are no more than connections may be, which fit.
        direct_links: config.direct_links().try_into().unwrap_or(u16::MAX),
        task: config.task.clone(),
    }
}

/// Our own end of the stream.
enum Opened {
    Source(Source),
    Sink(Box<dyn sink::Sink>),
}

impl Opened {
    /// Before anything is started elsewhere.
    fn open(near: &Near, say: &Say) -> Result<Opened, Error> {
        Ok(match near {
            Near::Tx(tx) => Opened::Source(open_source(&tx.input, say)?),
            Near::Rx(rx) => Opened::Sink(sink::open(&rx.output)?),
        })
    }

    /// What must not stay behind without a success.
    fn remains(&self) -> Remains {
        match self {
            Opened::Source(_) => Remains::none(),
            Opened::Sink(sink) => sink.remains(),
        }
    }
}

fn carry(
    config: &config::Ssh,
    opened: Opened,
    dests: Vec<Dest>,
    session: &Session,
    ports: Ports,
) -> Result<Delivered, Error> {
    let Ports { stats, news, say, interrupt, .. } = ports;
    let rendezvous = Rendezvous::Dial { dests, workers: config.workers };
    let spare = spare(config, session, say);
    news.tell(Fact::Dialling(link::names(&rendezvous, spare.as_ref())));
    let ports = crate::ports::Ports {
        stats: Some(stats),
        news,
        interrupt,
        announce: None,
        spare,
        is_brief: true,
    };
    match (&config.near, opened) {
        (Near::Tx(tx), Opened::Source(source)) => {
            tx::run(&config::Tx { rendezvous, ..tx.clone() }, source, ports)
        }
        (Near::Rx(rx), Opened::Sink(sink)) => {
            rx::run(&config::Rx { rendezvous, ..rx.clone() }, sink, ports)
        }
        _ => unreachable!("each end was opened for what it is"),
    }
}

/// The ways to the far end: those that were named, or else the address that ssh has come to, or at least
/// the name that it took.
fn dests(
    config: &config::Ssh,
    place: &Place,
    interrupt: &Receiver<Error>,
) -> Result<Vec<Dest>, Error> {
    if config.direct == Direct::Never {
        return Ok(Vec::new());
    }
    let mut dests = config.dests.clone();
    if dests.is_empty() {
        let command = &config.command;
        let named = match place.host {
            Some(host) => Some(host.to_string()),
            None => child::configured_name(command, interrupt)?,
        };
        // Where not even ssh knows, perhaps the system does, by the name alone.
        let bare = || command.host.rsplit('@').next().unwrap_or_default().to_owned();
        let host = named.unwrap_or_else(bare);
        dests.push(Dest { host, port: 0, bind: None, workers: None });
    }
    for dest in dests.iter_mut().filter(|dest| dest.port == 0) {
        dest.port = place.port;
    }
    Ok(dests)
}

/// The way through ssh itself, where it may be taken.
fn spare(config: &config::Ssh, session: &Session, say: Say) -> Option<Spare> {
    let (tunnel, host) = (session.tunnel(), config.command.host.clone());
    let same = tunnel.clone();
    let is_over = Arc::new(move || same.is_over());
    let is_told = AtomicBool::new(config.direct == Direct::Never);
    let patience = config.common().patience;
    let after = match config.direct {
        Direct::Auto => patience.map_or(FALLBACK, |patience| FALLBACK.min(patience / 2)),
        Direct::Never => Duration::ZERO,
        Direct::Always => return None,
    };
    let open = move || {
        let socket = tunnel.open()?;
        if !is_told.swap(true, Relaxed) {
            let after = after.as_secs_f64();
            say.note(&format!(
                "viamillipede: no direct connection to {host} for {after} s: using the ssh session itself"
            ));
        }
        Ok(socket)
    };
    Some(Spare { name: SPARE_NAME.to_owned(), after, is_over, open: Arc::new(open) })
}
