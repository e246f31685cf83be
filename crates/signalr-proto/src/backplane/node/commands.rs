//! What the application wants.

use core::time::Duration;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use super::operations::OperationKind;
use super::{BackplaneNode, Member, State};
use crate::backplane::api::{BackplaneAction, BackplaneError, JoinRefusal, OperationId};
use crate::backplane::api::{BackplaneEvent, BackplaneOutput};
use crate::backplane::outgoing::Purpose;
use crate::backplane::{
    Census, Channel, Completion, Counted, GroupAction, GroupCommand, ResultRequest, WhenAway,
};
use crate::codec::CompletionOutcome;
use crate::time::Instant;
use crate::{EncodeError, Payload, Protocol};

/// Commands.
impl BackplaneNode {
    /// A client has come to this server. Done when what is sent to it and to its user gets here.
    /// One for which that fails has to [leave](Self::disconnect), too.
    pub fn connect(
        &mut self,
        now: Instant,
        connection_id: &str,
        user_id: Option<&str>,
    ) -> OperationId {
        self.advance(now);
        let operation = self.operations.name();
        let id = ByteString::from(connection_id);
        if !self.members.contains_key(&id) {
            let user = user_id.map(ByteString::from);
            for channel in self.channels_of(&id, user.as_ref()) {
                self.subscriptions.hold(&channel);
            }
            let groups = std::collections::BTreeSet::new();
            self.members.insert(id.clone(), Member { user, groups });
        }
        if let Some(error) = self.refusal() {
            return self.refuse(operation, error);
        }
        let user = self.members.get(&id).and_then(|member| member.user.clone());
        let mut missing = 0;
        for channel in self.channels_of(&id, user.as_ref()) {
            if !self.subscriptions.wait(&channel, operation) {
                missing += 1;
            }
        }
        if missing == 0 {
            self.done(operation);
        } else {
            let deadline = self.patience();
            self.operations
                .open(operation, OperationKind::Connect { missing }, deadline);
        }
        operation
    }

    /// A client has left this server, and with it all its groups.
    pub fn disconnect(&mut self, now: Instant, connection_id: &str) {
        self.advance(now);
        let Some((id, member)) = self.members.remove_entry(connection_id) else {
            return;
        };
        let mut channels = self.channels_of(&id, member.user.as_ref());
        let groups = member.groups.iter();
        channels.extend(groups.map(|group| self.channels.name(Channel::Group(group))));
        for channel in channels {
            self.release(&channel);
        }
    }

    fn channels_of(&self, id: &ByteString, user: Option<&ByteString>) -> Vec<ByteString> {
        let own = self.channels.name(Channel::Connection(id));
        let users = user.map(|user| self.channels.name(Channel::User(user)));
        std::iter::once(own).chain(users).collect()
    }

    fn release(&mut self, channel: &ByteString) {
        for operation in self.subscriptions.release(channel) {
            self.channel_ready(operation);
        }
    }

    /// Adds a connection to a group, wherever in the farm it is. Done when messages to the group reach it.
    ///
    /// # Errors
    /// When a local connection may not join. Other servers refuse by saying nothing.
    pub fn join(
        &mut self,
        now: Instant,
        connection_id: &str,
        group: &str,
    ) -> Result<OperationId, JoinRefusal> {
        self.advance(now);
        self.check_name(group)?;
        if !self.members.contains_key(connection_id) {
            return Ok(self.command(GroupAction::Add, connection_id, group));
        }
        let fresh = self.enter(connection_id, group)?;
        let operation = self.operations.name();
        if let Some(error) = self.refusal() {
            if fresh {
                self.undo_join(connection_id, group);
            }
            return Ok(self.refuse(operation, error));
        }
        let channel = self.channels.name(Channel::Group(group));
        if self.subscriptions.wait(&channel, operation) {
            self.done(operation);
        } else {
            let kind = OperationKind::Join {
                connection_id: connection_id.into(),
                group: group.into(),
                fresh,
            };
            let deadline = self.patience();
            self.operations.open(operation, kind, deadline);
        }
        Ok(operation)
    }

    /// Removes a connection from a group, wherever in the farm it is. For a local one that is done at once.
    pub fn leave(&mut self, now: Instant, connection_id: &str, group: &str) -> OperationId {
        self.advance(now);
        if !self.members.contains_key(connection_id) {
            return self.command(GroupAction::Remove, connection_id, group);
        }
        self.undo_join(connection_id, group);
        let operation = self.operations.name();
        self.done(operation);
        operation
    }

    pub(super) const fn check_name(&self, group: &str) -> Result<(), JoinRefusal> {
        let (length, limit) = (group.len(), self.config.maximum_group_name_length);
        if length > limit {
            return Err(JoinRefusal::NameTooLong { length, limit });
        }
        Ok(())
    }

