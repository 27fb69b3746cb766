//! Push and pull: the other end is started through ssh, and ends with us.
//!
//! ```text
//!   near end ── order: key, role, COMMAND … ─▶ ssh ═══ sshd ─▶ far end: `viamillipede remote`
//!      │    ◀── greeting; port and address ───                   │
//!      └───────────── TLS over TCP, dialled by the near end ─────┘
//! ```
//!
//! The command line that ssh gets is always the same; nothing secret is on it, nor in the environment. What
//! the far end shall do goes through ssh's stdin as an [`order`]. It listens, and answers where; the near
//! end dials, whichever way the stream flows. Where no direct connection comes up, the [`tunnel`] carries
//! one connection through the ssh session itself, as well protected as any other.
//!
//! The far end takes the end of its stdin for our end, so nothing is left running there. It asks first
//! whether it is ssh that died: then direct connections carry on, and patience governs.
//!
//! Does not know what is carried, nor how connections are made.

mod child;
pub mod far;
mod near;
pub mod order;
pub mod packet;
pub mod reply;
mod session;
pub mod tunnel;
pub mod words;

pub use near::{Ports, run};
