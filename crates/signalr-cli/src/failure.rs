//! How the program ends.

use std::borrow::Cow;
use std::error::Error;
use std::io;
use std::process::ExitCode;

/// Why a command did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The call, the connection or the input was at fault. Exit code 1.
    Failed(Cow<'static, str>),
    /// What was asked for makes no sense. Exit code 2.
    Usage(Cow<'static, str>),
    /// Ctrl-C, after a clean stop. Exit code 130.
    Interrupted,
    /// Nobody reads what is printed any more, as in `| head`. No message, exit code 0.
    BrokenPipe,
}

impl Failure {
    pub(crate) fn failed(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Failed(text.into())
    }

    pub(crate) fn usage(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Usage(text.into())
    }

    /// What to say on standard error.
    pub(crate) fn message(&self) -> Option<&str> {
        match self {
            Self::Failed(text) | Self::Usage(text) => Some(text),
            Self::Interrupted | Self::BrokenPipe => None,
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
            Self::Interrupted => ExitCode::from(130),
            Self::BrokenPipe => ExitCode::SUCCESS,
        }
    }
}

/// An error with its causes: those it does not tell by itself.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Failures of writing to standard output, the only stream for which `?` is used on an `io::Error`.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::BrokenPipe;
        }
        Self::failed(format!("cannot write to standard output: {error}"))
    }
}
