//! What one foot costs the two state machines, for windows of 10 to 100,000 feet and 1 to 256 workers.
//!
//! Both ends first play a stream against each other over virtual lines, and all that happens to each of them
//! is written on its tape. A bench plays one tape to a fresh machine and asks it after each event all that
//! its owner would, so its time is that of all feet of the tape at one end, acks and writes included, and
//! nothing else: the time of one thread. `cargo bench --bench scale -- sender/full` runs those of a name. Does not know sockets.

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};
use viamillipede::foot::{Codec, DEFAULT_FOOT_BYTES, FootHeader};
use viamillipede::proto::frame::{End, Frame};
use viamillipede::proto::liveness::Pace;
use viamillipede::proto::receiver::{self, Receiver};
use viamillipede::proto::sender::{self, Sender};
use viamillipede::proto::{LinkId, WorkerId};

const WINDOWS: [u64; 5] = [10, 100, 1_000, 10_000, 100_000];
const WORKERS: [u32; 5] = [1, 4, 16, 64, 256];
/// Feet of a tape: enough to fill the window, and then some.
const LEAST_FEET: u64 = 20_000;
/// What a foot takes at 100 Gbit/s, in nanoseconds.
const FOOT_TIME: u64 = 84_000;

/// What the stream is like, and where it is narrow.
#[derive(Clone, Copy, Debug)]
struct Course {
    name: &'static str,
    /// Windows in a round trip: above 1 the window is what is narrow.
    round_trip: f64,
    /// What each foot takes on its line: so many parts of a hundred more or less, as a die says.
    jitter: u64,
    /// The first worker needs so many times as long.
    slow: u64,
    /// The source needs so many times as long as the lines.
    source: f64,
    links: u16,
}

const FULL: Course =
    Course { name: "full", round_trip: 0.5, jitter: 0, slow: 1, source: 0.0, links: 1 };
const COURSES: [Course; 6] = [
    FULL,
    Course { name: "mixed", jitter: 90, ..FULL },
    Course { name: "narrow", round_trip: 2.0, jitter: 90, ..FULL },
    Course { name: "idle", source: 1.5, ..FULL },
    Course { name: "straggler", slow: 20, jitter: 90, ..FULL },
    Course { name: "two-links", links: 2, jitter: 90, ..FULL },
];

/// What happens to a machine.
#[derive(Clone)]
enum Step<Input> {
    Input(Input),
    Offer(FootHeader),
    Finish(End),
    /// Time has passed.
    Tick,
}

type Tape<Input> = Vec<(Instant, Step<Input>)>;

/// Something that is to happen.
enum Due {
    Read,
    Written(WorkerId),
    /// The frame comes in at the receiver, with all bytes on its connection up to it.
    There(WorkerId, Frame, u64),
    Back(WorkerId, Frame),
}

/// One connection's line, on which feet go one after the other.
#[derive(Clone, Copy, Default)]
struct Line {
    free_at: u64,
    sent_bytes: u64,
}

/// Both ends, what lies between them, and what has happened to them.
struct Pair {
    course: Course,
    window: u64,
    start: Instant,
    now: u64,
    agenda: BTreeMap<(u64, u64), Due>,
    entered: u64,
    die: u64,
    sender: Sender,
    receiver: Receiver,
    lines: Vec<Line>,
    feet: u64,
    read: u64,
    held: u64,
    reader_waits: bool,
    is_over: bool,
    tapes: (Tape<sender::Input>, Tape<receiver::Input>),
}

impl Pair {
    fn new(course: Course, window: u64, workers: u32) -> Pair {
        let start = Instant::now();
        Pair {
            course,
            window,
            start,
            now: 0,
            agenda: BTreeMap::new(),
            entered: 0,
            die: 1,
            sender: fresh_sender(window, start),
            receiver: fresh_receiver(window, start),
            lines: vec![Line::default(); workers as usize],
            feet: LEAST_FEET.max(3 * window),
            read: 0,
            held: 0,
            reader_waits: false,
            is_over: false,
            tapes: (Vec::new(), Vec::new()),
        }
    }

