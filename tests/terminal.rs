//! What people see on a terminal, read off a model of its screen.

use crate::harness::{End, deadline, side_by_side, viamillipede};
use crossbeam_channel::{Receiver, unbounded};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::termios::tcsetwinsize;
use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::thread;
use std::time::Instant;

const ROWS: u16 = 24;

#[test]
fn a_bar_is_drawn_while_the_stream_runs_and_leaves_only_the_last_line() {
    let mut terminal = Terminal::new(80);
    let mut end = run("--size 3M", &terminal, "xterm");
    let mut stream = end.stdin.take().expect("a pipe");
    stream.write_all(&vec![7; 1 << 20]).expect("it reads");
    let is_a_third = |screen: &str| screen.starts_with("[===>      ] 1.05 MB of 3.15 MB (33 %), ");
    let link = "source\n  127.0.0.1: ";
    let shown = terminal.shows(|screen| is_a_third(screen) && screen.contains(link));
    assert_eq!(shown.lines().count(), 2, "{shown}");

    terminal.resize(40, &mut end);
    let shown = terminal.shows(|screen| screen.contains("33 % 0 B/s"));
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(shown.contains(&format!(" {link}")), "{shown}");

    terminal.resize(100, &mut end);
    terminal.shows(|screen| screen.lines().rev().nth(1).is_some_and(|it| it.contains(" mean")));
    drop(stream);
    terminal.shows(|screen| screen.contains("bottleneck: source (it"));
    assert_eq!(end.code(), 0);
    let shown = terminal.contents();
    assert!(
        shown.contains("viamillipede: sent 1048576 bytes")
            && !["33 %", "127.0.0.1"].iter().any(|it| shown.contains(it)),
        "{shown}"
    );
}

#[test]
fn what_the_terminal_echoes_leaves_no_line_of_the_bar_behind() {
    let mut terminal = Terminal::new(80);
    let mut end = run("--size 3M", &terminal, "xterm");
    terminal.shows(|screen| screen.contains("  127.0.0.1: "));
    terminal.stop(&mut end);
    terminal.write("^C");
    end.signal(Signal::SIGINT);
    end.signal(Signal::SIGCONT);
    terminal.shows(|screen| screen.ends_with("viamillipede: ended by signal: SIGINT"));
    let shown = terminal.contents();
    assert!(shown.starts_with("viamillipede: not delivered; "), "{shown}");
}

/// `^C` comes behind the last line that was drawn, which fills one or the other of these terminals.
#[test]
fn what_is_echoed_behind_a_full_line_leaves_none_behind_either() {
    side_by_side(28..46, |columns| {
        let mut terminal = Terminal::new(columns);
        let mut end = run("", &terminal, "xterm");
        terminal.shows(|screen| screen.contains("  127.0.0.1: "));
        terminal.stop(&mut end);
        terminal.write("^C");
        end.signal(Signal::SIGINT);
        end.signal(Signal::SIGCONT);
        terminal.shows(|screen| screen.replace('\n', "").ends_with("SIGINT"));
        let shown = terminal.contents();
        assert!(shown.starts_with("viamillipede: not delivered;"), "{columns} columns: {shown}");
    });
}

#[test]
fn several_links_have_a_line_each() {
    let mut terminal = Terminal::new(120);
    let rx = End::start("rx --plain 0.0.0.0:0");
    let port = rx.ready().port();
    let mut tx = viamillipede(&format!("tx --plain 127.0.0.1:{port} 127.0.0.2:{port}"));
    tx.env("TERM", "xterm").stderr(terminal.stdio());
    let mut tx = End::run(tx);
    let shown = terminal.shows(|screen| screen.contains("127.0.0.2"));
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines.len() == 3 && lines[1].contains(&format!("  127.0.0.1:{port}")), "{shown}");
    drop(tx.stdin.take());
    terminal.shows(|screen| screen.contains("viamillipede: sent 0 bytes"));
    assert_eq!(terminal.contents().matches("127.0.0.2").count(), 0, "{}", terminal.contents());
}

#[test]
fn a_stream_on_the_terminal_is_not_mixed_with_a_bar() {
    for (options, has_bar) in [("", false), ("--progress always", true)] {
        let mut terminal = Terminal::new(80);
        let mut line = viamillipede(&format!("loop --plain --stats - {options}"));
        line.env("TERM", "xterm").stdout(terminal.stdio()).stderr(terminal.stdio());
        let mut end = End::run(line);
        let mut stream = end.stdin.take().expect("a pipe");
        stream.write_all(b"and this is the stream\n").expect("it reads");
        // By the first line of --stats a bar would have been drawn ten times.
        terminal.shows(|screen| screen.contains("\"v\":1"));
        if has_bar {
            terminal.shows(|screen| screen.contains("bottleneck: source, "));
        }
        drop(stream);
        terminal.shows(|screen| screen.contains("viamillipede: sent 23 bytes"));
        assert_eq!(terminal.raw().contains("\x1b["), has_bar, "{}", terminal.raw());
    }
}

