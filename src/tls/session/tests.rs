use super::*;
use crate::key::Key;
use crate::tls::{DIALLING, LISTENING, identity, provider};
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::sign::CertifiedKey;
use rustls::{
    CipherSuiteCommon, ClientConfig, ServerConfig, SupportedCipherSuite, Tls13CipherSuite,
};

struct Pair {
    dialling: Session,
    listening: Session,
}

fn sides() -> (Side, Side) {
    let key = Key::generate().expect("there are random numbers");
    let dialling = Side::dialling(&key).expect("any key will do");
    (dialling, Side::listening(&key).expect("any key will do"))
}

impl Pair {
    fn new(dialling: &Side, listening: &Side) -> Pair {
        let [dialling, listening] =
            [dialling, listening].map(|side| Session::new(side).expect("a session"));
        Pair { dialling, listening }
    }

    fn open() -> Pair {
        let (dialling, listening) = sides();
        let mut pair = Pair::new(&dialling, &listening);
        assert_eq!(pair.meet(), Ok(()));
        pair
    }

    /// Both go on until they are open, or one of them has something against the other, which it says last.
    fn meet(&mut self) -> Result<(), String> {
        let told = |error: TlsError| error.to_string();
        while !(self.dialling.is_open && self.listening.is_open) {
            let [first, second] = [&mut self.dialling, &mut self.listening];
            first.open().map_err(told)?;
            carry(first, second).map_err(told)?;
            let opened = second.open();
            carry(second, first).map_err(told)?;
            opened.map_err(told)?;
        }
        Ok(())
    }
}

/// Carries all that one has to send to the other, as the kernel would.
fn carry(from: &mut Session, to: &mut Session) -> Result<usize, TlsError> {
    let mut carried = 0;
    while !from.unsent().is_empty() {
        let room = to.room()?;
        let bytes = room.len().min(from.unsent().len());
        room[..bytes].copy_from_slice(&from.unsent()[..bytes]);
        to.heard(bytes)?;
        from.sent(bytes);
        carried += bytes;
    }
    Ok(carried)
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|n| (n * 31 % 251) as u8).collect()
}

/// Carries these bytes; reads them in places of these sizes.
fn say(from: &mut Session, to: &mut Session, words: &[u8], sizes: (usize, usize)) -> Vec<u8> {
    let (mut said, mut heard) = (0, Vec::new());
    let mut places = (vec![0; sizes.0], vec![0; sizes.1]);
    while said < words.len() {
        said += from.write(&words[said..]).expect("it is open");
        assert!(from.unsent().len() <= MAX_OUTGOING);
        carry(from, to).expect("there is room for what is read each time");
        while let Read::Bytes(read) = to.read(&mut places.0, &mut places.1).expect("it is right") {
            let both = [&places.0[..], &places.1[..]].concat();
            heard.extend_from_slice(&both[..read]);
        }
    }
    heard
}

#[test]
fn what_one_says_the_other_hears_in_whatever_places() {
    let Pair { mut dialling, mut listening } = Pair::open();
    let words = bytes(300_000);
    for sizes in [(1, 0), (7, 100_000), (16 << 10, 3), (1 << 20, 16 << 10)] {
        assert!(say(&mut dialling, &mut listening, &words, sizes) == words, "{sizes:?}");
        assert!(say(&mut listening, &mut dialling, &words, sizes) == words, "{sizes:?}");
    }
    assert_eq!(listening.read(&mut [0], &mut []).expect("all is well"), Read::Starved);
    dialling.write(b"!").expect("it is open");
    dialling.finish().expect("it is open");
    carry(&mut dialling, &mut listening).expect("there is room");
    assert_eq!(listening.read(&mut [0; 2], &mut []).expect("all is well"), Read::Bytes(1));
    for _ in 0..2 {
        assert_eq!(listening.read(&mut [0], &mut []).expect("all is well"), Read::Over);
    }
}

