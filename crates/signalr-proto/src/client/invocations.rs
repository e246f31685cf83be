//! Which calls and streams of ours are open, and what their ids are.

use core::hash::{BuildHasherDefault, Hasher};
use std::collections::{BTreeSet, HashMap, hash_map};

use bytestring::ByteString;

use super::api::{Call, CallError, InvocationId};
use crate::codec::{Outcome, Payload};
use crate::decimal::{Counter, leading_number};
use crate::error::{CloseReason, SendError};

/// Cancelled calls whose completion may still come. Beyond this many the oldest are forgotten, and a late completion for one
/// is merely reported as unknown.
const MAX_CANCELLED: usize = 1024;

/// What a call expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallKind {
    /// One answer.
    Invoke,
    /// Items, and the end.
    Stream,
    /// Nothing.
    Send,
}

/// What an id of ours stands for.
#[derive(Clone, Copy, Debug)]
enum Entry {
    /// Waits for its completion. Its upload streams have the ids from `first_stream` up to its own.
    Pending { streaming: bool, first_stream: u64 },
    /// An open upload stream.
    Upload,
}

/// What a message with an invocation id means.
#[derive(Debug, PartialEq)]
pub(super) enum Match<T> {
    /// It is for this call.
    For(InvocationId, T),
    /// It is for a call nobody waits for any more.
    Cancelled,
    /// It is for no call of ours.
    Unknown,
}

/// Room for so many is kept when no call is open.
const KEPT_ROOM: usize = 256;

/// The table of open calls.
#[derive(Debug)]
pub(super) struct Invocations {
    ids: Counter,
    entries: HashMap<u64, Entry, BuildHasherDefault<IdHasher>>,
    pending: usize,
    /// Cancelled calls whose completion may still come. Most connections have none.
    cancelled: Option<Box<Cancelled>>,
}

/// The ids of cancelled calls, the newest of them.
#[derive(Debug, Default)]
struct Cancelled(BTreeSet<u64>);

impl Cancelled {
    fn add(&mut self, id: u64) {
        self.0.insert(id);
        if self.0.len() > MAX_CANCELLED {
            self.0.pop_first();
        }
    }

    /// Whether it is one of them, and is forgotten if it is over.
    fn is_known(&mut self, id: u64, is_over: bool) -> bool {
        if is_over {
            self.0.remove(&id)
        } else {
            self.0.contains(&id)
        }
    }
}

/// Ids here are numbers that we count ourselves, so nobody can choose colliding ones.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // Fibonacci hashing spreads consecutive numbers over all bits.
        self.0 = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

impl Default for Invocations {
    fn default() -> Self {
        Self {
            ids: Counter::new(),
            entries: HashMap::default(),
            pending: 0,
            cancelled: None,
        }
    }
}

impl Invocations {
    /// The ids of the next call: its streams first, then its own, if it wants an answer
    /// ([CB-22](crate::spec::client_behaviour#cb-22), [CB-27](crate::spec::client_behaviour#cb-27)).
    pub(super) fn next(
        &self,
        kind: CallKind,
        streams: usize,
        limit: usize,
    ) -> Result<Call, SendError> {
        if kind.is_answered() && self.pending >= limit {
            return Err(SendError::TooManyInvocations { limit });
        }
        let first_stream = self.ids.number();
        Ok(Call {
            first_stream,
            end: first_stream + streams as u64,
            position: 0,
        })
    }

    /// The call was written: its ids are taken.
    pub(super) fn begin(&mut self, call: &Call, kind: CallKind) {
        for stream in call.first_stream..call.end {
            self.ids.advance();
            self.entries.insert(stream, Entry::Upload);
        }
        if kind.is_answered() {
            self.ids.advance();
            self.pending += 1;
            self.entries.insert(
                call.end,
                Entry::Pending {
                    streaming: kind == CallKind::Stream,
                    first_stream: call.first_stream,
                },
            );
        }
    }

    /// The text of the id that a call without upload streams gets next.
    pub(super) fn next_text(&self) -> &str {
        self.ids.text()
    }

