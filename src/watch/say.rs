//! All writing to stderr: by one thread, out of a bounded queue.
//!
//! So a stderr that blocks (a full pipe, a stopped terminal) or is gone holds nobody up: what does
//! not fit into the queue is dropped and counted. Lines and the live bar go through the same thread
//! and keep out of each other's way. Does not know what is said, nor why.

use super::bar::Bar;
use super::progress::Picture;
use crate::config::Verbosity;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU8, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::thread;
use std::time::{Duration, Instant};

/// Texts that may wait: a summary block for each of a few signals, and the lines round them.
const QUEUE: usize = 256;

/// Who ends the process: not clear yet, the run by what came of it, or a signal whose grace is over.
const NOBODY: u8 = 0;
const RUN: u8 = 1;
const GRACE: u8 = 2;

/// Says things to people. Clones share the thread and its queue.
#[derive(Clone, Debug)]
pub struct Say {
    queue: Sender<Show>,
    dropped: Arc<AtomicU64>,
    /// Who ends the process, once that is clear.
    ender: Arc<AtomicU8>,
    /// With which code, where it is the run.
    code: Arc<AtomicU8>,
    verbosity: Verbosity,
}

#[derive(Debug)]
enum Show {
    /// One line or several, without the last line end.
    Text(String),
    /// How the run stands, as a live bar.
    Picture(Picture),
    /// No bar any more.
    EndOfPictures,
    /// Tell when all before this is written.
    Flush(Sender<()>),
}

impl Say {
    /// Starts the thread that writes.
    pub fn start() -> Say {
        let (queue, shows) = bounded(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        // Without the thread the queue is disconnected, and `always` writes by itself.
        drop(thread::Builder::new().name("say".into()).spawn(move || write(&shows, &counted)));
        Say {
            queue,
            dropped,
            ender: Arc::default(),
            code: Arc::default(),
            verbosity: Verbosity::Normal,
        }
    }

    /// The same, saying as much as this.
    pub(crate) fn at(&self, verbosity: Verbosity) -> Say {
        Say { verbosity, ..self.clone() }
    }

    /// Says this however quiet we are: errors, the ready line, what was asked for.
    pub fn always(&self, text: &str) {
        match self.queue.try_send(Show::Text(text.into())) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => drop(self.dropped.fetch_add(1, Relaxed)),
            Err(TrySendError::Disconnected(_)) => put(text),
        }
    }

    /// The run has ended, by itself or in the grace of a signal: from now on the process ends as that says, with this
    /// code. Does not return where the grace was over before.
    pub fn settle(&self, code: u8) {
        self.code.store(code, SeqCst);
        let ender = self.ender.compare_exchange(NOBODY, RUN, SeqCst, SeqCst);
        while ender == Err(GRACE) {
            thread::park(); // the process is about to end
        }
    }

    /// The grace of a signal is over, and ends the process, unless the run has ended: then with which code.
    pub(super) fn settled(&self) -> Option<u8> {
        let ender = self.ender.compare_exchange(NOBODY, GRACE, SeqCst, SeqCst);
        ender.err().map(|_| self.code.load(SeqCst))
    }

    /// Says this unless we are quiet.
    pub(crate) fn note(&self, text: &str) {
        if self.verbosity >= Verbosity::Normal {
            self.always(text);
        }
    }

