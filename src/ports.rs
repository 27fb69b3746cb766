//! What a run may be given beside its settings and its end of the stream.
//!
//! A program that embeds this library needs none of it: [`Ports::default`] will do. Does not know which end
//! uses it.

use crate::error::Error;
use crate::link::Spare;
use crate::news::News;
use crate::stats::Stats;
use crossbeam_channel::{Receiver, Sender, bounded, never};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// One for each end that may be in this process.
const REASONS: usize = 2;

/// What a run tells while it goes on, and how it is told to stop.
pub struct Ports<'a> {
    /// What is counted, where somebody looks at it.
    pub(crate) stats: Option<Arc<Stats>>,
    /// Hears what becomes of links.
    pub(crate) news: News,
    /// What ends the run before its end, sent once for each end in this process.
    pub(crate) interrupt: Receiver<Error>,
    /// Hears all addresses at once, when they accept connections; none where this end dials.
    pub(crate) announce: Option<Announce<'a>>,
    /// Another way, for when those that are dialled do not work.
    pub(crate) spare: Option<Spare>,
    /// The other end hears elsewhere why this one fails.
    pub(crate) is_brief: bool,
}

/// How much later than the end of a program a signal that came to it and us may be heard.
const SIGNAL_LAG: Duration = Duration::from_millis(50);

/// Why a run ends that has this error. A program of the user's that ends of a signal which comes to us too, as when a
/// service is stopped, is not why.
pub(crate) fn or_interrupt(error: Error, interrupt: &Receiver<Error>) -> Error {
    match error {
        Error::Command { .. } => match interrupt.recv_timeout(SIGNAL_LAG) {
            Ok(signal @ Error::Signal(_)) => signal,
            Ok(_) | Err(_) => error,
        },
        error => error,
    }
}

/// Hears addresses.
pub(crate) type Announce<'a> = &'a mut dyn FnMut(&[SocketAddr]);

/// Stops a run from outside. Clones stop the same one.
#[derive(Clone, Debug)]
pub struct Stop(Sender<Error>);

impl Ports<'_> {
    /// The figures of the run are counted here, to be looked at while it goes on.
    pub fn counted(self, stats: Arc<Stats>) -> Self {
        Ports { stats: Some(stats), ..self }
    }

    /// What stops the run; the last one that was asked for does.
    pub fn stop(&mut self) -> Stop {
        let (stop, interrupt) = bounded(REASONS);
        self.interrupt = interrupt;
        Stop(stop)
    }
}

impl<'a> Ports<'a> {
    /// An end that listens says here where, once it accepts connections: all its addresses in one call. An
    /// end that dials says nothing.
    pub fn announced(self, announce: &'a mut dyn FnMut(&[SocketAddr])) -> Ports<'a> {
        Ports { announce: Some(announce), ..self }
    }

    /// Says that connections are accepted at these addresses.
    pub(crate) fn announce(announce: Option<Announce<'_>>, all: &[SocketAddr]) {
        if let Some(announce) = announce {
            announce(all);
        }
    }
}

impl Default for Ports<'_> {
    fn default() -> Self {
        Ports {
            stats: None,
            news: News::unheard(),
            interrupt: never(),
            announce: None,
            spare: None,
            is_brief: false,
        }
    }
}

impl fmt::Debug for Ports<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports").field("stats", &self.stats).finish_non_exhaustive()
    }
}

impl Stop {
    /// Ends the run with an error of this text, of which the other end is told. The first reason counts, and a
    /// run that is over takes no notice.
    pub fn stop(&self, why: &str) {
        for _ in 0..REASONS {
            let error = Error::io(why, io::ErrorKind::Interrupted.into());
            let _ = self.0.try_send(error);
        }
    }
}
