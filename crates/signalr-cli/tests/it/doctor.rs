//! `signalr doctor`.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::hub::{closed_port, serve, serve_bytes};
use crate::common::process::Running;
use crate::common::program;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use signalr_tests::wire::{self, Wire};
use time::{Duration, OffsetDateTime};

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

#[test]
fn a_hub_that_works_is_told_so_in_every_step() {
    let (base, _hub) = serve();
    let url = format!("{base}/guarded");
    let found = doctor(&url, &["--token", "secret", "--probe-size", "Echo"]);
    assert_eq!(found.code, 0, "{}", found.all);
    for step in [
        "address",
        "proxy",
        "dns",
        "tcp",
        "negotiate",
        "websockets",
        "messagepack",
        "round-trip",
        "message-size",
    ] {
        assert_eq!(found.step(step)["status"], "ok", "{}", found.all);
    }
    assert_eq!(found.step("tls")["status"], "skipped");
    assert!(found.step("negotiate")["facts"]["requests"][0]["answer"]["version"] == 1);
    assert!(found.step("round-trip")["facts"]["medianMilliseconds"].is_number());
    assert_eq!(found.step("message-size")["facts"]["largestPassed"], 16384);
    assert!(!found.all.contains("secret"), "{}", found.all);
    let people = crate::common::run(&["doctor", &url, "--token", "secret"]);
    assert_eq!(people.code, 0, "{}", people.err);
    assert!(
        people.text().contains("ok      websockets"),
        "{}",
        people.text()
    );
}

#[test]
fn what_cannot_be_checked_because_a_step_failed_is_skipped() {
    doctor("localhost:5000/hub", &[]).failed_at("address", &["https://localhost:5000/hub"]);
    doctor("http://no-such-name.invalid/hub", &[])
        .failed_at("dns", &["cannot be resolved", "spelled"]);
    doctor(&closed_port(), &[]).failed_at("tcp", &["connection refused", "is the server running"]);
    let (base, _hub) = serve();
    doctor(&format!("{base}/guarded"), &["--token", "canary"])
        .failed_at("negotiate", &["the server refused the token"]);
    doctor(&format!("{base}/nothing"), &[]).failed_at("negotiate", &["404", "path"]);
}

#[test]
fn answers_that_are_no_negotiation_are_told_apart() {
    for (answer, words) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>"[..], &["not a SignalR hub"][..]),
        (b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", &["302", "login page"]),
        (b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", &["502", "the server behind it"]),
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", &["500", "log of the server"]),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 35\r\nconnection: close\r\n\r\n{\"ProtocolVersion\":\"1.5\",\"Url\":\"/\"}", &["ASP.NET", "client of its own"]),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\nconnection: close\r\n\r\n{\"error\":\"full\"}", &["refused the connection: full"]),
        (b"SSH-2.0-nonsense\r\n", &["not answer as an HTTP server"]),
    ] {
        doctor(&serve_bytes(Some(answer)), &["--timeout", "5"]).failed_at("negotiate", words);
    }
}

#[test]
fn silence_ends_each_step_in_time() {
    let silent = serve_bytes(None);
    doctor(&silent, &["--timeout", "0.3"]).failed_at("negotiate", &["300ms", "is it stuck"]);
    doctor(&silent.replace("http:", "https:"), &["--timeout", "0.3"])
        .failed_at("tls", &["does not answer the TLS handshake in time"]);
}

