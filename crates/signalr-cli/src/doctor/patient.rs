//! The server as the steps that need a hub come to it.

use std::net::SocketAddr;
use std::time::Duration;

use signalr::Tokio;
use signalr::client::NetTransport;
use signalr_proto::client::ClientConfig;

use super::address::Place;
use super::certificate;
use super::probe::Probe;
use crate::hub::explain::Explain;
use crate::hub::token::TokenSource;

/// Everything that the later steps need.
pub(super) struct Patient {
    pub(super) config: ClientConfig,
    pub(super) net: NetTransport<Tokio>,
    pub(super) token: TokenSource,
    pub(super) place: Place,
    /// Where it answers, unless others connect for us.
    pub(super) address: Option<SocketAddr>,
    pub(super) explain: Explain,
    pub(super) bound: Duration,
}

impl Patient {
    pub(super) fn config(&self) -> ClientConfig {
        self.config.clone()
    }

    pub(super) fn probe(&self, config: ClientConfig) -> Probe {
        Probe::new(self.net.clone(), config, self.token.clone())
    }

    /// Whether somebody came without TLS to a server that speaks it.
    pub(super) async fn wants_tls(&self) -> bool {
        let Some(address) = self.address.filter(|_| !self.place.secure) else {
            return false;
        };
        certificate::is_spoken(&self.place, address, self.bound).await
    }
}
