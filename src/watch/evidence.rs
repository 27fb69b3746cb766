//! Why a part of the way was the slowest, in a few words, and what would help.
//!
//! From the figures of a run, what the kernel tells of its connections, and how busy the processors were.
//! Only words and figures; does not know how a bottleneck is seen at a moment ([`crate::stats`]).

use super::figures;
use crate::config::bytes::format_bytes;
use crate::net::TcpInfo;
use crate::stats::{Bottleneck, LinkRow, Snapshot};
use std::fs;

/// From this part of the time on that connections had something to send, what held them back is told.
const MUCH: f64 = 0.3;
/// From this part of all processors' time on, they are the ones that were short.
const FULL: f64 = 0.9;
/// But only where this part of it was ours: the scheduler is fair, so who takes less waits for something else.
const OURS: f64 = 0.1;

/// How busy all processors of this machine were, from a moment on.
#[derive(Debug)]
pub(super) struct Processors(Option<Times>);

/// Time of all processors since the machine was started, in whatever unit the kernel has.
#[derive(Clone, Copy, Debug)]
struct Times {
    all: u64,
    idle: u64,
    /// This process has used so much of it.
    ours: u64,
}

/// Parts of all processors' time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// In which they had something to do.
    pub(super) busy: f64,
    /// In which they worked for this process.
    pub(super) ours: f64,
}

impl Processors {
    /// From now on.
    pub(super) fn new() -> Processors {
        Processors(times())
    }

    /// How busy they were; not known on every system.
    pub(super) fn load(&self) -> Option<Load> {
        let (before, now) = (self.0?, times()?);
        let all = now.all.checked_sub(before.all).filter(|all| *all > 0)?;
        let part = |now: u64, before: u64| now.saturating_sub(before) as f64 / all as f64;
        Some(Load { busy: 1.0 - part(now.idle, before.idle), ours: part(now.ours, before.ours) })
    }
}

/// From proc(5), `/proc/stat`: the fourth and the fifth figure are of idle time. `/proc/self/stat`, in the same
/// unit: after the name in parentheses, the twelfth and the thirteenth are of user's and of system's time.
fn times() -> Option<Times> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    // The last two are parts of the first two.
    let figures: Vec<u64> = line.split_whitespace().take(8).flat_map(str::parse).collect();
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, process) = text.rsplit_once(')')?;
    let ours = process.split_whitespace().skip(11).take(2).flat_map(str::parse::<u64>).sum();
    Some(Times { all: figures.iter().sum(), idle: figures.get(3)? + figures.get(4)?, ours })
}

/// What is known beside the figures of the run.
pub(super) struct Seen<'a> {
    /// The part of the looks that saw this bottleneck.
    pub(super) share: f64,
    /// The links.
    pub(super) links: &'a [LinkRow],
    /// How busy the machine's processors were.
    pub(super) processors: Option<Load>,
}

/// Why it is this bottleneck.
pub(super) fn evidence(bottleneck: Bottleneck, of: &Snapshot, seen: &Seen<'_>) -> String {
    let share = percent(seen.share);
    match bottleneck {
        Bottleneck::Source => format!("it had nothing to read {share} of the time"),
        Bottleneck::Sink => format!("it was busy {share} of the time"),
        Bottleneck::Compression => {
            // An adaptive packer has done what it can.
            let advice = if of.packing.is_some() { "" } else { "; --adapt would help" };
            format!("all {} packed {share} of the time{advice}", threads(of))
        }
        Bottleneck::Decompression => format!("all {} unpacked {share} of the time", threads(of)),
        Bottleneck::Rate => format!("--rate held it back {share} of the time"),
        Bottleneck::Window => {
            let better = format_bytes(better_window(of, seen.links));
            format!("full {share} of the time; --window {better} or more at both ends would help")
        }
        Bottleneck::Network | Bottleneck::NetworkOrSender => network(seen, &share),
    }
}

/// What on the way to the other end is slow.
fn network(seen: &Seen<'_>, share: &str) -> String {
    let all = total(seen.links);
    let part = |held: std::time::Duration| held.as_secs_f64() / all.busy.as_secs_f64().max(1e-6);
    if part(all.held_by_buffer) >= MUCH {
        let held = percent(part(all.held_by_buffer));
        return format!(
            "send buffers were full {held} of the time; more --workers, or more in net.ipv4.tcp_wmem, would help"
        );
    }
    if part(all.held_by_receiver) >= MUCH {
        let held = percent(part(all.held_by_receiver));
        return format!(
            "receive buffers there were full {held} of the time: its processors are slow, or its net.ipv4.tcp_rmem small"
        );
    }
    if let Some(load) = seen.processors.filter(|load| load.busy >= FULL && load.ours >= OURS) {
        return format!(
            "the processors here were {} busy, and they may be what is slow",
            percent(load.busy)
        );
    }
    match all.retransmits {
        0 => format!("{share} of the time"),
        again => {
            let again = figures::count(again, "segment", "segments");
            format!("{share} of the time; TCP sent {again} again")
        }
    }
}