#[test]
fn a_transport_that_was_asked_for_and_is_not_offered_is_a_failure() {
    const OFFER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 142\r\nconnection: close\r\n\r\n{\"negotiateVersion\":1,\"connectionId\":\"a\",\"connectionToken\":\"b\",\"availableTransports\":[{\"transport\":\"LongPolling\",\"transferFormats\":[\"Text\"]}]}";
    let found = doctor(
        &serve_bytes(Some(OFFER)),
        &["--transport", "ws", "--timeout", "1"],
    );
    assert_eq!(found.code, 1, "{}", found.all);
    let step = found.step("websockets");
    assert_eq!(step["status"], "failed", "{}", found.all);
    assert!(step["advice"].to_string().contains("--transport"), "{step}");
}

#[test]
fn addresses_that_are_none_come_with_the_advice_that_fits() {
    for (url, words) in [
        ("http://h:65536/chat", "65535"),
        (
            "http://b\u{fffd}cher.example/chat",
            "letters of any language",
        ),
        ("http://h/two words", "ASCII"),
    ] {
        doctor(url, &[]).failed_at("address", &[words]);
    }
}

#[test]
fn a_proxy_that_does_not_answer_is_not_taken_for_the_server() {
    let proxy = closed_port().replace("/hub", "");
    doctor("http://127.0.0.1:1/hub", &["--proxy", &proxy]).failed_at("tcp", &["this is the proxy"]);
}

#[test]
fn the_certificate_of_an_authority_is_told_from_one_that_nobody_trusts() {
    let ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let made = Made::new(|params| params.is_ca = ca, None);
    doctor(&made.serve(), &[]).failed_at("tls", &["authority (CA)", "CA:FALSE"]);
}

#[test]
fn limits_below_a_kibibyte_are_found() {
    let Some(base) = signalr_tests::reference::url() else {
        return;
    };
    let found = doctor(&format!("{base}/tiny"), &["--probe-size", "EchoText"]);
    assert_eq!(found.step("message-size")["facts"]["largestPassed"], 512);
}

#[test]
fn the_wrong_scheme_is_recognised_in_both_directions() {
    let (base, _hub) = serve();
    doctor(&format!("{}/open", base.replace("http:", "https:")), &[])
        .failed_at("tls", &["does not speak TLS", "http://"]);
    let made = Made::new(|_| {}, None);
    doctor(&made.serve().replace("https:", "http:"), &[])
        .failed_at("negotiate", &["speaks TLS at this port", "https://"]);
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

#[test]
fn a_good_certificate_is_described() {
    let authority = Authority::new("Test Authority");
    let trusted = authority.trusted("good");
    let found = visit(
        &Made::new(|_| {}, Some(&authority)).serve(),
        &[],
        Some(&trusted),
    );
    let tls = found.step("tls");
    assert_eq!(tls["status"], "ok", "{tls}");
    let facts = &tls["facts"];
    assert_eq!(facts["version"], "TLSv1.3");
    assert_eq!(facts["names"], serde_json::json!(["127.0.0.1"]));
    assert!(facts["issuer"].as_str().unwrap().contains("Test Authority"));
    assert_eq!(facts["selfSigned"], false);
    assert!(facts["notAfter"].as_str().unwrap().len() == 10, "{facts}");
    found.failed_at("negotiate", &["404"]);
    std::fs::remove_file(trusted).unwrap();
}

#[test]
fn what_is_wrong_with_a_certificate_is_told() {
    let authority = Authority::new("Test Authority");
    let trusted = authority.trusted("wrong");
    let now = OffsetDateTime::now_utc();
    let failed = |made: Made, words: &[&str]| {
        visit(&made.serve(), &[], Some(&trusted)).failed_at("tls", words);
    };
    failed(
        Made::new(
            |params| params.not_after = now - Duration::days(3),
            Some(&authority),
        ),
        &["the certificate expired on", "renew it"],
    );
    failed(
        Made::new(
            |params| params.not_before = now + Duration::days(3),
            Some(&authority),
        ),
        &["not valid before", "clock"],
    );
    let names = |params: &mut rcgen::CertificateParams| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("hub.example".try_into().unwrap())];
    };
    failed(
        Made::new(names, Some(&authority)),
        &["the certificate is for hub.example, not for 127.0.0.1"],
    );
    failed(
        Made::new(|_| {}, Some(&Authority::new("Strange Authority"))),
        &[
            "does not trust the issuer",
            "Strange Authority",
            "intermediate",
        ],
    );
    failed(Made::new(|_| {}, None), &["signed by itself", "--insecure"]);
    failed(
        Made::new(
            |params| {
                names(params);
                params.not_after = now - Duration::days(3);
            },
            None,
        ),
        &["expired", "hub.example", "signed by itself"],
    );
    std::fs::remove_file(trusted).unwrap();
}

#[test]
fn certificates_that_end_soon_and_those_let_through_are_warnings() {
    let authority = Authority::new("Test Authority");
    let trusted = authority.trusted("soon");
    let soon = Made::new(
        |params| params.not_after = OffsetDateTime::now_utc() + Duration::hours(5 * 24 + 1),
        Some(&authority),
    );
    let found = visit(&soon.serve(), &[], Some(&trusted));
    assert_eq!(found.step("tls")["status"], "warning");
    assert!(
        found.step("tls")["detail"]
            .as_str()
            .unwrap()
            .ends_with("in 5 days")
    );
    let found = visit(
        &Made::new(|_| {}, None).serve(),
        &["--insecure"],
        Some(&trusted),
    );
    assert_eq!(found.step("tls")["status"], "warning");
    found.failed_at("negotiate", &["404"]);
    std::fs::remove_file(trusted).unwrap();
}

#[test]
fn the_odd_hubs_of_the_official_server_are_recognised() {
    let Some(base) = signalr_tests::reference::url() else {
        return;
    };
    let odd = |path: &str, words: &[&str]| {
        doctor(&format!("{base}{path}"), &[]).failed_at("negotiate", words)
    };
    odd("/refused", &["This connection is not allowed."]);
    odd("/broken", &["not a SignalR hub"]);
    odd("/classic", &["ASP.NET"]);
    odd("/unavailable", &["503"]);
    odd("/auth", &["401", "--token"]);
    odd("/loop", &["99 redirects", "in a circle"]);
    let redirected = doctor(&format!("{base}/redirect"), &[]);
    assert_eq!(redirected.code, 0, "{}", redirected.all);
    assert!(
        redirected.step("negotiate")["detail"]
            .as_str()
            .unwrap()
            .contains("redirected to")
    );
    assert!(!redirected.all.contains("alice"), "{}", redirected.all);
    let failing = doctor(&format!("{base}/failing"), &[]);
    assert_eq!(failing.code, 1);
    assert!(
        failing
            .step("websockets")
            .to_string()
            .contains("OnConnectedAsync"),
        "{}",
        failing.all
    );
}

