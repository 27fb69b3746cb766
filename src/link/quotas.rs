//! How many connections each link shall have, and how many threads see to them.
//!
//! Whoever dials sees here whether it is still needed; whoever decides that there shall be more learns here how
//! many are missing. Does not know which connections go, nor why.

use crate::proto::LinkId;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The quotas of all links, shared by all who dial.
#[derive(Debug)]
pub(super) struct Quotas(Mutex<Vec<Quota>>);

#[derive(Clone, Copy, Debug)]
struct Quota {
    wanted: u16,
    /// Threads that dial, or have a connection.
    diallers: u16,
}

impl Quotas {
    /// Links with so many connections each; for each there will be a thread.
    pub(super) fn new(wanted: impl IntoIterator<Item = u16>) -> Quotas {
        let quota = |wanted| Quota { wanted, diallers: wanted };
        Quotas(Mutex::new(wanted.into_iter().map(quota).collect()))
    }

    /// A link shall have so many connections; returns how many threads are to be started for that, which count
    /// from now on.
    pub(super) fn want(&self, link: LinkId, wanted: u16) -> u16 {
        let mut quotas = self.lock();
        let Some(quota) = quotas.get_mut(usize::from(link.0)) else { return 0 };
        let missing = wanted.saturating_sub(quota.diallers);
        *quota = Quota { wanted, diallers: quota.diallers + missing };
        missing
    }

    /// One of a link's threads has no connection: whether it is one too many, and does not count any more.
    pub(super) fn leave(&self, link: LinkId) -> bool {
        let mut quotas = self.lock();
        let Some(quota) = quotas.get_mut(usize::from(link.0)) else { return false };
        let is_surplus = quota.diallers > quota.wanted;
        quota.diallers -= u16::from(is_surplus);
        is_surplus
    }

    /// One of a link's threads could not be started.
    pub(super) fn fail(&self, link: LinkId) {
        if let Some(quota) = self.lock().get_mut(usize::from(link.0)) {
            quota.diallers = quota.diallers.saturating_sub(1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Quota>> {
        // Each change is complete before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_threads_leave_as_are_not_needed_and_come_as_are_missing() {
        let (quotas, link) = (Quotas::new([4, 1]), LinkId(0));
        assert!(!quotas.leave(link), "all are needed");
        assert_eq!(quotas.want(link, 8), 4);
        assert_eq!(quotas.want(link, 6), 0);
        assert!(quotas.leave(link), "the first of two that are not");
        assert_eq!(quotas.want(link, 8), 1, "the second one goes on");
        assert!(!quotas.leave(link));
        assert!(!quotas.leave(LinkId(1)) && !quotas.leave(LinkId(2)));
        quotas.fail(link);
        assert_eq!(quotas.want(link, 8), 1);
    }
}
