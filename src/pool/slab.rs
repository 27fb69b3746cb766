//! Memory that buffers are cut from: the first ones from one piece, in huge pages where the system has them.
//!
//! Who copies a foot touches 256 pages of 4 KiB, or half a huge one; inside a virtual machine, where what the processor
//! remembers of pages costs twice to find, that is 5 to 10 % of a raw stream. One piece serves several buffers, since
//! a foot may be smaller than a huge page.

use bytes::BytesMut;

/// The buffers that a stream keeps to when nothing holds it up. Further ones only wait, most of them, and to clear
/// huge pages for a whole window takes a third of a second, where memory comes from a hypervisor.
const SLAB_BYTES: usize = 32 << 20;
/// A huge page, and a small one, on most processors.
const HUGE: usize = 2 << 20;
const PAGE: usize = 4 << 10;

/// Cuts buffers of one length.
#[derive(Debug)]
pub struct Slab {
    /// Of the one piece, once there is one.
    rest: Option<BytesMut>,
    count: usize,
    buffer_bytes: usize,
}

impl Slab {
    /// Nothing yet. Some `count` buffers of `buffer_bytes` each are expected.
    pub fn new(count: usize, buffer_bytes: usize) -> Slab {
        Slab { rest: None, count, buffer_bytes }
    }

    /// One more buffer, of zeroes.
    pub fn cut(&mut self) -> BytesMut {
        let whole = self.buffer_bytes.next_multiple_of(PAGE);
        let count = self.count.min(SLAB_BYTES / whole);
        let rest = self.rest.get_or_insert_with(|| piece(count * whole));
        if rest.is_empty() {
            return BytesMut::zeroed(self.buffer_bytes);
        }
        let mut buffer = rest.split_to(whole);
        buffer.truncate(self.buffer_bytes);
        buffer
    }
}

/// Memory that is touched only where it is used, and begins where a huge page does.
fn piece(bytes: usize) -> BytesMut {
    if bytes < HUGE {
        return BytesMut::zeroed(bytes);
    }
    let mut piece = BytesMut::zeroed(bytes + HUGE);
    let skipped = piece.as_ptr().align_offset(HUGE).min(HUGE);
    let _ = piece.split_to(skipped);
    piece.truncate(bytes);
    advise(&mut piece);
    piece
}

/// Asks for huge pages. Where there are none, or they come unasked, nothing is lost.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "libraries advise only mappings of their own, which cannot be cut")]
fn advise(piece: &mut BytesMut) {
    use nix::sys::mman::{MmapAdvise, madvise};
    use std::ptr::NonNull;
    let begin = NonNull::from(&mut piece[..]).cast();
    // SAFETY: the memory is ours, and this advice changes nothing that can be seen in it.
    let _ = unsafe { madvise(begin, piece.len(), MmapAdvise::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise(_: &mut BytesMut) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_of_one_length_and_apart_whether_from_the_piece_or_not() {
        let (bytes, count) = ((1 << 20) + 1, 40);
        let mut slab = Slab::new(count, bytes);
        let mut buffers: Vec<BytesMut> = (0..count).map(|_| slab.cut()).collect();
        for (n, buffer) in buffers.iter_mut().enumerate() {
            assert!(buffer.len() == bytes && buffer.iter().all(|&byte| byte == 0), "buffer {n}");
            buffer.fill(n as u8 + 1);
        }
        for (n, buffer) in buffers.iter().enumerate() {
            assert!(buffer.iter().all(|&byte| byte == n as u8 + 1), "buffer {n}");
        }
    }

    #[test]
    fn the_piece_is_no_larger_than_its_buffers_and_begins_where_a_huge_page_does() {
        let mut slab = Slab::new(6, 1 << 20);
        assert_eq!(slab.cut().as_ptr().align_offset(HUGE), 0);
        assert_eq!(slab.rest.as_ref().map(BytesMut::len), Some(5 << 20));
        let mut slab = Slab::new(3, 64 << 10);
        slab.cut();
        assert_eq!(slab.rest.as_ref().map(BytesMut::len), Some(128 << 10));
    }
}
