//! TLS 1.3 between two ends that share a key: who they are, and what they demand of each other.
//!
//! HKDF makes two Ed25519 identities of the [`Key`], one for the dialling end and one for the
//! listening end. Each end shows its own as a raw public key (RFC 7250) and takes exactly the other's:
//! no certificate authority, no names, no resumption, no tickets, no early data, one ALPN, one key
//! exchange (X25519 with ML-KEM-768, so that what is recorded today stays closed to the machines of
//! tomorrow; a handshake costs a fraction of a millisecond). rustls and aws-lc do all of it; nothing
//! here is cryptography of our own.
//!
//! - *On the wire*, an attacker sees addresses, sizes and timing, and so what the stream's rate and
//!   length are, and how well it compresses. He reads and changes nothing: a record that was changed,
//!   put in another place, left out or played again ends its connection, and what it carried goes
//!   again over another one. He can delay, and cut; a stream that he cuts is never taken for a whole
//!   one, since its end is a message inside TLS, as is the end of each connection. Recordings
//!   are of no use: both ends contribute to each connection's secrets, which are gone with it, so that
//!   even who gets the key later cannot open them (forward secrecy).
//! - *With the address*, he can cost the listening end a bounded buffer and the work of a handshake for
//!   each connection, for as long as a caller may take; and before the first welcome he can answer
//!   in place of the other end and say no, which is only believed when every way says so.
//! - *With the key*, he is either end. Holders are equals: the key does not tell them apart, and who
//!   joins a running session must know its id, which goes over the wire inside TLS only. He still can
//!   only say what the protocol allows, and can neither make the other end write what fails its check
//!   nor exceed its memory.
//!
//! Does not know sockets, nor when a handshake takes place ([`session`]).

mod pin;
pub mod session;

use crate::error::Error;
use crate::key::{KEY_BYTES, Key};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::signature::Ed25519KeyPair;
use pin::Pin;
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group, sign};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{AlertDescription, CertificateError, ClientConfig, PeerIncompatible, ServerConfig};
use std::io;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What both ends must agree on; the versions of the protocol are settled inside.
const ALPN: &[u8] = b"viamillipede/1";
const SALT: &[u8] = b"viamillipede";
const DIALLING: &[u8] = b"viamillipede 1, identity of the dialling end";
const LISTENING: &[u8] = b"viamillipede 1, identity of the listening end";

/// What an end needs for its handshakes. Clones share it.
#[derive(Clone, Debug)]
pub enum Side {
    /// It dials, and speaks first.
    Dialling(Arc<ClientConfig>),
    /// It listens.
    Listening(Arc<ServerConfig>),
}

/// Why there is no TLS on a connection, or no more.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One end did not take the other's identity.
    #[error("it has another key")]
    OtherKey,
    /// The other end speaks our protocol without TLS.
    #[error("it speaks without encryption")]
    Plain,
    /// The other end speaks neither.
    #[error("not viamillipede: byte 0 is {0:#04x}")]
    Strange(u8),
    /// It is TLS, and somebody else's.
    #[error("not viamillipede, though it speaks TLS")]
    Foreign,
    /// Before the handshake is done nobody needs so many bytes, and after it no record is so long.
    #[error("too many bytes without a meaning")]
    TooLong,
    /// There is nobody to write to.
    #[error("closed by the other end")]
    NotOpen,
    /// The connection has ended, and the other end did not say that it would: anybody on the way can do
    /// that.
    #[error("cut off, there or on the way")]
    Cut,
    /// Anything else that breaks the rules of TLS; a change on the way looks like this.
    #[error("tls: {0}")]
    Broken(rustls::Error),
}

impl Side {
    /// The side that dials, for this key.
    pub fn dialling(key: &Key) -> Result<Side, Error> {
        Side::dialling_by(key, provider())
    }

