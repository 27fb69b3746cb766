//! Virtual links and connections: rate, delay, kernel buffers, stalls and cuts.
//!
//! A link puts one chunk after the other on the line, in turn from each of its connections that have
//! bytes in the kernel. A connection is a pair of pipes; a pipe keeps bytes in order and loses none
//! until it breaks, as TCP does. Where the plan wants it, a connection has a congestion window, and
//! a link a bounded queue that all its connections share. Does not know what the frames mean, beyond
//! that control goes ahead of feet not yet begun.

mod congestion;
mod limit;

use super::agenda::{Agenda, Due, SECOND};
use congestion::Congestion;
use limit::{Limit, Share};
use std::collections::VecDeque;
use viamillipede::foot::FootHeader;
use viamillipede::proto::frame::{Frame, Ping};

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Sender = 0,
    Receiver = 1,
}

impl Side {
    pub(super) fn other(self) -> Side {
        if self == Side::Sender { Side::Receiver } else { Side::Sender }
    }
}

/// One way between the ends.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) bytes_per_second: u64,
    /// One way, in nanoseconds.
    pub(super) delay: u64,
    /// Dials fail at once until then.
    pub(super) refused_until: u64,
    /// Dials and bytes go nowhere until then.
    pub(super) silent_until: u64,
    lines: [Line; 2],
}

/// One direction of a link.
#[derive(Debug, Default)]
struct Line {
    /// Connections that have bytes to send, in turn.
    turns: VecDeque<usize>,
    /// The connection whose chunk is on the line, and the chunk's length.
    serving: Option<(usize, u64)>,
    /// With congestion: connections and chunks that wait for the line, and their bytes.
    queue: VecDeque<(usize, u64)>,
    queued_bytes: u64,
}

/// What one end knows of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Pending,
    Up,
    Gone,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) slot: usize,
    pub(super) link: usize,
    /// What each end knows of it.
    pub(super) states: [State; 2],
    pub(super) pipes: [Pipe; 2],
}

/// What the network reports.
#[derive(Debug)]
pub(super) enum Happening {
    /// A foot of the sender has gone to the kernel.
    Written { conn: usize },
    /// The shared rate is what holds the sender's end back from now on, or is not any more.
    Held { conn: usize, is_held: bool },
    /// A frame has arrived whole.
    Frame { conn: usize, at: Side, frame: Frame },
    /// The connection was cut at a byte that the plan named.
    Cut { conn: usize },
    /// All that its peer had to say has arrived, and the peer has closed.
    Fin { conn: usize, at: Side },
}

/// Control frames that wait for a connection before heartbeats are put together.
const MANY_WAITING: usize = 512;
/// The shortest queue of a link with congestion; a longer one holds a round trip's worth.
const SHORTEST_QUEUE: u64 = 256 << 10;

/// All links and all connections there ever were.
#[derive(Debug)]
pub(super) struct Net {
    pub(super) links: Vec<Link>,
    pub(super) conns: Vec<Conn>,
    pub(super) happened: VecDeque<Happening>,
    kernel_bytes: u64,
    chunk_bytes: u64,
    congestion: bool,
    /// What the sender's connections may write together.
    limit: Option<Limit>,
    /// Bytes of the sender that went to the kernel, and when.
    pub(super) writes: Vec<(u64, u64)>,
}

impl Net {
    pub(super) fn new(
        links: Vec<Link>,
        kernel_bytes: u64,
        chunk_bytes: u64,
        congestion: bool,
    ) -> Net {
        let (conns, happened, writes) = (Vec::new(), VecDeque::new(), Vec::new());
        let limit = None;
        Net { links, conns, happened, kernel_bytes, chunk_bytes, congestion, limit, writes }
    }

    /// The sender keeps to this rate.
    pub(super) fn limited(mut self, bytes_per_second: Option<u64>) -> Net {
        self.limit = bytes_per_second.map(Limit::new);
        self
    }

    /// A connection that neither end sees yet.
    pub(super) fn connect(&mut self, slot: usize, link: usize) -> usize {
        let pipe = || Pipe { congestion: self.congestion.then(Congestion::new), ..Pipe::default() };
        let pipes = [pipe(), pipe()];
        self.conns.push(Conn { slot, link, states: [State::Pending; 2], pipes });
        self.conns.len() - 1
    }

