//! Arbitrary bytes where the text of a key is expected: a key that is written so, or one clean error that
//! repeats nothing of them.

use viamillipede::key::Key;
use viamillipede::key::text::{TEXT_CHARS, holds_key};

const PREFIX: &[u8] = b"vmkey1_";
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Bytes as they are; the same behind the prefix, as letters of the alphabet; and the text of the key that they
/// begin with, as it is and with one letter changed.
pub fn key(bytes: &[u8]) {
    one_text(bytes);
    let letters: Vec<u8> = bytes.iter().map(|byte| ALPHABET[usize::from(byte % 32)]).collect();
    let near = [PREFIX, &letters].concat();
    assert_eq!(holds_key(&near), letters.len() >= 16);
    one_text(&near);
    if let Some((key, &[place, letter, ..])) = bytes.split_first_chunk::<32>() {
        let mut text = text_of(key);
        assert_eq!(one_text(&text).expect("it is one").bytes(), key);
        let place = PREFIX.len() + usize::from(place) % (TEXT_CHARS - PREFIX.len());
        let right = std::mem::replace(&mut text[place], ALPHABET[usize::from(letter % 32)]);
        assert_eq!(one_text(&text).is_some(), text[place] == right);
    }
}

/// Written down again, from the description of the text and not from its code.
fn text_of(key: &[u8; 32]) -> Vec<u8> {
    let check = blake3::hash(&[PREFIX, key].concat());
    let bits: Vec<u8> = [&key[..], &check.as_bytes()[..3]]
        .concat()
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    let letters = bits.chunks(5).map(|five| five.iter().fold(0, |value, bit| value << 1 | bit));
    PREFIX.iter().copied().chain(letters.map(|value: u8| ALPHABET[usize::from(value)])).collect()
}

fn one_text(text: &[u8]) -> Option<Key> {
    let key = Key::parse(text);
    match &key {
        Ok(key) => {
            assert!(holds_key(text));
            assert_eq!(key.text().as_bytes(), text.trim_ascii(), "there is one text of each key");
        }
        Err(error) => {
            let told = error.to_string();
            assert!(told.len() < 100 && !told.contains(char::is_control), "{told}");
        }
    }
    key.ok()
}
