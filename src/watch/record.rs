//! The figures of a run at one moment, as they are written for programs: a line of JSON, or a page in
//! Prometheus' text form. `doc/stats.schema.json` and `doc/metrics.md` say what each means.
//!
//! Does not know where they are written, nor when, nor what is made of them when they are read again.

use super::lanes::Row;
use super::progress::Rates;
use crate::error::one_line;
use crate::foot::Hash;
use crate::proto::WorkerId;
use crate::stats::{Role, Snapshot, WorkerRow};
use serde::{Deserialize, Serialize};
use std::fmt::{Display, Write};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Changes when a field goes or means something else; new fields may come at any time.
pub(crate) const VERSION: u32 = 1;

/// With this every page begins.
pub(super) const PAGE_BEGINS: &str = "# HELP viamillipede_";

/// One line of `--stats`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) v: u32,
    pub(crate) event: Event,
    pub(crate) unix_s: f64,
    pub(crate) elapsed_s: f64,
    pub(crate) role: Role,
    pub(crate) name: String,
    pub(crate) stream_bytes: u64,
    pub(crate) expected_bytes: Option<u64>,
    pub(crate) source_bytes: u64,
    pub(crate) packed_bytes: u64,
    /// None in files of before it was there.
    pub(crate) raw_bytes: Option<u64>,
    pub(crate) wire_bytes: u64,
    pub(crate) stream_bytes_per_s: f64,
    pub(crate) wire_bytes_per_s: f64,
    pub(crate) feet: u64,
    pub(crate) resent_feet: u64,
    pub(crate) connections: usize,
    pub(crate) lost_connections: u64,
    pub(crate) unacked_feet: u64,
    pub(crate) unsent_feet: u64,
    pub(crate) lowest_missing_foot: u64,
    pub(crate) limit_foot: u64,
    pub(crate) packing: Option<String>,
    pub(crate) bottleneck: String,
    pub(crate) links: Vec<LinkRecord>,
    pub(crate) workers: Vec<WorkerRecord>,
    #[serde(flatten)]
    pub(crate) end: Option<End>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LinkRecord {
    pub(crate) link: u16,
    pub(crate) name: String,
    pub(crate) connections: usize,
    pub(crate) busy: usize,
    pub(crate) wire_bytes: u64,
    pub(crate) wire_bytes_per_s: f64,
    /// 0 in files of before it was there; the last three of a worker are missing there.
    #[serde(default)]
    pub(crate) retransmits: u64,
    /// None also in files of before it was there.
    pub(crate) loss_age_s: Option<f64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WorkerRecord {
    pub(crate) worker: u32,
    pub(crate) link: u16,
    pub(crate) peer: String,
    pub(crate) state: String,
    pub(crate) feet: u64,
    pub(crate) wire_bytes: u64,
    pub(crate) age_s: f64,
    pub(crate) rtt_s: Option<f64>,
    pub(crate) cwnd_bytes: Option<u64>,
    pub(crate) retransmits: Option<u64>,
}

/// Which line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Event {
    Stats,
    End,
}

/// Whether the stream is where it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Delivered,
    Failed,
}

/// How the run ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    pub(crate) exit_code: u8,
    pub(crate) error: Option<String>,
    pub(crate) blake3: Option<String>,
}

impl End {
    /// The end of a run that delivered a stream with this digest, or failed with this code and words.
    pub(super) fn new(failure: Option<(u8, String)>, digest: Option<&Hash>) -> End {
        let blake3 = digest.map(|digest| blake3::Hash::from_bytes(*digest).to_hex().to_string());
        match failure {
            None => End { outcome: Outcome::Delivered, exit_code: 0, error: None, blake3 },
            Some((exit_code, words)) => {
                End { outcome: Outcome::Failed, exit_code, error: Some(one_line(&words)), blake3 }
            }
        }
    }
}

impl Record {
    /// The run as it is now.
    pub(super) fn new(
        name: &str,
        of: &Snapshot,
        rates: Rates,
        links: impl Iterator<Item = Row>,
        workers: &[(WorkerId, Arc<WorkerRow>)],
        end: Option<End>,
    ) -> Record {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Record {
            v: VERSION,
            event: if end.is_some() { Event::End } else { Event::Stats },
            unix_s: unix.as_secs_f64(),
            elapsed_s: of.elapsed.unwrap_or_default().as_secs_f64(),
            role: of.role,
            name: name.into(),
            stream_bytes: of.stream_bytes,
            expected_bytes: of.expected_bytes,
            source_bytes: of.source_bytes,
            packed_bytes: of.packed_bytes,
            raw_bytes: Some(of.raw_bytes),
            wire_bytes: of.wire_bytes,
            stream_bytes_per_s: rates.stream,
            wire_bytes_per_s: rates.wire,
            feet: of.feet,
            resent_feet: of.resent_feet,
            connections: of.live_workers,
            lost_connections: of.lost_connections,
            unacked_feet: of.unacked_feet,
            unsent_feet: of.unsent_feet,
            lowest_missing_foot: of.cumulative,
            limit_foot: of.limit,
            packing: of.packing.map(|packing| packing.to_string()),
            bottleneck: of.bottleneck.to_string(),
            links: links.map(LinkRecord::new).collect(),
            workers: workers.iter().map(|(worker, row)| WorkerRecord::new(*worker, row)).collect(),
            end,
        }
    }