    fn dialling_by(key: &Key, provider: CryptoProvider) -> Result<Side, Error> {
        let (own, other) = (identity(key, DIALLING)?, identity(key, LISTENING)?);
        let provider = Arc::new(provider);
        let pin = Arc::new(Pin::new(&other, &provider));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(failed)?
            .dangerous()
            .with_custom_certificate_verifier(pin)
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(own)));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Ok(Side::Dialling(Arc::new(config)))
    }

    /// The side that listens, for this key.
    pub fn listening(key: &Key) -> Result<Side, Error> {
        Side::listening_by(key, provider())
    }

    fn listening_by(key: &Key, provider: CryptoProvider) -> Result<Side, Error> {
        let (own, other) = (identity(key, LISTENING)?, identity(key, DIALLING)?);
        let provider = Arc::new(provider);
        // The first random number takes the library some 20 ms, which the first caller shall not wait for.
        provider.secure_random.fill(&mut [0]).map_err(|_| failed("no random numbers"))?;
        let pin = Arc::new(Pin::new(&other, &provider));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(failed)?
            .with_client_cert_verifier(pin)
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(own)));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        // Where either end would have to do AES by hand, its wish prevails.
        config.ignore_client_order = !has_aes();
        Ok(Side::Listening(Arc::new(config)))
    }
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> TlsError {
        use rustls::Error::{AlertReceived, InvalidCertificate, NoApplicationProtocol};
        match error {
            InvalidCertificate(CertificateError::ApplicationVerificationFailure)
            | AlertReceived(AlertDescription::AccessDenied) => TlsError::OtherKey,
            NoApplicationProtocol
            | AlertReceived(AlertDescription::NoApplicationProtocol)
            | rustls::Error::PeerIncompatible(
                PeerIncompatible::IncorrectCertificateTypeExtension,
            ) => TlsError::Foreign,
            error => TlsError::Broken(error),
        }
    }
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

impl TlsError {
    /// The one that is in there, if there is one.
    pub fn within(error: &io::Error) -> Option<&TlsError> {
        error.get_ref()?.downcast_ref()
    }
}

/// One end's identity: its private key, and the public one as it is shown.
fn identity(key: &Key, label: &[u8]) -> Result<Arc<CertifiedKey>, Error> {
    let mut seed = Zeroizing::new([0; KEY_BYTES]);
    Salt::new(HKDF_SHA256, SALT)
        .extract(key.bytes())
        .expand(&[label], HKDF_SHA256)
        .and_then(|derived| derived.fill(&mut *seed))
        .map_err(failed)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(failed)?;
    let private = pair.to_pkcs8v1().map_err(failed)?;
    let signer =
        sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(private.as_ref())).map_err(failed)?;
    let public = signer.public_key().ok_or_else(|| failed("no public key"))?;
    let shown = CertificateDer::from(public.to_vec());
    Ok(Arc::new(CertifiedKey::new(vec![shown], signer)))
}

/// What both ends may use: AES-128-GCM first, the fastest where processors have it; ChaCha20 where
/// they have not.
fn provider() -> CryptoProvider {
    let mut suites =
        vec![cipher_suite::TLS13_AES_128_GCM_SHA256, cipher_suite::TLS13_CHACHA20_POLY1305_SHA256];
    if !has_aes() {
        suites.reverse();
    }
    CryptoProvider {
        cipher_suites: suites,
        kx_groups: vec![kx_group::X25519MLKEM768],
        ..default_provider()
    }
}

/// What protects connections, and with what: the key exchange, and the cipher that this machine prefers.
pub fn describe() -> String {
    let provider = provider();
    let groups = provider.kx_groups.iter().map(|group| format!("{:?}", group.name()));
    let suites = provider.cipher_suites.iter().map(|suite| format!("{:?}", suite.suite()));
    let parts: Vec<String> = groups.chain(suites.take(1)).collect();
    format!("TLS 1.3 (rustls, aws-lc): {}", parts.join(", "))
}

/// Whether the processor has AES.
fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    let has = std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    let has = std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    let has = false;
    has
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: impl ToString) -> Error {
    Error::io("the key's identities", io::Error::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out by other programs (`openssl kdf`, `openssl pkey`), of the key of the bytes 0 to 31.
    #[test]
    fn identities_are_derived_like_this_for_ever() {
        const TEXT: &[u8] = b"vmkey1_aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dyp4xkgk";
        let key = Key::parse(TEXT).expect("the golden key");
        let golden = [
            (DIALLING, "15a8bab065bc571af9c161ed7a3430b5542d1f281e8a544c727d242203444876"),
            (LISTENING, "612797cce7db463313dfc6ef047ecbb1b835f94fecb7db49bac3a752cd6e9cc8"),
        ];
        for (label, golden) in golden {
            let shown = identity(&key, label).expect("any key will do").cert[0].to_vec();
            let hex: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, format!("302a300506032b6570032100{golden}"));
        }
    }
}
