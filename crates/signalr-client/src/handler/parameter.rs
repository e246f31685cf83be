//! What a handler's parameters are made of.

use std::sync::Weak;

use serde::de::DeserializeOwned;
use signalr_proto::codec::ArgumentReader;
use signalr_proto::{Arguments, Payload, PayloadError};

use super::form;
use crate::shared::Shared;

/// What handlers' parameters are made of.
pub struct Incoming<'a> {
    arguments: &'a Arguments,
    reader: Option<ArgumentReader<'a>>,
    connection: &'a Weak<Shared>,
}

impl core::fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Incoming")
            .field("arguments", &self.arguments)
            .finish_non_exhaustive()
    }
}

impl<'a> Incoming<'a> {
    /// `count` is None for handlers that take the list whole.
    pub(super) fn new(
        arguments: &'a Arguments,
        connection: &'a Weak<Shared>,
        count: Option<usize>,
    ) -> Result<Self, PayloadError> {
        let reader = count.map(|count| ArgumentReader::new(arguments, count));
        Ok(Self {
            arguments,
            reader: reader.transpose()?,
            connection,
        })
    }

    /// The connection that was called.
    pub(crate) const fn connection(&self) -> &'a Weak<Shared> {
        self.connection
    }

    fn reader(&mut self) -> Result<&mut ArgumentReader<'a>, PayloadError> {
        if self.reader.is_none() {
            let count = self.arguments.len()?;
            self.reader = Some(ArgumentReader::new(self.arguments, count)?);
        }
        self.reader
            .as_mut()
            .ok_or_else(|| PayloadError::new("missing argument"))
    }
}

/// A parameter of a [`Handler`](crate::Handler): an argument (anything that serde can deserialize, or a raw [`Payload`]), all of them
/// ([`Arguments`]), or the connection that was called ([`WeakHubConnection`](crate::WeakHubConnection)), which is not sent.
///
/// `M` tells the kinds apart and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a handler",
    label = "not a parameter",
    note = "a parameter is deserializable (`serde::Deserialize`, owned: `String`, not `&str`), a `Payload`, `Arguments` or a `WeakHubConnection`"
)]
pub trait Parameter<M>: Sized {
    /// Arguments it takes from the list; None for all of them, however many.
    const ARGUMENTS: Option<usize>;

    /// Makes the parameter.
    ///
    /// # Errors
    /// When an argument does not fit.
    fn take(incoming: &mut Incoming<'_>) -> Result<Self, PayloadError>;
}

impl<T: DeserializeOwned> Parameter<form::Value> for T {
    const ARGUMENTS: Option<usize> = Some(1);

    fn take(incoming: &mut Incoming<'_>) -> Result<Self, PayloadError> {
        incoming.reader()?.value()
    }
}

impl Parameter<form::Raw> for Payload {
    const ARGUMENTS: Option<usize> = Some(1);

    fn take(incoming: &mut Incoming<'_>) -> Result<Self, PayloadError> {
        incoming.reader()?.payload()
    }
}

impl Parameter<form::Raw> for Arguments {
    const ARGUMENTS: Option<usize> = None;

    fn take(incoming: &mut Incoming<'_>) -> Result<Self, PayloadError> {
        Ok(incoming.arguments.clone())
    }
}

/// How many arguments all of them take together.
pub(super) const fn plus(left: Option<usize>, right: Option<usize>) -> Option<usize> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.saturating_add(right)),
        _ => None,
    }
}

macro_rules! not_lists {
    ($(($count:literal: $($index:tt $type:ident $marker:ident $value:ident),*))+) => {$(
        #[diagnostic::do_not_recommend]
        impl<$($type: DeserializeOwned),*> Parameter<form::WriteParametersInsteadOfOneTuple> for ($($type,)*) {
            const ARGUMENTS: Option<usize> = Some(1);

            fn take(incoming: &mut Incoming<'_>) -> Result<Self, PayloadError> {
                incoming.reader()?.value()
            }
        }
    )+};
}

signalr_proto::for_each_arity!(not_lists);
