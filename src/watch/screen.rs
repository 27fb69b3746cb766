//! The terminal under the bar, as indicatif draws on it.
//!
//! indicatif fills each line with blanks up to the last column and has the terminal wrap it. Then what the
//! terminal writes by itself, as `^C`, is a line more that nobody counts, and of a terminal that becomes
//! narrower every line takes two. So the blanks are not written: the rest of a line is cleared, and the next
//! begins below. Does not know what is drawn.

use indicatif::TermLike;
use rustix::termios::{Winsize, tcgetwinsize};
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Stderr, where it is a terminal.
#[derive(Debug, Default)]
pub(super) struct Screen(Mutex<Picture>);

/// What is drawn next, in one piece.
#[derive(Debug, Default)]
struct Picture {
    bytes: String,
    /// What comes next belongs below.
    line_is_over: bool,
}

/// How wide and high the terminal is.
pub(super) fn size() -> (usize, usize) {
    let size = tcgetwinsize(io::stderr()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    let Winsize { ws_col, ws_row, .. } =
        size.unwrap_or(Winsize { ws_col: 80, ws_row: 24, ws_xpixel: 0, ws_ypixel: 0 });
    (usize::from(ws_col), usize::from(ws_row))
}

impl Screen {
    fn next(&self) -> MutexGuard<'_, Picture> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a control sequence of ECMA-48 that does something `n` times, and for which 0 would be 1.
    fn control(&self, n: usize, what: char) -> io::Result<()> {
        if n > 0 {
            self.next().bytes += &format!("\x1b[{n}{what}");
        }
        Ok(())
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        size().0 as u16
    }

    fn height(&self) -> u16 {
        size().1 as u16
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.control(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.control(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.control(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.control(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.next().bytes += &format!("{text}\n");
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        let mut next = self.next();
        if text.bytes().all(|byte| byte == b' ') {
            // Behind a line that is full there is nothing to clear, and its last column would go.
            next.bytes += if text.is_empty() { "" } else { "\x1b[K" };
            next.line_is_over = true;
            return Ok(());
        }
        if std::mem::take(&mut next.line_is_over) {
            next.bytes.push('\n');
        }
        next.bytes += text;
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.next().bytes += "\r\x1b[2K";
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let Picture { bytes, .. } = std::mem::take(&mut *self.next());
        io::stderr().write_all(bytes.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_where_their_text_does() {
        let screen = Screen::default();
        for text in ["[==>  ] 50 %", "    ", "  a link", "", "  another", "  "] {
            screen.write_str(text).expect("nothing is written yet");
        }
        assert_eq!(screen.next().bytes, "[==>  ] 50 %\x1b[K\n  a link\n  another\x1b[K");
    }
}
