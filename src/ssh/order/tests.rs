//! Orders survive the way as they are, and nothing else is taken for one.

use super::*;
use proptest::prelude::*;

fn order(task: Task) -> Order {
    Order {
        security: Security::Keyed(Key::from_bytes(&[7; KEY_BYTES])),
        name: "pool".into(),
        verify: true,
        window_bytes: Some(1 << 24),
        patience: None,
        verbosity: Verbosity::Verbose,
        ports: vec![0, 5000],
        direct_links: 2,
        task,
    }
}

fn program() -> Order {
    let argv = ["sh", "-c", "a  b\n$HOME 'x' \"y\" \\", ""].map(OsString::from);
    let odd = OsString::from_vec(vec![0xff, 0xfe, b'*']);
    order(Task::Receive(Output::Command(argv.into_iter().chain([odd]).collect())))
}

#[test]
fn every_order_arrives_as_it_was_given() {
    let packaging = Packaging { packing: Packing::Zstd(-7), foot_bytes: 1 << 16, size: Some(9) };
    let free = Shaping::default();
    let shaped = Shaping { rate: Rate::fixed(1000), congestion: Some("bbr".repeat(100)) };
    let tasks = [
        Task::Send(Input::File("/a b".into()), packaging, free),
        Task::Send(Input::Source("zfs send x | cat".into()), packaging, shaped),
        Task::Receive(Output::File { path: "copy".into(), replaces: true }),
    ];
    for order in tasks.into_iter().map(order).chain([program()]) {
        let plain = Order { security: Security::Plain, window_bytes: None, ..order.clone() };
        for order in [order, plain] {
            let bytes = order.encode();
            assert!(bytes.len() <= order.room(), "the key would be left behind");
            assert_eq!(Order::decode(&bytes), Ok(order));
        }
    }
}

#[test]
fn an_order_cut_short_or_changed_anywhere_is_refused() {
    let bytes = program().encode();
    for place in 0..bytes.len() {
        assert!(Order::decode(&bytes[..place]).is_err());
        let mut changed = bytes.to_vec();
        changed[place] ^= 1;
        assert!(Order::decode(&changed).is_err());
    }
}

#[test]
fn the_far_end_has_no_stdin_or_stdout_for_a_stream() {
    let error = Order::decode(&order(Task::Receive(Output::Stdout)).encode());
    assert_eq!(error, Err(OrderError::Value("output")));
}

proptest! {
    #[test]
    fn any_bytes_are_an_order_or_one_clean_error(body: Vec<u8>) {
        let bytes = [&check(&[], &body)[..], &body].concat();
        drop(Order::decode(&bytes));
    }
}
