//! What a line asks for.

use std::time::Duration;

use super::words::{self, Word};

/// The names of all commands, in the order of the alphabet.
pub(crate) const NAMES: [&str; 11] = [
    "help", "invoke", "off", "on", "quit", "send", "start", "state", "stop", "stream", "wait",
];

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Call(CallKind, MethodCall),
    /// Print calls of these methods only, or of all.
    On(Vec<String>),
    /// Do not print calls of these methods, or of any.
    Off(Vec<String>),
    State,
    Start,
    Stop,
    Wait(Duration),
    Help,
    Quit,
}

/// How a method is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallKind {
    Invoke,
    Send,
    Stream,
}

/// A method with its arguments as they were typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MethodCall {
    pub(crate) method: String,
    pub(crate) arguments: Vec<String>,
}

impl Command {
    /// Reads a line; nothing for a blank one and for a comment.
    pub(crate) fn parse(line: &str) -> Result<Option<Self>, String> {
        if line.trim_start().starts_with('#') {
            return Ok(None);
        }
        let mut words = words::split(line)?.into_iter();
        let Some(name) = words.next() else {
            return Ok(None);
        };
        let rest: Vec<Word> = words.collect();
        Self::named(&name.text, rest).map(Some)
    }

    fn named(name: &str, words: Vec<Word>) -> Result<Self, String> {
        match name {
            "invoke" => call(CallKind::Invoke, name, words),
            "send" => call(CallKind::Send, name, words),
            "stream" => call(CallKind::Stream, name, words),
            "on" => Ok(Self::On(names(words))),
            "off" => Ok(Self::Off(names(words))),
            "wait" => wait(&words),
            "state" => alone(Self::State, name, &words),
            "start" => alone(Self::Start, name, &words),
            "stop" => alone(Self::Stop, name, &words),
            "help" | "?" => Ok(Self::Help),
            "quit" | "exit" => alone(Self::Quit, name, &words),
            _ => Err(format!(
                "there is no command '{name}': to call a method of the hub, type invoke {name} …; help lists the commands"
            )),
        }
    }
}

fn call(kind: CallKind, name: &str, words: Vec<Word>) -> Result<Command, String> {
    let mut words = words.into_iter();
    let method = words
        .next()
        .map(method)
        .filter(|method| !method.is_empty())
        .ok_or_else(|| format!("{name} needs the name of a method"))?;
    let arguments = words.map(argument).collect::<Result<_, _>>()?;
    Ok(Command::Call(kind, MethodCall { method, arguments }))
}

fn argument(word: Word) -> Result<String, String> {
    if word.text == "-" && !word.quoted {
        return Err("the standard input holds the commands, so - is no argument here".to_owned());
    }
    Ok(word.text)
}

/// The name of a method, which may be written as a JSON string.
fn method(word: Word) -> String {
    serde_json::from_str(&word.text).unwrap_or(word.text)
}

fn names(words: Vec<Word>) -> Vec<String> {
    words.into_iter().map(method).collect()
}

fn alone(command: Command, name: &str, words: &[Word]) -> Result<Command, String> {
    if words.is_empty() {
        return Ok(command);
    }
    Err(format!("{name} takes no arguments"))
}

fn wait(words: &[Word]) -> Result<Command, String> {
    let seconds = match words {
        [word] => word.text.parse().ok(),
        _ => None,
    };
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .map(Command::Wait)
        .ok_or_else(|| "wait needs a number of seconds, such as 2 or 0.5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_command() {
        for name in NAMES {
            if let Err(error) = Command::parse(name) {
                assert!(error.starts_with(&format!("{name} needs ")), "{error}");
            }
        }
    }

    #[test]
    fn calls_have_a_method_and_arguments() {
        let called = |method: &str, arguments: &[&str]| MethodCall {
            method: method.to_owned(),
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
        };
        for (line, kind, call) in [
            (
                "invoke Add 1 -2",
                CallKind::Invoke,
                called("Add", &["1", "-2"]),
            ),
            (
                " send 'My Method' {}",
                CallKind::Send,
                called("My Method", &["{}"]),
            ),
            (
                "stream \"A\" [1, 2]",
                CallKind::Stream,
                called("A", &["[1, 2]"]),
            ),
        ] {
            assert_eq!(
                Command::parse(line),
                Ok(Some(Command::Call(kind, call))),
                "{line}"
            );
        }
        for wrong in [
            "invoke",
            "invoke ''",
            "invoke A -",
            "state x",
            "nonsense",
            "wait",
            "wait -1",
            "wait 1 2",
        ] {
            assert!(Command::parse(wrong).is_err(), "{wrong}");
        }
        let mistake = Command::parse("Add 1 2").unwrap_err();
        assert!(mistake.contains("type invoke Add …"), "{mistake}");
        assert!(Command::parse("invoke A '@x").is_err());
        assert_eq!(Command::parse(" # invoke"), Ok(None));
        assert_eq!(Command::parse("  "), Ok(None));
    }
}
