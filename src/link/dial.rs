//! The dialling side: one thread for each connection that there shall be. It dials, says hello,
//! becomes the worker, and dials again when the connection is gone.
//!
//! Does not know when to give up: it goes on until it is cancelled, or not needed any more. Nor does it know
//! how many there shall be: see [`super::diallers`].

use super::channel::{Channel, is_plain};
use super::quotas::Quotas;
use super::slots::{Claim, Slots};
use super::worker::{Outbox, Worker};
use super::{Crew, Event, Miss, Spare, random};
use crate::cancel::{Cancel, wait};
use crate::config::Dest;
use crate::error::plain;
use crate::net;
use crate::proto::LinkId;
use crate::proto::backoff::{Backoff, FIRST_WAIT, MAX_WAIT};
use crate::proto::hello::{Answer, Hello, HelloKind, Refusal, RefusalKind, Settled, Welcome, Wish};
use crate::stats::{Stats, WorkerRow};
use crate::tls::TlsError;
use nix::poll::PollFlags;
use socket2::Socket;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tracing::trace;

/// How long a DEST may take to connect, with all its addresses.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the other end may take to answer a hello.
const ANSWER: Duration = Duration::from_secs(10);
/// A connection that lived this long, or carried a foot, was a good one: its link is dialled again with
/// the shortest back-off.
const GOOD: Duration = Duration::from_secs(5);
/// Longest wait between two tries once the session is there: the other end is known to exist, and a way
/// that is back should be used soon.
const MAX_REJOIN_WAIT: Duration = Duration::from_secs(1);
/// How long a place must be free before a connection that had none takes it: the one that has just
/// lost it dials again sooner.
const GRACE: Duration = Duration::from_secs(1);

/// How often is looked for other connections before a spare way is taken.
const LOOKS: u32 = 6;

/// Where a connection may go.
pub(super) enum Way {
    Dest(Dest),
    Spare(Spare),
}

impl Way {
    fn is_over(&self) -> bool {
        matches!(self, Way::Spare(spare) if (spare.is_over)())
    }
}

/// One who dials.
pub(super) struct Dialler {
    pub(super) way: Way,
    pub(super) link: LinkId,
    pub(super) hello: Hello,
    pub(super) wish: Wish,
    /// The number of this thread, and of its connection where there is a place for each.
    pub(super) index: u32,
    pub(super) slots: Arc<Slots>,
    pub(super) quotas: Arc<Quotas>,
    /// The first welcome of the session, on whatever connection.
    pub(super) welcomed: Arc<OnceLock<Welcome>>,
    pub(super) crew: Crew,
}

/// How one attempt ended.
enum Attempt {
    /// There was a connection, and it was good or not.
    Lived { was_good: bool },
    /// There was none.
    Missed(Miss),
    /// The session has no place for this connection now.
    Superfluous,
}

/// A connection on which a hello was answered.
struct Greeted {
    channel: Channel,
    /// The address at its other end.
    peer: String,
    answer: Answer,
    /// What was read behind the answer.
    read_ahead: Vec<u8>,
    rtt: Duration,
    /// The descriptors that its worker needs.
    outbox: Outbox,
    /// Held as long as the connection is.
    claim: Claim,
    /// Until its owner knows of it.
    said: Said,
}

/// A hello was said, and it is not known yet what comes of it.
struct Said(Arc<Stats>);

impl Said {
    fn new(stats: &Arc<Stats>) -> Said {
        stats.hellos.increment();
        Said(Arc::clone(stats))
    }
}

impl Drop for Said {
    fn drop(&mut self) {
        self.0.hellos.subtract(1);
    }
}

impl Dialler {
    /// Sees to one connection, until it is not needed any more.
    pub(super) fn run(mut self) {
        let mut backoff = Backoff::new(FIRST_WAIT, MAX_WAIT);
        loop {
            if self.quotas.leave(self.link) || !self.await_need() {
                return;
            }
            let attempt = self.attempt();
            let is_short = matches!(attempt, Attempt::Missed(Miss::Short(_)));
            if self.crew.cancel.is_cancelled() {
                return;
            }
            match attempt {
                Attempt::Lived { .. } if self.way.is_over() => {
                    let over = Miss::Over("it has ended".into());
                    let _ = self.crew.events.send(Event::Missed(self.link, over));
                    return;
                }
                Attempt::Lived { was_good: true } => backoff.reset(),
                Attempt::Lived { was_good: false } => {}
                Attempt::Missed(miss) => {
                    let is_over = matches!(miss, Miss::Over(_));
                    if self.crew.events.send(Event::Missed(self.link, miss)).is_err() || is_over {
                        return;
                    }
                }
                Attempt::Superfluous => {
                    if !self.await_place() {
                        return;
                    }
                    continue;
                }
            }
            // Without random numbers the back-off is only less spread out.
            let jitter = u32::from_le_bytes(random().unwrap_or_default());
            let mut wait = backoff.next(jitter);
            // What this machine lacks it will lack for a while.
            if self.welcomed.get().is_some() && !is_short {
                wait = wait.min(MAX_REJOIN_WAIT);
            }
            trace!(link = self.link.0, thread = self.index, ?wait, "dials again");
            if !matches!(self.crew.cancel.sleep(wait), Ok(false)) {
                return;
            }
        }
    }

