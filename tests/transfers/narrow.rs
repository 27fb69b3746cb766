//! Big streams through narrow sockets: the old program dead-locked there.
//!
//! Every connection passes a relay whose sockets have small buffers on either side, so that little is
//! on the way and both ends write against full sockets.

use super::stream::{Pair, Stream};
use crate::harness::End;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

/// Send and receive buffer of each of the relay's sockets.
const BUFFER: usize = 64 << 10;
const SIZE: u64 = 64 << 20;

/// A pair whose connections all pass a relay.
fn pair(tx: &str, rx: &str) -> Pair {
    let rx = End::start(&format!("rx --plain {rx} 127.0.0.1:0"));
    let relay = relay_to(rx.ready()).expect("a relay between the two");
    let tx = End::start(&format!("tx --plain {tx} {relay}"));
    Pair { tx, rx }
}

#[test]
fn noise_through_narrow_sockets() {
    let mut pair = pair("--verify", "");
    let tally = pair.carry(Stream::new(1, SIZE));
    pair.said_digest(&tally);
}

#[test]
fn many_workers_and_small_feet_through_narrow_sockets() {
    pair("--workers 16 --foot-size 64KiB --zstd 1", "").carry(Stream::new(2, SIZE));
}

#[test]
fn a_slow_sink_behind_narrow_sockets() {
    let options = "--window 8MiB --foot-size 64KiB --verify";
    let mut pair = pair(options, "--window 4MiB");
    let tally = pair.carry_into(Stream::new(3, SIZE), &mut Slow);
    pair.said_digest(&tally);
}

/// A sink that takes its time.
struct Slow;

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Not to wait for anything: slowness is what is tested.
        thread::sleep(Duration::from_millis(2));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts a relay to `target`, and says where. Its threads end with the connections; the one that
/// accepts ends with the tests.
fn relay_to(target: SocketAddr) -> io::Result<SocketAddr> {
    let listener = narrow()?;
    listener.bind(&SockAddr::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))?;
    listener.listen(64)?;
    let address = listener.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    thread::spawn(move || {
        while let Ok((caller, _)) = listener.accept() {
            let Ok(callee) = narrow() else { continue };
            if callee.connect(&SockAddr::from(target)).is_ok() {
                let (caller, callee) = (TcpStream::from(caller), TcpStream::from(callee));
                join(&caller, &callee);
                join(&callee, &caller);
            }
        }
    });
    Ok(address)
}

/// A socket with small buffers; those that it accepts inherit them.
fn narrow() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(BUFFER)?;
    socket.set_send_buffer_size(BUFFER)?;
    Ok(socket)
}

/// Copies one way until either end has gone.
fn join(from: &TcpStream, to: &TcpStream) {
    let (from, to) = (from.try_clone(), to.try_clone());
    let (mut from, mut to) = (from.expect("a descriptor"), to.expect("a descriptor"));
    thread::spawn(move || {
        // However it ends, the other side shall see an end.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
        let _ = from.shutdown(Shutdown::Read);
    });
}
