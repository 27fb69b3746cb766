//! A fixed budget of foot buffers: the back-pressure of the whole program.
//!
//! Last in, first out, so that a stream that needs few buffers keeps to those few, and they stay in
//! cache; a buffer is made when it is first needed. Does not know what is in a buffer.

mod slab;

use bytes::BytesMut;
use slab::Slab;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Hands out buffers of one length, a fixed number at most.
#[derive(Clone, Debug)]
pub struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    returned: Condvar,
    count: usize,
}

#[derive(Debug)]
struct State {
    free: Vec<BytesMut>,
    made: usize,
    slab: Slab,
    /// Threads that wait for a buffer. Where there are none a return needs no call of the system.
    waiting: usize,
    closed: bool,
}

impl Pool {
    /// A pool of `count` buffers of `buffer_bytes` each, none of them made yet.
    pub fn new(count: usize, buffer_bytes: usize) -> Pool {
        let slab = Slab::new(count, buffer_bytes);
        let state = State { free: Vec::new(), made: 0, slab, waiting: 0, closed: false };
        let (state, returned) = (Mutex::new(state), Condvar::new());
        Pool { shared: Arc::new(Shared { state, returned, count }) }
    }

    /// A buffer, as soon as there is one; `None` once the pool is closed.
    pub fn take(&self) -> Option<Buffer> {
        let mut state = self.shared.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(buffer) = self.buffer(&mut state) {
                return Some(buffer);
            }
            state.waiting += 1;
            state = self.shared.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
    }

    /// A buffer, if there is one now; `None` once the pool is closed.
    pub fn try_take(&self) -> Option<Buffer> {
        let mut state = self.shared.lock();
        if state.closed { None } else { self.buffer(&mut state) }
    }

    /// Whoever waits for a buffer, now or later, gets none.
    pub fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.returned.notify_all();
    }

    fn buffer(&self, state: &mut State) -> Option<Buffer> {
        let bytes = state.free.pop().or_else(|| {
            (state.made < self.shared.count).then(|| {
                state.made += 1;
                state.slab.cut()
            })
        })?;
        Some(Buffer { bytes, pool: Arc::clone(&self.shared) })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change of the state is complete before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer on loan; it returns to its pool when dropped. Its bytes are what the last user left.
#[derive(Debug)]
pub struct Buffer {
    bytes: BytesMut,
    pool: Arc<Shared>,
}

impl Buffer {
    /// Memory of the same length that is no buffer of the pool: whoever takes it counts it.
    pub fn spare(&self) -> BytesMut {
        self.pool.lock().slab.cut()
    }

    /// Exchanges the memory for another piece of the same length, without a copy.
    pub fn swap(&mut self, other: &mut BytesMut) {
        assert_eq!(self.bytes.len(), other.len(), "buffers of one pool are of one length");
        std::mem::swap(&mut self.bytes, other);
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut state = self.pool.lock();
        state.free.push(bytes);
        if state.waiting > 0 {
            self.pool.returned.notify_one();
        }
    }
}

/// A buffer and how much of it is filled: the payload of one foot.
#[derive(Debug)]
pub struct Filled {
    buffer: Buffer,
    bytes: usize,
}

impl Filled {
    /// The first `bytes` of `buffer`.
    pub fn new(buffer: Buffer, bytes: usize) -> Filled {
        assert!(bytes <= buffer.len(), "no buffer is filled beyond its end");
        Filled { buffer, bytes }
    }

    /// As [`Buffer::spare`].
    pub fn spare(&self) -> BytesMut {
        self.buffer.spare()
    }

    /// The whole buffer.
    pub fn into_buffer(self) -> Buffer {
        self.buffer
    }
}

impl Deref for Filled {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[..self.bytes]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn the_last_buffer_returned_is_the_first_taken() {
        let pool = Pool::new(2, 1);
        let (mut a, b) = (pool.take().expect("one"), pool.take().expect("two"));
        assert!(pool.try_take().is_none());
        a[0] = 7;
        drop(b);
        drop(a);
        assert_eq!(pool.take().expect("again")[0], 7);
    }

    #[test]
    fn a_taker_waits_for_a_return_and_a_closed_pool_gives_nothing() {
        let pool = Pool::new(1, 1);
        let held = pool.take().expect("one");
        let waiter = thread::spawn({
            let pool = pool.clone();
            move || pool.take().is_some()
        });
        drop(held);
        assert!(waiter.join().expect("it does not panic"));
        pool.close();
        assert!(pool.take().is_none());
        assert!(pool.try_take().is_none());
    }
}
