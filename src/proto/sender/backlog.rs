//! What waits in a sender, as others see it. Does not decide anything.

use super::Sender;

/// What waits in a [`Sender`], for people and for the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Feet that have gone out whole, each counted once.
    pub sent_feet: u64,
    /// Feet offered and not acked.
    pub unacked_feet: u64,
    /// Feet that wait for a worker.
    pub unsent_feet: u64,
    /// Their payloads' bytes.
    pub unsent_bytes: u64,
    /// The next foot does not fit into the receiver's window.
    pub window_blocked: bool,
    /// It does, but that is nearly full, and no worker would carry it before the others had filled it.
    pub window_short: bool,
    /// How many feet the receiver's window has been wide at most.
    pub window_feet: u64,
    /// The receiver says that its sink is what blocks.
    pub sink_blocked: bool,
    /// And that it is in the middle of taking something.
    pub sink_writing: bool,
    /// Raw bytes that the receiver's sink has taken.
    pub written_bytes: u64,
    /// Every foot below this number is acked.
    pub cumulative: u64,
    /// The receiver takes feet below this number.
    pub limit: u64,
}

impl Sender {
    /// How much there is, and what holds it back.
    pub fn backlog(&self) -> Backlog {
        let unsent_feet = (self.unsent.len() + self.lost.len()) as u64;
        Backlog {
            sent_feet: self.written_feet,
            unacked_feet: self.held_feet,
            unsent_feet,
            unsent_bytes: self.backlog_bytes,
            window_blocked: self.unsent.front().is_some_and(|&id| id >= self.limit),
            // (A slow worker goes without a foot also where the window is wide.)
            window_short: self.was_short
                && (self.sent_feet - self.base).saturating_mul(4)
                    >= (self.limit - self.base).saturating_mul(3),
            window_feet: self.window_feet,
            sink_blocked: self.sink_blocked,
            sink_writing: self.sink_writing,
            written_bytes: self.written_bytes,
            cumulative: self.base,
            limit: self.limit,
        }
    }
}