    pub(super) fn is_upload_open(&self, stream: InvocationId) -> bool {
        matches!(self.entries.get(&stream.0), Some(Entry::Upload))
    }

    pub(super) fn end_upload(&mut self, stream: InvocationId) {
        if self.is_upload_open(stream) {
            self.entries.remove(&stream.0);
            self.give_room_back();
        }
    }

    /// The uploads that were still open, if the server must be told, and the call forgotten but for its tombstone
    /// ([CB-32](crate::spec::client_behaviour#cb-32), [CB-33](crate::spec::client_behaviour#cb-33),
    /// [CB-44](crate::spec::client_behaviour#cb-44)).
    pub(super) fn cancel(&mut self, id: InvocationId) -> Option<Vec<InvocationId>> {
        let (_, uploads) = self.remove(id.0)?;
        self.cancelled.get_or_insert_default().add(id.0);
        Some(uploads)
    }

    pub(super) fn complete(
        &mut self,
        id: &ByteString,
        outcome: Outcome,
    ) -> Match<Result<Option<Payload>, CallError>> {
        parse_id(id).map_or(Match::Unknown, |number| {
            self.complete_number(number, outcome)
        })
    }

    pub(super) fn complete_number(
        &mut self,
        number: u64,
        outcome: Outcome,
    ) -> Match<Result<Option<Payload>, CallError>> {
        match self.remove(number) {
            // The server has done with its uploads, too.
            Some((streaming, _)) => Match::For(InvocationId(number), answer(streaming, outcome)),
            None => self.match_cancelled(number, true),
        }
    }

    /// An item came: for its stream, or as an error for a call that is not one, with the uploads that are over thereby.
    pub(super) fn item(
        &mut self,
        id: &ByteString,
    ) -> Match<Result<(), (CallError, Vec<InvocationId>)>> {
        let Some(number) = parse_id(id) else {
            return Match::Unknown;
        };
        match self.entries.get(&number) {
            Some(Entry::Pending {
                streaming: true, ..
            }) => Match::For(InvocationId(number), Ok(())),
            Some(Entry::Pending {
                streaming: false, ..
            }) => {
                let uploads = self.cancel(InvocationId(number)).unwrap_or_default();
                let error = (CallError::UnexpectedItem, uploads);
                Match::For(InvocationId(number), Err(error))
            }
            Some(Entry::Upload) | None => self.match_cancelled(number, false),
        }
    }

    fn match_cancelled<T>(&mut self, number: u64, is_over: bool) -> Match<T> {
        let cancelled = self.cancelled.as_mut();
        let is_known = cancelled.is_some_and(|cancelled| cancelled.is_known(number, is_over));
        if is_known {
            Match::Cancelled
        } else {
            Match::Unknown
        }
    }

    /// Forgets everything but the calls that stay, and tells which have to be told, in the order they were made
    /// ([CB-63](crate::spec::client_behaviour#cb-63)).
    pub(super) fn fail(
        &mut self,
        reason: &CloseReason,
        stays: impl Fn(u64) -> bool,
    ) -> Vec<(InvocationId, CallError)> {
        self.cancelled = None;
        let mut failed = Vec::new();
        self.entries.retain(|id, entry| {
            let is_pending = matches!(entry, Entry::Pending { .. });
            let stays = is_pending && stays(*id);
            if is_pending && !stays {
                failed.push(InvocationId(*id));
            }
            stays
        });
        self.pending = self.entries.len();
        self.give_room_back();
        failed.sort_unstable();
        failed
            .into_iter()
            .map(|id| (id, CallError::ConnectionLost(reason.clone())))
            .collect()
    }

    /// Takes a pending call out, and tells whether it is a stream and which of its uploads are over thereby ([CB-42](crate::spec::client_behaviour#cb-42)).
    fn remove(&mut self, number: u64) -> Option<(bool, Vec<InvocationId>)> {
        let (streaming, first_stream) = match self.entries.entry(number) {
            hash_map::Entry::Occupied(occupied) => match *occupied.get() {
                Entry::Pending {
                    streaming,
                    first_stream,
                } => {
                    occupied.remove();
                    (streaming, first_stream)
                }
                Entry::Upload => return None,
            },
            hash_map::Entry::Vacant(_) => return None,
        };
        let open = (first_stream..number).filter(|id| self.entries.remove(id).is_some());
        let uploads = open.map(InvocationId).collect();
        self.pending -= 1;
        self.give_room_back();
        Some((streaming, uploads))
    }

