//! As much of HTTP/1.1 as connecting takes, on blocking sockets.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use memchr::memmem;

use crate::Failure;

/// How long a server may take to answer. Under valgrind it takes its time.
const PATIENCE: Duration = Duration::from_secs(30);

/// A socket and what came on it that nobody has read.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    host: String,
    buffer: Vec<u8>,
}

/// The beginning of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its status.
    pub status: u16,
    length: usize,
    chunked: bool,
}

impl Wire {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            host: address.to_string(),
            buffer: Vec::new(),
        })
    }

    /// The socket, and what came on it behind what was read.
    #[must_use]
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.buffer)
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the peer has gone.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Sends a request; `headers` are whole lines.
    ///
    /// # Errors
    /// When the peer has gone.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> Result<(), Failure> {
        let length = if method == "POST" {
            format!("Content-Length: {}\r\n", body.len())
        } else {
            String::new()
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}{length}\r\n",
            self.host
        );
        self.write(&[head.as_bytes(), body].concat())
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// When there is none, or one that is not a success.
    pub fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>, Failure> {
        self.send(method, path, "", body)?;
        let head = self.head()?;
        let answer = self.body(&head)?;
        if !(200..300).contains(&head.status) {
            return Err(format!(
                "{method} of {} was answered with {}",
                without_query(path),
                head.status
            )
            .into());
        }
        Ok(answer)
    }

    /// Reads the beginning of a response.
    ///
    /// # Errors
    /// When it does not come, or makes no sense.
    pub fn head(&mut self) -> Result<Head, Failure> {
        let head = self.until(b"\r\n\r\n")?;
        parse_head(&head)
    }

    /// Reads the rest of a response.
    ///
    /// # Errors
    /// When it does not come, or makes no sense.
    pub fn body(&mut self, head: &Head) -> Result<Vec<u8>, Failure> {
        if !head.chunked {
            return self.exactly(head.length);
        }
        let mut body = Vec::new();
        loop {
            let line = self.until(b"\r\n")?;
            let digits = std::str::from_utf8(&line)?.trim();
            let length = usize::from_str_radix(digits, 16)?;
            let chunk = self.exactly(length + 2)?;
            if length == 0 {
                return Ok(body);
            }
            body.extend_from_slice(chunk.get(..length).unwrap_or_default());
        }
    }

    /// Reads up to this mark, which is part of what is given.
    ///
    /// # Errors
    /// When it does not come.
    pub fn until(&mut self, mark: &[u8]) -> Result<Vec<u8>, Failure> {
        loop {
            if let Some(at) = memmem::find(&self.buffer, mark) {
                return self.exactly(at + mark.len());
            }
            self.more()?;
        }
    }

    /// Reads that many bytes.
    ///
    /// # Errors
    /// When they do not come.
    pub fn exactly(&mut self, length: usize) -> Result<Vec<u8>, Failure> {
        while self.buffer.len() < length {
            self.more()?;
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    /// Reads until `take` finds what it looks for in the bytes so far, and says how many of them it used.
    ///
    /// # Errors
    /// When it finds a mistake, or nothing in time.
    pub fn take<T>(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<Option<(T, usize)>, Failure>,
    ) -> Result<T, Failure> {
        loop {
            if let Some((found, used)) = take(&self.buffer)? {
                self.buffer.drain(..used);
                return Ok(found);
            }
            self.more()?;
        }
    }

    fn more(&mut self) -> Result<(), Failure> {
        let mut bytes = [0; 4096];
        let count = self.stream.read(&mut bytes)?;
        if count == 0 {
            return Err("the server closed a connection that was being set up".into());
        }
        self.buffer
            .extend_from_slice(bytes.get(..count).unwrap_or_default());
        Ok(())
    }
}

/// Queries hold tokens.
fn without_query(path: &str) -> &str {
    path.split('?').next().unwrap_or_default()
}

fn parse_head(head: &[u8]) -> Result<Head, Failure> {
    let text = std::str::from_utf8(head)?;
    let mut lines = text.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .ok_or("an answer that is not HTTP")?
        .parse()?;
    let mut parsed = Head {
        status,
        length: 0,
        chunked: false,
    };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            parsed.length = value.trim().parse()?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            parsed.chunked = value.contains("chunked");
        }
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_how_its_body_is_delimited() {
        let head = parse_head(b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 12\r\n\r\n").unwrap();
        assert_eq!((head.status, head.length, head.chunked), (200, 12, false));
        let head = parse_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        assert!(head.chunked);
        assert!(parse_head(b"SSH-2.0\r\n\r\n").is_err());
    }
}
