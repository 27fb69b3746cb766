//! The far end: what `viamillipede remote` does, which ssh has started.
//!
//! It greets, hears its order, listens, says where, and carries the stream as any listening end does. When
//! the near end is gone it ends; when only the ssh session is, the direct connections carry on. It says
//! nothing on stderr (a program of the user may): why it fails is told to the near end, which tells people.

use super::child::ARGUMENTS;
use super::order::{MAX_ORDER_BYTES, Order, Task};
use super::packet::{self, WORDS};
use super::reply::Reply;
use super::tunnel::Tunnel;
use crate::cancel::wait;
use crate::config::{self, Common, Listen, ProgressMode, Records, Rendezvous};
use crate::error::{Error, plain};
use crate::foot::MIN_FOOT_BYTES;
use crate::ports::Ports;
use crate::source::Source;
use crate::stats::{Role, Stats};
use crate::watch::say::Say;
use crate::watch::{self, Watch};
use crate::{rx, sink, stdio, tx};
use crossbeam_channel::{Sender, after, bounded};
use nix::poll::PollFlags;
use socket2::Socket;
use std::env;
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How long the order may take to come, which the near end sends as soon as it is greeted.
const ORDER: Duration = Duration::from_secs(120);
/// How long an ssh session that has died may take to let go of our stdout after our stdin.
const DYING: Duration = Duration::from_secs(1);
/// How often is looked for direct connections once ssh has died.
const LOOK: Duration = Duration::from_secs(1);
/// Looks without any after which the near end is gone, even if patience has no end.
const LONELY_LOOKS: u32 = 120;
/// How much longer than patience a session is waited for: the near end loses patience too, and can say more.
const LATE: Duration = Duration::from_secs(5);
/// How long the last word may take on an ssh session that takes nothing.
const LAST_WORD: Duration = Duration::from_millis(500);

/// Does what the near end orders; returns the exit code. An error is one that the near end cannot be told.
pub fn run(say: &Say) -> Result<u8, Error> {
    if io::stdin().is_terminal() {
        let cause = "for `--ssh` at another machine to start, not for people";
        return Err(Error::usage(ARGUMENTS[0], cause));
    }
    let (from, mut to) = stdio::take_over()?;
    packet::greet(&mut to).map_err(|error| gone(&error))?;
    let mut in_time = InTime { file: &from, until: Instant::now() + ORDER };
    let order = packet::receive(&mut in_time, MAX_ORDER_BYTES).map_err(|error| gone(&error))?;
    let order = order.filter(|order| order.conversation == WORDS);
    let order = order.ok_or_else(|| gone(&ErrorKind::UnexpectedEof.into()))?;
    let probe = to.try_clone().map_err(|error| Error::io("a descriptor", error))?;
    let tunnel = Tunnel::new(to);
    // They hold the key.
    let bytes = Zeroizing::new(order.bytes);
    let order = Order::decode(&bytes).map_err(|error| {
        let what = "what the near end wants".to_owned();
        Error::Corrupt { what, cause: error.to_string() }
    });
    let outcome = order.and_then(|order| {
        // What is said there goes to a pipe of sshd's, which a program of the user's would die of once ssh has.
        let relay = stdio::Relay::start()?;
        let outcome = carry(order, &tunnel, Pipes { from, probe }, say);
        say.settle(outcome.as_ref().err().map_or(0, Error::exit_code));
        say.flush(LAST_WORD);
        relay.finish(LAST_WORD);
        outcome
    });
    match outcome {
        Ok(()) => Ok(0),
        Err(error) => {
            tell(tunnel, &error);
            Ok(error.exit_code())
        }
    }
}

/// Tells the near end why there was no success, if it can hear it.
fn tell(tunnel: Tunnel, error: &Error) {
    let reply = Reply::Failed { code: error.exit_code(), reason: error.to_string() };
    let (told, is_told) = bounded::<()>(0);
    let tell = move || {
        let _ = tunnel.say(&reply.encode());
        drop(told);
    };
    if Builder::new().name("last word".into()).spawn(tell).is_ok() {
        let _ = is_told.recv_timeout(LAST_WORD);
    }
}

