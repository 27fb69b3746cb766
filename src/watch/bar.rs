//! The live bar on a terminal: a line for the stream, and one below it for each link.
//!
//! Draws pictures, and steps aside for lines of text. Does not know what the figures mean.

use super::progress::Picture;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::process::getpgrp;
use rustix::termios::{tcgetpgrp, tcgetwinsize};
use std::io;

/// Redraws in a second, at most.
const REDRAWS: u8 = 5;
/// A terminal of fewer columns is narrow.
const NARROW: u16 = 72;

/// The bar on the terminal.
pub(super) struct Bar {
    group: MultiProgress,
    stream: ProgressBar,
    lanes: Vec<ProgressBar>,
}

impl Bar {
    /// A bar where the size is known from the start, otherwise a sign of life.
    pub(super) fn new(first: &Picture) -> Bar {
        let group = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(REDRAWS));
        let stream = group.add(ProgressBar::new(first.expected_bytes.unwrap_or_default()));
        stream.set_style(match first.expected_bytes {
            Some(_) => style("[{bar:10}] {wide_msg}"),
            None => style("{spinner} {wide_msg}"),
        });
        Bar { group, stream, lanes: Vec::new() }
    }

    /// Shows this picture, unless the terminal is somebody else's now.
    pub(super) fn show(&mut self, picture: Picture) {
        if is_in_background() {
            return;
        }
        let Picture { stream_bytes, text, short, lanes, .. } = picture;
        self.stream.set_message(if is_narrow() { short } else { text });
        self.stream.update(|state| state.set_pos(stream_bytes));
        while self.lanes.len() > lanes.len() {
            self.lanes.pop().into_iter().for_each(|lane| self.group.remove(&lane));
        }
        while self.lanes.len() < lanes.len() {
            let lane = self.group.add(ProgressBar::new_spinner().with_style(style("  {wide_msg}")));
            self.lanes.push(lane);
        }
        for (lane, line) in self.lanes.iter().zip(lanes) {
            lane.set_message(line);
            lane.tick();
        }
    }

    /// Takes the bar away while `write` writes.
    pub(super) fn suspend(&self, write: impl FnOnce()) {
        self.group.suspend(write);
    }

    /// Takes the bar away for good.
    pub(super) fn clear(self) {
        drop(self.group.clear());
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("a constant that indicatif reads");
    style.progress_chars("=> ")
}

/// Whether another job has the terminal, as after Ctrl-Z and `bg`: then its lines are not ours to draw over.
fn is_in_background() -> bool {
    tcgetpgrp(io::stderr()).is_ok_and(|foreground| foreground != getpgrp())
}

fn is_narrow() -> bool {
    tcgetwinsize(io::stderr()).is_ok_and(|size| size.ws_col > 0 && size.ws_col < NARROW)
}
