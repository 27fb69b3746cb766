//! The listening side: one thread that accepts, hears hellos and answers them; who is welcome gets a
//! worker.
//!
//! A connection that has not said its hello costs a socket and a few kilobytes, for at most [`HELLO`]; how
//! many of them there may be, and who has to go, is for the [`super::lobby`] to say. Nobody waits for a slow
//! one. Does not know what is carried afterwards.

mod caller;

use super::lobby::{self, Origin, TurnedAway};
use super::worker::{Outbox, Worker};
use super::{Crew, Event, Handle, random};
use crate::cancel::poll_until;
use crate::config::Listen;
use crate::error::Error;
use crate::net;
use crate::news::Fact;
use crate::proto::LinkId;
use crate::proto::hello::{Answer, Gate, Hello, RefusalKind, Welcome};
use caller::{Caller, Deaf, refuse, say};
use crossbeam_channel::bounded;
use nix::poll::{PollFd, PollFlags};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};
use tracing::trace;

/// How long a caller may take to say hello.
const HELLO: Duration = Duration::from_secs(10);
/// Callers that are accepted before those who are here are heard: under a flood, too, who speaks at once is
/// through before it could have to go.
const IN_A_ROW: usize = 32;
/// Pause after an accept that failed for want of descriptors or memory with nobody left who could go: it
/// would fail again at once.
const BREATH: Duration = Duration::from_millis(100);
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
        callers: Vec::new(),
        handles: BTreeMap::new(),
        is_met: false,
        rest: None,
        turned_away: TurnedAway::default(),
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
    /// The oldest first.
    callers: Vec<Caller>,
    /// The newest connection of each index of the dialling end, and where it came from: a newer one
    /// replaces an older one, which is dead whether we have noticed or not.
    handles: BTreeMap<u16, (Handle, Origin)>,
    /// Somebody was told to be welcome, and was still there.
    is_met: bool,
    rest: Option<Instant>,
    turned_away: TurnedAway,
}

