//! TCP sockets and their options.
//!
//! Everything here is non-blocking, or bounded by a deadline and a [`Cancel`]. Does not know what is
//! said over a socket.

mod bind;
mod connect;
mod info;

pub use connect::{connect, is_shortage};
pub use info::{TcpInfo, tcp_info};

use crate::cancel::{Cancel, wait};
use nix::poll::PollFlags;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that the kernel may hold unsent on one connection. What is not yet with the kernel can still
/// go another way; what is less than this would let a fast connection run dry between two wake-ups.
const NOTSENT_LOWAT: u32 = 256 << 10;
/// How long the kernel waits for the other end's kernel to take what was written before it ends the
/// connection. Longer than the queue of a thin link.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNTAKEN: Duration = Duration::from_secs(15);
/// Connections that the kernel holds for us until we accept them.
const BACKLOG: i32 = 256;

/// The addresses of `host`, looked up on a thread of its own: a resolver cannot be interrupted, and
/// nobody shall wait for it beyond `deadline`.
pub fn resolve(
    host: &str,
    port: u16,
    cancel: &Cancel,
    deadline: Instant,
) -> io::Result<Vec<SocketAddr>> {
    if let Some(address) = connect::literal(host, port) {
        return Ok(vec![address]);
    }
    let (done, waiting) = std::os::unix::net::UnixStream::pair()?;
    let name = host.to_owned();
    let resolver = thread::Builder::new().name("resolve".into()).spawn(move || {
        let found = (name.as_str(), port).to_socket_addrs().map(|found| found.collect::<Vec<_>>());
        drop(done); // wakes the one who waits
        found
    })?;
    let [finished, _] = wait(
        &mut [(waiting.as_fd(), PollFlags::POLLIN), (cancel.as_fd(), PollFlags::POLLIN)],
        Some(deadline),
    )?;
    if finished.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the name could not be resolved in time",
        ));
    }
    let found = resolver.join().unwrap_or_else(|_| Err(io::Error::other("the resolver failed")))?;
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(found)
}

/// A listener at `address`, non-blocking.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A receiver is often started anew on the port where one has just ended.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // v4 has a socket of its own, or is not wanted.
        socket.set_only_v6(true)?;
    }
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Sets our options on a connection, dialled or accepted.
pub fn adopt(socket: Socket) -> io::Result<Socket> {
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(NOTSENT_LOWAT)?;
    Ok(socket)
}

/// Has the kernel end this connection when the other end's kernel takes nothing for a while. For a receiver,
/// whose own silence detector has to be slow: what it hears may be late for other reasons than a cut.
pub fn end_untaken(connection: &impl AsFd) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    unless_no_tcp(socket2::SockRef::from(connection).set_tcp_user_timeout(Some(UNTAKEN)))?;
    let _ = connection; // not used where the system has no such option
    Ok(())
}

/// Has the kernel send by this congestion control, `cubic` for one.
pub fn set_congestion(connection: &impl AsFd, name: &str) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    return unless_no_tcp(socket2::SockRef::from(connection).set_tcp_congestion(name.as_bytes()));
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    {
        let _ = (connection, name);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A connection within this machine is no TCP, and has none of its options: that is no error.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn unless_no_tcp(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| match error.raw_os_error() {
        Some(nix::libc::EOPNOTSUPP) => Ok(()),
        _ => Err(error),
    })
}

/// Whether this user may have connections with this congestion control here.
pub fn check_congestion(name: &str) -> io::Result<()> {
    let any = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))
        .or_else(|_| Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP)))?;
    set_congestion(&any, name)
}

/// The congestion controls that any user may have here, where the system tells: their names.
pub fn congestions() -> Option<String> {
    let names =
        std::fs::read_to_string("/proc/sys/net/ipv4/tcp_allowed_congestion_control").ok()?;
    Some(names.split_whitespace().collect::<Vec<_>>().join(", "))
}