/// Honest ends seldom have so many; a holder of the key may pretend to.
#[test]
fn the_buffers_of_many_connections_stay_within_what_all_of_them_may_have() {
    let Pair { mut dialling, mut listening } = Pair::open();
    for session in [&mut dialling, &mut listening] {
        session.share(1024);
    }
    let words = bytes(1 << 20);
    assert!(say(&mut dialling, &mut listening, &words, (1 << 20, 16 << 10)) == words);
    let all = 1024 * (dialling.outgoing.capacity() + listening.incoming.capacity());
    assert!(all <= 56 << 20, "{all}");
    let Pair { mut dialling, mut listening } = Pair::open();
    assert!(say(&mut dialling, &mut listening, &words, (1 << 20, 16 << 10)) == words);
    assert_eq!(listening.incoming.capacity(), MAX_INCOMING, "one alone has all");
}

#[test]
fn a_handshake_is_small() {
    let (dialling, listening) = sides();
    let mut pair = Pair::new(&dialling, &listening);
    assert_eq!(pair.meet(), Ok(()));
    for session in [&pair.dialling, &pair.listening] {
        assert!(session.incoming.capacity() <= 4 << 10, "{}", session.incoming.capacity());
        assert!(session.outgoing.capacity() <= 2 * MAX_HANDSHAKE);
    }
}

#[test]
fn who_has_another_key_is_told_so_and_tells_it() {
    let ((dialling, _), (_, listening)) = (sides(), sides());
    let mut pair = Pair::new(&dialling, &listening);
    assert_eq!(pair.meet(), Err("it has another key".into()));
    carry(&mut pair.dialling, &mut pair.listening).expect("there is room");
    let heard = pair.listening.open().expect_err("it was told");
    assert!(matches!(heard, TlsError::OtherKey), "{heard}");
}

/// Pairs of which one end shows another identity than its own, and knows the other's right one.
fn in_disguise(key: &Key, shown: impl Fn(&[u8]) -> Arc<CertifiedKey>) -> [Pair; 2] {
    let dialling = Side::dialling(key).expect("any key will do");
    let listening = Side::listening(key).expect("any key will do");
    let (Side::Dialling(client), Side::Listening(server)) = (&dialling, &listening) else {
        panic!("one dials, the other listens")
    };
    let mut client = ClientConfig::clone(client);
    client.client_auth_cert_resolver =
        Arc::new(AlwaysResolvesClientRawPublicKeys::new(shown(DIALLING)));
    let mut server = ServerConfig::clone(server);
    server.cert_resolver = Arc::new(AlwaysResolvesServerRawPublicKeys::new(shown(LISTENING)));
    let (client, server) = (Side::Dialling(Arc::new(client)), Side::Listening(Arc::new(server)));
    [Pair::new(&dialling, &server), Pair::new(&client, &listening)]
}

/// Each end judges by itself: where both have other keys, the one that dials is the first to notice.
#[test]
fn one_end_with_another_identity_is_enough() {
    let [key, other] = [(); 2].map(|()| Key::generate().expect("there are random numbers"));
    let foreign = |label: &[u8]| identity(&other, label).expect("any key will do");
    for mut pair in in_disguise(&key, foreign) {
        assert_eq!(pair.meet(), Err("it has another key".into()));
    }
}

/// The right public key, and a wrong signature under it.
#[test]
fn who_shows_an_identity_and_does_not_have_it_is_found_out() {
    let [key, other] = [(); 2].map(|()| Key::generate().expect("there are random numbers"));
    let stolen = |label: &[u8]| {
        let [shown, had] = [&key, &other].map(|key| identity(key, label).expect("any key will do"));
        Arc::new(CertifiedKey::new(shown.cert.clone(), Arc::clone(&had.key)))
    };
    for mut pair in in_disguise(&key, stolen) {
        let told = pair.meet().expect_err("the signature is wrong");
        assert_eq!(told, "tls: invalid peer certificate: BadSignature");
    }
}

