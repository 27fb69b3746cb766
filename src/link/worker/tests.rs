//! One connection with a peer that does what it should not.

use super::*;
use crate::cancel::Cancel;
use crate::foot::Codec;
use crate::news::News;
use crate::pool::Pool;
use crate::proto::LinkId;
use crate::stats::Role as StatsRole;
use crossbeam_channel::bounded;
use std::thread;

#[test]
fn a_connection_that_takes_nothing_can_be_closed_in_the_middle_of_a_foot() {
    let listener = net::listen(([127, 0, 0, 1], 0).into()).expect("a listener");
    let address = listener.local_addr().expect("it is bound");
    let cancel = Cancel::new().expect("a cancel");
    let until = Instant::now() + Duration::from_secs(60);
    let stream = net::connect(&[address], None, &cancel, until).expect("it listens"); // nobody accepts
    let (events, heard) = bounded(4);
    let crew = Crew {
        role: Role::Sender,
        inlet: Arc::new(|_| Box::new(NoFeet)),
        stats: Arc::new(Stats::new(StatsRole::Sender, 1)),
        cancel,
        events,
        next_worker: Arc::default(),
        news: News::unheard(),
    };
    let row = crew.stats.join(WorkerId(0), LinkId(0), address.to_string());
    let seen = Arc::clone(&row);
    let outbox = Outbox::new().expect("descriptors");
    let (worker, handle) =
        Worker::new(WorkerId(0), stream, Vec::new(), outbox, Box::new(NoFeet), row, crew)
            .expect("a worker");

    let bytes = 64 << 20; // more than any kernel takes
    let header = FootHeader {
        id: 0,
        offset: 0,
        raw_bytes: bytes as u32,
        packed_bytes: bytes as u32,
        codec: Codec::Raw,
        check: [0; 32],
    };
    let buffer = Pool::new(1, bytes).take().expect("the pool is new");
    handle.send_foot(header, Arc::new(Filled::new(buffer, bytes)));
    let serving = thread::spawn(|| worker.run());
    while seen.bytes.now() == 0 {
        thread::yield_now();
    }
    handle.close("it stands still");
    match heard.recv_timeout(Duration::from_secs(60)) {
        Ok(Event::Down(_, cause)) => assert_eq!(cause, "it stands still"),
        other => panic!("{other:?}"),
    }
    serving.join().expect("the worker has ended");
}
