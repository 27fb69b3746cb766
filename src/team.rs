//! A rayon pool whose threads each keep something of their own from job to job: a compression
//! context, a spare buffer.
//!
//! Does not know what a job does; jobs never block.

use crate::error::Error;
use rayon::ThreadPool;
use rayon::ThreadPoolBuilder;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

/// The threads and what each keeps.
pub struct Team<T> {
    pool: ThreadPool,
    kept: Arc<[Mutex<T>]>,
}

impl<T: Send + 'static> Team<T> {
    /// Starts `count` threads called `name`.
    pub fn new(name: &'static str, count: usize, keep: impl Fn() -> T) -> Result<Team<T>, Error> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(move |index| format!("{name} {index}"))
            .build()
            .map_err(|error| Error::io(format!("the {name} threads"), io::Error::other(error)))?;
        Ok(Team { pool, kept: (0..count).map(|_| Mutex::new(keep())).collect() })
    }

    /// How many threads there are.
    pub fn count(&self) -> usize {
        self.kept.len()
    }

    /// Runs `job` on one of the threads, some time; returns at once. Earlier jobs are begun first.
    pub fn spawn(&self, job: impl FnOnce(&mut T) + Send + 'static) {
        let kept = Arc::clone(&self.kept);
        self.pool.spawn_fifo(move || {
            let index = rayon::current_thread_index().unwrap_or(0);
            // Its own thread is the only one that ever locks it.
            job(&mut kept[index].lock().unwrap_or_else(PoisonError::into_inner));
        });
    }
}

/// How many threads suit this machine and a window of `feet` feet: each holds a foot of its own.
pub fn threads(feet: usize) -> usize {
    available_parallelism().map_or(1, usize::from).min(feet / 3).max(1)
}
