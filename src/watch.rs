//! What people see of a run, all of it on stderr.
//!
//! One thread looks at the [`Stats`] ten times a second, counts bottlenecks, shows progress, and hears the
//! [`News`]; one waits for signals; one writes ([`say`]), and another for programs (`files`). Knows no socket and no stage: a run is watched by its
//! figures alone, and goes on the same when nobody reads what is said.

mod bar;
mod budget;
mod evidence;
pub(crate) mod figures;
mod files;
mod lanes;
mod links;
mod log;
mod progress;
pub mod ready;
pub(crate) mod record;
pub mod say;
mod screen;
mod signals;
mod silence;
mod summary;

pub use log::start as log;

use crate::config::Common;
use crate::error::Error;
use crate::foot::Hash;
use crate::news::{Fact, News};
use crate::proto::LinkId;
use crate::stats::{LinkRow, Role, Snapshot, Stats, Tally};
use crossbeam_channel::{Receiver, Sender, bounded, never, select, tick};
use evidence::{Processors, evidence};
use files::Files;
use lanes::Lanes;
use links::Links;
use progress::{Meter, Progress, Rates, Seen};
use record::{End, Record};
use say::Say;
use silence::Silence;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use tracing::trace;

/// How often the figures are looked at.
const TICK: Duration = Duration::from_millis(100);

/// Ticks between two lines of `--stats`, and two pages of `--metrics`.
const LINE_EVERY: u32 = 10;
const PAGE_EVERY: u32 = 50;

/// The bottleneck of a run that nobody has looked at while it went on.
const NO_BOTTLENECK: &str = "none";

/// A run that is being watched.
#[derive(Debug)]
pub struct Watch {
    stats: Arc<Stats>,
    say: Say,
    news: News,
    control: Sender<Control>,
    thread: JoinHandle<Watcher>,
}

/// What the watching thread is told.
enum Control {
    /// Say how it stands.
    Summary,
    /// The run is over.
    Stop,
}

impl Watch {
    /// Watches from now on. `on_signal` is called once, on a thread of its own, with the number of
    /// the first signal that asks the process to end; it should make the run end, and must not
    /// block. `names` are the links that are dialled, none where this end listens.
    ///
    /// Start it before anything that may take time, for until then signals have their default
    /// effect.
    pub fn start(
        stats: Arc<Stats>,
        say: &Say,
        settings: &Common,
        names: Vec<String>,
        on_signal: impl FnOnce(i32) + Send + 'static,
    ) -> Result<Watch, Error> {
        // Whoever asks for a summary while four are waiting gets those.
        let (control, controls) = bounded(4);
        let asks = control.clone();
        let on_ask = move || drop(asks.try_send(Control::Summary));
        signals::listen(say.clone(), on_ask, on_signal)?;

        let watcher = Watcher {
            stats: Arc::clone(&stats),
            say: say.clone(),
            name: settings.name.clone(),
            show: Progress::new(settings),
            lanes: Lanes::new(names.clone()),
            links: Links::new(names, settings.patience, Instant::now()),
            silence: Silence::default(),
            stream: Meter::default(),
            wire: Meter::default(),
            tally: Tally::default(),
            processors: None,
            files: Files::open(&settings.records, say)?,
            ticks: 0,
            window: (0, 0),
        };
        let (news, facts) = News::channel();
        let thread = Builder::new()
            .name("watch".into())
            .spawn(move || watcher.run(facts, &controls))
            .map_err(|error| Error::io("a thread", error))?;
        Ok(Watch { stats, say: say.clone(), news, control, thread })
    }

    /// Tells the watch what becomes of links.
    pub fn news(&self) -> News {
        self.news.clone()
    }

    /// Ends the watch and says how the run went, if it ever came to carry anything. A `failure` is told by its
    /// exit code and its words.
    pub fn finish(self, failure: Option<&Error>, digest: Option<&Hash>) {
        // The thread never blocks, so it takes this, and ends; if it panicked there is nothing to tell.
        let watcher = match self.control.send(Control::Stop) {
            Ok(()) => self.thread.join().ok(),
            Err(_) => None,
        };
        self.say.end_pictures();
        let snapshot = self.stats.snapshot();
        if let Some(elapsed) = snapshot.elapsed {
            let bottleneck = watcher.as_ref().map_or_else(
                || snapshot.bottleneck.to_string(),
                |watcher| watcher.bottleneck(&snapshot, failure),
            );
            let line = summary::last_line(&snapshot, elapsed, &bottleneck, failure);
            self.say.note(&line);
        }
        if let Some(digest) = digest {
            self.say.always(&summary::digest_line(digest));
        }
        if let Some(watcher) = watcher {
            let failure = failure.map(|error| (error.exit_code(), error.to_string()));
            watcher.write_end(End::new(failure, digest));
        }
    }
}

/// The watching thread.
#[derive(Debug)]
struct Watcher {
    stats: Arc<Stats>,
    say: Say,
    /// The stream's label.
    name: String,
    show: Progress,
    lanes: Lanes,
    links: Links,
    silence: Silence,
    stream: Meter,
    wire: Meter,
    tally: Tally,
    /// How busy the machine has been since the ends have met.
    processors: Option<Processors>,
    files: Files,
    ticks: u32,
    /// Feet below these are verified, and may be sent, as it was last told in detail.
    window: (u64, u64),
}

