//! Servers and proxies that do what a test says, byte by byte, over real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Failure;

/// Nobody waits for longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A listening server.
#[derive(Clone, Debug)]
pub struct Wire {
    /// Where it listens.
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Wire {
    /// Serves each connection with `behave`, on a thread of its own.
    ///
    /// # Errors
    /// When nobody can listen.
    pub fn serve(behave: impl Fn(Peer) + Send + Sync + 'static) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let wire = Self {
            address: listener.local_addr()?,
            accepted: Arc::default(),
            log: Arc::default(),
        };
        let (behave, told) = (Arc::new(behave), wire.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let number = wire.accepted.fetch_add(1, Ordering::SeqCst);
                let _ = stream.set_read_timeout(Some(PATIENCE));
                let _ = stream.set_nodelay(true);
                let log = Arc::clone(&wire.log);
                let peer = Peer {
                    stream,
                    number,
                    log,
                };
                let behave = Arc::clone(&behave);
                std::thread::spawn(move || behave(peer));
            }
        });
        Ok(told)
    }

    /// An http address on it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// What [`Peer::note`] was told.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        lock(&self.log).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The server's side of a connection.
#[derive(Debug)]
pub struct Peer {
    /// The connection.
    pub stream: TcpStream,
    /// How many were accepted before it.
    pub number: usize,
    log: Arc<Mutex<Vec<String>>>,
}

/// A request as it was heard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Its first line.
    pub line: String,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

impl Heard {
    /// A header's value, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }

    /// What is asked for.
    #[must_use]
    pub fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    /// It as it stood on the wire, with another first line and without the headers meant for a proxy.
    fn forwarded(&self, line: &str) -> String {
        let mut text = format!("{line}\r\n");
        for (name, value) in &self.headers {
            if !name.starts_with("proxy-") {
                text += &format!("{name}: {value}\r\n");
            }
        }
        text + "\r\n" + &self.body
    }
}

impl Peer {
    /// The next request; nothing when the client closed.
    pub fn request(&mut self) -> Option<Heard> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let [byte] = self.read()?;
            head.push(byte);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let (line, rest) = head.split_once("\r\n")?;
        let headers: Vec<_> = rest
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut heard = Heard {
            line: line.to_owned(),
            headers,
            body: String::new(),
        };
        let mut body = vec![0; heard.header("content-length").parse().unwrap_or_default()];
        self.stream.read_exact(&mut body).ok()?;
        heard.body = String::from_utf8_lossy(&body).into_owned();
        Some(heard)
    }

    /// Exactly so many bytes.
    pub fn read<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Writes, whether or not anybody is there.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Answers with a status such as `200 OK`, headers that end in `\r\n`, and a body.
    pub fn answer(&mut self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        self.write(format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        ));
    }

    /// Puts something into [`Wire::log`].
    pub fn note(&self, text: impl Into<String>) {
        lock(&self.log).push(text.into());
    }

    /// Waits until the client closes.
    pub fn linger(&mut self) {
        let mut buffer = [0; 1024];
        while matches!(self.stream.read(&mut buffer), Ok(count) if count > 0) {}
    }

    /// Moves bytes both ways between the client and another server until one of them closes.
    fn relay(self, other: TcpStream) {
        let pump = |mut from: TcpStream, mut to: TcpStream| {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
        };
        let (Ok(client), Ok(server)) = (self.stream.try_clone(), other.try_clone()) else {
            return;
        };
        let _ = client.set_read_timeout(None);
        std::thread::spawn(move || pump(client, server));
        pump(other, self.stream);
    }
}

