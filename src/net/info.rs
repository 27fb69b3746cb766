//! What the kernel knows of a TCP connection: `TCP_INFO`, where the system has it.
//!
//! Does not know who is interested, nor how often.

use std::os::fd::AsFd;
use std::time::Duration;

/// One TCP connection as its kernel sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpInfo {
    /// Smoothed round trip.
    pub rtt: Duration,
    /// Bytes that may be on the way at once: the congestion window.
    pub window_bytes: u64,
    /// Segments sent again so far.
    pub retransmits: u64,
    /// How long there was something to send, or on the way.
    pub busy: Duration,
    /// How much of that the other end's buffer was what held it back.
    pub held_by_receiver: Duration,
    /// How much of that our own buffer was.
    pub held_by_buffer: Duration,
}

impl TcpInfo {
    /// Adds the counts and times of another connection. What is of a moment, its round trip and its window, is left
    /// as it is.
    pub fn count(&mut self, other: TcpInfo) {
        self.retransmits += other.retransmits;
        self.busy += other.busy;
        self.held_by_receiver += other.held_by_receiver;
        self.held_by_buffer += other.held_by_buffer;
    }
}

/// What the kernel knows of this connection; nothing where it is no TCP, or the kernel is too old to tell.
pub fn tcp_info(connection: &impl AsFd) -> Option<TcpInfo> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return linux::tcp_info(connection);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = connection;
        None
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use super::TcpInfo;
    use nix::sys::socket::getsockopt;
    use nix::sys::utsname::uname;
    use nix::{getsockopt_impl, libc, sockopt_impl};
    use std::os::fd::AsFd;
    use std::sync::OnceLock;
    use std::time::Duration;

    /// The kernel from which on it tells all of [`Told`]; an older one would leave a part of it empty.
    const SINCE: (u32, u32) = (4, 10);

    /// The beginning of `struct tcp_info` in `linux/tcp.h`, which only ever grows at its end.
    #[repr(C)]
    #[derive(Clone, Copy)]
    pub struct Told {
        state_and_options: [u8; 8],
        rto_us: u32,
        ato_us: u32,
        segment_bytes: u32,
        before_rtt: [u32; 12],
        rtt_us: u32,
        rtt_var_us: u32,
        slow_start_threshold: u32,
        window_segments: u32,
        before_retransmits: [u32; 4],
        retransmits: u32,
        before_busy: [u64; 8],
        busy_us: u64,
        held_by_receiver_us: u64,
        held_by_buffer_us: u64,
    }

    sockopt_impl!(
        /// `TCP_INFO`.
        Info,
        GetOnly,
        libc::IPPROTO_TCP,
        libc::TCP_INFO,
        Told
    );

    pub(super) fn tcp_info(connection: &impl AsFd) -> Option<TcpInfo> {
        static IS_NEW_ENOUGH: OnceLock<bool> = OnceLock::new();
        if !IS_NEW_ENOUGH.get_or_init(|| is_since(SINCE)) {
            return None;
        }
        let told = getsockopt(connection, Info).ok()?;
        Some(TcpInfo {
            rtt: Duration::from_micros(told.rtt_us.into()),
            window_bytes: u64::from(told.window_segments) * u64::from(told.segment_bytes),
            retransmits: told.retransmits.into(),
            busy: Duration::from_micros(told.busy_us),
            held_by_receiver: Duration::from_micros(told.held_by_receiver_us),
            held_by_buffer: Duration::from_micros(told.held_by_buffer_us),
        })
    }

    fn is_since(version: (u32, u32)) -> bool {
        let Ok(system) = uname() else { return false };
        let release = system.release().to_string_lossy();
        let mut numbers = release.split(['.', '-', '+']).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= version,
            _ => false,
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::mem::offset_of;

        #[test]
        fn the_fields_are_where_the_kernel_has_them() {
            assert_eq!(offset_of!(Told, segment_bytes), offset_of!(libc::tcp_info, tcpi_snd_mss));
            assert_eq!(offset_of!(Told, rtt_us), offset_of!(libc::tcp_info, tcpi_rtt));
            assert_eq!(
                offset_of!(Told, window_segments),
                offset_of!(libc::tcp_info, tcpi_snd_cwnd)
            );
            let retransmits = offset_of!(libc::tcp_info, tcpi_total_retrans);
            assert_eq!(offset_of!(Told, retransmits), retransmits);
            assert_eq!(offset_of!(Told, busy_us), offset_of!(libc::tcp_info, tcpi_busy_time));
            let held = offset_of!(libc::tcp_info, tcpi_rwnd_limited);
            assert_eq!(offset_of!(Told, held_by_receiver_us), held);
            let held = offset_of!(libc::tcp_info, tcpi_sndbuf_limited);
            assert_eq!(offset_of!(Told, held_by_buffer_us), held);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_connection_has_a_round_trip_and_what_is_no_tcp_has_none() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let mut near = TcpStream::connect(address).expect("it listens");
        let (mut far, _) = listener.accept().expect("it called");
        near.write_all(b"there and back").expect("room");
        far.read_exact(&mut [0; 14]).expect("it came");
        if cfg!(any(target_os = "linux", target_os = "android")) {
            let info = tcp_info(&near).expect("this system tells");
            assert!(info.rtt > Duration::ZERO && info.rtt < Duration::from_secs(1), "{info:?}");
            assert!(info.window_bytes > 0 && info.retransmits == 0, "{info:?}");
            assert!(info.held_by_receiver + info.held_by_buffer <= info.busy, "{info:?}");
        }
        let (pair, _other) = UnixStream::pair().expect("descriptors");
        assert_eq!(tcp_info(&pair), None);
    }
}
