//! All who dial: as many threads as there shall be connections, and what they share.
//!
//! Does not know how one of them dials ([`super::dial`]), nor what more or fewer of them would bring
//! ([`super::steer`]).

use super::dial::{Dialler, Way};
use super::quotas::Quotas;
use super::slots::Slots;
use super::steer::Steer;
use super::{Crew, Spare, random};
use crate::config::{Dest, Workers, shares};
use crate::error::Error;
use crate::proto::LinkId;
use crate::proto::hello::{Hello, HelloKind, SessionId, VERSIONS, Welcome, Wish};
use std::sync::{Arc, OnceLock};
use std::thread;

/// Where connections may go.
pub(super) struct Ways<'a> {
    pub(super) dests: &'a [Dest],
    /// Connections over all DESTs.
    pub(super) workers: Workers,
    pub(super) spare: Option<Spare>,
}

/// Starts the dialling threads: their links in the order of the DESTs, the shares of `workers` as
/// [`shares`] says, and the spare one after them; and whoever changes their number, if anybody does.
pub(super) fn start(ways: Ways<'_>, wish: Wish, name: &str, crew: &Crew) -> Result<(), Error> {
    let Ways { dests, workers, spare } = ways;
    let shares = shares(dests, workers.at_first());
    let quotas = Quotas::new(shares.iter().copied().chain(spare.iter().map(|_| 1)));
    let hello = Hello {
        versions: VERSIONS,
        kind: HelloKind::New,
        session: SessionId(random()?),
        role: crew.role,
        worker: 0,
        link: 0,
        workers: wish.workers,
        foot_bytes: wish.foot_bytes,
        window_bytes: wish.window_bytes,
        verify: wish.verify,
        pace: wish.pace,
        name: name.to_owned(),
    };
    let mut diallers = Diallers {
        dests: dests.to_vec(),
        hello,
        wish,
        kept: u16::from(spare.is_some()),
        slots: Arc::new(Slots::new(wish.workers)),
        quotas: Arc::new(quotas),
        welcomed: Arc::new(OnceLock::new()),
        crew: crew.clone(),
        next: 0,
    };
    // Round by round, so that a session settled to few connections still has every link.
    for round in 0..shares.iter().copied().max().unwrap_or(0) {
        for (link, (dest, share)) in dests.iter().zip(&shares).enumerate() {
            if round < *share {
                diallers.add(Way::Dest(dest.clone()), link)?;
            }
        }
    }
    if let Some(spare) = spare {
        diallers.add(Way::Spare(spare), dests.len())?;
    }
    match workers {
        Workers::Count(_) => Ok(()),
        Workers::Auto => {
            let grows = dests.iter().map(|dest| dest.workers.is_none());
            Steer::new(diallers, shares.into_iter().zip(grows).collect()).start()
        }
    }
}

/// All who dial, and what they share.
pub(super) struct Diallers {
    dests: Vec<Dest>,
    /// What each says, but for its own numbers.
    hello: Hello,
    wish: Wish,
    /// Places that are kept for the spare way.
    kept: u16,
    slots: Arc<Slots>,
    quotas: Arc<Quotas>,
    /// The first welcome of the session, on whatever connection.
    welcomed: Arc<OnceLock<Welcome>>,
    crew: Crew,
    /// The number of the next one.
    next: u32,
}

impl Diallers {
    /// What they share with every connection of this end.
    pub(super) fn crew(&self) -> &Crew {
        &self.crew
    }

    /// So many connections there may be over all DESTs, as far as is known now.
    pub(super) fn most(&self) -> u16 {
        self.slots.count().saturating_sub(self.kept)
    }

    /// A DEST shall have so many connections. Who is not needed any more leaves by itself.
    pub(super) fn want(&mut self, link: LinkId, wanted: u16) {
        let Some(dest) = self.dests.get(usize::from(link.0)).cloned() else { return };
        for _ in 0..self.quotas.want(link, wanted) {
            // For want of threads there are just fewer.
            if self.add(Way::Dest(dest.clone()), usize::from(link.0)).is_err() {
                self.quotas.fail(link);
            }
        }
    }

    fn add(&mut self, way: Way, link: usize) -> Result<(), Error> {
        let index = self.next;
        self.next = index.wrapping_add(1);
        let link = LinkId(link as u16); // DESTs are fewer than connections, which fit
        let dialler = Dialler {
            way,
            link,
            hello: Hello { link: link.0, ..self.hello.clone() },
            wish: self.wish,
            index,
            slots: Arc::clone(&self.slots),
            quotas: Arc::clone(&self.quotas),
            welcomed: Arc::clone(&self.welcomed),
            crew: self.crew.clone(),
        };
        let thread = thread::Builder::new().name(format!("worker {index}"));
        let spawned = thread.spawn(move || dialler.run());
        spawned.map(drop).map_err(|error| Error::io("a thread for a connection", error))
    }
}