fn total(links: &[LinkRow]) -> TcpInfo {
    let mut all = TcpInfo::default();
    for link in links {
        all.count(link.tcp);
        all.window_bytes += link.tcp.window_bytes;
    }
    all
}

/// A window that is better: twice what there was, or twice what TCP would have on its way at once. Nobody
/// can know how much more the way takes of what never was sent.
fn better_window(of: &Snapshot, links: &[LinkRow]) -> u64 {
    let window = of.far_window_feet.min(of.window_feet).max(1) * of.foot_bytes;
    let unpacked = figures::ratio(of.raw_bytes, of.packed_bytes).unwrap_or(1.0).max(1.0);
    let on_the_way = total(links).window_bytes as f64 * unpacked;
    (2 * window.max(on_the_way as u64)).next_power_of_two()
}

fn threads(of: &Snapshot) -> String {
    figures::count(of.threads, "thread", "threads")
}

fn percent(part: f64) -> String {
    format!("{:.0} %", 100.0 * part.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Role, Stats};
    use std::time::Duration;

    fn tell(bottleneck: Bottleneck, tcp: TcpInfo, processors: Option<Load>) -> String {
        let stats = Stats::new(Role::Sender, 2);
        stats.window_feet.set(100);
        stats.foot_bytes.set(1 << 20);
        stats.far_window_feet.set(30);
        let links = [LinkRow { tcp, ..LinkRow::default() }];
        evidence(bottleneck, &stats.snapshot(), &Seen { share: 0.634, links: &links, processors })
    }

    #[test]
    fn each_has_its_share_of_the_time() {
        let told = |bottleneck| tell(bottleneck, TcpInfo::default(), None);
        assert_eq!(told(Bottleneck::Source), "it had nothing to read 63 % of the time");
        assert_eq!(told(Bottleneck::Sink), "it was busy 63 % of the time");
        assert!(told(Bottleneck::Compression).starts_with("all 2 threads packed 63 % of the time"));
        assert_eq!(told(Bottleneck::Network), "63 % of the time");
    }

    #[test]
    fn a_better_window_is_twice_the_one_there_is_or_what_tcp_would_have_on_its_way() {
        let told = |window_bytes| {
            tell(Bottleneck::Window, TcpInfo { window_bytes, ..TcpInfo::default() }, None)
        };
        assert!(told(0).contains("--window 64MiB or more"), "{}", told(0));
        assert!(told(100 << 20).contains("--window 256MiB or more"), "{}", told(100 << 20));
    }

    #[test]
    fn of_a_network_the_kernel_knows_more() {
        let second = Duration::from_secs(1);
        let tcp = TcpInfo { busy: 10 * second, retransmits: 1, ..TcpInfo::default() };
        let load = |busy, ours| Some(Load { busy, ours });
        let told = |load| tell(Bottleneck::Network, tcp, load);
        assert!(told(load(0.5, 0.5)).ends_with("TCP sent 1 segment again"));
        assert!(told(load(0.97, 0.5)).contains("processors here were 97 %"));
        let others = told(load(0.97, 0.03));
        assert!(others.ends_with("TCP sent 1 segment again"), "others are busy: {others}");
        let tcp = TcpInfo { held_by_receiver: 4 * second, ..tcp };
        let told = tell(Bottleneck::Network, tcp, load(0.97, 0.5));
        assert!(told.contains("there were full 40 %"), "{told}");
        let tcp = TcpInfo { held_by_buffer: 5 * second, ..tcp };
        assert!(tell(Bottleneck::Network, tcp, None).contains("send buffers were full 50 %"));
    }

    #[test]
    fn processors_are_busy_for_a_part_of_their_time() {
        let processors = Processors::new();
        if let Some(Load { busy, ours }) = processors.load() {
            assert!((0.0..=1.0).contains(&busy) && (0.0..=1.0).contains(&ours), "{busy}, {ours}");
        }
    }
}
