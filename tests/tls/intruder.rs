//! One who dials with an identity of his own and takes whoever answers: he goes through all of the handshake, as
//! no end of ours with another key does, which hangs up on a stranger itself.
//!
//! Knows TLS, and nothing of what is said inside.

use aws_lc_rs::signature::Ed25519KeyPair;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group, sign};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::sync::Arc;

/// Somebody who could dial any end that listens, but for his key.
#[derive(Clone)]
pub struct Intruder(Arc<ClientConfig>);

impl Intruder {
    /// One like nobody else.
    pub fn new() -> Intruder {
        let own = Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1());
        let own = own.expect("there are random numbers");
        let signer = sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(own.as_ref()));
        let signer = signer.expect("it was just made");
        let shown = CertificateDer::from(signer.public_key().expect("every key has one").to_vec());
        let own = Arc::new(CertifiedKey::new(vec![shown], signer));
        let provider =
            CryptoProvider { kx_groups: vec![kx_group::X25519MLKEM768], ..default_provider() };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])
            .expect("it has suites of that version")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(own)));
        config.alpn_protocols = vec![b"viamillipede/1".to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Intruder(Arc::new(config))
    }

    /// Goes as far as he gets on this connection, and then says these words; what he was told inside TLS, and how
    /// it ended.
    pub fn call(&self, mut stream: TcpStream, words: &[u8]) -> (Vec<u8>, io::Result<()>) {
        let name = ServerName::from(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let session = ClientConnection::new(Arc::clone(&self.0), name);
        let mut session = session.expect("a session can begin");
        let mut inside = rustls::Stream::new(&mut session, &mut stream);
        let mut heard = Vec::new();
        let opened = inside.flush();
        let said = opened.and_then(|()| inside.write_all(words));
        let ended = said.and_then(|()| inside.read_to_end(&mut heard));
        (heard, ended.map(drop))
    }
}

/// Takes anybody for the other end.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
