//! The dialling side: one thread for each connection that there shall be. It dials, says hello,
//! becomes the worker, and dials again when the connection is gone.
//!
//! Does not know when to give up: it goes on until it is cancelled.

use super::slots::{Claim, Slots};
use super::worker::Worker;
use super::{Crew, Event, Miss, random};
use crate::cancel::{Cancel, wait};
use crate::config::{Dest, shares};
use crate::error::Error;
use crate::net;
use crate::proto::LinkId;
use crate::proto::backoff::{Backoff, FIRST_WAIT, MAX_WAIT};
use crate::proto::hello::{
    Answer, Hello, HelloKind, Refusal, RefusalKind, SessionId, Settled, VERSIONS, Welcome, Wish,
};
use nix::poll::PollFlags;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

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

/// Starts the dialling threads: their links in the order of `dests`, the shares of `workers` as
/// [`shares`] says.
pub(super) fn start(
    dests: &[Dest],
    workers: u16,
    wish: Wish,
    name: &str,
    crew: &Crew,
) -> Result<(), Error> {
    let session = SessionId(random()?);
    let shares = shares(dests, workers);
    let welcomed = Arc::new(OnceLock::new());
    let slots = Arc::new(Slots::new(wish.workers));
    let mut index = 0;
    // Round by round, so that a session settled to few connections still has every link.
    for round in 0..shares.iter().copied().max().unwrap_or(0) {
        for (link, (dest, share)) in dests.iter().zip(&shares).enumerate() {
            if round >= *share {
                continue;
            }
            let hello = Hello {
                versions: VERSIONS,
                kind: HelloKind::New,
                session,
                role: crew.role,
                worker: index,
                link: link as u16, // DESTs are fewer than connections, which fit
                workers: wish.workers,
                foot_bytes: wish.foot_bytes,
                window_bytes: wish.window_bytes,
                verify: wish.verify,
                pace: wish.pace,
                name: name.to_owned(),
            };
            let dialler = Dialler {
                dest: dest.clone(),
                link: LinkId(hello.link),
                hello,
                wish,
                index,
                slots: Arc::clone(&slots),
                welcomed: Arc::clone(&welcomed),
                crew: crew.clone(),
            };
            thread::Builder::new()
                .name(format!("worker {index}"))
                .spawn(move || dialler.run())
                .map_err(|error| Error::io("a thread for a connection", error))?;
            index += 1;
        }
    }
    Ok(())
}

struct Dialler {
    dest: Dest,
    link: LinkId,
    hello: Hello,
    wish: Wish,
    /// The number of this thread, and of its connection where there is a place for each.
    index: u16,
    slots: Arc<Slots>,
    /// The first welcome of the session, on whatever connection.
    welcomed: Arc<OnceLock<Welcome>>,
    crew: Crew,
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
    stream: TcpStream,
    answer: Answer,
    /// What was read behind the answer.
    read_ahead: Vec<u8>,
    rtt: Duration,
    /// Held as long as the connection is.
    claim: Claim,
}

impl Dialler {
    fn run(mut self) {
        let mut backoff = Backoff::new(FIRST_WAIT, MAX_WAIT);
        loop {
            let attempt = self.attempt();
            if self.crew.cancel.is_cancelled() {
                return;
            }
            match attempt {
                Attempt::Lived { was_good: true } => backoff.reset(),
                Attempt::Lived { was_good: false } => {}
                Attempt::Missed(miss) => {
                    if self.crew.events.send(Event::Missed(self.link, miss)).is_err() {
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
            if self.welcomed.get().is_some() {
                wait = wait.min(MAX_REJOIN_WAIT);
            }
            if !matches!(self.crew.cancel.sleep(wait), Ok(false)) {
                return;
            }
        }
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
            Err(error) => return Attempt::Missed(Miss::of(&error)),
        };
        let welcome = match &greeted.answer {
            Answer::Welcome(welcome) => welcome,
            // The session is settled to fewer; which of them are in use is for us to say.
            Answer::Refuse(Refusal { reason: RefusalKind::Workers, .. })
                if greeted.claim.index > 0 =>
            {
                self.slots.limit(greeted.claim.index);
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
        match self.carry(greeted, settled) {
            Ok(was_good) => Attempt::Lived { was_good },
            Err(error) => Attempt::Missed(Miss::of(&error)),
        }
    }

    /// A connection on which a hello was answered; none if there is no place for it any more.
    fn greet(&mut self) -> io::Result<Option<Greeted>> {
        let cancel = &self.crew.cancel;
        let Dest { host, port, bind, .. } = &self.dest;
        let addresses = net::resolve(host, *port, cancel, Instant::now() + ANSWER)?;
        let deadline = Instant::now() + CONNECT;
        let mut stream = net::connect(&addresses, bind.as_ref(), cancel, deadline)?;
        let Some(claim) = self.slots.claim(self.link, self.index) else { return Ok(None) };
        let known = self.welcomed.get().is_some();
        self.hello.kind = if known { HelloKind::Join } else { HelloKind::New };
        self.hello.worker = claim.index;
        let mut hello = Vec::new();
        self.hello.encode(&mut hello);
        let asked = Instant::now();
        stream.write_all(&hello)?; // a new connection has room for so little
        let (answer, read_ahead) = read_answer(&mut stream, cancel, asked + ANSWER)?;
        Ok(Some(Greeted { stream, answer, read_ahead, rtt: asked.elapsed(), claim }))
    }

    /// Is the worker until the connection ends; says whether it was a good one.
    fn carry(&self, greeted: Greeted, settled: Settled) -> io::Result<bool> {
        let Greeted { stream, read_ahead, rtt, claim: _claim, .. } = greeted;
        let id = self.crew.next_worker();
        let row = self.crew.stats.join(id, self.link, stream.peer_addr()?.to_string());
        let inlet = (self.crew.inlet)(&settled);
        let (worker, handle) =
            Worker::new(id, stream, read_ahead, inlet, Arc::clone(&row), self.crew.clone())
                .inspect_err(|_| self.crew.stats.leave(id))?;
        let up = Event::Up { handle, link: self.link, rtt, settled };
        let since = Instant::now();
        if self.crew.events.send(up).is_ok() {
            worker.run();
        }
        Ok(row.feet.now() > 0 || since.elapsed() >= GOOD)
    }
}

/// Reads until the answer is whole.
fn read_answer(
    stream: &mut TcpStream,
    cancel: &Cancel,
    deadline: Instant,
) -> io::Result<(Answer, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let decoded = Answer::decode(&bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        if let Some((answer, length)) = decoded {
            bytes.drain(..length);
            return Ok((answer, bytes));
        }
        let [readable, _] = wait(
            &mut [(stream.as_fd(), PollFlags::POLLIN), (cancel.as_fd(), PollFlags::POLLIN)],
            Some(deadline),
        )?;
        if readable.is_empty() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer to our hello"));
        }
        match stream.read(&mut chunk) {
            Ok(0) => {
                let text = "closed without an answer to our hello";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
