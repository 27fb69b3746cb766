//! How a key is written down: `vmkey1_` and 56 letters and digits, which no shell, terminal or mail
//! breaks, and which a double click takes as one word.
//!
//! They are the 32 bytes and a checksum of 3 in base 32 (RFC 4648's alphabet in lower case, without
//! 0, 1, 8 and 9): 280 bits, so that each key has one text only, without padding. The checksum is the
//! beginning of the BLAKE3 of `vmkey1_` and the 32 bytes; it lets one typo in 16 million pass, which is
//! then refused by the other end. Does not know where texts come from.

use super::{KEY_BYTES, Key};
use thiserror::Error;
use zeroize::Zeroizing;

/// What every text begins with, whatever its version.
const FAMILY: &[u8] = b"vmkey";
/// What the texts of this version begin with.
const PREFIX: &str = "vmkey1_";
/// What editors of Windows put before a text.
const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";
const UTF16_MARK: &[u8] = b"\xff\xfe";
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const CHECK_BYTES: usize = 3;
const ALL_BYTES: usize = KEY_BYTES + CHECK_BYTES;
/// Characters after the prefix, each of 5 bits.
const BODY_CHARS: usize = ALL_BYTES * 8 / 5;
/// Length of a key's text, in characters, all of them ASCII.
pub const TEXT_CHARS: usize = PREFIX.len() + BODY_CHARS;
/// Digits that a version may have before it is no version.
const MAX_VERSION_DIGITS: usize = 3;
/// A key in part is a secret in part; a file may well be called `vmkey1_home`.
const TELLING_CHARS: usize = 16;

/// Why a text is no key. None of them repeats what was in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyTextError {
    /// Nothing but white space.
    #[error("empty")]
    Empty,
    /// Something else.
    #[error("not a viamillipede key, which begins with {PREFIX}")]
    Foreign,
    /// A key that a program has put into capitals.
    #[error("a key is in small letters")]
    Capitals,
    /// A key behind a mark that some editors put first.
    #[error("a byte order mark is before the key; save the file without one")]
    Mark,
    /// From another release.
    #[error("a key of version {0}; this program knows version 1")]
    Version(String),
    /// The character at this place, counted from 1, cannot be.
    #[error("character {0} is none that a key has: a typo?")]
    Character(usize),
    /// So many characters only.
    #[error("too short: {0} characters instead of {TEXT_CHARS}")]
    Short(usize),
    /// So many characters.
    #[error("too long: {0} characters instead of {TEXT_CHARS}")]
    Long(usize),
    /// All is well-formed, but it was not written so.
    #[error("the checksum does not fit: a typo?")]
    Checksum,
}

impl Key {
    /// Its text, without a line end.
    pub fn text(&self) -> Zeroizing<String> {
        // With its capacity from the start it never leaves a copy behind by growing.
        let mut text = Zeroizing::new(String::with_capacity(TEXT_CHARS));
        text.push_str(PREFIX);
        for five in checked(self.bytes()).chunks(5) {
            let bits = five.iter().fold(0, |bits, &byte| bits << 8 | u64::from(byte));
            let letters = (0..8).rev().map(|place| ALPHABET[(bits >> (5 * place)) as usize % 32]);
            text.extend(letters.map(char::from));
        }
        text
    }

    /// Reads a text. White space round it is ignored, nothing else is.
    pub fn parse(text: &[u8]) -> Result<Key, KeyTextError> {
        let body = body(text.trim_ascii())?;
        if let Some(place) = body.iter().position(|letter| value(letter).is_none()) {
            return Err(KeyTextError::Character(PREFIX.len() + place + 1));
        }
        match PREFIX.len() + body.len() {
            TEXT_CHARS => {}
            chars @ ..TEXT_CHARS => return Err(KeyTextError::Short(chars)),
            chars => return Err(KeyTextError::Long(chars)),
        }
        let mut all = Zeroizing::new([0; ALL_BYTES]);
        for (five, eight) in all.chunks_mut(5).zip(body.chunks(8)) {
            let bits = eight.iter().filter_map(value).fold(0, |bits, value| bits << 5 | value);
            five.copy_from_slice(&bits.to_be_bytes()[3..]);
        }
        let mut key = Key(Zeroizing::new([0; KEY_BYTES]));
        key.0.copy_from_slice(&all[..KEY_BYTES]);
        if checked(key.bytes()) == all { Ok(key) } else { Err(KeyTextError::Checksum) }
    }
}

