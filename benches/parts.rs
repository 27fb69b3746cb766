//! Benchmarks of parts: packing, unpacking and hashing of feet, frames, reassembly, one thread each;
//! and the whole pipeline in one process.
//!
//! `cargo bench --bench parts -- pack/zstd3` runs those of a name. Each part has its function here.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::io::{Seek, Write};
use std::time::Duration;
use viamillipede::codec::{Packer, Packing, Unpacker, packed_bound};
use viamillipede::digest::{Checks, FootCheck, ShortFeet, StreamDigest, Stretch};
use viamillipede::error::Error;
use viamillipede::foot::{Codec, DEFAULT_FOOT_BYTES, FootHeader};
use viamillipede::proto::frame::{Ack, Frame, decode};
use viamillipede::proto::reassembler::Reassembler;
use viamillipede::sink::Sink;
use viamillipede::source::Source;
use viamillipede::{Ports, both, config};

#[path = "../testdata/corpus/make.rs"]
#[expect(dead_code, reason = "its main is for making the files")]
mod corpus;

const FOOT: usize = DEFAULT_FOOT_BYTES as usize;
const PACKINGS: [(&str, Packing); 5] = [
    ("lz4", Packing::Lz4),
    ("zstd-1", Packing::Zstd(-1)),
    ("zstd1", Packing::Zstd(1)),
    ("zstd3", Packing::Zstd(3)),
    ("zstd9", Packing::Zstd(9)),
];

/// One foot of each kind of bytes.
fn feet() -> [(&'static str, Vec<u8>); 4] {
    [
        ("text", corpus::text(1, FOOT)),
        ("records", corpus::records(2, FOOT)),
        ("mixed", corpus::mixed(3, FOOT)),
        ("noise", corpus::noise(4, FOOT)),
    ]
}

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Bytes(FOOT as u64));
    let mut packed = vec![0; packed_bound(DEFAULT_FOOT_BYTES)];
    let mut back = vec![0; FOOT];
    for (codec, packing) in PACKINGS {
        for (kind, raw) in feet() {
            let mut packer = Packer::new(packing);
            group.bench_function(format!("pack/{codec}/{kind}"), |bencher| {
                bencher.iter(|| packer.pack(black_box(&raw), &mut packed));
            });
            let Some((codec_made, bytes)) = packer.pack(&raw, &mut packed) else { continue };
            let mut unpacker = Unpacker::new();
            group.bench_function(format!("unpack/{codec}/{kind}"), |bencher| {
                bencher
                    .iter(|| unpacker.unpack(codec_made, black_box(&packed[..bytes]), &mut back));
            });
        }
    }
    group.finish();
}

fn digest(criterion: &mut Criterion) {
    let raw = corpus::noise(5, FOOT);
    let mut group = criterion.benchmark_group("digest");
    group.throughput(Throughput::Bytes(FOOT as u64));
    let checks = |verify| Checks { foot_bytes: DEFAULT_FOOT_BYTES, verify };
    let far = FOOT as u64;
    for (kind, verify, offset, raw) in [
        ("plain", false, far, &raw[..]),
        ("verify/first", true, 0, &raw[..]),
        ("verify/full", true, far, &raw[..]),
        ("verify/short", true, 1, &raw[1..]),
    ] {
        group.bench_function(format!("foot_check/{kind}"), |bencher| {
            bencher.iter(|| checks(verify).foot(offset, black_box(raw)));
        });
    }
    group.finish();

    // What a thread that orders feet pays for each: nearly nothing when full, all when short.
    let mut group = criterion.benchmark_group("stream_digest");
    const FEET: u64 = 1024;
    group.throughput(Throughput::Elements(FEET));
    let FootCheck { check, root } = checks(true).foot(0, &raw);
    group.bench_function("full_feet", |bencher| {
        bencher.iter(|| {
            let mut digest = StreamDigest::new();
            for foot in 0..FEET {
                let offset = foot * FOOT as u64;
                let root = root.filter(|_| foot == 0);
                digest.push(Stretch { offset, check: black_box(check), root });
            }
            digest.finish()
        });
    });
    group.bench_function("short_feet_of_4_KiB", |bencher| {
        bencher.iter(|| {
            let mut short_feet = ShortFeet::new(DEFAULT_FOOT_BYTES);
            (0..FEET)
                .filter_map(|foot| short_feet.push(foot * 4096, black_box(&raw[..4096])))
                .count()
        });
    });
    group.finish();
}

