//! viamillipede carries one pipe from a host to another over several TCP connections.

pub mod foot;
pub mod proto;
