//! What becomes of links and connections, as facts for whoever watches.
//!
//! Told by those to whom it happens, and never in their way; each is an event of `tracing` too, for who wants
//! detail. Does not know what people see of it ([`crate::watch`]).

use crate::proto::{LinkId, WorkerId};
use crossbeam_channel::{Receiver, Sender, bounded};
use tracing::debug;

/// Facts that may wait. Who watches never blocks, so nobody waits long for a place.
const QUEUE: usize = 256;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// These links are dialled from now on, the preferred first.
    Dialling(Vec<String>),
    /// A connection came up.
    Up {
        /// The connection.
        worker: WorkerId,
        /// The way it takes.
        link: LinkId,
        /// The address at its other end.
        peer: String,
    },
    /// A connection that was up was lost.
    Down {
        /// The connection.
        worker: WorkerId,
        /// The way it took.
        link: LinkId,
        /// Why.
        cause: String,
    },
    /// A connection that was not needed any more has ended.
    Retired {
        /// The connection.
        worker: WorkerId,
        /// The way it took.
        link: LinkId,
    },
    /// A link is to have more connections or fewer.
    Resized {
        /// The link.
        link: LinkId,
        /// How many.
        workers: u16,
        /// Why.
        cause: String,
    },
    /// A link could not be taken.
    Missed {
        /// The link.
        link: LinkId,
        /// Why.
        cause: String,
    },
    /// A link is no more, and not tried again; why, is told next.
    WayOver(LinkId),
    /// This machine lacks what one more connection needs; the cause in the system's words.
    Short(String),
    /// A caller was not let in.
    Refused {
        /// Its address, without the port.
        peer: String,
        /// Why.
        cause: String,
        /// How many others were not let in since the last that was told of.
        others: u32,
    },
    /// The file of `--rate` holds no rate any more, and the last one is kept; why.
    RateKept(String),
    /// The scheduler has no use for a link: what it carried would come too late.
    PassedOver(LinkId),
    /// The session is over: whatever follows is its end.
    Over,
    /// It has failed, and the other end has not heard yet why: this.
    Unheard(String),
}

/// Tells facts. Clones tell the same one.
#[derive(Clone, Debug)]
pub struct News(Option<Sender<Fact>>);

impl News {
    /// News, and where they are heard.
    pub fn channel() -> (News, Receiver<Fact>) {
        let (facts, heard) = bounded(QUEUE);
        (News(Some(facts)), heard)
    }

    /// News that nobody hears.
    pub fn unheard() -> News {
        News(None)
    }

    /// Tells a fact.
    pub fn tell(&self, fact: Fact) {
        fact.log();
        if let Some(facts) = &self.0 {
            // Nobody hears it when the run is over.
            let _ = facts.send(fact);
        }
    }
}

impl Fact {
    /// Only what happened: what it comes to is for those who hear of all of it.
    fn log(&self) {
        match self {
            Fact::Dialling(names) => debug!(?names, "ways to the other end"),
            Fact::Up { worker: WorkerId(worker), link: LinkId(link), peer } => {
                debug!(worker, link, peer, "connection is up");
            }
            Fact::Down { worker: WorkerId(worker), link: LinkId(link), cause } => {
                debug!(worker, link, cause, "connection is down");
            }
            Fact::Retired { worker: WorkerId(worker), link: LinkId(link) } => {
                debug!(worker, link, "connection is not needed");
            }
            Fact::Resized { link: LinkId(link), workers, cause } => {
                debug!(link, workers, cause, "connections wanted");
            }
            Fact::Missed { link: LinkId(link), cause } => debug!(link, cause, "no connection"),
            Fact::Refused { peer, cause, others } => debug!(peer, cause, others, "caller refused"),
            Fact::WayOver(LinkId(link)) => debug!(link, "no more"),
            Fact::PassedOver(LinkId(link)) => debug!(link, "passed over"),
            Fact::Short(_) | Fact::RateKept(_) | Fact::Over | Fact::Unheard(_) => {}
        }
    }
}
