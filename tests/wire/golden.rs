//! One message of each kind and variant, and the file that holds its bytes.
//!
//! Does not know the layout: that is what the files are for.

use super::Message;
use std::{collections::BTreeSet, env, fs, path::PathBuf};
use viamillipede::{
    foot::{Codec, FootHeader},
    proto::{
        frame::{Abort, Ack, Done, End, Frame, MAX_ACK_RANGES, MAX_REASON_BYTES, Ping},
        hello::{
            Answer, Hello, HelloKind, MAX_DETAIL_BYTES, MAX_NAME_BYTES, MAX_WORKERS, Refusal,
            RefusalKind, Role, SessionId, Settled, Welcome,
        },
        liveness::Pace,
    },
};

/// Every golden message under the name of its file.
pub(super) fn messages() -> Vec<(String, Message)> {
    let mut messages = Vec::new();
    let mut add = |name: &str, message| messages.push((name.to_owned(), message));
    for (name, frame) in feet().into_iter().chain(acks()).chain(other_frames()) {
        add(name, Message::Frame(frame));
    }
    for (name, hello) in hellos() {
        add(name, Message::Hello(hello));
    }
    for (name, answer) in answers() {
        add(name, Message::Answer(answer));
    }
    messages
}

/// 32 different bytes, so that none can change its place unseen.
fn hash() -> [u8; 32] {
    std::array::from_fn(|place| 0xa0 + place as u8)
}

fn feet() -> Vec<(&'static str, Frame)> {
    let raw = FootHeader {
        id: 0,
        offset: 0,
        raw_bytes: 1,
        packed_bytes: 1,
        codec: Codec::Raw,
        check: hash(),
    };
    let zstd = FootHeader {
        id: 0x0102_0304_0506_0708,
        offset: 0x1112_1314_1510_0000,
        raw_bytes: 1 << 20,
        packed_bytes: 0x0004_3210,
        codec: Codec::Zstd,
        ..raw
    };
    let lz4 = FootHeader { id: u64::MAX, codec: Codec::Lz4, check: [0xff; 32], ..zstd };
    vec![
        ("foot_raw", Frame::Foot(raw)),
        ("foot_zstd", Frame::Foot(zstd)),
        ("foot_lz4", Frame::Foot(lz4)),
    ]
}

fn acks() -> Vec<(&'static str, Frame)> {
    let few = Ack {
        cumulative: 0x0102_0304_0506_0708,
        limit: 0x1112_1314_1516_1718,
        ranges: vec![
            0x0102_0304_0506_070a..0x0102_0304_0506_070b,
            0x0102_0304_0506_1000..0x0102_0304_0506_2000,
        ],
        received_bytes: 0x2122_2324_2526_2728,
        connection_bytes: 0x3132_3334_3536_3738,
        written_bytes: 0x4142_4344_4546_4748,
        sink_blocked: true,
        sink_writing: false,
        echo: 0x5152_5354,
    };
    let ranges = (0..MAX_ACK_RANGES as u64).map(|n| 10 * n + 1..10 * n + 9).collect();
    let full = Ack { cumulative: 0, limit: u64::MAX, ranges, ..few };
    vec![
        ("ack_empty", Frame::Ack(Ack::default())),
        ("ack_few", Frame::Ack(few)),
        ("ack_writing", Frame::Ack(Ack { sink_writing: true, ..Ack::default() })),
        ("ack_full", Frame::Ack(full)),
    ]
}

fn other_frames() -> Vec<(&'static str, Frame)> {
    let (feet, bytes) = (0x0102_0304_0506_0708, 0x1112_1314_1516_1718);
    let long = "é".repeat(MAX_REASON_BYTES / 2);
    vec![
        ("nack", Frame::Nack { id: feet }),
        ("ping", Frame::Ping(Ping { token: 0x5152_5354, sent_feet: feet, window_blocked: true })),
        ("end_plain", Frame::End(End { feet, bytes, digest: None })),
        ("end_digest", Frame::End(End { feet, bytes, digest: Some(hash()) })),
        ("end_empty", Frame::End(End { feet: 0, bytes: 0, digest: Some([0; 32]) })),
        ("done_plain", Frame::Done(Done { bytes, digest: None })),
        ("done_digest", Frame::Done(Done { bytes, digest: Some(hash()) })),
        ("done_ack", Frame::DoneAck),
        ("abort_bare", Frame::Abort(Abort { code: 4, reason: String::new() })),
        ("abort", Frame::Abort(Abort { code: 6, reason: "zfs: exit status 1".into() })),
        ("abort_long", Frame::Abort(Abort { code: 255, reason: long })),
        ("retire", Frame::Retire),
    ]
}

