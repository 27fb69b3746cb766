//! How far reading leads packing, where it is the packing threads who hold the stream up.
//!
//! Feet that wait for a packer are of use only while the source pauses; meanwhile each takes memory that has to be
//! cleared first, and has left the caches by the time it is packed. So few may wait, and twice as many each time that it
//! turns out to have been too few: a packer had nothing to do after reading had been held back here, and by nothing
//! else since. (As a TCP receiver grows its buffer, to what the stream was seen to need.) Does not know what a foot is.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that may wait in any case. Less, and packers of small feet are waited for foot by foot.
pub(super) const LEAST_BYTES: u32 = 8 << 20;

/// Feet between the reading thread and the end of their packing.
#[derive(Debug)]
pub(super) struct Lead {
    state: Mutex<State>,
    packed: Condvar,
}

#[derive(Debug)]
struct State {
    threads: usize,
    feet: usize,
    /// Reading is held back where there are so many, until half of them are packed.
    most: usize,
    /// It was, and no packer has been idle since.
    was_held: bool,
    /// It is.
    is_held: bool,
}

impl Lead {
    /// None yet; for so many packing threads, and bytes a foot.
    pub(super) fn new(threads: usize, foot_bytes: u32) -> Lead {
        let most = 4 * threads.max((LEAST_BYTES / foot_bytes) as usize / 4);
        let state = State { threads, feet: 0, most, was_held: false, is_held: false };
        Lead { state: Mutex::new(state), packed: Condvar::new() }
    }

    /// Waits while enough feet wait. Packing never blocks: this ends by itself.
    pub(super) fn wait(&self) {
        let mut state = self.lock();
        state.look();
        while state.is_held {
            state = self.packed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Something else holds reading back: packers that run dry meanwhile say nothing of the source.
    pub(super) fn forget(&self) {
        self.lock().was_held = false;
    }

    /// One more was read.
    pub(super) fn read(&self) {
        self.lock().read();
    }

    /// One was packed.
    pub(super) fn packed(&self) {
        if self.lock().packed() {
            self.packed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change of the state is complete before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether reading is to be held back from now on.
    fn look(&mut self) {
        self.is_held = self.feet >= self.most;
        self.was_held |= self.is_held;
    }

    fn read(&mut self) {
        if self.was_held && self.feet < self.threads {
            self.was_held = false;
            self.most = self.most.saturating_mul(2);
        }
        self.feet += 1;
    }

    /// Says whether reading may go on that was held back.
    fn packed(&mut self) -> bool {
        self.feet -= 1;
        self.feet <= self.most / 2 && std::mem::take(&mut self.is_held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const MIB: u32 = 1 << 20;

    /// Reads until it is held back; says how many feet wait then.
    fn fill(state: &mut State) -> usize {
        state.look();
        while !state.is_held {
            state.read();
            state.look();
        }
        state.feet
    }

    #[test]
    fn a_few_feet_may_wait_for_each_thread_and_a_few_mebibytes_in_any_case() {
        let most = |threads, foot_bytes| {
            fill(&mut Lead::new(threads, foot_bytes).state.into_inner().expect("nobody panicked"))
        };
        assert_eq!([most(1, MIB), most(2, MIB), most(16, MIB)], [8, 8, 64]);
        assert_eq!([most(2, 16 * MIB), most(2, MIB / 16)], [8, 128]);
    }

    #[test]
    fn more_may_wait_once_packers_ran_dry_after_reading_was_held_back() {
        let mut state = Lead::new(2, MIB).state.into_inner().expect("nobody panicked");
        for most in [8, 16, 32] {
            assert_eq!(fill(&mut state), most);
            // One packer of two is idle when the next foot comes.
            state.feet = 1;
            state.read();
        }
    }

    #[test]
    fn a_slow_source_or_packers_that_are_never_idle_change_nothing() {
        let mut state = Lead::new(2, MIB).state.into_inner().expect("nobody panicked");
        for _ in 0..100 {
            state.feet = 0;
            state.read();
        }
        for _ in 0..100 {
            assert_eq!(fill(&mut state), 8);
            state.feet = 2;
        }
    }

    #[test]
    fn packers_that_ran_dry_while_reading_waited_for_something_else_change_nothing() {
        let lead = Lead::new(2, MIB);
        for _ in 0..10 {
            assert_eq!(fill(&mut lead.lock()), 8);
            lead.forget();
            (0..8).for_each(|_| lead.packed());
        }
    }

    #[test]
    fn who_is_held_back_goes_on_when_half_is_packed() {
        let lead = Lead::new(1, MIB);
        (0..8).for_each(|_| lead.read());
        thread::scope(|scope| {
            let reader = scope.spawn(|| lead.wait());
            while !lead.lock().is_held {
                thread::yield_now();
            }
            (0..3).for_each(|_| lead.packed());
            assert!(lead.lock().is_held);
            lead.packed();
            assert!(reader.join().is_ok());
        });
        // And who is not, goes on at once.
        (0..3).for_each(|_| lead.read());
        lead.wait();
    }
}
