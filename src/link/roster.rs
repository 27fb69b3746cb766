//! The connections that are up, for the owner of a state machine.
//!
//! Shared by [`crate::tx`] and [`crate::rx`], which differ in what they send, not in how they keep
//! count of whom. Does not know what is sent.

use super::meet::{Causes, meet};
use super::worker::HUNG_UP;
use super::{Event, Handle, Miss};
use crate::config::DEFAULT_PATIENCE;
use crate::error::Error;
use crate::news::{Fact, News};
use crate::proto::frame::{Abort, Frame};
use crate::proto::{Failure, LinkId, WorkerId};
use crate::stats::Stats;
use crate::tls::TlsError;
use crossbeam_channel::{Receiver, after, never, select};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How long the last words may take: longer than a round trip round the world, and short enough for
/// somebody who has just pressed Ctrl-C.
const FAREWELL: Duration = Duration::from_millis(500);
/// How long the other end may take to hear why the stream has failed before it is told here.
const FIRST_WORD: Duration = Duration::from_secs(1);

/// Who is up, and why the others are not.
pub struct Roster {
    handles: BTreeMap<WorkerId, (Handle, LinkId)>,
    /// Those that are about to end, and are no loss.
    retired: BTreeSet<WorkerId>,
    causes: Causes,
    /// Links that have worked: who answers there is the other end, or was.
    proven: BTreeSet<LinkId>,
    /// The links as the user named them; none where this end listens.
    names: Vec<String>,
    patience: Option<Duration>,
    /// The other end hears elsewhere why this one fails.
    is_brief: bool,
    stats: Arc<Stats>,
    news: News,
}

/// Whether that is how a connection ends which the other end has closed: one that leaves in haste does not say so in
/// TLS.
fn is_hang_up(cause: &str) -> bool {
    cause == HUNG_UP || cause == TlsError::Cut.to_string()
}

impl Roster {
    /// Nobody is up yet.
    pub fn new(
        names: Vec<String>,
        patience: Option<Duration>,
        stats: Arc<Stats>,
        news: News,
    ) -> Roster {
        let (handles, causes, proven) = (BTreeMap::new(), Causes::default(), BTreeSet::new());
        let retired = BTreeSet::new();
        Roster { handles, retired, causes, proven, names, patience, is_brief: false, stats, news }
    }

    /// The same, where the other end hears elsewhere why this one fails: it is not waited for to hear it here.
    pub fn brief(self, is_brief: bool) -> Roster {
        Roster { is_brief, ..self }
    }

    /// Waits for the first connection, and returns it. Where this end goes before there is one, whoever comes up
    /// a moment too late hears why.
    pub fn meet(
        self,
        events: &Receiver<Event>,
        interrupt: &Receiver<Error>,
        failures: &Receiver<Error>,
    ) -> Result<(Roster, Event), Error> {
        match meet(events, interrupt, failures, &self.names, self.patience, &self.news) {
            Ok(first) => Ok((self, first)),
            Err(error) => {
                self.farewell(Err(&error), events, interrupt, &mut |_| {});
                Err(error)
            }
        }
    }

    /// A connection came up.
    pub fn up(&mut self, handle: Handle, link: LinkId) {
        self.causes.works(link);
        self.proven.insert(link);
        let (worker, peer) = (handle.id(), handle.peer().to_owned());
        self.news.tell(Fact::Up { worker, link, peer });
        self.handles.insert(handle.id(), (handle, link));
        self.count();
    }

    /// A connection is not needed any more, and about to end.
    pub fn retire(&mut self, worker: WorkerId) {
        if self.handles.contains_key(&worker) {
            self.retired.insert(worker);
            self.count();
        }
    }

    /// A connection has ended, and was lost unless it was retired.
    pub fn down(&mut self, worker: WorkerId, cause: String) {
        if let Some((_, link)) = self.handles.remove(&worker) {
            let is_retired = self.retired.remove(&worker);
            self.count();
            if is_retired {
                return self.news.tell(Fact::Retired { worker, link });
            }
            self.news.tell(Fact::Down { worker, link, cause: cause.clone() });
            self.causes.missed(link, Miss::Lost(cause));
            self.stats.lose(link);
        }
    }

