//! `-v` and `-vv`: the library's events of `tracing`, each a line on stderr.
//!
//! They go through [`Say`] like all that is said, so a stderr that blocks holds nobody up, and no more of
//! them in a second than people could use. Nothing that other crates say is shown. Does not know what events
//! there are; that none holds a key, or bytes of the stream, is for those who make them.

use super::budget::Budget;
use super::say::Say;
use crate::config::Verbosity;
use crate::error::one_line;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, Layer, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

/// Most lines in a second: all connections there may be can come up at once, and a flood is no detail.
const LINES: u32 = 200;
const SECOND: Duration = Duration::from_secs(1);

/// Has the events of this process said that are wanted, from now on; `whose` stands before each, where it is not
/// clear. Where the program has a subscriber of its own already, that one goes on to hear them, and nothing is said
/// here.
pub fn start(say: &Say, verbosity: Verbosity, whose: &'static str) {
    let level = match verbosity {
        Verbosity::Quiet | Verbosity::Normal => return,
        Verbosity::Verbose => Level::DEBUG,
        Verbosity::VeryVerbose => Level::TRACE,
    };
    let _ = tracing::subscriber::set_global_default(subscriber(say, level, Instant::now(), whose));
}

fn subscriber(
    say: &Say,
    level: Level,
    now: Instant,
    whose: &'static str,
) -> impl Subscriber + Send + Sync + use<> {
    let ours = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    let budget = Arc::new(Mutex::new(Budget::new(LINES, SECOND, now)));
    let lines = Lines { say: say.clone(), budget };
    let layer = Layer::new().with_ansi(false).event_format(Shape { began: now, whose });
    Registry::default().with(ours).with(layer.with_writer(lines))
}

/// How an event is a line: when, how detailed, what, and its fields.
struct Shape {
    began: Instant,
    whose: &'static str,
}

impl<S, F> FormatEvent<S, F> for Shape
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    F: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, F>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let seconds = self.began.elapsed().as_secs_f64();
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        write!(writer, "viamillipede: {}{level} at {seconds:.3} s: ", self.whose)?;
        context.field_format().format_fields(writer, event)
    }
}

/// Takes lines, each in one write, as the layer makes them.
#[derive(Clone)]
struct Lines {
    say: Say,
    budget: Arc<Mutex<Budget>>,
}

impl MakeWriter<'_> for Lines {
    type Writer = Lines;

    fn make_writer(&self) -> Lines {
        self.clone()
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let (left_out, is_said) = budget.spend(Instant::now());
        drop(budget);
        if let Some(left_out) = left_out {
            self.say.spare(format!("viamillipede: {left_out}"));
        }
        if is_said {
            self.say.spare(one_line(&String::from_utf8_lossy(line)));
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::{debug, info, trace};

    /// What is said of these events, where this level is wanted.
    fn said(level: Level, events: impl FnOnce()) -> Vec<String> {
        let (say, written) = Say::kept();
        let heard = subscriber(&say, level, Instant::now(), "far: ");
        tracing::subscriber::with_default(heard, events);
        written()
    }

    #[test]
    fn an_event_is_one_line_with_its_fields_whatever_is_in_them() {
        let lines = said(Level::DEBUG, || {
            let peer = "evil\nviamillipede: \x1b[2J";
            info!(worker = 3, %peer, peer, "connection is up");
            trace!("more than was asked for");
            info!(target: "another", "of no interest");
        });
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert!(line.starts_with("viamillipede: far: info at 0."), "{line}");
        assert!(line.contains(" s: connection is up worker=3 peer=evil viamillipede: "), "{line}");
        assert!(!line.contains(['\n', '\x1b']), "{line:?}");
    }

    #[test]
    fn a_flood_is_cut_and_what_was_left_out_is_counted() {
        let lines = said(Level::TRACE, || (0..1000).for_each(|event| debug!(event)));
        // A second may have passed meanwhile, but not five.
        assert!((LINES as usize..5 * LINES as usize).contains(&lines.len()), "{}", lines.len());
    }
}
