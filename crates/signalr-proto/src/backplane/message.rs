//! What servers of a farm tell each other: four MessagePack arrays (`server-behaviour`, section 15.3).
//!
//! Written in their shortest form. What is read may be in any form, may have more elements than are known, and may be followed
//! by anything. Everything is checked against the bytes that are left before memory is taken for it.

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use crate::codec::msgpack::{
    Cursor, HeadKind, put_array, put_bin, put_map, put_nil, put_signed, put_str,
};
use crate::codec::{DecodeError, DecodeErrorKind};
use crate::codec::{Outcome, Role, frame, frame::FrameDecoder};
use crate::{HubMessage, Protocol};

/// Protocols that one message may be encoded in.
const MAX_PROTOCOLS: u64 = 64;

/// Connections that one message may exclude.
const MAX_EXCLUDED: u64 = 1 << 17;

/// A message to clients, with what each protocol's clients are sent.
///
/// `[excluded, {protocol: frame}]`, and for a question `[excluded, {protocol: frame}, id, return address]`.
#[derive(Clone, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "complete by definition")]
pub struct Invocation {
    /// Ids of connections that are left out. They count in messages to all and to groups only
    /// ([SB-68](crate::spec::server_behaviour#sb-68)).
    pub excluded: Vec<ByteString>,
    /// Names of protocols, and whole frames in them. `None` for a protocol whose clients get nothing.
    pub payloads: Vec<(ByteString, Option<Bytes>)>,
    /// The client is asked for a result.
    pub result_request: Option<ResultRequest>,
}

/// What makes a message a question.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "complete by definition")]
pub struct ResultRequest {
    /// The id that the answer carries. Unique in the farm: 22 random letters.
    pub id: ByteString,
    /// The channel for the answer, without global prefix.
    pub return_address: ByteString,
}

impl Invocation {
    /// The frame for clients of a protocol. `None` when the sender has none for them.
    #[must_use]
    pub fn payload(&self, protocol: Protocol) -> Option<&Option<Bytes>> {
        let name = protocol.name();
        let found = self.payloads.iter().find(|(known, _)| *known == name)?;
        Some(&found.1)
    }

    /// Whether the frames of the protocols that are known here are whole ones. Otherwise whatever a client is sent next would be read
    /// as the rest of this message.
    pub(super) fn has_whole_frames(&self) -> bool {
        Protocol::ALL.into_iter().all(|protocol| {
            let frame = self.payload(protocol).and_then(Option::as_ref);
            frame.is_none_or(|frame| frame::are_whole(protocol, frame))
        })
    }

    /// Appends the array.
    pub fn encode(&self, out: &mut BytesMut) {
        put_array(out, if self.result_request.is_some() { 4 } else { 2 });
        put_array(out, self.excluded.len());
        self.excluded.iter().for_each(|id| put_str(out, id));
        put_map(out, self.payloads.len());
        for (protocol, frame) in &self.payloads {
            put_str(out, protocol);
            match frame {
                Some(frame) => put_bin(out, frame),
                None => put_nil(out),
            }
        }
        if let Some(result_request) = &self.result_request {
            put_str(out, &result_request.id);
            put_str(out, &result_request.return_address);
        }
    }

    /// Reads the array. Strings and frames are slices of the bytes.
    ///
    /// # Errors
    /// When it is not as described, or a number in it is too high.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let elements = reader.array(2, "an array of 2 elements or more")?;
        let excluded = reader.array(0, "an array of excluded connections")?;
        reader.bound(excluded, MAX_EXCLUDED, "excluded connections")?;
        let excluded = (0..excluded).map(|_| reader.string());
        let excluded = excluded.collect::<Result<_, _>>()?;
        let payloads = reader.payloads()?;
        let result_request = if elements > 3 {
            Some(ResultRequest {
                id: reader.string()?,
                return_address: reader.string()?,
            })
        } else {
            None
        };
        Ok(Self {
            excluded,
            payloads,
            result_request,
        })
    }
}

/// Shows sizes only: the frames are payloads.
impl core::fmt::Debug for Invocation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let sizes = self.payloads.iter().map(|(protocol, frame)| {
            let size = frame.as_ref().map(Bytes::len);
            (protocol, size)
        });
        f.debug_struct("Invocation")
            .field("excluded", &self.excluded)
            .field("payloads", &sizes.collect::<Vec<_>>())
            .field("result_request", &self.result_request)
            .finish()
    }
}

/// What is to be done with a connection and a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum GroupAction {
    /// 1: the connection joins.
    Add,
    /// 2: the connection leaves.
    Remove,
    /// Nothing, but it is answered all the same.
    Unknown(u8),
}

/// Asks the server that has a connection to let it join or leave: `[id, server, action, group, connection]`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "complete by definition")]
pub struct GroupCommand {
    /// Names the command in its answer.
    pub id: i32,
    /// Who asks, and where the answer goes.
    pub server: ByteString,
    /// What to do.
    pub action: GroupAction,
    /// The group.
    pub group: ByteString,
    /// The connection.
    pub connection_id: ByteString,
}

