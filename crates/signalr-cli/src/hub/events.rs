//! What happens, printed for people or as one JSON object per line.

use std::io::{self, Write};

use super::pretty::pretty;
use crate::cli::Output;
use crate::failure::Failure;
use crate::style::Style;
use crate::value::put_string;

/// Something to print. Values are JSON texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Connected {
        id: Option<String>,
    },
    Invocation {
        target: String,
        arguments: String,
    },
    Item(String),
    Result(String),
    /// A failure. For people it goes to standard error when the program ends.
    Error(String),
    Reconnecting {
        error: Option<String>,
    },
    Reconnected {
        id: Option<String>,
    },
    Closed {
        error: Option<String>,
    },
}

/// Prints events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    output: Output,
    /// Whether news of the connection itself is of interest to people.
    chatty: bool,
    style: Style,
}

impl Printer {
    pub(crate) fn new(output: Output, chatty: bool) -> Self {
        Self {
            output,
            chatty,
            style: Style::of_stdout(),
        }
    }

    pub(crate) fn print(&self, event: &Event) -> Result<(), Failure> {
        match self.output {
            Output::Json => print_line(&json(event)),
            Output::Pretty => self.print_pretty(event),
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
                print_line(format!("{}({shown})", self.style.bold(target)).as_bytes())
            }
            Event::Item(value) | Event::Result(value) => print_line(pretty(value).as_bytes()),
            Event::Connected { id } => self.news(&format!("connected{}", with_id(id.as_deref()))),
            Event::Reconnected { id } => {
                self.note(&format!("connected again{}", with_id(id.as_deref())))
            }
            Event::Reconnecting { error } => self.note(&format!(
                "connection lost, trying again{}",
                because(error.as_deref())
            )),
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
    fn note(&self, text: &str) -> Result<(), Failure> {
        let _ = writeln!(io::stderr().lock(), "{}", Style::of_stderr().dim(text));
        Ok(())
    }
}

fn with_id(id: Option<&str>) -> String {
    id.map_or_else(String::new, |id| format!(" as {id}"))
}

fn because(error: Option<&str>) -> String {
    error.map_or_else(String::new, |error| format!(": {error}"))
}

fn print_line(line: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(line)?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}

/// Prints one object with these members, which are JSON but for the braces.
pub(crate) fn print_members(members: &[u8]) -> Result<(), Failure> {
    let mut line = b"{".to_vec();
    line.extend(members);
    line.push(b'}');
    print_line(&line)
}

fn json(event: &Event) -> Vec<u8> {
    let mut line = b"{\"event\":".to_vec();
    match event {
        Event::Connected { id } => named(
            &mut line,
            "connected",
            &[("connectionId", Member::Text(id.as_deref()))],
        ),
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
            line(Event::Connected { id: None }),
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
