//! Waiting for the first connection, and the errors when there is none.
//!
//! The dialling side gives up after patience; the listening side waits as long as it takes. Does not
//! know what is carried afterwards.

use super::{Event, Miss};
use crate::error::{Error, plain};
use crate::net;
use crate::news::{Fact, News};
use crate::proto::LinkId;
use crate::proto::hello::{RefusalKind, Settled};
use crate::tls::TlsError;
use crossbeam_channel::{Receiver, after, never, select};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tracing::info;

/// Links that are told of where this end listens: how many there are is for the other end to say.
const MOST_TOLD: usize = 8;

/// What was last heard of each link that does not work.
#[derive(Clone, Debug, Default)]
pub struct Causes(BTreeMap<LinkId, Miss>);

impl Causes {
    /// This link could not be taken. That this machine is short of something for one connection does
    /// not hide what another one met outside.
    pub fn missed(&mut self, link: LinkId, miss: Miss) {
        let is_short = |miss: &Miss| matches!(miss, Miss::Short(_));
        if !is_short(&miss) || self.0.get(&link).is_none_or(is_short) {
            self.0.insert(link, miss);
        }
    }

    /// This link works, or did until now.
    pub fn works(&mut self, link: LinkId) {
        self.0.remove(&link);
    }

    /// Each link with its cause, on one line; empty when there is nothing to tell. Where this end
    /// listens links have no names.
    pub fn tell(&self, names: &[String]) -> String {
        let one = |(link, miss): (&LinkId, &Miss)| match names.get(usize::from(link.0)) {
            Some(name) => format!("{name}: {}", miss.tell()),
            None => miss.tell(),
        };
        let most = if names.is_empty() { MOST_TOLD } else { self.0.len() };
        let told = self.0.iter().take(most).map(one).collect::<Vec<_>>().join("; ");
        match self.0.len().saturating_sub(most) {
            0 => told,
            others => format!("{told}; and {others} others"),
        }
    }

    /// The same with those of `names` that nothing was heard of.
    fn tell_all(&self, names: &[String]) -> String {
        let links = (0..).map(LinkId).zip(names);
        let one = |(link, name): (LinkId, &String)| match self.0.get(&link) {
            Some(miss) => format!("{name}: {}", miss.tell()),
            None => format!("{name}: no answer"),
        };
        links.map(one).collect::<Vec<_>>().join("; ")
    }

    /// The refusal that makes more tries pointless, once every one of `links` has been refused so.
    fn refused(&self, links: usize, names: &[String]) -> Option<Error> {
        let is_final = |miss: &Miss| match miss {
            Miss::Refused(refusal) => refusal.reason != RefusalKind::Busy,
            Miss::OtherKey => true,
            Miss::Lost(_) | Miss::Short(_) | Miss::Restarted | Miss::Over(_) => false,
        };
        if links == 0 || self.0.len() < links || !self.0.values().all(is_final) {
            return None;
        }
        let hint = self.0.values().find_map(Miss::remedy).map(str::to_owned);
        Some(Error::Refused { what: "refused".into(), cause: self.tell(names), hint })
    }

    /// The limit of this machine that stood before every link.
    fn shortage(&self) -> Option<io::Error> {
        let mut numbers = self.0.values().map(|miss| match miss {
            Miss::Short(number) => Some(*number),
            _ => None,
        });
        let first = numbers.next()??;
        numbers.all(|number| number.is_some()).then(|| io::Error::from_raw_os_error(first))
    }

    fn is_busy(&self) -> bool {
        self.0.values().any(
            |miss| matches!(miss, Miss::Refused(refusal) if refusal.reason == RefusalKind::Busy),
        )
    }
}

impl Miss {
    /// What an attempt to connect came to.
    pub fn of(error: &io::Error) -> Miss {
        if let Some(TlsError::OtherKey) = TlsError::within(error) {
            return Miss::OtherKey;
        }
        match error.raw_os_error() {
            Some(number) if net::is_shortage(error) => Miss::Short(number),
            _ => Miss::Lost(plain(error)),
        }
    }

