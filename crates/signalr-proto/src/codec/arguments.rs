//! Argument lists: how callers write them and how handlers read them.

use core::fmt;

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::de::DeserializeOwned;

use super::encode::Encode;
use super::payload::{Payload, decode_slice, redacted};
use super::protocol::Protocol;
use super::{json, msgpack};
use crate::codec::{EncodeError, PayloadError};

/// The raw argument list of an invocation: a JSON array text or a MessagePack array.
///
/// The list may turn out to be malformed when it is looked at: see [`HubMessage`](super::HubMessage). `Debug` shows the
/// length in bytes only.
#[derive(Clone, PartialEq)]
pub struct Arguments {
    protocol: Protocol,
    bytes: Bytes,
}

impl Arguments {
    /// An argument list of these bytes, unchecked: see [`Payload::new`].
    #[must_use]
    pub const fn new(protocol: Protocol, bytes: Bytes) -> Self {
        Self { protocol, bytes }
    }

    /// The list without arguments.
    #[must_use]
    pub const fn empty(protocol: Protocol) -> Self {
        let bytes = match protocol {
            Protocol::Json => Bytes::from_static(b"[]"),
            Protocol::MessagePack => Bytes::from_static(&[0x90]),
        };
        Self { protocol, bytes }
    }

    /// The protocol that the bytes are in.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The bytes, brackets or array header included.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The number of arguments.
    ///
    /// # Errors
    /// When the list is malformed.
    #[expect(
        clippy::len_without_is_empty,
        reason = "counting can fail, so `is_empty` could not be what readers expect"
    )]
    pub fn len(&self) -> Result<usize, PayloadError> {
        let mut count = 0;
        self.for_each(|_, _| {
            count += 1;
            Ok(())
        })?;
        Ok(count)
    }

    /// Decodes the arguments into a tuple, a `Vec` or another [`FromArguments`].
    ///
    /// # Errors
    /// When the list is malformed, an argument does not fit its type, or the number of arguments is wrong, with the text
    /// `Invocation provides 1 argument(s) but target expects 2.`
    pub fn decode<T: FromArguments>(&self) -> Result<T, PayloadError> {
        T::from_arguments(self)
    }

    /// The arguments one by one, each a slice of the list.
    ///
    /// # Errors
    /// When the list is malformed.
    pub fn payloads(&self) -> Result<Vec<Payload>, PayloadError> {
        let mut payloads = Vec::new();
        self.payloads_into(&mut payloads)?;
        Ok(payloads)
    }

    /// The same, behind what is in `payloads` already: for a driver that uses one list again and again.
    ///
    /// # Errors
    /// When the list is malformed. Some arguments may have been added.
    pub fn payloads_into(&self, payloads: &mut Vec<Payload>) -> Result<(), PayloadError> {
        self.for_each(|_, element| {
            payloads.push(self.payload_of(element));
            Ok(())
        })
    }

    /// An argument of this list by its bytes.
    pub(super) fn payload_of(&self, element: &[u8]) -> Payload {
        Payload::new(self.protocol, self.bytes.slice_ref(element))
    }

    /// Hands the number and the bytes of each argument to `visit`, until it fails.
    pub(super) fn for_each<'a>(
        &'a self,
        visit: impl FnMut(usize, &'a [u8]) -> Result<(), PayloadError>,
    ) -> Result<(), PayloadError> {
        match self.protocol {
            Protocol::Json => json::for_each_element(&self.bytes, visit),
            Protocol::MessagePack => msgpack::for_each_element(&self.bytes, visit),
        }
    }
}

impl fmt::Debug for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        redacted(f, "Arguments", self.protocol, self.bytes.len())
    }
}

