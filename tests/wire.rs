//! The bytes on the wire: what they are (`testdata/wire`, the same on every machine and for good),
//! and that anything else is one clean error.
//!
//! Does not know what the state machines do with a frame.

mod damage;
mod golden;

use viamillipede::proto::{
    frame::{self, Frame},
    hello::{Answer, Hello},
};

/// A message of any of the three streams of bytes that are decoded.
#[derive(Clone, Debug, PartialEq)]
enum Message {
    Frame(Frame),
    Hello(Hello),
    Answer(Answer),
}

/// What decoding says: the message and its length, more bytes are needed, or an error in words.
type Decoded = Result<Option<(Message, usize)>, String>;

impl Message {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Message::Frame(frame) => frame.encode(&mut bytes),
            Message::Hello(hello) => hello.encode(&mut bytes),
            Message::Answer(answer) => answer.encode(&mut bytes),
        }
        bytes
    }

    /// Decodes bytes with the decoder that this message is for.
    fn decode_alike(&self, bytes: &[u8]) -> Decoded {
        match self {
            Message::Frame(_) => decode_frame(bytes),
            Message::Hello(_) => decode_hello(bytes),
            Message::Answer(_) => decode_answer(bytes),
        }
    }
}

fn decode_frame(bytes: &[u8]) -> Decoded {
    named(frame::decode(bytes), Message::Frame)
}

fn decode_hello(bytes: &[u8]) -> Decoded {
    named(Hello::decode(bytes), Message::Hello)
}

fn decode_answer(bytes: &[u8]) -> Decoded {
    named(Answer::decode(bytes), Message::Answer)
}

fn named<T, E: ToString>(
    decoded: Result<Option<(T, usize)>, E>,
    name: fn(T) -> Message,
) -> Decoded {
    let message = decoded.map_err(|error| error.to_string())?;
    Ok(message.map(|(value, length)| (name(value), length)))
}