    /// One line, without its end.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers, texts and lists of them")
    }

    /// A page for Prometheus.
    pub(super) fn metrics(&self) -> String {
        let mut page = Page { text: String::new(), session: self.labels() };
        let run: [(&str, &str, &str, &dyn Display); 12] = [
            (
                "stream_bytes_total",
                "counter",
                "Bytes of the stream that are through: written to the sink, as far as this end knows.",
                &self.stream_bytes,
            ),
            (
                "wire_bytes_total",
                "counter",
                "Bytes on all connections, headers included.",
                &self.wire_bytes,
            ),
            (
                "feet_total",
                "counter",
                "Blocks that have gone out or come in, each counted once.",
                &self.feet,
            ),
            (
                "resent_feet_total",
                "counter",
                "Blocks sent again, for any reason.",
                &self.resent_feet,
            ),
            (
                "lost_connections_total",
                "counter",
                "Connections that ended before the stream did.",
                &self.lost_connections,
            ),
            (
                "elapsed_seconds",
                "gauge",
                "Time from when the ends have met to the end of the stream.",
                &self.elapsed_s,
            ),
            (
                "connections",
                "gauge",
                "Connections now; at the end, those that were in use.",
                &self.connections,
            ),
            (
                "stream_bytes_per_second",
                "gauge",
                "Rate of the stream over the last three seconds, 0 after its end; of a run that has ended, over all of it.",
                &self.stream_bytes_per_s,
            ),
            (
                "wire_bytes_per_second",
                "gauge",
                "Rate on the wire, over the same time.",
                &self.wire_bytes_per_s,
            ),
            (
                "unacked_feet",
                "gauge",
                "Blocks packed and not yet known to be verified at the other end (sender).",
                &self.unacked_feet,
            ),
            (
                "unsent_feet",
                "gauge",
                "Those of them that wait for a connection (sender).",
                &self.unsent_feet,
            ),
            ("time_seconds", "gauge", "When this was written, in Unix time.", &self.unix_s),
        ];
        for (name, kind, help, value) in run {
            page.metric(name, kind, help);
            page.sample(name, "", value);
        }
        if let Some(expected) = self.expected_bytes {
            page.metric("expected_bytes", "gauge", "How long the stream will be.");
            page.sample("expected_bytes", "", &expected);
        }
        page.metric("bottleneck", "gauge", "1 for the part of the way that is slowest now; of a run that has ended, that was for most of it.");
        page.sample("bottleneck", &label("part", &self.bottleneck), &1);
        page.metric("link_wire_bytes_total", "counter", "Bytes on all connections of a link.");
        for link in &self.links {
            page.sample("link_wire_bytes_total", &label("link", &link.name), &link.wire_bytes);
        }
        page.metric(
            "link_connections",
            "gauge",
            "Connections of a link now; at the end, those that were in use.",
        );
        for link in &self.links {
            page.sample("link_connections", &label("link", &link.name), &link.connections);
        }
        let help = "Segments that TCP sent again on all connections of a link.";
        page.metric("link_retransmits_total", "counter", help);
        for link in &self.links {
            page.sample("link_retransmits_total", &label("link", &link.name), &link.retransmits);
        }
        if let Some(end) = &self.end {
            page.metric(
                "exit_code",
                "gauge",
                "The exit code of a run that has ended; 0 is delivered.",
            );
            page.sample("exit_code", "", &end.exit_code);
        }
        page.text
    }

    /// What all samples of this run have in common.
    fn labels(&self) -> String {
        label("role", &self.role.to_string()) + &label("name", &self.name)
    }
}

/// Metrics as they are written.
struct Page {
    text: String,
    session: String,
}

impl Page {
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("{PAGE_BEGINS}{name} {help}"));
        self.line(format_args!("# TYPE viamillipede_{name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &str, value: &dyn Display) {
        let labels = format!("{}{labels}", self.session);
        let labels = labels.trim_end_matches(',');
        self.line(format_args!("viamillipede_{name}{{{labels}}} {value}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("a String takes all that is written");
    }
}

/// `key="value",` with what must be escaped in it.
fn label(key: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{key}=\"{value}\",")
}

impl LinkRecord {
    fn new(row: Row) -> LinkRecord {
        let Row { link, name, live, busy, bytes, rate, lost, tcp } = row;
        LinkRecord {
            link: link.0,
            name,
            connections: live,
            busy,
            wire_bytes: bytes,
            wire_bytes_per_s: rate,
            retransmits: tcp.retransmits,
            loss_age_s: lost.map(|lost| lost.elapsed().as_secs_f64()),
        }
    }
}

impl WorkerRecord {
    fn new(worker: WorkerId, row: &WorkerRow) -> WorkerRecord {
        let tcp = row.tcp();
        WorkerRecord {
            worker: worker.0,
            link: row.link.0,
            peer: one_line(&row.peer),
            state: row.state().to_string(),
            feet: row.feet.now(),
            wire_bytes: row.bytes.now(),
            age_s: row.since.elapsed().as_secs_f64(),
            rtt_s: tcp.map(|tcp| tcp.rtt.as_secs_f64()),
            cwnd_bytes: tcp.map(|tcp| tcp.window_bytes),
            retransmits: tcp.map(|tcp| tcp.retransmits),
        }
    }
}