impl GroupCommand {
    /// Appends the array.
    pub fn encode(&self, out: &mut BytesMut) {
        put_array(out, 5);
        put_signed(out, self.id.into());
        put_str(out, &self.server);
        let action = match self.action {
            GroupAction::Add => 1,
            GroupAction::Remove => 2,
            GroupAction::Unknown(action) => action,
        };
        put_signed(out, action.into());
        put_str(out, &self.group);
        put_str(out, &self.connection_id);
    }

    /// Reads the array.
    ///
    /// # Errors
    /// When it is not as described.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.array(5, "an array of 5 elements or more")?;
        Ok(Self {
            id: reader.integer("an id of 32 bits")?,
            server: reader.string()?,
            action: match reader.integer("an action of 8 bits")? {
                1 => GroupAction::Add,
                2 => GroupAction::Remove,
                other => GroupAction::Unknown(other),
            },
            group: reader.string()?,
            connection_id: reader.string()?,
        })
    }
}

/// A group command has been obeyed: `[id]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "complete by definition")]
pub struct Ack {
    /// That of the command.
    pub id: i32,
}

impl Ack {
    /// Appends the array.
    pub fn encode(self, out: &mut BytesMut) {
        put_array(out, 1);
        put_signed(out, self.id.into());
    }

    /// Reads the array.
    ///
    /// # Errors
    /// When it is not as described.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.array(1, "an array of 1 element or more")?;
        let id = reader.integer("an id of 32 bits")?;
        Ok(Self { id })
    }
}

/// A client's answer to a question: `[protocol, frame]`.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "complete by definition")]
pub struct Completion {
    /// The name of the protocol of the client that answered.
    pub protocol: ByteString,
    /// A whole frame with a completion.
    pub frame: Bytes,
}

impl Completion {
    /// Appends the array.
    pub fn encode(&self, out: &mut BytesMut) {
        put_array(out, 2);
        put_str(out, &self.protocol);
        put_bin(out, &self.frame);
    }

    /// Reads the array.
    ///
    /// # Errors
    /// When it is not as described.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.array(2, "an array of 2 elements or more")?;
        let protocol = reader.string()?;
        let frame = reader.frame()?.ok_or_else(|| reader.syntax("a frame"))?;
        Ok(Self { protocol, frame })
    }

    /// The answer inside, and the id of the question. `None` when the protocol is unknown, or the first message is none of an
    /// answer; what follows it is not looked at.
    #[must_use]
    pub fn read(&self) -> Option<(ByteString, Outcome)> {
        let protocol = Protocol::ALL
            .into_iter()
            .find(|protocol| self.protocol == protocol.name())?;
        let mut frames = FrameDecoder::new(protocol, self.frame.len());
        let frame = frames.decode(&mut self.frame.clone()).ok()??;
        match protocol.decode(Role::Server, &frame).ok()?? {
            HubMessage::Completion {
                invocation_id,
                outcome,
                ..
            } => Some((invocation_id, outcome)),
            HubMessage::Invocation(_)
            | HubMessage::StreamInvocation(_)
            | HubMessage::StreamItem { .. }
            | HubMessage::CancelInvocation { .. }
            | HubMessage::Ping
            | HubMessage::Close { .. }
            | HubMessage::Ack { .. }
            | HubMessage::Sequence { .. } => None,
        }
    }
}

/// Shows the size only: the frame is a payload.
impl core::fmt::Debug for Completion {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Completion")
            .field("protocol", &self.protocol)
            .field("frame", &self.frame.len())
            .finish()
    }
}

/// Whose connections are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Counted {
    /// Everybody's.
    All,
    /// The members of a group.
    Group(ByteString),
    /// The connections of a user.
    User(ByteString),
}

/// Asks every server how many connections it has: `[id, server, kind, name]`, with the kinds 0 for all, 1 for a group and 2 for
/// a user. Official servers do not know this.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "complete by definition")]
pub struct Census {
    /// Names the question in its answers.
    pub id: i32,
    /// Who asks, and where the answers go.
    pub server: ByteString,
    /// Whose connections.
    pub counted: Counted,
}

impl Census {
    /// Appends the array.
    pub fn encode(&self, out: &mut BytesMut) {
        let (kind, name) = match &self.counted {
            Counted::All => (0, ""),
            Counted::Group(name) => (1, &**name),
            Counted::User(id) => (2, &**id),
        };
        put_array(out, 4);
        put_signed(out, self.id.into());
        put_str(out, &self.server);
        put_signed(out, kind);
        put_str(out, name);
    }

