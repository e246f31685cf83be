//! What calls can be made with: values, and streams among them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::BytesMut;
use signalr_proto::codec::ArgumentWriter;
use signalr_proto::{Arguments, Encode, EncodeError, HubArguments, Payload, Protocol, Spread};

use crate::upload::Upload;

/// One argument of a call: anything that serde can serialize, a raw [`Payload`], or an [`Upload`] stream.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a call",
    label = "not an argument",
    note = "an argument is serializable (`serde::Serialize`), a `Payload` or an `Upload`"
)]
pub trait HubArgument {
    /// 1 for a stream, 0 for a value.
    fn stream_count(&self) -> usize {
        0
    }

    /// Writes a value; a stream writes nothing.
    ///
    /// # Errors
    /// When the value cannot be serialized.
    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError>;

    /// Moves a stream out; a value leaves nothing.
    fn take_uploads(self, uploads: &mut Vec<Upload>)
    where
        Self: Sized,
    {
        let _ = uploads;
    }
}

impl<T: Encode> HubArgument for T {
    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        writer.value(self)
    }
}

impl HubArgument for Upload {
    fn stream_count(&self) -> usize {
        1
    }

    fn write(&self, _: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        Ok(())
    }

    fn take_uploads(self, uploads: &mut Vec<Upload>) {
        uploads.push(self);
    }
}

/// An argument whose kind is known only when the program runs, for `Spread(Vec<Argument>)`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Argument {
    /// A value.
    Value(serde_json::Value),
    /// A value that is encoded already, in the protocol of the connection.
    Raw(Payload),
    /// A stream.
    Upload(Upload),
}

impl HubArgument for Argument {
    fn stream_count(&self) -> usize {
        match self {
            Self::Value(_) | Self::Raw(_) => 0,
            Self::Upload(_) => 1,
        }
    }

    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        match self {
            Self::Value(value) => writer.value(value),
            Self::Raw(payload) => writer.value(payload),
            Self::Upload(_) => Ok(()),
        }
    }

    fn take_uploads(self, uploads: &mut Vec<Upload>) {
        match self {
            Self::Value(_) | Self::Raw(_) => {}
            Self::Upload(upload) => uploads.push(upload),
        }
    }
}

/// The arguments of a call: `()`, tuples of up to 12 [`HubArgument`]s, a [`Spread`] list of them, or a raw [`Arguments`] list.
///
/// A list is one argument, `(list,)`, and does not compile by itself: whether it was meant as one argument or as many
/// could only be told when the server refuses the call.
///
/// ```
/// # use signalr_client::{CallArguments, Spread, Upload};
/// # fn call(_: impl CallArguments) {}
/// call(("user", 42));
/// call((Upload::new(futures_util::stream::iter(0..10)), "a value beside it"));
/// call((vec![1, 2, 3],));
/// call(Spread(vec![serde_json::json!({"x": 1}), serde_json::json!(null)]));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no list of arguments",
    label = "not a list of arguments",
    note = "arguments are a tuple: `()` for none, `(value,)` for one (mind the comma), up to 12, each serializable, a `Payload` or an `Upload`",
    note = "a list is one argument as `(list,)`, and as many as it has elements as `Spread(list)`"
)]
pub trait CallArguments {
    /// How many streams there are.
    fn stream_count(&self) -> usize {
        0
    }

    /// Writes the values.
    ///
    /// # Errors
    /// When a value cannot be serialized.
    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError>;

    /// Moves the streams out, in their order.
    fn take_uploads(self, uploads: &mut Vec<Upload>)
    where
        Self: Sized,
    {
        let _ = uploads;
    }
}

/// Call arguments as the protocol's machine takes them.
pub(crate) struct MachineArguments<'a, A>(pub(crate) &'a A);

impl<A: CallArguments> HubArguments for MachineArguments<'_, A> {
    fn stream_count(&self) -> usize {
        self.0.stream_count()
    }

    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        guarded(|| self.0.write(writer))
    }
}

/// A value whose panics while it is serialized are errors.
pub(crate) struct Guarded<'a, T: ?Sized>(pub(crate) &'a T);

impl<T: Encode + ?Sized> Encode for Guarded<'_, T> {
    fn encode(&self, protocol: Protocol, out: &mut BytesMut) -> Result<(), EncodeError> {
        guarded(|| self.0.encode(protocol, out))
    }
}

/// Unwinding through the machine would leave half a message among those that wait to be sent; an error takes it back.
fn guarded(write: impl FnOnce() -> Result<(), EncodeError>) -> Result<(), EncodeError> {
    let outcome = catch_unwind(AssertUnwindSafe(write));
    outcome.unwrap_or_else(|_| {
        Err(EncodeError::Serialize {
            detail: "its Serialize implementation panicked".into(),
        })
    })
}

/// Arguments that were encoded before, when there was no room: the values, and the number of streams.
pub(crate) struct EncodedArguments {
    pub(crate) values: Arguments,
    pub(crate) streams: usize,
}

impl HubArguments for EncodedArguments {
    fn stream_count(&self) -> usize {
        self.streams
    }

    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        writer.raw(&self.values)
    }
}

impl CallArguments for () {
    fn write(&self, _: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl CallArguments for Arguments {
    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        writer.raw(self)
    }
}

impl<T: HubArgument> CallArguments for Spread<Vec<T>> {
    fn stream_count(&self) -> usize {
        self.0.iter().map(HubArgument::stream_count).sum()
    }

    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        self.0
            .iter()
            .try_for_each(|argument| argument.write(writer))
    }

    fn take_uploads(self, uploads: &mut Vec<Upload>) {
        self.0
            .into_iter()
            .for_each(|argument| argument.take_uploads(uploads));
    }
}

impl<T: HubArgument, const N: usize> CallArguments for Spread<[T; N]> {
    fn stream_count(&self) -> usize {
        self.0.iter().map(HubArgument::stream_count).sum()
    }

    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        self.0
            .iter()
            .try_for_each(|argument| argument.write(writer))
    }

    fn take_uploads(self, uploads: &mut Vec<Upload>) {
        self.0
            .into_iter()
            .for_each(|argument| argument.take_uploads(uploads));
    }
}

impl<T: Encode> CallArguments for Spread<&[T]> {
    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        self.0
            .iter()
            .try_for_each(|argument| writer.value(argument))
    }
}

macro_rules! tuples {
    ((0:) $(($count:literal: $($index:tt $type:ident $marker:ident $value:ident),+))+) => {$(
        impl<$($type: HubArgument),+> CallArguments for ($($type,)+) {
            fn stream_count(&self) -> usize {
                0 $(+ self.$index.stream_count())+
            }

            fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
                $(self.$index.write(writer)?;)+
                Ok(())
            }

            fn take_uploads(self, uploads: &mut Vec<Upload>) {
                $(self.$index.take_uploads(uploads);)+
            }
        }
    )+};
}

signalr_proto::for_each_arity!(tuples);
