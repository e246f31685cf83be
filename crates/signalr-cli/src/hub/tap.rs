//! A transport that overhears every call of the server, whatever its name.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use signalr::client::{Instant, Transport};
use signalr::{HubConnection, HubConnectionBuilder, Limits, Protocol};
use signalr_proto::codec::Role;
use signalr_proto::codec::frame::FrameDecoder;
use signalr_proto::codec::handshake::HandshakeDecoder;
use signalr_proto::{EndCause, HubMessage, WsMessage};

use super::connect;
use super::listen::invocation;
use super::session::{News, tell};
use crate::cli::ListenArgs;
use crate::failure::Failure;

/// A connection all of whose incoming calls become news. Must be called within a runtime.
pub(super) fn build(
    builder: HubConnectionBuilder,
    options: &ListenArgs,
    news: News,
) -> Result<HubConnection, Failure> {
    let inner = connect::transport(&options.url, &options.server)?;
    let transport = Tap {
        inner,
        protocol: options.connection.protocol.into(),
        news,
    };
    let (hub, driver) = builder
        .build_with(transport)
        .map_err(connect::build_failure)?;
    drop(tokio::spawn(driver.run()));
    Ok(hub)
}

#[derive(Clone)]
struct Tap<T> {
    inner: T,
    protocol: Protocol,
    news: News,
}

impl<T: Transport> Transport for Tap<T> {
    type WebSocket = TapSocket<T::WebSocket>;
    type Body = T::Body;
    type Error = T::Error;

    fn request(
        &self,
        request: http::Request<Bytes>,
    ) -> impl Future<Output = Result<http::Response<Self::Body>, Self::Error>> {
        self.inner.request(request)
    }

    async fn open_web_socket(
        &self,
        request: http::Request<()>,
    ) -> Result<Self::WebSocket, Self::Error> {
        let socket = self.inner.open_web_socket(request).await?;
        Ok(TapSocket {
            socket,
            ear: Ear::new(self.protocol, self.news.clone()),
        })
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> {
        self.inner.sleep_until(deadline)
    }

    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn end_cause(error: &Self::Error) -> EndCause {
        T::end_cause(error)
    }
}

struct TapSocket<S> {
    socket: S,
    ear: Ear,
}

impl<S: Stream<Item = Result<WsMessage, E>> + Unpin, E> Stream for TapSocket<S> {
    type Item = Result<WsMessage, E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(Pin::new(&mut self.socket).poll_next(cx));
        if let Some(Ok(WsMessage::Text(bytes) | WsMessage::Binary(bytes))) = &item {
            self.ear.hear(bytes.clone());
        }
        Poll::Ready(item)
    }
}

impl<S: Sink<WsMessage> + Unpin> Sink<WsMessage> for TapSocket<S> {
    type Error = S::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Pin::new(&mut self.socket).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: WsMessage) -> Result<(), Self::Error> {
        Pin::new(&mut self.socket).start_send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Pin::new(&mut self.socket).poll_close(cx)
    }
}

/// Reads along. What cannot be read is left to the connection itself to complain about.
struct Ear {
    protocol: Protocol,
    handshake: Option<HandshakeDecoder>,
    frames: FrameDecoder,
    news: News,
}

impl Ear {
    fn new(protocol: Protocol, news: News) -> Self {
        Self {
            protocol,
            handshake: Some(HandshakeDecoder::new(Limits::CLIENT.max_handshake_size)),
            frames: FrameDecoder::new(protocol, Limits::CLIENT.max_message_size),
            news,
        }
    }

    fn hear(&mut self, mut bytes: Bytes) {
        if let Some(handshake) = &mut self.handshake {
            let Ok(Some(_)) = handshake.decode(&mut bytes) else {
                return;
            };
            self.handshake = None;
        }
        while let Ok(Some(frame)) = self.frames.decode(&mut bytes) {
            if let Ok(Some(HubMessage::Invocation(call))) =
                self.protocol.decode(Role::Client, &frame)
            {
                tell(&self.news, invocation(&call.target, &call.arguments));
            }
        }
    }
}
