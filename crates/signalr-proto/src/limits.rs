//! Bounds on everything a peer or a user can make the machines hold.

/// Bounds on what a connection holds and accepts. All sizes are in bytes.
///
/// ```
/// use signalr_proto::Limits;
///
/// const LIMITS: Limits = Limits::SERVER.with_max_message_size(1 << 20).with_max_id_length(64);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest hub message accepted. Servers count the whole of it, separator or length prefix included; clients do not count
    /// those. Checked before the message is buffered.
    ///
    /// Default: 16 MiB for clients, 32 KiB for servers ([SB-8](crate::spec::server_behaviour#sb-8),
    /// [HP-9](crate::spec::hub_protocol#hp-9)).
    pub max_message_size: usize,
    /// Bytes waiting to be sent above which further calls fail with [`SendError::Full`](crate::SendError::Full).
    ///
    /// One message of any size is always accepted while nothing waits. Default: 1 MiB.
    pub max_outgoing_bytes: usize,
    /// Received bytes that wait to be polled above which the connection is closed. Default: 32 MiB.
    ///
    /// On a server also the items of upload streams that wait while another stream is hungry.
    ///
    /// A driver that polls until [`Wait`](crate::client::Output::Wait) before it reads again never comes near it, unless the
    /// server joins as much into one message of a WebSocket or one event: see [`max_batch_size`](Self::max_batch_size).
    pub max_incoming_bytes: usize,
    /// Calls and streams waiting for their completion. Default: 65,536.
    pub max_pending_invocations: usize,
    /// Largest handshake message accepted ([HP-28](crate::spec::hub_protocol#hp-28)). Default: 16 KiB.
    pub max_handshake_size: usize,
    /// Largest body of an HTTP answer accepted. Default: 1 MiB.
    pub max_response_size: usize,
    /// Longest id of an invocation or a stream that a server accepts. Default: 1 KiB.
    pub max_id_length: usize,
    /// Longest name of a method that a server accepts. Default: 1 KiB.
    pub max_target_length: usize,
    /// Headers of one message that a server accepts. Default: 128.
    pub max_headers: usize,
    /// Bytes of the names and values of one message's headers that a server accepts. Default: 8 KiB.
    pub max_headers_size: usize,
    /// Upload streams of one call that a server accepts. Default: 128.
    pub max_stream_ids: usize,
}

impl Limits {
    /// The defaults of a client.
    pub const CLIENT: Self = Self {
        max_message_size: 16 << 20,
        max_outgoing_bytes: 1 << 20,
        max_incoming_bytes: 32 << 20,
        max_pending_invocations: 65_536,
        max_handshake_size: 16 << 10,
        max_response_size: 1 << 20,
        max_id_length: 1 << 10,
        max_target_length: 1 << 10,
        max_headers: 128,
        max_headers_size: 8 << 10,
        max_stream_ids: 128,
    };

    /// The defaults of a server: as for clients, but hub messages of at most 32 KiB.
    pub const SERVER: Self = Self {
        max_message_size: 32 << 10,
        ..Self::CLIENT
    };

    /// The largest message of a WebSocket, and the largest event, that is accepted: servers join whatever waits into one, so it
    /// is [`max_incoming_bytes`](Self::max_incoming_bytes), and never less than [`max_message_size`](Self::max_message_size)
    /// and a mebibyte.
    #[must_use]
    pub const fn max_batch_size(&self) -> usize {
        let one = self.max_message_size.saturating_add(1 << 20);
        if one > self.max_incoming_bytes {
            one
        } else {
            self.max_incoming_bytes
        }
    }
}

/// One method for each limit.
macro_rules! setters {
    ($($name:ident: $field:ident,)+) => {
        impl Limits {$(
            #[doc = concat!("These limits with another [`", stringify!($field), "`](Self::", stringify!($field), ").")]
            #[must_use]
            pub const fn $name(self, $field: usize) -> Self {
                Self { $field, ..self }
            }
        )+}
    };
}

setters! {
    with_max_message_size: max_message_size,
    with_max_outgoing_bytes: max_outgoing_bytes,
    with_max_incoming_bytes: max_incoming_bytes,
    with_max_pending_invocations: max_pending_invocations,
    with_max_handshake_size: max_handshake_size,
    with_max_response_size: max_response_size,
    with_max_id_length: max_id_length,
    with_max_target_length: max_target_length,
    with_max_headers: max_headers,
    with_max_headers_size: max_headers_size,
    with_max_stream_ids: max_stream_ids,
}

impl Default for Limits {
    fn default() -> Self {
        Self::CLIENT
    }
}