    /// Makes a local connection a member. `false` when it is one already.
    pub(super) fn enter(&mut self, connection_id: &str, group: &str) -> Result<bool, JoinRefusal> {
        let limit = self.config.maximum_groups_per_connection;
        let Some(member) = self.members.get_mut(connection_id) else {
            return Ok(false);
        };
        if member.groups.contains(group) {
            return Ok(false);
        }
        if member.groups.len() >= limit {
            return Err(JoinRefusal::TooManyGroups { limit });
        }
        let group = ByteString::from(group);
        member.groups.insert(group.clone());
        let channel = self.channels.name(Channel::Group(&group));
        self.subscriptions.hold(&channel);
        self.tell(BackplaneEvent::Joined {
            connection_id: connection_id.into(),
            group,
        });
        Ok(true)
    }

    /// Makes a local connection no member any more, if it is one.
    pub(super) fn undo_join(&mut self, connection_id: &str, group: &str) {
        let member = self.members.get_mut(connection_id);
        if !member.is_some_and(|member| member.groups.remove(group)) {
            return;
        }
        self.tell(BackplaneEvent::Left {
            connection_id: connection_id.into(),
            group: group.into(),
        });
        let channel = self.channels.name(Channel::Group(group));
        self.release(&channel);
    }

    fn command(&mut self, action: GroupAction, connection_id: &str, group: &str) -> OperationId {
        let operation = self.operations.name();
        let command = GroupCommand {
            id: self.operations.command_number(),
            server: (*self.config.server_name).into(),
            action,
            group: group.into(),
            connection_id: connection_id.into(),
        };
        let mut out = BytesMut::new();
        command.encode(&mut out);
        if let Some(error) = self.refusal().or_else(|| self.full(out.len())) {
            return self.refuse(operation, error);
        }
        let kind = OperationKind::Command {
            id: command.id,
            published: false,
        };
        let deadline = self.now.after(self.config.ack_timeout);
        self.operations.open(operation, kind, deadline);
        let channel = self.channels.name(Channel::GroupCommands);
        let purpose = Purpose::Operation(operation);
        self.outgoing.push(channel, out.freeze(), purpose);
        operation
    }

    /// Counts connections of the whole farm: asks every server, this one too, and is done when all have answered that heard the
    /// question, which ends in a `Counted`. Who has died hears nothing and is not counted, and neither are official servers.
    ///
    /// Who does not answer within the time that an operation may take is not counted either: a server whose machine died, of which
    /// the broker knows nothing yet. A broker that does not tell how many heard the question is always given that time.
    pub fn count(&mut self, now: Instant, counted: Counted) -> OperationId {
        self.advance(now);
        let operation = self.operations.name();
        let census = Census {
            id: self.operations.command_number(),
            server: (*self.config.server_name).into(),
            counted,
        };
        let mut out = BytesMut::new();
        census.encode(&mut out);
        if let Some(error) = self.refusal().or_else(|| self.full(out.len())) {
            return self.refuse(operation, error);
        }
        let kind = OperationKind::Count {
            id: census.id,
            published: false,
            servers: None,
            answers: 0,
            sum: 0,
        };
        let deadline = self.patience();
        self.operations.open(operation, kind, deadline);
        let channel = self.channels.name(Channel::Census);
        let purpose = Purpose::Operation(operation);
        self.outgoing.push(channel, out.freeze(), purpose);
        operation
    }