#[test]
fn somebody_elses_tls_is_not_ours() {
    let (dialling, listening) = sides();
    let Side::Listening(config) = &listening else { panic!("it listens") };
    for alpn in [vec![b"h2".to_vec()], Vec::new()] {
        let mut other = ServerConfig::clone(config);
        other.alpn_protocols = alpn;
        let told = Pair::new(&dialling, &Side::Listening(Arc::new(other))).meet();
        assert_eq!(told, Err("not viamillipede, though it speaks TLS".into()));
    }
    let Side::Dialling(config) = &dialling else { panic!("it dials") };
    let mut other = ClientConfig::clone(config);
    other.alpn_protocols.clear();
    let told = Pair::new(&Side::Dialling(Arc::new(other)), &listening).meet();
    assert_eq!(told, Err("not viamillipede, though it speaks TLS".into()));
}

#[test]
fn what_is_not_tls_is_told_from_its_first_byte() {
    let (dialling, _) = sides();
    let hears = |byte: u8| {
        let mut session = Session::new(&dialling).expect("a session");
        session.room().expect("there is room")[0] = byte;
        session.heard(1).err().map(|error| error.to_string())
    };
    assert_eq!(hears(0x16), None);
    assert_eq!(hears(MAGIC[0]).as_deref(), Some("it speaks without encryption"));
    assert_eq!(hears(b'G').as_deref(), Some("not viamillipede: byte 0 is 0x47"));
}

#[test]
fn a_stranger_gets_no_more_room_than_a_handshake_needs() {
    let (_, listening) = sides();
    let mut session = Session::new(&listening).expect("a session");
    // A handshake message that says it has the length of a record, and never comes to its end.
    let header = [0x16, 3, 1, 0x3f, 0xff, 1, 0, 0x3f, 0xfb];
    let mut heard = 0;
    let refused = loop {
        let Ok(room) = session.room() else { break true };
        room.fill(0);
        let begin = header.len().saturating_sub(heard).min(room.len());
        room[..begin].copy_from_slice(&header[heard.min(header.len())..][..begin]);
        let bytes = room.len();
        heard += bytes;
        session.heard(bytes).expect("it begins as TLS does");
        if session.open().is_err() {
            break true;
        }
        assert!(heard <= MAX_HANDSHAKE && session.incoming.capacity() <= MAX_HANDSHAKE);
    };
    assert!(refused);
}

/// Who meddles last: when an end has said its last word it still hears what comes.
#[test]
fn a_record_that_was_changed_is_an_error_even_behind_the_end() {
    let Pair { mut dialling, mut listening } = Pair::open();
    dialling.finish().expect("it is open");
    listening.write(b"wait").expect("it is open");
    let mut record = listening.unsent().to_vec();
    *record.last_mut().expect("a record") ^= 1;
    dialling.room().expect("there is room")[..record.len()].copy_from_slice(&record);
    dialling.heard(record.len()).expect("it begins as TLS does");
    let error = dialling.read(&mut [0; 4], &mut []).expect_err("it is not what was written");
    assert_eq!(error.to_string(), "tls: cannot decrypt peer's message");
}

/// The keys of a connection change after some 2^24 records: 256 GiB, or here 1 MiB.
#[test]
fn the_keys_change_in_the_middle_of_a_stream() {
    let SupportedCipherSuite::Tls13(suite) = TLS13_AES_128_GCM_SHA256;
    let common = CipherSuiteCommon { confidentiality_limit: 64, ..suite.common };
    let suite = Tls13CipherSuite { common, quic: None, ..*suite };
    let mut provider = provider();
    provider.cipher_suites = vec![SupportedCipherSuite::Tls13(Box::leak(Box::new(suite)))];
    let key = Key::generate().expect("there are random numbers");
    let dialling = Side::dialling_by(&key, provider.clone()).expect("any key will do");
    let listening = Side::listening_by(&key, provider).expect("any key will do");
    let mut pair = Pair::new(&dialling, &listening);
    assert_eq!(pair.meet(), Ok(()));
    let Pair { mut dialling, mut listening } = pair;
    let words = bytes(50 << 20);
    assert!(say(&mut dialling, &mut listening, &words, (1 << 20, 16 << 10)) == words);
    // What is due from the other end does not get lost either.
    assert!(say(&mut listening, &mut dialling, &words, (1 << 20, 16 << 10)) == words);
}