impl Door {
    fn run(mut self) {
        loop {
            let ready = self.wait();
            if self.crew.cancel.is_cancelled() {
                return;
            }
            match ready {
                Ok(ready) => self.hear(&ready),
                // poll fails only for want of memory, which passes; not if everybody asks all the time.
                Err(_) => thread::sleep(BREATH),
            }
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
        let deadline = self.callers.first().map(|caller| caller.until);
        let deadline = deadline.into_iter().chain(resting).min();
        poll_until(&mut fds, deadline)?;
        let callers = &fds[1..=self.callers.len()];
        Ok(callers.iter().map(|fd| fd.any().unwrap_or(true)).collect())
    }

    /// Hears the callers that are ready, drops those who took too long, answers those who are through.
    fn hear(&mut self, ready: &[bool]) {
        let now = Instant::now();
        let mut through = Vec::new();
        let callers = std::mem::take(&mut self.callers);
        for (mut caller, ready) in callers.into_iter().zip(ready) {
            match if *ready { caller.hear() } else { Ok(None) } {
                Ok(Some(hello)) => through.push((caller, hello)),
                Ok(None) if caller.until > now => self.callers.push(caller),
                Ok(None) => self.turn_away(caller.peer, "it said no hello"),
                Err(Deaf::Gone) => {}
                Err(Deaf::Wrong(cause, refusal)) => {
                    self.turn_away(caller.peer, &cause);
                    refuse(&mut caller.channel, refusal.map(Answer::Refuse).as_ref());
                }
            }
        }
        for (caller, hello) in through {
            self.answer(caller, &hello);
        }
    }

    /// Accepts who calls, but not all of a flood at once.
    fn accept(&mut self) {
        for place in 0..self.listeners.len() {
            for _ in 0..IN_A_ROW {
                match self.listeners[place].accept() {
                    Ok((stream, peer)) => self.receive(stream, peer),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    // Who waits outside may be ours; who is here has not shown that he is.
                    Err(error) if net::is_shortage(&error) && self.make_room() => {}
                    Err(_) => {
                        self.rest = Some(Instant::now() + BREATH);
                        break;
                    }
                }
            }
        }
    }

    /// Takes a caller in. Somebody may have to go for it.
    fn receive(&mut self, stream: TcpStream, peer: SocketAddr) {
        // Its own fault, or of the moment: it may call again.
        let channel = net::adopt(stream.into()).and_then(|socket| self.crew.channel(socket));
        let Ok(channel) = channel else { return };
        trace!(%peer, "caller");
        let (origin, until) = (Origin::of(peer.ip()), Instant::now() + HELLO);
        self.callers.push(Caller::new(channel, peer, origin, until));
        let place = lobby::surplus(&self.origins(), |it| self.is_known(it), lot());
        self.drop_caller(place);
    }

    /// Has somebody go; says whether there was anybody.
    fn make_room(&mut self) -> bool {
        let place = lobby::any(&self.origins(), |it| self.is_known(it), lot());
        self.drop_caller(place)
    }

    /// The descriptors that a worker needs beside its socket. Callers may have to go for them.
    fn outbox(&mut self) -> io::Result<Outbox> {
        loop {
            match Outbox::new() {
                Err(error) if net::is_shortage(&error) && self.make_room() => {}
                made => return made,
            }
        }
    }

    fn drop_caller(&mut self, place: Option<usize>) -> bool {
        let Some(place) = place else { return false };
        let caller = self.callers.remove(place);
        self.turn_away(caller.peer, "too many call at once");
        true
    }

    fn origins(&self) -> Vec<Origin> {
        self.callers.iter().map(|caller| caller.origin).collect()
    }

    /// Whether the session has a connection from there, or had: it may have just been cut.
    fn is_known(&self, origin: Origin) -> bool {
        self.handles.values().any(|(_, it)| *it == origin)
    }

    fn turn_away(&mut self, peer: SocketAddr, cause: &str) {
        trace!(%peer, cause, "caller is turned away");
        if let Some(others) = self.turned_away.count(Instant::now()) {
            let peer = peer.ip().to_canonical().to_string();
            self.crew.news.tell(Fact::Refused { peer, cause: cause.to_owned(), others });
        }
    }

    fn answer(&mut self, mut caller: Caller, hello: &Hello) {
        let answer = self.gate.decide(hello);
        let welcome = match &answer {
            Answer::Welcome(welcome) => welcome,
            Answer::Refuse(refusal) => {
                // A connection too many is the session's own, and no news.
                match refusal.reason {
                    RefusalKind::Workers => {}
                    RefusalKind::Name => {
                        let cause = format!("it wants an end named {:?}", hello.name);
                        self.turn_away(caller.peer, &cause);
                    }
                    _ => self.turn_away(caller.peer, &refusal.detail),
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
        let Caller { mut channel, peer, origin, heard, .. } = caller;
        let outbox = self.outbox()?;
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
        trace!(%peer, worker = id.0, link = link.0, kind = ?hello.kind, "caller has said hello");
        let row = self.crew.stats.join(id, link, peer.to_string());
        let inlet = (self.crew.inlet)(&welcome.settled);
        channel.share(welcome.settled.workers);
        let made = Worker::new(id, channel, heard, outbox, inlet, row, self.crew.clone());
        let made = made.and_then(|mut made| say(made.0.channel(), answer).map(|()| made));
        let (worker, handle) = made.inspect_err(|_| self.crew.stats.leave(id))?;
        let newer = (handle.clone(), origin);
        if let Some((older, _)) = self.handles.insert(hello.worker, newer) {
            older.close("it was replaced by a newer connection");
        }
        let (settled, rtt) = (welcome.settled, Duration::ZERO);
        // The thread waits for nothing else.
        let _ = work.send((worker, Event::Up { handle, link, rtt, settled }));
        Ok(())
    }
}

/// A number by chance; without random numbers always the same, and somebody has to go all the same.
fn lot() -> u32 {
    u32::from_le_bytes(random().unwrap_or_default())
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