    /// Waits until a spare way is needed: until there was no connection whenever it was looked for one, for
    /// as long as it says. False: the run is over.
    fn await_need(&self) -> bool {
        let Way::Spare(spare) = &self.way else { return true };
        let mut looks = 0;
        while looks < LOOKS {
            if !matches!(self.crew.cancel.sleep(spare.after / LOOKS), Ok(false)) {
                return false;
            }
            looks = if self.crew.stats.workers().is_empty() { looks + 1 } else { 0 };
        }
        true
    }

    /// Waits until there is a place to spare; says whether there may be one.
    fn await_place(&self) -> bool {
        loop {
            self.slots.wait(self.link);
            if !matches!(self.crew.cancel.sleep(GRACE), Ok(false)) {
                return false;
            }
            if self.slots.has_place(self.link) {
                return true;
            }
        }
    }

    /// Dials, says hello, and carries frames until the connection ends.
    fn attempt(&mut self) -> Attempt {
        if !self.slots.has_place(self.link) {
            return Attempt::Superfluous;
        }
        let greeted = match self.greet() {
            Ok(Some(greeted)) => greeted,
            Ok(None) => return Attempt::Superfluous,
            Err(error) if self.way.is_over() => return Attempt::Missed(Miss::Over(plain(&error))),
            Err(error) => return Attempt::Missed(Miss::of(&error)),
        };
        let welcome = match &greeted.answer {
            Answer::Welcome(welcome) => welcome,
            // The session is settled to fewer; which of them are in use is for us to say. Once there was
            // a welcome it is known to how many, and nobody else may say so.
            Answer::Refuse(Refusal { reason: RefusalKind::Workers, .. })
                if greeted.claim.index > 0 =>
            {
                self.slots.limit(greeted.claim.index);
                // In this order, for the welcome may come just now.
                if let Some(first) = self.welcomed.get() {
                    self.slots.limit(first.settled.workers);
                }
                return Attempt::Superfluous;
            }
            Answer::Refuse(refusal) => return Attempt::Missed(Miss::Refused(refusal.clone())),
        };
        if !self.wish.admits(&welcome.settled) {
            return Attempt::Missed(Miss::Lost("it settled for more than was asked for".into()));
        }
        let first = self.welcomed.get_or_init(|| welcome.clone());
        if first.incarnation != welcome.incarnation {
            return Attempt::Missed(Miss::Restarted);
        }
        let settled = first.settled;
        self.slots.limit(settled.workers);
        greeted.claim.settle();
        match self.carry(greeted, settled) {
            Ok(was_good) => Attempt::Lived { was_good },
            Err(error) => Attempt::Missed(Miss::of(&error)),
        }
    }

    /// A connection on which a hello was answered; none if there is no place for it any more.
    fn greet(&mut self) -> io::Result<Option<Greeted>> {
        let cancel = &self.crew.cancel;
        // Whoever is short of descriptors finds out before the other end is told anything.
        let outbox = Outbox::new()?;
        let (link, thread, began) = (self.link.0, self.index, Instant::now());
        trace!(link, thread, "dialling");
        let (socket, peer) = self.connect()?;
        trace!(link, thread, peer, after = ?began.elapsed(), "connected");
        let mut channel = self.crew.channel(socket)?;
        let opened = persist(&mut channel, cancel, Instant::now() + ANSWER, Channel::open);
        trace!(link, thread, after = ?began.elapsed(), ok = opened.is_ok(), "handshake is over");
        let Some(claim) = self.slots.claim(self.link, self.index) else { return Ok(None) };
        let said = Said::new(&self.crew.stats);
        if let Err(error) = opened {
            if !is_plain(&error) {
                return Err(error);
            }
            let answer = plain_refusal(&mut channel, cancel)?;
            let (read_ahead, rtt) = (Vec::new(), Duration::ZERO);
            return Ok(Some(Greeted {
                channel,
                peer,
                answer,
                read_ahead,
                rtt,
                outbox,
                claim,
                said,
            }));
        }
        let known = self.welcomed.get().is_some();
        self.hello.kind = if known { HelloKind::Join } else { HelloKind::New };
        self.hello.worker = claim.index;
        let mut hello = Vec::new();
        self.hello.encode(&mut hello);
        let asked = Instant::now();
        channel.say(&hello)?;
        let (answer, read_ahead) = read_answer(&mut channel, Vec::new(), cancel, asked + ANSWER)?;
        let rtt = asked.elapsed();
        let is_welcome = matches!(answer, Answer::Welcome(_));
        trace!(link, thread, kind = ?self.hello.kind, is_welcome, ?rtt, "hello is answered");
        Ok(Some(Greeted { channel, peer, answer, read_ahead, rtt, outbox, claim, said }))
    }