/// An argument list that can be sent: `()`, tuples of up to 12 values, a [`Spread`] list of values, and [`Arguments`].
///
/// A list is one argument, `(list,)`, and does not compile by itself: whether it was meant as one argument or as many
/// could only be told when the peer refuses the call.
///
/// ```
/// # use signalr_proto::{HubArguments, Spread};
/// # fn send(_: impl HubArguments) {}
/// send(("user", 42));
/// send((vec![1, 2, 3],));
/// send(Spread(vec![1, 2, 3]));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no list of arguments",
    label = "not a list of arguments",
    note = "arguments are a tuple: `()` for none, `(value,)` for one (mind the comma), up to 12, each serializable or a `Payload`",
    note = "a list is one argument as `(list,)`, and as many as it has elements as `Spread(list)`"
)]
pub trait HubArguments {
    /// How many of the arguments are streams, which travel apart from the list.
    fn stream_count(&self) -> usize {
        0
    }

    /// Writes the arguments that are not streams.
    ///
    /// # Errors
    /// When an argument cannot be written: see [`Encode::encode`].
    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError>;
}

/// Writes the elements of the list straight into the outgoing bytes.
#[derive(Debug)]
pub struct ArgumentWriter<'a> {
    protocol: Protocol,
    out: &'a mut BytesMut,
    count: usize,
}

impl<'a> ArgumentWriter<'a> {
    pub(super) const fn new(protocol: Protocol, out: &'a mut BytesMut) -> Self {
        Self {
            protocol,
            out,
            count: 0,
        }
    }

    /// How many arguments were written.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// The protocol that is written.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Writes one argument.
    ///
    /// # Errors
    /// See [`Encode::encode`].
    pub fn value<T: Encode + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.begin();
        value.encode(self.protocol, self.out)
    }

    /// Writes all arguments of a raw list.
    ///
    /// # Errors
    /// [`EncodeError::RawPayload`] for a list that is malformed or of the other protocol.
    pub fn raw(&mut self, arguments: &Arguments) -> Result<(), EncodeError> {
        if arguments.protocol() != self.protocol || !self.carries(arguments.as_bytes()) {
            return Err(EncodeError::RawPayload);
        }
        let copied = arguments.for_each(|_, element| {
            self.begin();
            self.out.extend_from_slice(element);
            Ok(())
        });
        copied.map_err(|_| EncodeError::RawPayload)
    }

    /// Text transports carry UTF-8 only, which scanning for the elements does not check.
    fn carries(&self, bytes: &[u8]) -> bool {
        match self.protocol {
            Protocol::Json => core::str::from_utf8(bytes).is_ok(),
            Protocol::MessagePack => true,
        }
    }

    fn begin(&mut self) {
        if self.protocol == Protocol::Json && self.count > 0 {
            self.out.put_u8(b',');
        }
        self.count = self.count.saturating_add(1);
    }
}

impl<A: HubArguments + ?Sized> HubArguments for &A {
    fn stream_count(&self) -> usize {
        (**self).stream_count()
    }

    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        (**self).write(writer)
    }
}

impl HubArguments for Arguments {
    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        writer.raw(self)
    }
}

/// A list whose elements are the arguments of a call, one by one: a `Vec`, an array or a slice.
///
/// ```
/// # use signalr_proto::{HubArguments, Spread};
/// # fn send(_: &str, _: impl HubArguments) {}
/// send("Add", Spread(vec![1, 2]));
/// send("Add", Spread([1, 2]));
/// send("Add", (1, 2));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread<L>(pub L);

impl<T: Encode> HubArguments for Spread<&[T]> {
    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        self.0.iter().try_for_each(|value| writer.value(value))
    }
}

impl<T: Encode> HubArguments for Spread<Vec<T>> {
    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        Spread(self.0.as_slice()).write(writer)
    }
}

impl<T: Encode, const N: usize> HubArguments for Spread<[T; N]> {
    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        Spread(self.0.as_slice()).write(writer)
    }
}

