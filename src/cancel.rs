//! Stopping threads that wait in `poll`, and waking them: descriptors that can be polled along.
//!
//! Does not know why anybody stops.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A stop that many threads can wait for. Clones are the same stop.
#[derive(Clone, Debug)]
pub struct Cancel {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Readable (end of file) once the other end is dropped.
    stopped: UnixStream,
    running: Mutex<Option<UnixStream>>,
    flag: AtomicBool,
}

impl Cancel {
    /// A stop that has not come yet. Fails when the process is out of descriptors.
    pub fn new() -> io::Result<Cancel> {
        let (stopped, running) = UnixStream::pair()?;
        let (running, flag) = (Mutex::new(Some(running)), AtomicBool::new(false));
        Ok(Cancel { shared: Arc::new(Shared { stopped, running, flag }) })
    }

    /// Stops all who wait for it, for good.
    pub fn cancel(&self) {
        self.shared.flag.store(true, Ordering::SeqCst);
        *self.shared.running.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Stops all who wait for it once the value is dropped: however whoever has it ends.
    pub fn on_drop(&self) -> CancelOnDrop {
        CancelOnDrop(self.clone())
    }

    /// Whether the stop has come.
    pub fn is_cancelled(&self) -> bool {
        self.shared.flag.load(Ordering::SeqCst)
    }

    /// Sleeps; says whether the stop came first.
    pub fn sleep(&self, time: Duration) -> io::Result<bool> {
        wait(&mut [(self.as_fd(), PollFlags::POLLIN)], Some(Instant::now() + time))?;
        Ok(self.is_cancelled())
    }
}

/// See [`Cancel::on_drop`].
#[derive(Debug)]
pub struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl AsFd for Cancel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.stopped.as_fd()
    }
}

/// Wakes one thread that polls it. Many wakes before the thread looks are one, and one that finds it awake
/// costs no call of the system.
#[derive(Debug)]
pub struct Waker {
    reader: UnixStream,
    writer: UnixStream,
    state: AtomicU8,
}

/// The thread does not rest, and has not been woken since it last looked.
const AWAKE: u8 = 0;
/// It polls the descriptor, or is about to.
const RESTING: u8 = 1;
/// It has been woken.
const WOKEN: u8 = 2;

impl Waker {
    /// A waker that has not been rung. Fails when the process is out of descriptors.
    pub fn new() -> io::Result<Waker> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(Waker { reader, writer, state: AtomicU8::new(AWAKE) })
    }

    /// Has the thread look again: makes the descriptor readable if the thread rests.
    pub fn wake(&self) {
        if self.state.swap(WOKEN, Ordering::SeqCst) == RESTING {
            // A full socket wakes as well as a written one, and the reader cannot be gone: it is ours.
            let _ = (&self.writer).write(&[1]);
        }
    }

    /// The thread has nothing to do: says whether it may poll. If not, it has been woken since it last
    /// looked, and is to look again.
    pub fn rest(&self) -> bool {
        let rests = self.state.compare_exchange(AWAKE, RESTING, Ordering::SeqCst, Ordering::SeqCst);
        if rests.is_err() {
            self.state.store(AWAKE, Ordering::SeqCst);
        }
        rests.is_ok()
    }

    /// The thread has polled, and `is_readable` is what it saw of the descriptor; it looks next.
    pub fn rise(&self, is_readable: bool) {
        self.state.store(AWAKE, Ordering::SeqCst);
        if is_readable {
            // A byte that is still to come, of a wake under way, ends one later rest for nothing.
            let _ = (&self.reader).read(&mut [0; 8]);
        }
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

/// Waits until one of the descriptors is as wanted, or until `deadline`; returns what each one is.
pub fn wait<const N: usize>(
    wanted: &mut [(BorrowedFd<'_>, PollFlags); N],
    deadline: Option<Instant>,
) -> io::Result<[PollFlags; N]> {
    let mut fds = wanted.map(|(fd, flags)| PollFd::new(fd, flags));
    poll_until(&mut fds, deadline)?;
    Ok(fds.map(|fd| fd.revents().unwrap_or(PollFlags::empty())))
}

/// `poll` that goes on after signals, and never returns before its deadline without a reason.
pub fn poll_until(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<()> {
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        match poll_for(fds, left) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
fn poll_for(fds: &mut [PollFd<'_>], left: Option<Duration>) -> nix::Result<i32> {
    nix::poll::ppoll(fds, left.map(Into::into), None)
}

/// Where there is no `ppoll`: rounded up to a millisecond, since a wait that ends too early spins.
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
fn poll_for(fds: &mut [PollFd<'_>], left: Option<Duration>) -> nix::Result<i32> {
    use nix::poll::PollTimeout;
    let round_up = |left: Duration| (left + Duration::from_micros(999)).as_millis();
    let timeout = left.map_or(PollTimeout::NONE, |left| {
        PollTimeout::try_from(round_up(left)).unwrap_or(PollTimeout::MAX)
    });
    nix::poll::poll(fds, timeout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_stop_ends_every_wait() {
        let cancel = Cancel::new().expect("descriptors");
        let sleeper = thread::spawn({
            let cancel = cancel.clone();
            move || cancel.sleep(Duration::from_secs(3600)).expect("poll")
        });
        cancel.cancel();
        assert!(sleeper.join().expect("it does not panic"));
        assert!(cancel.sleep(Duration::from_secs(3600)).expect("poll"));
    }

    #[test]
    fn no_wake_is_lost_however_it_meets_the_clearing() {
        const LOOKS: u64 = 50_000;
        let (waker, over) = (Waker::new().expect("descriptors"), AtomicBool::new(false));
        let lost = thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !over.load(Ordering::SeqCst) {
                        waker.wake();
                    }
                });
            }
            let lost = (0..LOOKS).any(|_| {
                if !waker.rest() {
                    return false;
                }
                let deadline = Some(Instant::now() + Duration::from_secs(10));
                let [woken] =
                    wait(&mut [(waker.as_fd(), PollFlags::POLLIN)], deadline).expect("poll");
                waker.rise(!woken.is_empty());
                woken.is_empty()
            });
            over.store(true, Ordering::SeqCst);
            lost
        });
        assert!(!lost, "somebody rings all the time, and nobody hears it");
    }

    #[test]
    fn wakes_before_the_wait_are_not_lost() {
        let waker = Waker::new().expect("descriptors");
        waker.wake();
        assert!(!waker.rest(), "it has been woken since it looked");
        assert!(waker.rest(), "it has looked");
        waker.wake();
        waker.wake();
        let [seen] = wait(&mut [(waker.as_fd(), PollFlags::POLLIN)], None).expect("poll");
        assert!(seen.contains(PollFlags::POLLIN));
        waker.rise(true);
        assert!(waker.rest());
        let now = Some(Instant::now());
        let [seen] = wait(&mut [(waker.as_fd(), PollFlags::POLLIN)], now).expect("poll");
        assert!(seen.is_empty());
    }
}
