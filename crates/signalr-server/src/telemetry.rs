//! What tracing and metrics are told, under the official server's names ([SB-53](signalr_proto::spec::server_behaviour#sb-53)).

use std::fmt;

use signalr_proto::TransportKind;
use signalr_proto::codec::Headers;
use signalr_proto::server::DisconnectReason;
use tracing::Span;
use tracing::field::Empty;

/// A call, from its invocation to its answer; a stream's until its end. At debug, under the target `signalr_server::calls`.
///
/// The trace context that a client sent in the headers of its message is in the fields `traceparent`, `tracestate` and `baggage`, for
/// whatever hands spans on to a tracing system.
pub(crate) fn call(service: &str, target: &str, headers: &Headers) -> Span {
    let span = tracing::debug_span!(
        target: "signalr_server::calls",
        "Microsoft.AspNetCore.SignalR.Server.InvocationIn",
        otel.kind = "server",
        otel.name = Empty,
        rpc.system = "signalr",
        rpc.service = service,
        rpc.method = target,
        error.type = Empty,
        traceparent = Empty,
        tracestate = Empty,
        baggage = Empty,
    );
    if span.is_disabled() {
        return span;
    }
    span.record("otel.name", fmt::format(format_args!("{service}/{target}")));
    for (name, value) in headers {
        for known in ["traceparent", "tracestate", "baggage"] {
            if name.eq_ignore_ascii_case(known) {
                span.record(known, &**value);
            }
        }
    }
    span
}

/// The welcome of a client.
pub(crate) fn connected(service: &str) -> Span {
    tracing::debug_span!(
        target: "signalr_server::calls",
        "Microsoft.AspNetCore.SignalR.Server.OnConnected",
        otel.kind = "internal",
        rpc.system = "signalr",
        rpc.service = service,
    )
}

/// The farewell.
pub(crate) fn disconnected(service: &str) -> Span {
    tracing::debug_span!(
        target: "signalr_server::calls",
        "Microsoft.AspNetCore.SignalR.Server.OnDisconnected",
        otel.kind = "internal",
        rpc.system = "signalr",
        rpc.service = service,
    )
}

/// A connection as the metrics count it: from its first transport to its end.
///
/// With the feature `metrics`: the histogram `signalr.server.connection.duration` in seconds and the gauge
/// `signalr.server.active_connections`, both by `signalr.transport`, the former by `signalr.connection.status` too.
#[derive(Debug)]
pub(crate) struct Counted {
    #[cfg(feature = "metrics")]
    transport: &'static str,
    #[cfg(feature = "metrics")]
    since: signalr_proto::Instant,
}

impl Counted {
    #[cfg(feature = "metrics")]
    pub(crate) fn begin(transport: TransportKind, now: signalr_proto::Instant) -> Self {
        let transport = match transport {
            TransportKind::WebSockets => "web_sockets",
            TransportKind::ServerSentEvents => "server_sent_events",
            TransportKind::LongPolling => "long_polling",
            _ => "other",
        };
        metrics::gauge!("signalr.server.active_connections", "signalr.transport" => transport)
            .increment(1.0);
        Self {
            transport,
            since: now,
        }
    }

    #[cfg(not(feature = "metrics"))]
    pub(crate) const fn begin(_: TransportKind, _: signalr_proto::Instant) -> Self {
        Self {}
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn end(self, now: signalr_proto::Instant, status: &'static str) {
        let Self { transport, since } = self;
        metrics::gauge!("signalr.server.active_connections", "signalr.transport" => transport)
            .decrement(1.0);
        metrics::histogram!(
            "signalr.server.connection.duration",
            "signalr.transport" => transport,
            "signalr.connection.status" => status,
        )
        .record(now.since(since).as_secs_f64());
    }

    #[cfg(not(feature = "metrics"))]
    pub(crate) const fn end(self, _: signalr_proto::Instant, _: &'static str) {}
}

/// The value of `signalr.connection.status`.
pub(crate) const fn status(reason: &DisconnectReason, shutting_down: bool) -> &'static str {
    if shutting_down && matches!(reason, DisconnectReason::ClosedByServer) {
        return "app_shutdown";
    }
    let timeout = matches!(
        reason,
        DisconnectReason::ClientTimeout { .. }
            | DisconnectReason::SendTimeout { .. }
            | DisconnectReason::SlowClient { .. }
            | DisconnectReason::DisconnectTimeout { .. }
    );
    if timeout { "timeout" } else { "normal_closure" }
}
