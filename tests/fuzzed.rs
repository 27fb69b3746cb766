//! What the fuzzers run (`fuzz/`), here on random bytes: nothing that a peer says panics, hangs, or makes an
//! end break its word.

mod decoders;
mod receiving;
mod sending;
mod tape;
mod texts;

use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_bytes_upset_the_frames(bytes in vec(any::<u8>(), 0..400)) {
        decoders::frames(&bytes);
    }

    #[test]
    fn no_bytes_upset_the_hellos(bytes in vec(any::<u8>(), 0..400)) {
        decoders::hellos(&bytes);
    }

    #[test]
    fn no_bytes_upset_the_texts_of_keys(bytes in vec(any::<u8>(), 0..100)) {
        texts::key(&bytes);
    }

    #[test]
    fn nothing_that_can_happen_upsets_the_sender(tape in vec(any::<u8>(), 0..1500)) {
        sending::play(&tape);
    }

    #[test]
    fn nothing_that_can_happen_upsets_the_receiver(tape in vec(any::<u8>(), 0..1500)) {
        receiving::play(&tape);
    }
}
