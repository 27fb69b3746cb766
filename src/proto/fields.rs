//! Fixed little-endian fields, the check over a message, and text that is safe to print: what frames
//! and hellos have in common.
//!
//! Knows no message and no limit of one; see [`super::frame`] and [`super::hello`].

/// Length of the check of a message.
pub(crate) const CHECK_BYTES: usize = 8;

/// What is wrong with a body; the message adds its own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// The body ends too soon, or goes on after its last field.
    Length,
    /// This field holds what it never may.
    Value(&'static str),
}

/// The fields of a body, taken off its front one after the other.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Fields<'a> {
        Fields(body)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (field, rest) = self.0.split_first_chunk().ok_or(Malformed::Length)?;
        self.0 = rest;
        Ok(*field)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// A byte that is 0 or 1.
    pub(crate) fn flag(&mut self, field: &'static str) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed::Value(field)),
        }
    }

    /// Reserved bytes: a later version may give them a meaning, so nothing else may stand there now.
    pub(crate) fn zeros<const N: usize>(&mut self) -> Result<(), Malformed> {
        if self.array()? == [0; N] { Ok(()) } else { Err(Malformed::Value("reserved bytes")) }
    }

    /// This many bytes of whatever they are.
    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Malformed::Length)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// UTF-8 of this many bytes.
    pub(crate) fn text(
        &mut self,
        text_bytes: usize,
        field: &'static str,
    ) -> Result<&'a str, Malformed> {
        str::from_utf8(self.bytes(text_bytes)?).map_err(|_| Malformed::Value(field))
    }

    /// How many bytes are left.
    pub(crate) fn left_bytes(&self) -> usize {
        self.0.len()
    }

    /// Asserts that the body ends here.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed::Length) }
    }
}

/// The check of a message: the first bytes of BLAKE3 over what stands before the check and after it.
pub(crate) fn check(head: &[u8], body: &[u8]) -> [u8; CHECK_BYTES] {
    let hash = blake3::Hasher::new().update(head).update(body).finalize();
    *hash.as_bytes().first_chunk().expect("32 bytes begin with 8")
}

/// The text with its control characters replaced, so that a peer cannot steer a terminal. Never
/// longer than before.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The beginning of the text that fits, whole characters only.
pub(crate) fn truncated(text: &str, max_bytes: usize) -> &str {
    let mut end = text.len().min(max_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_either_set_are_replaced() {
        assert_eq!(printable("a\x1b[31m\r\n\u{9b}2J\x7f é"), "a?[31m???2J? é");
    }

    #[test]
    fn truncation_keeps_characters_whole() {
        assert_eq!(truncated("aé", 3), "aé");
        assert_eq!(truncated("aé", 2), "a");
        assert_eq!(truncated("é", 1), "");
        assert_eq!(truncated("abc", 9), "abc");
    }
}