/// Carries the stream as any listening end does, but for what people see.
fn carry(order: Order, tunnel: &Tunnel, pipes: Pipes, say: &Say) -> Result<(), Error> {
    let Order { task, ports, .. } = order;
    let (role, foot_bytes) = match &task {
        Task::Send(_, packaging, _) => (Role::Sender, packaging.foot_bytes),
        Task::Receive(_) => (Role::Receiver, MIN_FOOT_BYTES),
    };
    let rendezvous = Rendezvous::Listen(listens(&ports));
    let common = Common {
        window_bytes: config::window_bytes(
            order.window_bytes,
            rendezvous.least_feet(),
            foot_bytes,
        )?,
        verify: order.verify,
        security: order.security,
        name: order.name,
        patience: order.patience,
        progress: ProgressMode::Never,
        verbosity: order.verbosity,
        records: Records::default(),
    };
    let stats = Arc::new(Stats::of(role));
    let (stop, interrupt) = bounded(2);
    let stop_on_signal = stop.clone();
    let on_signal = move |signal| drop(stop_on_signal.try_send(Error::Signal(signal)));
    let say = say.at(common.verbosity);
    // With a clock of its own, beside what the near end says.
    watch::log(&say, common.verbosity, "far: ");
    let watch = Watch::start(Arc::clone(&stats), &say, &common, Vec::new(), on_signal)?;
    let news = watch.news();
    let door = Arc::new(OnceLock::new());
    let announce = &mut |addresses: &[SocketAddr]| {
        // The first is the one whose port we have picked, and where connections through ssh lead.
        if let Some(address) = addresses.first()
            && door.set(at_home(*address)).is_ok()
        {
            let reply = Reply::Waits { port: address.port(), host: own_address() };
            // That the near end cannot hear it is noticed by who listens to it.
            let _ = tunnel.say(&reply.encode());
        }
    };
    let (tunnel, stats_of_ear, door_of_ear) =
        (tunnel.clone(), Arc::clone(&stats), Arc::clone(&door));
    await_session(common.patience, Arc::clone(&stats), stop.clone())?;
    let (patience, direct_links) = (common.patience, order.direct_links);
    let ear =
        Ear { pipes, tunnel, door: door_of_ear, stats: stats_of_ear, stop, patience, direct_links };
    let spawned = Builder::new().name("ssh".into()).spawn(move || ear.listen());
    spawned.map_err(|error| Error::io("a thread", error))?;
    let (stats, announce) = (Some(stats), Some(announce as &mut dyn FnMut(&[SocketAddr])));
    let ports = Ports { stats, news, interrupt, announce, is_brief: true, ..Ports::default() };
    match task {
        Task::Send(input, packaging, shaping) => {
            tx::check(&shaping)?;
            let source = Source::open(&input)?;
            if let Some(warning) = source.warning() {
                // That the near end is quiet is not known here, and half a stream would be worse.
                say.always(&format!("viamillipede: far: {warning}"));
            }
            tx::run(&config::Tx { common, input, packaging, shaping, rendezvous }, source, ports)
        }
        Task::Receive(output) => {
            let sink = sink::open(&output)?;
            rx::run(&config::Rx { common, output, rendezvous }, sink, ports)
        }
    }
    .map(drop)
}

/// Ends the run when no session comes: a near machine that has vanished is not always noticed by ssh.
fn await_session(
    patience: Option<Duration>,
    stats: Arc<Stats>,
    stop: Sender<Error>,
) -> Result<(), Error> {
    let Some(patience) = patience else { return Ok(()) };
    let wait = move || {
        // A channel that gets one message, when patience is over.
        let _ = after(patience + LATE).recv();
        if stats.elapsed().is_none() {
            let _ = stop.try_send(gone(&ErrorKind::TimedOut.into()));
        }
    };
    let spawned = Builder::new().name("patience".into()).spawn(wait);
    spawned.map(drop).map_err(|error| Error::io("a thread", error))
}

/// Where to wait: at these ports of all addresses, or only for what comes through ssh.
fn listens(ports: &[u16]) -> Vec<Listen> {
    if ports.is_empty() {
        return vec![Listen { host: Some(Ipv4Addr::LOCALHOST.to_string()), port: 0 }];
    }
    ports.iter().map(|&port| Listen { host: None, port }).collect()
}

