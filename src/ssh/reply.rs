//! What the far end answers: that it waits, and at its end why it did not succeed.
//!
//! Does not know what it was asked for.

use crate::proto::fields::{Fields, Malformed, printable, truncated};
use crate::proto::frame::MAX_REASON_BYTES;
use std::net::IpAddr;

/// Longest reply, in bytes.
pub const MAX_REPLY_BYTES: usize = 16 + MAX_HOST_BYTES + MAX_REASON_BYTES;
/// Longest text of an address, with room to spare.
const MAX_HOST_BYTES: usize = 64;

const WAITS: u8 = 1;
const FAILED: u8 = 2;

/// What the far end says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It waits for connections.
    Waits {
        /// The port that it has picked, or the first that it was given.
        port: u16,
        /// Its address, as ssh has found it.
        host: Option<IpAddr>,
    },
    /// It has ended without success.
    Failed {
        /// Its exit code.
        code: u8,
        /// Why, in one line.
        reason: String,
    },
}

impl Reply {
    /// The reply as bytes. Of a reason the first [`MAX_REASON_BYTES`] go.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Reply::Waits { port, host } => {
                let host = host.map(|host| host.to_string()).unwrap_or_default();
                [&[WAITS][..], &port.to_le_bytes(), host.as_bytes()].concat()
            }
            Reply::Failed { code, reason } => {
                let reason = truncated(reason, MAX_REASON_BYTES);
                [&[FAILED, *code], reason.as_bytes()].concat()
            }
        }
    }

    /// Reads a reply; none if the bytes are none.
    pub fn decode(bytes: &[u8]) -> Option<Reply> {
        Reply::read(&mut Fields::new(bytes)).ok()
    }

    fn read(fields: &mut Fields<'_>) -> Result<Reply, Malformed> {
        match fields.u8()? {
            WAITS => {
                let port = fields.u16()?;
                let host = fields.text(fields.left_bytes(), "host")?;
                if host.is_empty() {
                    return Ok(Reply::Waits { port, host: None });
                }
                let host = host.parse().map_err(|_| Malformed::Value("host"))?;
                Ok(Reply::Waits { port, host: Some(host) })
            }
            FAILED => {
                let code = fields.u8()?;
                let reason = printable(fields.text(fields.left_bytes(), "reason")?);
                Ok(Reply::Failed { code, reason })
            }
            _ => Err(Malformed::Value("reply")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_arrive_as_they_were_said() {
        let here = "192.0.2.1".parse().ok();
        let v6 = "2001:db8::1".parse().ok();
        let failed = Reply::Failed { code: 6, reason: "COMMAND: exit status 3".into() };
        let waits = [None, here, v6].map(|host| Reply::Waits { port: 5000, host });
        for reply in waits.into_iter().chain([failed]) {
            assert_eq!(Reply::decode(&reply.encode()), Some(reply));
        }
        let loud = Reply::Failed { code: 1, reason: "\x1b[2J".repeat(MAX_REASON_BYTES) };
        let bytes = loud.encode();
        assert!(bytes.len() <= MAX_REPLY_BYTES && Reply::decode(&bytes).is_some());
        for wrong in [&b""[..], b"\x01", b"\x01aahost", b"\x02", b"\x03", b"\x02\x01\xff"] {
            assert_eq!(Reply::decode(wrong), None);
        }
    }
}
