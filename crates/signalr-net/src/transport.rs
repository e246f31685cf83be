//! HTTP and WebSockets: from a runtime to a transport.

use core::future::Future;
use core::pin::pin;
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{HeaderMap, StatusCode, Uri};
use signalr_proto::{Instant, Limits};

use crate::address::Address;
use crate::cookies::{self, CookieJar, Cookies};
use crate::error::{NetError, SetupError};
use crate::http1::{self, Home, NetBody, Unanswered};
use crate::live::{Live, WireRequest};
use crate::options::NetOptions;
use crate::pool::Pool;
use crate::proxy::{ProxyKind, Rules, Server};
use crate::redirect;
use crate::runtime::Runtime;
use crate::stream::NetStream;
#[cfg(feature = "tls")]
use crate::tls;
use crate::tunnel;
use crate::web_socket::{self, NetWebSocket};

/// HTTP and WebSockets over a runtime's sockets, for everything that one connection to a hub needs. Clones share what follows.
///
/// - Connections are kept and used again: at most 4 idle ones, for at most 30 s, and none to a server whose WebSocket was opened.
///   A request on a connection that turns out to be closed goes to another one, unless any of it was already written.
/// - Redirects are followed, at most 10: 307 and 308 for all methods, 301, 302 and 303 for GET; never from https to http, and
///   to another origin only without credentials. Those of a WebSocket's opening are not.
/// - [`Cookies`] are kept. [`Proxy`](crate::Proxy) servers are used.
/// - User names and passwords in addresses of servers are not sent.
pub struct NetTransport<R: Runtime> {
    inner: Arc<Inner<R>>,
}

struct Inner<R: Runtime> {
    runtime: R,
    epoch: std::time::Instant,
    limits: Limits,
    proxies: Rules,
    /// How long a proxy may take.
    patience: Duration,
    cookies: Arc<dyn Cookies>,
    pool: Arc<Pool<R::Stream>>,
    #[cfg(feature = "tls")]
    tls: tls::Tls,
}

impl<R: Runtime> NetTransport<R> {
    /// A transport with these options. The environment is read now, if a proxy is to be found there.
    ///
    /// # Errors
    /// [`SetupError::Tls`] when an added certificate cannot be read.
    pub fn new(runtime: R, options: NetOptions) -> Result<Self, SetupError> {
        let patience = options.patience();
        let cookies = options.cookies;
        Ok(Self {
            inner: Arc::new(Inner {
                runtime,
                epoch: std::time::Instant::now(),
                limits: options.limits,
                proxies: options.proxy.into_rules(),
                patience,
                cookies: cookies.unwrap_or_else(|| Arc::new(CookieJar::default())),
                pool: Arc::new(Pool::new()),
                #[cfg(feature = "tls")]
                tls: tls::Tls::new(options.tls)?,
            }),
        })
    }

    /// Finds out now rather than later whether TLS works.
    ///
    /// # Errors
    /// [`SetupError::Tls`] when no authority is trusted, or no TLS is compiled in.
    pub fn prepare_tls(&self) -> Result<(), SetupError> {
        #[cfg(feature = "tls")]
        return self
            .inner
            .tls
            .config()
            .map(|_| ())
            .map_err(|detail| SetupError::Tls { detail });
        #[cfg(not(feature = "tls"))]
        Err(SetupError::Tls {
            detail: NO_TLS.into(),
        })
    }

    /// A stream to the server, through its proxy if it has one, with TLS if it wants it.
    async fn connect(
        &self,
        address: &Address,
        proxy: Option<&Server>,
    ) -> Result<NetStream<R::Stream>, NetError> {
        let stream = match proxy {
            Some(proxy) => {
                let tunnel = async {
                    let stream = self.reach(proxy).await?;
                    tunnel::open(stream, proxy, address).await
                };
                self.patiently(proxy, tunnel).await?
            }
            None => self.plain(address, &address.authority()).await?,
        };
        if address.is_secure() {
            self.wrap(address, stream).await
        } else {
            Ok(stream)
        }
    }