/// The same port, as it is reached from this machine.
fn at_home(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// The address of this machine that ssh has come to.
fn own_address() -> Option<IpAddr> {
    // The client's address and port, and then ours.
    env::var("SSH_CONNECTION").ok()?.split(' ').nth(2)?.parse().ok()
}

/// Reads what comes in time.
struct InTime<'a> {
    file: &'a File,
    until: Instant,
}

impl Read for InTime<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = (self.file.as_fd(), PollFlags::POLLIN);
        match wait(&mut [wanted], Some(self.until))? {
            [ready] if ready.is_empty() => Err(ErrorKind::TimedOut.into()),
            _ => self.file.read(buffer),
        }
    }
}

/// Our ends of the pipes to ssh.
struct Pipes {
    from: File,
    /// The one that leads there, to see whether somebody reads it.
    probe: File,
}

impl Pipes {
    /// Whether nobody reads what we say, now or within `time`.
    fn is_cut_within(&self, time: Duration) -> bool {
        // Without any wish a descriptor tells only that its other end is closed.
        let told = (self.probe.as_fd(), PollFlags::empty());
        wait(&mut [told], Some(Instant::now() + time)).is_ok_and(|[told]| !told.is_empty())
    }
}

/// Listens to the near end while the stream is carried.
struct Ear {
    pipes: Pipes,
    tunnel: Tunnel,
    /// Where we listen, once we do.
    door: Arc<OnceLock<SocketAddr>>,
    stats: Arc<Stats>,
    stop: Sender<Error>,
    patience: Option<Duration>,
    /// How many of the links do not lead through ssh.
    direct_links: u16,
}

impl Ear {
    fn listen(mut self) {
        let connect = || match self.door.get() {
            Some(door) => TcpStream::connect(door).map(Socket::from),
            None => Err(ErrorKind::NotConnected.into()),
        };
        let mut is_goodbye = false;
        while !is_goodbye && let Ok(Some(packet)) = packet::receive(&mut self.pipes.from, 0) {
            is_goodbye = packet.conversation == WORDS;
            self.tunnel.deliver(&packet, connect);
        }
        // A near end that is gone without a word leaves an ssh behind that still hears us.
        let is_ssh_dead = !is_goodbye && self.pipes.is_cut_within(DYING);
        self.tunnel.end();
        if is_ssh_dead && self.stats.has_known(self.direct_links) {
            // They carry on, or come back within patience.
            if self.patience.is_some() {
                return;
            }
            self.await_loneliness();
        }
        let _ = self.stop.try_send(gone(&ErrorKind::UnexpectedEof.into()));
    }

    /// Waits as long as direct connections carry on: patience that has no end is not for an end that nobody
    /// sees.
    fn await_loneliness(&self) {
        let mut lonely = 0;
        while lonely < LONELY_LOOKS {
            lonely = if self.stats.live_workers() == 0 { lonely + 1 } else { 0 };
            thread::sleep(LOOK); // nobody tells when the last connection is lost, and nothing hurries
        }
    }
}

fn gone(error: &io::Error) -> Error {
    Error::PeerLost { what: "the near end".into(), cause: plain(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::OwnedFd;

    #[test]
    fn an_order_that_does_not_come_is_not_waited_for() {
        let (from, mut to) = io::pipe().expect("descriptors");
        to.write_all(&[0; 5]).expect("there is room");
        let file = File::from(OwnedFd::from(from));
        let mut in_time = InTime { file: &file, until: Instant::now() };
        let error = packet::receive(&mut in_time, 0).expect_err("a part came");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn what_comes_through_ssh_finds_every_door() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address of this test");
        assert_eq!(at_home(at("0.0.0.0:5")), at("127.0.0.1:5"));
        assert_eq!(at_home(at("[::]:5")), at("[::1]:5"));
        assert_eq!(at_home(at("192.0.2.1:5")), at("192.0.2.1:5"));
        assert_eq!(listens(&[]).len(), 1);
        assert!(listens(&[0, 5000]).iter().all(|listen| listen.host.is_none()));
    }
}
