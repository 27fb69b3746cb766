//! The reading half of a worker: frames, and feet straight into the buffers that its inlet gives.
//!
//! Does not know what is written, nor when the worker rests.

use super::{Admit, Ended, READ_AHEAD, READS_IN_A_ROW, Worker};
use crate::foot::FootHeader;
use crate::link::Event;
use crate::pool::{Buffer, Filled};
use crate::proto::frame::{Abort, Frame, decode};
use std::io;
use std::sync::atomic::Ordering::Relaxed;

/// A foot whose payload is coming in.
pub(super) struct Incoming {
    header: FootHeader,
    /// `None`: its bytes are not wanted.
    buffer: Option<Buffer>,
    filled: usize,
}

impl Worker {
    /// Reads a little; says whether anything came, and whether nothing more is there.
    pub(super) fn read_some(&mut self) -> Result<(bool, bool), Ended> {
        for reads in 0..READS_IN_A_ROW {
            let result = self.read_once();
            self.count();
            match result {
                Ok(0) => return Err(Ended::Eof),
                Ok(_) => self.parse()?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok((reads > 0, true));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok((true, false))
    }

    /// One read: a foot's payload straight into its buffer, what follows it into the read-ahead.
    fn read_once(&mut self) -> io::Result<usize> {
        let ahead = self.ahead;
        debug_assert!(ahead < READ_AHEAD, "a whole frame fits, and whole frames are parsed");
        let (bytes, kept) = match &mut self.incoming {
            Some(Incoming { header, buffer: Some(buffer), filled }) => {
                let payload = &mut buffer[*filled..header.packed_bytes as usize];
                let wanted = payload.len();
                self.channel.read(payload, &mut self.read_ahead).map(|bytes| {
                    let of_payload = bytes.min(wanted);
                    *filled += of_payload;
                    self.received.fetch_add(of_payload as u64, Relaxed);
                    (bytes, bytes - of_payload)
                })?
            }
            _ => {
                let room = &mut self.read_ahead[ahead..];
                self.channel.read(room, &mut []).map(|bytes| (bytes, ahead + bytes))?
            }
        };
        self.ahead = kept;
        Ok(bytes)
    }

    /// Takes apart what was read ahead, and hands on what is complete.
    pub(super) fn parse(&mut self) -> Result<(), Ended> {
        let mut place = 0;
        loop {
            if self.incoming.is_some() {
                place += self.take_payload(place);
                if self.incoming.is_some() {
                    break;
                }
            }
            match decode(&self.read_ahead[place..self.ahead])? {
                None => break,
                Some((frame, bytes)) => {
                    place += bytes;
                    match frame {
                        Frame::Foot(header) => self.begin_foot(header)?,
                        frame => self.tell(Event::Frame(self.id, frame))?,
                    }
                }
            }
        }
        self.read_ahead.copy_within(place..self.ahead, 0);
        self.ahead -= place;
        Ok(())
    }

    /// The last word in the place of the rest of the foot that was coming in when the connection ended. (Of one that
    /// was not wanted nothing is kept; others bring the word, too.)
    pub(super) fn broken_off(&self) -> Option<Abort> {
        let Incoming { buffer, filled, .. } = self.incoming.as_ref()?;
        Abort::at_end_of(&buffer.as_ref()?[..*filled])
    }

    fn begin_foot(&mut self, header: FootHeader) -> Result<(), Ended> {
        let buffer = match self.inlet.admit(self.id, &header) {
            Admit::Take(buffer) => Some(buffer),
            Admit::Skip => None,
            Admit::Refuse(reason) => return Err(Ended::Refused(reason)),
        };
        self.incoming = Some(Incoming { header, buffer, filled: 0 });
        Ok(())
    }

    /// Moves payload from the read-ahead, from `place` on, to the foot that is coming in, and hands
    /// the foot on once it is whole; returns how much was moved.
    fn take_payload(&mut self, place: usize) -> usize {
        let Some(incoming) = &mut self.incoming else { return 0 };
        let length = incoming.header.packed_bytes as usize;
        let ahead = &self.read_ahead[place..self.ahead];
        let moved = ahead.len().min(length - incoming.filled);
        if let Some(buffer) = &mut incoming.buffer {
            buffer[incoming.filled..incoming.filled + moved].copy_from_slice(&ahead[..moved]);
        }
        incoming.filled += moved;
        self.received.fetch_add(moved as u64, Relaxed);
        if incoming.filled == length
            && let Some(Incoming { header, buffer, .. }) = self.incoming.take()
        {
            self.row.feet.increment();
            match buffer {
                Some(buffer) => self.inlet.complete(self.id, header, Filled::new(buffer, length)),
                None => self.stats().duplicate_feet.increment(),
            }
        }
        moved
    }
}