    /// For people.
    pub fn tell(&self) -> String {
        match self {
            Miss::Lost(cause) | Miss::Over(cause) => cause.clone(),
            Miss::Short(number) => plain(&io::Error::from_raw_os_error(*number)),
            Miss::Refused(refusal) => refusal.detail.clone(),
            Miss::OtherKey => TlsError::OtherKey.to_string(),
            Miss::Restarted => "it was restarted, or is another process".to_owned(),
        }
    }

    /// Whether the other end is there and does not know our session: it was restarted.
    pub fn is_restart(&self) -> bool {
        match self {
            Miss::Restarted => true,
            Miss::Refused(refusal) => refusal.reason == RefusalKind::UnknownSession,
            Miss::Lost(_) | Miss::Short(_) | Miss::OtherKey | Miss::Over(_) => false,
        }
    }

    /// What the user could do about it.
    fn remedy(&self) -> Option<&'static str> {
        match self {
            Miss::OtherKey => Some("give the same key to both ends"),
            Miss::Refused(refusal) => match refusal.reason {
                RefusalKind::Name => Some("give the same --name at both ends"),
                RefusalKind::Plain | RefusalKind::Tls => {
                    Some("give both ends a key, or --plain to both")
                }
                _ => None,
            },
            Miss::Lost(_) | Miss::Short(_) | Miss::Restarted | Miss::Over(_) => None,
        }
    }
}

/// Waits for the first [`Event::Up`] and returns it. `names` are the links that are dialled, none
/// where this end listens; only who dials runs out of patience. A failure of what is to be carried, or of
/// where to, ends the wait.
pub fn meet(
    events: &Receiver<Event>,
    interrupt: &Receiver<Error>,
    failures: &Receiver<Error>,
    names: &[String],
    patience: Option<Duration>,
    news: &News,
) -> Result<Event, Error> {
    let out_of_patience = match patience {
        Some(patience) if !names.is_empty() => after(patience),
        _ => never(),
    };
    let mut causes = Causes::default();
    let (mut interrupt, mut failures) = (interrupt.clone(), failures.clone());
    loop {
        select! {
            recv(events) -> event => match event {
                Ok(Event::Missed(link, miss)) => {
                    news.tell(Fact::Missed { link, cause: miss.tell() });
                    causes.missed(link, miss);
                    if let Some(refused) = causes.refused(names.len(), names) {
                        return Err(refused);
                    }
                }
                Ok(event @ Event::Up { settled, .. }) => {
                    let Settled { foot_bytes, workers, window_bytes, verify, .. } = settled;
                    info!(foot_bytes, workers, window_bytes, verify, "the ends have met");
                    return Ok(event);
                }
                Ok(
                    Event::Frame(..)
                    | Event::Written(_)
                    | Event::Held(..)
                    | Event::Down(..)
                    | Event::Retire(_),
                ) => {}
                Err(_) => return Err(gave_up("every connection", "its thread ended")),
            },
            recv(interrupt) -> error => match error {
                Ok(error) => return Err(error),
                Err(_) => interrupt = never(),
            },
            recv(failures) -> failure => match failure {
                Ok(error) => return Err(error),
                Err(_) => failures = never(),
            },
            recv(out_of_patience) -> _ => {
                if let Some(shortage) = causes.shortage() {
                    return Err(Error::io("a connection", shortage));
                }
                if causes.is_busy() {
                    return Err(Error::Busy { what: names.join(", ") });
                }
                return Err(gave_up("no connection", &causes.tell_all(names)));
            }
        }
    }
}

fn gave_up(what: &str, cause: &str) -> Error {
    Error::PeerLost { what: what.to_owned(), cause: cause.to_owned() }
}