    /// Publishes an encoded [`Invocation`](crate::backplane::Invocation) on channels, in this order. Done when the broker has
    /// taken it for all of them; no receiver is no error.
    pub fn publish<'a>(
        &mut self,
        now: Instant,
        channels: impl IntoIterator<Item = Channel<'a>>,
        payload: &Bytes,
    ) -> OperationId {
        self.advance(now);
        let operation = self.operations.name();
        let oversized = self.oversized(payload);
        if let Some(error) = oversized.or_else(|| self.refusal()) {
            return self.refuse(operation, error);
        }
        let channels = channels.into_iter();
        let channels: Vec<_> = channels
            .map(|channel| self.channels.name(channel))
            .collect();
        // The payload is in memory once, however many channels it goes to.
        let bytes = channels
            .len()
            .saturating_mul(64)
            .saturating_add(payload.len());
        if let Some(error) = self.full(bytes) {
            return self.refuse(operation, error);
        }
        let missing = channels.len();
        if missing == 0 {
            self.done(operation);
            return operation;
        }
        let deadline = self.patience();
        self.operations
            .open(operation, OperationKind::Send { missing }, deadline);
        let purpose = Purpose::Operation(operation);
        for channel in channels {
            self.outgoing.push(channel, payload.clone(), purpose);
        }
        operation
    }

    /// What makes a message a question of this server.
    #[must_use]
    pub fn result_request(&self, id: &str) -> ResultRequest {
        ResultRequest {
            id: id.into(),
            return_address: self.channels.return_address(&self.config.server_name),
        }
    }

    /// Asks a client of another server: publishes an encoded invocation that carries a [`result_request`](Self::result_request). Ends with
    /// an `Answered`, or with a `Done` that tells why there is no answer.
    pub fn ask(
        &mut self,
        now: Instant,
        connection_id: &str,
        question_id: &str,
        payload: Bytes,
        timeout: Duration,
    ) -> OperationId {
        self.advance(now);
        let operation = self.operations.name();
        let refusal = self.oversized(&payload).or_else(|| self.refusal());
        if let Some(error) = refusal.or_else(|| self.full(payload.len())) {
            return self.refuse(operation, error);
        }
        let kind = OperationKind::Ask {
            connection_id: connection_id.into(),
            question: question_id.into(),
            published: false,
            probe_at: self.now.after(self.config.probe_interval),
        };
        let deadline = self.now.after(timeout);
        self.operations.open(operation, kind, deadline);
        let channel = self.channels.name(Channel::Connection(connection_id));
        let purpose = Purpose::Operation(operation);
        self.outgoing.push(channel, payload, purpose);
        operation
    }

    /// Nobody waits for this any more. A question is forgotten; everything else goes on, and nobody hears of it.
    pub fn forget(&mut self, now: Instant, operation: OperationId) {
        self.advance(now);
        if matches!(
            self.operations.get_mut(operation),
            Some(OperationKind::Ask { .. })
        ) {
            self.operations.close(operation);
        }
    }

    /// Gives another server the answer of a local client, which speaks this protocol.
    ///
    /// # Errors
    /// When the result cannot be encoded: it is of another protocol.
    pub fn answer(
        &mut self,
        now: Instant,
        result_request: &ResultRequest,
        protocol: Protocol,
        outcome: CompletionOutcome<'_, Payload>,
    ) -> Result<(), EncodeError> {
        self.advance(now);
        let mut frame = BytesMut::new();
        protocol.encode_completion(&mut frame, &[], &result_request.id, outcome)?;
        let completion = Completion {
            protocol: protocol.name().into(),
            frame: frame.freeze(),
        };
        let channel = self.channels.addressed(&result_request.return_address);
        self.say(channel, |out| completion.encode(out));
        Ok(())
    }

    /// Says something for which nobody here waits. What there is no room for is not said.
    pub(super) fn say(&mut self, channel: ByteString, encode: impl FnOnce(&mut BytesMut)) {
        let mut out = BytesMut::new();
        encode(&mut out);
        if matches!(self.state, State::Stopped) || self.full(out.len()).is_some() {
            self.counters.failures += 1;
            return;
        }
        self.outgoing.push(channel, out.freeze(), Purpose::Answer);
    }

    /// Leaves the farm. Whatever is open fails.
    pub fn stop(&mut self, now: Instant) {
        self.advance(now);
        if let Some(link) = self.state.link() {
            let action = BackplaneAction::Disconnect { link };
            self.outputs.push_back(BackplaneOutput::Action(action));
        }
        self.state = State::Stopped;
        self.fail_all(&BackplaneError::Stopped);
        self.outgoing.landed();
        self.outgoing.retain(|_| false);
    }

    /// Why nothing new may begin.
    fn refusal(&self) -> Option<BackplaneError> {
        match (&self.state, self.config.when_away) {
            (State::Stopped, _) => Some(BackplaneError::Stopped),
            (State::Away { failures, .. }, WhenAway::Fail) if *failures > 0 => {
                Some(BackplaneError::Away)
            }
            _ => None,
        }
    }

    /// The other servers would pass it over, and this one, too.
    fn oversized(&self, payload: &Bytes) -> Option<BackplaneError> {
        let (size, limit) = (payload.len(), self.config.max_message_size);
        (size > limit).then_some(BackplaneError::TooLarge { size, limit })
    }

    fn full(&self, more: usize) -> Option<BackplaneError> {
        let limit = self.config.waiting_limit;
        let full = self.outgoing.is_full(limit, more);
        full.then_some(BackplaneError::Full { limit })
    }

    fn refuse(&mut self, operation: OperationId, error: BackplaneError) -> OperationId {
        self.counters.failures += 1;
        let result = Err(error);
        self.tell(BackplaneEvent::Done { operation, result });
        operation
    }
}
