//! What goes into a node and what comes out.

use core::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use super::{Invocation, ResultRequest};
use crate::codec::{DecodeError, Outcome};
use crate::time::Instant;
use crate::transport::OpId;

/// Names something that the application asked of a node. Never used twice on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub(super) u64);

/// Bytes for everybody who has subscribed to a channel.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "complete by definition")]
pub struct Message {
    /// The channel's whole name.
    pub channel: ByteString,
    /// The bytes.
    pub payload: Bytes,
}

/// Shows the size only: the bytes hold payloads.
impl core::fmt::Debug for Message {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Message")
            .field("channel", &self.channel)
            .field("payload", &self.payload.len())
            .finish()
    }
}

/// Who is meant by a message that came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Audience {
    /// Everybody.
    All,
    /// The members of a group.
    Group(ByteString),
    /// The connections of a user.
    User(ByteString),
    /// One connection.
    Connection(ByteString),
}

/// What happened in the world.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum BackplaneInput {
    /// The last deadline has passed.
    Timeout,
    /// There is a link to the broker.
    Connected {
        /// The action's.
        op: OpId,
    },
    /// All messages of an action were published.
    Published {
        /// The action's.
        op: OpId,
        /// How many subscribers each of them reached, if the broker tells.
        receivers: Vec<Option<u64>>,
    },
    /// All channels of an action are subscribed to, or are not any more.
    Subscribed {
        /// The action's.
        op: OpId,
    },
    /// An action failed. What it was about is unknown then, and the link is given up.
    Failed {
        /// The action's.
        op: OpId,
        /// What failed, in a person's words, without passwords.
        detail: Box<str>,
    },
    /// A message came.
    Received {
        /// The link over which it came: the name of the action that asked for it.
        link: OpId,
        /// The message.
        message: Message,
    },
    /// A link broke.
    Lost {
        /// The name of the action that asked for it.
        link: OpId,
        /// What happened, in a person's words, without passwords.
        detail: Box<str>,
    },
}

/// What the driver must do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum BackplaneAction {
    /// Connect to the broker.
    Connect {
        /// Names the action, and the link that comes of it.
        op: OpId,
    },
    /// Give up a link, or the attempt to get it. Whatever is under way on it is answered no more.
    Disconnect {
        /// The link.
        link: OpId,
    },
    /// Publish messages in this order. One such action is under way at a time.
    Publish {
        /// Names the action.
        op: OpId,
        /// The messages.
        messages: Vec<Message>,
    },
    /// Subscribe to channels. One such action, or [`Unsubscribe`](Self::Unsubscribe), is under way at a time.
    Subscribe {
        /// Names the action.
        op: OpId,
        /// The channels' whole names.
        channels: Vec<ByteString>,
    },
    /// Unsubscribe from channels.
    Unsubscribe {
        /// Names the action.
        op: OpId,
        /// The channels' whole names.
        channels: Vec<ByteString>,
    },
}

/// What the application is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum BackplaneEvent {
    /// A message for local clients.
    Deliver {
        /// Who is meant.
        audience: Audience,
        /// What to send. Excluded connections count for all and for groups only.
        invocation: Invocation,
    },
    /// A question to a local client. Its answer goes into [`answer`](super::BackplaneNode::answer).
    Ask {
        /// The client.
        connection_id: ByteString,
        /// The question's id and where its answer goes.
        result_request: ResultRequest,
        /// What to send.
        invocation: Invocation,
    },
    /// A local connection has joined a group: what goes to the group goes to it, too.
    Joined {
        /// The connection.
        connection_id: ByteString,
        /// The group.
        group: ByteString,
    },
    /// A local connection has left a group.
    Left {
        /// The connection.
        connection_id: ByteString,
        /// The group.
        group: ByteString,
    },
    /// An operation is done, or failed.
    Done {
        /// The operation.
        operation: OperationId,
        /// What came of it.
        result: Result<(), BackplaneError>,
    },
    /// A question has been answered.
    Answered {
        /// The operation.
        operation: OperationId,
        /// The client's answer.
        outcome: Outcome,
    },
    /// Connections have been counted.
    Counted {
        /// The operation.
        operation: OperationId,
        /// How many there are on all servers that answered.
        count: u64,
    },
    /// The broker is there, and everything is subscribed to.
    Up,
    /// The broker cannot be reached.
    Away {
        /// Why, in a person's words.
        detail: Box<str>,
    },
    /// Another server has the same name. Told once.
    Namesake,
    /// Something came that could not be read. It is passed over.
    Malformed {
        /// The channel.
        channel: ByteString,
        /// What is wrong.
        error: DecodeError,
    },
    /// Another server wanted a local connection to join a group, and it may not.
    Refused {
        /// The connection.
        connection_id: ByteString,
        /// Why.
        refusal: JoinRefusal,
    },
}

