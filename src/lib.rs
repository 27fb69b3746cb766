//! viamillipede carries one pipe from a host to another over several TCP connections, whole or not at
//! all.
//!
//! ```text
//!  sender:  read ─▶ pack ─▶ dispatch ─▶ workers ══ TCP ══▶ receiver:  workers ─▶ unpack ─▶ collect ─▶ write
//!          source   rayon    owns       one per                       one per    rayon      owns       to the
//!          to feet  compress, proto::   connection                    connection verify,    proto::    sink
//!                   check     Sender                                             decompress Receiver
//!                               ▲────────────── acks ◀────────────────────────────────────────┘
//! ```
//!
//! The stream is cut into numbered blocks, *feet*, of at most the foot size; no foot crosses a multiple
//! of it. Each foot carries a check of its raw bytes. The receiver verifies a foot before it
//! acknowledges it, so that an ack means *verified*; it writes feet in order, closes its sink, and only
//! then says `Done`. The sender exits 0 only on `Done`.
//!
//! # Threads
//!
//! One thread owns each state machine, and nothing else touches it: [`tx`]'s dispatcher owns
//! `proto::sender::Sender`, [`rx`]'s collector owns `proto::receiver::Receiver`. Both are the calling
//! threads of [`tx::run`] and [`rx::run`]. Beside them there are, at either end, one thread for each
//! connection (`link`), a rayon pool that packs or unpacks, a thread that reads the source or writes the
//! sink, one that hears of each program of the user's, one that accepts connections where this end listens,
//! one that judges how many there should be where that is `auto`, one that reads the file of `--rate` again, and
//! those of `watch`.
//!
//! They talk through channels. A stage that fails drops its ends of them; its neighbours take
//! "disconnected" as "stop quietly, another has the reason". Threads may be stuck in the kernel in a read
//! of stdin or a write of stdout, so the process never joins them: it exits.
//!
//! # Programs at the ends
//!
//! A COMMAND that takes the stream, or a `--source` that gives it, is a `command::Program`. It runs in a
//! process group of its own, below a *guardian*: this program started once more, with one thread.
//!
//! ```text
//!  rx ──── control socket ────▶ guardian ─── parent of ───▶ COMMAND
//!   │ writes                       │ holds, never touches       ▲ reads
//!   └───────────▶ pipe ◀───────────┘                            │
//!                   └───────────────────────────────────────────┘
//! ```
//!
//! The guardian has copies of both ends of COMMAND's stdin, so whatever becomes of `rx`, COMMAND's input
//! does not end. When the stream is whole and verified, `rx` says *commit* on the socket and both close the
//! pipe. When the socket closes before that, as it does however `rx` dies, the guardian kills the group,
//! waits for COMMAND, and for whoever of the group runs as another user and is not its to kill, and only then ends,
//! and with it the pipe. When it is the guardian that dies, `rx` kills
//! the group while it still holds the pipe. A program is started when the ends have met, so that however it
//! fails, both are told.
//!
//! # Memory
//!
//! A fixed pool of foot buffers at each end is the back-pressure. At the sender a foot holds one buffer from
//! its reading to its ack, and each packing thread has one to pack into; reading stops when there are none,
//! and before that where as many feet wait to be packed as the source was seen to need.
//! At the receiver the window advertised is as many feet as there are buffers, less one for each
//! connection and each unpacking thread; a foot beyond it is refused before it is given a buffer. All of
//! it together is `--window`. The lowest missing foot is always inside the window and always finds a buffer,
//! and nobody ever stops reading a socket, so there is no deadlock.
//!
//! # The rate
//!
//! Under `--rate` a worker asks before it writes any part of a foot, and gets a slice of some milliseconds or
//! the time of its turn (`proto::bucket`). What it waits for there is nobody's fault: it says so, and the
//! state machine takes neither the connection for dead nor its feet for late. Whatever is no part of a foot
//! goes at once, and counts.
//!
//! # Who dials, who sends
//!
//! The one is independent of the other. A connection that was dialled and one that was accepted are the
//! same thing once its hello is answered. The dialling end makes up a random session id; the first hello
//! opens the session, and after it only connections of that session come in. A process that was restarted
//! does not know the session, says so, and the other end gives up: there is no resuming across processes.
//! With `ssh` the near end dials, whichever way the stream flows; where none of its connections comes up,
//! one more goes through the ssh session, and is the same thing too.
//!
//! # Endings
//!
//! What has become of the sink is the outcome, whatever ended the run: an end first settles with its sink, then takes
//! its leave of the other end (`link`'s roster). One that fails by itself says why on every connection and stays until
//! that was heard; one that was told to end, by a signal, has half a second. A sender breaks off the feet that it has
//! begun (`proto::frame`), or the word would stand behind them. What comes meanwhile still counts: a `Done` is a
//! delivery.
//!
//! # Protection
//!
//! Each connection is TLS 1.3 between two identities that are derived from the shared key (`tls` says what that
//! is worth against whom), or, with `--plain` at both ends, nothing. The hello and all after it are inside; only a
//! refusal between an end with a key and one without goes outside, and counts only where nobody was welcome yet.
//! The socket's bytes pass through one `channel` each, so that neither workers nor hellos know of it. A
//! connection that has not said its hello yet costs little memory, and the accepting thread never waits for it.
//!
//! # Modules, in the order to read them
//!
//! - `foot`, `codec`, `digest`: what a foot is, how it is packed and checked, how the digest of the
//!   stream is combined from its feet.
//! - `proto`: the protocol, free of I/O: frames, hello, and the two state machines.
//! - `link`: connections, the same for either role; `net` and `cancel`: sockets and waiting;
//!   `pool`, `team`: buffers and threads with a memory.
//! - [`source`] and [`sink`]: where a stream comes from and where it goes: `stdio`, files (`output`; `files`: which is which),
//!   programs (`command` and its [`guardian`]).
//! - [`tx`] and [`rx`]: the two ends, in the order of the pipeline; [`both`]: both in one process; [`Ports`]: what
//!   they are given beside.
//! - [`key`]: the secret that two ends share: how it is written, kept, found and made; `tls`: what it protects,
//!   and how.
//! - [`prbs`]: a stream to try a way with.
//! - [`report`]: pictures of a run, from what `watch` wrote of it.
//! - `ssh`: the other end started through ssh, to push to it or to pull from it.
//! - [`config`]: what may be asked for; [`stats`], `news` and `watch`: what people see; [`run`]: a run with all of
//!   that; [`error`]: what can go wrong, and the exit codes; [`version`]: what was built.
//!
//! The program itself (`main.rs`, `cli`) uses only what is public here.
//!
//! # Inside another program
//!
//! [`tx::run`] sends a [`Source`](source::Source), [`rx::run`] receives into a [`Sink`](sink::Sink), each to its end,
//! on the calling thread; settings with all defaults are made by [`config::Tx::new`] and its like. They print
//! nothing, take no signals, and tell what happens as events of `tracing`. `examples/` has one of each.
//!
//! ```
//! use std::io::{self, Cursor};
//! use viamillipede::{Ports, both, config, sink, source::Source};
//!
//! let settings = config::Loop::new()?;
//! let source = Source::of_reader("greeting", Cursor::new("hello"));
//! let delivered = both::run(&settings, source, sink::of_writer("nowhere", io::sink()), Ports::default())?;
//! assert_eq!(delivered.bytes, 5);
//! # Ok::<(), viamillipede::error::Error>(())
//! ```
//!
//! A program that uses [`config::Input::Source`] or [`config::Output::Command`] must begin with
//! [`guardian::was_asked`], for it is itself the guardian of what it starts.
//!
//! What is public and not in these pages (`proto`, `foot`, `codec`, `digest`) is so for this crate's own simulator,
//! fuzzers and benchmarks, which are crates of their own; it is no part of the interface, and changes without a
//! word.

pub mod both;
mod cancel;
mod clock;
#[doc(hidden)]
pub mod codec;
mod command;
pub mod config;
#[doc(hidden)]
pub mod digest;
pub mod error;
mod files;
#[doc(hidden)]
pub mod foot;
mod ignored;
pub mod key;
mod link;
mod net;
mod news;
mod output;
mod pipe;
mod pool;
mod ports;
pub mod prbs;
#[doc(hidden)]
pub mod proto;
pub mod report;
pub mod run;
pub mod rx;
pub mod sink;
pub mod source;
mod ssh;
pub mod stats;
mod stdio;
mod team;
mod tls;
pub mod tx;
pub mod version;
mod watch;

pub use command::guardian;
pub use ports::{Ports, Stop};
pub use watch::say::Say;
