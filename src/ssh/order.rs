//! What the far end is asked to do: settings, and a source or a sink.
//!
//! Hand-written bytes as in [`crate::proto`], and bytes they stay: names of files and arguments of programs
//! arrive as they are. Does not know how orders travel ([`super::packet`]), nor who carries them out.

use crate::config::{
    Input, MAX_NAME_BYTES, MAX_TOTAL_WORKERS, Output, Packaging, Packing, Rate, Security, Shaping,
    Verbosity, ZSTD_LEVELS,
};
use crate::foot::{MAX_FOOT_BYTES, MIN_FOOT_BYTES};
use crate::key::{KEY_BYTES, Key};
use crate::proto::fields::{CHECK_BYTES, Fields, Malformed, check};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

/// Longest order, in bytes: more than a system lets a program have as arguments.
pub const MAX_ORDER_BYTES: usize = 4 << 20;
/// Most arguments of a program.
const MAX_ARGUMENTS: u32 = 1 << 16;

/// What the far end shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// How connections are protected; the key was made for this session.
    pub security: Security,
    /// The stream's label.
    pub name: String,
    /// Hash the whole stream.
    pub verify: bool,
    /// The window that was asked for, in bytes; none leaves it to the far machine's memory.
    pub window_bytes: Option<u64>,
    /// How long to go on without progress; none is for ever.
    pub patience: Option<Duration>,
    /// How much is said.
    pub verbosity: Verbosity,
    /// Where to wait for direct connections, on all addresses: TCP ports, 0 is a free one. Without any
    /// there will be none.
    pub ports: Vec<u16>,
    /// How many of the links, the first ones, do not lead through ssh.
    pub direct_links: u16,
    /// The end that it shall be.
    pub task: Task,
}

/// The role of the far end, with its end of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Transmit this. Its rate is never a file: that would be at the near end.
    Send(Input, Packaging, Shaping),
    /// Receive to this.
    Receive(Output),
}

/// Why bytes are not an order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// It was changed on the way.
    #[error("the order fails its check")]
    Check,
    /// It is too short or too long for what it says.
    #[error("an order of a wrong length")]
    Length,
    /// A field holds what it never may.
    #[error("an order with a bad value in {0}")]
    Value(&'static str),
}

impl From<Malformed> for OrderError {
    fn from(malformed: Malformed) -> OrderError {
        match malformed {
            Malformed::Length => OrderError::Length,
            Malformed::Value(field) => OrderError::Value(field),
        }
    }
}