impl Watcher {
    /// Watches until it is told to stop.
    fn run(mut self, mut facts: Receiver<Fact>, controls: &Receiver<Control>) -> Watcher {
        let ticks = tick(TICK);
        loop {
            select! {
                recv(controls) -> asked => match asked {
                    Ok(Control::Summary) => self.say_how_it_stands(),
                    // What is behind us is no news any more.
                    Ok(Control::Stop) | Err(_) => return self,
                },
                recv(facts) -> fact => match fact {
                    Ok(fact) => self.hear(fact),
                    Err(_) => facts = never(),
                },
                recv(ticks) -> _ => self.look(Instant::now()),
            }
        }
    }

    fn hear(&mut self, fact: Fact) {
        if let Fact::Dialling(names) = &fact {
            self.lanes = Lanes::new(names.clone());
        }
        self.links.hear(Instant::now(), fact);
    }

    /// Looks at the figures, and shows them to who wants to see them.
    fn look(&mut self, now: Instant) {
        let snapshot = self.stats.snapshot();
        if self.stats.is_running() {
            self.processors.get_or_insert_with(Processors::new);
            self.tally.count(snapshot.bottleneck);
            self.sample(now, &snapshot);
        }
        let seen = Seen { snapshot: &snapshot, rates: self.rates(), lanes: &self.lanes };
        self.show.tick(now, &seen, &self.say);
        while let Some(line) = self.links.poll(now) {
            self.say.note(&line);
        }
        if snapshot.role == Role::Receiver && self.stats.is_running() {
            for line in self.silence.look(self.lanes.rows()) {
                self.say.note(&format!("viamillipede: {line}"));
            }
        }
        self.ticks = self.ticks.wrapping_add(1);
        let is_full_second = self.ticks.is_multiple_of(LINE_EVERY);
        if is_full_second && self.window != (snapshot.cumulative, snapshot.limit) {
            self.log_window(&snapshot);
        }
        if is_full_second && self.files.are_wanted() {
            let record = self.record(&snapshot, None);
            self.files.line(record.json());
            // Until the ends have met, the page of the last run tells more.
            let is_met = snapshot.elapsed.is_some();
            if is_met && self.files.have_metrics() && self.ticks.is_multiple_of(PAGE_EVERY) {
                self.files.page(record.metrics());
            }
        }
    }

    fn sample(&mut self, now: Instant, snapshot: &Snapshot) {
        self.stream.sample(now, snapshot.stream_bytes);
        self.wire.sample(now, snapshot.wire_bytes);
        self.lanes.sample(now, self.stats.links());
    }

    /// Over the last seconds; none once the stream is over, whatever is still waited for.
    fn rates(&self) -> Rates {
        if self.stats.is_over() {
            return Rates::default();
        }
        Rates { stream: self.stream.rate(), wire: self.wire.rate() }
    }

    fn record(&self, snapshot: &Snapshot, end: Option<End>) -> Record {
        let (links, workers) = (self.lanes.rows(), self.stats.workers());
        let mut record = Record::new(&self.name, snapshot, self.rates(), links, &workers, end);
        if self.stats.is_over() {
            record.links.iter_mut().for_each(|link| link.wire_bytes_per_s = 0.0);
        }
        record
    }

    fn say_how_it_stands(&self) {
        let snapshot = self.stats.snapshot();
        let (workers, bottleneck) = (self.stats.workers(), self.bottleneck(&snapshot, None));
        self.say.always(&summary::block(&snapshot, self.rates(), &bottleneck, &workers));
    }

    /// What was the bottleneck for most of the time, and why; none in a run too short to be looked at. A run that
    /// failed had another reason, beside which advice would only distract; who interrupts one may have found it slow.
    fn bottleneck(&self, snapshot: &Snapshot, failure: Option<&Error>) -> String {
        let Some((most, share)) = self.tally.most_frequent() else {
            return format!("{NO_BOTTLENECK} (too short a run to tell)");
        };
        if !failure.is_none_or(|failure| matches!(failure, Error::Signal(_))) {
            return most.to_string();
        }
        let links: Vec<LinkRow> = self.stats.links().into_values().collect();
        let processors = self.processors.as_ref().and_then(Processors::load);
        let seen = evidence::Seen { share, links: &links, processors };
        format!("{most} ({})", evidence(most, snapshot, &seen))
    }

    /// The last line and the last page.
    fn write_end(mut self, end: End) {
        if !self.files.are_wanted() {
            return;
        }
        let snapshot = self.stats.snapshot();
        self.lanes.sample(Instant::now(), self.stats.links());
        let mut record = self.record(&snapshot, Some(end));
        // How many of them have gone by now is chance.
        record.connections = snapshot.connections_in_use as usize;
        record.workers.clear();
        // As the summary line says: of the whole run.
        let elapsed = snapshot.elapsed.unwrap_or_default();
        record.stream_bytes_per_s = figures::mean(snapshot.stream_bytes, elapsed);
        record.wire_bytes_per_s = figures::mean(snapshot.wire_bytes, elapsed);
        for link in &mut record.links {
            link.connections = self.stats.in_use(LinkId(link.link));
            link.busy = 0;
            link.wire_bytes_per_s = figures::mean(link.wire_bytes, elapsed);
        }
        let most = self.tally.most_frequent();
        record.bottleneck = most.map_or(NO_BOTTLENECK.into(), |(most, _)| most.to_string());
        self.files.end(record.metrics(), record.json());
    }

    fn log_window(&mut self, snapshot: &Snapshot) {
        let Snapshot { cumulative, limit, unacked_feet, unsent_feet, .. } = *snapshot;
        self.window = (cumulative, limit);
        trace!(verified = cumulative, limit, unacked_feet, unsent_feet, "window");
    }
}
