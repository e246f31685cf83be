//! What a client is told when its call is refused or fails: the official server's words.

use bytestring::ByteString;

const STREAMING_FAILED: &str = "An error occurred on the server while streaming results.";
const WRONG_TYPES: &str = "Error binding arguments. Make sure that the types of the provided values match the types of the hub method being invoked.";

/// An application's error, as far as its client may hear of it.
///
/// `Display` is for the application's own eyes: it shows the text, `visible` or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "built by drivers")]
pub struct Failure<'a> {
    /// The name of its type, such as `HubException`.
    pub kind: &'a str,
    /// What went wrong.
    pub text: &'a str,
    /// Whether it is meant for the client. Otherwise only a server with detailed errors tells.
    pub visible: bool,
}

impl<'a> Failure<'a> {
    /// An error meant for the client, under the name that clients know.
    #[must_use]
    pub const fn hub_exception(text: &'a str) -> Self {
        Self {
            kind: "HubException",
            text,
            visible: true,
        }
    }

    const fn invalid_data(text: &'a str) -> Self {
        Self {
            kind: "InvalidDataException",
            text,
            visible: false,
        }
    }

    /// `base` alone, or with the kind and the text behind it when the client may see them
    /// ([SB-18](crate::spec::server_behaviour#sb-18)).
    pub(crate) fn describe(&self, base: &str, detailed: bool) -> String {
        if self.visible || detailed {
            format!("{base} {self}")
        } else {
            base.to_owned()
        }
    }

    /// For a call whose method failed.
    pub(crate) fn of_call(&self, target: &str, detailed: bool) -> String {
        self.describe(&invoking(target), detailed)
    }

    /// For a stream that failed after it had begun.
    pub(crate) fn of_stream(&self, detailed: bool) -> String {
        self.describe(STREAMING_FAILED, detailed)
    }
}

impl core::fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: {}", self.kind, self.text)
    }
}

/// Why a call does not run ([requirements](crate::spec::server_behaviour#calls)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal<'a> {
    /// The hub has no method of that name ([SB-14](crate::spec::server_behaviour#sb-14)).
    NoSuchMethod,
    /// The method takes another number of arguments ([SB-15](crate::spec::server_behaviour#sb-15)).
    ArgumentCount {
        /// Arguments in the call.
        given: usize,
        /// Arguments of the method.
        expected: usize,
    },
    /// An argument does not fit its type ([SB-15](crate::spec::server_behaviour#sb-15)).
    ArgumentTypes,
    /// The user may not call the method ([SB-19](crate::spec::server_behaviour#sb-19)).
    Unauthorized,
    /// The method streams, and the client did not ask for a stream ([SB-20](crate::spec::server_behaviour#sb-20)).
    Streaming,
    /// The method does not stream, and the client asked for a stream ([SB-20](crate::spec::server_behaviour#sb-20)).
    NotStreaming,
    /// The method takes another number of upload streams ([SB-31](crate::spec::server_behaviour#sb-31)).
    UploadCount {
        /// Upload streams of the call.
        given: usize,
        /// Upload streams of the method.
        expected: usize,
    },
    /// The client has as many streams, or unanswered questions in its calls, as it may have at one time.
    TooManyCalls,
    /// Another stream of the client has the same id ([SB-28](crate::spec::server_behaviour#sb-28)).
    InUse {
        /// The id.
        id: ByteString,
    },
    /// The method could not be prepared.
    Failed(Failure<'a>),
}