/// Headers on and off the wire: what each foot costs beside its payload.
fn frame(criterion: &mut Criterion) {
    let ack = Frame::Ack(Ack {
        cumulative: 1000,
        limit: 1256,
        ranges: (0..32).map(|hole| 1002 + 4 * hole..1004 + 4 * hole).collect(),
        ..Ack::default()
    });
    let mut group = criterion.benchmark_group("frame");
    for (kind, frame) in [("foot", Frame::Foot(header(7))), ("ack_of_32_ranges", ack)] {
        let mut bytes = Vec::new();
        group.bench_function(format!("encode/{kind}"), |bencher| {
            bencher.iter(|| {
                bytes.clear();
                black_box(&frame).encode(&mut bytes);
            });
        });
        group.bench_function(format!("decode/{kind}"), |bencher| {
            bencher.iter(|| decode(black_box(&bytes)));
        });
    }
    group.finish();
}

/// Feet through the receiver's window in the worst order that fits into it: back to front.
fn reassembly(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reassembly");
    for window_feet in [16, 256, 65_536] {
        group.throughput(Throughput::Elements(window_feet));
        group.bench_function(format!("window_of_{window_feet}"), |bencher| {
            bencher.iter(|| {
                let mut window = Reassembler::new(window_feet);
                for id in (0..window_feet).rev() {
                    window.insert(header(id));
                }
                while window.pop().is_some() {
                    window.release();
                }
                window.cumulative()
            });
        });
    }
    group.finish();
}

fn header(id: u64) -> FootHeader {
    let foot_bytes = DEFAULT_FOOT_BYTES;
    FootHeader {
        id,
        offset: id * u64::from(foot_bytes),
        raw_bytes: foot_bytes,
        packed_bytes: foot_bytes,
        codec: Codec::Raw,
        check: [7; 32],
    }
}

/// The whole pipeline in this process, over 127.0.0.1, from a file to nowhere.
fn pipeline(criterion: &mut Criterion) {
    const BYTES: usize = 64 << 20;
    let mut source = tempfile::tempfile().expect("a temporary file");
    let raw: Vec<u8> = (0..).flat_map(|seed| corpus::mixed(seed, FOOT)).take(BYTES).collect();
    source.write_all(&raw).expect("room for the source");
    let mut group = criterion.benchmark_group("pipeline");
    group.throughput(Throughput::Bytes(BYTES as u64)).sample_size(10);
    for (name, packing, verify) in [
        ("raw", Packing::None, false),
        ("verify", Packing::None, true),
        ("lz4", Packing::Lz4, false),
        ("zstd_3", Packing::Zstd(3), false),
    ] {
        let config = loop_config(packing, verify);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut source = source.try_clone().expect("a descriptor");
                source.rewind().expect("a file can be rewound");
                let source = Source::of_file("a file".into(), source).expect("a file");
                let run = both::run(&config, source, Box::new(Nowhere), Ports::default());
                run.expect("it is delivered")
            });
        });
    }
    group.finish();
}

fn loop_config(packing: Packing, verify: bool) -> config::Loop {
    config::Loop {
        common: config::Common {
            window_bytes: 64 << 20,
            verify,
            security: config::Security::Plain,
            name: String::new(),
            patience: None,
            progress: config::ProgressMode::Never,
            verbosity: config::Verbosity::Quiet,
            records: config::Records::default(),
        },
        input: config::Input::Stdin,
        output: config::Output::Stdout,
        packaging: config::Packaging { packing, foot_bytes: DEFAULT_FOOT_BYTES, size: None },
        shaping: config::Shaping::default(),
        workers: config::Workers::Count(4),
    }
}

/// A sink that takes everything at once.
struct Nowhere;

impl Sink for Nowhere {
    fn write_all(&mut self, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

criterion_group! {
    name = parts;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    targets = codec, digest, frame, reassembly, pipeline
}
criterion_main!(parts);
