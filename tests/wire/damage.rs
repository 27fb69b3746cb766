//! Bytes that are cut, changed, invented or absurd.
//!
//! Does not know which error it gets, save where the sort of it is the promise.

use super::{Message, decode_answer, decode_frame, decode_hello, golden::messages};
use proptest::{collection::vec, prelude::*, sample::select};
use viamillipede::proto::{
    frame::{
        Abort, Ack, Frame, FrameError, HEAD_BYTES, MAX_ACK_RANGES, MAX_BODY_BYTES,
        MAX_REASON_BYTES, decode,
    },
    hello::{Answer, Hello, HelloError, MAGIC, MAX_HELLO_BYTES, RefusalKind, VERSIONS},
};

#[test]
fn a_message_cut_short_waits_for_the_rest() {
    for (name, message) in messages() {
        let bytes = message.encode();
        for length in 0..bytes.len() {
            assert_eq!(message.decode_alike(&bytes[..length]), Ok(None), "{name} cut to {length}");
        }
    }
}

#[test]
fn a_message_ends_where_it_says() {
    for (name, message) in messages() {
        let mut bytes = message.encode();
        let length = bytes.len();
        bytes.extend_from_slice(&[0xee; 5]);
        assert_eq!(message.decode_alike(&bytes), Ok(Some((message, length))), "{name}");
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    for (name, message) in messages() {
        let mut bytes = message.encode();
        let length = bytes.len();
        for bit in 0..8 * length {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let alone = message.decode_alike(&bytes[..length]);
            assert!(matches!(alone, Err(_) | Ok(None)), "{name}, bit {bit}: {alone:?}");
            // A length that grew waits for more, and then fails its check.
            bytes.resize(length + MAX_BODY_BYTES, 0);
            let followed = message.decode_alike(&bytes);
            assert!(followed.is_err(), "{name}, bit {bit}, with bytes behind: {followed:?}");
            bytes.truncate(length);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn rule_11_absurd_lengths_are_refused_from_the_head_alone() {
    for kind in 1..=8_u8 {
        let head = |body_bytes: u16| {
            let mut head = [0; HEAD_BYTES];
            head[0] = kind;
            head[2..4].copy_from_slice(&body_bytes.to_le_bytes());
            decode(&head)
        };
        let above = MAX_BODY_BYTES + 1;
        assert_eq!(head(above as u16), Err(FrameError::TooLong(above)));
        assert!(matches!(head(MAX_BODY_BYTES as u16), Err(FrameError::Length { .. })));
    }
    let mut head = [0; 24];
    head[..8].copy_from_slice(&MAGIC);
    head[8] = 1;
    head[14..16].copy_from_slice(&u16::MAX.to_le_bytes());
    let absurd = 24 + usize::from(u16::MAX);
    assert_eq!(Hello::decode(&head), Err(HelloError::TooLong(absurd)));
    head[8] = 3;
    assert_eq!(Answer::decode(&head), Err(HelloError::TooLong(absurd)));
}

#[test]
fn strangers_are_known_by_their_first_wrong_byte() {
    let tls: &[u8] = &[0x16, 3, 1];
    for garbage in [tls, b"GET / HTTP/1.1\r\n", b"SSH-2.0-OpenSSH_9.9\r\n", b"\0", b"\n"] {
        let error = HelloError::Magic { place: 0, byte: garbage[0] };
        assert_eq!(Hello::decode(&garbage[..1]), Err(error.clone()));
        assert_eq!(Answer::decode(garbage), Err(error));
    }
    for place in 0..MAGIC.len() {
        let mut bytes = MAGIC;
        bytes[place] ^= 0x40;
        let error = HelloError::Magic { place, byte: bytes[place] };
        assert_eq!(Hello::decode(&bytes[..=place]), Err(error));
        assert_eq!(Hello::decode(&bytes[..place]), Ok(None));
    }
}

#[test]
fn a_hello_of_another_version_is_understood_enough_to_be_refused() {
    let later = 7..=9_u16;
    let bytes = hello_message(1, *later.start(), *later.end(), b"who knows what this will be");
    let error = Hello::decode(&bytes).expect_err("no version is common");
    assert_eq!(error, HelloError::Version(later));
    let refusal = error.refusal().expect("a wrong version is answered");
    assert_eq!((refusal.reason, &refusal.versions), (RefusalKind::Version, &VERSIONS));
    let mut reply = Vec::new();
    Answer::Refuse(refusal.clone()).encode(&mut reply);
    assert_eq!(Answer::decode(&reply), Ok(Some((Answer::Refuse(refusal), reply.len()))));
}

#[test]
fn later_versions_may_append_to_a_hello_and_ours_may_not() {
    let body_of = |name: &str| {
        let (_, message) = messages().into_iter().find(|(other, _)| other == name).expect("golden");
        [&message.encode()[24..], b"more"].concat()
    };
    let newer = hello_message(1, 1, 0x0203, &body_of("hello_newer"));
    assert!(matches!(Hello::decode(&newer), Ok(Some((_, length))) if length == newer.len()));
    let ours = hello_message(1, 1, 1, &body_of("hello_new"));
    assert_eq!(Hello::decode(&ours), Err(HelloError::Length));
}

#[test]
fn bad_values_are_refused_though_the_check_is_right() {
    let golden = |name: &str| {
        let (_, message) = messages().into_iter().find(|(other, _)| other == name).expect("golden");
        message.encode()
    };
    // The message, a place in its body, what to write there, the field that is to blame.
    let cases: [(&str, usize, &[u8], &str); 18] = [
        ("foot_raw", 24, &[3], "codec"),
        ("foot_raw", 31, &[1], "reserved bytes"),
        ("ack_few", 8, &[0; 8], "limit"),
        ("ack_few", 44, &[2], "sink_blocked"),
        ("ack_few", 45, &[3], "sink_writing"),
        ("ack_few", 47, &[1], "reserved bytes"),
        // The first range touches `cumulative`, is empty, the second touches it, lies before it.
        ("ack_few", 48, &[8], "ranges"),
        ("ack_few", 48, &[0x0b], "ranges"),
        ("ack_few", 64, &[0x0b, 7], "ranges"),
        ("ack_few", 64, &[0; 8], "ranges"),
        ("ping", 0, &[0; 4], "token"),
        ("end_digest", 16, &[2], "digest"),
        ("end_digest", 16, &[0], "reserved bytes"),
        ("end_plain", 23, &[1], "reserved bytes"),
        ("done_digest", 8, &[255], "digest"),
        ("done_plain", 47, &[1], "reserved bytes"),
        ("abort", 0, &[0], "code"),
        ("abort", 1, &[0xff], "reason"),
    ];
    for (name, place, patch, blamed) in cases {
        let mut bytes = golden(name);
        bytes[HEAD_BYTES + place..][..patch.len()].copy_from_slice(patch);
        let sealed = frame_bytes(bytes[0], &bytes[HEAD_BYTES..]);
        match decode(&sealed) {
            Err(FrameError::Value { field, .. }) => assert_eq!(field, blamed, "{name}, {place}"),
            other => panic!("{name} with {patch:?} at {place}: {other:?}"),
        }
    }
}

#[test]
fn reasons_are_cut_at_a_character_and_cannot_steer_a_terminal() {
    let reason = "é".repeat(MAX_REASON_BYTES) + "x";
    let cut = Abort { code: 1, reason: reason[..MAX_REASON_BYTES].to_owned() };
    assert_eq!(through(&Frame::Abort(Abort { code: 1, reason })), Frame::Abort(cut));
    let shifted = format!("x{}", "é".repeat(MAX_REASON_BYTES));
    let cut = Abort { code: 1, reason: shifted[..MAX_REASON_BYTES - 1].to_owned() };
    assert_eq!(through(&Frame::Abort(Abort { code: 1, reason: shifted })), Frame::Abort(cut));
    let nasty = Abort { code: 1, reason: "\x1b]0;owned\x07\nviamillipede: ok".into() };
    let shown = Abort { code: 1, reason: "?]0;owned??viamillipede: ok".into() };
    assert_eq!(through(&Frame::Abort(nasty)), Frame::Abort(shown));
}

#[test]
fn an_ack_with_too_many_ranges_carries_the_lowest() {
    let ranges: Vec<_> = (0..MAX_ACK_RANGES as u64 + 9).map(|n| 2 * n + 1..2 * n + 2).collect();
    let ack = Ack { limit: 1 << 20, ranges, ..Ack::default() };
    let cut = Ack { ranges: ack.ranges[..MAX_ACK_RANGES].to_vec(), ..ack.clone() };
    assert_eq!(through(&Frame::Ack(ack)), Frame::Ack(cut));
}

proptest! {
    #[test]
    fn rule_11_arbitrary_bytes_are_harmless(bytes in vec(any::<u8>(), 0..600)) {
        for decoder in [decode_frame, decode_hello, decode_answer] {
            if let Ok(Some((_, length))) = decoder(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }

    /// Behind a right head and check, where arbitrary bytes alone would hardly ever come.
    #[test]
    fn arbitrary_bodies_are_a_frame_or_an_error(
        kind in 0..=9_u8,
        list in 0..=MAX_ACK_RANGES,
        body in vec(prop_oneof![2 => Just(0_u8), 1 => any::<u8>()], MAX_BODY_BYTES),
    ) {
        let lengths = [0, 8, 12, 48, 56, 64, 48 + 16 * list, list];
        for body_bytes in lengths {
            let bytes = frame_bytes(kind, &body[..body_bytes]);
            match decode_frame(&bytes) {
                Ok(Some((message, length))) => {
                    prop_assert_eq!(length, bytes.len());
                    let again = message.encode();
                    prop_assert_eq!(message.decode_alike(&again), Ok(Some((message, length))));
                }
                Ok(None) => prop_assert!(false, "a whole frame, and more is wanted"),
                Err(_) => {}
            }
        }
    }

    #[test]
    fn arbitrary_hellos_are_harmless(
        kind in 0..=4_u8,
        lowest in 0..3_u16,
        highest in 0..3_u16,
        body in vec(prop_oneof![1 => 0..3_u8, 1 => any::<u8>()], 0..MAX_HELLO_BYTES - 24),
    ) {
        let bytes = hello_message(kind, lowest, highest, &body);
        for decoder in [decode_hello, decode_answer] {
            if let Ok(decoded) = decoder(&bytes) {
                let length = decoded.map(|(_, length)| length);
                prop_assert_eq!(length, Some(bytes.len()));
            }
        }
    }

    #[test]
    fn a_stream_of_frames_decodes_the_same_however_it_is_cut(
        frames in vec(select(golden_frames()), 1..40),
        cuts in vec(1..700_usize, 1..60),
    ) {
        let mut stream = Vec::new();
        for frame in &frames {
            frame.encode(&mut stream);
        }
        let (mut buffer, mut decoded) = (Vec::new(), Vec::new());
        let mut rest = stream.as_slice();
        for cut in cuts.into_iter().cycle() {
            let (piece, behind) = rest.split_at(cut.min(rest.len()));
            buffer.extend_from_slice(piece);
            while let Some((frame, length)) = decode(&buffer).expect("good frames") {
                decoded.push(frame);
                buffer.drain(..length);
            }
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert!(buffer.is_empty());
        prop_assert_eq!(decoded, frames);
    }
}

fn golden_frames() -> Vec<Frame> {
    let frame = |(_, message)| match message {
        Message::Frame(frame) => Some(frame),
        Message::Hello(_) | Message::Answer(_) => None,
    };
    messages().into_iter().filter_map(frame).collect()
}

/// What the other end gets.
fn through(frame: &Frame) -> Frame {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    let (decoded, length) = decode(&bytes).expect("a good frame").expect("a whole frame");
    assert_eq!(length, bytes.len());
    decoded
}

/// Head and check around any body, by the layout in the documentation of `proto::frame`.
fn frame_bytes(kind: u8, body: &[u8]) -> Vec<u8> {
    let [low, high] = (body.len() as u16).to_le_bytes();
    sealed(&[kind, 0, low, high], body)
}

/// The same by the layout in the documentation of `proto::hello`.
fn hello_message(kind: u8, lowest: u16, highest: u16, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_le_bytes();
    let (lowest, highest) = (lowest.to_le_bytes(), highest.to_le_bytes());
    sealed(&[&MAGIC[..], &[kind, 0], &lowest, &highest, &length].concat(), body)
}

fn sealed(head: &[u8], body: &[u8]) -> Vec<u8> {
    let check = blake3::hash(&[head, body].concat());
    [head, &check.as_bytes()[..8], body].concat()
}
