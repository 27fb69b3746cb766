//! What is said of a whole run: the last line, the block that a signal asks for, the digest.
//!
//! Only words and figures. Does not know when they are said, nor whether.

use super::figures;
use super::progress::{self, Rates};
use crate::error::Error;
use crate::foot::Hash;
use crate::proto::WorkerId;
use crate::stats::{Role, Snapshot, WorkerRow};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// The line at the end of a run, which delivered its stream or had this failure. Its `bottleneck` is in words.
pub(super) fn last_line(
    of: &Snapshot,
    elapsed: Duration,
    bottleneck: &str,
    failure: Option<&Error>,
) -> String {
    let verb = match (of.role, failure) {
        (Role::Sender, None) => "sent",
        (Role::Receiver, None) => "received",
        (Role::Sender, Some(Error::OutcomeUnknown)) => "perhaps delivered; sent",
        (Role::Sender, Some(Error::Signal(_))) if of.all_sent => "perhaps delivered; sent",
        (Role::Sender, Some(_)) => "not delivered; sent",
        (Role::Receiver, Some(_)) => "not whole; received",
    };
    let ratio = figures::ratio(of.stream_bytes, of.wire_bytes).unwrap_or(1.0);
    format!(
        "viamillipede: {verb} {} bytes ({}) as {} on the wire (ratio {ratio:.2}) in {}: {} stream, {} wire; \
         {}, {} sent again, {} lost, {} in use; bottleneck: {bottleneck}",
        of.stream_bytes,
        figures::bytes(of.stream_bytes),
        of.wire_bytes,
        figures::seconds(elapsed),
        figures::rate(figures::mean(of.stream_bytes, elapsed)),
        figures::rate(figures::mean(of.wire_bytes, elapsed)),
        figures::count(of.feet, "foot", "feet"),
        of.resent_feet,
        figures::count(of.lost_connections, "connection", "connections"),
        of.connections_in_use,
    )
}

/// How a run stands, in several lines. The `bottleneck` is that of the whole run so far, in words.
pub(super) fn block(
    of: &Snapshot,
    rates: Rates,
    bottleneck: &str,
    workers: &[(WorkerId, Arc<WorkerRow>)],
) -> String {
    let mut block = format!("viamillipede: {}\n", progress::line(of, rates));
    block += &format!(
        "  {}, {} sent again, {} lost, {} in use, {} on the wire\n",
        figures::count(of.feet, "foot", "feet"),
        of.resent_feet,
        figures::count(of.lost_connections, "connection", "connections"),
        of.connections_in_use,
        figures::bytes(of.wire_bytes),
    );
    block += &format!(
        "  window: feet below {} are verified, below {} may be sent",
        of.cumulative, of.limit
    );
    block += &match of.role {
        Role::Sender => {
            let in_flight = of.unacked_feet.saturating_sub(of.unsent_feet);
            format!("; {in_flight} in flight, {} wait for a connection", of.unsent_feet)
        }
        Role::Receiver => format!("; {} held", of.held_feet),
    };
    block += &format!("\n  bottleneck so far: {bottleneck}");
    for (worker, row) in workers {
        block += &format!(
            "\n  {worker} on {} to {}: {}, {}, {}, for {}",
            row.link,
            crate::error::one_line(&row.peer),
            row.state(),
            figures::count(row.feet.now(), "foot", "feet"),
            figures::bytes(row.bytes.now()),
            figures::seconds(row.since.elapsed()),
        );
        if let Some(tcp) = row.tcp() {
            block += &format!(
                "; rtt {}, cwnd {}, {} sent again by TCP",
                figures::round_trip(tcp.rtt),
                figures::bytes(tcp.window_bytes),
                figures::count(tcp.retransmits, "segment", "segments"),
            );
        }
    }
    block
}

/// The digest of the whole stream, as `b3sum` writes it.
pub(super) fn digest_line(digest: &Hash) -> String {
    let mut line = String::from("viamillipede: blake3 ");
    for byte in digest {
        write!(line, "{byte:02x}").expect("a String takes all that is written");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::TcpInfo;
    use crate::proto::LinkId;
    use crate::stats::Stats;

    fn stats() -> Stats {
        let stats = Stats::new(Role::Sender, 2);
        stats.stream_bytes.set(1 << 30);
        stats.wire_bytes.set(1 << 29);
        stats.feet.set(1024);
        stats.resent_feet.set(3);
        stats.lost_connections.set(1);
        stats.connections_in_use.set(4);
        stats.limit.set(1300);
        stats.cumulative.set(1024);
        stats.start();
        stats
    }

    #[test]
    fn the_last_line_has_all_that_is_promised() {
        let line = last_line(&stats().snapshot(), Duration::from_millis(12_345), "network", None);
        let expected = "viamillipede: sent 1073741824 bytes (1.07 GB) as 536870912 on the wire \
                        (ratio 2.00) in 12.3 s: 87.0 MB/s stream, 43.5 MB/s wire; 1024 feet, \
                        3 sent again, 1 connection lost, 4 in use; bottleneck: network";
        assert_eq!(line, expected);
    }

    #[test]
    fn an_empty_stream_has_a_line_too() {
        let snapshot = Stats::new(Role::Receiver, 1).snapshot();
        let failure = Error::Signal(2);
        let line = last_line(&snapshot, Duration::ZERO, "network or sender", Some(&failure));
        assert!(
            line.starts_with("viamillipede: not whole; received 0 bytes (0 B) as 0 on the wire"),
            "{line}"
        );
        assert!(!line.contains("NaN") && !line.contains("inf"), "{line}");
    }

    #[test]
    fn the_block_has_a_line_for_each_worker() {
        let stats = stats();
        stats.unacked_feet.set(7);
        stats.unsent_feet.set(2);
        let row = stats.join(WorkerId(0), LinkId(0), "192.0.2.1:5000".into());
        row.feet.add(7);
        row.set_tcp(Some(TcpInfo {
            rtt: Duration::from_millis(24),
            window_bytes: 1_500_000,
            retransmits: 12,
            ..TcpInfo::default()
        }));
        stats.join(WorkerId(5), LinkId(1), "evil\nname".into());
        let block =
            block(&stats.snapshot(), Rates::default(), "source (it slept)", &stats.workers());
        let lines: Vec<&str> = block.lines().collect();
        assert_eq!(lines.len(), 6, "{block}");
        let window = "below 1024 are verified, below 1300 may be sent; 5 in flight, 2 wait for";
        assert!(lines[2].contains(window), "{block}");
        assert_eq!(lines[3], "  bottleneck so far: source (it slept)");
        assert!(lines[4].starts_with("  worker 0 on link 0 to 192.0.2.1:5000: joining, 7 feet"));
        assert!(
            lines[4].ends_with("; rtt 24 ms, cwnd 1.50 MB, 12 segments sent again by TCP"),
            "{block}"
        );
        assert!(lines[5].starts_with("  worker 5 on link 1 to evil name: joining"));
    }

    #[test]
    fn a_digest_is_written_as_b3sum_does() {
        let line = digest_line(blake3::hash(b"").as_bytes());
        assert_eq!(line, format!("viamillipede: blake3 {}", blake3::hash(b"").to_hex()));
    }
}
