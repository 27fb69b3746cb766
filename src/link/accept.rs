//! The listening side: one thread that accepts, hears hellos and answers them; who is welcome gets a
//! worker.
//!
//! A connection that has not said its hello costs a socket and at most [`MAX_HELLO_BYTES`] bytes, for at
//! most [`HELLO`]; there are at most [`MAX_CALLERS`] of them. Nobody waits for a slow one.

use super::worker::Worker;
use super::{Crew, Event, Handle};
use crate::cancel::poll_until;
use crate::config::Listen;
use crate::error::Error;
use crate::net;
use crate::proto::LinkId;
use crate::proto::hello::{Answer, Gate, Hello, HelloError, MAX_HELLO_BYTES, Welcome};
use nix::poll::{PollFd, PollFlags};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

/// How long a caller may take to say hello.
const HELLO: Duration = Duration::from_secs(10);
/// Callers that have not said hello yet; beyond it the oldest has to go.
const MAX_CALLERS: usize = 256;
/// Pause after an accept that failed for want of descriptors or memory: it would fail again at once.
const BREATH: Duration = Duration::from_millis(100);

/// Binds every LISTEN, announces the addresses, and starts the accepting thread.
pub(super) fn start(
    listens: &[Listen],
    gate: Gate,
    crew: Crew,
    announce: &mut dyn FnMut(SocketAddr),
) -> Result<(), Error> {
    let mut listeners = Vec::new();
    for listen in listens {
        listeners.extend(bind(listen)?);
    }
    for listener in &listeners {
        announce(listener.local_addr().map_err(|error| Error::io("a listening socket", error))?);
    }
    let door = Door {
        listeners,
        gate,
        crew,
        callers: VecDeque::new(),
        handles: BTreeMap::new(),
        is_met: false,
        rest: None,
    };
    thread::Builder::new()
        .name("accept".into())
        .spawn(move || door.run())
        .map_err(|error| Error::io("the accepting thread", error))?;
    Ok(())
}

/// The sockets of one LISTEN: the first address of its host, or all of v4 and v6 at one port.
fn bind(listen: &Listen) -> Result<Vec<TcpListener>, Error> {
    let failed = |error| Error::io(format!("listen on {listen}"), error);
    let Some(host) = &listen.host else {
        let v4 = net::listen((Ipv4Addr::UNSPECIFIED, listen.port).into()).map_err(failed)?;
        let port = v4.local_addr().map_err(failed)?.port();
        return match net::listen((Ipv6Addr::UNSPECIFIED, port).into()) {
            Ok(v6) => Ok(vec![v4, v6]),
            // A machine without v6 is no reason not to listen.
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => Ok(vec![v4]),
            Err(error) => Err(failed(error)),
        };
    };
    let mut addresses = (host.as_str(), listen.port).to_socket_addrs().map_err(failed)?;
    let address = addresses.next().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    Ok(vec![net::listen(address).map_err(failed)?])
}

struct Door {
    listeners: Vec<TcpListener>,
    gate: Gate,
    crew: Crew,
    callers: VecDeque<Caller>,
    /// The newest connection of each index of the dialling end: a newer one replaces an older one,
    /// which is dead whether we have noticed or not.
    handles: BTreeMap<u16, Handle>,
    /// Somebody was told to be welcome, and was still there.
    is_met: bool,
    rest: Option<Instant>,
}

/// A connection that has not yet said all of its hello.
struct Caller {
    stream: TcpStream,
    peer: SocketAddr,
    heard: Vec<u8>,
    until: Instant,
}

impl Door {
    fn run(mut self) {
        loop {
            // poll fails only for want of memory, which passes.
            let Ok(ready) = self.wait() else { continue };
            if self.crew.cancel.is_cancelled() {
                return;
            }
            self.hear(&ready);
            self.accept();
        }
    }

