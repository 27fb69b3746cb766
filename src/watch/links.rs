//! What people hear of links: that one is down, back or passed over, that there is no connection yet,
//! who was refused. A line each, and never a flood.
//!
//! Pure: facts and the time go in, lines come out. Does not know where they are written.

use super::budget::{Budget, Kinds};
use crate::error::one_line;
use crate::news::Fact;
use crate::proto::LinkId;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// How long a link must be down before it is said: connections that end with the session, or are up
/// again at once, are no news.
const HOLD: Duration = Duration::from_millis(500);
/// How long the dialling end tries before it says that there is no connection yet.
const FIRST_WORD: Duration = Duration::from_secs(1);
/// Least time between two lines of one sort once a first one was said, but for a cause that is new. What
/// happens meanwhile is counted.
const QUIET: Duration = Duration::from_secs(10);
/// Least time before a refusal is said in the same words again.
const REPEAT: Duration = Duration::from_secs(60);
/// A link lost as often as this in [`QUIET`] is news even if it always came back at once.
const FLAPS: u32 = 3;
/// Most lines about links in [`QUIET`], however many there are.
const NOTES: u32 = 20;

/// All links, as people know them.
#[derive(Debug)]
pub(super) struct Links {
    /// The links as the user named them; none where this end listens.
    names: Vec<String>,
    patience: Option<Duration>,
    began: Instant,
    /// When the first connection came up.
    met: Option<Instant>,
    is_over: bool,
    links: BTreeMap<LinkId, Link>,
    /// That there was no connection yet: what was said, and when; and which causes.
    trouble: Option<(String, Instant)>,
    troubles: Kinds,
    /// What this machine was last said to be short of.
    shortage: Option<String>,
    refusals: Refusals,
    notes: Budget,
    lines: VecDeque<String>,
}

/// One link. It is down when it has no connection and something has gone wrong.
#[derive(Debug)]
struct Link {
    /// The address of the other end, without its port.
    peer: String,
    connections: usize,
    /// Why it went down; none while it is up.
    cause: Option<String>,
    /// Since when it is up or down.
    since: Instant,
    is_said_to_be_down: bool,
    /// It will not come back.
    is_over: bool,
    /// Until when nothing is said of it.
    quiet_until: Option<Instant>,
    /// How often it was lost since anything was said of it, and since when that is counted.
    losses: u32,
    counted_since: Instant,
    passed_over: Option<Instant>,
}

/// Who was not let in.
#[derive(Debug)]
struct Refusals {
    said: Option<(String, Instant)>,
    /// Why, as far as it was said; and who was the first of those for a cause that is new.
    causes: Kinds,
    fresh: VecDeque<String>,
    waiting: Option<String>,
    others: u32,
}

impl Links {
    /// No link has been heard of. `names` are those that are dialled, none where this end listens.
    pub(super) fn new(names: Vec<String>, patience: Option<Duration>, now: Instant) -> Links {
        Links {
            names,
            patience,
            began: now,
            met: None,
            is_over: false,
            links: BTreeMap::new(),
            trouble: None,
            troubles: Kinds::new(REPEAT),
            shortage: None,
            refusals: Refusals::new(),
            notes: Budget::new(NOTES, QUIET, now),
            lines: VecDeque::new(),
        }
    }

    /// Takes note of a fact.
    pub(super) fn hear(&mut self, now: Instant, fact: Fact) {
        match fact {
            Fact::Unheard(cause) => self.note(&format!("still telling the other end: {cause}")),
            _ if self.is_over => {}
            Fact::Dialling(names) => (self.names, self.began) = (names, now),
            Fact::Up { link, peer, .. } => {
                self.link(now, link).up(now, &peer);
                self.meet(now, link);
            }
            Fact::Retired { link, .. } => self.link(now, link).retired(),
            Fact::Resized { .. } => {}
            Fact::Down { link, cause, .. } => self.link(now, link).down(now, cause),
            Fact::Missed { link, cause } => {
                let is_met = self.met.is_some();
                self.link(now, link).missed(now, cause, is_met);
            }
            Fact::WayOver(link) => self.link(now, link).is_over = true,
            Fact::Short(cause) => {
                if self.shortage.as_ref() != Some(&cause) {
                    self.note(&format!("this machine cannot make more connections: {cause}"));
                    self.shortage = Some(cause);
                }
            }
            Fact::Refused { peer, cause, others } => {
                self.refusals.hear(now, &peer, &cause, others);
            }
            Fact::RateKept(cause) => self.note(&format!("{cause}; keeping to the last rate")),
            Fact::PassedOver(link) => {
                if self.link(now, link).is_news_that_passed_over(now) {
                    let name = self.name(link);
                    self.note(&format!("{name} is passed over: it is too slow to help"));
                }
            }
            Fact::Over => {
                // What is behind us is no news any more.
                self.is_over = true;
                self.lines.clear();
            }
        }
    }

