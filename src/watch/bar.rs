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
/// With fewer than these nothing is drawn: indicatif would count other rows than the terminal has.
const LEAST: usize = 14;
/// What the bar itself is made of.
const CELLS: usize = 10;
/// Signs of life, where nobody knows how much there is; in any font.
const SPINNER: [&str; 4] = ["|", "/", "-", "\\"];

/// The bar on the terminal.
pub(super) struct Bar {
    bar: ProgressBar,
    shown: usize,
}

impl Bar {
    /// A bar where the size is known, otherwise a sign of life.
    pub(super) fn new() -> Bar {
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(Screen::default()), REDRAWS);
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(ProgressStyle::with_template("{msg}").expect("indicatif reads it"));
        Bar { bar, shown: 0 }
    }

    /// Shows this picture, unless the terminal is somebody else's now. It is one text of several lines, so that
    /// no line of it is ever drawn for another width, or of another moment, than the rest.
    pub(super) fn show(&mut self, picture: Picture) {
        let columns = columns();
        if is_in_background() || columns < LEAST {
            return;
        }
        let Picture { stream_bytes, expected_bytes, text, short, lanes } = picture;
        let mut lines = match expected_bytes {
            Some(_) if columns < NARROW => String::new(),
            Some(expected) => format!("{} ", cells(stream_bytes, expected)),
            None => format!("{} ", SPINNER[self.shown % SPINNER.len()]),
        };
        let room = columns.saturating_sub(lines.len());
        lines +=
            &if columns < NARROW { fitting(&short, " ", room) } else { fitting(&text, ", ", room) };
        for lane in lanes {
            lines += &format!("\n{LANE_INDENT}{}", lane_text(&lane, columns));
        }
        self.bar.set_message(lines);
        self.shown += 1;
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
    screen::size().0.saturating_sub(ECHO)
}

/// As many cells of the bar as there are of the stream.
fn cells(done: u64, all: u64) -> String {
    let full = (u128::from(done) * CELLS as u128 / u128::from(all.max(1))) as usize;
    let head = if full < CELLS { ">" } else { "" };
    format!("[{:<CELLS$}]", "=".repeat(full.min(CELLS)) + head)
}

/// Whether another job has the terminal, as after Ctrl-Z and `bg`: then its lines are not ours to draw over.
fn is_in_background() -> bool {
    tcgetpgrp(io::stderr()).is_ok_and(|foreground| foreground != getpgrp())
}

/// A link's line, without the fields that there are no columns for, and with as much of its name as there is room for
/// before the first.
fn lane_text(line: &str, columns: usize) -> String {
    let columns = columns - LANE_INDENT.len();
    let (name, fields) = line.split_once(": ").unwrap_or((line, ""));
    let mut fields: Vec<String> = fields.split(", ").map(str::to_owned).collect();
    let room = columns.saturating_sub(2 + fields[0].chars().count());
    let is_cut = name.chars().count() > room;
    let shown: String =
        name.chars().take(if is_cut { room.saturating_sub(1) } else { room }).collect();
    fields[0] = format!("{shown}{}: {}", if is_cut { "…" } else { "" }, fields[0]);
    fitting(&fields, ", ", columns)
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
        assert_eq!(lane_text(line, 27), "10.0.0.2:7000: 1.25 MB/s");
        assert_eq!(lane_text(line, 24), "10.0.0.2:7…: 1.25 MB/s");
        assert_eq!(lane_text(line, 14), "…: 1.25 MB/s");
    }

    #[test]
    fn the_bar_is_as_full_as_the_stream() {
        let shown = [(0, 100), (19, 100), (99, 100), (100, 100), (7, 5), (0, 0)];
        let shown = shown.map(|(done, all)| cells(done, all));
        assert_eq!(shown[..3], ["[>         ]", "[=>        ]", "[=========>]"]);
        assert_eq!(shown[3..], ["[==========]", "[==========]", "[>         ]"]);
    }
}