    /// A stream to the proxy itself.
    async fn reach(&self, proxy: &Server) -> Result<NetStream<R::Stream>, NetError> {
        tracing::debug!(%proxy, "connecting");
        let stream = self.plain(proxy.address(), &proxy.to_string()).await?;
        if proxy.address().is_secure() {
            self.wrap(proxy.address(), stream).await
        } else {
            Ok(stream)
        }
    }

    async fn plain(&self, address: &Address, who: &str) -> Result<NetStream<R::Stream>, NetError> {
        let connecting = self.inner.runtime.connect(address.host(), address.port());
        let stream = connecting.await;
        stream
            .map(NetStream::Plain)
            .map_err(|error| NetError::connect(who, &error))
    }

    /// Waits for a proxy for as long as one may wait.
    async fn patiently<T>(
        &self,
        proxy: &Server,
        work: impl Future<Output = Result<T, NetError>>,
    ) -> Result<T, NetError> {
        let patience = self.inner.patience;
        match select(pin!(work), pin!(self.inner.runtime.sleep(patience))).await {
            Either::Left((done, _)) => done,
            Either::Right(_) => {
                Err(proxy.failed(format_args!("did not answer within {patience:?}")))
            }
        }
    }

    #[cfg(feature = "tls")]
    async fn wrap(
        &self,
        address: &Address,
        stream: NetStream<R::Stream>,
    ) -> Result<NetStream<R::Stream>, NetError> {
        self.inner
            .tls
            .wrap(address, stream)
            .await
            .map(|stream| NetStream::Tls(Box::new(stream)))
    }

    #[cfg(not(feature = "tls"))]
    async fn wrap(
        &self,
        _: &Address,
        _: NetStream<R::Stream>,
    ) -> Result<NetStream<R::Stream>, NetError> {
        Err(NetError::tls(NO_TLS))
    }

    /// Sends a request and waits for the head of its answer, whatever that is.
    async fn exchange(
        &self,
        mut request: http::Request<Bytes>,
    ) -> Result<http::Response<NetBody<R::Stream>>, NetError> {
        let uri = request.uri().clone();
        let address = Address::of(&uri)?;
        self.attach_cookies(&uri, request.headers_mut());
        let proxy = self.inner.proxies.find(&address)?;
        let forwarding =
            proxy.filter(|proxy| !address.is_secure() && proxy.kind() == ProxyKind::Http);
        let answer = match forwarding {
            Some(proxy) => self.ask_proxy(&address, proxy, request).await?,
            None => self.ask(&address, proxy, request).await?,
        };
        self.keep_cookies(&uri, answer.headers());
        Ok(answer)
    }