impl Refusal<'_> {
    /// The words for the client. `target` is the method as the client wrote it.
    #[must_use]
    pub fn text(&self, target: &str, detailed: bool) -> String {
        match self {
            Self::NoSuchMethod => Failure::hub_exception("Method does not exist.")
                .describe(&binding(target), detailed),
            Self::ArgumentCount { given, expected } => Failure::invalid_data(&format!(
                "Invocation provides {given} argument(s) but target expects {expected}."
            ))
            .describe(&binding(target), detailed),
            Self::ArgumentTypes => {
                Failure::invalid_data(WRONG_TYPES).describe(&binding(target), detailed)
            }
            Self::Unauthorized => {
                format!("Failed to invoke '{target}' because user is unauthorized")
            }
            Self::Streaming => format!(
                "The client attempted to invoke the streaming '{target}' method with a non-streaming invocation."
            ),
            Self::NotStreaming => format!(
                "The client attempted to invoke the non-streaming '{target}' method with a streaming invocation."
            ),
            Self::UploadCount { given, expected } => Failure::hub_exception(&format!(
                "Client sent {given} stream(s), Hub method expects {expected}."
            ))
            .of_call(target, detailed),
            Self::TooManyCalls => {
                Failure::hub_exception("Too many streams.").of_call(target, detailed)
            }
            Self::InUse { id } => format!("Invocation ID '{id}' is already in use."),
            Self::Failed(failure) => failure.describe(&binding(target), detailed),
        }
    }
}

fn binding(target: &str) -> String {
    format!("Failed to invoke '{target}' due to an error on the server.")
}

fn invoking(target: &str) -> String {
    format!("An unexpected error occurred invoking '{target}' on the server.")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINDING: &str = "Failed to invoke 'Add' due to an error on the server.";
    const INVOKING: &str = "An unexpected error occurred invoking 'Add' on the server.";

    fn check(refusal: &Refusal<'_>, plain: &str, detail: &str) {
        assert_eq!(refusal.text("Add", false), plain, "{refusal:?}");
        assert_eq!(
            refusal.text("Add", true),
            format!("{plain}{detail}"),
            "{refusal:?}"
        );
    }

    #[test]
    fn refusals_have_the_official_servers_words() {
        check(
            &Refusal::NoSuchMethod,
            &format!("{BINDING} HubException: Method does not exist."),
            "",
        );
        check(
            &Refusal::Unauthorized,
            "Failed to invoke 'Add' because user is unauthorized",
            "",
        );
        check(
            &Refusal::Streaming,
            "The client attempted to invoke the streaming 'Add' method with a non-streaming invocation.",
            "",
        );
        check(
            &Refusal::NotStreaming,
            "The client attempted to invoke the non-streaming 'Add' method with a streaming invocation.",
            "",
        );
        check(
            &Refusal::UploadCount {
                given: 0,
                expected: 2,
            },
            &format!("{INVOKING} HubException: Client sent 0 stream(s), Hub method expects 2."),
            "",
        );
        check(
            &Refusal::TooManyCalls,
            &format!("{INVOKING} HubException: Too many streams."),
            "",
        );
        check(
            &Refusal::InUse { id: "7".into() },
            "Invocation ID '7' is already in use.",
            "",
        );
    }

    #[test]
    fn what_is_wrong_with_arguments_is_told_only_in_detail() {
        check(
            &Refusal::ArgumentCount {
                given: 3,
                expected: 2,
            },
            BINDING,
            " InvalidDataException: Invocation provides 3 argument(s) but target expects 2.",
        );
        check(
            &Refusal::ArgumentTypes,
            BINDING,
            &format!(" InvalidDataException: {WRONG_TYPES}"),
        );
    }

    #[test]
    fn a_failure_is_told_when_it_is_meant_for_the_client_or_errors_are_detailed() {
        let hidden = Failure {
            kind: "ParseIntError",
            text: "invalid digit",
            visible: false,
        };
        check(
            &Refusal::Failed(hidden),
            BINDING,
            " ParseIntError: invalid digit",
        );
        assert_eq!(hidden.of_call("Add", false), INVOKING);
        assert_eq!(
            hidden.of_call("Add", true),
            format!("{INVOKING} ParseIntError: invalid digit")
        );
        let meant = Failure::hub_exception("no");
        check(
            &Refusal::Failed(meant),
            &format!("{BINDING} HubException: no"),
            "",
        );
        assert_eq!(
            meant.of_stream(false),
            "An error occurred on the server while streaming results. HubException: no"
        );
        assert_eq!(
            meant.describe("Connection closed with an error.", false),
            "Connection closed with an error. HubException: no"
        );
    }

    #[test]
    fn targets_are_echoed_as_the_client_wrote_them() {
        assert_eq!(
            Refusal::Unauthorized.text("aDD'", false),
            "Failed to invoke 'aDD'' because user is unauthorized"
        );
    }
}