    /// Plays the stream to its end, and returns what happened.
    fn record(mut self) -> (Tape<sender::Input>, Tape<receiver::Input>) {
        for number in 0..self.lines.len() as u32 {
            let (worker, rtt) = (WorkerId(number), Duration::from_nanos(2 * self.one_way()));
            self.receiver_step(Step::Input(receiver::Input::Up { worker }));
            let link = LinkId((number % u32::from(self.course.links)) as u16);
            self.sender_step(Step::Input(sender::Input::Up { worker, link, rtt }));
        }
        self.after(0, Due::Read);
        while !self.is_over {
            let timeouts = [self.sender.poll_timeout(), self.receiver.poll_timeout()];
            let [tx, rx] = timeouts.map(|at| (at - self.start).as_nanos() as u64);
            match self.agenda.pop_first() {
                Some(((at, _), due)) if at <= tx.min(rx) => {
                    self.now = at;
                    self.play(due);
                }
                later => {
                    self.agenda.extend(later);
                    self.now = self.now.max(tx.min(rx));
                    if tx < rx {
                        self.sender_step(Step::Tick)
                    } else {
                        self.receiver_step(Step::Tick)
                    }
                }
            }
        }
        self.tapes
    }

    fn play(&mut self, due: Due) {
        match due {
            Due::Read if self.held == 2 * self.window => self.reader_waits = true,
            Due::Read if self.read == self.feet => {
                let bytes = self.feet * u64::from(DEFAULT_FOOT_BYTES);
                let end = End { feet: self.feet, bytes, digest: None };
                self.sender_step(Step::Finish(end));
            }
            Due::Read => {
                let header = header(self.read);
                self.read += 1;
                self.held += 1;
                self.after((self.course.source * FOOT_TIME as f64) as u64, Due::Read);
                self.sender_step(Step::Offer(header));
            }
            Due::Written(worker) => {
                self.sender_step(Step::Input(sender::Input::Written { worker }));
            }
            Due::There(worker, Frame::Foot(header), connection_bytes) => {
                let received = receiver::Input::Received { worker, connection_bytes };
                self.receiver_step(Step::Input(received));
                self.receiver_step(Step::Input(receiver::Input::Foot { worker, header }));
            }
            Due::There(worker, frame, _) => {
                self.receiver_step(Step::Input(receiver::Input::Frame { worker, frame }));
            }
            Due::Back(worker, frame) => {
                self.sender_step(Step::Input(sender::Input::Frame { worker, frame }));
            }
        }
    }

    fn sender_step(&mut self, step: Step<sender::Input>) {
        let now = self.start + Duration::from_nanos(self.now);
        self.tapes.0.push((now, step.clone()));
        feed_sender(&mut self.sender, now, step);
        while let Some((worker, frame)) = self.sender.poll_transmit(now) {
            self.send(worker, frame);
        }
        while let Some(event) = self.sender.poll_event() {
            match event {
                sender::Event::Acked { .. } => {
                    self.held -= 1;
                    if std::mem::take(&mut self.reader_waits) {
                        self.after(0, Due::Read);
                    }
                }
                sender::Event::Delivered(_) => self.is_over = true,
                sender::Event::PassedOver { .. } => {}
                other => panic!("nothing goes wrong on a tape, but {other:?}"),
            }
        }
    }

    /// A frame goes out on a line; a foot takes its time there.
    fn send(&mut self, worker: WorkerId, frame: Frame) {
        let (way, share) = (self.one_way(), FOOT_TIME * self.lines.len() as u64);
        let roll = self.roll();
        let line = &mut self.lines[worker.0 as usize];
        let Frame::Foot(header) = frame else {
            let bytes = line.sent_bytes;
            return self.after(way, Due::There(worker, frame, bytes));
        };
        let jitter = self.course.jitter;
        let percent = 100 - jitter + roll % (2 * jitter + 1);
        let slow = if worker.0 == 0 { self.course.slow } else { 1 };
        line.free_at = line.free_at.max(self.now) + share * percent / 100 * slow;
        line.sent_bytes += u64::from(header.packed_bytes);
        let (time, bytes) = (line.free_at - self.now, line.sent_bytes);
        self.after(time, Due::Written(worker));
        self.after(time + way, Due::There(worker, frame, bytes));
    }

    fn receiver_step(&mut self, step: Step<receiver::Input>) {
        let now = self.start + Duration::from_nanos(self.now);
        self.tapes.1.push((now, step.clone()));
        feed_receiver(&mut self.receiver, now, step);
        while let Some((worker, frame)) = self.receiver.poll_transmit() {
            self.after(self.one_way(), Due::Back(worker, frame));
        }
        while let Some(event) = self.receiver.poll_event() {
            match event {
                receiver::Event::Write(_) => {
                    self.receiver_step(Step::Input(receiver::Input::Written));
                }
                receiver::Event::CloseSink(_) => {
                    let closed = receiver::Input::SinkClosed { digest: None };
                    self.receiver_step(Step::Input(closed));
                }
                receiver::Event::Duplicate { .. } => {}
                other => panic!("nothing goes wrong on a tape, but {other:?}"),
            }
        }
    }