    /// Asks the server itself.
    async fn ask(
        &self,
        address: &Address,
        proxy: Option<&Server>,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<NetBody<R::Stream>>, NetError> {
        let who = address.authority();
        let request = http1::in_origin_form(address, request)?;
        let fresh = || self.connect(address, proxy);
        self.send(address, &who, request, fresh).await
    }

    /// Asks a proxy that passes requests on.
    async fn ask_proxy(
        &self,
        address: &Address,
        proxy: &Server,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<NetBody<R::Stream>>, NetError> {
        let who = proxy.to_string();
        let request = http1::in_absolute_form(address, request, proxy.basic())?;
        let fresh = || self.patiently(proxy, self.reach(proxy));
        let answer = self.send(address, &who, request, fresh).await?;
        if answer.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return Err(proxy.wants_credentials(proxy.basic().is_some()));
        }
        Ok(answer)
    }

    /// Sends a request on a connection that is there and turns out to be alive, or else on a fresh one.
    async fn send<F>(
        &self,
        address: &Address,
        who: &str,
        mut request: WireRequest,
        fresh: impl FnOnce() -> F,
    ) -> Result<http::Response<NetBody<R::Stream>>, NetError>
    where
        F: Future<Output = Result<NetStream<R::Stream>, NetError>>,
    {
        let home = || Home {
            pool: Arc::clone(&self.inner.pool),
            origin: address.origin(),
        };
        while let Some(live) = self.inner.pool.take(&address.origin()) {
            match http1::send(live, who, request, home()).await {
                Ok(answer) => return Ok(answer),
                Err(Unanswered {
                    request: Some(unsent),
                    ..
                }) => request = *unsent,
                // The server may have acted on it: whether to ask again is not for the network to say.
                Err(Unanswered { error, .. }) => return Err(error),
            }
        }
        let live = Live::over(fresh().await?, who).await?;
        let answer = http1::send(live, who, request, home()).await;
        answer.map_err(|unanswered| unanswered.error)
    }

    fn attach_cookies(&self, uri: &Uri, headers: &mut HeaderMap) {
        cookies::attach(&*self.inner.cookies, uri, headers);
    }

    fn keep_cookies(&self, uri: &Uri, headers: &HeaderMap) {
        cookies::keep(&*self.inner.cookies, uri, headers);
    }
}

#[cfg(not(feature = "tls"))]
const NO_TLS: &str = "https needs one of the features tls-native-roots and tls-webpki-roots";

/// What a connection's driver asks for.
impl<R: Runtime> NetTransport<R> {
    /// Sends a request, follows redirects, and waits for the head of the answer, whatever its status. One that may have reached
    /// the server is not sent again.
    ///
    /// # Errors
    /// When the server or its proxy cannot be reached, or breaks off.
    pub async fn request(
        &self,
        mut request: http::Request<Bytes>,
    ) -> Result<http::Response<NetBody<R::Stream>>, NetError> {
        let asked = request.uri().clone();
        for _ in 0..redirect::MOST {
            let answer = self.exchange(request.clone()).await;
            let answer = answer.map_err(|error| redirect::failed(error, &asked, request.uri()))?;
            let Some(next) = redirect::next(&request, &answer) else {
                return Ok(answer);
            };
            tracing::debug!(status = answer.status().as_u16(), "redirected");
            request = next;
        }
        let answer = self.exchange(request.clone()).await;
        answer.map_err(|error| redirect::failed(error, &asked, request.uri()))
    }

    /// Opens a WebSocket: a `ws` or `wss` address, without the headers that RFC 6455 wants.
    ///
    /// # Errors
    /// When the server cannot be reached, or refuses.
    pub async fn open_web_socket(
        &self,
        mut request: http::Request<()>,
    ) -> Result<NetWebSocket<R::Stream>, NetError> {
        let uri = request.uri().clone();
        let address = Address::of(&uri)?;
        self.attach_cookies(&uri, request.headers_mut());
        let proxy = self.inner.proxies.find(&address)?;
        let stream = self.connect(&address, proxy).await?;
        let opening = web_socket::ask(stream, &address, request).await?;
        self.keep_cookies(&uri, opening.headers());
        let socket = opening.finish(&address, &self.inner.limits)?;
        // Whoever has a WebSocket makes no requests.
        self.inner.pool.close(&address.origin());
        Ok(socket)
    }

    /// Waits, by the clock of [`now`](Self::now).
    pub async fn sleep_until(&self, deadline: Instant) {
        // Nobody else comes by regularly.
        self.inner.pool.prune();
        self.inner.runtime.sleep(deadline.since(self.now())).await;
    }

    /// The time since this transport was made.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant(self.inner.epoch.elapsed())
    }
}

impl<R: Runtime> Clone for NetTransport<R> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<R: Runtime> core::fmt::Debug for NetTransport<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let up = Duration::from_secs(self.inner.epoch.elapsed().as_secs());
        f.debug_struct("NetTransport")
            .field("up", &up)
            .field("idle", &self.inner.pool.len())
            .finish_non_exhaustive()
    }
}
