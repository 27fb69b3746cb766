//! What an end that waits says once it accepts connections: where, and how it is protected.
//!
//! Others read these lines too, to learn the port: they begin as the manual says. Does not know who
//! looked for the key.

use crate::key::{Found, Security};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use zeroize::Zeroizing;

/// A line for each place, and one for a key that the other end has yet to be given; without the last line end. A
/// port on all addresses of either kind is one place.
pub fn lines(addresses: &[SocketAddr], key: &Found) -> Zeroizing<String> {
    let has_twin = |at: &SocketAddr| {
        let twin = SocketAddr::from((Ipv4Addr::UNSPECIFIED, at.port()));
        at.ip() == Ipv6Addr::UNSPECIFIED && addresses.contains(&twin)
    };
    let places = addresses.iter().filter(|at| !has_twin(at));
    let ready = places.map(|at| format!("viamillipede: listening on {at}"));
    let ready = ready.collect::<Vec<_>>().join("\n");
    Zeroizing::new(match &key.security {
        Security::Keyed(new) if key.is_new => {
            format!("{ready}\nviamillipede: key: {}", *new.text())
        }
        Security::Keyed(_) | Security::Plain => ready,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;

    #[test]
    fn a_new_key_is_told_once_under_all_places() {
        let addresses = ["0.0.0.0:5000", "[::]:5000", "[::1]:5001", "[::]:5002"];
        let addresses = addresses.map(|at| at.parse().expect("an address"));
        let key = Key::generate().expect("there are random numbers");
        let ready = "viamillipede: listening on 0.0.0.0:5000\n\
                     viamillipede: listening on [::1]:5001\n\
                     viamillipede: listening on [::]:5002";
        let mut found = Found { security: Security::Keyed(key.clone()), is_new: false };
        assert_eq!(*lines(&addresses, &found), ready);
        found.is_new = true;
        let told = format!("{ready}\nviamillipede: key: {}", *key.text());
        assert_eq!(*lines(&addresses, &found), told);
    }
}
