//! What the commands that talk to a server have in common.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use signalr_proto::Protocol;
use signalr_proto::transport::negotiate::TransportKind;

use crate::failure::Failure;

/// How to reach a server.
#[derive(Args)]
pub(crate) struct ServerOptions {
    /// Send this HTTP header with each request (may be repeated)
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,
    /// Access token; better kept in the variable SIGNALR_TOKEN or a file, because others can see command lines
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    pub(crate) token: Option<String>,
    /// Read the access token from this file, again for each new connection and once more when it is refused, so that it may be
    /// renewed meanwhile
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Give up after so many seconds, connecting and calling taken together
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<String>,
    /// Accept any TLS certificate. Only for tests with self-signed ones: anybody could listen in
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Go through this proxy: http://host:port, https://host:port or socks5://host:port, with user:password@ if need be; or `none`.
    /// Without it, the variables https_proxy, http_proxy, all_proxy and no_proxy count, those in capitals too; but not HTTP_PROXY,
    /// which in a CGI program is a header that any client can send (Proxy:)
    #[arg(long, value_name = "URL")]
    pub(crate) proxy: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Pretty)]
    pub(crate) output: Output,
}

/// How to talk to a hub.
#[derive(Args)]
pub(crate) struct ConnectionOptions {
    /// Encoding of the messages
    #[arg(long, value_enum, default_value_t = WireProtocol::Json)]
    pub(crate) protocol: WireProtocol,
    #[command(flatten)]
    pub(crate) transports: TransportOptions,
    /// Connect again when the connection is lost: at once, then after 2, 10 and 30 seconds
    #[arg(long)]
    pub(crate) reconnect: bool,
    /// Connect again when the first attempt fails, with the same waits; for servers that are just starting
    #[arg(long)]
    pub(crate) retry_start: bool,
    /// Open the WebSocket at once instead of negotiating first, as servers without sticky sessions may need it; no other
    /// transport can do so
    #[arg(long)]
    pub(crate) skip_negotiation: bool,
    /// Send a ping after so many seconds without anything else, 15 by default
    #[arg(long, value_name = "SECONDS")]
    pub(crate) keep_alive: Option<String>,
    /// Give the connection up after so many seconds of silence, 30 by default; at least twice the server's keep-alive interval
    #[arg(long, value_name = "SECONDS")]
    pub(crate) server_timeout: Option<String>,
    /// Ask for stateful reconnect: a WebSocket that breaks is replaced within moments, and nothing is lost
    #[arg(long)]
    pub(crate) stateful: bool,
}

/// Over what to talk.
#[derive(Args)]
pub(crate) struct TransportOptions {
    /// Transports to use, the preferred one first, separated by commas or repeated: auto leaves the choice to the server
    #[arg(
        long = "transport",
        value_name = "TRANSPORT",
        value_enum,
        value_delimiter = ',',
        default_value = "auto",
        hide_default_value = true
    )]
    pub(crate) names: Vec<TransportName>,
}

/// The transports by their short names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TransportName {
    /// WebSockets
    #[value(alias = "websockets")]
    Ws,
    /// Server-sent events, JSON only
    #[value(alias = "server-sent-events")]
    Sse,
    /// Long polling
    #[value(alias = "long-polling")]
    Lp,
    /// Those that the server offers, in its order
    Auto,
}

impl TransportName {
    const fn kind(self) -> Option<TransportKind> {
        match self {
            Self::Ws => Some(TransportKind::WebSockets),
            Self::Sse => Some(TransportKind::ServerSentEvents),
            Self::Lp => Some(TransportKind::LongPolling),
            Self::Auto => None,
        }
    }
}

impl TransportOptions {
    /// The transports in order; none of them for the server's choice.
    pub(crate) fn kinds(&self) -> Result<Vec<TransportKind>, Failure> {
        let mut kinds = Vec::new();
        for kind in self.names.iter().filter_map(|name| name.kind()) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        if !kinds.is_empty() && self.names.contains(&TransportName::Auto) {
            return Err(Failure::usage(
                "--transport auto leaves the choice to the server: no other transport can be named with it",
            ));
        }
        Ok(kinds)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Pretty,
    /// One JSON object per event and line
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WireProtocol {
    /// JSON texts
    Json,
    /// MessagePack, which is smaller
    Messagepack,
}

impl From<WireProtocol> for Protocol {
    fn from(protocol: WireProtocol) -> Self {
        match protocol {
            WireProtocol::Json => Self::Json,
            WireProtocol::Messagepack => Self::MessagePack,
        }
    }
}
