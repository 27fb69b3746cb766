//! Benchmarks of parts: packing, unpacking and hashing of feet, one thread each.
//!
//! `cargo bench --bench parts -- pack/zstd3` runs those of a name. Each part has its function here.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use viamillipede::codec::{Packer, Packing, Unpacker, packed_bound};
use viamillipede::digest::{FootCheck, Piece, StreamDigest, foot_check};
use viamillipede::foot::DEFAULT_FOOT_BYTES;

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
    for (kind, offset, raw) in
        [("first", 0, &raw[..]), ("full", FOOT as u64, &raw[..]), ("short", 1, &raw[1..])]
    {
        group.bench_function(format!("foot_check/{kind}"), |bencher| {
            bencher.iter(|| foot_check(DEFAULT_FOOT_BYTES, offset, black_box(raw)));
        });
    }
    group.finish();

    // What a thread that orders feet pays for each: nearly nothing when full, all when short.
    let mut group = criterion.benchmark_group("stream_digest");
    const FEET: u64 = 1024;
    group.throughput(Throughput::Elements(FEET));
    let first = foot_check(DEFAULT_FOOT_BYTES, 0, &raw);
    let rest = FootCheck { root: None, ..first };
    group.bench_function("full_feet", |bencher| {
        bencher.iter(|| {
            let mut digest = StreamDigest::new();
            digest.push(Piece::Full(first));
            (1..FEET).for_each(|_| digest.push(Piece::Full(black_box(rest))));
            digest.finish()
        });
    });
    group.bench_function("short_feet_of_4_KiB", |bencher| {
        bencher.iter(|| {
            let mut digest = StreamDigest::new();
            (0..FEET).for_each(|_| digest.push(Piece::Short(black_box(&raw[..4096]))));
            digest.finish()
        });
    });
    group.finish();
}

criterion_group! {
    name = parts;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    targets = codec, digest
}
criterion_main!(parts);
