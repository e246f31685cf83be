//! `signalr doctor`.

mod certificates;
mod official;
mod proxies;
mod steps;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use signalr_tests::wire::{self, Wire};
use time::{Duration, OffsetDateTime};

use crate::common::hub::{closed_port, serve, serve_bytes};
use crate::common::process::Running;
use crate::common::program;

/// What a run found.
struct Visit {
    code: i32,
    steps: Vec<Value>,
    all: String,
}

impl Visit {
    fn step(&self, name: &str) -> &Value {
        self.steps
            .iter()
            .find(|step| step["step"] == name)
            .unwrap_or_else(|| panic!("no step {name}: {}", self.all))
    }

    /// Asserts that this step failed, that those after it were skipped because of it, and that it says these words.
    #[track_caller]
    fn failed_at(&self, name: &str, words: &[&str]) {
        assert_eq!(self.code, 1, "{}", self.all);
        let at = self
            .steps
            .iter()
            .position(|step| step["step"] == name)
            .unwrap();
        for (index, step) in self.steps.iter().enumerate() {
            let expected: &[&str] = match index.cmp(&at) {
                std::cmp::Ordering::Less => &["ok", "warning", "skipped"],
                std::cmp::Ordering::Equal => &["failed"],
                std::cmp::Ordering::Greater => &["skipped"],
            };
            assert!(
                expected.contains(&step["status"].as_str().unwrap()),
                "{step}"
            );
            if index > at {
                assert_eq!(step["detail"], format!("because {name} failed"));
            }
        }
        for word in words {
            assert!(
                self.step(name).to_string().contains(word),
                "'{word}': {}",
                self.step(name)
            );
        }
    }
}

fn visit(url: &str, options: &[&str], certificates: Option<&std::path::Path>) -> Visit {
    let mut command = program(&[&["doctor", url, "--output", "json"], options].concat());
    if let Some(file) = certificates {
        command.env("SSL_CERT_FILE", file);
    }
    let run = Running::start(&mut command).end();
    let steps = run
        .lines()
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    Visit {
        code: run.code,
        steps,
        all: format!("{}{}", run.text(), run.err),
    }
}

fn doctor(url: &str, options: &[&str]) -> Visit {
    visit(url, options, None)
}

/// A certificate for 127.0.0.1, and who signed it.
struct Made {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        Self {
            certificate: params.self_signed(&key).unwrap(),
            issuer: rcgen::Issuer::new(params, key),
        }
    }

    fn trusted(&self, name: &str) -> std::path::PathBuf {
        let file =
            std::env::temp_dir().join(format!("signalr-doctor-{}-{name}.pem", std::process::id()));
        std::fs::write(&file, self.certificate.pem()).unwrap();
        file
    }
}

impl Made {
    fn new(
        change: impl FnOnce(&mut rcgen::CertificateParams),
        authority: Option<&Authority>,
    ) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.not_before = OffsetDateTime::now_utc() - Duration::days(100);
        params.not_after = OffsetDateTime::now_utc() + Duration::days(100);
        change(&mut params);
        let certificate = match authority {
            Some(authority) => params.signed_by(&key, &authority.issuer),
            None => params.self_signed(&key),
        };
        Self {
            chain: vec![certificate.unwrap().der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }

    /// A server that makes handshakes and answers 404.
    fn serve(self) -> String {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain, self.key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = rustls::StreamOwned::new(session, socket.unwrap());
                let mut request = [0; 4096];
                if stream.read(&mut request).is_ok() {
                    let _ = stream.write_all(
                        b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                    );
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
            }
        });
        format!("https://{address}/hub")
    }
}

/// What a proxy does to event streams.
#[derive(Clone, Copy)]
enum Spoils {
    /// Their answers never come.
    Streams,
    /// WebSockets are refused.
    WebSockets,
}
