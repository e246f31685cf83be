//! As much of HTTP/1.1 as it takes to find the end of a message.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::fault::{Framing, RequestKind};

/// The longest head, and the longest line that announces a chunk.
const MAX_HEAD: usize = 64 << 10;
/// The largest chunk, and the largest body that is collected.
const MAX_BODY: u64 = 16 << 20;
const HEADERS: usize = 64;
const BLANK_LINE: &[u8] = b"\r\n\r\n";

/// What was read of one direction and not yet looked at.
#[derive(Default)]
pub(super) struct Inbox(BytesMut);

impl Inbox {
    /// Reads a head, its blank line included; `None` when the peer left instead.
    pub(super) async fn head<R: AsyncRead + Unpin>(
        &mut self,
        from: &mut R,
    ) -> io::Result<Option<Bytes>> {
        self.until(from, BLANK_LINE).await
    }

    async fn until<R: AsyncRead + Unpin>(
        &mut self,
        from: &mut R,
        end: &[u8],
    ) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(place) = find(&self.0, end) {
                return Ok(Some(self.0.split_to(place).freeze()));
            }
            if self.0.len() > MAX_HEAD {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if from.read_buf(&mut self.0).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Some bytes, `most` at the most; none when the peer left.
    pub(super) async fn some<R: AsyncRead + Unpin>(
        &mut self,
        from: &mut R,
        most: u64,
    ) -> io::Result<Bytes> {
        if self.0.is_empty() && most > 0 {
            from.read_buf(&mut self.0).await?;
        }
        let count = usize::try_from(most).map_or(self.0.len(), |most| most.min(self.0.len()));
        Ok(self.0.split_to(count).freeze())
    }

    /// So many bytes.
    async fn exactly<R: AsyncRead + Unpin>(
        &mut self,
        from: &mut R,
        count: usize,
    ) -> io::Result<Bytes> {
        while self.0.len() < count {
            if from.read_buf(&mut self.0).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.0.split_to(count).freeze())
    }
}

/// The place behind the first occurrence.
pub(super) fn find(bytes: &[u8], end: &[u8]) -> Option<usize> {
    bytes
        .windows(end.len())
        .position(|window| window == end)
        .map(|place| place + end.len())
}

/// Where the body of a raw answer begins.
pub(super) fn body_place(answer: &[u8]) -> usize {
    find(answer, BLANK_LINE).unwrap_or(answer.len())
}

/// What is known of a request.
pub(super) struct RequestHead {
    pub(super) kind: RequestKind,
    pub(super) path: String,
    pub(super) body: u64,
}

impl RequestHead {
    /// `None` for what is not HTTP or has a body whose end cannot be told.
    pub(super) fn parse(raw: &[u8]) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(raw).ok()?;
        let method = request.method?;
        let path = request.path?.split('?').next()?.to_owned();
        let says = |name: &str, what: &str| {
            value(request.headers, name)
                .is_some_and(|value| value.to_ascii_lowercase().contains(what))
        };
        let kind = match method {
            "POST" if path.trim_end_matches('/').ends_with("/negotiate") => RequestKind::Negotiate,
            "GET" if says("upgrade", "websocket") => RequestKind::WebSocket,
            "GET" if says("accept", "text/event-stream") => RequestKind::EventStream,
            "GET" => RequestKind::Poll,
            "POST" => RequestKind::Send,
            "DELETE" => RequestKind::Delete,
            _ => RequestKind::Other,
        };
        let body = match value(request.headers, "content-length") {
            Some(length) => length.parse().ok()?,
            None if says("transfer-encoding", "chunked") => return None,
            None => 0,
        };
        Some(Self { kind, path, body })
    }
}

fn value<'a>(headers: &[httparse::Header<'a>], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case(name))
        .and_then(|header| core::str::from_utf8(header.value).ok())
}

/// Where the body of an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Length(u64),
    Chunked,
    UntilClose,
    /// The connection is not HTTP any more.
    Tunnel,
}

/// What is known of an answer.
pub(super) struct ResponseHead {
    pub(super) raw: Bytes,
    pub(super) status: u16,
    pub(super) body: Body,
}