impl Order {
    /// The order as bytes, which hold the key. They may be more than [`MAX_ORDER_BYTES`], and are none then.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // With room for all of it: a buffer that grew would leave the key behind where it was.
        let mut out = Zeroizing::new(Vec::with_capacity(self.room()));
        out.extend_from_slice(&[0; CHECK_BYTES]);
        match &self.security {
            Security::Plain => out.push(0),
            Security::Keyed(key) => {
                out.push(1);
                out.extend_from_slice(key.bytes());
            }
        }
        put(&mut out, self.name.as_bytes());
        out.push(self.verify.into());
        put_option(&mut out, self.window_bytes);
        put_option(&mut out, self.patience.map(|it| it.as_millis().try_into().unwrap_or(u64::MAX)));
        out.push(match self.verbosity {
            Verbosity::Quiet => 0,
            Verbosity::Normal => 1,
            Verbosity::Verbose => 2,
            Verbosity::VeryVerbose => 3,
        });
        put_number(&mut out, self.ports.len());
        for port in &self.ports {
            out.extend_from_slice(&port.to_le_bytes());
        }
        out.extend_from_slice(&self.direct_links.to_le_bytes());
        self.task.encode(&mut out);
        let (head, body) = out.split_at_mut(CHECK_BYTES);
        head.copy_from_slice(&check(&[], body));
        out
    }

    /// Reads an order.
    pub fn decode(bytes: &[u8]) -> Result<Order, OrderError> {
        let (head, body) = bytes.split_at_checked(CHECK_BYTES).ok_or(OrderError::Length)?;
        if head != check(&[], body) {
            return Err(OrderError::Check);
        }
        let mut fields = Fields::new(body);
        let security = if fields.flag("security")? {
            let bytes = Zeroizing::new(fields.array::<KEY_BYTES>()?);
            Security::Keyed(Key::from_bytes(&bytes))
        } else {
            Security::Plain
        };
        let name_bytes = length(&mut fields)?;
        if name_bytes > MAX_NAME_BYTES {
            return Err(OrderError::Value("name"));
        }
        let order = Order {
            security,
            name: fields.text(name_bytes, "name")?.to_owned(),
            verify: fields.flag("verify")?,
            window_bytes: option(&mut fields)?,
            patience: option(&mut fields)?.map(Duration::from_millis),
            verbosity: match fields.u8()? {
                0 => Verbosity::Quiet,
                1 => Verbosity::Normal,
                2 => Verbosity::Verbose,
                3 => Verbosity::VeryVerbose,
                _ => return Err(OrderError::Value("verbosity")),
            },
            ports: ports(&mut fields)?,
            direct_links: fields.u16()?,
            task: Task::decode(&mut fields)?,
        };
        fields.end()?;
        Ok(order)
    }

    /// Bytes that suffice for the encoded order.
    fn room(&self) -> usize {
        const FIXED: usize = 256;
        let parts = match &self.task {
            Task::Send(Input::File(path), ..) => path.as_os_str().len(),
            Task::Send(Input::Source(command), ..) => command.len(),
            Task::Send(Input::Stdin, ..) | Task::Receive(Output::Stdout) => 0,
            Task::Receive(Output::File { path, .. }) => path.as_os_str().len(),
            Task::Receive(Output::Command(argv)) => argv.iter().map(|it| it.len() + 4).sum(),
        };
        let congestion = match &self.task {
            Task::Send(_, _, shaping) => shaping.congestion.as_ref().map_or(0, String::len),
            Task::Receive(_) => 0,
        };
        FIXED + self.name.len() + 2 * self.ports.len() + congestion + parts
    }
}

impl Task {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Task::Send(input, packaging, shaping) => {
                out.push(1);
                encode_packaging(packaging, out);
                encode_shaping(shaping, out);
                match input {
                    Input::Stdin => out.push(0),
                    Input::File(path) => tagged(out, 1, path.as_os_str()),
                    Input::Source(command) => tagged(out, 2, command),
                }
            }
            Task::Receive(output) => {
                out.push(2);
                match output {
                    Output::Stdout => out.push(0),
                    Output::File { path, replaces } => {
                        tagged(out, 1, path.as_os_str());
                        out.push(u8::from(*replaces));
                    }
                    Output::Command(argv) => {
                        out.push(2);
                        put_number(out, argv.len());
                        argv.iter().for_each(|argument| put(out, argument.as_bytes()));
                    }
                }
            }
        }
    }

    /// Only what the far end can do: its stdin and stdout are not there for a stream.
    fn decode(fields: &mut Fields<'_>) -> Result<Task, OrderError> {
        match fields.u8()? {
            1 => {
                let packaging = decode_packaging(fields)?;
                let shaping = decode_shaping(fields)?;
                let input = match fields.u8()? {
                    1 => Input::File(Path::new(&text(fields)?).into()),
                    2 => Input::Source(text(fields)?),
                    _ => return Err(OrderError::Value("input")),
                };
                Ok(Task::Send(input, packaging, shaping))
            }
            2 => Ok(Task::Receive(match fields.u8()? {
                1 => {
                    let path = Path::new(&text(fields)?).into();
                    Output::File { path, replaces: fields.flag("replaces")? }
                }
                2 => Output::Command(arguments(fields)?),
                _ => return Err(OrderError::Value("output")),
            })),
            _ => Err(OrderError::Value("task")),
        }
    }
}

