//! Bytes to frames: any sequence of bytes is a frame, the beginning of one, or one clean error.
//!
//! Every length is judged from the head, before the body is waited for. Does not know what was settled
//! for the session: whether a foot's lengths fit it is for the caller to ask
//! ([`FootHeader::is_plausible`]) before it takes a buffer for the payload.

use super::{
    ABORT_FIXED_BYTES, Abort, Ack, Done, End, Frame, HEAD_BYTES, Kind, MAX_BODY_BYTES, Ping,
    RANGE_BYTES,
};
use crate::{
    foot::{Codec, FootHeader, Hash},
    proto::fields::{Fields, Malformed, check, printable},
};
use std::ops::Range;

/// Why bytes are not a frame. The connection they came on is of no more use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No kind has this number.
    #[error("frame of unknown kind {0}")]
    Kind(u8),
    /// The second byte of a head is not 0.
    #[error("frame with {0} in its reserved byte")]
    Reserved(u8),
    /// No frame is that long.
    #[error("frame of {0} bytes, more than {MAX_BODY_BYTES}")]
    TooLong(usize),
    /// No frame of this kind has a body of this length.
    #[error("{kind} frame of {body_bytes} bytes")]
    Length {
        /// What the frame says it is.
        kind: Kind,
        /// Length of its body.
        body_bytes: usize,
    },
    /// Head or body were changed on the way.
    #[error("{0} frame fails its check")]
    Check(Kind),
    /// A field holds what it never may.
    #[error("{kind} frame with a bad value in {field}")]
    Value {
        /// What the frame is.
        kind: Kind,
        /// Which of its fields.
        field: &'static str,
    },
}

/// The frame at the front of the buffer and its length there (head and body; for a foot not its
/// payload). `None`: more bytes are needed.
pub fn decode(buffer: &[u8]) -> Result<Option<(Frame, usize)>, FrameError> {
    let Some((head, rest)) = buffer.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
    let (kind, body_bytes) = judge_head(head)?;
    let Some(body) = rest.get(..body_bytes) else { return Ok(None) };
    if check(&head[..4], body) != head[4..] {
        return Err(FrameError::Check(kind));
    }
    let frame = body_of(kind, body).map_err(|malformed| match malformed {
        Malformed::Length => FrameError::Length { kind, body_bytes },
        Malformed::Value(field) => FrameError::Value { kind, field },
    })?;
    Ok(Some((frame, HEAD_BYTES + body_bytes)))
}

fn judge_head(head: &[u8; HEAD_BYTES]) -> Result<(Kind, usize), FrameError> {
    let kind = Kind::from_wire(head[0]).ok_or(FrameError::Kind(head[0]))?;
    if head[1] != 0 {
        return Err(FrameError::Reserved(head[1]));
    }
    let body_bytes = usize::from(u16::from_le_bytes([head[2], head[3]]));
    if body_bytes > MAX_BODY_BYTES {
        return Err(FrameError::TooLong(body_bytes));
    }
    if !kind.admits(body_bytes) {
        return Err(FrameError::Length { kind, body_bytes });
    }
    Ok((kind, body_bytes))
}

fn body_of(kind: Kind, body: &[u8]) -> Result<Frame, Malformed> {
    let mut fields = Fields::new(body);
    let frame = match kind {
        Kind::Foot => Frame::Foot(foot(&mut fields)?),
        Kind::Ack => Frame::Ack(ack(&mut fields)?),
        Kind::Nack => Frame::Nack { id: fields.u64()? },
        Kind::Ping => Frame::Ping(ping(&mut fields)?),
        Kind::End => Frame::End(End {
            feet: fields.u64()?,
            bytes: fields.u64()?,
            digest: digest(&mut fields)?,
        }),
        Kind::Done => Frame::Done(Done { bytes: fields.u64()?, digest: digest(&mut fields)? }),
        Kind::DoneAck => Frame::DoneAck,
        Kind::Abort => Frame::Abort(abort(&mut fields, body.len() - ABORT_FIXED_BYTES)?),
        Kind::Retire => Frame::Retire,
    };
    fields.end()?;
    Ok(frame)
}

fn foot(fields: &mut Fields<'_>) -> Result<FootHeader, Malformed> {
    let (id, offset) = (fields.u64()?, fields.u64()?);
    let (raw_bytes, packed_bytes) = (fields.u32()?, fields.u32()?);
    let codec = Codec::from_wire(fields.u8()?).ok_or(Malformed::Value("codec"))?;
    fields.zeros::<7>()?;
    Ok(FootHeader { id, offset, raw_bytes, packed_bytes, codec, check: fields.array()? })
}

fn ack(fields: &mut Fields<'_>) -> Result<Ack, Malformed> {
    let (cumulative, limit) = (fields.u64()?, fields.u64()?);
    if cumulative > limit {
        return Err(Malformed::Value("limit"));
    }
    let (received_bytes, connection_bytes) = (fields.u64()?, fields.u64()?);
    let (written_bytes, echo) = (fields.u64()?, fields.u32()?);
    let sink_blocked = fields.flag("sink_blocked")?;
    let sink_writing = fields.flag("sink_writing")?;
    fields.zeros::<2>()?;
    Ok(Ack {
        cumulative,
        limit,
        ranges: ranges(fields, cumulative)?,
        received_bytes,
        connection_bytes,
        written_bytes,
        sink_blocked,
        sink_writing,
        echo,
    })
}

/// The rest of the body as ranges. Each leaves a gap after the one before it, the first after
/// `cumulative`: whoever could have joined two of them would have.
fn ranges(fields: &mut Fields<'_>, cumulative: u64) -> Result<Vec<Range<u64>>, Malformed> {
    let mut ranges = Vec::with_capacity(fields.left_bytes() / RANGE_BYTES);
    let mut below = cumulative;
    while fields.left_bytes() > 0 {
        let range = fields.u64()?..fields.u64()?;
        if range.start <= below || range.is_empty() {
            return Err(Malformed::Value("ranges"));
        }
        below = range.end;
        ranges.push(range);
    }
    Ok(ranges)
}

fn ping(fields: &mut Fields<'_>) -> Result<Ping, Malformed> {
    let (token, sent_feet) = (fields.u32()?, fields.u64()?);
    let window_blocked = fields.flag("window_blocked")?;
    // In an ack 0 means that it answers no ping.
    if token == 0 {
        return Err(Malformed::Value("token"));
    }
    Ok(Ping { token, sent_feet, window_blocked })
}

fn digest(fields: &mut Fields<'_>) -> Result<Option<Hash>, Malformed> {
    let said = fields.flag("digest")?;
    fields.zeros::<7>()?;
    if said {
        return fields.array().map(Some);
    }
    fields.zeros::<32>()?;
    Ok(None)
}

fn abort(fields: &mut Fields<'_>, reason_bytes: usize) -> Result<Abort, Malformed> {
    let code = fields.u8()?;
    if code == 0 {
        // The end that is told exits with this code, and 0 means delivered.
        return Err(Malformed::Value("code"));
    }
    Ok(Abort { code, reason: printable(fields.text(reason_bytes, "reason")?) })
}
