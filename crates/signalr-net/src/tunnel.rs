//! Connections through a proxy: `CONNECT` of HTTP, and SOCKS version 5 (RFC 1928, RFC 1929).

use futures_io::{AsyncRead, AsyncWrite};
use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use http::{Request, StatusCode, header};

use crate::address::Address;
use crate::error::NetError;
use crate::http1;
use crate::live::{Pieces, WireRequest};
use crate::proxy::{ProxyKind, Server};
use crate::stream::NetStream;

/// Has the proxy at the other end of this stream connect to a server.
pub(crate) async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    stream: NetStream<S>,
    server: &Server,
    target: &Address,
) -> Result<NetStream<S>, NetError> {
    match server.kind() {
        ProxyKind::Http => connect(stream, server, target).await,
        ProxyKind::Socks => socks(stream, server, target).await,
    }
}

async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: NetStream<S>,
    server: &Server,
    target: &Address,
) -> Result<NetStream<S>, NetError> {
    let request = connect_request(server, target)
        .map_err(|_| NetError::failed("the host of the address is not valid in HTTP"))?;
    match http1::upgrade(stream, &server.to_string(), request).await? {
        (_, Some((stream, read))) if read.is_empty() => Ok(stream),
        // Neither TLS nor HTTP lets the server speak first.
        (_, Some(_)) => Err(server.failed("did not make a clean connection")),
        (head, None) => Err(refused(server, target, head.status)),
    }
}

fn connect_request(server: &Server, target: &Address) -> http::Result<WireRequest> {
    let target = target.target();
    let mut request = Request::connect(&target).header(header::HOST, &target);
    if let Some(credentials) = server.basic() {
        request = request.header(header::PROXY_AUTHORIZATION, credentials);
    }
    request.body(Pieces::none())
}

fn refused(server: &Server, target: &Address, status: StatusCode) -> NetError {
    if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        return server.wants_credentials(server.basic().is_some());
    }
    server.failed(format_args!(
        "did not connect to {}: status {status}",
        target.target()
    ))
}

const VERSION: u8 = 5;
const WITHOUT_CREDENTIALS: u8 = 0;
const WITH_PASSWORD: u8 = 2;

async fn socks<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: NetStream<S>,
    server: &Server,
    target: &Address,
) -> Result<NetStream<S>, NetError> {
    greet(&mut stream, server).await?;
    let request = socks_request(target)
        .ok_or_else(|| NetError::failed("the host of the address is too long for a SOCKS proxy"))?;
    write(&mut stream, server, &request).await?;
    let [version, reply, _, kind] = read(&mut stream, server).await?;
    if version != VERSION {
        return Err(not_socks(server));
    }
    if reply != 0 {
        return Err(server.failed(format_args!(
            "did not connect to {}: {}",
            target.target(),
            reason(reply)
        )));
    }
    // The address that the proxy uses: of no interest, but in the way.
    match kind {
        1 => drop(read::<6, S>(&mut stream, server).await?),
        4 => drop(read::<18, S>(&mut stream, server).await?),
        3 => {
            let [length] = read(&mut stream, server).await?;
            for _ in 0..usize::from(length) + 2 {
                read::<1, S>(&mut stream, server).await?;
            }
        }
        _ => return Err(not_socks(server)),
    }
    Ok(stream)
}

/// Agrees on whether the proxy wants a password, and gives it.
async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut NetStream<S>,
    server: &Server,
) -> Result<(), NetError> {
    let password = server.password();
    let offer: &[u8] = match password {
        Some(_) => &[VERSION, 2, WITHOUT_CREDENTIALS, WITH_PASSWORD],
        None => &[VERSION, 1, WITHOUT_CREDENTIALS],
    };
    write(stream, server, offer).await?;
    let [version, method] = read(stream, server).await?;
    match (version, method, password) {
        (VERSION, WITHOUT_CREDENTIALS, _) => Ok(()),
        (VERSION, WITH_PASSWORD, Some((user, password))) => {
            log_in(stream, server, user, password).await
        }
        (VERSION, _, _) => Err(server.wants_credentials(password.is_some())),
        (_, _, _) => Err(not_socks(server)),
    }
}

async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut NetStream<S>,
    server: &Server,
    user: &str,
    password: &str,
) -> Result<(), NetError> {
    let mut message = vec![1];
    for part in [user, password] {
        let length = u8::try_from(part.len()).map_err(|_| {
            server.failed("takes no user names and passwords of more than 255 bytes")
        })?;
        message.push(length);
        message.extend_from_slice(part.as_bytes());
    }
    write(stream, server, &message).await?;
    let [_, status] = read(stream, server).await?;
    if status == 0 {
        Ok(())
    } else {
        Err(server.wants_credentials(true))
    }
}

/// The wish for a connection. Names are for the proxy to resolve.
fn socks_request(target: &Address) -> Option<Vec<u8>> {
    let mut request = vec![VERSION, 1, 0];
    match target.host().parse() {
        Ok(core::net::IpAddr::V4(address)) => {
            request.push(1);
            request.extend_from_slice(&address.octets());
        }
        Ok(core::net::IpAddr::V6(address)) => {
            request.push(4);
            request.extend_from_slice(&address.octets());
        }
        Err(_) => {
            request.extend_from_slice(&[3, u8::try_from(target.host().len()).ok()?]);
            request.extend_from_slice(target.host().as_bytes());
        }
    }
    request.extend_from_slice(&target.port().to_be_bytes());
    Some(request)
}

const fn reason(reply: u8) -> &'static str {
    match reply {
        2 => "its rules do not allow it",
        3 => "the network is unreachable",
        4 => "the host is unreachable",
        5 => "the connection was refused",
        6 => "it took too long",
        7 | 8 => "it cannot do that",
        _ => "it failed",
    }
}

fn not_socks(server: &Server) -> NetError {
    server.failed("does not speak SOCKS version 5")
}

async fn write<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut NetStream<S>,
    server: &Server,
    bytes: &[u8],
) -> Result<(), NetError> {
    let written = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    written.await.map_err(|error| broken(server, &error))
}

async fn read<const N: usize, S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut NetStream<S>,
    server: &Server,
) -> Result<[u8; N], NetError> {
    let mut bytes = [0; N];
    let read = stream.read_exact(&mut bytes).await;
    read.map_err(|error| broken(server, &error))?;
    Ok(bytes)
}

fn broken(server: &Server, error: &std::io::Error) -> NetError {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        return server.failed("closed the connection");
    }
    server.failed(format_args!("broke the connection: {error}"))
}
