//! Hellos and answers to bytes and back. Garbage is an error at its first wrong byte.
//!
//! Does not know which end it is, nor what is thought of a hello: see [`super::Gate`].

use super::settle::fits;
use super::{
    Answer, Hello, HelloKind, MAGIC, MAX_DETAIL_BYTES, MAX_HELLO_BYTES, MAX_NAME_BYTES,
    MAX_WORKERS, Refusal, RefusalKind, Role, SessionId, Settled, VERSIONS, Welcome,
};
use crate::{
    foot::{MAX_FOOT_BYTES, MIN_FOOT_BYTES},
    proto::fields::{Fields, Malformed, check, printable, truncated},
    proto::liveness::Pace,
};
use std::ops::RangeInclusive;

const HEAD_BYTES: usize = 24;
/// Where the check stands, behind all that it covers of the head.
const CHECK_AT: usize = 16;
const MAX_BODY_BYTES: usize = MAX_HELLO_BYTES - HEAD_BYTES;

const HELLO: u8 = 1;
const WELCOME: u8 = 2;
const REFUSAL: u8 = 3;

const HELLO_FIXED_BYTES: usize = 40;
const REFUSAL_FIXED_BYTES: usize = 1;
const _: () = assert!(HELLO_FIXED_BYTES + MAX_NAME_BYTES <= MAX_BODY_BYTES);
const _: () = assert!(REFUSAL_FIXED_BYTES + MAX_DETAIL_BYTES <= MAX_BODY_BYTES);

/// Why bytes are not a hello, or not an answer to one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// Something else speaks here.
    #[error("not viamillipede: byte {place} is {byte:#04x}")]
    Magic {
        /// Where the first wrong byte stands.
        place: usize,
        /// What it is.
        byte: u8,
    },
    /// The message is none that belongs here: both ends dial, or both listen.
    #[error("unexpected message {0} instead of a hello or its answer")]
    Kind(u8),
    /// No message is that long.
    #[error("hello of {0} bytes, more than {MAX_HELLO_BYTES}")]
    TooLong(usize),
    /// The message was changed on the way.
    #[error("hello fails its check")]
    Check,
    /// No version is common; to be answered with [`RefusalKind::Version`].
    #[error("protocol versions {} to {}, this end speaks {} to {}",
        .0.start(), .0.end(), VERSIONS.start(), VERSIONS.end())]
    Version(RangeInclusive<u16>),
    /// The body is too short or too long for what it says.
    #[error("hello of a wrong length")]
    Length,
    /// A field holds what it never may.
    #[error("hello with a bad value in {0}")]
    Value(&'static str),
}

impl From<Malformed> for HelloError {
    fn from(malformed: Malformed) -> HelloError {
        match malformed {
            Malformed::Length => HelloError::Length,
            Malformed::Value(field) => HelloError::Value(field),
        }
    }
}

impl HelloError {
    /// What to tell the end that sent this, where it would understand.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            HelloError::Version(_) => Some(Refusal::new(RefusalKind::Version, self.to_string())),
            _ => None,
        }
    }
}

impl Hello {
    /// Appends the message.
    ///
    /// # Panics
    ///
    /// When the name is longer than [`MAX_NAME_BYTES`]: cut short it could equal another.
    pub fn encode(&self, out: &mut Vec<u8>) {
        assert!(self.name.len() <= MAX_NAME_BYTES, "a name of {} bytes", self.name.len());
        message(out, HELLO, &self.versions, |out| {
            out.extend_from_slice(&self.session.0);
            out.extend_from_slice(&[self.kind as u8, self.role as u8, u8::from(self.verify)]);
            out.push(self.name.len() as u8);
            out.extend_from_slice(&self.worker.to_le_bytes());
            out.extend_from_slice(&self.link.to_le_bytes());
            out.extend_from_slice(&self.workers.to_le_bytes());
            out.extend_from_slice(&[self.pace.more_a_second, 0]);
            out.extend_from_slice(&self.foot_bytes.to_le_bytes());
            out.extend_from_slice(&self.window_bytes.to_le_bytes());
            out.extend_from_slice(self.name.as_bytes());
        });
    }