/// Arguments with upload streams beside them.
///
/// A stream is a parameter of the hub method like any other, but travels apart from the values: they stand in the list, and
/// the ids of the streams beside it ([CB-40](crate::spec::client_behaviour#cb-40)). So `Feed(string name, IAsyncEnumerable<int>
/// items)` is called with `WithUploads::new(("name",), 1)`, whatever the order of the parameters is.
///
/// On the wire: `{"type":1,"invocationId":"2","target":"Feed","arguments":["name"],"streamIds":["1"]}`. The
/// [`Call`](crate::client::Call) that comes of it names the streams; each gets its items by
/// [`send_item`](crate::client::ClientConnection::send_item) and its end by
/// [`end_stream`](crate::client::ClientConnection::end_stream). Servers cannot send streams to methods of clients: there the
/// count is passed over.
///
/// ```
/// # use signalr_proto::client::{Action, ClientConfig, ClientConnection, Input, Output};
/// # use signalr_proto::{Instant, WithUploads};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut config = ClientConfig::new("http://localhost/hub")?;
/// # config.skip_negotiation = true;
/// # let mut connection = ClientConnection::new(config, 1);
/// # let now = Instant::ZERO;
/// # connection.start(now)?;
/// # while let Output::Action(action) = connection.poll_output() {
/// #     if let Action::OpenWebSocket { op, .. } = action {
/// #         connection.handle_input(now, Input::Opened { op });
/// #         connection.handle_input(now, Input::Received { op, bytes: "{}\x1e".into() });
/// #     }
/// # }
/// let call = connection.send(now, "Feed", &WithUploads::new(("name",), 1))?;
/// for stream in call.streams() {
///     connection.send_item(now, stream, &17)?;
///     connection.end_stream(now, stream, None)?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WithUploads<A> {
    arguments: A,
    count: usize,
}

impl<A: HubArguments> WithUploads<A> {
    /// These arguments and so many upload streams.
    pub const fn new(arguments: A, count: usize) -> Self {
        Self { arguments, count }
    }
}

impl<A: HubArguments> HubArguments for WithUploads<A> {
    fn stream_count(&self) -> usize {
        self.arguments.stream_count().saturating_add(self.count)
    }

    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        self.arguments.write(writer)
    }
}

impl HubArguments for () {
    fn write(&self, _: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        Ok(())
    }
}

/// An argument list that a handler can ask for: tuples of up to 12 values, `Vec<T>` of values of one type, `Vec<Payload>`
/// and [`Arguments`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from a list of arguments",
    label = "not a list of arguments",
    note = "a list is read as a tuple: `()` for none, `(value,)` for one (mind the comma), up to 12, each deserializable (`serde::Deserialize`, owned)",
    note = "or as a `Vec` of one type, a `Vec<Payload>`, or `Arguments` as they came"
)]
pub trait FromArguments: Sized {
    /// The number of arguments, or `None` for any.
    const COUNT: Option<usize>;

    /// Reads the list.
    ///
    /// # Errors
    /// When the number of arguments is wrong, the list is malformed, or an argument does not fit its type.
    fn from_arguments(arguments: &Arguments) -> Result<Self, PayloadError>;
}

impl FromArguments for Arguments {
    const COUNT: Option<usize> = None;

    fn from_arguments(arguments: &Arguments) -> Result<Self, PayloadError> {
        Ok(arguments.clone())
    }
}

impl FromArguments for Vec<Payload> {
    const COUNT: Option<usize> = None;

    fn from_arguments(arguments: &Arguments) -> Result<Self, PayloadError> {
        arguments.payloads()
    }
}

impl<T: DeserializeOwned> FromArguments for Vec<T> {
    const COUNT: Option<usize> = None;

    fn from_arguments(arguments: &Arguments) -> Result<Self, PayloadError> {
        let mut values = Self::new();
        arguments.for_each(|index, element| {
            values.push(argument(arguments.protocol(), index, element)?);
            Ok(())
        })?;
        Ok(values)
    }
}

impl FromArguments for () {
    const COUNT: Option<usize> = Some(0);

    fn from_arguments(arguments: &Arguments) -> Result<Self, PayloadError> {
        split::<0>(arguments).map(|_| ())
    }
}