    /// An end hands a frame to its worker.
    pub(super) fn send(&mut self, agenda: &mut Agenda, conn: usize, from: Side, frame: Frame) {
        self.conns[conn].pipes[from as usize].push(frame);
        self.advance(agenda, conn, from);
    }

    /// A link has finished a chunk.
    pub(super) fn served(&mut self, agenda: &mut Agenda, link: usize, from: Side) {
        let Link { delay, ref mut lines, .. } = self.links[link];
        let Some((conn, bytes)) = lines[from as usize].serving.take() else { return };
        let pipe = &mut self.conns[conn].pipes[from as usize];
        if !pipe.broken {
            pipe.served += bytes;
            pipe.taken = pipe.taken.max(pipe.served);
            pipe.air.push_back((agenda.now + delay, pipe.served));
            agenda.after(delay, Due::Arrive { conn, from });
        }
        self.advance(agenda, conn, from);
        self.serve(agenda, link, from);
    }

    /// The peer's kernel has said that bytes have arrived.
    pub(super) fn acknowledged(
        &mut self,
        agenda: &mut Agenda,
        conn: usize,
        from: Side,
        bytes: u64,
    ) {
        if let Some(congestion) = &mut self.conns[conn].pipes[from as usize].congestion {
            congestion.acknowledged(bytes);
            self.advance(agenda, conn, from);
        }
    }

    /// Takes in what has arrived on a pipe by now.
    pub(super) fn arrive(&mut self, agenda: &mut Agenda, conn: usize, from: Side) {
        let Link { delay, silent_until, .. } = self.links[self.conns[conn].link];
        let pipe = &mut self.conns[conn].pipes[from as usize];
        let stalled_until = pipe.stalled_until.max(silent_until);
        if pipe.broken || pipe.air.is_empty() {
            return;
        }
        if stalled_until > agenda.now {
            return agenda.at(stalled_until, Due::Arrive { conn, from });
        }
        let before = pipe.arrived;
        let frames = pipe.take_arrived(agenda.now);
        if pipe.congestion.is_some() && pipe.arrived > before {
            let bytes = pipe.arrived - before;
            agenda.after(delay, Due::Acknowledged { conn, from, bytes });
        }
        for frame in frames {
            self.happened.push_back(Happening::Frame { conn, at: from.other(), frame });
        }
        if pipe.cut_at.is_some_and(|byte| pipe.arrived >= byte) {
            pipe.cut_at = None;
            self.happened.push_back(Happening::Cut { conn });
        } else if pipe.closed && pipe.is_empty() {
            self.happened.push_back(Happening::Fin { conn, at: from.other() });
        }
    }

    /// Bytes of this pipe stand still until `until`.
    pub(super) fn stall(&mut self, agenda: &mut Agenda, conn: usize, from: Side, until: u64) {
        let pipe = &mut self.conns[conn].pipes[from as usize];
        pipe.stalled_until = pipe.stalled_until.max(until);
        agenda.at(until, Due::Resume { conn, from });
    }

    /// Bytes move again, if they may.
    pub(super) fn resume(&mut self, agenda: &mut Agenda, conn: usize, from: Side) {
        self.advance(agenda, conn, from);
        self.arrive(agenda, conn, from);
    }

    /// What has not arrived never will.
    pub(super) fn break_both(&mut self, conn: usize) {
        for pipe in &mut self.conns[conn].pipes {
            pipe.broken = true;
        }
    }

    /// `from` closes its socket: what it has begun still travels, what comes in is dropped.
    pub(super) fn close(&mut self, agenda: &mut Agenda, conn: usize, from: Side) {
        let pipes = &mut self.conns[conn].pipes;
        pipes[from.other() as usize].broken = true;
        let pipe = &mut pipes[from as usize];
        pipe.closed = true;
        pipe.feet.clear();
        if pipe.is_empty() && !pipe.broken {
            self.happened.push_back(Happening::Fin { conn, at: from.other() });
        }
        self.advance(agenda, conn, from);
    }

