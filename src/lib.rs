//! viamillipede carries one pipe from a host to another over several TCP connections.

pub mod codec;
pub mod digest;
pub mod foot;
pub mod proto;
