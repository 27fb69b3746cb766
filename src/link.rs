//! Connections between the two ends, the same for either role and for either side of the dialling.
//!
//! A *link* is one way to the other end (one DEST), a *worker* one TCP connection on it with its thread.
//! [`dial`] and [`accept`] bring connections up, [`worker`] moves frames over one. Whoever owns a state
//! machine hears of it all as [`Event`]s and speaks through [`Handle`]s. Nothing here knows what a frame
//! means, or in which order feet come.

mod accept;
mod channel;
mod dial;
mod diallers;
mod growth;
mod limit;
mod lobby;
mod meet;
mod quotas;
mod roster;
mod slots;
mod steer;
mod worker;

pub use limit::Limit;
pub use roster::Roster;
pub use worker::{Admit, Handle, Inlet, NoFeet};

use crate::cancel::Cancel;
use crate::config::Rendezvous;
use crate::error::Error;
use crate::key::Security;
use crate::news::News;
use crate::proto::frame::Frame;
use crate::proto::hello::{Gate, Listener, Refusal, Role, Settled, VERSIONS, Wish};
use crate::proto::{LinkId, WorkerId};
use crate::stats::Stats;
use crate::tls::Side;
use channel::Channel;
use crossbeam_channel::{Receiver, Sender, bounded};
use socket2::Socket;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tracing::debug;

/// Events that wait for the owner. Workers block when it is full, which only slows their sockets;
/// a few for each of the most workers that there can be.
const EVENTS: usize = 4096;

/// What the owner of the connections hears.
#[derive(Debug)]
pub enum Event {
    /// A connection was welcomed.
    Up {
        /// Speaks to it.
        handle: Handle,
        /// The way it takes.
        link: LinkId,
        /// The round trip of its hello; zero on the accepting side, which does not measure it.
        rtt: Duration,
        /// What the session was settled to be; the same each time.
        settled: Settled,
    },
    /// A frame came in (feet go to the [`Inlet`]).
    Frame(WorkerId, Frame),
    /// A foot has gone to the kernel whole.
    Written(WorkerId),
    /// The limit is what holds a connection back from now on, or is not any more.
    Held(WorkerId, bool),
    /// A connection that was up is gone.
    Down(WorkerId, String),
    /// A way could not be taken; it is tried again unless it is over.
    Missed(LinkId, Miss),
    /// A connection is not needed any more: have it end, without loss.
    Retire(WorkerId),
}

impl Event {
    /// Whether the connection may end in due form right behind it: so what it means must be known before its end is.
    pub fn is_last_word(&self) -> bool {
        matches!(self, Event::Frame(_, Frame::Abort(_) | Frame::Done(_) | Frame::Retire))
    }
}

/// Why a way could not be taken.
#[derive(Clone, Debug)]
pub enum Miss {
    /// It did not connect, or the connection went before it was welcomed.
    Lost(String),
    /// This machine could not: the number of the system's error.
    Short(i32),
    /// The other end answered, and said no.
    Refused(Refusal),
    /// The keys of the two ends differ.
    OtherKey,
    /// Another process than before answered.
    Restarted,
    /// The way is no more, and will not come back.
    Over(String),
}

/// Makes the inlet of each new connection.
pub type Inlets = Arc<dyn Fn(&Settled) -> Box<dyn Inlet> + Send + Sync>;

/// What both roles give to their connections.
pub struct Setup {
    /// Whether this end sends or receives.
    pub role: Role,
    /// What this end would like the session to be.
    pub wish: Wish,
    /// The stream's label.
    pub name: String,
    /// How connections are protected.
    pub security: Security,
    /// Where feet go, once the session is settled.
    pub inlet: Inlets,
    /// What all connections together may write.
    pub limit: Option<Limit>,
    /// TCP's congestion control for each, where it is not the system's choice.
    pub congestion: Option<String>,
    /// What is counted.
    pub stats: Arc<Stats>,
    /// Hears what becomes of links and callers.
    pub news: News,
    /// Stops everything.
    pub cancel: Cancel,
}

/// Another way to the other end than those that are dialled: one connection, less welcome than any of
/// theirs.
#[derive(Clone)]
pub struct Spare {
    /// What it is called.
    pub name: String,
    /// It is taken where there has been no connection for this long.
    pub after: Duration,
    /// Whether there will be no connection any more.
    pub is_over: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Makes a connection.
    pub open: Arc<dyn Fn() -> io::Result<Socket> + Send + Sync>,
}

/// The links by name, the preferred first; none where this end listens.
pub fn names(rendezvous: &Rendezvous, spare: Option<&Spare>) -> Vec<String> {
    rendezvous.names().into_iter().chain(spare.map(|spare| spare.name.clone())).collect()
}

/// Brings connections up, by dialling or by listening. `announce` hears each address that accepts. A
/// `spare` way is for who dials.
pub fn start(
    rendezvous: &Rendezvous,
    spare: Option<Spare>,
    setup: Setup,
    announce: &mut dyn FnMut(SocketAddr),
) -> Result<Receiver<Event>, Error> {
    let (events, heard) = bounded(EVENTS);
    let side = match (&setup.security, rendezvous) {
        (Security::Plain, _) => None,
        (Security::Keyed(key), Rendezvous::Dial { .. }) => Some(Side::dialling(key)?),
        (Security::Keyed(key), Rendezvous::Listen(_)) => Some(Side::listening(key)?),
    };
    let crew = Crew {
        role: setup.role,
        side,
        inlet: setup.inlet,
        limit: setup.limit,
        congestion: setup.congestion.map(Arc::from),
        stats: setup.stats,
        news: setup.news,
        cancel: setup.cancel,
        events,
        next_worker: Arc::new(AtomicU32::new(0)),
    };
    match rendezvous {
        Rendezvous::Dial { dests, workers } => {
            for (link, dest) in dests.iter().enumerate() {
                debug!(link, %dest, "dialled from now on");
            }
            let ways = diallers::Ways { dests, workers: *workers, spare };
            diallers::start(ways, setup.wish, &setup.name, &crew)?;
        }
        Rendezvous::Listen(listens) => {
            let gate = Gate::new(Listener {
                wish: setup.wish,
                name: setup.name,
                versions: VERSIONS,
                incarnation: random()?,
                role: setup.role,
            });
            accept::start(listens, gate, crew, announce)?;
        }
    }
    Ok(heard)
}

/// What every connection of this end shares.
#[derive(Clone)]
struct Crew {
    role: Role,
    /// What TLS needs, where there is a key.
    side: Option<Side>,
    inlet: Inlets,
    limit: Option<Limit>,
    congestion: Option<Arc<str>>,
    stats: Arc<Stats>,
    news: News,
    cancel: Cancel,
    events: Sender<Event>,
    next_worker: Arc<AtomicU32>,
}

impl Crew {
    /// A new connection, to be protected as this end is.
    fn channel(&self, socket: Socket) -> io::Result<Channel> {
        Channel::new(socket, self.side.as_ref())
    }

    fn next_worker(&self) -> WorkerId {
        WorkerId(self.next_worker.fetch_add(1, Ordering::Relaxed))
    }
}

/// Random bytes, or the reason why this machine has none.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::io("random numbers", io::Error::other(error)))?;
    Ok(bytes)
}

/// A name for a session that nobody else's has.
pub(crate) fn random_name() -> Result<String, Error> {
    Ok(random::<16>()?.map(|byte| format!("{byte:02x}")).concat())
}