    /// The hello at the front of the buffer and its length there. `None`: more bytes are needed.
    pub fn decode(buffer: &[u8]) -> Result<Option<(Hello, usize)>, HelloError> {
        let Some(raw) = Raw::decode(buffer, &[HELLO])? else { return Ok(None) };
        raw.common_version()?;
        Ok(Some((hello(&raw)?, HEAD_BYTES + raw.body.len())))
    }
}

impl Answer {
    /// Appends the message. Of a detail the first [`MAX_DETAIL_BYTES`] go.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Answer::Welcome(Welcome { version, incarnation, settled }) => {
                message(out, WELCOME, &(*version..=*version), |out| {
                    out.extend_from_slice(incarnation);
                    out.extend_from_slice(&settled.foot_bytes.to_le_bytes());
                    out.extend_from_slice(&settled.workers.to_le_bytes());
                    out.extend_from_slice(&[u8::from(settled.verify), settled.pace.more_a_second]);
                    out.extend_from_slice(&settled.window_bytes.to_le_bytes());
                });
            }
            Answer::Refuse(Refusal { versions, reason, detail }) => {
                message(out, REFUSAL, versions, |out| {
                    out.push(*reason as u8);
                    out.extend_from_slice(truncated(detail, MAX_DETAIL_BYTES).as_bytes());
                });
            }
        }
    }

    /// The answer at the front of the buffer and its length there. `None`: more bytes are needed.
    pub fn decode(buffer: &[u8]) -> Result<Option<(Answer, usize)>, HelloError> {
        let Some(raw) = Raw::decode(buffer, &[WELCOME, REFUSAL])? else { return Ok(None) };
        let answer = if raw.kind == WELCOME {
            raw.common_version()?;
            Answer::Welcome(welcome(&raw)?)
        } else {
            // A refusal is understood whatever the version: it may be about just that.
            Answer::Refuse(refusal(&raw)?)
        };
        Ok(Some((answer, HEAD_BYTES + raw.body.len())))
    }
}

/// Appends head and body, and fills in the head once the body is known.
fn message(
    out: &mut Vec<u8>,
    kind: u8,
    versions: &RangeInclusive<u16>,
    body: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[kind, 0]);
    out.extend_from_slice(&versions.start().to_le_bytes());
    out.extend_from_slice(&versions.end().to_le_bytes());
    out.resize(start + HEAD_BYTES, 0);
    body(out);
    let (head, body) = out[start..].split_at_mut(HEAD_BYTES);
    head[14..CHECK_AT].copy_from_slice(&(body.len() as u16).to_le_bytes());
    let check = check(&head[..CHECK_AT], body);
    head[CHECK_AT..].copy_from_slice(&check);
}

/// A message of any version, as far as its head says.
struct Raw<'a> {
    kind: u8,
    versions: RangeInclusive<u16>,
    body: &'a [u8],
}

