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
    probe: Probe,
}

/// A call whose answer will tell how long a round trip takes.
#[derive(Clone, Copy, Debug, Default)]
enum Probe {
    #[default]
    None,
    /// Waits to be handed to the transport.
    Written(InvocationId),
    Sent(InvocationId, Instant),
}

impl Counters {
    pub(super) const fn shaking_hands(&mut self, now: Instant) {
        self.handshake = Some(now);
    }

    pub(super) fn established(&mut self, now: Instant, again: bool) {
        self.public.reconnects += u64::from(again);
        self.probe = Probe::None;
        self.public.shortest_round_trip = None;
        if let Some(since) = self.handshake.take() {
            self.measured(now.since(since));
        }
    }

    /// A call with one answer was written, and waits to be handed over.
    pub(super) const fn wrote(&mut self, call: InvocationId) {
        if !matches!(self.probe, Probe::Sent(..)) {
            self.probe = Probe::Written(call);
        }
    }

    /// Everything that was written goes to the transport.
    pub(super) const fn handing_over(&mut self, size: usize, now: Instant) {
        self.public.bytes_sent += size as u64;
        if let Probe::Written(call) = self.probe {
            self.probe = Probe::Sent(call, now);
        }
    }

    pub(super) fn answered(&mut self, now: Instant, id: InvocationId) {
        match self.probe {
            Probe::Sent(call, since) if call == id => {
                self.probe = Probe::None;
                self.measured(now.since(since));
            }
            // A probe that never comes back, because it was cancelled, gives way.
            Probe::Sent(call, _) if call < id => self.probe = Probe::None,
            Probe::Sent(..) | Probe::Written(_) | Probe::None => {}
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
