//! TLS by rustls with ring.

use std::sync::{Arc, OnceLock};

use futures_io::{AsyncRead, AsyncWrite};
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::address::Address;
use crate::error::NetError;
use crate::error::SetupError;
use crate::options::TlsOptions;

/// The TLS side of a transport. The system's certificates are read when they are first needed, since that takes a while.
pub(crate) struct Tls {
    added: Vec<CertificateDer<'static>>,
    only_added: bool,
    accept_invalid: bool,
    config: OnceLock<Result<Arc<ClientConfig>, Box<str>>>,
}

impl Tls {
    pub(crate) fn new(options: TlsOptions) -> Result<Self, SetupError> {
        let mut added = Vec::new();
        for root in options.roots {
            added.extend(certificates(root)?);
        }
        Ok(Self {
            added,
            only_added: options.only_added,
            accept_invalid: options.accept_invalid,
            config: OnceLock::new(),
        })
    }

    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, Box<str>> {
        self.config.get_or_init(|| self.build()).clone()
    }

    /// The provider is named here: the process's default may be missing, or be somebody else's choice.
    fn build(&self) -> Result<Arc<ClientConfig>, Box<str>> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let mut config = if self.accept_invalid {
            let verifier = Arc::new(AcceptAnything(provider));
            builder
                .dangerous()
                .with_custom_certificate_verifier(verifier)
                .with_no_client_auth()
        } else {
            builder
                .with_root_certificates(self.roots()?)
                .with_no_client_auth()
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore, Box<str>> {
        let mut roots = RootCertStore::empty();
        for certificate in &self.added {
            roots
                .add(certificate.clone())
                .map_err(|error| format!("an added certificate is not valid: {error}"))?;
        }
        if !self.only_added {
            add_default_roots(&mut roots);
        }
        if roots.is_empty() {
            return Err(
                "no certificate authority is trusted: the system has none, and none was added"
                    .into(),
            );
        }
        Ok(roots)
    }

    pub(crate) async fn wrap<S>(
        &self,
        address: &Address,
        stream: S,
    ) -> Result<TlsStream<S>, NetError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.config().map_err(|detail| NetError::tls(&detail))?;
        let name = ServerName::try_from(address.host().to_owned())
            .map_err(|_| NetError::tls("the host of the address cannot stand in a certificate"))?;
        let connecting = TlsConnector::from(config).connect(name, stream).await;
        connecting.map_err(|error| {
            NetError::because(&format!("TLS with {} failed", address.authority()), &error)
        })
    }
}

fn add_default_roots(roots: &mut RootCertStore) {
    #[cfg(feature = "tls-webpki-roots")]
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    #[cfg(feature = "tls-native-roots")]
    {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::debug!(%error, "some of the system's certificates cannot be read");
        }
        roots.add_parsable_certificates(found.certs);
    }
    #[cfg(not(any(feature = "tls-webpki-roots", feature = "tls-native-roots")))]
    let _ = roots;
}

/// One certificate in DER form, or all of a PEM file.
fn certificates(bytes: Vec<u8>) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    if !bytes.windows(10).any(|window| window == b"-----BEGIN") {
        return Ok(vec![CertificateDer::from(bytes)]);
    }
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(SetupError::Tls {
            detail: "the PEM text holds no certificate".into(),
        }),
        Err(error) => Err(SetupError::Tls {
            detail: format!("the PEM text cannot be read: {error}").into(),
        }),
    }
}

/// For `danger_accept_invalid_certificates`: signatures are checked, certificates are not.
#[derive(Debug)]
struct AcceptAnything(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnything {
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
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
