//! What happens, printed for people or as one JSON object per line.

use std::cell::RefCell;
use std::io::{self, Write};
use std::time::Duration;

use super::pretty::pretty;
use crate::cli::Output;
use crate::failure::Failure;
use crate::style::{Style, printable};
use crate::value::put_string;

/// Something to print. Values are JSON texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Connected {
        id: Option<String>,
        transport: Option<&'static str>,
    },
    Invocation {
        target: String,
        arguments: String,
    },
    Item(String),
    Result(String),
    /// The end of a stream, where more may follow it.
    StreamEnded {
        items: u64,
    },
    /// The state of the connection, for who asked.
    State {
        state: &'static str,
        id: Option<String>,
        transport: Option<&'static str>,
    },
    /// A failure. For people it goes to standard error when the program ends.
    Error(String),
    Reconnecting {
        error: Option<String>,
    },
    /// The WebSocket of a stateful connection broke, and the connection goes on.
    Resuming {
        error: String,
    },
    Resumed,
    /// An attempt failed, the first or one to connect again, and another will be made.
    Retrying {
        error: String,
        delay: Duration,
        attempt: u32,
    },
    /// A transport did not start, and the next is tried.
    Fallback {
        from: &'static str,
        to: &'static str,
        error: String,
    },
    Reconnected {
        id: Option<String>,
    },
    Closed {
        error: Option<String>,
    },
}

/// Prints events.
#[derive(Debug)]
pub(crate) struct Printer {
    output: Output,
    /// Whether news of the connection itself is of interest to people.
    chatty: bool,
    style: Style,
    notes: Style,
    prompt: RefCell<Option<Prompt>>,
}

/// Prints above a prompt that is being edited. Gives the text back when there is no prompt any more.
pub(crate) struct Prompt(pub(crate) Box<dyn FnMut(String) -> Result<(), String>>);

impl std::fmt::Debug for Prompt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prompt")
    }
}

impl Printer {
    pub(crate) fn new(output: Output, chatty: bool) -> Self {
        Self {
            output,
            chatty,
            style: Style::of_stdout(),
            notes: Style::of_stderr(),
            prompt: RefCell::new(None),
        }
    }

    pub(crate) const fn output(&self) -> Output {
        self.output
    }

    /// Prints above this prompt from now on, if there is one.
    pub(crate) fn set_prompt(&self, prompt: Option<Prompt>) {
        *self.prompt.borrow_mut() = prompt;
    }

    pub(crate) fn print(&self, event: &Event) -> Result<(), Failure> {
        match self.output {
            Output::Json => self.line(json(event)),
            Output::Pretty => self.print_pretty(event),
        }
    }

    /// Says what went wrong where the program goes on after it.
    pub(crate) fn complain(&self, message: &str) -> Result<(), Failure> {
        match self.output {
            Output::Json => self.print(&Event::Error(message.to_owned())),
            Output::Pretty => {
                self.remark(&self.notes.red(&printable(message)));
                Ok(())
            }
        }
    }

    /// Says that the connection is gone where the program goes on after it. JSON output has an event for that.
    pub(crate) fn lost(&self, error: &str) -> Result<(), Failure> {
        match self.output {
            Output::Json => Ok(()),
            Output::Pretty => self.complain(&format!("connection lost: {error}")),
        }
    }

    /// Text for people, which is left out of JSON output.
    pub(crate) fn help(&self, text: &str) -> Result<(), Failure> {
        match self.output {
            Output::Json => Ok(()),
            Output::Pretty => self.line(text.as_bytes().to_vec()),
        }
    }

