//! With TLS or without.

use std::io;

use redis::aio::AsyncStream;
use redis::{ErrorKind, RedisResult};
use tokio::net::TcpStream;

#[cfg(feature = "tls")]
use {
    rustls::crypto::ring,
    rustls::pki_types::ServerName,
    rustls::{ClientConfig, RootCertStore},
    std::sync::Arc,
    tokio_rustls::TlsConnector,
};

/// A connection on which nothing has been said.
pub(crate) type Socket = Box<dyn AsyncStream + Send + Unpin>;

/// How a connection is kept from others.
#[derive(Clone)]
pub(crate) enum Security {
    Plain,
    #[cfg(feature = "tls")]
    Tls(TlsConnector),
}

impl Security {
    /// TLS that trusts whom the operating system trusts.
    #[cfg(feature = "tls")]
    pub(crate) fn of_system() -> RedisResult<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        // The provider is named here: the process's default may be missing, or be somebody else's choice.
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| (ErrorKind::InvalidClientConfig, "TLS", error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self::Tls(Arc::new(config).into()))
    }

    #[cfg(not(feature = "tls"))]
    pub(crate) fn of_system() -> RedisResult<Self> {
        Err((
            ErrorKind::InvalidClientConfig,
            "TLS is behind the feature tls",
        )
            .into())
    }

    pub(crate) const fn is_tls(&self) -> bool {
        !matches!(self, Self::Plain)
    }

    /// A connection to that host.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> io::Result<Socket> {
        let socket = TcpStream::connect((host, port)).await?;
        socket.set_nodelay(true)?;
        match self {
            Self::Plain => Ok(Box::new(socket)),
            #[cfg(feature = "tls")]
            Self::Tls(connector) => {
                let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
                Ok(Box::new(connector.connect(name, socket).await?))
            }
        }
    }
}
