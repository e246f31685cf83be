//! One connection of a client.

use core::future::pending;
use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{sleep, timeout};

use super::Shared;
use super::fault::{End, Exchange, Fault, Framing, Greeting, Side};
use super::head::{Inbox, RequestHead, ResponseHead, body_place, collect};
use super::shape::{Shape, Stop};

const INTERIM: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const NO_SERVER: &[u8] = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
/// How often a stalled connection is looked at.
const GLANCE: Duration = Duration::from_millis(20);
/// How long a client may take to close its side after we have closed ours.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves a connection to its end.
pub(super) async fn serve(mut client: TcpStream, shared: Arc<Shared>, connection: usize) {
    // Without it the kernel would join what is written apart.
    let _ = client.set_nodelay(true);
    let mut connection = Connection {
        shared,
        number: connection,
        requests: 0,
        inbox: Inbox::default(),
        upstream: None,
    };
    let stop = connection.run(&mut client).await;
    match stop {
        Stop::Cut(End::Reset) => {
            connection.upstream.as_ref().map(reset);
            reset(&client);
        }
        Stop::Cut(End::Close) => close(client).await,
        Stop::Cut(End::Stall) => left(&client.split().0).await,
        Stop::Gone => {}
    }
}

/// Has a socket reset the connection when it is dropped, which happens next.
fn reset(socket: &TcpStream) {
    let _ = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

/// Says goodbye and waits for the other side to do so. Dropping a socket with unread bytes would reset it.
async fn close(mut client: TcpStream) {
    let mut buffer = [0; 1024];
    let goodbye = async {
        client.shutdown().await?;
        while client.read(&mut buffer).await? > 0 {}
        Ok::<(), std::io::Error>(())
    };
    // Whoever does not close is dropped.
    let _ = timeout(PATIENCE, goodbye).await;
}

/// Ready when the peer has closed its side, whether or not all it sent was read.
async fn left(peer: &ReadHalf<'_>) {
    while let Ok(ready) = peer.ready(Interest::READABLE).await {
        if ready.is_read_closed() {
            return;
        }
        sleep(GLANCE).await;
    }
}

struct Connection {
    shared: Arc<Shared>,
    number: usize,
    requests: usize,
    inbox: Inbox,
    upstream: Option<TcpStream>,
}

impl Connection {
    async fn run(&mut self, client: &mut TcpStream) -> Stop {
        match self.shared.plan.accept(self.number) {
            Greeting::Serve => {}
            Greeting::Stall => return Stop::Cut(End::Stall),
            Greeting::Close => return Stop::Cut(End::Close),
            Greeting::Reset => return Stop::Cut(End::Reset),
            Greeting::Say(bytes) => {
                if client.write_all(&bytes).await.is_err() {
                    return Stop::Gone;
                }
            }
        }
        loop {
            if let Err(stop) = self.exchange(client).await {
                return stop;
            }
        }
    }

    /// One request and its answer.
    async fn exchange(&mut self, client: &mut TcpStream) -> Result<(), Stop> {
        let (mut from, mut to) = client.split();
        let raw = gone(self.inbox.head(&mut from).await)?.ok_or(Stop::Gone)?;
        let head = RequestHead::parse(&raw).ok_or(Stop::Cut(End::Close))?;
        let fault = self.plan(&head);
        sleep(fault.delay).await;
        let upstream = self.shared.upstream.filter(|_| !fault.unheard);
        let Some(upstream) = upstream else {
            self.swallow(&mut from, head.body).await?;
            let answer = fault.replaced.clone();
            let answer = answer.unwrap_or_else(|| Bytes::from_static(NO_SERVER));
            return say(&self.shared, &mut to, &fault, &answer).await;
        };
        let mut upstream = connect(upstream).await?;
        let ended = self
            .relay(&mut from, &mut to, &mut upstream, &raw, head.body, &fault)
            .await;
        // It is closed with the connection, in the same way.
        self.upstream = Some(upstream);
        ended
    }

    fn plan(&mut self, head: &RequestHead) -> Fault {
        let on_connection = self.requests;
        self.requests += 1;
        let exchange: Exchange =
            self.shared
                .note(self.number, on_connection, head.kind, head.path.clone());
        self.shared.plan.exchange(&exchange)
    }

    async fn swallow(&mut self, from: &mut ReadHalf<'_>, mut body: u64) -> Result<(), Stop> {
        while body > 0 {
            let bytes = gone(self.inbox.some(from, body).await)?;
            if bytes.is_empty() {
                return Err(Stop::Gone);
            }
            body -= bytes.len() as u64;
        }
        Ok(())
    }

    async fn relay(
        &mut self,
        from: &mut ReadHalf<'_>,
        to: &mut WriteHalf<'_>,
        upstream: &mut TcpStream,
        raw: &[u8],
        mut body: u64,
        fault: &Fault,
    ) -> Result<(), Stop> {
        let (mut back, mut forth) = upstream.split();
        let mut shape = Shape::new(&self.shared, fault, Side::Request);
        shape.pass(&mut forth, raw).await?;
        shape.body();
        shape.pass(&mut forth, &[]).await?;
        while body > 0 {
            let bytes = gone(self.inbox.some(from, body).await)?;
            if bytes.is_empty() {
                return Err(Stop::Gone);
            }
            body -= bytes.len() as u64;
            shape.pass(&mut forth, &bytes).await?;
        }
        shape.over()?;
        let mut answer = ResponsePipe {
            inbox: Inbox::default(),
            shape: Shape::new(&self.shared, fault, Side::Answer),
        };
        let tunnel = tokio::select! {
            tunnel = answer.pass(&mut back, to, fault) => tunnel?,
            () = left(from) => return Err(Stop::Gone),
        };
        if !tunnel {
            return Ok(());
        }
        // A direction that stalls leaves the other one alone. A client that left is noticed without reading from it.
        let up = async {
            match pump(&mut self.inbox, from, &mut forth, &mut shape).await {
                Stop::Cut(End::Stall) => {
                    left(from).await;
                    Stop::Gone
                }
                stop => stop,
            }
        };
        let down = async {
            match pump(&mut answer.inbox, &mut back, to, &mut answer.shape).await {
                Stop::Cut(End::Stall) => pending().await,
                stop => stop,
            }
        };
        Err(tokio::select! { stop = up => stop, stop = down => stop })
    }
}

fn gone<T>(result: std::io::Result<T>) -> Result<T, Stop> {
    result.map_err(|_| Stop::Gone)
}

async fn connect(upstream: SocketAddr) -> Result<TcpStream, Stop> {
    let upstream = gone(TcpStream::connect(upstream).await)?;
    gone(upstream.set_nodelay(true))?;
    Ok(upstream)
}

/// Answers in the server's place.
async fn say(
    shared: &Arc<Shared>,
    to: &mut WriteHalf<'_>,
    fault: &Fault,
    answer: &[u8],
) -> Result<(), Stop> {
    let mut shape = Shape::new(shared, fault, Side::Answer);
    let (head, body) = answer.split_at(body_place(answer));
    let rest = with_more(fault, head, body);
    shape.pass_whole(to, head, &rest).await?;
    shape.over()
}

/// A body, and what is to follow it. They are written in one piece: the client has all of it before it can ask again.
fn with_more(fault: &Fault, head: &[u8], body: &[u8]) -> Bytes {
    let (head, again) = if fault.repeated {
        (head, body)
    } else {
        Default::default()
    };
    [body, head, again, &fault.trailing].concat().into()
}

/// Moves bytes of a tunnel. Ends with the peer they come from, or where they are cut.
async fn pump(
    inbox: &mut Inbox,
    from: &mut ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    shape: &mut Shape,
) -> Stop {
    loop {
        let bytes = match inbox.some(from, u64::MAX).await {
            Ok(bytes) if bytes.is_empty() => return Stop::Cut(End::Close),
            Ok(bytes) => bytes,
            Err(_) => return Stop::Cut(End::Reset),
        };
        if let Err(stop) = shape.pass(to, &bytes).await {
            return stop;
        }
    }
}

/// The way of an answer from the server to the client.
struct ResponsePipe {
    inbox: Inbox,
    shape: Shape,
}

impl ResponsePipe {
    /// Passes the answer on. Tells whether the connection is a tunnel from now on.
    async fn pass(
        &mut self,
        from: &mut ReadHalf<'_>,
        to: &mut WriteHalf<'_>,
        fault: &Fault,
    ) -> Result<bool, Stop> {
        let mut head = self.head(from).await?;
        if let Some(answer) = &fault.replaced {
            gone(collect(&mut head.body, &mut self.inbox, from).await)?;
            return say(&self.shape.shared, to, fault, answer)
                .await
                .map(|()| false);
        }
        if fault.interim {
            self.shape.pass(to, INTERIM).await?;
        }
        if head.status == 101 {
            for _ in 0..=u8::from(fault.repeated) {
                self.shape.pass(to, &head.raw).await?;
            }
            self.shape.body();
            self.shape.pass(to, &fault.trailing).await?;
            return Ok(true);
        }
        if fault.has_more() {
            let body = gone(collect(&mut head.body, &mut self.inbox, from).await)?;
            let length = Some(body.len() as u64);
            let framing = Framing::LengthOff(0);
            let head = head.reframed(framing, length);
            let rest = with_more(fault, &head, &body);
            self.shape.pass_whole(to, &head, &rest).await?;
        } else {
            self.body(from, to, head, fault).await?;
        }
        self.shape.over()?;
        if fault.framing == Framing::UntilClose {
            return Err(Stop::Cut(End::Close));
        }
        Ok(false)
    }

    async fn head(&mut self, from: &mut ReadHalf<'_>) -> Result<ResponseHead, Stop> {
        loop {
            let raw = gone(self.inbox.head(from).await)?.ok_or(Stop::Cut(End::Close))?;
            let head = ResponseHead::parse(raw).ok_or(Stop::Cut(End::Close))?;
            if head.status == 101 || head.status >= 200 {
                return Ok(head);
            }
        }
    }

    /// Writes head and body.
    async fn body(
        &mut self,
        from: &mut ReadHalf<'_>,
        to: &mut WriteHalf<'_>,
        mut head: ResponseHead,
        fault: &Fault,
    ) -> Result<(), Stop> {
        let collected = match fault.framing {
            Framing::LengthOff(_) => {
                Some(gone(collect(&mut head.body, &mut self.inbox, from).await)?)
            }
            Framing::AsIs | Framing::Chunked(_) | Framing::LengthOf(_) | Framing::UntilClose => {
                None
            }
        };
        let length = collected.as_ref().map(|body| body.len() as u64);
        let raw = head.reframed(fault.framing, length);
        self.shape.pass(to, &raw).await?;
        self.shape.body();
        self.shape.pass(to, &collected.unwrap_or_default()).await?;
        while let Some(piece) = next(&mut head, &mut self.inbox, from).await? {
            for bytes in framed(fault.framing, piece.raw, &piece.data) {
                self.shape.pass(to, &bytes).await?;
            }
        }
        if matches!(fault.framing, Framing::Chunked(_)) {
            self.shape.pass(to, b"0\r\n\r\n").await?;
        }
        Ok(())
    }
}

async fn next(
    head: &mut ResponseHead,
    inbox: &mut Inbox,
    from: &mut ReadHalf<'_>,
) -> Result<Option<super::head::Piece>, Stop> {
    // What breaks off at the server breaks off here.
    head.body
        .next(inbox, from)
        .await
        .map_err(|_| Stop::Cut(End::Close))
}

/// A piece of a body in the framing that is wanted, in the parts in which it is written.
fn framed(framing: Framing, raw: Bytes, data: &[u8]) -> Vec<Bytes> {
    match framing {
        Framing::AsIs => vec![raw],
        Framing::Chunked(size) => data.chunks(size.max(1)).map(as_chunk).collect(),
        Framing::LengthOff(_) | Framing::LengthOf(_) | Framing::UntilClose => {
            vec![Bytes::copy_from_slice(data)]
        }
    }
}

fn as_chunk(data: &[u8]) -> Bytes {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"]
        .concat()
        .into()
}
