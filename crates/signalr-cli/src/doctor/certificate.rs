//! TLS and the server's certificate.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures_rustls::TlsConnector;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, InvalidMessage, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::time::timeout;
use tokio_util::compat::TokioAsyncReadCompatExt as _;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::address::Place;
use super::reach;
use super::report::Finding;

/// Certificates that end sooner are worth a word.
const SOON: i64 = 14;
const DAY: i64 = 24 * 60 * 60;

/// A handshake that was let through whatever the certificate, and what there is to say about it.
struct Handshake {
    version: String,
    cipher: String,
    protocol: Option<String>,
    chain: Vec<CertificateDer<'static>>,
    verdict: Option<Result<(), Error>>,
}

/// Makes a handshake and looks at the certificate.
pub(super) async fn check(
    place: &Place,
    address: SocketAddr,
    bound: Duration,
    insecure: bool,
) -> Finding {
    let begun = Instant::now();
    match shake_hands(place, address, bound).await {
        Ok(handshake) => judged(place, &handshake, insecure).took(begun.elapsed()),
        Err(failure) => failure,
    }
}

/// Whether the server speaks TLS; for who came without.
pub(super) async fn is_spoken(place: &Place, address: SocketAddr, bound: Duration) -> bool {
    shake_hands(place, address, bound).await.is_ok()
}

async fn shake_hands(
    place: &Place,
    address: SocketAddr,
    bound: Duration,
) -> Result<Handshake, Finding> {
    let name = ServerName::try_from(place.host.clone()).map_err(|_| {
        Finding::failed(format!("'{}' cannot stand in a certificate", place.host))
            .advice("use a name that consists of letters, digits, hyphens and points")
    })?;
    let roots = tokio::task::spawn_blocking(roots)
        .await
        .unwrap_or_else(|_| RootCertStore::empty());
    let witness = Arc::new(Witness::new(roots));
    let config = config(&witness)
        .map_err(|error| Finding::failed(format!("TLS cannot be set up here: {error}")))?;
    let stream = reach::open(address, bound).await.map_err(|error| {
        Finding::failed(format!("{address} cannot be reached any more: {error}"))
    })?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = match timeout(bound, connector.connect(name, stream.compat())).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(no_handshake(&error)),
        Err(_) => {
            return Err(
                Finding::failed("the server does not answer the TLS handshake in time").advice(
                    "does it speak TLS at this port? If not, the address begins with http://",
                ),
            );
        }
    };
    let (_, session) = stream.get_ref();
    Ok(Handshake {
        version: session.protocol_version().map_or_else(
            || "unknown".to_owned(),
            |version| version.as_str().unwrap_or("unknown").replace('_', "."),
        ),
        cipher: session
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or("unknown")
            .to_owned(),
        protocol: session
            .alpn_protocol()
            .map(|name| String::from_utf8_lossy(name).into_owned()),
        chain: session.peer_certificates().unwrap_or_default().to_vec(),
        verdict: witness.verdict(),
    })
}

fn config(witness: &Arc<Witness>) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let verifier: Arc<dyn ServerCertVerifier> = Arc::<Witness>::clone(witness);
    let mut config = builder
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn no_handshake(error: &std::io::Error) -> Finding {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType | _)) => {
            Finding::failed("the server does not speak TLS at this port")
                .advice("if it speaks plain HTTP here, the address begins with http://; else check the port")
        }
        Some(Error::AlertReceived(alert)) => {
            Finding::failed(format!("the server ended the TLS handshake: {alert:?}"))
                .advice("it may not know this host name, or want a newer or older TLS or a client's certificate")
        }
        Some(Error::PeerIncompatible(why)) => {
            Finding::failed(format!("no common version or cipher of TLS: {why:?}"))
                .advice("the server needs TLS 1.2 or 1.3 with a cipher of this century")
        }
        _ => Finding::failed(format!("the TLS handshake failed: {error}"))
            .advice("does the server speak TLS at this port? If not, the address begins with http://"),
    }
}