    fn after(&mut self, time: u64, due: Due) {
        self.entered += 1;
        self.agenda.insert((self.now + time, self.entered), due);
    }

    fn one_way(&self) -> u64 {
        (self.course.round_trip * (self.window * FOOT_TIME) as f64) as u64 / 2
    }

    fn roll(&mut self) -> u64 {
        self.die ^= self.die << 13;
        self.die ^= self.die >> 7;
        self.die ^= self.die << 17;
        self.die >> 11
    }
}

fn header(id: u64) -> FootHeader {
    let foot_bytes = DEFAULT_FOOT_BYTES;
    FootHeader {
        id,
        offset: id * u64::from(foot_bytes),
        raw_bytes: foot_bytes,
        packed_bytes: foot_bytes,
        codec: Codec::Raw,
        check: [7; 32],
    }
}

fn fresh_sender(window_feet: u64, now: Instant) -> Sender {
    let config = sender::Config {
        foot_bytes: DEFAULT_FOOT_BYTES,
        buffer_feet: 2 * window_feet,
        patience: None,
        pace: Pace::default(),
    };
    Sender::new(config, now)
}

fn fresh_receiver(window_feet: u64, now: Instant) -> Receiver {
    let config = receiver::Config {
        foot_bytes: DEFAULT_FOOT_BYTES,
        window_feet,
        open_feet: window_feet,
        patience: None,
        pace: Pace::default(),
    };
    Receiver::new(config, now)
}

fn feed_sender(sender: &mut Sender, now: Instant, step: Step<sender::Input>) {
    match step {
        Step::Input(input) => sender.handle(now, input),
        Step::Offer(header) => sender.offer(header),
        Step::Finish(end) => sender.finish(end),
        Step::Tick => {}
    }
    sender.handle_timeout(now);
}

fn feed_receiver(receiver: &mut Receiver, now: Instant, step: Step<receiver::Input>) {
    if let Step::Input(input) = step {
        receiver.handle(now, input);
    }
    receiver.handle_timeout(now);
}

/// All that the owner asks after each event.
fn play_sender(window: u64, tape: Tape<sender::Input>) {
    let mut sender = fresh_sender(window, tape[0].0);
    for (now, step) in tape {
        feed_sender(&mut sender, now, step);
        while black_box(sender.poll_transmit(now)).is_some() {}
        while black_box(sender.poll_event()).is_some() {}
        black_box((sender.backlog(), sender.counts(), sender.poll_timeout()));
    }
}

/// The same of the other end.
fn play_receiver(window: u64, tape: Tape<receiver::Input>) {
    let mut receiver = fresh_receiver(window, tape[0].0);
    for (now, step) in tape {
        feed_receiver(&mut receiver, now, step);
        while black_box(receiver.poll_transmit()).is_some() {}
        while black_box(receiver.poll_event()).is_some() {}
        black_box((receiver.limit(), receiver.cumulative(), receiver.sink_blocked()));
        black_box(receiver.poll_timeout());
    }
}

/// The processor's time for this thread, whatever else runs on the machine.
struct ThreadTime;

impl Measurement for ThreadTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    fn end(&self, start: Duration) -> Duration {
        self.start() - start
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, time: &Duration) -> f64 {
        time.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn feet(criterion: &mut Criterion<ThreadTime>) {
    for course in COURSES {
        for window in WINDOWS {
            for workers in WORKERS {
                bench(criterion, course, window, workers);
            }
        }
    }
}

fn bench(criterion: &mut Criterion<ThreadTime>, course: Course, window: u64, workers: u32) {
    let feet = LEAST_FEET.max(3 * window);
    let case = format!("{}/{window}/{workers}", course.name);
    let tapes = LazyCell::new(|| Pair::new(course, window, workers).record()); // if any is asked for
    let mut group = criterion.benchmark_group("scale");
    group.throughput(Throughput::Elements(feet)).sampling_mode(SamplingMode::Flat);
    group.bench_function(format!("sender/{case}"), |bencher| {
        bencher.iter_batched(
            || tapes.0.clone(),
            |tape| play_sender(window, tape),
            BatchSize::PerIteration,
        );
    });
    group.bench_function(format!("receiver/{case}"), |bencher| {
        bencher.iter_batched(
            || tapes.1.clone(),
            |tape| play_receiver(window, tape),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group! {
    name = scale;
    config = Criterion::default()
        .with_measurement(ThreadTime)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(1))
        .measurement_time(Duration::from_millis(100));
    targets = feet
}
criterion_main!(scale);
