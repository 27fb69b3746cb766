//! What an end that waits says once it accepts connections: where, and how it is protected.
//!
//! Others read these lines too, to learn the port: they begin as the manual says. Does not know who
//! looked for the key.

use crate::key::{Found, Security};
use std::net::SocketAddr;
use zeroize::Zeroizing;

/// A line for each address, and one for a key that the other end has yet to be given; without the last
/// line end.
pub fn lines(addresses: &[SocketAddr], key: &Found) -> Zeroizing<String> {
    let remark = match &key.security {
        Security::Plain => " (plain, without encryption or authentication)",
        Security::Keyed(_) => "",
    };
    let ready = addresses.iter().map(|at| format!("viamillipede: listening on {at}{remark}"));
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
    fn a_new_key_is_told_once_under_all_addresses() {
        let addresses = ["0.0.0.0:5000", "[::]:5000"].map(|at| at.parse().expect("an address"));
        let key = Key::generate().expect("there are random numbers");
        let ready = "viamillipede: listening on 0.0.0.0:5000\nviamillipede: listening on [::]:5000";
        let mut found = Found { security: Security::Keyed(key.clone()), is_new: false };
        assert_eq!(*lines(&addresses, &found), ready);
        found.is_new = true;
        let told = format!("{ready}\nviamillipede: key: {}", *key.text());
        assert_eq!(*lines(&addresses, &found), told);
    }

    #[test]
    fn a_plain_end_says_that_it_is() {
        let found = Found { security: Security::Plain, is_new: false };
        let at = "127.0.0.1:1".parse().expect("an address");
        let line =
            "viamillipede: listening on 127.0.0.1:1 (plain, without encryption or authentication)";
        assert_eq!(*lines(&[at], &found), line);
    }
}