    /// Moves bytes into the kernel, and asks for a turn on the line.
    fn advance(&mut self, agenda: &mut Agenda, conn: usize, from: Side) {
        self.admit(agenda, conn, from);
        let link = self.conns[conn].link;
        let pipe = &self.conns[conn].pipes[from as usize];
        let line = &mut self.links[link].lines[from as usize];
        let on_line = !self.congestion && line.serving.is_some_and(|(other, _)| other == conn);
        if pipe.wants_line(agenda.now) && !on_line && !line.turns.contains(&conn) {
            line.turns.push_back(conn);
        }
        self.serve(agenda, link, from);
    }

    fn serve(&mut self, agenda: &mut Agenda, link: usize, from: Side) {
        if self.congestion {
            self.fill_queue(agenda, link, from);
        }
        let Link { bytes_per_second, ref mut lines, .. } = self.links[link];
        let line = &mut lines[from as usize];
        if line.serving.is_none()
            && let Some((conn, bytes)) = line.queue.pop_front()
        {
            line.queued_bytes -= bytes;
            line.serving = Some((conn, bytes));
            agenda.after(bytes * SECOND / bytes_per_second, Due::Served { link, from });
        }
        while !self.congestion && line.serving.is_none() {
            let Some(conn) = line.turns.pop_front() else { return };
            let pipe = &self.conns[conn].pipes[from as usize];
            if pipe.wants_line(agenda.now) {
                let bytes = pipe.kernel_bytes().min(self.chunk_bytes);
                line.serving = Some((conn, bytes));
                agenda.after(bytes * SECOND / bytes_per_second, Due::Served { link, from });
            }
        }
    }

    /// Takes chunks into the link's queue, in turn, as their windows allow; who finds it full learns it.
    fn fill_queue(&mut self, agenda: &mut Agenda, link: usize, from: Side) {
        let limit = self.links[link].queue_bytes();
        let mut refused = VecDeque::new();
        loop {
            let line = &mut self.links[link].lines[from as usize];
            let Some(conn) = line.turns.pop_front() else { break };
            let pipe = &mut self.conns[conn].pipes[from as usize];
            let wanted = pipe.kernel_bytes().min(self.chunk_bytes);
            let Some(congestion) = &mut pipe.congestion else { continue };
            let bytes = congestion.grant(wanted);
            if bytes == 0 || pipe.broken || pipe.stalled_until > agenda.now {
                continue;
            }
            if line.queued_bytes + bytes > limit {
                congestion.refused();
                refused.push_back(conn);
                continue;
            }
            congestion.sent(bytes);
            pipe.taken += bytes;
            line.queue.push_back((conn, bytes));
            line.queued_bytes += bytes;
            line.turns.push_back(conn);
            self.admit(agenda, conn, from);
        }
        self.links[link].lines[from as usize].turns = refused;
    }
}

impl Link {
    /// How much waits for the line at most.
    fn queue_bytes(&self) -> u64 {
        (self.bytes_per_second * 2 * self.delay / SECOND).max(SHORTEST_QUEUE)
    }

    pub(super) fn new(bytes_per_second: u64, delay: u64) -> Link {
        let lines = [Line::default(), Line::default()];
        Link { bytes_per_second, delay, refused_until: 0, silent_until: 0, lines }
    }
}

/// The frame at hand.
#[derive(Clone, Copy, Debug)]
struct Begun {
    /// Bytes that are not yet in the kernel.
    rest: u64,
    is_foot: bool,
    /// Some of it is in the kernel.
    is_touched: bool,
}

/// One direction of one connection; its places count bytes since it came up.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    control: VecDeque<Frame>,
    feet: VecDeque<FootHeader>,
    begun: Option<Begun>,
    congestion: Option<Congestion>,
    share: Share,
    /// Bytes that went to the kernel, to the link, over the line, and arrived.
    admitted: u64,
    taken: u64,
    served: u64,
    arrived: u64,
    /// Frames begun and not arrived, each with its end and the length of its payload.
    marks: VecDeque<(u64, u64, Frame)>,
    /// Chunks that travel: when they arrive, and where they end.
    air: VecDeque<(u64, u64)>,
    whole_payload_bytes: u64,
    stalled_until: u64,
    pub(super) cut_at: Option<u64>,
    broken: bool,
    closed: bool,
}