    /// What is to be said now; to be asked until there is nothing, every now and then.
    pub(super) fn poll(&mut self, now: Instant) -> Option<String> {
        if self.lines.is_empty() && !self.is_over {
            self.look(now);
        }
        self.lines.pop_front()
    }

    fn look(&mut self, now: Instant) {
        match self.met {
            Some(met) => self.look_at_links(now, met),
            None => self.look_for_trouble(now),
        }
        if let Some(text) = self.refusals.due(now) {
            self.note(&text);
        }
    }

    fn look_at_links(&mut self, now: Instant, met: Instant) {
        let up = self.links.values().filter(|link| link.connections > 0).count();
        let rest = match (up, self.names.is_empty()) {
            (0, false) => "trying again".to_owned(),
            (0, true) => "waiting for it to come back".to_owned(),
            (1, _) => "going on with 1 other".to_owned(),
            (others, _) => format!("going on with {others} others"),
        };
        let due: Vec<(LinkId, String)> = self
            .links
            .iter_mut()
            .filter_map(|(id, link)| {
                let rest = if up == 0 && link.is_over { "trying the others again" } else { &rest };
                Some((*id, link.due(now, met, rest)?))
            })
            .collect();
        for (link, text) in due {
            let (left_out, is_said) = self.notes.spend(now);
            if let Some(left_out) = left_out {
                self.note(&left_out);
            }
            if is_said {
                self.note(&format!("{} {text}", self.name(link)));
            }
        }
    }

    /// Before the first connection: why there is none, once, and again when the cause has changed.
    fn look_for_trouble(&mut self, now: Instant) {
        if self.names.is_empty() || now < self.began + FIRST_WORD {
            return;
        }
        let one = |(index, name): (usize, &String)| {
            let link = u16::try_from(index).ok().and_then(|id| self.links.get(&LinkId(id)));
            let cause = link.and_then(|link| link.cause.as_deref()).unwrap_or("no answer yet");
            format!("{name}: {cause}")
        };
        let each: Vec<String> = self.names.iter().enumerate().map(one).collect();
        let why = each.join("; ");
        if self.trouble.as_ref().is_some_and(|(said, _)| *said == why) {
            return;
        }
        let is_due = self.trouble.as_ref().is_none_or(|(_, at)| now >= *at + QUIET);
        let fresh = each.iter().filter(|one| self.troubles.is_new(now, one)).count();
        let is_news = is_due || fresh > 0;
        if is_news {
            let time = self
                .patience
                .map_or(String::new(), |patience| format!(" for {} s", patience.as_secs_f64()));
            self.note(&format!("cannot connect yet: {why}; trying on{time}"));
            self.trouble = Some((why, now));
        }
    }

    fn meet(&mut self, now: Instant, link: LinkId) {
        if self.met.is_none() {
            self.met = Some(now);
            if self.trouble.is_some() {
                self.note(&format!("connected over {}", self.name(link)));
            }
        }
    }

    fn link(&mut self, now: Instant, link: LinkId) -> &mut Link {
        self.links.entry(link).or_insert_with(|| Link::new(now))
    }

    fn name(&self, link: LinkId) -> String {
        let peer = || self.links.get(&link).map_or("nowhere", |link| link.peer.as_str());
        match self.names.get(usize::from(link.0)) {
            Some(name) => format!("link {name}"),
            None => format!("link from {}", peer()),
        }
    }

    fn note(&mut self, text: &str) {
        self.lines.push_back(format!("viamillipede: {}", one_line(text)));
    }
}