impl ResponseHead {
    pub(super) fn parse(raw: Bytes) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        response.parse(&raw).ok()?;
        let status = response.code?;
        let chunked = value(response.headers, "transfer-encoding")
            .is_some_and(|value| value.to_ascii_lowercase().contains("chunked"));
        let length = value(response.headers, "content-length").and_then(|value| value.parse().ok());
        let body = match (status, chunked, length) {
            (101, ..) => Body::Tunnel,
            (100..200 | 204 | 304, ..) => Body::Length(0),
            (_, true, _) => Body::Chunked,
            (_, false, Some(length)) => Body::Length(length),
            (_, false, None) => Body::UntilClose,
        };
        Some(Self { raw, status, body })
    }

    /// The head with another framing; `length` is that of the body where it is known.
    pub(super) fn reframed(&self, framing: Framing, length: Option<u64>) -> Bytes {
        let line = match framing {
            Framing::AsIs => return self.raw.clone(),
            Framing::Chunked(_) => "Transfer-Encoding: chunked\r\n".to_owned(),
            Framing::LengthOff(by) => {
                let length = length.unwrap_or(0).saturating_add_signed(by);
                format!("Content-Length: {length}\r\n")
            }
            Framing::LengthOf(length) => format!("Content-Length: {length}\r\n"),
            Framing::UntilClose => "Connection: close\r\n".to_owned(),
        };
        let mut head = BytesMut::new();
        for old in self.raw.split_inclusive(|byte| *byte == b'\n') {
            if old == b"\r\n" {
                head.extend_from_slice(line.as_bytes());
            }
            if !frames(old) {
                head.extend_from_slice(old);
            }
        }
        head.freeze()
    }
}

/// Whether a line of a head tells where the body ends.
fn frames(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    [&b"content-length"[..], b"transfer-encoding", b"connection"]
        .iter()
        .any(|framing| name.eq_ignore_ascii_case(framing))
}

/// A piece of a body: as it was on the wire, and what it means.
pub(super) struct Piece {
    pub(super) raw: Bytes,
    pub(super) data: Bytes,
}

impl Body {
    /// The next piece; `None` after the last.
    pub(super) async fn next<R: AsyncRead + Unpin>(
        &mut self,
        inbox: &mut Inbox,
        from: &mut R,
    ) -> io::Result<Option<Piece>> {
        match self {
            Self::Length(left) => {
                let data = inbox.some(from, *left).await?;
                if data.is_empty() && *left > 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                *left -= data.len() as u64;
                Ok(whole(data))
            }
            Self::UntilClose => Ok(whole(inbox.some(from, u64::MAX).await?)),
            Self::Tunnel => Ok(None),
            Self::Chunked => {
                let piece = chunk(inbox, from).await?;
                if piece.data.is_empty() {
                    *self = Self::Length(0);
                }
                Ok(Some(piece))
            }
        }
    }
}

fn whole(data: Bytes) -> Option<Piece> {
    (!data.is_empty()).then(|| Piece {
        raw: data.clone(),
        data,
    })
}

/// A chunk; the last is empty. Trailers are not expected.
async fn chunk<R: AsyncRead + Unpin>(inbox: &mut Inbox, from: &mut R) -> io::Result<Piece> {
    let line = inbox
        .until(from, b"\r\n")
        .await?
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let size = core::str::from_utf8(&line)
        .ok()
        .and_then(|line| u64::from_str_radix(line.trim(), 16).ok())
        .filter(|size| *size <= MAX_BODY)
        .and_then(|size| usize::try_from(size).ok())
        .ok_or(io::ErrorKind::InvalidData)?;
    let data = inbox.exactly(from, size + 2).await?;
    let raw = [&line[..], &data[..]].concat().into();
    Ok(Piece {
        raw,
        data: data.slice(..size),
    })
}

/// A body as one piece.
pub(super) async fn collect<R: AsyncRead + Unpin>(
    body: &mut Body,
    inbox: &mut Inbox,
    from: &mut R,
) -> io::Result<Bytes> {
    let mut all = BytesMut::new();
    while let Some(piece) = body.next(inbox, from).await? {
        all.extend_from_slice(&piece.data);
        if all.len() as u64 > MAX_BODY {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(all.freeze())
}