fn hellos() -> Vec<(&'static str, Hello)> {
    let new = Hello {
        versions: 1..=1,
        kind: HelloKind::New,
        session: SessionId(std::array::from_fn(|place| 0xb0 + place as u8)),
        role: Role::Sender,
        worker: 0,
        link: 0,
        workers: 4,
        foot_bytes: 1 << 20,
        window_bytes: 256 << 20,
        verify: false,
        pace: Pace::default(),
        name: String::new(),
    };
    let join = Hello {
        kind: HelloKind::Join,
        role: Role::Receiver,
        worker: 0x0102,
        link: 0x1112,
        workers: 0x0304,
        foot_bytes: 16 << 20,
        window_bytes: 0x2122_2324_2526_2728,
        verify: true,
        name: "tänk/home".into(),
        ..new.clone()
    };
    let impatient = Hello { pace: Pace { more_a_second: 0x31 }, ..new.clone() };
    let newer = Hello {
        versions: 1..=0x0203,
        workers: MAX_WORKERS,
        foot_bytes: 64 << 10,
        name: "n".repeat(MAX_NAME_BYTES),
        ..new
    };
    vec![
        ("hello_new", new),
        ("hello_join", join),
        ("hello_newer", newer),
        ("hello_impatient", impatient),
    ]
}

fn answers() -> Vec<(&'static str, Answer)> {
    let incarnation = std::array::from_fn(|place| 0xc0 + place as u8);
    let settled = Settled {
        foot_bytes: 1 << 20,
        workers: 4,
        window_bytes: 256 << 20,
        verify: false,
        pace: Pace::default(),
    };
    let impatient = Settled { pace: Pace { more_a_second: 0x31 }, ..settled };
    let large = Settled {
        foot_bytes: 16 << 20,
        workers: 0x0102,
        window_bytes: 0x2122_2324_2526_2728,
        verify: true,
        pace: Pace::default(),
    };
    let welcome = |settled| Answer::Welcome(Welcome { version: 1, incarnation, settled });
    let refusal = |reason, detail: &str| {
        Answer::Refuse(Refusal { versions: 1..=0x0203, reason, detail: detail.into() })
    };
    let long = "é".repeat(MAX_DETAIL_BYTES / 2);
    vec![
        ("welcome", welcome(settled)),
        ("welcome_verify", welcome(large)),
        ("welcome_impatient", welcome(impatient)),
        ("refusal_busy", refusal(RefusalKind::Busy, "")),
        ("refusal_unknown_session", refusal(RefusalKind::UnknownSession, "restarted")),
        ("refusal_version", refusal(RefusalKind::Version, "1 to 515")),
        ("refusal_name", refusal(RefusalKind::Name, &long)),
        ("refusal_role", refusal(RefusalKind::Role, "both ends transmit")),
        ("refusal_workers", refusal(RefusalKind::Workers, "")),
        ("refusal_window", refusal(RefusalKind::Window, "")),
        ("refusal_plain", refusal(RefusalKind::Plain, "")),
        ("refusal_tls", refusal(RefusalKind::Tls, "")),
    ]
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/wire")
}

/// `VIAMILLIPEDE_BLESS=1` writes files that are missing, and never one that is there: bytes that were
/// on a wire once must be understood for good.
#[test]
fn every_message_has_its_golden_bytes() {
    for (name, message) in messages() {
        let file = folder().join(&name).with_extension("bin");
        if env::var_os("VIAMILLIPEDE_BLESS").is_some_and(|knob| knob == "1") && !file.exists() {
            fs::write(&file, message.encode()).expect("testdata is writable when blessing");
        }
        let golden = fs::read(&file).unwrap_or_else(|error| panic!("{name}.bin: {error}"));
        assert_eq!(message.encode(), golden, "{name}: encoding has changed");
        let length = golden.len();
        assert_eq!(message.decode_alike(&golden), Ok(Some((message, length))), "{name}: decoding");
    }
    assert_eq!(files(), messages().into_iter().map(|(name, _)| name + ".bin").collect());
}

/// What the folder holds: a file that no message is compared with would be one that was given up.
fn files() -> BTreeSet<String> {
    fs::read_dir(folder())
        .expect("testdata is there")
        .map(|entry| entry.expect("testdata can be listed").file_name())
        .map(|file| file.to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_last_word_within_a_foot_is_an_abort_and_its_length() {
    let golden = |name: &str| fs::read(folder().join(format!("{name}.bin"))).expect("golden bytes");
    let abort = Abort { code: 6, reason: "zfs: exit status 1".into() };
    let length = golden("abort").len() as u8;
    let within = [golden("abort"), vec![length, 0]].concat();
    assert_eq!(abort.clone().within_foot(), within);
    assert_eq!(Abort::at_end_of(&[b"a part of a foot", &within[..]].concat()), Some(abort));
}