impl Link {
    fn new(now: Instant) -> Link {
        Link {
            peer: String::new(),
            connections: 0,
            cause: None,
            since: now,
            is_said_to_be_down: false,
            is_over: false,
            quiet_until: None,
            losses: 0,
            counted_since: now,
            passed_over: None,
        }
    }

    fn up(&mut self, now: Instant, peer: &str) {
        peer.rsplit_once(':').map_or(peer, |(ip, _)| ip).clone_into(&mut self.peer);
        if self.connections == 0 {
            self.since = now;
            self.cause = None;
        }
        self.connections += 1;
    }

    fn down(&mut self, now: Instant, cause: String) {
        self.connections = self.connections.saturating_sub(1);
        if self.connections == 0 {
            self.lose(now, cause);
        }
    }

    /// One connection less, and none was lost.
    fn retired(&mut self) {
        self.connections = self.connections.saturating_sub(1);
    }

    fn missed(&mut self, now: Instant, cause: String, is_met: bool) {
        if self.connections > 0 {
            return;
        }
        match &mut self.cause {
            // Why it was lost is the better reason than why it does not come back; but before the
            // first connection what counts is how it stands.
            Some(known) if !is_met => *known = cause,
            Some(_) => {}
            None => self.lose(now, cause),
        }
    }

    fn lose(&mut self, now: Instant, cause: String) {
        if self.losses == 0 {
            self.counted_since = now;
        }
        self.losses += 1;
        self.since = now;
        self.cause = Some(cause);
    }

    /// What is to be said of it now; `rest` is how it goes on without it.
    fn due(&mut self, now: Instant, met: Instant, rest: &str) -> Option<String> {
        if self.quiet_until.is_some_and(|until| now < until) {
            return None;
        }
        let counted = now.saturating_duration_since(self.counted_since);
        let is_unsteady = self.losses >= FLAPS && counted >= QUIET;
        let times = format!("{} times in {} s", self.losses, counted.as_secs());
        let text = match &self.cause {
            Some(cause) if is_unsteady => format!("is down: {cause}, {times}; {rest}"),
            Some(cause) if !self.is_said_to_be_down && now >= self.since.max(met) + HOLD => {
                format!("is down: {cause}; {rest}")
            }
            None if is_unsteady => format!("was lost {times}, and is back"),
            None if self.is_said_to_be_down => "is back".to_owned(),
            _ => {
                if self.cause.is_none() && counted >= QUIET {
                    self.losses = 0; // too few to speak of
                }
                return None;
            }
        };
        // That it is back may be said as soon as it is: then it is quiet for a while.
        let is_down = self.cause.is_some();
        self.quiet_until = (is_unsteady || !is_down).then_some(now + QUIET);
        self.is_said_to_be_down = is_down;
        self.losses = 0;
        Some(text)
    }

    fn is_news_that_passed_over(&mut self, now: Instant) -> bool {
        let is_news = match self.passed_over {
            Some(said) => self.connections > 0 && self.since > said && now >= said + QUIET,
            None => self.connections > 0,
        };
        if is_news {
            self.passed_over = Some(now);
        }
        is_news
    }
}

impl Refusals {
    fn new() -> Refusals {
        let (causes, fresh) = (Kinds::new(REPEAT), VecDeque::new());
        Refusals { said: None, causes, fresh, waiting: None, others: 0 }
    }

    fn hear(&mut self, now: Instant, peer: &str, cause: &str, others: u32) {
        self.others = self.others.saturating_add(others);
        let text = format!("refused {peer}: {cause}");
        if self.causes.is_new(now, cause) {
            return self.fresh.push_back(text);
        }
        match &self.said {
            Some((said, at)) if *said == text && now < *at + REPEAT => self.others += 1,
            _ => self.others += u32::from(self.waiting.replace(text).is_some()),
        }
    }

    fn due(&mut self, now: Instant) -> Option<String> {
        let is_quiet = self.said.as_ref().is_some_and(|(_, at)| now < *at + QUIET);
        let text = match self.fresh.pop_front() {
            Some(text) => text,
            None if is_quiet => return None,
            None => self.waiting.take()?,
        };
        let others = match std::mem::take(&mut self.others) {
            0 => String::new(),
            others => format!("; {others} others since the last such line"),
        };
        self.said = Some((text.clone(), now));
        Some(text + &others)
    }
}

#[cfg(test)]
mod tests;
