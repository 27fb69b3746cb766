//! Choosing where a connection leaves this machine: by an address of it, or through an interface.
//!
//! Does not know where the connection leads, but for the family of its address.

use nix::ifaddrs::getifaddrs;
use socket2::{SockAddr, Socket};
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Binds to an address of this machine, at any port.
pub(super) fn to_address(socket: &Socket, address: IpAddr) -> io::Result<()> {
    socket.bind(&SocketAddr::new(address, 0).into()).map_err(|error| match error.kind() {
        io::ErrorKind::AddrNotAvailable => {
            io::Error::new(error.kind(), format!("{address} is not an address of this machine"))
        }
        _ => error,
    })
}

/// Binds to an interface, for a connection to `towards`. Where the system does not do that (it is
/// not Linux, or we may not), binds to the interface's address.
pub(super) fn to_interface(socket: &Socket, name: &str, towards: SocketAddr) -> io::Result<()> {
    match to_device(socket, name) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            socket.bind(&SockAddr::from(address_of(name, towards)?))
        }
        // ENODEV, for which the standard library has no kind.
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::ENODEV as i32) => {
            Err(unknown(name))
        }
        Err(error) => Err(error),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn to_device(socket: &Socket, name: &str) -> io::Result<()> {
    socket.bind_device(Some(name.as_bytes()))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn to_device(_: &Socket, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::PermissionDenied.into())
}

/// The interface's address of the family of `towards`; of v6, one for links if that is for a link.
fn address_of(name: &str, towards: SocketAddr) -> io::Result<SocketAddr> {
    let (mut is_there, mut found) = (false, Vec::new());
    for entry in getifaddrs()?.filter(|entry| entry.interface_name == name) {
        is_there = true;
        let Some(address) = entry.address else { continue };
        let v4 = address.as_sockaddr_in().map(|it| SocketAddrV4::from(*it).into());
        let v6 = address.as_sockaddr_in6().map(|it| SocketAddrV6::from(*it).into());
        found.extend(v4.or(v6).filter(|it: &SocketAddr| it.is_ipv4() == towards.is_ipv4()));
    }
    let suits = |it: &&SocketAddr| is_for_links(**it) == is_for_links(towards);
    let family = if towards.is_ipv4() { "v4" } else { "v6" };
    match found.iter().find(suits).or(found.first()) {
        Some(address) => Ok(*address),
        None if is_there => Err(io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            format!("interface {name} has no {family} address"),
        )),
        None => Err(unknown(name)),
    }
}

fn is_for_links(address: SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(v6) if v6.ip().is_unicast_link_local())
}

fn unknown(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no interface {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancel;
    use crate::config::Bind;
    use crate::net::connect;
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
    use std::time::{Duration, Instant};

    fn from(bind: &Bind, to: SocketAddr) -> io::Result<Socket> {
        let cancel = Cancel::new().expect("descriptors");
        connect(&[to], Some(bind), &cancel, Instant::now() + Duration::from_secs(60))
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        (listener, address)
    }

    #[test]
    fn a_connection_leaves_from_the_address_asked_for() {
        let (_listener, to) = listener();
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let stream = from(&Bind::Address(here), to).expect("it is of this machine");
        let local = stream.local_addr().expect("it is connected").as_socket();
        assert_eq!(local.map(|local| local.ip()), Some(here));
        let elsewhere = Bind::Address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
        let error = from(&elsewhere, to).expect_err("it is for documentation");
        assert_eq!(error.to_string(), "192.0.2.1 is not an address of this machine");
        let other = Bind::Address(IpAddr::V6(Ipv6Addr::LOCALHOST));
        let error = from(&other, to).expect_err("v6 does not lead to v4");
        assert_eq!(error.to_string(), "no address of the family of ::1");
    }

    #[test]
    fn an_interface_that_is_not_there_is_named() {
        let to = listener().1;
        let error = from(&Bind::Interface("no-such-if0".into()), to).expect_err("no such thing");
        assert_eq!(error.to_string(), "there is no interface no-such-if0");
        let error = address_of("no-such-if0", to).expect_err("no such thing");
        assert_eq!(error.to_string(), "there is no interface no-such-if0");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_connection_leaves_through_the_interface_asked_for() {
        let (_listener, to) = listener();
        let stream = from(&Bind::Interface("lo".into()), to).expect("every Linux has it");
        let local = stream.local_addr().expect("it is connected").as_socket();
        assert!(local.is_some_and(|local| local.ip().is_loopback()), "{local:?}");
        let address = address_of("lo", to).expect("every Linux has it");
        assert!(address.is_ipv4() && address.ip().is_loopback(), "{address}");
    }
}