    /// After a burst of calls an idle connection does not keep the room they took.
    fn give_room_back(&mut self) {
        if self.entries.is_empty() && self.entries.capacity() > KEPT_ROOM {
            self.entries = HashMap::default();
        }
    }
}

impl CallKind {
    /// Whether a Completion ends it.
    pub(super) const fn is_answered(self) -> bool {
        match self {
            Self::Invoke | Self::Stream => true,
            Self::Send => false,
        }
    }
}

/// What the end of a call means for whoever made it.
fn answer(streaming: bool, outcome: Outcome) -> Result<Option<Payload>, CallError> {
    match outcome {
        Outcome::Error(error) if !error.is_empty() => Err(CallError::Server {
            error: (&*error).into(),
        }),
        Outcome::Void | Outcome::Error(_) => Ok(None),
        Outcome::Result(result) if !streaming => Ok(Some(result)),
        Outcome::Result(result) if result.is_null() => Ok(None),
        Outcome::Result(_) => Err(CallError::ResultOfStream),
    }
}

/// The number of an id of ours. Ids are compared as text, so `01` is not `1`.
fn parse_id(id: &str) -> Option<u64> {
    let (number, length) = leading_number(id.as_bytes())?;
    (length == id.len()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_compared_as_text() {
        assert_eq!(parse_id("17"), Some(17));
        assert_eq!(parse_id("18446744073709551615"), Some(u64::MAX));
        for other in ["", "01", "1 ", "17x", "s1"] {
            assert_eq!(parse_id(other), None, "{other}");
        }
    }

    #[test]
    fn room_is_given_back_after_a_burst() {
        let mut table = Invocations::default();
        let calls: Vec<Call> = (0..1_000)
            .map(|_| {
                let call = table.next(CallKind::Invoke, 1, 1_000).unwrap();
                table.begin(&call, CallKind::Invoke);
                call
            })
            .collect();
        for call in calls {
            let id = ByteString::from(call.id().to_string());
            assert_eq!(
                table.complete(&id, Outcome::Void),
                Match::For(call.id(), Ok(None))
            );
        }
        assert_eq!((table.pending, table.entries.capacity()), (0, 0));
    }

    #[test]
    fn streams_take_the_ids_before_their_call_and_sends_take_no_id() {
        let mut table = Invocations::default();
        let call = table.next(CallKind::Invoke, 2, 10).unwrap();
        table.begin(&call, CallKind::Invoke);
        assert_eq!(
            (
                call.streams().map(|id| id.0).collect::<Vec<_>>(),
                call.id().0
            ),
            (vec![1, 2], 3)
        );
        let send = table.next(CallKind::Send, 1, 10).unwrap();
        table.begin(&send, CallKind::Send);
        assert_eq!(send.streams().map(|id| id.0).collect::<Vec<_>>(), [4]);
        assert_eq!(table.next(CallKind::Invoke, 0, 10).unwrap().id().0, 5);
    }

    #[test]
    fn tombstones_are_bounded() {
        let mut table = Invocations::default();
        for _ in 0..3000 {
            let call = table.next(CallKind::Stream, 0, 10).unwrap();
            table.begin(&call, CallKind::Stream);
            assert_eq!(table.cancel(call.id()), Some(vec![]));
        }
        assert_eq!(
            (
                table.cancelled.as_ref().unwrap().0.len(),
                table.entries.len()
            ),
            (MAX_CANCELLED, 0)
        );
        assert_eq!(
            table.complete(&"3000".into(), Outcome::Void),
            Match::Cancelled
        );
        assert_eq!(table.complete(&"1".into(), Outcome::Void), Match::Unknown);
    }
}