    /// Reads the array.
    ///
    /// # Errors
    /// When it is not as described.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.array(4, "an array of 4 elements or more")?;
        let (id, server) = (reader.integer("an id of 32 bits")?, reader.string()?);
        let start = reader.cursor.clone();
        let counted = match reader.integer::<u8>("a kind of 8 bits")? {
            0 => {
                reader.string()?;
                Counted::All
            }
            1 => Counted::Group(reader.string()?),
            2 => Counted::User(reader.string()?),
            _ => return Err(start.syntax("a kind from 0 to 2")),
        };
        Ok(Self {
            id,
            server,
            counted,
        })
    }
}

/// One server's answer to a [`Census`]: `[id, count]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "complete by definition")]
pub struct Count {
    /// That of the question.
    pub id: i32,
    /// How many connections.
    pub count: u32,
}

impl Count {
    /// Appends the array.
    pub fn encode(self, out: &mut BytesMut) {
        put_array(out, 2);
        put_signed(out, self.id.into());
        put_signed(out, self.count.into());
    }

    /// Reads the array.
    ///
    /// # Errors
    /// When it is not as described.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.array(2, "an array of 2 elements or more")?;
        Ok(Self {
            id: reader.integer("an id of 32 bits")?,
            count: reader.integer("a count of 32 bits")?,
        })
    }
}

/// Reads element after element.
struct Reader<'a> {
    bytes: &'a Bytes,
    cursor: Cursor<'a>,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a Bytes) -> Self {
        let cursor = Cursor::new(bytes);
        Self { bytes, cursor }
    }

    const fn syntax(&self, expected: &'static str) -> DecodeError {
        self.cursor.syntax(expected)
    }

    fn bound(&self, count: u64, limit: u64, members: &'static str) -> Result<(), DecodeError> {
        if count <= limit {
            return Ok(());
        }
        let kind = DecodeErrorKind::TooMany {
            members,
            count,
            limit,
        };
        Err(DecodeError::new(kind, self.cursor.position()))
    }

    fn array(&mut self, least: u64, expected: &'static str) -> Result<u64, DecodeError> {
        let start = self.cursor.clone();
        let elements = self.cursor.container(HeadKind::Array, expected)?;
        if elements < least {
            return Err(start.syntax(expected));
        }
        Ok(elements)
    }

    fn integer<T: TryFrom<i128>>(&mut self, expected: &'static str) -> Result<T, DecodeError> {
        let start = self.cursor.clone();
        match self.cursor.head()?.kind {
            HeadKind::Integer(number) => T::try_from(number).map_err(|_| start.syntax(expected)),
            HeadKind::Nil
            | HeadKind::Bool(_)
            | HeadKind::Float
            | HeadKind::String
            | HeadKind::Binary
            | HeadKind::Extension
            | HeadKind::Array
            | HeadKind::Map => Err(start.syntax(expected)),
        }
    }

    fn string(&mut self) -> Result<ByteString, DecodeError> {
        let start = self.cursor.clone();
        let head = self.cursor.head()?;
        if head.kind != HeadKind::String {
            return Err(start.syntax("a string"));
        }
        let bytes = self.slice(head.length)?;
        ByteString::try_from(bytes).map_err(|_| start.syntax("UTF-8"))
    }

    /// The name of a protocol. Those that are known take nothing of the message.
    fn protocol(&mut self) -> Result<ByteString, DecodeError> {
        let start = self.cursor.clone();
        let head = self.cursor.head()?;
        let name = (head.kind == HeadKind::String)
            .then(|| self.cursor.take(head.length).ok())
            .flatten();
        let known = Protocol::ALL
            .into_iter()
            .map(Protocol::name)
            .find(|known| Some(known.as_bytes()) == name);
        if let Some(known) = known {
            return Ok(ByteString::from_static(known));
        }
        self.cursor = start;
        self.string()
    }

    fn slice(&mut self, length: u64) -> Result<Bytes, DecodeError> {
        Ok(self.bytes.slice_ref(self.cursor.take(length)?))
    }

    fn payloads(&mut self) -> Result<Vec<(ByteString, Option<Bytes>)>, DecodeError> {
        let values = self.cursor.container(HeadKind::Map, "a map of payloads")?;
        self.bound(values / 2, MAX_PROTOCOLS, "protocols")?;
        (0..values / 2)
            .map(|_| Ok((self.protocol()?, self.frame()?)))
            .collect()
    }

    /// A binary, or a short string as the first MessagePack had them; or nil.
    fn frame(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let start = self.cursor.clone();
        let head = self.cursor.head()?;
        match head.kind {
            HeadKind::Nil => Ok(None),
            HeadKind::Binary => self.slice(head.length).map(Some),
            // Its length lies in its marker, unlike that of a longer one.
            HeadKind::String if self.cursor.position() == start.position() + 1 => {
                self.slice(head.length).map(Some)
            }
            HeadKind::Bool(_)
            | HeadKind::Integer(_)
            | HeadKind::Float
            | HeadKind::String
            | HeadKind::Extension
            | HeadKind::Array
            | HeadKind::Map => Err(start.syntax("a frame")),
        }
    }
}