/// Lets every certificate through and remembers what a strict client would have said.
#[derive(Debug)]
struct Witness {
    provider: Arc<CryptoProvider>,
    strict: Option<Arc<WebPkiServerVerifier>>,
    verdict: Mutex<Option<Result<(), Error>>>,
}

impl Witness {
    fn new(roots: RootCertStore) -> Self {
        let provider = Arc::new(ring::default_provider());
        let strict =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        Self {
            provider,
            strict: strict.build().ok(),
            verdict: Mutex::new(None),
        }
    }

    fn verdict(&self) -> Option<Result<(), Error>> {
        self.verdict
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.strict.as_ref().map(|strict| {
            let at = |time| strict.verify_server_cert(end_entity, intermediates, name, ocsp, time);
            let mut verdict = at(now);
            // Who vouches for a certificate is another question than when.
            if let (Err(error), Some(valid)) = (&verdict, time_of_validity(end_entity))
                && is_about_time(error)
            {
                verdict = at(valid);
            }
            verdict.map(|_| ())
        });
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = verdict;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

const fn is_about_time(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
        )
    )
}

/// A time at which the certificate is valid.
fn time_of_validity(certificate: &CertificateDer<'_>) -> Option<UnixTime> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let begin = parsed.validity().not_before.timestamp();
    let seconds = u64::try_from(begin).ok()?;
    Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}

/// What stands in a certificate.
struct Facts {
    subject: String,
    issuer: String,
    names: Vec<String>,
    not_before: String,
    not_after: String,
    /// Days from now.
    begins: i64,
    ends: i64,
    fits_name: bool,
}

impl Facts {
    fn of(certificate: &CertificateDer<'_>, host: &str) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let validity = parsed.validity();
        let now = i64::try_from(
            SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs(),
        )
        .unwrap_or(i64::MAX);
        let days = |timestamp: i64| timestamp.saturating_sub(now).div_euclid(DAY);
        Some(Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            names: names(&parsed),
            not_before: validity.not_before.to_datetime().date().to_string(),
            not_after: validity.not_after.to_datetime().date().to_string(),
            begins: days(validity.not_before.timestamp()),
            ends: days(validity.not_after.timestamp()),
            fits_name: fits_name(certificate, host),
        })
    }

    fn is_self_signed(&self) -> bool {
        self.subject == self.issuer
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let names = alternatives.map(|found| &found.value.general_names);
    names.into_iter().flatten().filter_map(name).collect()
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other kinds do not name servers"
)]
fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => <[u8; 4]>::try_from(*bytes)
            .map(|octets| std::net::IpAddr::from(octets).to_string())
            .or_else(|_| {
                <[u8; 16]>::try_from(*bytes)
                    .map(|octets| std::net::IpAddr::from(octets).to_string())
            })
            .ok(),
        _ => None,
    }
}

fn fits_name(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let (Ok(parsed), Ok(name)) = (
        ParsedCertificate::try_from(certificate),
        ServerName::try_from(host),
    ) else {
        return false;
    };
    verify_server_name(&parsed, &name).is_ok()
}

/// What is wrong with the certificate, and what to do.
fn problems(place: &Place, handshake: &Handshake, facts: &Facts) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    if facts.ends < 0 {
        problems.push((
            format!("the certificate expired on {}", facts.not_after),
            "renew it on the server; or is the clock of this computer wrong?".to_owned(),
        ));
    }
    if facts.begins > 0 {
        problems.push((
            format!("the certificate is not valid before {}", facts.not_before),
            "is the clock of this computer right?".to_owned(),
        ));
    }
    if !facts.fits_name {
        problems.push((
            format!("the certificate is for {}, not for {}", listed(&facts.names), place.host),
            "use a name of the certificate in the address, or give the server a certificate for this one".to_owned(),
        ));
    }
    if let Some(problem) = untrusted(handshake, facts) {
        problems.push(problem);
    }
    problems
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "no name at all".to_owned(),
        [first, second, third, _, ..] => format!(
            "{first}, {second}, {third} and {} more",
            names.len().saturating_sub(3)
        ),
        few => few.join(", "),
    }
}

