//! Connections through proxies, over real sockets: what the proxy sees, and what is told when it does not help.

use std::net::TcpListener;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use futures_rustls::TlsAcceptor;
use rustls::ServerConfig;
use signalr_client::{HubConnection, HubConnectionBuilder, Protocol};
use signalr_net::{NetOptions, NetTransport, Proxy, TlsOptions};
use signalr_tests::own::{self, Own};
use signalr_tests::reference;
use signalr_tests::wire::{Wire, http_proxy, socks_proxy};
use signalr_tests::with_causes;
use signalr_tokio::Tokio;
use tokio_util::compat::{FuturesAsyncReadCompatExt as _, TokioAsyncReadCompatExt as _};

static OWN: LazyLock<Own> = LazyLock::new(|| own::start().unwrap());

/// Where the hubs are.
fn host() -> &'static str {
    OWN.url.trim_start_matches("http://")
}

fn builder(proxy: Proxy) -> HubConnectionBuilder {
    through(&OWN.url, proxy)
}

fn through(url: &str, proxy: Proxy) -> HubConnectionBuilder {
    HubConnection::builder(format!("{url}/hub?key=v"))
        .proxy(proxy)
        .connect_timeout(Duration::from_secs(10))
}

async fn works(builder: HubConnectionBuilder) {
    let connection = builder.build().unwrap();
    connection.start().await.unwrap();
    assert_eq!(connection.invoke::<i32>("Add", (1, 2)).await, Ok(3));
    let text = "t".repeat(20_000);
    let echoed = connection.invoke::<String>("EchoText", (&text,)).await;
    assert_eq!(echoed, Ok(text));
    connection.stop().await;
}

async fn fails(builder: HubConnectionBuilder) -> String {
    let begin = Instant::now();
    let connection = builder.build().unwrap();
    let error = connection.start().await.expect_err("it connected");
    assert!(
        begin.elapsed() < Duration::from_secs(8),
        "{:?}",
        begin.elapsed()
    );
    let text = format!("{error} {error:?} {connection:?}");
    assert!(!text.contains("canary"), "{text}");
    with_causes(&error)
}

/// Ends TLS in front of another server, on a thread of its own. Gives host and port.
fn tls(certificate: &rcgen::CertifiedKey<rcgen::KeyPair>, inner: String) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = certificate.signing_key.serialize_der().try_into().unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    std::thread::spawn(move || {
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, inner) = (acceptor.clone(), inner.clone());
                tokio::spawn(async move {
                    let mut client = acceptor.accept(stream.compat()).await?.compat();
                    let mut server = tokio::net::TcpStream::connect(inner).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
    });
    address
}

fn certificate() -> rcgen::CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap()
}

#[tokio::test]
async fn an_http_proxy_gets_plain_requests_in_absolute_form_and_web_sockets_as_tunnels() {
    let proxy = http_proxy(None).unwrap();
    works(builder(Proxy::url(&proxy.url("")).unwrap())).await;
    assert_eq!(
        proxy.log(),
        [
            format!(
                "POST http://{}/hub/negotiate?key=v&negotiateVersion=1 HTTP/1.1",
                host()
            ),
            format!("CONNECT {} HTTP/1.1", host()),
        ]
    );
}

#[tokio::test]
async fn an_http_proxy_sees_nothing_of_tls_but_the_target() {
    let certificate = certificate();
    let secure = tls(&certificate, host().to_owned());
    let proxy = http_proxy(Some("Basic bWU6Y2FuYXJ5QDE=")).unwrap();
    let url = format!("http://me:canary%401@{}", proxy.address);
    let builder = through(&format!("https://{secure}"), Proxy::url(&url).unwrap());
    works(builder.add_root_certificate(certificate.cert.pem())).await;
    let connect = format!("CONNECT {secure} HTTP/1.1");
    assert_eq!(proxy.log(), [connect.clone(), connect]);
}

#[tokio::test]
async fn a_proxy_may_be_behind_tls_itself() {
    let certificate = certificate();
    let secure = tls(&certificate, host().to_owned());
    let proxy = http_proxy(None).unwrap();
    let url = format!("https://{}", tls(&certificate, proxy.address.to_string()));
    for target in [OWN.url.clone(), format!("https://{secure}")] {
        let builder = through(&target, Proxy::url(&url).unwrap());
        works(builder.add_root_certificate(certificate.cert.pem())).await;
    }
    assert_eq!(proxy.log().len(), 4);
    let error = fails(builder(Proxy::url(&url).unwrap())).await;
    assert!(error.contains("certificate"), "{error}");
}