/// A proxy that speaks HTTP, both `CONNECT` and absolute form, and notes the first line of each request. With `credentials`, the
/// value of `Proxy-Authorization`, it refuses whoever has others.
///
/// # Errors
/// When nobody can listen.
pub fn http_proxy(credentials: Option<&'static str>) -> Result<Wire, Failure> {
    Wire::serve(move |mut peer| {
        while let Some(heard) = peer.request() {
            peer.note(&heard.line);
            if credentials.is_some_and(|wanted| heard.header("proxy-authorization") != wanted) {
                let ask = "Proxy-Authenticate: Basic realm=\"x\"\r\n";
                peer.answer("407 Proxy Authentication Required", ask, "");
                continue;
            }
            if heard.method() != "CONNECT" {
                match forward(&mut peer, &heard) {
                    Some(server) => return peer.relay(server),
                    None => continue,
                }
            }
            if let Ok(server) = TcpStream::connect(heard.target()) {
                peer.write("HTTP/1.1 200 Connection established\r\n\r\n");
                return peer.relay(server);
            }
            peer.answer("502 Bad Gateway", "", "");
        }
    })
}

/// Passes one request and its answer on. Gives the server when the answer has no end yet: the rest has to be passed on as it
/// comes.
fn forward(peer: &mut Peer, heard: &Heard) -> Option<TcpStream> {
    let target = heard
        .target()
        .strip_prefix("http://")
        .unwrap_or_default()
        .to_owned();
    let (host, path) = target.split_at(target.find('/').unwrap_or(target.len()));
    let request = heard.forwarded(&format!("{} {path} HTTP/1.1", heard.method()));
    let Ok(mut server) = TcpStream::connect(host) else {
        peer.answer("502 Bad Gateway", "", "");
        return None;
    };
    let _ = server.write_all(request.as_bytes());
    let mut answering = Peer {
        stream: server,
        number: 0,
        log: Arc::default(),
    };
    // An answer with a length looks like a request to whoever reads it.
    let answer = answering.request()?;
    peer.write(answer.forwarded(&answer.line));
    (answer.header("transfer-encoding") == "chunked").then_some(answering.stream)
}

/// A proxy that speaks SOCKS version 5 and notes what it was asked to connect to. With `password`, a user name and a password,
/// it refuses whoever has others.
///
/// # Errors
/// When nobody can listen.
pub fn socks_proxy(password: Option<(&'static str, &'static str)>) -> Result<Wire, Failure> {
    Wire::serve(move |mut peer| {
        let _ = socks(&mut peer, password).map(|server| peer.relay(server));
    })
}

fn socks(peer: &mut Peer, password: Option<(&str, &str)>) -> Option<TcpStream> {
    let [5, count] = peer.read()? else {
        return None;
    };
    let mut methods = vec![0; usize::from(count)];
    peer.stream.read_exact(&mut methods).ok()?;
    let method = if password.is_some() { 2 } else { 0 };
    if !methods.contains(&method) {
        peer.write([5, 0xff]);
        return None;
    }
    peer.write([5, method]);
    if let Some((user, word)) = password {
        let [1] = peer.read()? else { return None };
        let right = text(peer)? == user && text(peer)? == word;
        peer.write([1, u8::from(!right)]);
    }
    let [5, 1, 0, kind] = peer.read()? else {
        return None;
    };
    let host = match kind {
        1 => std::net::Ipv4Addr::from(peer.read::<4>()?).to_string(),
        3 => text(peer)?,
        4 => format!("[{}]", std::net::Ipv6Addr::from(peer.read::<16>()?)),
        _ => return None,
    };
    let target = format!("{host}:{}", u16::from_be_bytes(peer.read()?));
    peer.note(format!("{kind} {target}"));
    let server = TcpStream::connect(&target);
    let reply = if server.is_ok() { 0 } else { 5 };
    // The address it used is a name, for a change.
    peer.write([5, reply, 0, 3, 2, b'm', b'e', 0, 80]);
    server.ok()
}

/// Bytes behind their number.
fn text(peer: &mut Peer) -> Option<String> {
    let [length] = peer.read()?;
    let mut bytes = vec![0; usize::from(length)];
    peer.stream.read_exact(&mut bytes).ok()?;
    String::from_utf8(bytes).ok()
}