impl<'a> Raw<'a> {
    fn decode(buffer: &'a [u8], expected: &[u8]) -> Result<Option<Raw<'a>>, HelloError> {
        let wrong = buffer.iter().zip(MAGIC).position(|(&byte, magic)| byte != magic);
        if let Some(place) = wrong {
            return Err(HelloError::Magic { place, byte: buffer[place] });
        }
        let Some((head, rest)) = buffer.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let mut fields = Fields::new(&head[MAGIC.len()..]);
        let kind = fields.u8()?;
        if !expected.contains(&kind) {
            return Err(HelloError::Kind(kind));
        }
        fields.zeros::<1>()?;
        let versions = fields.u16()?..=fields.u16()?;
        if versions.is_empty() {
            return Err(HelloError::Value("versions"));
        }
        let body_bytes = usize::from(fields.u16()?);
        if body_bytes > MAX_BODY_BYTES {
            return Err(HelloError::TooLong(HEAD_BYTES + body_bytes));
        }
        let Some(body) = rest.get(..body_bytes) else { return Ok(None) };
        if check(&head[..CHECK_AT], body) != head[CHECK_AT..] {
            return Err(HelloError::Check);
        }
        Ok(Some(Raw { kind, versions, body }))
    }

    fn common_version(&self) -> Result<(), HelloError> {
        if self.versions.end() < VERSIONS.start() || VERSIONS.end() < self.versions.start() {
            return Err(HelloError::Version(self.versions.clone()));
        }
        Ok(())
    }
}

fn hello(raw: &Raw<'_>) -> Result<Hello, HelloError> {
    let mut fields = Fields::new(raw.body);
    let session = SessionId(fields.array()?);
    let kind = match fields.u8()? {
        1 => HelloKind::New,
        2 => HelloKind::Join,
        _ => return Err(HelloError::Value("kind")),
    };
    let role = match fields.u8()? {
        1 => Role::Sender,
        2 => Role::Receiver,
        _ => return Err(HelloError::Value("role")),
    };
    let verify = fields.flag("verify")?;
    let name_bytes = usize::from(fields.u8()?);
    let (worker, link) = (fields.u16()?, fields.u16()?);
    let workers = workers(&mut fields)?;
    let pace = Pace { more_a_second: fields.u8()? };
    fields.zeros::<1>()?;
    let foot_bytes = foot_bytes(&mut fields)?;
    let window_bytes = fields.u64()?;
    let name = fields.text(name_bytes, "name")?.to_owned();
    let versions = raw.versions.clone();
    if versions.end() <= VERSIONS.end() {
        fields.end()?;
    }
    Ok(Hello {
        versions,
        kind,
        session,
        role,
        worker,
        link,
        workers,
        foot_bytes,
        window_bytes,
        verify,
        pace,
        name,
    })
}

fn welcome(raw: &Raw<'_>) -> Result<Welcome, HelloError> {
    if raw.versions.start() != raw.versions.end() {
        return Err(HelloError::Value("versions"));
    }
    let mut fields = Fields::new(raw.body);
    let incarnation = fields.array()?;
    let foot_bytes = foot_bytes(&mut fields)?;
    let workers = workers(&mut fields)?;
    let verify = fields.flag("verify")?;
    let pace = Pace { more_a_second: fields.u8()? };
    let window_bytes = fields.u64()?;
    fields.end()?;
    if !fits(foot_bytes, workers, window_bytes) {
        return Err(HelloError::Value("window_bytes"));
    }
    let settled = Settled { foot_bytes, workers, window_bytes, verify, pace };
    Ok(Welcome { version: *raw.versions.start(), incarnation, settled })
}

fn refusal(raw: &Raw<'_>) -> Result<Refusal, HelloError> {
    let mut fields = Fields::new(raw.body);
    let reason = RefusalKind::from_wire(fields.u8()?).ok_or(HelloError::Value("reason"))?;
    let detail_bytes = fields.left_bytes();
    if detail_bytes > MAX_DETAIL_BYTES {
        return Err(HelloError::Length);
    }
    let detail = printable(fields.text(detail_bytes, "detail")?);
    Ok(Refusal { versions: raw.versions.clone(), reason, detail })
}

impl RefusalKind {
    fn from_wire(number: u8) -> Option<RefusalKind> {
        Some(match number {
            1 => RefusalKind::Busy,
            2 => RefusalKind::UnknownSession,
            3 => RefusalKind::Version,
            4 => RefusalKind::Name,
            5 => RefusalKind::Role,
            6 => RefusalKind::Workers,
            7 => RefusalKind::Window,
            8 => RefusalKind::Plain,
            9 => RefusalKind::Tls,
            _ => return None,
        })
    }
}

fn workers(fields: &mut Fields<'_>) -> Result<u16, Malformed> {
    let workers = fields.u16()?;
    if (1..=MAX_WORKERS).contains(&workers) {
        Ok(workers)
    } else {
        Err(Malformed::Value("workers"))
    }
}

fn foot_bytes(fields: &mut Fields<'_>) -> Result<u32, Malformed> {
    let foot_bytes = fields.u32()?;
    if foot_bytes.is_power_of_two() && (MIN_FOOT_BYTES..=MAX_FOOT_BYTES).contains(&foot_bytes) {
        Ok(foot_bytes)
    } else {
        Err(Malformed::Value("foot_bytes"))
    }
}
