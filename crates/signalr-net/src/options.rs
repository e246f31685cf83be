//! What a transport over sockets can be told.

use core::time::Duration;
use std::sync::Arc;

use signalr_proto::Limits;

use crate::cookies::Cookies;
use crate::proxy::Proxy;

/// How long a proxy may take to be reached and to make a connection.
const PROXY_TIMEOUT: Duration = Duration::from_secs(20);

/// Everything that can be chosen about a [`NetTransport`](crate::NetTransport) that you make yourself. The builder of
/// a connection has the same options.
///
/// ```
/// use signalr_net::{NetOptions, NetTransport, Proxy, Runtime, SetupError};
///
/// fn transport<R: Runtime>(runtime: R) -> Result<NetTransport<R>, SetupError> {
///     let proxy = Proxy::url("http://user:password@proxy.example:3128")?.except("localhost, .example");
///     NetTransport::new(runtime, NetOptions::default().proxy(proxy))
/// }
/// ```
#[derive(Clone, Default)]
#[must_use = "options do nothing by themselves: make a transport with them"]
pub struct NetOptions {
    pub(crate) tls: TlsOptions,
    pub(crate) proxy: Proxy,
    pub(crate) cookies: Option<Arc<dyn Cookies>>,
    pub(crate) limits: Limits,
    proxy_timeout: Option<Duration>,
}

impl NetOptions {
    /// Which servers are trusted. Default: as the compiled-in features say.
    pub fn tls(mut self, tls: TlsOptions) -> Self {
        self.tls = tls;
        self
    }

    /// Through which proxy servers are reached. Default: the one that the environment names, see
    /// [`Proxy::from_environment`].
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = proxy;
        self
    }

    /// Who keeps the servers' cookies. Default: a [`CookieJar`](crate::CookieJar) for each transport, shared by its clones.
    pub fn cookies(mut self, cookies: impl Cookies + 'static) -> Self {
        self.cookies = Some(Arc::new(cookies));
        self
    }

    /// Bounds on memory.
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How long a proxy may take to be reached and to make a connection. Default: 20 s.
    pub const fn proxy_timeout(mut self, timeout: Duration) -> Self {
        self.proxy_timeout = Some(timeout);
        self
    }

    pub(crate) fn patience(&self) -> Duration {
        self.proxy_timeout.unwrap_or(PROXY_TIMEOUT)
    }

    /// Bounds the time of a proxy by the time that a whole step may take, so that it is the proxy that is blamed.
    pub fn within(mut self, step: Duration) -> Self {
        let most = step.saturating_mul(2) / 3;
        self.proxy_timeout = Some(self.patience().min(most));
        self
    }
}

impl core::fmt::Debug for NetOptions {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("NetOptions")
            .field("tls", &self.tls)
            .field("proxy", &self.proxy)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Which servers are trusted over https and wss.
///
/// The builder of a connection has the same options; these are for a [`NetTransport`](crate::NetTransport) that you make yourself.
///
/// ```
/// use signalr_net::{NetOptions, NetTransport, Runtime, SetupError, TlsOptions};
///
/// fn transport<R: Runtime>(runtime: R, authority: Vec<u8>) -> Result<NetTransport<R>, SetupError> {
///     let tls = TlsOptions::default().add_root_certificate(authority).only_added_root_certificates(true);
///     NetTransport::new(runtime, NetOptions::default().tls(tls))
/// }
/// ```
#[derive(Clone, Default)]
#[must_use = "options do nothing by themselves: make a transport with them"]
pub struct TlsOptions {
    pub(crate) roots: Vec<Vec<u8>>,
    pub(crate) only_added: bool,
    pub(crate) accept_invalid: bool,
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