/// What a node wants next.
#[derive(Clone, Debug)]
#[must_use = "the driver must carry out every output"]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum BackplaneOutput {
    /// Something to do.
    Action(BackplaneAction),
    /// Something to tell.
    Event(BackplaneEvent),
    /// Nothing until this deadline, or until something happens.
    Wait(Option<Instant>),
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackplaneError {
    /// The broker cannot be reached. Nothing was sent.
    #[error("the backplane cannot be reached")]
    Away,
    /// The link to the broker broke, so that nobody knows whether the message went out.
    #[error("the connection to the backplane was lost before it confirmed the operation")]
    Lost,
    /// The broker took too long.
    #[error("the backplane did not confirm the operation within {timeout:?}")]
    TimedOut {
        /// How long it was waited for.
        timeout: Duration,
    },
    /// No server has let its connection join or leave: there is no such connection, or its server is gone.
    #[error("no server of the farm confirmed the change of a group within {timeout:?}")]
    NotAcknowledged {
        /// How long it was waited for.
        timeout: Duration,
    },
    /// The message, which has the bytes of every protocol, is larger than servers of the farm read. Nothing was sent.
    #[error("a message of {size} bytes for the farm exceeds the limit of {limit}")]
    TooLarge {
        /// Its bytes.
        size: usize,
        /// The limit: [`max_message_size`](super::BackplaneConfig::max_message_size).
        limit: usize,
    },
    /// Too much waits to be published.
    #[error("more than {limit} bytes wait for the backplane")]
    Full {
        /// The limit.
        limit: usize,
    },
    /// No server listens for the connection that was asked.
    #[error("no server of the farm has this connection")]
    NoReceiver,
    /// The server of the connection that was asked does not listen for it any more.
    #[error("the server of the connection is gone")]
    OwnerGone,
    /// The client gave no answer in time.
    #[error("the client gave no answer in time")]
    NotAnswered,
    /// The node was stopped.
    #[error("the server has left the farm")]
    Stopped,
}

/// Why a connection may not join a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinRefusal {
    /// The group's name is too long.
    #[error("a group name of {length} bytes exceeds the limit of {limit}")]
    NameTooLong {
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// The connection is in as many groups as it may be.
    #[error("the connection is in {limit} groups already, and may be in no more")]
    TooManyGroups {
        /// The limit.
        limit: usize,
    },
}

/// How a node stands with its broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackplaneState {
    /// An attempt to connect is under way.
    Connecting,
    /// Connected, and subscribing to everything; or waiting for a first message to itself.
    Restoring,
    /// All is well.
    Up,
    /// The last attempt failed; the next one comes in a moment.
    Away,
    /// The node was stopped.
    Stopped,
}

/// What a node has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackplaneCounters {
    /// Messages that the broker took.
    pub published: u64,
    /// Messages that came.
    pub received: u64,
    /// Of these, messages that could not be read.
    pub malformed: u64,
    /// Links to the broker so far.
    pub connects: u64,
    /// Of these, links that were lost.
    pub losses: u64,
    /// Operations that failed.
    pub failures: u64,
    /// Bytes of messages that wait to be published, or to be confirmed.
    pub waiting_bytes: u64,
    /// Channels that are subscribed to, or will be.
    pub channels: u64,
}
