//! Connecting to one of several addresses, happy eyeballs in spirit (RFC 8305).
//!
//! The families take turns in the resolver's order. Each address has a head start on the next, unless it
//! fails before; the first to connect wins, and the others are closed. Who has not answered for a while
//! is called once more beside the first call: the kernel repeats a SYN after one, three and seven
//! seconds, and a way that has just come back should not have to wait for that. One thread polls them
//! all. Does not know where addresses come from, or what is said afterwards.

use super::{adopt, bind};
use crate::cancel::{Cancel, poll_until};
use crate::config::Bind;
use crate::error::plain;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Head start of an address on the next one.
const HEAD_START: Duration = Duration::from_millis(250);
/// Pause before an address that has not answered is called again.
const AGAIN: Duration = Duration::from_millis(500);

/// A connection to one of `addresses`, with our options, non-blocking.
pub fn connect(
    addresses: &[SocketAddr],
    from: Option<&Bind>,
    cancel: &Cancel,
    deadline: Instant,
) -> io::Result<Socket> {
    let mut race = Race { from, running: Vec::new(), failed: Vec::new() };
    let turns = in_turns(addresses, from);
    if turns.is_empty() {
        return Err(match from {
            Some(from) => io::Error::other(format!("no address of the family of {from}")),
            None => io::ErrorKind::NotFound.into(),
        });
    }
    // However many there are, the last has half of the time.
    let time = deadline.saturating_duration_since(Instant::now());
    let head_start = HEAD_START.min(time / 2 / turns.len() as u32);
    let mut fresh = turns.into_iter();
    loop {
        while !race.holds_next_back(head_start)
            && let Some(address) = fresh.next()
        {
            race.begin(address);
        }
        if fresh.len() == 0 && !race.holds_next_back(AGAIN) {
            race.begin_again();
        }
        let pause = if fresh.len() > 0 { head_start } else { AGAIN };
        let Some(newest) = race.running.last() else { return Err(race.tell()) };
        let ready = race.wait(cancel, deadline.min(newest.since + pause))?;
        if let Some(socket) = race.judge(&ready) {
            return adopt(socket);
        }
        if cancel.is_cancelled() || Instant::now() >= deadline {
            race.time_out();
            return Err(race.tell());
        }
    }
}

/// Whether the error is a limit of this machine, and nothing that the network or the other end does.
pub fn is_shortage(error: &io::Error) -> bool {
    const SHORTAGES: [Errno; 5] =
        [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::ENOBUFS, Errno::EAGAIN];
    error.raw_os_error().is_some_and(|number| SHORTAGES.contains(&Errno::from_raw(number)))
}

/// The addresses that can be reached from there, v4 and v6 alternating, the family of the first one
/// first.
fn in_turns(addresses: &[SocketAddr], from: Option<&Bind>) -> Vec<SocketAddr> {
    let can_be_reached = |to: &&SocketAddr| match from {
        Some(Bind::Address(from)) => from.is_ipv4() == to.is_ipv4(),
        Some(Bind::Interface(_)) | None => true,
    };
    let reached: Vec<SocketAddr> = addresses.iter().filter(can_be_reached).copied().collect();
    let first_is_v4 = reached.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<SocketAddr>, Vec<SocketAddr>) =
        reached.iter().partition(|address| address.is_ipv4() == first_is_v4);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::new();
    while turns.len() < reached.len() {
        turns.extend(first.next());
        turns.extend(second.next());
    }
    turns
}

/// The connections that are under way, and those that came to nothing.
struct Race<'a> {
    from: Option<&'a Bind>,
    running: Vec<Runner>,
    failed: Vec<(SocketAddr, io::Error)>,
}

struct Runner {
    address: SocketAddr,
    socket: Socket,
    since: Instant,
}

impl Race<'_> {
    /// Whether the newest still has its head start; one that failed has none.
    fn holds_next_back(&self, head_start: Duration) -> bool {
        self.running.last().is_some_and(|newest| newest.since.elapsed() < head_start)
    }

    fn begin(&mut self, address: SocketAddr) {
        match begin(address, self.from) {
            Ok(socket) => self.running.push(Runner { address, socket, since: Instant::now() }),
            Err(error) => self.failed.push((address, error)),
        }
    }

    /// Calls the address that has been waited for longest once more.
    fn begin_again(&mut self) {
        let newest = |address| self.running.iter().rfind(|runner| runner.address == address);
        let called = self.running.iter().filter_map(|runner| newest(runner.address));
        if let Some(runner) = called.min_by_key(|runner| runner.since) {
            self.begin(runner.address);
        }
    }

    /// Waits for anything; says of each runner whether something has become of it.
    fn wait(&self, cancel: &Cancel, until: Instant) -> io::Result<Vec<bool>> {
        let mut fds = vec![PollFd::new(cancel.as_fd(), PollFlags::POLLIN)];
        let runners = self.running.iter().map(|runner| runner.socket.as_fd());
        fds.extend(runners.map(|fd| PollFd::new(fd, PollFlags::POLLOUT)));
        poll_until(&mut fds, Some(until))?;
        Ok(fds[1..].iter().map(|fd| fd.any().unwrap_or(true)).collect())
    }

    /// The first that has connected; those that failed run no more.
    fn judge(&mut self, ready: &[bool]) -> Option<Socket> {
        let mut winner = None;
        for (runner, ready) in std::mem::take(&mut self.running).into_iter().zip(ready) {
            match if *ready { runner.socket.take_error().map(Some) } else { Ok(None) } {
                Ok(None) => self.running.push(runner),
                Ok(Some(None)) => drop(winner.get_or_insert(runner.socket)),
                Ok(Some(Some(error))) | Err(error) => self.failed.push((runner.address, error)),
            }
        }
        winner
    }

    fn time_out(&mut self) {
        let late = || io::Error::new(io::ErrorKind::TimedOut, "connection timed out");
        self.failed.extend(self.running.drain(..).map(|runner| (runner.address, late())));
    }

    /// Why nobody connected: one cause, or each address with its own. A shortage comes first, since
    /// it is not of the addresses.
    fn tell(mut self) -> io::Error {
        if let Some(short) = self.failed.iter().position(|(_, error)| is_shortage(error)) {
            return self.failed.swap_remove(short).1;
        }
        let causes: Vec<String> = self.failed.iter().map(|(_, error)| plain(error)).collect();
        if causes.windows(2).all(|two| two[0] == two[1]) {
            return self.failed.pop().map_or_else(|| io::ErrorKind::NotFound.into(), |it| it.1);
        }
        let each =
            self.failed.iter().zip(causes).map(|((at, _), why)| format!("{}: {why}", at.ip()));
        io::Error::other(each.collect::<Vec<_>>().join(", "))
    }
}

