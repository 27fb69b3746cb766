//! The listening side: one thread that accepts, hears hellos and answers them; who is welcome gets a
//! worker.
//!
//! A connection that has not said its hello costs a socket and at most [`MAX_HELLO_BYTES`] bytes, for at
//! most [`HELLO`]; there are at most [`MAX_CALLERS`] of them. Nobody waits for a slow one.

use super::channel::{Channel, is_plain};
use super::worker::Worker;
use super::{Crew, Event, Handle};
use crate::cancel::poll_until;
use crate::config::Listen;
use crate::error::Error;
use crate::net;
use crate::news::Fact;
use crate::proto::LinkId;
use crate::proto::hello::{
    Answer, Gate, Hello, HelloError, MAX_HELLO_BYTES, Refusal, RefusalKind, Welcome,
};
use crate::tls::TlsError;
use crossbeam_channel::bounded;
use nix::poll::{PollFd, PollFlags};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

/// How long a caller may take to say hello.
const HELLO: Duration = Duration::from_secs(10);
/// Callers that have not said hello yet; beyond it the oldest has to go.
const MAX_CALLERS: usize = 256;
/// Pause after an accept that failed for want of descriptors or memory: it would fail again at once.
const BREATH: Duration = Duration::from_millis(100);
/// Reads of what a refused caller has said beyond what was refused.
const UNREAD: usize = 8;
/// The first byte of TLS.
const TLS: u8 = 0x16;
/// How often a port is picked that may be taken at another address of the same LISTEN.
const PICKS: u32 = 16;

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

/// The sockets of one LISTEN: all addresses of its host, or of this machine, at one port.
fn bind(listen: &Listen) -> Result<Vec<TcpListener>, Error> {
    let failed = |error| Error::io(format!("listen on {listen}"), error);
    let addresses = match &listen.host {
        Some(host) => (host.as_str(), listen.port).to_socket_addrs().map_err(failed)?.collect(),
        None => [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]
            .map(|all: IpAddr| (all, listen.port).into())
            .to_vec(),
    };
    let picks = if listen.port == 0 { PICKS } else { 1 };
    bind_all(&addresses, picks).map_err(failed)
}

/// Binds all of `addresses` that this machine has, at one port. Where the system picks that for the
/// first, the others may find it taken; then another is picked, `picks` times in all.
fn bind_all(addresses: &[SocketAddr], picks: u32) -> io::Result<Vec<TcpListener>> {
    let mut result = Err(io::ErrorKind::NotFound.into());
    for _ in 0..picks {
        result = bind_once(addresses);
        if !matches!(&result, Err(error) if error.kind() == io::ErrorKind::AddrInUse) {
            break;
        }
    }
    result
}

fn bind_once(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    let mut listeners: BTreeMap<IpAddr, TcpListener> = BTreeMap::new();
    let (mut port, mut failed) = (None, None);
    for address in addresses {
        if listeners.contains_key(&address.ip()) {
            continue; // a name may have an address twice
        }
        let mut address = *address;
        address.set_port(port.unwrap_or(address.port()));
        match net::listen(address) {
            Ok(listener) => {
                port = Some(listener.local_addr()?.port());
                listeners.insert(address.ip(), listener);
            }
            // Whoever calls there would meet somebody else.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            // A machine without v6 is no reason not to listen.
            Err(error) => drop(failed.get_or_insert(error)),
        }
    }
    match failed {
        Some(error) if listeners.is_empty() => Err(error),
        None if listeners.is_empty() => Err(io::ErrorKind::NotFound.into()),
        _ => Ok(listeners.into_values().collect()),
    }
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
    channel: Channel,
    peer: SocketAddr,
    /// It has to use TLS, and does not: it will be refused once its hello is whole.
    is_plain: bool,
    heard: Vec<u8>,
    until: Instant,
}