/// Whether somebody trusted vouches for the certificate.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the others speak for themselves"
)]
fn untrusted(handshake: &Handshake, facts: &Facts) -> Option<(String, String)> {
    let error = match &handshake.verdict {
        None => {
            return Some((
                "this computer trusts no certificate authority at all".to_owned(),
                "install the package ca-certificates or what it is called here".to_owned(),
            ));
        }
        Some(Ok(())) => return None,
        Some(Err(error)) => error,
    };
    let certificate = match error {
        Error::InvalidCertificate(error) => error,
        other => {
            return Some((
                other.to_string(),
                "give the server another certificate".to_owned(),
            ));
        }
    };
    match certificate {
        // Seen in the certificate already.
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. }
        | CertificateError::NotValidForName
        | CertificateError::NotValidForNameContext { .. } => None,
        _ if is_of_an_authority(certificate) => Some((
            "the certificate is one of an authority (CA), with which servers cannot prove who they are".to_owned(),
            "give the server a certificate that is none (openssl: basicConstraints=CA:FALSE) and that this computer trusts; for tests there is --insecure".to_owned(),
        )),
        _ if facts.is_self_signed() => Some((
            "the certificate is signed by itself: nobody vouches for it".to_owned(),
            "for tests there is --insecure; else have it issued by an authority, or let this computer trust it".to_owned(),
        )),
        CertificateError::UnknownIssuer => Some((
            format!("this computer does not trust the issuer of the certificate, {}", facts.issuer),
            format!(
                "the server sent {} certificate(s): intermediate ones may be missing; or something in between opens TLS (a company's proxy, a virus scanner) and its authority is not trusted here",
                handshake.chain.len()
            ),
        )),
        CertificateError::Revoked => Some((
            "the certificate was revoked".to_owned(),
            "the server needs a new one".to_owned(),
        )),
        other => Some((
            format!("the certificate is not acceptable: {other:?}"),
            "give the server another certificate".to_owned(),
        )),
    }
}

/// Whether the certificate may sign others, which even one that is trusted must not for a server.
///
/// The verifier has no name for this fault.
fn is_of_an_authority(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity"))
}

fn judged(place: &Place, handshake: &Handshake, insecure: bool) -> Finding {
    let facts = handshake
        .chain
        .first()
        .and_then(|certificate| Facts::of(certificate, &place.host));
    let Some(facts) = facts else {
        return Finding::failed("the certificate of the server cannot be read")
            .advice("the server needs an X.509 certificate that follows RFC 5280");
    };
    let problems = problems(place, handshake, &facts);
    let finding = verdict(&problems, handshake, &facts, insecure);
    let finding = finding
        .fact("version", handshake.version.as_str())
        .fact("cipher", handshake.cipher.as_str())
        .fact("applicationProtocol", handshake.protocol.clone())
        .fact("certificatesSent", handshake.chain.len());
    finding
        .fact("subject", facts.subject.as_str())
        .fact("issuer", facts.issuer.as_str())
        .fact("names", facts.names.clone())
        .fact("notBefore", facts.not_before.as_str())
        .fact("notAfter", facts.not_after.as_str())
        .fact("selfSigned", facts.is_self_signed())
}

fn verdict(
    problems: &[(String, String)],
    handshake: &Handshake,
    facts: &Facts,
    insecure: bool,
) -> Finding {
    if !problems.is_empty() {
        let (what, advice): (Vec<&str>, Vec<&str>) = problems
            .iter()
            .map(|(what, advice)| (what.as_str(), advice.as_str()))
            .unzip();
        let text = what.join("; ");
        let finding = if insecure {
            Finding::warning(format!("{text}; passed over because of --insecure"))
        } else {
            Finding::failed(text)
        };
        return finding.advice(advice.join("; "));
    }
    let detail = format!(
        "{}, certificate for {} by {}, valid until {}",
        handshake.version,
        listed(&facts.names),
        facts.issuer,
        facts.not_after
    );
    if facts.ends < SOON {
        return Finding::warning(format!("{detail}, which is in {} days", facts.ends))
            .advice("renew it soon");
    }
    Finding::ok(detail)
}