    /// A connection, and what its other end is called.
    fn connect(&self) -> io::Result<(Socket, String)> {
        let cancel = &self.crew.cancel;
        match &self.way {
            Way::Dest(Dest { host, port, bind, .. }) => {
                let addresses = net::resolve(host, *port, cancel, Instant::now() + ANSWER)?;
                let deadline = Instant::now() + CONNECT;
                let socket = net::connect(&addresses, bind.as_ref(), cancel, deadline)?;
                let peer = socket.peer_addr()?.as_socket();
                Ok((socket, peer.map_or_else(String::new, |it| it.to_string())))
            }
            Way::Spare(spare) => {
                let socket = (spare.open)()?;
                socket.set_nonblocking(true)?;
                Ok((socket, spare.name.clone()))
            }
        }
    }

    /// Is the worker until the connection ends; says whether it was a good one.
    fn carry(&self, greeted: Greeted, settled: Settled) -> io::Result<bool> {
        let Greeted { mut channel, peer, read_ahead, rtt, outbox, claim: _claim, said, .. } =
            greeted;
        channel.share(settled.workers);
        let id = self.crew.next_worker();
        let row = Arc::new(WorkerRow::new(self.link, peer));
        let inlet = (self.crew.inlet)(&settled);
        let (worker, handle) = Worker::new(
            id,
            channel,
            read_ahead,
            outbox,
            inlet,
            Arc::clone(&row),
            self.crew.clone(),
        )?;
        let up = Event::Up { handle, link: self.link, rtt, settled };
        let since = Instant::now();
        let is_heard = self.crew.events.send(up).is_ok();
        drop(said);
        if is_heard {
            // Whoever finds it there can be sure that its owner knows of it.
            self.crew.stats.enter(id, &row);
            worker.run();
        }
        Ok(row.feet.now() > 0 || since.elapsed() >= GOOD)
    }
}

/// What the other end says to our TLS where it speaks without: only that, since nobody has proved to be
/// the other end.
fn plain_refusal(channel: &mut Channel, cancel: &Cancel) -> io::Result<Answer> {
    let heard = channel.without_tls();
    match read_answer(channel, heard, cancel, Instant::now() + ANSWER)? {
        (Answer::Refuse(Refusal { reason: RefusalKind::Plain, .. }), _) => {
            // Not in its words: anybody may have chosen them.
            Ok(Answer::Refuse(Refusal::new(RefusalKind::Plain, "the listening end is --plain")))
        }
        _ => Err(TlsError::Plain.into()),
    }
}

/// Reads until the answer is whole, of which `bytes` were read already; returns what is behind it too.
fn read_answer(
    channel: &mut Channel,
    mut bytes: Vec<u8>,
    cancel: &Cancel,
    deadline: Instant,
) -> io::Result<(Answer, Vec<u8>)> {
    let mut chunk = [0; 1024];
    loop {
        let decoded = Answer::decode(&bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        if let Some((answer, length)) = decoded {
            bytes.drain(..length);
            return Ok((answer, bytes));
        }
        match persist(channel, cancel, deadline, |it| it.read(&mut chunk, &mut []))? {
            0 => {
                let text = "closed without an answer to our hello";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
            read => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}

/// Does this until it does not have to wait any more, or it is late, or all is stopped.
fn persist<T>(
    channel: &mut Channel,
    cancel: &Cancel,
    deadline: Instant,
    mut act: impl FnMut(&mut Channel) -> io::Result<T>,
) -> io::Result<T> {
    loop {
        match act(channel) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => return result,
        }
        let mut wanted = PollFlags::POLLIN;
        wanted.set(PollFlags::POLLOUT, !channel.is_flushed());
        let [ready, _] = wait(
            &mut [(channel.as_fd(), wanted), (cancel.as_fd(), PollFlags::POLLIN)],
            Some(deadline),
        )?;
        if ready.is_empty() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer to our hello"));
        }
    }
}
