//! Which calls and streams of ours are open, and what their ids are.

use std::collections::BTreeMap;

use bytestring::ByteString;

use super::api::{Call, CallError, InvocationId};
use crate::codec::{Outcome, Payload};
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
    /// Was cancelled, and its completion may still come.
    Cancelled,
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

/// The table of open calls. Ordered, so that failing all of them is deterministic.
#[derive(Debug, Default)]
pub(super) struct Invocations {
    /// The last id given out.
    last: u64,
    entries: BTreeMap<u64, Entry>,
    pending: usize,
    cancelled: usize,
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
        let first_stream = self.last + 1;
        Ok(Call {
            first_stream,
            end: first_stream + streams as u64,
            position: 0,
        })
    }

    /// The call was written: its ids are taken.
    pub(super) fn begin(&mut self, call: &Call, kind: CallKind) {
        self.entries
            .extend((call.first_stream..call.end).map(|stream| (stream, Entry::Upload)));
        self.last = call.end - 1;
        if kind.is_answered() {
            self.last = call.end;
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

    /// The call that was made last, if it is open.
    pub(super) fn latest(&self) -> Option<InvocationId> {
        let (id, entry) = self.entries.last_key_value()?;
        matches!(
            entry,
            Entry::Pending {
                streaming: false,
                ..
            }
        )
        .then_some(InvocationId(*id))
    }

    pub(super) fn is_upload_open(&self, stream: InvocationId) -> bool {
        matches!(self.entries.get(&stream.0), Some(Entry::Upload))
    }

    pub(super) fn end_upload(&mut self, stream: InvocationId) {
        if self.is_upload_open(stream) {
            self.entries.remove(&stream.0);
        }
    }

    /// The uploads that were still open, if the server must be told, and the call forgotten but for its tombstone
    /// ([CB-32](crate::spec::client_behaviour#cb-32), [CB-33](crate::spec::client_behaviour#cb-33),
    /// [CB-44](crate::spec::client_behaviour#cb-44)).
    pub(super) fn cancel(&mut self, id: InvocationId) -> Option<Vec<InvocationId>> {
        let (_, uploads) = self.remove(id.0)?;
        self.bury(id.0);
        Some(uploads)
    }

    pub(super) fn complete(
        &mut self,
        id: &ByteString,
        outcome: Outcome,
    ) -> Match<Result<Option<Payload>, CallError>> {
        let Some(number) = parse_id(id) else {
            return Match::Unknown;
        };
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
            Some(Entry::Cancelled | Entry::Upload) | None => self.match_cancelled(number, false),
        }
    }

    fn match_cancelled<T>(&mut self, number: u64, is_over: bool) -> Match<T> {
        if !matches!(self.entries.get(&number), Some(Entry::Cancelled)) {
            return Match::Unknown;
        }
        if is_over {
            self.entries.remove(&number);
            self.cancelled -= 1;
        }
        Match::Cancelled
    }

    /// Forgets everything but the calls that stay, and tells which have to be told, in the order they were made
    /// ([CB-63](crate::spec::client_behaviour#cb-63)).
    pub(super) fn fail(
        &mut self,
        reason: &CloseReason,
        stays: impl Fn(u64) -> bool,
    ) -> Vec<(InvocationId, CallError)> {
        let entries = core::mem::take(&mut self.entries);
        self.cancelled = 0;
        let reason = reason.clone();
        let pending = entries
            .into_iter()
            .filter(|(_, entry)| matches!(entry, Entry::Pending { .. }));
        let (staying, failed): (BTreeMap<_, _>, BTreeMap<_, _>) =
            pending.partition(|(id, _)| stays(*id));
        self.pending = staying.len();
        self.entries = staying;
        failed
            .into_keys()
            .map(|id| (InvocationId(id), CallError::ConnectionLost(reason.clone())))
            .collect()
    }

    /// Takes a pending call out, and tells whether it is a stream and which of its uploads are over thereby ([CB-42](crate::spec::client_behaviour#cb-42)).
    fn remove(&mut self, number: u64) -> Option<(bool, Vec<InvocationId>)> {
        let Some(Entry::Pending {
            streaming,
            first_stream,
        }) = self.entries.get(&number).copied()
        else {
            return None;
        };
        self.entries.remove(&number);
        let open = (first_stream..number).filter(|id| self.entries.remove(id).is_some());
        let uploads = open.map(InvocationId).collect();
        self.pending -= 1;
        Some((streaming, uploads))
    }

    fn bury(&mut self, number: u64) {
        self.entries.insert(number, Entry::Cancelled);
        self.cancelled += 1;
        if self.cancelled > MAX_CANCELLED {
            let oldest = self
                .entries
                .iter()
                .find(|(_, entry)| matches!(entry, Entry::Cancelled))
                .map(|(id, _)| *id);
            self.cancelled -=
                usize::from(oldest.is_some_and(|oldest| self.entries.remove(&oldest).is_some()));
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
    let digits = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || id.starts_with('0') {
        None
    } else {
        id.parse().ok()
    }
}

/// The decimal text of an id, without an allocation.
#[derive(Debug)]
pub(super) struct IdText {
    bytes: [u8; 20],
    start: usize,
}

impl IdText {
    pub(super) fn new(id: InvocationId) -> Self {
        let mut text = Self {
            bytes: [0; 20],
            start: 20,
        };
        let mut rest = id.0;
        // Twenty digits hold every u64, so the loop ends before the bytes do.
        for digit in text.bytes.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            text.start -= 1;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        text
    }

    pub(super) fn as_str(&self) -> &str {
        self.bytes
            .get(self.start..)
            .and_then(|bytes| core::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_compared_as_text() {
        assert_eq!(parse_id("17"), Some(17));
        assert_eq!(parse_id("18446744073709551615"), Some(u64::MAX));
        for other in [
            "",
            "0",
            "01",
            "+1",
            " 1",
            "1 ",
            "s1",
            "-1",
            "18446744073709551616",
            "１",
        ] {
            assert_eq!(parse_id(other), None, "{other}");
        }
        for id in [1, 9, 10, 12345, u64::MAX] {
            assert_eq!(IdText::new(InvocationId(id)).as_str(), id.to_string());
        }
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
            (table.cancelled, table.entries.len()),
            (MAX_CANCELLED, MAX_CANCELLED)
        );
        assert_eq!(
            table.complete(&"3000".into(), Outcome::Void),
            Match::Cancelled
        );
        assert_eq!(table.complete(&"1".into(), Outcome::Void), Match::Unknown);
    }
}
