//! Where the feet of a connection go, as its worker sees it.
//!
//! Does not know what becomes of them.

use crate::foot::FootHeader;
use crate::pool::{Buffer, Filled};
use crate::proto::WorkerId;

/// What to do with a foot whose header came in.
pub enum Admit {
    /// Read its payload into this buffer, and give it to [`Inlet::complete`].
    Take(Buffer),
    /// It is there already: read past it.
    Skip,
    /// It must not come: close the connection for this reason.
    Refuse(&'static str),
}

/// Where the feet of one connection go.
pub trait Inlet: Send {
    /// A foot is about to come in.
    fn admit(&mut self, worker: WorkerId, header: &FootHeader) -> Admit;
    /// Its payload is here, as the first `packed_bytes` of the buffer.
    fn complete(&mut self, worker: WorkerId, header: FootHeader, payload: Filled);
}

/// The inlet of a sender, to which no feet come.
#[derive(Debug)]
pub struct NoFeet;

impl Inlet for NoFeet {
    fn admit(&mut self, _: WorkerId, _: &FootHeader) -> Admit {
        Admit::Refuse("it sent a foot to the sender")
    }

    fn complete(&mut self, _: WorkerId, _: FootHeader, _: Filled) {}
}