/// A connection under way.
fn begin(address: SocketAddr, from: Option<&Bind>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    match from {
        Some(Bind::Address(from)) => bind::to_address(&socket, *from)?,
        Some(Bind::Interface(name)) => bind::to_interface(&socket, name, address)?,
        None => {}
    }
    match socket.connect(&SockAddr::from(address)) {
        Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => Err(error),
        _ => Ok(socket),
    }
}

/// The address, if `host` is one and not a name.
pub(super) fn literal(host: &str, port: u16) -> Option<SocketAddr> {
    host.parse::<IpAddr>().ok().map(|address| (address, port).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    const EVER: Duration = Duration::from_secs(3600);

    fn local(port: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, port).into()
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind(local(0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        (listener, address)
    }

    fn refusing() -> SocketAddr {
        listener().1
    }

    fn stop() -> Cancel {
        Cancel::new().expect("descriptors")
    }

    /// A listener that the kernel answers for no more: nobody accepts, and its backlog is full.
    fn black_hole() -> (Vec<Socket>, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&local(0).into()).expect("a free port");
        socket.listen(0).expect("it is bound");
        let address = socket.local_addr().ok().and_then(|it| it.as_socket()).expect("it is bound");
        let mut sockets = vec![socket];
        loop {
            let caller = begin(address, None).expect("it is under way");
            let mut fds = [PollFd::new(caller.as_fd(), PollFlags::POLLOUT)];
            let soon = Instant::now() + Duration::from_millis(300);
            poll_until(&mut fds, Some(soon)).expect("poll");
            let connected = fds[0].any().unwrap_or(false);
            sockets.push(caller);
            if !connected {
                return (sockets, address);
            }
        }
    }

    #[test]
    fn families_take_turns_in_the_resolvers_order() {
        let [a, b, c] =
            ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"].map(|it| it.parse().expect("v4"));
        let [x, y] = ["[fd00::1]:1", "[fd00::2]:1"].map(|it| it.parse().expect("v6"));
        assert_eq!(in_turns(&[x, y, a, b, c], None), [x, a, y, b, c]);
        assert_eq!(in_turns(&[a, b, c, x], None), [a, x, b, c]);
        assert_eq!(in_turns(&[], None), []);
        let from = Bind::Address(IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!(in_turns(&[x, y, a, b], Some(&from)), [a, b]);
    }

    #[test]
    fn the_first_to_connect_wins_over_refusals_and_black_holes() {
        let (_hole, nowhere) = black_hole();
        let (_listener, good) = listener();
        let list = [refusing(), nowhere, refusing(), good];
        let won = connect(&list, None, &stop(), Instant::now() + EVER).expect("one is good");
        assert_eq!(won.peer_addr().expect("it is connected").as_socket(), Some(good));
    }

    #[test]
    fn a_race_that_nobody_wins_tells_why() {
        let why = |list: &[SocketAddr], time| {
            let error =
                connect(list, None, &stop(), Instant::now() + time).expect_err("none is good");
            plain(&error)
        };
        let (_hole, nowhere) = black_hole();
        assert_eq!(why(&[refusing(), refusing()], EVER), "Connection refused");
        assert_eq!(why(&[nowhere], Duration::from_millis(300)), "connection timed out");
        let both = why(&[nowhere, refusing()], Duration::from_millis(300));
        assert_eq!(both, "127.0.0.1: Connection refused, 127.0.0.1: connection timed out");
        assert!(connect(&[], None, &stop(), Instant::now() + EVER).is_err());
    }

    #[test]
    fn a_race_can_be_stopped() {
        let (_hole, nowhere) = black_hole();
        let cancel = stop();
        let other = cancel.clone();
        let racer = thread::spawn(move || {
            connect(&[nowhere, nowhere], None, &other, Instant::now() + EVER).is_err()
        });
        cancel.cancel();
        assert!(racer.join().expect("it does not panic"));
    }

    #[test]
    fn a_shortage_is_told_before_anything_else() {
        let failed = [Errno::ECONNREFUSED, Errno::EMFILE, Errno::ETIMEDOUT]
            .map(|number| (local(1), io::Error::from(number)));
        let error = Race { from: None, running: Vec::new(), failed: failed.into() }.tell();
        assert!(is_shortage(&error), "{error}");
        assert!(!is_shortage(&io::ErrorKind::ConnectionRefused.into()));
    }
}
