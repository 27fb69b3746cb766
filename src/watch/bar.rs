//! The live bar on a terminal: a line for the stream, and one below it for each link.
//!
//! Draws pictures, and steps aside for lines of text. Does not know what the figures mean.

use super::progress::Picture;
use super::screen::{self, Screen};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;
use std::io;

/// Redraws in a second, at most.
const REDRAWS: u8 = 5;
/// What stands before a link's line.
const LANE_INDENT: &str = "  ";
/// Columns that stay free at the end of each line: a terminal that echoes `^C` there would begin another line, of which
/// whoever clears the bar would not know.
const ECHO: usize = 2;
/// A terminal with fewer columns than these for text is narrow.
const NARROW: usize = 70;

/// The bar on the terminal.
pub(super) struct Bar {
    bar: ProgressBar,
    /// Columns of the stream's line that are not for the text.
    beside: usize,
}

impl Bar {
    /// A bar where the size is known from the start, otherwise a sign of life.
    pub(super) fn new(first: &Picture) -> Bar {
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(Screen::default()), REDRAWS);
        let bar = ProgressBar::with_draw_target(first.expected_bytes, target);
        let (template, beside) = match first.expected_bytes {
            Some(_) if columns() < NARROW => ("{msg}", 0),
            Some(_) => ("[{bar:10}] {msg}", 13),
            None => ("{spinner} {msg}", 2),
        };
        bar.set_style(style(template));
        Bar { bar, beside }
    }

    /// Shows this picture, unless the terminal is somebody else's now. It is one text of several lines, so that
    /// no line of it is ever drawn for another width, or of another moment, than the rest.
    pub(super) fn show(&mut self, picture: Picture) {
        if is_in_background() {
            return;
        }
        let Picture { stream_bytes, text, short, lanes, .. } = picture;
        let columns = columns();
        let mut lines = if columns < NARROW {
            fitting(&short, " ", columns - self.beside)
        } else {
            fitting(&text, ", ", columns - self.beside)
        };
        for lane in lanes {
            lines += &format!("\n{LANE_INDENT}{}", lane_text(&lane, columns));
        }
        self.bar.update(|state| state.set_pos(stream_bytes));
        self.bar.set_message(lines);
    }

    /// Takes the bar away while `write` writes.
    pub(super) fn suspend(&self, write: impl FnOnce()) {
        self.bar.suspend(write);
    }

    /// Takes the bar away for good.
    pub(super) fn clear(self) {
        self.bar.finish_and_clear();
    }
}

/// Columns that may be drawn on.
fn columns() -> usize {
    screen::size().0 - ECHO
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("a constant that indicatif reads");
    style.progress_chars("=> ")
}

/// Whether another job has the terminal, as after Ctrl-Z and `bg`: then its lines are not ours to draw over.
fn is_in_background() -> bool {
    tcgetpgrp(io::stderr()).is_ok_and(|foreground| foreground != getpgrp())
}

/// A link's line, without the fields that there are no columns for.
fn lane_text(line: &str, columns: usize) -> String {
    let fields: Vec<String> = line.split(", ").map(str::to_owned).collect();
    fitting(&fields, ", ", columns - LANE_INDENT.len())
}

/// As many of the parts as there are columns for: half a figure would mislead.
fn fitting(parts: &[String], between: &str, columns: usize) -> String {
    let mut line = String::new();
    for part in parts {
        let longer =
            if line.is_empty() { part.clone() } else { [&line, part.as_str()].join(between) };
        if longer.chars().count() > columns && !line.is_empty() {
            break;
        }
        line = longer;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_shown_whole_or_not_at_all() {
        let parts = ["12 %", "4.41 MB/s", "ETA 0:04"].map(String::from);
        let shown = [40, 23, 22, 9, 2].map(|columns| fitting(&parts, " ", columns));
        let [all, two] = ["12 % 4.41 MB/s ETA 0:04", "12 % 4.41 MB/s"];
        assert_eq!(shown, [all, all, two, "12 %", "12 %"]);

        let line = "10.0.0.2:7000: 1.25 MB/s, idle, rtt 0.01 ms";
        assert_eq!(lane_text(line, 45), line);
        assert_eq!(lane_text(line, 44), "10.0.0.2:7000: 1.25 MB/s, idle");
    }
}
