//! Connections over sockets: [`signalr_net`] as the transport, and a runtime that runs the driver.

mod network;

pub(crate) use network::Network;

use bytes::Bytes;
use signalr_net::{Cookies, NetBody, NetError, NetTransport, NetWebSocket};
use signalr_net::{Proxy, Runtime, Spawn};
use signalr_proto::{EndCause, Instant};

use crate::builder::HubConnectionBuilder;
use crate::connection::HubConnection;
use crate::error::BuildError;
use crate::launch::Launcher;
use crate::transport::Transport;

impl<R: Runtime> Transport for NetTransport<R> {
    type WebSocket = NetWebSocket<R::Stream>;
    type Body = NetBody<R::Stream>;
    type Error = NetError;

    async fn request(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Self::Body>, NetError> {
        Self::request(self, request).await
    }

    async fn open_web_socket(
        &self,
        request: http::Request<()>,
    ) -> Result<Self::WebSocket, NetError> {
        Self::open_web_socket(self, request).await
    }

    async fn sleep_until(&self, deadline: Instant) {
        Self::sleep_until(self, deadline).await;
    }

    fn now(&self) -> Instant {
        Self::now(self)
    }

    fn end_cause(error: &NetError) -> EndCause {
        error.end_cause()
    }
}

/// The network: these options are for [`build`](Self::build) and [`build_on`](Self::build_on).
impl HubConnectionBuilder {
    /// Through which proxy the server is reached, WebSockets included. Default: the one that the environment names, see
    /// [`Proxy::from_environment`].
    ///
    /// ```
    /// # use signalr_client::{HubConnection, Proxy};
    /// # fn example() -> Result<(), signalr_client::BuildError> {
    /// let proxy = Proxy::url("http://user:password@proxy.example:3128")?;
    /// HubConnection::builder("https://example.com/chat").proxy(proxy);
    /// # Ok(()) }
    /// ```
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.network.set("proxy", |net| net.proxy(proxy));
        self
    }

    /// Who keeps the server's cookies, which are sent back with all that follows, the opening of a WebSocket included. Default: a
    /// [`CookieJar`](crate::CookieJar) of this connection's own. [`NoCookies`](crate::NoCookies) keeps none.
    pub fn cookies(mut self, cookies: impl Cookies + 'static) -> Self {
        self.network.set("cookies", |net| net.cookies(cookies));
        self
    }

    /// Trusts this certificate authority too: one certificate in DER form, or any number in PEM form.
    pub fn add_root_certificate(mut self, certificate: impl Into<Vec<u8>>) -> Self {
        self.network.set_tls("add_root_certificate", |tls| {
            tls.add_root_certificate(certificate)
        });
        self
    }

    /// Trusts nothing but the certificates added, neither those of the system nor those compiled in. Default: false.
    pub fn only_added_root_certificates(mut self, only: bool) -> Self {
        self.network.set_tls("only_added_root_certificates", |tls| {
            tls.only_added_root_certificates(only)
        });
        self
    }

    /// Accepts any certificate of any server. Whoever is between you and the server can then read and change everything, your
    /// token included. For tests. Default: false.
    pub fn danger_accept_invalid_certificates(mut self, accept: bool) -> Self {
        self.network
            .set_tls("danger_accept_invalid_certificates", |tls| {
                tls.danger_accept_invalid_certificates(accept)
            });
        self
    }

    /// A connection on tokio that is not started yet. The first [`start`](HubConnection::start) has to be within a tokio runtime,
    /// where the connection runs from then on. [`build_on`](Self::build_on) names a runtime.
    ///
    /// # Errors
    /// As those of [`build_on`](Self::build_on).
    #[cfg(feature = "tokio")]
    pub fn build(self) -> Result<HubConnection, BuildError> {
        self.build_on(signalr_tokio::Tokio::default())
    }

    /// A connection on this runtime that is not started yet: `Smol`, `AsyncStd`, `Tokio::on(handle)`, or one of your own. The first
    /// [`start`](HubConnection::start) gives its driver to the runtime.
    ///
    /// # Errors
    /// [`BuildError::Usage`] for an address, header or interval that is not valid; [`BuildError::Network`] for certificates that
    /// cannot be read, and for an https address when no TLS is compiled in.
    pub fn build_on<R: Spawn>(mut self, runtime: R) -> Result<HubConnection, BuildError> {
        let network = core::mem::take(&mut self.network);
        let mut net = network.options.tls(network.tls);
        let mut secure = false;
        if let Ok(config) = &self.config {
            secure = config.url.is_secure();
            net = net.limits(config.limits).within(config.connect_timeout);
        }
        let transport = NetTransport::new(runtime.clone(), net)?;
        if secure {
            transport.prepare_tls()?;
        }
        let (connection, driver) = self.build_with(transport)?;
        connection.set_launcher(Launcher::new(Box::pin(driver.run()), runtime));
        Ok(connection)
    }
}
