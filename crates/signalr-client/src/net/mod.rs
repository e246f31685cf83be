//! HTTP/1.1, WebSockets and TLS over any runtime's sockets.

mod address;
mod error;
mod http1;
mod stream;
#[cfg(feature = "tls")]
mod tls;
mod web_socket;

pub use error::NetError;
pub use http1::NetBody;
pub use web_socket::NetWebSocket;

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use signalr_proto::{EndCause, Instant, Limits};

use crate::error::BuildError;
use crate::transport::{Runtime, Transport};
use address::Address;
use stream::NetStream;

/// Which servers are trusted over https and wss.
///
/// A [`HubConnectionBuilder`](crate::HubConnectionBuilder) has the same options; these are for a [`NetTransport`] that you make
/// yourself, for instance to wrap it in a [`Transport`] of your own.
///
/// ```
/// use signalr_client::{BuildError, Limits, NetTransport, Runtime, TlsOptions};
///
/// fn transport<R: Runtime>(runtime: R, authority: Vec<u8>) -> Result<NetTransport<R>, BuildError> {
///     let tls = TlsOptions::default().add_root_certificate(authority).only_added_root_certificates(true);
///     NetTransport::with_tls(runtime, tls, Limits::CLIENT)
/// }
/// ```
#[derive(Clone, Default)]
#[must_use = "options do nothing by themselves: make a transport with them"]
pub struct TlsOptions {
    roots: Vec<Vec<u8>>,
    only_added: bool,
    accept_invalid: bool,
}

impl TlsOptions {
    /// Trusts this certificate authority too: one certificate in DER form, or any number in PEM form.
    pub fn add_root_certificate(mut self, certificate: impl Into<Vec<u8>>) -> Self {
        self.roots.push(certificate.into());
        self
    }

    /// Trusts nothing but the certificates added, neither those of the system nor those compiled in. Default: false.
    pub const fn only_added_root_certificates(mut self, only: bool) -> Self {
        self.only_added = only;
        self
    }

    /// Accepts any certificate of any server. Whoever is between you and the server can then read and change everything, your
    /// token included. For tests. Default: false.
    pub const fn danger_accept_invalid_certificates(mut self, accept: bool) -> Self {
        self.accept_invalid = accept;
        self
    }
}

impl core::fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("TlsOptions")
            .field("roots", &self.roots.len())
            .field("only_added", &self.only_added)
            .field("accept_invalid", &self.accept_invalid)
            .finish()
    }
}

/// The [`Transport`] over sockets: each request has a connection of its own.
///
/// User names and passwords in addresses are not sent. Proxies are not used.
pub struct NetTransport<R> {
    inner: Arc<Inner<R>>,
}

struct Inner<R> {
    runtime: R,
    epoch: std::time::Instant,
    limits: Limits,
    #[cfg(feature = "tls")]
    tls: tls::Tls,
}

impl<R: Runtime> NetTransport<R> {
    /// A transport that trusts what the compiled-in features say.
    ///
    /// # Errors
    /// [`BuildError::Tls`] when TLS cannot be set up.
    pub fn new(runtime: R, limits: Limits) -> Result<Self, BuildError> {
        Self::with_tls(runtime, TlsOptions::default(), limits)
    }

    /// A transport that trusts what `options` say. Without TLS compiled in they do nothing, and https addresses fail.
    ///
    /// # Errors
    /// [`BuildError::Tls`] when an added certificate cannot be read.
    #[cfg_attr(
        not(feature = "tls"),
        expect(clippy::needless_pass_by_value, reason = "with TLS they are kept")
    )]
    pub fn with_tls(runtime: R, options: TlsOptions, limits: Limits) -> Result<Self, BuildError> {
        #[cfg(not(feature = "tls"))]
        let _ = options;
        Ok(Self {
            inner: Arc::new(Inner {
                runtime,
                epoch: std::time::Instant::now(),
                limits,
                #[cfg(feature = "tls")]
                tls: tls::Tls::new(options)?,
            }),
        })
    }

    /// Finds out now rather than later whether TLS works.
    #[cfg_attr(
        not(feature = "tls"),
        expect(clippy::unused_self, reason = "with TLS it is used")
    )]
    pub(crate) fn prepare_tls(&self) -> Result<(), BuildError> {
        #[cfg(feature = "tls")]
        return self
            .inner
            .tls
            .config()
            .map(|_| ())
            .map_err(|detail| BuildError::Tls { detail });
        #[cfg(not(feature = "tls"))]
        Err(BuildError::Tls {
            detail: NO_TLS.into(),
        })
    }

    async fn connect(&self, address: &Address) -> Result<NetStream<R::Stream>, NetError> {
        let connecting = self.inner.runtime.connect(address.host(), address.port());
        let stream = connecting
            .await
            .map_err(|error| NetError::connect(address, &error))?;
        if address.is_secure() {
            self.wrap(address, stream).await
        } else {
            Ok(NetStream::Plain(stream))
        }
    }

    #[cfg(feature = "tls")]
    async fn wrap(
        &self,
        address: &Address,
        stream: R::Stream,
    ) -> Result<NetStream<R::Stream>, NetError> {
        self.inner
            .tls
            .wrap(address, stream)
            .await
            .map(|stream| NetStream::Tls(Box::new(stream)))
    }

    #[cfg(not(feature = "tls"))]
    async fn wrap(&self, _: &Address, _: R::Stream) -> Result<NetStream<R::Stream>, NetError> {
        Err(NetError::tls(NO_TLS))
    }
}

#[cfg(not(feature = "tls"))]
const NO_TLS: &str = "https needs one of the features tls-native-roots and tls-webpki-roots";

impl<R: Runtime> Transport for NetTransport<R> {
    type WebSocket = NetWebSocket<R::Stream>;
    type Body = NetBody<R::Stream>;
    type Error = NetError;

    async fn request(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Self::Body>, NetError> {
        let address = Address::of(request.uri())?;
        let stream = self.connect(&address).await?;
        http1::exchange(stream, &address, request).await
    }

    async fn open_web_socket(
        &self,
        request: http::Request<()>,
    ) -> Result<Self::WebSocket, NetError> {
        let address = Address::of(request.uri())?;
        let stream = self.connect(&address).await?;
        web_socket::open(stream, &address, request, &self.inner.limits).await
    }

    async fn sleep_until(&self, deadline: Instant) {
        self.inner.runtime.sleep(deadline.since(self.now())).await;
    }

    fn now(&self) -> Instant {
        Instant(self.inner.epoch.elapsed())
    }

    fn end_cause(error: &NetError) -> EndCause {
        error.end_cause()
    }
}

impl<R> Clone for NetTransport<R> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<R> core::fmt::Debug for NetTransport<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let up = Duration::from_secs(self.inner.epoch.elapsed().as_secs());
        f.debug_struct("NetTransport")
            .field("up", &up)
            .finish_non_exhaustive()
    }
}
