//! What people see of a run, all of it on stderr.
//!
//! One thread looks at the [`Stats`] ten times a second, counts bottlenecks, shows progress, and hears the
//! [`News`]; one
//! waits for signals; one writes ([`say`]). Knows no socket and no stage: a run is watched by its
//! figures alone, and goes on the same when nobody reads what is said.

mod bar;
mod figures;
mod lanes;
mod links;
mod progress;
pub mod ready;
pub mod say;
mod signals;
mod summary;

use crate::config::Common;
use crate::error::Error;
use crate::foot::Hash;
use crate::news::{Fact, News};
use crate::stats::{Stats, Tally};
use crossbeam_channel::{Receiver, Sender, bounded, never, select, tick};
use lanes::Lanes;
use links::{Line, Links};
use progress::{Meter, Progress, Rates, Seen};
use say::Say;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// How often the figures are looked at.
const TICK: Duration = Duration::from_millis(100);

/// A run that is being watched.
#[derive(Debug)]
pub struct Watch {
    stats: Arc<Stats>,
    say: Say,
    news: News,
    control: Sender<Control>,
    thread: JoinHandle<Tally>,
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

        let progress = Progress::new(settings);
        let lanes = Lanes::new(names.clone());
        let links = Links::new(names, settings.patience, Instant::now());
        let (news, facts) = News::channel();
        let (seen, teller) = (Arc::clone(&stats), say.clone());
        let thread = Builder::new()
            .name("watch".into())
            .spawn(move || watch(&seen, &teller, progress, lanes, links, facts, &controls))
            .map_err(|error| Error::io("a thread", error))?;
        Ok(Watch { stats, say: say.clone(), news, control, thread })
    }

    /// Tells the watch what becomes of links.
    pub fn news(&self) -> News {
        self.news.clone()
    }

    /// Ends the watch and says how the run went, if it ever came to carry anything.
    pub fn finish(self, delivered: bool, digest: Option<&Hash>) {
        // The thread never blocks, so it takes this, and ends; if it panicked there is no tally.
        let tally = match self.control.send(Control::Stop) {
            Ok(()) => self.thread.join().unwrap_or_default(),
            Err(_) => Tally::default(),
        };
        self.say.end_pictures();
        let snapshot = self.stats.snapshot();
        if let Some(elapsed) = snapshot.elapsed {
            let bottleneck = tally.most_frequent().unwrap_or(snapshot.bottleneck);
            self.say.note(&summary::last_line(&snapshot, elapsed, bottleneck, delivered));
        }
        if let Some(digest) = digest {
            self.say.always(&summary::digest_line(digest));
        }
    }
}

fn watch(
    stats: &Stats,
    say: &Say,
    mut show: Progress,
    mut lanes: Lanes,
    mut links: Links,
    mut facts: Receiver<Fact>,
    controls: &Receiver<Control>,
) -> Tally {
    let ticks = tick(TICK);
    let mut tally = Tally::default();
    let (mut stream, mut wire) = (Meter::default(), Meter::default());
    loop {
        select! {
            recv(controls) -> asked => match asked {
                Ok(Control::Summary) => {
                    let block = summary::block(&stats.snapshot(), rates(&stream, &wire), &stats.workers());
                    say.always(&block);
                }
                Ok(Control::Stop) | Err(_) => {
                    let now = Instant::now();
                    facts.try_iter().for_each(|fact| links.hear(now, fact));
                    // What is behind us is no news any more, but the detail is asked for.
                    tell(&mut links, now, |line| matches!(line, Line::Detail(_)), say);
                    return tally;
                }
            },
            recv(facts) -> fact => match fact {
                Ok(fact) => links.hear(Instant::now(), fact),
                Err(_) => facts = never(),
            },
            recv(ticks) -> _ => {
                let (now, snapshot) = (Instant::now(), stats.snapshot());
                if snapshot.elapsed.is_some() {
                    tally.count(snapshot.bottleneck);
                    stream.sample(now, snapshot.stream_bytes);
                    wire.sample(now, snapshot.wire_bytes);
                    lanes.sample(now, &stats.workers());
                }
                let seen = Seen { snapshot: &snapshot, rates: rates(&stream, &wire), lanes: &lanes };
                show.tick(now, &seen, say);
                tell(&mut links, now, |_| true, say);
            }
        }
    }
}

fn rates(stream: &Meter, wire: &Meter) -> Rates {
    Rates { stream: stream.rate(), wire: wire.rate() }
}

/// Says what there is to say of links, if it is `wanted`.
fn tell(links: &mut Links, now: Instant, wanted: impl Fn(&Line) -> bool, say: &Say) {
    while let Some(line) = links.poll(now) {
        match line {
            unwanted if !wanted(&unwanted) => {}
            Line::Note(text) => say.note(&text),
            Line::Detail(text) => say.detail(&text),
        }
    }
}
