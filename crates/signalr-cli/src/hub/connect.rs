//! A connection as the options want it.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use signalr::client::{NetOptions, NetTransport, Proxy, SetupError, TlsOptions};
use signalr::{BuildError, HubConnection, HubConnectionBuilder, Limits, ReconnectPolicy, Tokio};

use signalr_proto::UsageError;

use super::token::TokenSource;
use crate::cli::{ConnectionOptions, ServerOptions};
use crate::failure::Failure;

/// A builder with everything that the options say.
pub(crate) fn builder(
    url: &str,
    server: &ServerOptions,
    connection: &ConnectionOptions,
    token: &TokenSource,
) -> Result<HubConnectionBuilder, Failure> {
    let mut builder = HubConnection::builder(url)
        .protocol(connection.protocol.into())
        .transports(connection.transports.kinds()?)
        .skip_negotiation(connection.skip_negotiation)
        .stateful_reconnect(connection.stateful)
        .danger_accept_invalid_certificates(server.insecure)
        .proxy(proxy(server)?)
        .close_timeout(Duration::from_secs(2));
    for (name, value) in headers(server)? {
        builder = builder.header(name, value);
    }
    if token.is_some() {
        let token = token.clone();
        builder = builder.access_token(move || std::future::ready(token.now()));
    }
    if let Some(interval) = seconds("--keep-alive", connection.keep_alive.as_deref())? {
        builder = builder.keep_alive_interval(interval);
    }
    if let Some(timeout) = seconds("--server-timeout", connection.server_timeout.as_deref())? {
        builder = builder.server_timeout(timeout);
    }
    if connection.reconnect {
        builder = builder.automatic_reconnect(ReconnectPolicy::standard());
    }
    if connection.retry_start {
        builder = builder.retry_start(ReconnectPolicy::standard());
    }
    Ok(builder)
}

/// The network, for those who talk to it themselves.
pub(crate) fn transport(server: &ServerOptions) -> Result<NetTransport<Tokio>, Failure> {
    let tls = TlsOptions::default().danger_accept_invalid_certificates(server.insecure);
    let net = NetOptions::default()
        .tls(tls)
        .proxy(proxy(server)?)
        .limits(Limits::CLIENT);
    NetTransport::new(Tokio::default(), net).map_err(build_failure)
}

/// The proxy that the options name; without them, what the environment says.
pub(crate) fn proxy(server: &ServerOptions) -> Result<Proxy, Failure> {
    match server.proxy.as_deref() {
        None => Ok(Proxy::from_environment()),
        Some("none") => Ok(Proxy::none()),
        // The address may hold a password, so no message repeats it.
        Some(url) => Proxy::url(url).map_err(build_failure),
    }
}

pub(crate) fn build_failure(error: impl Into<BuildError>) -> Failure {
    let error = error.into();
    if matches!(
        error,
        BuildError::Usage(_) | BuildError::Network(SetupError::Proxy { .. })
    ) {
        return Failure::usage(error.to_string());
    }
    Failure::failed(error.to_string())
}

/// Names and values. A value may be a secret, so no message repeats it.
pub(crate) fn headers(server: &ServerOptions) -> Result<Vec<(&str, &str)>, Failure> {
    let split = |header: &str| {
        header
            .split_once(':')
            .is_some_and(|(name, _)| !name.trim().is_empty())
    };
    if !server.headers.iter().all(|header| split(header)) {
        return Err(Failure::usage("--header must look like 'Name: value'"));
    }
    let pairs = server
        .headers
        .iter()
        .filter_map(|header| header.split_once(':'));
    Ok(pairs
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect())
}

/// The same as HTTP wants them.
pub(crate) fn header_map(server: &ServerOptions) -> Result<HeaderMap, Failure> {
    let mut map = HeaderMap::new();
    for (name, value) in headers(server)? {
        let header = HeaderName::try_from(name)
            .ok()
            .zip(HeaderValue::from_str(value).ok());
        let (name, value) =
            header.ok_or_else(|| Failure::usage(UsageError::InvalidHeader.to_string()))?;
        map.insert(name, value);
    }
    Ok(map)
}

/// The bound on connecting and calling.
pub(crate) fn timeout(server: &ServerOptions) -> Result<Option<Duration>, Failure> {
    seconds("--timeout", server.timeout.as_deref())
}

/// The time that this option gives.
fn seconds(option: &str, text: Option<&str>) -> Result<Option<Duration>, Failure> {
    let Some(text) = text else {
        return Ok(None);
    };
    let seconds = text
        .parse::<f64>()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let bound = seconds.filter(|bound| !bound.is_zero());
    bound.map(Some).ok_or_else(|| {
        Failure::usage(format!(
            "{option} must be a number of seconds greater than 0, such as 5 or 0.5"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Output;

    fn options(headers: &[&str], timeout: Option<&str>) -> ServerOptions {
        ServerOptions {
            headers: headers.iter().map(|header| (*header).to_owned()).collect(),
            token: None,
            token_file: None,
            timeout: timeout.map(str::to_owned),
            insecure: false,
            proxy: None,
            output: Output::Pretty,
        }
    }

    #[test]
    fn headers_are_cut_at_the_first_colon() {
        assert_eq!(
            headers(&options(&["X-Url: http://a:1"], None)).unwrap(),
            [("X-Url", "http://a:1")]
        );
        for wrong in ["secret", ": secret"] {
            let failure = headers(&options(&[wrong], None)).unwrap_err();
            assert!(!failure.message().unwrap().contains("secret"));
        }
    }

    #[test]
    fn timeouts_are_positive_seconds() {
        assert_eq!(
            timeout(&options(&[], Some("0.5"))).unwrap(),
            Some(Duration::from_millis(500))
        );
        for wrong in ["0", "-1", "soon", "NaN", "inf", "1e300", ""] {
            assert!(timeout(&options(&[], Some(wrong))).is_err(), "{wrong}");
        }
    }
}