    /// Says this if there is room to spare: detail must not crowd out what is said of more weight.
    pub(super) fn spare(&self, text: String) {
        if self.queue.len() >= self.queue.capacity().unwrap_or(QUEUE) / 2
            || self.queue.try_send(Show::Text(text)).is_err()
        {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Waits until all is written that was said so far, but no longer than `patience`.
    pub fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let (done, is_done) = bounded(1);
        if self.queue.send_deadline(Show::Flush(done), deadline).is_ok() {
            // Either way we go on: written, or out of patience.
            let _ = is_done.recv_deadline(deadline);
        }
    }

    /// Shows this in the live bar, unless something waits to be written: the next one is soon here,
    /// and old ones must not crowd lines out while a terminal is stopped.
    pub(super) fn picture(&self, picture: Picture) {
        if self.queue.is_empty() {
            drop(self.queue.try_send(Show::Picture(picture)));
        }
    }

    /// Takes the live bar away.
    pub(super) fn end_pictures(&self) {
        drop(self.queue.try_send(Show::EndOfPictures));
    }
}

fn write(shows: &Receiver<Show>, dropped: &AtomicU64) {
    let mut bar: Option<Bar> = None;
    for show in shows {
        match show {
            Show::Text(text) => {
                let missing = dropped.swap(0, Relaxed);
                let put_all = || {
                    put(&text);
                    if missing > 0 {
                        put(&format!("viamillipede: {missing} messages are missing here"));
                    }
                };
                match &bar {
                    Some(bar) => bar.suspend(put_all),
                    None => put_all(),
                }
            }
            Show::Picture(picture) => {
                bar.get_or_insert_with(Bar::new).show(picture);
            }
            Show::EndOfPictures => bar.take().into_iter().for_each(Bar::clear),
            Show::Flush(done) => drop(done.try_send(())),
        }
    }
}

/// Writes a text in one piece. That nobody can read it is no reason to fail.
fn put(text: &str) {
    drop(io::stderr().write_all(format!("{text}\n").as_bytes()));
}

#[cfg(test)]
impl Say {
    /// One whose texts are kept, and what they were.
    pub(super) fn kept() -> (Say, impl FnOnce() -> Vec<String>) {
        let (queue, shows) = bounded(8 * QUEUE);
        let (dropped, ender, code) = (Arc::default(), Arc::default(), Arc::default());
        let texts = move || {
            let text = |show| if let Show::Text(text) = show { Some(text) } else { None };
            shows.try_iter().filter_map(text).collect()
        };
        (Say { queue, dropped, ender, code, verbosity: Verbosity::Normal }, texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `Say` whose thread is stuck for ever, as on a blocked stderr.
    fn stuck() -> (Say, Receiver<Show>) {
        let (queue, shows) = bounded(2);
        let (dropped, ender, code) = (Arc::default(), Arc::default(), Arc::default());
        (Say { queue, dropped, ender, code, verbosity: Verbosity::Normal }, shows)
    }

    #[test]
    fn a_stuck_stderr_holds_nobody_up() {
        let (say, _shows) = stuck();
        for _ in 0..5 {
            say.always("a line");
        }
        say.end_pictures();
        say.flush(Duration::from_millis(1));
        assert_eq!(say.dropped.load(Relaxed), 3);
    }

    #[test]
    fn flush_waits_for_what_was_said() {
        let (say, shows) = stuck();
        say.always("a line");
        let reader = thread::spawn(move || {
            let seen: Vec<Show> = shows.iter().take(2).collect();
            for show in &seen {
                if let Show::Flush(done) = show {
                    done.send(()).expect("flush waits");
                }
            }
            seen.len()
        });
        say.flush(Duration::from_secs(60));
        assert_eq!(reader.join().expect("it saw both"), 2);
    }

    #[test]
    fn a_run_that_has_ended_is_not_overdue() {
        let (say, _shows) = stuck();
        say.at(Verbosity::Quiet).settle(6);
        assert_eq!(say.settled(), Some(6));
        let (say, _shows) = stuck();
        assert_eq!(say.settled(), None);
    }

    #[test]
    fn quiet_ends_say_no_notes() {
        let (say, shows) = stuck();
        for verbosity in [Verbosity::Quiet, Verbosity::Normal, Verbosity::Verbose] {
            say.at(verbosity).note("n");
            let said = shows.try_iter().count();
            assert_eq!(said, usize::from(verbosity > Verbosity::Quiet), "{verbosity:?}");
        }
    }

    #[test]
    fn detail_leaves_room_for_what_has_more_weight() {
        let (queue, shows) = bounded(QUEUE);
        let say = Say { queue, ..stuck().0 };
        for _ in 0..QUEUE {
            say.spare("detail".into());
        }
        say.always("an error");
        assert_eq!(shows.len(), QUEUE / 2 + 1);
        assert_eq!(say.dropped.load(Relaxed), QUEUE as u64 / 2);
    }
}