    fn print_pretty(&self, event: &Event) -> Result<(), Failure> {
        match event {
            Event::Invocation { target, arguments } => {
                let list = arguments
                    .strip_prefix('[')
                    .and_then(|rest| rest.strip_suffix(']'))
                    .unwrap_or(arguments);
                let shown = if list.len() > 80 {
                    pretty(arguments)
                } else {
                    list.to_owned()
                };
                let target = self.style.bold(&printable(target));
                self.line(format!("{target}({})", printable(&shown)).into_bytes())
            }
            Event::Item(value) | Event::Result(value) => {
                self.line(printable(&pretty(value)).into_owned().into_bytes())
            }
            Event::StreamEnded { items } => self.note(&format!(
                "{items} item{}",
                if *items == 1 { "" } else { "s" }
            )),
            Event::State {
                state,
                id,
                transport,
            } => {
                let described = described(state, id.as_deref(), *transport);
                self.line(printable(&described).into_owned().into_bytes())
            }
            Event::Connected { id, transport } => {
                self.news(&described("connected", id.as_deref(), *transport))
            }
            Event::Resuming { error } => {
                self.news(&format!("the WebSocket broke, making another: {error}"))
            }
            Event::Resumed => self.news("the connection goes on, and nothing was lost"),
            Event::Reconnected { id } => {
                self.note(&format!("connected again{}", with_id(id.as_deref())))
            }
            Event::Reconnecting { error } => self.note(&format!(
                "connection lost, trying again{}",
                because(error.as_deref())
            )),
            Event::Retrying {
                error,
                delay,
                attempt,
            } => self.note(&format!(
                "not connected, attempt {attempt} in {} seconds: {error}",
                delay.as_secs_f64().round()
            )),
            Event::Fallback { from, to, error } => {
                self.news(&format!("{from} did not start, trying {to}: {error}"))
            }
            Event::Closed { error: None } => self.news("connection closed"),
            // The program ends with this message.
            Event::Closed { error: Some(_) } | Event::Error(_) => Ok(()),
        }
    }

    fn news(&self, text: &str) -> Result<(), Failure> {
        if self.chatty { self.note(text) } else { Ok(()) }
    }

    /// A remark beside the output proper.
    #[expect(clippy::unnecessary_wraps, reason = "the other ways to print can fail")]
    pub(crate) fn note(&self, text: &str) -> Result<(), Failure> {
        self.remark(&self.notes.dim(&printable(text)));
        Ok(())
    }

    fn remark(&self, text: &str) {
        if let Some(text) = self.above_prompt(format!("{text}\n")) {
            let _ = io::stderr().lock().write_all(text.as_bytes());
        }
    }

    fn line(&self, mut line: Vec<u8>) -> Result<(), Failure> {
        line.push(b'\n');
        let text = String::from_utf8(line)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        match self.above_prompt(text) {
            None => Ok(()),
            Some(text) => print_text(text.as_bytes()),
        }
    }

    /// The text, if it is still to be printed.
    fn above_prompt(&self, text: String) -> Option<String> {
        match self.prompt.borrow_mut().as_mut() {
            None => Some(text),
            Some(Prompt(print)) => print(text).err(),
        }
    }
}

fn described(state: &str, id: Option<&str>, transport: Option<&str>) -> String {
    let over = transport.map_or_else(String::new, |name| format!(" over {name}"));
    format!("{state}{}{over}", with_id(id))
}

fn with_id(id: Option<&str>) -> String {
    id.map_or_else(String::new, |id| format!(" as {id}"))
}

fn because(error: Option<&str>) -> String {
    error.map_or_else(String::new, |error| format!(": {error}"))
}

fn print_text(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()?;
    Ok(())
}

/// Prints one object with these members, which are JSON but for the braces.
pub(crate) fn print_members(members: &[u8]) -> Result<(), Failure> {
    let mut line = b"{".to_vec();
    line.extend(members);
    line.extend(b"}\n");
    print_text(&line)
}