impl Pipe {
    /// Payload bytes that have arrived, those of the foot at hand included.
    pub(super) fn payload_bytes(&self) -> u64 {
        let partial = self
            .marks
            .front()
            .map_or(0, |(end, payload, _)| self.arrived.saturating_sub(end - payload));
        self.whole_payload_bytes + partial
    }

    /// It is cut when `bytes` more have arrived.
    pub(super) fn cut_after(&mut self, bytes: u64) {
        self.cut_at = Some(self.arrived + bytes);
    }

    fn push(&mut self, frame: Frame) {
        // Where many wait, a heartbeat says all that those say which wait.
        let many = self.control.len() >= MANY_WAITING;
        let is_newer = |waiting: &&mut Frame| match (waiting, &frame) {
            (Frame::Ping(_), Frame::Ping(_)) => true,
            (waiting, Frame::End(_)) => **waiting == frame,
            _ => false,
        };
        let waiting = self.control.iter_mut().filter(|_| many).find(is_newer);
        match (waiting, frame) {
            (_, Frame::Foot(header)) => self.feet.push_back(header),
            (Some(Frame::Ping(waiting)), Frame::Ping(newer)) => {
                *waiting = Ping { token: waiting.token, ..newer };
            }
            (Some(_), _) => {}
            (None, frame) => self.control.push_back(frame),
        }
    }

    fn is_empty(&self) -> bool {
        self.control.is_empty() && self.marks.is_empty()
    }

    fn kernel_bytes(&self) -> u64 {
        self.admitted - self.taken
    }

    fn wants_line(&self, now: u64) -> bool {
        !self.broken && self.stalled_until <= now && self.kernel_bytes() > 0
    }

    /// Fills the kernel's buffer, with as much of what there is room for as `allow` says; whether that is
    /// of a foot it is told. Returns how many feet went in whole.
    fn admit(
        &mut self,
        kernel_bytes: u64,
        mut allow: impl FnMut(&mut Share, u64, Begun) -> u64,
    ) -> usize {
        let mut written = 0;
        loop {
            let Some(begun) = self.begun.or_else(|| self.begin()) else { return written };
            let room = begun.rest.min(kernel_bytes - self.kernel_bytes());
            let taken = allow(&mut self.share, room, begun);
            self.admitted += taken;
            let rest = begun.rest - taken;
            let is_touched = begun.is_touched || taken > 0;
            self.begun = (rest > 0).then_some(Begun { rest, is_touched, ..begun });
            if taken == 0 {
                return written;
            }
            if self.begun.is_some() {
                continue; // there may be more, or else it is noticed
            }
            written += usize::from(begun.is_foot);
        }
    }

    /// Takes the next frame from the worker's queue: control first.
    fn begin(&mut self) -> Option<Begun> {
        let control = self.control.pop_front();
        let frame = control.or_else(|| self.feet.pop_front().map(Frame::Foot))?;
        let (head, payload) = wire_bytes(&frame);
        self.marks.push_back((self.admitted + head + payload, payload, frame));
        Some(Begun { rest: head + payload, is_foot: payload > 0, is_touched: false })
    }

    fn take_arrived(&mut self, now: u64) -> Vec<Frame> {
        while let Some(&(at, end)) = self.air.front()
            && at <= now
        {
            self.arrived = self.cut_at.map_or(end, |byte| end.min(byte));
            self.air.pop_front();
        }
        let mut frames = Vec::new();
        while self.marks.front().is_some_and(|(end, _, _)| *end <= self.arrived) {
            if let Some((_, payload, frame)) = self.marks.pop_front() {
                self.whole_payload_bytes += payload;
                frames.push(frame);
            }
        }
        frames
    }
}

/// Bytes of a frame on the wire, before its payload and in it. (The frames themselves travel as
/// values; a body's exact layout is the wire tests' business.)
fn wire_bytes(frame: &Frame) -> (u64, u64) {
    match frame {
        Frame::Foot(header) => (72, u64::from(header.packed_bytes)),
        Frame::Ack(ack) => (66 + 16 * ack.ranges.len() as u64, 0),
        Frame::Abort(abort) => (14 + abort.reason.len() as u64, 0),
        Frame::End(_) | Frame::Done(_) => (62, 0),
        Frame::Nack { .. } | Frame::Ping(_) | Frame::DoneAck | Frame::Retire => (24, 0),
    }
}