#[test]
fn every_transport_of_the_official_server_is_tried() {
    let Some(base) = signalr_tests::reference::url() else {
        return;
    };
    let found = doctor(&format!("{base}/hub"), &[]);
    assert_eq!(found.code, 0, "{}", found.all);
    for step in [
        "websockets",
        "server-sent-events",
        "long-polling",
        "event-stream-flow",
        "messagepack",
        "round-trip",
    ] {
        assert_eq!(found.step(step)["status"], "ok", "{}", found.all);
    }
    let found = doctor(&format!("{base}/sse"), &[]);
    for (step, status) in [
        ("websockets", "skipped"),
        ("server-sent-events", "ok"),
        ("messagepack", "skipped"),
        ("round-trip", "ok"),
    ] {
        assert_eq!(found.step(step)["status"], status, "{}", found.all);
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

/// A server in front of another.
fn spoiling_proxy(base: &str, spoils: Spoils) -> Wire {
    let target = base.strip_prefix("http://").unwrap().to_owned();
    Wire::serve(move |peer| pass_on(peer.stream, &target, spoils)).unwrap()
}

/// Passes a connection on up to the request that the proxy spoils, with which it keeps all answers.
fn pass_on(mut client: TcpStream, target: &str, spoils: Spoils) {
    let mut server = TcpStream::connect(target).unwrap();
    let (mut answers, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let spoiled = Arc::new(AtomicBool::new(false));
    let keeps = Arc::clone(&spoiled);
    std::thread::spawn(move || {
        let mut chunk = [0; 8192];
        while let Ok(length) = answers.read(&mut chunk) {
            if length == 0 {
                break;
            }
            if !keeps.load(Ordering::SeqCst) && to.write_all(&chunk[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    let mut chunk = [0; 8192];
    while let Ok(length) = client.read(&mut chunk) {
        if length == 0 {
            break;
        }
        let request = String::from_utf8_lossy(&chunk[..length]).to_ascii_lowercase();
        match spoils {
            Spoils::WebSockets if request.contains("upgrade: websocket") => {
                let refusal =
                    "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = client.write_all(refusal.as_bytes());
                break;
            }
            Spoils::Streams if request.contains("text/event-stream") => {
                spoiled.store(true, Ordering::SeqCst);
            }
            Spoils::WebSockets | Spoils::Streams => {}
        }
        if server.write_all(&chunk[..length]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(std::net::Shutdown::Both);
}

#[test]
fn a_proxy_that_holds_event_streams_back_is_found_out() {
    let Some(base) = signalr_tests::reference::url() else {
        return;
    };
    let url = spoiling_proxy(base, Spoils::Streams).url("/hub");
    let found = doctor(&url, &["--timeout", "1"]);
    assert_eq!(found.code, 1);
    for step in ["server-sent-events", "event-stream-flow"] {
        assert_eq!(found.step(step)["status"], "failed", "{}", found.all);
        assert!(
            found.step(step)["advice"]
                .as_str()
                .unwrap()
                .contains("proxy_buffering"),
            "{}",
            found.all
        );
    }
    assert_eq!(found.step("long-polling")["status"], "ok", "{}", found.all);
}

#[test]
fn a_proxy_that_refuses_web_sockets_is_found_out() {
    let Some(base) = signalr_tests::reference::url() else {
        return;
    };
    let found = doctor(&spoiling_proxy(base, Spoils::WebSockets).url("/hub"), &[]);
    assert_eq!(
        found.step("websockets")["status"],
        "failed",
        "{}",
        found.all
    );
    assert!(
        found.step("websockets").to_string().contains("400"),
        "{}",
        found.all
    );
    assert_eq!(
        found.step("round-trip")["facts"]["transport"],
        "ServerSentEvents"
    );
}

#[test]
fn a_proxy_is_named_and_looked_at_in_place_of_the_server() {
    let (base, _hub) = serve();
    let proxy = wire::http_proxy(None).unwrap();
    let url = format!("{base}/open");
    let with = proxy.url("").replace("http://", "http://user:canary@");
    let found = doctor(&url, &["--proxy", &with]);
    assert_eq!(found.code, 0, "{}", found.all);
    assert_eq!(found.step("proxy")["facts"]["proxy"], proxy.url(""));
    assert!(
        found.step("tcp")["detail"]
            .as_str()
            .unwrap()
            .starts_with(&proxy.address.to_string()),
        "{}",
        found.all
    );
    assert!(!found.all.contains("canary"), "{}", found.all);
    let nowhere = closed_port()
        .replace("/hub", "")
        .replace("http://", "socks5://");
    doctor(&url, &["--proxy", &nowhere]).failed_at("tcp", &["refused"]);
    assert_eq!(doctor(&url, &["--proxy", "none"]).code, 0);
}
