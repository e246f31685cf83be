//! What a connection has done so far.

use core::time::Duration;

use super::api::InvocationId;
use crate::time::Instant;

/// Counters since the machine was made, over all its connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Bytes of hub messages and handshakes handed to transports, repetitions included.
    pub bytes_sent: u64,
    /// Bytes of hub messages received.
    pub bytes_received: u64,
    /// Hub messages written, pings included.
    pub messages_sent: u64,
    /// Hub messages received, pings and those of unknown type included.
    pub messages_received: u64,
    /// Pings written.
    pub pings_sent: u64,
    /// Pings received.
    pub pings_received: u64,
    /// Connections that took the place of a lost one.
    pub reconnects: u64,
    /// WebSockets that took the place of a lost one without a new connection.
    pub resumes: u64,
    /// The latest time from handing a call (or the handshake) to the transport until its answer came, the server's work
    /// included. The protocol's pings are not answered, so they measure nothing.
    pub round_trip: Option<Duration>,
    /// The shortest such time on the present connection: the closest to what the network takes.
    pub shortest_round_trip: Option<Duration>,
}

/// The counters, and what is being measured.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) public: Stats,
    handshake: Option<Instant>,
    probe: Option<(InvocationId, Instant)>,
}

impl Counters {
    pub(super) const fn shaking_hands(&mut self, now: Instant) {
        self.handshake = Some(now);
    }

    pub(super) fn established(&mut self, now: Instant, again: bool) {
        self.public.reconnects += u64::from(again);
        self.probe = None;
        self.public.shortest_round_trip = None;
        if let Some(since) = self.handshake.take() {
            self.measured(now.since(since));
        }
    }

    /// Everything that was written goes to the transport, this call last.
    pub(super) fn handing_over(&mut self, size: usize, now: Instant, call: Option<InvocationId>) {
        self.public.bytes_sent += size as u64;
        if self.probe.is_none() {
            self.probe = call.map(|call| (call, now));
        }
    }

    pub(super) fn answered(&mut self, now: Instant, id: InvocationId) {
        match self.probe {
            Some((call, since)) if call == id => {
                self.probe = None;
                self.measured(now.since(since));
            }
            // A probe that never comes back, because it was cancelled, gives way.
            Some((call, _)) if call < id => self.probe = None,
            Some(_) | None => {}
        }
    }

    fn measured(&mut self, time: Duration) {
        self.public.round_trip = Some(time);
        let shortest = self
            .public
            .shortest_round_trip
            .map_or(time, |best| best.min(time));
        self.public.shortest_round_trip = Some(shortest);
    }
}