/// Whether there is a key in this text, or enough of one to tell that somebody meant to write it there.
pub fn holds_key(text: &[u8]) -> bool {
    let text = Zeroizing::new(text.to_ascii_lowercase());
    let mut tails = (0..text.len()).map(|start| &text[start..]);
    tails.any(|tail| {
        body(tail).is_ok_and(|body| {
            body.iter().take_while(|letter| value(letter).is_some()).count() >= TELLING_CHARS
        })
    })
}

/// What follows the prefix of this version.
fn body(text: &[u8]) -> Result<&[u8], KeyTextError> {
    if text.is_empty() {
        return Err(KeyTextError::Empty);
    }
    let rest = text.strip_prefix(FAMILY).ok_or_else(|| foreign(text))?;
    let digits = rest.iter().take_while(|letter| letter.is_ascii_digit()).count();
    let (version, rest) = rest.split_at(digits);
    match rest.strip_prefix(b"_") {
        Some(body) if version == b"1" => Ok(body),
        Some(_) if (1..=MAX_VERSION_DIGITS).contains(&digits) => {
            Err(KeyTextError::Version(String::from_utf8_lossy(version).into()))
        }
        _ => Err(KeyTextError::Foreign),
    }
}

/// What is wrong with a text that does not begin as keys do.
fn foreign(text: &[u8]) -> KeyTextError {
    let begins =
        |mark: &[u8]| text.get(..mark.len()).is_some_and(|it| it.eq_ignore_ascii_case(mark));
    match () {
        () if begins(FAMILY) => KeyTextError::Capitals,
        () if begins(UTF8_MARK) || begins(UTF16_MARK) => KeyTextError::Mark,
        () => KeyTextError::Foreign,
    }
}

/// The five bits that a letter stands for.
fn value(letter: &u8) -> Option<u64> {
    // The alphabet has 32 letters.
    ALPHABET.iter().position(|it| it == letter).map(|value| value as u64)
}