    /// A connection was hung up: the stream is delivered, so it has nothing more to carry, and was not
    /// lost.
    pub fn hung_up(&mut self, worker: WorkerId) {
        self.news.tell(Fact::Over);
        self.handles.remove(&worker);
    }

    /// Shows how many connections are in use.
    fn count(&self) {
        let in_use = self.handles.iter().filter(|(worker, _)| !self.retired.contains(worker));
        let mut links: BTreeMap<LinkId, usize> = BTreeMap::new();
        in_use.for_each(|(_, (_, link))| *links.entry(*link).or_default() += 1);
        self.stats.use_connections(links);
    }

    /// A link could not be taken. An error when that ends the session: the other end was restarted.
    pub fn missed(&mut self, link: LinkId, miss: Miss) -> Result<(), Error> {
        // While another way works, or where this one never did, it merely leads to somebody else.
        let is_proven = self.proven.contains(&link);
        if miss.is_restart() && is_proven && self.handles.is_empty() {
            let cause = miss.tell();
            return Err(Error::PeerLost { what: "the other end".into(), cause });
        }
        if matches!(miss, Miss::Over(_)) {
            self.news.tell(Fact::WayOver(link));
        }
        self.news.tell(Fact::Missed { link, cause: miss.tell() });
        if matches!(miss, Miss::Short(_)) {
            self.news.tell(Fact::Short(miss.tell()));
        }
        self.causes.missed(link, miss);
        Ok(())
    }

    /// A link is up and has nothing to carry, since what it took would come too late. May be told as
    /// often as that is found.
    pub fn passed_over(&self, link: LinkId) {
        self.news.tell(Fact::PassedOver(link));
    }

    /// Speaks to one connection, if it is still up.
    pub fn get(&self, worker: WorkerId) -> Option<&Handle> {
        self.handles.get(&worker).map(|(handle, _)| handle)
    }

    /// All that are up.
    pub fn handles(&self) -> impl Iterator<Item = &Handle> {
        self.handles.values().map(|(handle, _)| handle)
    }

    /// Lets all connections say what they still have to say, and waits for them: for a moment, or, where the other end
    /// would not know why the stream has failed, until it has hung up, patience is over, or somebody interrupts. Where
    /// none is up, one that has said hello, or takes the place of one that was lost, may be in that moment, and says
    /// why then. What else happens meanwhile is for `hear`.
    ///
    /// Where the stream is delivered it is enough that the other end hangs up the connection on which it has said so,
    /// the witness (any, where there is none): it has heard the last word, and over another link that is dead nobody would ever hang up. (One that
    /// ended just before would look the same, and nothing was said on it.)
    pub fn farewell(
        mut self,
        outcome: Result<Option<WorkerId>, &Error>,
        events: &Receiver<Event>,
        interrupt: &Receiver<Error>,
        hear: &mut dyn FnMut(Event),
    ) {
        self.news.tell(Fact::Over);
        let word = outcome.err().map(Error::farewell);
        if matches!(word, Some(None)) {
            return; // there is nothing to say
        }
        let word = word.flatten().map(|(code, reason)| Frame::Abort(Abort { code, reason }));
        for worker in std::mem::take(&mut self.retired) {
            self.handles.remove(&worker); // its last word was another
        }
        self.handles().for_each(Handle::finish);
        let insists_on = outcome.err().filter(|error| error.is_to_be_heard() && !self.is_brief);
        let witness = outcome.ok().flatten();
        let patience = self.patience.unwrap_or(DEFAULT_PATIENCE);
        let is_patient = insists_on.is_some() && !self.handles.is_empty();
        let mut late = after(if is_patient { patience } else { FAREWELL });
        let mut unheard = insists_on.map_or_else(never, |_| after(FIRST_WORD));
        let mut interrupt = insists_on.map_or_else(never, |_| interrupt.clone());
        // Whoever was lost for all of patience does not come back now.
        let is_waited_for = outcome.is_err_and(|error| !matches!(error, Error::PeerLost { .. }));
        let mut is_heard = !is_waited_for;
        while !self.handles.is_empty() || !is_heard && self.may_come_up(events) {
            select! {
                recv(events) -> event => match event {
                    Ok(Event::Down(worker, cause)) => {
                        let was_up = self.handles.remove(&worker).is_some();
                        let is_hung_up = was_up && is_hang_up(&cause);
                        if is_hung_up && outcome.is_ok() && witness.is_none_or(|it| it == worker) {
                            return;
                        }
                        is_heard |= is_hung_up;
                        // It has heard why on this one, and hangs up the others, unless they are dead.
                        let is_last = is_hung_up || self.handles.is_empty();
                        if was_up && is_last && insists_on.is_some() {
                            late = after(FAREWELL);
                        }
                    }
                    Ok(Event::Up { handle, link, .. }) => match &word {
                        Some(word) => {
                            if insists_on.is_some() {
                                late = after(patience);
                            }
                            handle.send(word.clone());
                            handle.finish();
                            self.handles.insert(handle.id(), (handle, link));
                        }
                        None => handle.close("the session is over"),
                    },
                    Ok(event) => hear(event),
                    Err(_) => return,
                },
                recv(unheard) -> _ => {
                    unheard = never();
                    self.news.tell(Fact::Unheard(insists_on.map(Error::to_string).unwrap_or_default()));
                }
                recv(interrupt) -> it => match it {
                    Ok(_) => return,
                    Err(_) => interrupt = never(),
                },
                recv(late) -> _ => return,
            }
        }
    }

