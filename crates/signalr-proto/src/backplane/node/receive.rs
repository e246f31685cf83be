//! What other servers say.

use bytes::Bytes;
use bytestring::ByteString;

use super::BackplaneNode;
use super::operations::OperationKind;
use crate::backplane::api::{Audience, BackplaneEvent, Message};
use crate::backplane::{
    Ack, Census, Channel, Completion, Count, Counted, GroupAction, GroupCommand, Invocation,
};
use crate::codec::{DecodeError, DecodeErrorKind};

/// Messages of others.
impl BackplaneNode {
    pub(super) fn read(&mut self, message: Message) {
        let Message { channel, payload } = message;
        if let Err(error) = self.act_on(&channel, &payload) {
            self.counters.malformed += 1;
            self.tell(BackplaneEvent::Malformed { channel, error });
        }
    }

    /// Channels that are none of this server's are passed over.
    fn act_on(&mut self, channel: &ByteString, payload: &Bytes) -> Result<(), DecodeError> {
        let (size, limit) = (payload.len() as u64, self.config.max_message_size as u64);
        if size > limit {
            let kind = DecodeErrorKind::TooLarge { size, limit };
            return Err(DecodeError::new(kind, 0));
        }
        match self.channels.read(channel) {
            Some(Channel::All) => self.deliver(Audience::All, payload)?,
            Some(Channel::Group(name)) => {
                self.deliver(Audience::Group(channel.slice_ref(name)), payload)?
            }
            Some(Channel::User(id)) => {
                self.deliver(Audience::User(channel.slice_ref(id)), payload)?
            }
            Some(Channel::Connection(id)) => self.deliver_to_one(channel.slice_ref(id), payload)?,
            Some(Channel::GroupCommands) => {
                let command = GroupCommand::decode(payload)?;
                self.obey(&command);
            }
            Some(Channel::Acks(server)) if *server == *self.config.server_name => {
                match Ack::decode(payload)? {
                    ack if ack == self.pulse => self.heard_itself(),
                    Ack { id } if id < 0 => self.heard_namesake(),
                    Ack { id } => self.acknowledged(id),
                }
            }
            Some(Channel::Returns(server)) if *server == *self.config.server_name => {
                if let Some((id, outcome)) = Completion::decode(payload)?.read() {
                    self.answered(&id, outcome);
                } else {
                    let expected = "an answer in a known protocol";
                    return Err(DecodeError::new(DecodeErrorKind::Syntax { expected }, 0));
                }
            }
            Some(Channel::Census) => {
                let census = Census::decode(payload)?;
                self.count_own(&census);
            }
            Some(Channel::Counts(server)) if *server == *self.config.server_name => {
                let Count { id, count } = Count::decode(payload)?;
                self.counted(id, count);
            }
            Some(Channel::Acks(_) | Channel::Returns(_) | Channel::Counts(_)) | None => {}
        }
        Ok(())
    }

    fn deliver(&mut self, audience: Audience, payload: &Bytes) -> Result<(), DecodeError> {
        let invocation = invocation(payload)?;
        self.tell(BackplaneEvent::Deliver {
            audience,
            invocation,
        });
        Ok(())
    }

    fn deliver_to_one(&mut self, id: ByteString, payload: &Bytes) -> Result<(), DecodeError> {
        let mut invocation = invocation(payload)?;
        let event = match invocation.result_request.take() {
            Some(result_request) => BackplaneEvent::Ask {
                connection_id: id,
                result_request,
                invocation,
            },
            None => BackplaneEvent::Deliver {
                audience: Audience::Connection(id),
                invocation,
            },
        };
        self.tell(event);
        Ok(())
    }

    /// Tells another server, or this one, how many connections there are here.
    fn count_own(&mut self, census: &Census) {
        let count = match &census.counted {
            Counted::All => self.members.len(),
            Counted::Group(name) => self.holders(Channel::Group(name)),
            Counted::User(id) => self.holders(Channel::User(id)),
        };
        let count = Count {
            id: census.id,
            count: u32::try_from(count).unwrap_or(u32::MAX),
        };
        let channel = self.channels.name(Channel::Counts(&census.server));
        self.say(channel, |out| count.encode(out));
    }

    /// Each connection holds its channels once.
    fn holders(&self, channel: Channel<'_>) -> usize {
        self.subscriptions.holders(&self.channels.name(channel))
    }

    /// Lets a local connection join or leave a group for another server.
    fn obey(&mut self, command: &GroupCommand) {
        let (id, group) = (&command.connection_id, &command.group);
        if !self.members.contains_key(id) {
            return;
        }
        match command.action {
            GroupAction::Add => {
                let entered = self.check_name(group).and_then(|()| self.enter(id, group));
                match entered {
                    Ok(fresh) => self.obey_add(command, fresh),
                    // There are no words for a refusal, and a confirmation would be a lie.
                    Err(refusal) => self.tell(BackplaneEvent::Refused {
                        connection_id: id.clone(),
                        refusal,
                    }),
                }
            }
            GroupAction::Remove => {
                self.undo_join(id, group);
                self.acknowledge(&command.server, command.id);
            }
            GroupAction::Unknown(_) => self.acknowledge(&command.server, command.id),
        }
    }

    fn obey_add(&mut self, command: &GroupCommand, fresh: bool) {
        let operation = self.operations.name();
        let channel = self.channels.name(Channel::Group(&command.group));
        if self.subscriptions.wait(&channel, operation) {
            return self.acknowledge(&command.server, command.id);
        }
        let kind = OperationKind::Obey {
            connection_id: command.connection_id.clone(),
            group: command.group.clone(),
            fresh,
            server: command.server.clone(),
            command: command.id,
        };
        let deadline = self.patience();
        self.operations.open(operation, kind, deadline);
    }
}

/// A message for clients, which they will be able to tell from those that follow.
fn invocation(payload: &Bytes) -> Result<Invocation, DecodeError> {
    let invocation = Invocation::decode(payload)?;
    if invocation.has_whole_frames() {
        return Ok(invocation);
    }
    let expected = "whole frames";
    Err(DecodeError::new(DecodeErrorKind::Syntax { expected }, 0))
}
