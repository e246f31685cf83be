//! A real hub behind pipes: HTTP and WebSockets of the real client, to the real server.

use core::future::{Ready, ready};
use core::pin::Pin;
use core::time::Duration;
use std::io;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Request, Response};
use signalr_client::Transport as _;
use signalr_net::{NetError, NetOptions, NetTransport, Proxy, Runtime};
use signalr_server::{HubServer, HubService};
use tower_service::Service as _;

use super::error::MemoryError;
use super::pipe::{PipeEnd, pipe};
use super::{HubBody, HubSocket};
use crate::runtime::{Clock, Sleep};

/// The pipes of one client.
#[derive(Clone)]
pub(crate) struct Pipes(NetTransport<InMemory>);

impl Pipes {
    pub(crate) fn new(hub: &HubServer, clock: &Clock) -> Self {
        let runtime = InMemory {
            service: hub.service(),
            clock: clock.clone(),
        };
        let options = NetOptions::default().proxy(Proxy::none());
        match NetTransport::new(runtime, options) {
            Ok(transport) => Self(transport),
            Err(error) => panic!("no transport without certificates of its own: {error}"),
        }
    }

    pub(crate) async fn request(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<HubBody>, MemoryError> {
        let response = self.0.request(request).await.map_err(|error| of(&error))?;
        Ok(response.map(|body| body.map(|chunk| chunk.map_err(|error| of(&error))).boxed()))
    }

    pub(crate) async fn open_web_socket(
        &self,
        request: Request<()>,
    ) -> Result<Pin<Box<dyn HubSocket>>, MemoryError> {
        let opened = self.0.open_web_socket(request).await;
        let socket = opened.map_err(|error| of(&error))?;
        let socket = socket.map(|message| message.map_err(|error| of(&error)));
        Ok(Box::pin(socket.sink_map_err(|error| of(&error))))
    }
}

fn of(error: &NetError) -> MemoryError {
    MemoryError::new(NetTransport::<InMemory>::end_cause(error))
}

/// A runtime whose connections all lead to the hub.
#[derive(Clone)]
struct InMemory {
    service: HubService,
    clock: Clock,
}

impl Runtime for InMemory {
    type Stream = PipeEnd;
    type Connect = Ready<io::Result<PipeEnd>>;
    type Sleep = Sleep;

    fn connect(&self, _: &str, _: u16) -> Self::Connect {
        let (near, far) = pipe();
        let service = self.service.clone();
        let service = hyper::service::service_fn(move |request| service.clone().call(request));
        let serving = hyper::server::conn::http1::Builder::new()
            .header_read_timeout(None)
            .serve_connection(far, service)
            .with_upgrades();
        self.clock.spawn(Box::pin(async move {
            // A client that is gone is none of the hub's errors.
            let _ = serving.await;
        }));
        ready(Ok(near))
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        self.clock.sleep(duration)
    }
}