/// The bytes of exactly `N` arguments, found in one pass.
fn split<const N: usize>(arguments: &Arguments) -> Result<[&[u8]; N], PayloadError> {
    elements(arguments, N)
}

/// The bytes of exactly `count` arguments, of which there may be room for more.
fn elements<const ROOM: usize>(
    arguments: &Arguments,
    count: usize,
) -> Result<[&[u8]; ROOM], PayloadError> {
    let mut elements = [[].as_slice(); ROOM];
    let mut found = 0_usize;
    arguments.for_each(|index, element| {
        if let Some(slot) = elements.get_mut(index) {
            *slot = element;
        }
        found = index.saturating_add(1);
        Ok(())
    })?;
    if found == count {
        Ok(elements)
    } else {
        Err(PayloadError::new(format!(
            "Invocation provides {found} argument(s) but target expects {count}."
        )))
    }
}

/// The most arguments that a function can take.
const MOST: usize = 12;

/// The arguments of a list one after another, for functions whose parameters are of several kinds.
///
/// ```
/// use signalr_proto::codec::{ArgumentReader, Arguments, Protocol};
///
/// let list = Arguments::new(Protocol::Json, r#"["a", 7]"#.into());
/// let mut reader = ArgumentReader::new(&list, 2)?;
/// assert_eq!(reader.value::<String>()?, "a");
/// assert_eq!(reader.payload()?.as_bytes(), b"7");
/// # Ok::<(), signalr_proto::PayloadError>(())
/// ```
#[derive(Debug)]
pub struct ArgumentReader<'a> {
    list: &'a Arguments,
    elements: [&'a [u8]; MOST],
    next: usize,
}

impl<'a> ArgumentReader<'a> {
    /// Looks for so many arguments, at most 12.
    ///
    /// # Errors
    /// When the list is malformed or of another length.
    pub fn new(list: &'a Arguments, count: usize) -> Result<Self, PayloadError> {
        Ok(Self {
            list,
            elements: elements(list, count)?,
            next: 0,
        })
    }

    /// The next argument, decoded.
    ///
    /// # Errors
    /// When it does not fit the type, or there is none.
    pub fn value<T: DeserializeOwned>(&mut self) -> Result<T, PayloadError> {
        let (index, element) = self.take()?;
        argument(self.list.protocol(), index, element)
    }

    /// The next argument as it came.
    ///
    /// # Errors
    /// When there is none.
    pub fn payload(&mut self) -> Result<Payload, PayloadError> {
        let (_, element) = self.take()?;
        Ok(self.list.payload_of(element))
    }

    fn take(&mut self) -> Result<(usize, &'a [u8]), PayloadError> {
        let index = self.next;
        self.next = index.saturating_add(1);
        let element = self.elements.get(index).copied();
        element
            .map(|element| (index, element))
            .ok_or_else(|| PayloadError::new("missing argument"))
    }
}

fn argument<T: DeserializeOwned>(
    protocol: Protocol,
    index: usize,
    element: &[u8],
) -> Result<T, PayloadError> {
    decode_slice(protocol, element).map_err(|error: PayloadError| error.in_argument(index))
}

macro_rules! tuples {
    ((0:) $(($count:literal: $($index:tt $type:ident $marker:ident $value:ident),+))+) => {$(
        impl<$($type: Encode),+> HubArguments for ($($type,)+) {
            fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
                $(writer.value(&self.$index)?;)+
                Ok(())
            }
        }

        impl<$($type: DeserializeOwned),+> FromArguments for ($($type,)+) {
            const COUNT: Option<usize> = Some($count);

            fn from_arguments(arguments: &Arguments) -> Result<Self, PayloadError> {
                let [$($value),+] = split::<$count>(arguments)?;
                Ok(($(argument(arguments.protocol(), $index, $value)?,)+))
            }
        }
    )+};
}

for_each_arity!(tuples);