    /// Whether one may come up that the other end knows of: another was up, or this one has said hello.
    fn may_come_up(&self, events: &Receiver<Event>) -> bool {
        !self.proven.is_empty() || self.stats.hellos.now() > 0 || !events.is_empty()
    }

    /// Each link with its cause; one that is up has only that it got nowhere.
    fn tell(&self) -> String {
        let mut causes = self.causes.clone();
        for (handle, link) in self.handles.values() {
            let place = if self.names.is_empty() { handle.peer() } else { "" };
            let space = if place.is_empty() { "" } else { " to " };
            causes.missed(*link, Miss::Lost(format!("connected{space}{place}, but no progress")));
        }
        causes.tell(&self.names)
    }

    /// The error that people see for a failure of the protocol.
    pub fn error(&self, failure: Failure) -> Error {
        match failure {
            Failure::PeerLost => {
                let patience = self.patience.unwrap_or_default().as_secs_f64();
                let told = self.tell();
                let colon = if told.is_empty() { "" } else { ": " };
                let cause = format!("no progress for {patience} s{colon}{told}");
                Error::PeerLost { what: "the other end".into(), cause }
            }
            Failure::OutcomeUnknown => Error::OutcomeUnknown,
            Failure::Corrupt(cause) => Error::Corrupt { what: "the stream".into(), cause },
            Failure::Aborted(Abort { code, reason }) => Error::Peer { code, reason },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::worker::Outbox;
    use crate::proto::hello::Settled;
    use crate::proto::liveness::Pace;
    use crate::stats::Role;
    use crossbeam_channel::{Sender, bounded};
    use std::io;

    /// So many connections over one link, each with its number, and what is told of them; more may follow.
    fn crowd(workers: u32, told: Vec<Event>) -> (Roster, Receiver<Event>, Sender<Event>) {
        let stats = Arc::new(Stats::new(Role::Sender, 1));
        let mut roster = Roster::new(Vec::new(), None, Arc::clone(&stats), News::unheard());
        for id in (0..workers).map(WorkerId) {
            let outbox = Arc::new(Outbox::new().expect("descriptors"));
            let row = stats.join(id, LinkId(0), "peer".into());
            roster.up(Handle::new(id, outbox, Arc::default(), row), LinkId(0));
        }
        let (tell, events) = bounded(8);
        told.into_iter().for_each(|event| tell.send(event).expect("there is room"));
        (roster, events, tell)
    }

    fn down(worker: u32, cause: &str) -> Event {
        Event::Down(WorkerId(worker), cause.into())
    }

    /// Hears what else happens.
    fn unheard(_: Event) {}

    /// Nothing that is waited for.
    fn other() -> Event {
        Event::Written(WorkerId(0))
    }

    #[test]
    fn a_delivered_stream_is_over_when_its_witness_is_hung_up() {
        let told = vec![down(0, HUNG_UP), down(1, HUNG_UP), other()];
        let (roster, events, _more) = crowd(3, told);
        roster.farewell(Ok(Some(WorkerId(1))), &events, &never(), &mut unheard);
        assert_eq!(events.len(), 1, "neither before nor after that");
    }

    #[test]
    fn a_witness_that_was_lost_leaves_the_others_to_be_waited_for() {
        let told = vec![down(1, "connection reset"), down(0, HUNG_UP), other()];
        let (roster, events, _more) = crowd(2, told);
        roster.farewell(Ok(Some(WorkerId(1))), &events, &never(), &mut unheard);
        assert_eq!(events.len(), 1, "until none is left");
    }

    #[test]
    fn who_is_to_be_heard_stays_until_somebody_interrupts() {
        let (roster, events, _more) = crowd(1, vec![other()]);
        let (signal, interrupt) = bounded(1);
        signal.send(Error::Signal(2)).expect("there is room");
        roster.farewell(Err(&full()), &events, &interrupt, &mut unheard);
        assert!(interrupt.is_empty(), "it was heard");
    }

    /// A connection that has just come up, and what it will be given to say.
    fn up(worker: u32) -> (Event, Arc<Outbox>) {
        let outbox = Arc::new(Outbox::new().expect("descriptors"));
        let stats = Stats::new(Role::Sender, 1);
        let row = stats.join(WorkerId(worker), LinkId(0), "peer".into());
        let handle = Handle::new(WorkerId(worker), Arc::clone(&outbox), Arc::default(), row);
        let settled = Settled {
            foot_bytes: 1 << 20,
            workers: 1,
            window_bytes: 1 << 30,
            verify: false,
            pace: Pace { more_a_second: 0 },
        };
        (Event::Up { handle, link: LinkId(0), rtt: Duration::ZERO, settled }, outbox)
    }

    #[test]
    fn who_comes_up_when_all_others_are_down_says_why_and_is_waited_for() {
        for error in [Error::Signal(2), full()] {
            let (back, outbox) = up(1);
            let told = vec![down(0, "connection reset"), back, down(1, HUNG_UP), other()];
            let (roster, events, _more) = crowd(1, told);
            roster.farewell(Err(&error), &events, &never(), &mut unheard);
            assert_eq!(events.len(), 1, "it is waited for, and no longer");
            let word = outbox.last_word().expect("it has something to say");
            assert_eq!(Some((word.code, word.reason)), error.farewell());
        }
    }

    #[test]
    fn who_has_said_hello_may_yet_come_up() {
        let (back, outbox) = up(0);
        let (roster, events, more) = crowd(0, vec![]);
        roster.stats.hellos.increment();
        more.send(back).expect("there is room");
        more.send(down(0, HUNG_UP)).expect("there is room");
        roster.farewell(Err(&Error::Signal(2)), &events, &never(), &mut unheard);
        assert!(outbox.last_word().is_some() && events.is_empty());
    }

    fn full() -> Error {
        Error::io("stdout", io::ErrorKind::StorageFull.into())
    }

    #[test]
    fn who_was_told_by_the_other_end_goes_at_once() {
        let (roster, events, _more) = crowd(1, vec![down(0, HUNG_UP)]);
        let peer = Error::Peer { code: 1, reason: "disk full".into() };
        roster.farewell(Err(&peer), &events, &never(), &mut unheard);
        assert_eq!(events.len(), 1, "nothing is waited for");
    }

    #[test]
    fn inside_tls_an_end_without_a_word_is_a_hang_up_too() {
        let cut = TlsError::Cut.to_string();
        let (roster, events, _more) = crowd(3, vec![down(0, &cut), down(1, &cut), other()]);
        roster.farewell(Ok(Some(WorkerId(1))), &events, &never(), &mut unheard);
        assert_eq!(events.len(), 1, "that of the witness");
    }

    #[test]
    fn who_was_retired_before_is_not_waited_for() {
        let (mut roster, events, _more) = crowd(2, vec![down(0, HUNG_UP), other()]);
        roster.retire(WorkerId(1));
        roster.farewell(Err(&full()), &events, &never(), &mut unheard);
        assert_eq!(events.len(), 1, "the other is the last");
    }

    #[test]
    fn nobody_stays_to_be_heard_where_the_other_end_hears_it_elsewhere() {
        let (roster, events, _more) = crowd(1, vec![]);
        let (signal, interrupt) = bounded(1);
        signal.send(Error::Signal(2)).expect("there is room");
        roster.brief(true).farewell(Err(&full()), &events, &interrupt, &mut unheard);
        assert_eq!(interrupt.len(), 1, "it went by itself");
    }
}