fn encode_packaging(packaging: &Packaging, out: &mut Vec<u8>) {
    let (packing, level) = match packaging.packing {
        Packing::None => (0, 0),
        Packing::Zstd(level) => (1, level),
        Packing::Lz4 => (2, 0),
        Packing::Adapt => (3, 0),
    };
    out.push(packing);
    out.extend_from_slice(&level.to_le_bytes());
    out.extend_from_slice(&packaging.foot_bytes.to_le_bytes());
    put_option(out, packaging.size);
}

fn decode_packaging(fields: &mut Fields<'_>) -> Result<Packaging, OrderError> {
    let (packing, level) = (fields.u8()?, fields.u32()?.cast_signed());
    let packing = match packing {
        0 => Packing::None,
        1 if ZSTD_LEVELS.contains(&level) => Packing::Zstd(level),
        2 => Packing::Lz4,
        3 => Packing::Adapt,
        _ => return Err(OrderError::Value("packing")),
    };
    let foot_bytes = fields.u32()?;
    if !foot_bytes.is_power_of_two() || !(MIN_FOOT_BYTES..=MAX_FOOT_BYTES).contains(&foot_bytes) {
        return Err(OrderError::Value("foot_bytes"));
    }
    Ok(Packaging { packing, foot_bytes, size: option(fields)? })
}

fn encode_shaping(shaping: &Shaping, out: &mut Vec<u8>) {
    put_option(
        out,
        match shaping.rate {
            Some(Rate::Fixed(rate)) => Some(rate),
            Some(Rate::File(_)) | None => None,
        },
    );
    // No algorithm has an empty name.
    put(out, shaping.congestion.as_deref().unwrap_or_default().as_bytes());
}

fn decode_shaping(fields: &mut Fields<'_>) -> Result<Shaping, OrderError> {
    let rate = match option(fields)? {
        Some(rate) => Some(Rate::fixed(rate).ok_or(OrderError::Value("rate"))?),
        None => None,
    };
    let congestion_bytes = length(fields)?;
    let congestion = fields.text(congestion_bytes, "congestion")?;
    let congestion = (!congestion.is_empty()).then(|| congestion.to_owned());
    Ok(Shaping { rate, congestion })
}

fn ports(fields: &mut Fields<'_>) -> Result<Vec<u16>, OrderError> {
    let count = fields.u32()?;
    if count > MAX_TOTAL_WORKERS {
        return Err(OrderError::Value("ports"));
    }
    (0..count).map(|_| Ok(fields.u16()?)).collect()
}

fn arguments(fields: &mut Fields<'_>) -> Result<Vec<OsString>, OrderError> {
    let count = fields.u32()?;
    if !(1..=MAX_ARGUMENTS).contains(&count) {
        return Err(OrderError::Value("arguments"));
    }
    (0..count).map(|_| text(fields)).collect()
}

fn tagged(out: &mut Vec<u8>, tag: u8, text: &OsStr) {
    out.push(tag);
    put(out, text.as_bytes());
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// More than fits makes an order that is too long anyway.
fn put_number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_option(out: &mut Vec<u8>, number: Option<u64>) {
    out.push(number.is_some().into());
    out.extend_from_slice(&number.unwrap_or(0).to_le_bytes());
}

fn option(fields: &mut Fields<'_>) -> Result<Option<u64>, Malformed> {
    let is_some = fields.flag("option")?;
    let number = fields.u64()?;
    Ok(is_some.then_some(number))
}

fn length(fields: &mut Fields<'_>) -> Result<usize, Malformed> {
    Ok(fields.u32()? as usize) // what is longer than what is left is refused when it is taken
}

/// A text as the system has it: any bytes but 0, which no file and no argument can hold.
fn text(fields: &mut Fields<'_>) -> Result<OsString, OrderError> {
    let length = length(fields)?;
    let bytes = fields.bytes(length)?;
    if bytes.contains(&0) {
        return Err(OrderError::Value("text"));
    }
    Ok(OsString::from_vec(bytes.to_vec()))
}

#[cfg(test)]
mod tests;
