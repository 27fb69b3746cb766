//! A rate that all connections of the sender share: the real bucket, drawn from as workers do.
//!
//! Does not know what is written.

use super::{Conn, Happening, Net, Side};
use crate::sim::agenda::{Agenda, Due, SECOND};
use std::time::{Duration, Instant};
use viamillipede::proto::bucket::{Bucket, Turn};
use viamillipede::proto::{LinkId, WorkerId};

/// What all connections together may write.
#[derive(Debug)]
pub(super) struct Limit {
    bucket: Bucket,
    base: Instant,
}

/// One connection's part of it.
#[derive(Debug, Default)]
pub(super) struct Share {
    granted: u64,
    /// When it is to ask again, which is in the agenda.
    turn: Option<u64>,
    last_full: Option<u64>,
    is_held: bool,
}

impl Net {
    /// Fills the kernel's buffer, as far as the shared rate goes.
    pub(super) fn admit(&mut self, agenda: &mut Agenda, conn: usize, from: Side) {
        let Conn { link, ref mut pipes, .. } = self.conns[conn];
        let pipe = &mut pipes[from as usize];
        let limit = self.limit.as_mut().filter(|_| from == Side::Sender);
        let Some(limit) = limit else {
            let written = pipe.admit(self.kernel_bytes, |_, wanted, _| wanted);
            self.happened.extend((0..written).map(|_| Happening::Written { conn }));
            return;
        };
        let (now, turn, before) = (agenda.now, pipe.share.turn, pipe.admitted);
        let written = pipe.admit(self.kernel_bytes, |share, wanted, begun| {
            if begun.is_foot {
                let left = begun.is_touched.then_some(begun.rest);
                return limit.allow(now, (conn, link, left), share, wanted);
            }
            limit.charge(now, wanted);
            wanted
        });
        if pipe.begun.is_none() {
            limit.rest(conn, &mut pipe.share);
        }
        self.writes.extend((pipe.admitted > before).then_some((now, pipe.admitted - before)));
        let news = pipe.share.news(now);
        let again = pipe.share.turn.filter(|again| Some(*again) != turn);
        again.into_iter().for_each(|at| agenda.at(at, Due::Resume { conn, from }));
        self.happened.extend(news.map(|is_held| Happening::Held { conn, is_held }));
        self.happened.extend((0..written).map(|_| Happening::Written { conn }));
    }
}

impl Limit {
    pub(super) fn new(bytes_per_second: u64) -> Limit {
        let base = Instant::now();
        Limit { bucket: Bucket::new(bytes_per_second, base), base }
    }

    /// How much of `wanted` bytes of a foot the connection may write now.
    fn allow(
        &mut self,
        now: u64,
        (conn, link, left): (usize, usize, Option<u64>),
        share: &mut Share,
        wanted: u64,
    ) -> u64 {
        if wanted == 0 {
            share.last_full = Some(now);
            self.bucket.give_back(std::mem::take(&mut share.granted));
            return 0;
        }
        if share.granted == 0 {
            let at = self.base + Duration::from_nanos(now);
            let (worker, link) = (WorkerId(conn as u32), LinkId(link as u16));
            match self.bucket.ask(at, worker, link, left) {
                Turn::Now(bytes) => (share.granted, share.turn) = (bytes, None),
                Turn::At(at) => share.turn = Some((at - self.base).as_nanos() as u64),
            }
        }
        let allowed = wanted.min(share.granted);
        share.granted -= allowed;
        allowed
    }

    /// The connection has nothing more to write.
    fn rest(&mut self, conn: usize, share: &mut Share) {
        self.bucket.give_back(std::mem::take(&mut share.granted));
        self.bucket.leave(WorkerId(conn as u32));
        share.turn = None;
    }

    /// So much was written that did not ask.
    fn charge(&mut self, now: u64, bytes: u64) {
        self.bucket.charge(self.base + Duration::from_nanos(now), bytes);
    }
}

impl Share {
    /// Whether the rate holds the connection back, and not its kernel, if that has changed.
    fn news(&mut self, now: u64) -> Option<bool> {
        let is_held = match self.last_full {
            None => true,
            Some(at) if now - at < SECOND => false,
            Some(_) => self.is_held || self.turn.is_some(),
        };
        (std::mem::replace(&mut self.is_held, is_held) != is_held).then_some(is_held)
    }
}
