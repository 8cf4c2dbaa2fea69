//! A server and a client of rustls with aws-lc-rs, HTTP/1.1 with one request for each connection.
//!
//! peer server PORT CERTIFICATE KEY [p384]: says "ready"; with p384 every client has to retry its hello.
//! peer client PORT 1.2|1.3 SUITE ID...: one connection for each id; writes what came to stdout, and whether the session was resumed.
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{aws_lc_rs, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, KeyLogFile, ServerConfig, ServerConnection};
use rustls::{SignatureScheme, StreamOwned};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match given.as_slice() {
        ["server", port, certificate, key, groups @ ..] => serve(port.parse()?, certificate, key, groups == ["p384"]),
        ["client", port, version, suite, ids @ ..] => ask(port.parse()?, version, suite, ids),
        _ => Err("peer server PORT CERTIFICATE KEY [p384] | peer client PORT 1.2|1.3 SUITE ID...".into()),
    }
}

fn serve(port: u16, certificate: &str, key: &str, only_p384: bool) -> Outcome {
    let mut provider = aws_lc_rs::default_provider();
    if only_p384 {
        provider.kx_groups = vec![aws_lc_rs::kx_group::SECP384R1];
    }
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from_pem_file(certificate)?], PrivateKeyDer::from_pem_file(key)?)?;
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    let config = Arc::new(config);
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("ready");
    for socket in listener.incoming() {
        let mut tls = StreamOwned::new(ServerConnection::new(config.clone())?, socket?);
        if let Err(error) = answer(&mut tls) {
            eprintln!("{error}");
        }
    }
    Ok(())
}

/// The id of the request is the answer's, in its header and in its body.
fn answer(tls: &mut StreamOwned<ServerConnection, TcpStream>) -> std::io::Result<()> {
    let mut reader = BufReader::new(&mut *tls);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let id = line.split(['=', ' ']).nth(2).unwrap_or("none").to_string();
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
    }
    let head = format!("HTTP/1.1 200 OK\r\nX-Id: {id}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", id.len());
    tls.write_all(format!("{head}{id}").as_bytes())?;
    tls.conn.send_close_notify();
    tls.flush()
}

fn ask(port: u16, version: &str, suite: &str, ids: &[&str]) -> Outcome {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|known| format!("{:?}", known.suite()) == suite);
    let version = if version == "1.2" { &rustls::version::TLS12 } else { &rustls::version::TLS13 };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider.clone()))
        .with_protocol_versions(&[version])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Unverified(provider)))
        .with_no_client_auth();
    // Asks for the variable SSLKEYLOGFILE.
    config.key_log = Arc::new(KeyLogFile::new());
    let config = Arc::new(config);
    for id in ids {
        let connection = ClientConnection::new(config.clone(), ServerName::try_from("localhost")?)?;
        let mut tls = StreamOwned::new(connection, TcpStream::connect(("127.0.0.1", port))?);
        tls.write_all(format!("GET /x?id={id} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())?;
        let mut said = String::new();
        tls.read_to_string(&mut said)?;
        println!("{} {:?}", said.rsplit("\r\n").next().unwrap_or(""), tls.conn.handshake_kind().ok_or("no handshake")?);
    }
    Ok(())
}

/// Any certificate will do: both ends are a test's.
#[derive(Debug)]
struct Unverified(CryptoProvider);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