/// The key, and the checksum behind it.
fn checked(key: &[u8; KEY_BYTES]) -> Zeroizing<[u8; ALL_BYTES]> {
    let mut hasher = blake3::Hasher::new();
    let hash = hasher.update(PREFIX.as_bytes()).update(key).finalize();
    let mut all = Zeroizing::new([0; ALL_BYTES]);
    all[..KEY_BYTES].copy_from_slice(key);
    all[KEY_BYTES..].copy_from_slice(&hash.as_bytes()[..CHECK_BYTES]);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Worked out by another program, from the text at the top of this file.
    const GOLDEN: &str = "vmkey1_aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dyp4xkgk";

    fn key(bytes: [u8; KEY_BYTES]) -> Key {
        Key(Zeroizing::new(bytes))
    }

    fn golden() -> Key {
        key(std::array::from_fn(|place| place as u8))
    }

    fn fault(text: &str) -> KeyTextError {
        Key::parse(text.as_bytes()).expect_err("it is no key")
    }

    #[test]
    fn a_key_is_written_like_this_for_ever() {
        assert_eq!(*golden().text(), GOLDEN);
        assert_eq!(Key::parse(GOLDEN.as_bytes()), Ok(golden()));
    }

    #[test]
    fn white_space_round_a_key_is_ignored_and_nothing_else() {
        for text in [format!("{GOLDEN}\n"), format!(" \t{GOLDEN}\r\n\n")] {
            assert_eq!(Key::parse(text.as_bytes()), Ok(golden()));
        }
        let (head, tail) = GOLDEN.split_at(30);
        assert_eq!(fault(&format!("{head}\n{tail}")), KeyTextError::Character(31));
        assert_eq!(fault(&format!("{GOLDEN} {GOLDEN}")), KeyTextError::Character(64));
        assert_eq!(fault(&format!("key={GOLDEN}")), KeyTextError::Foreign);
        assert_eq!(fault(&GOLDEN.to_uppercase()), KeyTextError::Capitals);
        assert_eq!(fault(&format!("\u{feff}{GOLDEN}")), KeyTextError::Mark);
        assert_eq!(Key::parse(b"\xff\xfev\0m\0k\0"), Err(KeyTextError::Mark));
    }

    #[test]
    fn each_fault_is_told_as_what_it_is() {
        assert_eq!(fault(""), KeyTextError::Empty);
        assert_eq!(fault(" \n"), KeyTextError::Empty);
        for foreign in ["secret", "vmkey", "vmkey1", "vmkey_a", "vmkey1234_a", "vmkey1-aaaa"] {
            assert_eq!(fault(foreign), KeyTextError::Foreign, "{foreign}");
        }
        assert_eq!(fault("vmkey2_whatever"), KeyTextError::Version("2".into()));
        assert_eq!(fault("vmkey01_whatever"), KeyTextError::Version("01".into()));
        assert_eq!(fault(&GOLDEN[..62]), KeyTextError::Short(62));
        assert_eq!(fault("vmkey1_"), KeyTextError::Short(7));
        assert_eq!(fault(&format!("{GOLDEN}a")), KeyTextError::Long(64));
        assert_eq!(fault(&GOLDEN.replace('b', "8")), KeyTextError::Character(24));
    }

    #[test]
    fn every_wrong_letter_and_every_swap_of_neighbours_is_a_typo() {
        for place in PREFIX.len()..TEXT_CHARS {
            for letter in *ALPHABET {
                let mut text = GOLDEN.as_bytes().to_vec();
                text[place] = letter;
                let expected = text == GOLDEN.as_bytes();
                assert_eq!(Key::parse(&text).is_ok(), expected, "{letter} at {place}");
            }
            let mut text = GOLDEN.as_bytes().to_vec();
            text.swap(place, (place + 1).min(TEXT_CHARS - 1));
            assert_eq!(Key::parse(&text).is_ok(), text == GOLDEN.as_bytes(), "swapped at {place}");
        }
    }

    #[test]
    fn a_key_in_a_longer_text_is_seen() {
        let typo = GOLDEN.replace('b', "8");
        for text in [GOLDEN, &format!("--key={GOLDEN}"), &typo[..], &GOLDEN.to_uppercase()] {
            assert!(holds_key(text.as_bytes()), "{text}");
        }
        assert!(!holds_key(b"/etc/vmkey1_home") && !holds_key(b"vmkey1_production_of_backups"));
        assert!(!holds_key(b"") && !holds_key(b"host:5000"));
    }

    proptest! {
        #[test]
        fn every_key_comes_back(bytes: [u8; KEY_BYTES]) {
            let text = key(bytes).text();
            prop_assert_eq!(text.len(), TEXT_CHARS);
            prop_assert_eq!(Key::parse(text.as_bytes()), Ok(key(bytes)));
            prop_assert!(holds_key(text.as_bytes()));
        }

        #[test]
        fn any_bytes_are_a_key_or_one_clean_fault(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            is_near: bool,
        ) {
            let text = if is_near { [PREFIX.as_bytes(), &bytes].concat() } else { bytes };
            let _ = holds_key(&text);
            if let Ok(key) = Key::parse(&text) {
                let again = key.text();
                prop_assert_eq!(again.as_bytes(), text.trim_ascii());
            }
        }
    }
}