#[test]
fn a_terminal_that_cannot_move_its_cursor_gets_plain_lines() {
    side_by_side(["dumb", ""], |term| {
        let mut terminal = Terminal::new(250);
        let mut end = run("--progress always", &terminal, term);
        let mut stream = end.stdin.take().expect("a pipe");
        stream.write_all(b"stream\n").expect("it reads");
        terminal.shows(|screen| screen.contains("viamillipede: 7 B, "));
        drop(stream);
        terminal.shows(|screen| screen.contains("viamillipede: sent 7 bytes"));
        assert!(!terminal.raw().contains('\x1b'), "{}", terminal.raw());
    });
}

/// Starts a run from stdin to a stdout that nobody reads, which shows itself on this terminal.
fn run(options: &str, terminal: &Terminal, term: &str) -> End {
    let mut command = viamillipede(&format!("loop --plain {options}"));
    command.env("TERM", term).stdout(Stdio::null()).stderr(terminal.stdio());
    if term.is_empty() {
        command.env_remove("TERM");
    }
    End::run(command)
}

/// A terminal that somebody looks at.
struct Terminal {
    near: File,
    far: OwnedFd,
    written: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    /// All that was written to it.
    raw: Vec<u8>,
}

impl Terminal {
    fn new(columns: u16) -> Terminal {
        let pair = openpty(&size(columns), None).expect("there is a terminal left");
        let near = File::from(pair.master);
        let mut reader = near.try_clone().expect("a descriptor");
        let (write, written) = unbounded();
        // It ends with the last process that has the far side.
        thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(bytes) = reader.read(&mut some) {
                if write.send(some[..bytes].to_vec()).is_err() {
                    break;
                }
            }
        });
        let screen = vt100::Parser::new(cells(ROWS), cells(columns), 0);
        Terminal { near, far: pair.slave, written, screen, raw: Vec::new() }
    }

    /// As one stream of a process.
    fn stdio(&self) -> Stdio {
        self.far.try_clone().expect("a descriptor").into()
    }

    /// Makes it wider or narrower between two of the pictures that `end` draws: what was drawn for the old width
    /// is on its screen, and nothing else is.
    fn resize(&mut self, columns: u16, end: &mut End) {
        self.stop(end);
        let Winsize { ws_row, ws_col, ws_xpixel, ws_ypixel } = size(columns);
        let size = rustix::termios::Winsize { ws_row, ws_col, ws_xpixel, ws_ypixel };
        tcsetwinsize(&self.near, size).expect("it is a terminal");
        self.screen.screen_mut().set_size(cells(ROWS), cells(columns));
        end.signal(Signal::SIGCONT);
    }

    /// Stops `end`, and shows all that it has written until then.
    fn stop(&mut self, end: &mut End) {
        end.signal(Signal::SIGSTOP);
        let stopped = waitpid(Pid::from_raw(end.pid()), Some(WaitPidFlag::WUNTRACED));
        assert!(matches!(stopped, Ok(WaitStatus::Stopped(..))), "{stopped:?}");
        let title = format!("\x1b]0;{} bytes\x07", self.raw.len());
        self.write(&title);
        let deadline = deadline();
        while !self.raw().contains(&title) {
            self.read(deadline);
        }
    }

    /// Writes to it beside `end`.
    fn write(&self, text: &str) {
        let mut far = File::from(self.far.try_clone().expect("a descriptor"));
        far.write_all(text.as_bytes()).expect("somebody reads it");
    }

    /// Waits until its screen shows what is asked for.
    fn shows(&mut self, is_shown: impl Fn(&str) -> bool) -> String {
        let deadline = deadline();
        while !is_shown(&self.contents()) {
            self.read(deadline);
        }
        self.contents()
    }

    fn read(&mut self, deadline: Instant) {
        let Ok(bytes) = self.written.recv_deadline(deadline) else {
            panic!("this is all: {}", self.contents());
        };
        self.screen.process(&bytes);
        self.raw.extend(bytes);
    }

    /// What is on its screen, row by row, without what is blank.
    fn contents(&self) -> String {
        let screen = self.screen.screen();
        let rows: Vec<String> = screen.rows(0, screen.size().1.get()).collect();
        rows.iter().map(|row| row.trim_end()).collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }

    /// All that was ever written to it.
    fn raw(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }
}

fn size(columns: u16) -> Winsize {
    Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).expect("a terminal has rows and columns")
}
