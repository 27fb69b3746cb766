//! Frames to bytes, field by field in the order on the wire.
//!
//! Does not know whether the other end will like the values: what [`super::decode()`] refuses must not
//! be put in. The payload of a foot is the caller's to append.

use super::{
    Abort, Ack, Done, End, Frame, HEAD_BYTES, Kind, MAX_ACK_RANGES, MAX_BODY_BYTES,
    MAX_REASON_BYTES, Ping,
};
use crate::{
    foot::{FootHeader, Hash},
    proto::fields::{check, truncated},
};

impl Frame {
    /// What the frame's first byte says.
    pub fn kind(&self) -> Kind {
        match self {
            Frame::Foot(_) => Kind::Foot,
            Frame::Ack(_) => Kind::Ack,
            Frame::Nack { .. } => Kind::Nack,
            Frame::Ping(_) => Kind::Ping,
            Frame::End(_) => Kind::End,
            Frame::Done(_) => Kind::Done,
            Frame::DoneAck => Kind::DoneAck,
            Frame::Abort(_) => Kind::Abort,
            Frame::Retire => Kind::Retire,
        }
    }

    /// Appends head and body. Of an ack only the lowest [`MAX_ACK_RANGES`] ranges go (the others
    /// come with a later one), of a reason the first [`MAX_REASON_BYTES`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; HEAD_BYTES]);
        match self {
            Frame::Foot(header) => foot(header, out),
            Frame::Ack(body) => ack(body, out),
            Frame::Nack { id } => out.extend_from_slice(&id.to_le_bytes()),
            Frame::Ping(body) => ping(body, out),
            Frame::End(body) => end(body, out),
            Frame::Done(body) => done(body, out),
            Frame::DoneAck | Frame::Retire => {}
            Frame::Abort(body) => abort(body, out),
        }
        seal(self.kind(), &mut out[start..]);
    }
}

/// Fills in the head, now that the body behind it is known.
fn seal(kind: Kind, frame: &mut [u8]) {
    let (head, body) = frame.split_at_mut(HEAD_BYTES);
    assert!(body.len() <= MAX_BODY_BYTES, "the body of a frame is {} bytes long", body.len());
    head[0] = kind as u8;
    head[2..4].copy_from_slice(&(body.len() as u16).to_le_bytes());
    let check = check(&head[..4], body);
    head[4..].copy_from_slice(&check);
}

fn foot(header: &FootHeader, out: &mut Vec<u8>) {
    out.extend_from_slice(&header.id.to_le_bytes());
    out.extend_from_slice(&header.offset.to_le_bytes());
    out.extend_from_slice(&header.raw_bytes.to_le_bytes());
    out.extend_from_slice(&header.packed_bytes.to_le_bytes());
    out.push(header.codec as u8);
    out.extend_from_slice(&[0; 7]);
    out.extend_from_slice(&header.check);
}

fn ack(ack: &Ack, out: &mut Vec<u8>) {
    out.extend_from_slice(&ack.cumulative.to_le_bytes());
    out.extend_from_slice(&ack.limit.to_le_bytes());
    out.extend_from_slice(&ack.received_bytes.to_le_bytes());
    out.extend_from_slice(&ack.connection_bytes.to_le_bytes());
    out.extend_from_slice(&ack.written_bytes.to_le_bytes());
    out.extend_from_slice(&ack.echo.to_le_bytes());
    out.push(u8::from(ack.sink_blocked));
    out.push(u8::from(ack.sink_writing));
    out.extend_from_slice(&[0; 2]);
    for range in ack.ranges.iter().take(MAX_ACK_RANGES) {
        out.extend_from_slice(&range.start.to_le_bytes());
        out.extend_from_slice(&range.end.to_le_bytes());
    }
}

fn ping(ping: &Ping, out: &mut Vec<u8>) {
    out.extend_from_slice(&ping.token.to_le_bytes());
    out.extend_from_slice(&ping.sent_feet.to_le_bytes());
    out.push(u8::from(ping.window_blocked));
}

fn end(end: &End, out: &mut Vec<u8>) {
    out.extend_from_slice(&end.feet.to_le_bytes());
    out.extend_from_slice(&end.bytes.to_le_bytes());
    digest(end.digest.as_ref(), out);
}

fn done(done: &Done, out: &mut Vec<u8>) {
    out.extend_from_slice(&done.bytes.to_le_bytes());
    digest(done.digest.as_ref(), out);
}

/// A flag, seven zero bytes, and the digest, or zeros in its place.
fn digest(digest: Option<&Hash>, out: &mut Vec<u8>) {
    out.push(u8::from(digest.is_some()));
    out.extend_from_slice(&[0; 7]);
    out.extend_from_slice(digest.unwrap_or(&[0; 32]));
}

fn abort(abort: &Abort, out: &mut Vec<u8>) {
    out.push(abort.code);
    out.extend_from_slice(truncated(&abort.reason, MAX_REASON_BYTES).as_bytes());
}