    /// Waits for anything; says of each caller whether it has something to say.
    fn wait(&mut self) -> io::Result<Vec<bool>> {
        let resting = self.rest.take();
        let mut fds = vec![PollFd::new(self.crew.cancel.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.callers.iter().map(|it| PollFd::new(it.stream.as_fd(), PollFlags::POLLIN)));
        if resting.is_none() {
            fds.extend(self.listeners.iter().map(|it| PollFd::new(it.as_fd(), PollFlags::POLLIN)));
        }
        let deadline = self.callers.front().map(|caller| caller.until);
        let deadline = deadline.into_iter().chain(resting).min();
        poll_until(&mut fds, deadline)?;
        let callers = &fds[1..=self.callers.len()];
        Ok(callers.iter().map(|fd| fd.any().unwrap_or(true)).collect())
    }

    /// Hears the callers that are ready, answers those who are through, drops those who took too long.
    fn hear(&mut self, ready: &[bool]) {
        let now = Instant::now();
        let callers = std::mem::take(&mut self.callers);
        for (mut caller, ready) in callers.into_iter().zip(ready) {
            match if *ready { caller.hear() } else { Ok(None) } {
                Ok(Some(hello)) => self.answer(caller, &hello),
                Ok(None) if caller.until > now => self.callers.push_back(caller),
                Ok(None) => {}
                Err(refusal) => refuse(&caller.stream, refusal.as_ref()),
            }
        }
    }

    fn accept(&mut self) {
        for listener in &self.listeners {
            loop {
                match listener.accept() {
                    Ok((stream, peer)) => {
                        let until = Instant::now() + HELLO;
                        if let Ok(stream) = net::adopt(stream) {
                            let heard = Vec::new();
                            self.callers.push_back(Caller { stream, peer, heard, until });
                        }
                        if self.callers.len() > MAX_CALLERS {
                            self.callers.pop_front();
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(_) => {
                        self.rest = Some(Instant::now() + BREATH);
                        break;
                    }
                }
            }
        }
    }

    fn answer(&mut self, caller: Caller, hello: &Hello) {
        let answer = self.gate.decide(hello);
        let Answer::Welcome(welcome) = &answer else {
            return refuse(&caller.stream, Some(&answer));
        };
        if say(&caller.stream, &answer).is_err() {
            // It is gone already. Had it opened the session, all others would be told `busy` for ever.
            if !self.is_met {
                self.gate.forget();
            }
            return;
        }
        self.is_met = true;
        if let Some(older) = self.handles.remove(&hello.worker) {
            older.close("it was replaced by a newer connection");
        }
        if let Ok(handle) = self.welcome(caller, hello, welcome) {
            self.handles.insert(hello.worker, handle);
        }
    }

    /// Makes the caller a worker. Where that fails the caller sees its connection closed, and dials
    /// again.
    fn welcome(&self, caller: Caller, hello: &Hello, welcome: &Welcome) -> io::Result<Handle> {
        let Caller { stream, peer, heard, .. } = caller;
        let (id, link) = (self.crew.next_worker(), LinkId(hello.link));
        let row = self.crew.stats.join(id, link, peer.to_string());
        let inlet = (self.crew.inlet)(&welcome.settled);
        let (worker, handle) = Worker::new(id, stream, heard, inlet, row, self.crew.clone())?;
        let ours = handle.clone();
        let (settled, rtt) = (welcome.settled, Duration::ZERO);
        let events = self.crew.events.clone();
        thread::Builder::new().name(format!("worker {}", hello.worker)).spawn(move || {
            if events.send(Event::Up { handle, link, rtt, settled }).is_ok() {
                worker.run();
            }
        })?;
        Ok(ours)
    }
}

impl Caller {
    /// The hello, once it is whole. An error ends the call, with an answer where one may help.
    fn hear(&mut self) -> Result<Option<Hello>, Option<Answer>> {
        let mut chunk = [0; MAX_HELLO_BYTES];
        loop {
            let decoded = Hello::decode(&self.heard)
                .map_err(|error: HelloError| error.refusal().map(Answer::Refuse))?;
            if let Some((hello, length)) = decoded {
                self.heard.drain(..length);
                return Ok(Some(hello));
            }
            match self.stream.read(&mut chunk) {
                Ok(read) if read > 0 => self.heard.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => return Err(None),
            }
        }
    }
}

/// Says no, where there is something to say; the connection ends either way.
fn refuse(stream: &TcpStream, answer: Option<&Answer>) {
    if let Some(answer) = answer {
        // Who does not take its refusal has not earned another.
        let _ = say(stream, answer);
    }
}

fn say(mut stream: &TcpStream, answer: &Answer) -> io::Result<()> {
    let mut bytes = Vec::new();
    answer.encode(&mut bytes);
    stream.write_all(&bytes) // a new connection has room for so little
}