#[tokio::test]
async fn credentials_reach_the_proxy_and_not_the_server() {
    let server = Wire::serve(|mut peer| {
        while let Some(heard) = peer.request() {
            let headers = &heard.headers;
            let secret = headers.iter().any(|(name, _)| name.starts_with("proxy-"));
            peer.note(format!("{} {secret}", heard.method()));
            peer.answer("404 Not Found", "", "");
        }
    })
    .unwrap();
    let proxy = http_proxy(Some("Basic bWU6Y2FuYXJ5")).unwrap();
    let url = format!("http://me:canary@{}", proxy.address);
    for skip in [false, true] {
        let builder = through(&server.url(""), Proxy::url(&url).unwrap());
        fails(builder.skip_negotiation(skip)).await;
    }
    assert_eq!(server.log(), ["POST false", "GET false"]);
}

#[tokio::test]
async fn a_socks_proxy_gets_names_and_addresses_and_checks_passwords() {
    let proxy = socks_proxy(None).unwrap();
    let url = format!("socks5://{}", proxy.address);
    works(builder(Proxy::url(&url).unwrap())).await;
    let named = OWN.url.replace("127.0.0.1", "localhost");
    works(through(&named, Proxy::url(&url).unwrap())).await;
    let port = host().rsplit(':').next().unwrap();
    let (address, name) = (format!("1 {}", host()), format!("3 localhost:{port}"));
    assert_eq!(proxy.log(), [&*address, &address, &name, &name]);

    let proxy = socks_proxy(Some(("me", "canary"))).unwrap();
    let url = format!("socks5h://me:canary@{}", proxy.address);
    works(builder(Proxy::url(&url).unwrap())).await;
    assert_eq!(proxy.log().len(), 2);
    for (credentials, words) in [
        ("", "wants a user name and password"),
        (
            "me:canarywrong@",
            "does not accept the user name and password",
        ),
    ] {
        let url = format!("socks5://{credentials}{}", proxy.address);
        let error = fails(builder(Proxy::url(&url).unwrap())).await;
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test]
async fn tls_goes_through_a_socks_proxy() {
    let certificate = certificate();
    let secure = tls(&certificate, host().to_owned());
    let proxy = socks_proxy(None).unwrap();
    let url = format!("socks5://{}", proxy.address);
    let builder = through(&format!("https://{secure}"), Proxy::url(&url).unwrap());
    works(builder.add_root_certificate(certificate.cert.pem())).await;
    assert_eq!(proxy.accepted(), 2);
}

#[tokio::test]
async fn variables_choose_the_proxy_and_its_exceptions() {
    for (name, exceptions, used) in [
        ("http_proxy", "", true),
        ("all_proxy", "", true),
        ("ALL_PROXY", "10.0.0.0/8,example.com", true),
        ("http_proxy", "127.0.0.0/8", false),
        ("http_proxy", "*", false),
        ("https_proxy", "", false),
        ("HTTP_PROXY", "", false),
    ] {
        let proxy = http_proxy(None).unwrap();
        let url = proxy.url("");
        let variables = Proxy::from_variables(|asked| match asked {
            "NO_PROXY" => Some(exceptions.to_owned()),
            asked => (asked == name).then(|| url.clone()),
        });
        works(builder(variables)).await;
        assert_eq!(proxy.accepted() > 0, used, "{name} {exceptions}");
    }
    let proxy = http_proxy(None).unwrap();
    works(builder(
        Proxy::url(&proxy.url("")).unwrap().except("127.0.0.1"),
    ))
    .await;
    assert_eq!(proxy.accepted(), 0);
    works(builder(Proxy::none())).await;
}

#[tokio::test]
async fn requests_through_a_proxy_share_a_connection() {
    let certificate = certificate();
    let secure = format!("https://{}", tls(&certificate, host().to_owned()));
    let trusted = TlsOptions::default().add_root_certificate(certificate.cert.pem());
    let (http, socks) = (http_proxy(None).unwrap(), socks_proxy(None).unwrap());
    let addresses = [http.url(""), format!("socks5://{}", socks.address)];
    for (server, requests) in [(&OWN.url, 3), (&secure, 1)] {
        let (http_before, socks_before) = (http.accepted(), socks.accepted());
        let seen = http.log().len();
        for proxy in &addresses {
            let options = NetOptions::default()
                .tls(trusted.clone())
                .proxy(Proxy::url(proxy).unwrap());
            let client = NetTransport::new(Tokio::default(), options).unwrap();
            for _ in 0..3 {
                let request = http::Request::get(format!("{server}/nothing"));
                let request = request.body(bytes::Bytes::new()).unwrap();
                assert_eq!(client.request(request).await.unwrap().status(), 404);
            }
        }
        assert_eq!(http.accepted() - http_before, 1, "{server}");
        assert_eq!(socks.accepted() - socks_before, 1, "{server}");
        assert_eq!(http.log().len() - seen, requests, "{server}");
    }
}

/// The proxy counts: everything that a connection over HTTP asks goes over as many connections as it needs at a time.
#[tokio::test]
async fn long_polling_and_event_streams_keep_their_connections() {
    let Some(url) = reference::url() else { return };
    for (hub, protocol) in [
        ("longpolling", Protocol::Json),
        ("longpolling", Protocol::MessagePack),
        ("sse", Protocol::Json),
    ] {
        let counting = socks_proxy(None).unwrap();
        let proxy = Proxy::url(&format!("socks5://{}", counting.address)).unwrap();
        let connection = HubConnection::builder(format!("{url}/{hub}"))
            .protocol(protocol)
            .proxy(proxy)
            .build()
            .unwrap();
        connection.start().await.unwrap();
        for number in 0..30 {
            let sum = connection.invoke::<i32>("Add", (number, 1)).await;
            assert_eq!(sum, Ok(number + 1), "{hub}");
        }
        connection.stop().await;
        // More than sixty requests. One goes over a third connection when it begins before the last answer was put away.
        let accepted = counting.accepted();
        assert!((2..=3).contains(&accepted), "{hub}: {accepted}");
    }
}

/// What a proxy does with everybody, for how it is asked, and what is told of it.
#[tokio::test]
async fn a_proxy_that_does_not_help_is_named_with_what_it_did() {
    type Answer = &'static [u8];
    // WebSockets go through CONNECT, also to http addresses.
    let cases: [(&str, bool, Answer, &str); 17] = [
        (
            "http",
            true,
            b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n",
            "does not accept the user name",
        ),
        (
            "http",
            true,
            b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
            "502",
        ),
        ("http", true, b"HTTP/1.1 503 No\r\n\r\n", "503"),
        (
            "http",
            true,
            b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\nno",
            "403",
        ),
        (
            "http",
            true,
            b"HTTP/1.1 302 No\r\nLocation: http://canary/\r\n\r\n",
            "302",
        ),
        (
            "http",
            true,
            b"SSH-2.0-OpenSSH_9.2\r\n",
            "does not speak HTTP",
        ),
        ("http", true, b"", "closed the connection"),
        (
            "http",
            true,
            b"HTTP/1.1 200 OK\r\n\r\nunasked",
            "did not make a clean connection",
        ),
        (
            "http",
            false,
            b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n",
            "does not accept the user name",
        ),
        ("http", false, b"\x05\x00", "does not speak HTTP"),
        (
            "http",
            false,
            b"SSH-2.0-OpenSSH_9.2\r\n",
            "does not speak HTTP",
        ),
        ("http", false, b"", "closed the connection"),
        (
            "socks5",
            false,
            b"HTTP/1.1 400 Bad\r\n\r\n",
            "does not speak SOCKS",
        ),
        ("socks5", false, b"", "closed the connection"),
        (
            "socks5",
            false,
            b"\x05\xff",
            "does not accept the user name",
        ),
        (
            "socks5",
            false,
            b"\x05\x00\x05\x02\x00\x01",
            "its rules do not allow it",
        ),
        (
            "socks5",
            true,
            b"\x05\x02\x01\x00\x05\x00\x00\x09",
            "does not speak SOCKS",
        ),
    ];
    for (scheme, direct, answer, words) in cases {
        let proxy = Wire::serve(move |mut peer| {
            // All of a head, or the greeting.
            let mut start = [0; 4096];
            let _ = std::io::Read::read(&mut peer.stream, &mut start);
            peer.write(answer);
            let _ = peer.stream.shutdown(std::net::Shutdown::Write);
            peer.linger();
        })
        .unwrap();
        let url = format!("{scheme}://me:canary@{}", proxy.address);
        let builder = builder(Proxy::url(&url).unwrap()).skip_negotiation(direct);
        let error = fails(builder).await;
        let name = format!("the proxy {}", proxy.address);
        assert!(
            error.contains(&name) && error.contains(words),
            "{scheme} {answer:?}: {error}"
        );
    }
}

#[tokio::test]
async fn a_proxy_that_is_silent_or_not_there_is_named() {
    let silent = Wire::serve(|mut peer| peer.linger()).unwrap();
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for (scheme, skip, address, words) in [
        ("http", true, silent.address, "did not answer within 400ms"),
        (
            "socks5",
            false,
            silent.address,
            "did not answer within 400ms",
        ),
        ("http", false, gone, "cannot be reached"),
        ("http", true, gone, "cannot be reached"),
        ("socks5", false, gone, "cannot be reached"),
    ] {
        let url = format!("{scheme}://me:canary@{address}");
        let builder = builder(Proxy::url(&url).unwrap())
            .skip_negotiation(skip)
            .connect_timeout(Duration::from_millis(600));
        let error = fails(builder).await;
        let name = format!("the proxy {address}");
        assert!(error.contains(&name) && error.contains(words), "{error}");
    }
}

#[test]
fn the_address_of_a_proxy_that_is_wrong_is_not_repeated() {
    for url in [
        "socks4://me:canary@h",
        "ftp://me:canary@h",
        "http://",
        "http://me:canary@h:x",
    ] {
        let error = Proxy::url(url).unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("canary"),
            "{error:?}"
        );
        assert!(error.to_string().contains("http://host:port"), "{error}");
    }
}