/// Why there will be no hello.
enum Deaf {
    /// The caller has hung up.
    Gone,
    /// It is none that belongs here; there may be an answer that helps.
    Wrong(String, Option<Refusal>),
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
        fds.extend(self.callers.iter().map(|it| PollFd::new(it.channel.as_fd(), it.wants())));
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
                Ok(None) => self.turned_away(caller.peer, "it said no hello"),
                Err(Deaf::Gone) => {}
                Err(Deaf::Wrong(cause, refusal)) => {
                    self.turned_away(caller.peer, &cause);
                    refuse(&mut caller.channel, refusal.map(Answer::Refuse).as_ref());
                }
            }
        }
    }

    fn accept(&mut self) {
        for listener in &self.listeners {
            loop {
                match listener.accept() {
                    Ok((stream, peer)) => {
                        let until = Instant::now() + HELLO;
                        let channel =
                            net::adopt(stream.into()).and_then(|it| self.crew.channel(it));
                        if let Ok(channel) = channel {
                            let (is_plain, heard) = (false, Vec::new());
                            let caller = Caller { channel, peer, is_plain, heard, until };
                            self.callers.push_back(caller);
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

    fn turned_away(&self, peer: SocketAddr, cause: &str) {
        let (peer, cause) = (peer.ip().to_canonical().to_string(), cause.to_owned());
        self.crew.news.tell(Fact::Refused { peer, cause });
    }

    fn answer(&mut self, mut caller: Caller, hello: &Hello) {
        let answer = self.gate.decide(hello);
        let welcome = match &answer {
            Answer::Welcome(welcome) => welcome,
            Answer::Refuse(refusal) => {
                // A connection too many is the session's own, and no news.
                if refusal.reason != RefusalKind::Workers {
                    self.turned_away(caller.peer, &refusal.detail);
                }
                return refuse(&mut caller.channel, Some(&answer));
            }
        };
        self.is_met |= self.serve(caller, hello, welcome, &answer).is_ok();
        // It is gone already, or there is no thread for it. Had it opened the session, all others would
        // be told `busy` for ever.
        if !self.is_met {
            self.gate.forget();
        }
    }

    /// Makes the caller a worker, and only then tells it that it is welcome: one that heard so and was
    /// forgotten would take us for restarted. Where this fails the caller sees its connection closed,
    /// and dials again.
    fn serve(
        &mut self,
        caller: Caller,
        hello: &Hello,
        welcome: &Welcome,
        answer: &Answer,
    ) -> io::Result<()> {
        let Caller { channel, peer, heard, .. } = caller;
        let (work, works) = bounded::<(Worker, Event)>(1);
        let events = self.crew.events.clone();
        thread::Builder::new().name(format!("worker {}", hello.worker)).spawn(move || {
            if let Ok((worker, up)) = works.recv()
                && events.send(up).is_ok()
            {
                worker.run();
            }
        })?;
        let (id, link) = (self.crew.next_worker(), LinkId(hello.link));
        let row = self.crew.stats.join(id, link, peer.to_string());
        let inlet = (self.crew.inlet)(&welcome.settled);
        let made = Worker::new(id, channel, heard, inlet, row, self.crew.clone());
        let made = made.and_then(|mut made| say(made.0.channel(), answer).map(|()| made));
        let (worker, handle) = made.inspect_err(|_| self.crew.stats.leave(id))?;
        if let Some(older) = self.handles.insert(hello.worker, handle.clone()) {
            older.close("it was replaced by a newer connection");
        }
        let (settled, rtt) = (welcome.settled, Duration::ZERO);
        // The thread waits for nothing else.
        let _ = work.send((worker, Event::Up { handle, link, rtt, settled }));
        Ok(())
    }
}

impl Caller {
    /// What it waits for.
    fn wants(&self) -> PollFlags {
        let mut wanted = PollFlags::POLLIN;
        wanted.set(PollFlags::POLLOUT, !self.channel.is_flushed());
        wanted
    }

    /// The hello, once it is whole. An error ends the call.
    fn hear(&mut self) -> Result<Option<Hello>, Deaf> {
        let mut chunk = [0; MAX_HELLO_BYTES];
        loop {
            match Hello::decode(&self.heard) {
                Ok(None) => {}
                Ok(Some(_)) | Err(HelloError::Version(_)) if self.is_plain => {
                    let refusal = Refusal::new(RefusalKind::Tls, "the listening end has a key");
                    return Err(Deaf::Wrong("it came without encryption".into(), Some(refusal)));
                }
                Ok(Some((hello, length))) => {
                    self.heard.drain(..length);
                    return Ok(Some(hello));
                }
                Err(error) => return Err(wrong(&error)),
            }
            match self.channel.read(&mut chunk, &mut []) {
                Ok(read) if read > 0 => self.heard.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_plain(&error) => {
                    self.is_plain = true;
                    self.heard = self.channel.without_tls();
                }
                Err(error) => {
                    return Err(match TlsError::within(&error) {
                        Some(TlsError::Cut) | None => Deaf::Gone,
                        Some(why) => Deaf::Wrong(why.to_string(), None),
                    });
                }
                Ok(_) => return Err(Deaf::Gone),
            }
        }
    }
}

/// What to think of bytes that are no hello of ours.
fn wrong(error: &HelloError) -> Deaf {
    match error {
        HelloError::Magic { place: 0, byte: TLS } => {
            let refusal = Refusal::new(RefusalKind::Plain, "the listening end is --plain");
            Deaf::Wrong("it came with TLS".into(), Some(refusal))
        }
        error => Deaf::Wrong(error.to_string(), error.refusal()),
    }
}

/// Says no, where there is something to say; the connection ends either way.
fn refuse(channel: &mut Channel, answer: Option<&Answer>) {
    if let Some(answer) = answer {
        // What is closed with something unread is reset, and that may overtake the answer.
        let mut unread = [0; MAX_HELLO_BYTES];
        let _ = (0..UNREAD).find(|_| !channel.read(&mut unread, &mut []).is_ok_and(|it| it > 0));
        // Who does not take its refusal has not earned another.
        let _ = say(channel, answer);
    }
}

fn say(channel: &mut Channel, answer: &Answer) -> io::Result<()> {
    let mut bytes = Vec::new();
    answer.encode(&mut bytes);
    channel.say(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address of this test")
    }

    fn places(listeners: &[TcpListener]) -> Vec<SocketAddr> {
        listeners.iter().map(|it| it.local_addr().expect("it is bound")).collect()
    }

    #[test]
    fn all_addresses_of_a_host_are_bound_at_one_port() {
        let list = [at("127.0.0.1:0"), at("127.0.0.2:0"), at("127.0.0.1:0")];
        let bound = places(&bind_all(&list, PICKS).expect("they are of this machine"));
        assert_eq!(bound.len(), 2, "{bound:?}");
        assert!(bound[0].port() != 0 && bound[0].port() == bound[1].port(), "{bound:?}");
    }

    #[test]
    fn an_address_that_is_not_ours_is_left_out_unless_it_is_the_only_one() {
        let elsewhere = at("192.0.2.1:0");
        let bound = bind_all(&[elsewhere, at("127.0.0.1:0")], PICKS).expect("one is ours");
        assert_eq!(bound.len(), 1);
        let error = bind_all(&[elsewhere], PICKS).expect_err("it is for documentation");
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        assert!(bind_all(&[], PICKS).is_err());
    }

    #[test]
    fn a_port_taken_at_one_of_the_addresses_fails_a_listen_that_names_it() {
        let taken = net::listen(at("127.0.0.2:0")).expect("a free port");
        let port = taken.local_addr().expect("it is bound").port();
        let list = ["127.0.0.1", "127.0.0.2"].map(|ip| at(&format!("{ip}:{port}")));
        let error = bind_all(&list, 1).expect_err("another is there");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