fn json(event: &Event) -> Vec<u8> {
    let mut line = b"{\"event\":".to_vec();
    match event {
        Event::Connected { id, transport } => named(
            &mut line,
            "connected",
            &[
                ("connectionId", Member::Text(id.as_deref())),
                ("transport", Member::Optional(*transport)),
            ],
        ),
        Event::Resuming { error } => {
            named(
                &mut line,
                "resuming",
                &[("error", Member::Text(Some(error)))],
            );
        }
        Event::Resumed => named(&mut line, "resumed", &[]),
        Event::Invocation { target, arguments } => {
            named(
                &mut line,
                "invocation",
                &[
                    ("target", Member::Text(Some(target))),
                    ("arguments", Member::Json(arguments)),
                ],
            );
        }
        Event::Item(value) => named(&mut line, "item", &[("item", Member::Json(value))]),
        Event::Result(value) => named(&mut line, "result", &[("result", Member::Json(value))]),
        Event::StreamEnded { items } => named(
            &mut line,
            "streamEnded",
            &[("items", Member::Json(&items.to_string()))],
        ),
        Event::State {
            state,
            id,
            transport,
        } => named(
            &mut line,
            "state",
            &[
                ("state", Member::Text(Some(state))),
                ("connectionId", Member::Text(id.as_deref())),
                ("transport", Member::Optional(*transport)),
            ],
        ),
        Event::Error(message) => named(
            &mut line,
            "error",
            &[("message", Member::Text(Some(message)))],
        ),
        Event::Reconnecting { error } => named(
            &mut line,
            "reconnecting",
            &[("error", Member::Optional(error.as_deref()))],
        ),
        Event::Retrying {
            error,
            delay,
            attempt,
        } => named(
            &mut line,
            "retrying",
            &[
                ("error", Member::Text(Some(error))),
                (
                    "delaySeconds",
                    Member::Json(&delay.as_secs_f64().to_string()),
                ),
                ("attempt", Member::Json(&attempt.to_string())),
            ],
        ),
        Event::Fallback { from, to, error } => named(
            &mut line,
            "fallback",
            &[
                ("from", Member::Text(Some(from))),
                ("to", Member::Text(Some(to))),
                ("error", Member::Text(Some(error))),
            ],
        ),
        Event::Reconnected { id } => named(
            &mut line,
            "reconnected",
            &[("connectionId", Member::Text(id.as_deref()))],
        ),
        Event::Closed { error } => named(
            &mut line,
            "closed",
            &[("error", Member::Optional(error.as_deref()))],
        ),
    }
    line.push(b'}');
    line
}

enum Member<'a> {
    Json(&'a str),
    /// Null when there is none.
    Text(Option<&'a str>),
    /// Left out when there is none.
    Optional(Option<&'a str>),
}

fn named(line: &mut Vec<u8>, name: &str, members: &[(&str, Member<'_>)]) {
    put_string(line, name);
    for (member, value) in members {
        if matches!(value, Member::Optional(None)) {
            continue;
        }
        line.push(b',');
        put_string(line, member);
        line.push(b':');
        match value {
            Member::Json(text) => line.extend(text.as_bytes()),
            Member::Text(Some(text)) | Member::Optional(Some(text)) => put_string(line, text),
            Member::Text(None) | Member::Optional(None) => line.extend(b"null"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_json_objects_with_their_members_in_order() {
        let line = |event| String::from_utf8(json(&event)).unwrap();
        assert_eq!(
            line(Event::Connected {
                id: None,
                transport: None
            }),
            r#"{"event":"connected","connectionId":null}"#
        );
        assert_eq!(line(Event::Closed { error: None }), r#"{"event":"closed"}"#);
        assert_eq!(
            line(Event::Reconnecting {
                error: Some("a\"b".into())
            }),
            r#"{"event":"reconnecting","error":"a\"b"}"#
        );
        let invocation = Event::Invocation {
            target: "T".into(),
            arguments: "[1]".into(),
        };
        assert_eq!(
            line(invocation),
            r#"{"event":"invocation","target":"T","arguments":[1]}"#
        );
    }
}
