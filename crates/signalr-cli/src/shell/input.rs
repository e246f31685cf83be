//! Where commands come from.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read as _};

use tokio::sync::mpsc;

use crate::hub::session::interrupted;
use crate::input::skip_mark;

/// Longer lines are not read.
const LONGEST_LINE: u64 = 16 << 20;

/// Something that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Line(String),
    /// Ctrl-C at the prompt.
    Interrupt,
    /// Ctrl-C again, or Ctrl-D: at once.
    Leave,
    /// The input cannot be read.
    Broken(String),
}

/// The commands of a session, in order.
#[derive(Debug)]
pub(crate) enum Commands {
    /// What somebody types, who may be ahead of us.
    Typed {
        inputs: mpsc::UnboundedReceiver<Input>,
        waiting: VecDeque<String>,
    },
    /// The lines of a pipe, read as they are needed.
    Piped(mpsc::Receiver<Input>),
}

impl Commands {
    pub(crate) const fn typed(inputs: mpsc::UnboundedReceiver<Input>) -> Self {
        Self::Typed {
            inputs,
            waiting: VecDeque::new(),
        }
    }

    /// Reads standard input, line by line.
    pub(crate) fn piped() -> Self {
        let (sender, receiver) = mpsc::channel(1);
        // Reading blocks, and nothing ends it but the end of the input: so this thread may outlive its use.
        std::thread::spawn(move || {
            let input = skip_mark(std::io::stdin().lock());
            let mut input = match input {
                Ok(input) => BufReader::new(input),
                Err(error) => {
                    // Nobody waits for it when this fails.
                    let _ = sender.blocking_send(unreadable(&error));
                    return;
                }
            };
            while let Some(next) = read_line(&mut input) {
                if sender.blocking_send(next).is_err() {
                    return;
                }
            }
        });
        Self::Piped(receiver)
    }

    pub(crate) const fn is_piped(&self) -> bool {
        matches!(self, Self::Piped(_))
    }

    /// The next input; nothing after the last.
    pub(crate) async fn next(&mut self) -> Option<Input> {
        match self {
            Self::Piped(inputs) => inputs.recv().await,
            Self::Typed { inputs, waiting } => match waiting.pop_front() {
                Some(line) => Some(Input::Line(line)),
                None => next_typed(inputs).await,
            },
        }
    }

    /// Ends when what runs now is to be cancelled, and tells whether the session is to end, too.
    pub(crate) async fn cancelled(&mut self) -> bool {
        let Self::Typed { inputs, waiting } = self else {
            return std::future::pending().await;
        };
        loop {
            match next_typed(inputs).await {
                Some(Input::Line(line)) => waiting.push_back(line),
                Some(Input::Interrupt) => {
                    // Who types ahead and changes his mind means all of it.
                    waiting.clear();
                    return false;
                }
                Some(Input::Leave | Input::Broken(_)) | None => return true,
            }
        }
    }
}

/// What was typed, or a Ctrl-C that came between two prompts, when it is a signal and no key.
async fn next_typed(inputs: &mut mpsc::UnboundedReceiver<Input>) -> Option<Input> {
    tokio::select! {
        biased;
        input = inputs.recv() => input,
        () = interrupted() => Some(Input::Interrupt),
    }
}

fn read_line(input: &mut impl BufRead) -> Option<Input> {
    let mut line = Vec::new();
    match input.take(LONGEST_LINE).read_until(b'\n', &mut line) {
        Ok(0) => None,
        Ok(length) if length as u64 == LONGEST_LINE => {
            Some(Input::Broken("a line is longer than 16 MiB".to_owned()))
        }
        Ok(_) => Some(match String::from_utf8(line) {
            Ok(line) => Input::Line(line),
            Err(_) => Input::Broken("a line is not UTF-8 text".to_owned()),
        }),
        Err(error) => Some(unreadable(&error)),
    }
}

fn unreadable(error: &std::io::Error) -> Input {
    Input::Broken(format!("cannot read the input: {error}"))
}
