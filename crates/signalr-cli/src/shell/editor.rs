//! The prompt: editing, history and completion, in a thread of its own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustyline::completion::Completer;
use rustyline::config::{CompletionType, Config};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::{FileHistory, History as _, SearchDirection};
use rustyline::validate::Validator;
use rustyline::{Context, Editor, ExternalPrinter as _, Helper};
use tokio::sync::mpsc;

use super::command::{Command, NAMES};
use super::input::Input;
use super::methods::Seen;
use crate::failure::Failure;
use crate::hub::events::Prompt;
use crate::hub::token::TokenSource;

const PROMPT: &str = "> ";
const LINES_KEPT: usize = 1000;
const LONGEST_LINE_KEPT: usize = 4096;

/// Begins to read lines. Also gives what prints above the prompt.
///
/// Lines that hold the token are not kept.
pub(crate) fn start(
    seen: &Arc<Mutex<Seen>>,
    secret: TokenSource,
) -> Result<(Prompt, mpsc::UnboundedReceiver<Input>), Failure> {
    let mut editor = editor(Arc::clone(seen)).map_err(unusable)?;
    let mut printer = editor.create_external_printer().map_err(unusable)?;
    let (sender, inputs) = mpsc::unbounded_channel();
    let history = History::open(&mut editor, secret);
    history.teach(&editor, seen);
    std::thread::spawn(move || read_lines(&mut editor, &history, &sender));
    let prompt = Prompt(Box::new(move |text| {
        let sent = printer.print(text.clone());
        sent.map_err(|_| text)
    }));
    Ok((prompt, inputs))
}

fn unusable(error: ReadlineError) -> Failure {
    Failure::failed(format!("cannot use the terminal: {error}"))
}

type LineEditor = Editor<Complete, FileHistory>;

fn editor(seen: Arc<Mutex<Seen>>) -> rustyline::Result<LineEditor> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(LINES_KEPT)?
        .history_ignore_space(true)
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(Complete {
        seen,
        typed: AtomicBool::new(false),
    }));
    Ok(editor)
}

/// Reads until the user leaves. Never waits for who takes the lines, because that one may wait to print.
fn read_lines(editor: &mut LineEditor, history: &History, inputs: &mpsc::UnboundedSender<Input>) {
    let mut interrupted = false;
    loop {
        let input = match editor.readline(PROMPT) {
            Ok(line) => {
                interrupted = false;
                history.add(editor, &line);
                Input::Line(line)
            }
            // Whoever gives up a line does not want to leave yet.
            Err(ReadlineError::Interrupted) if !interrupted || has_typed(editor) => {
                interrupted = true;
                Input::Interrupt
            }
            Err(ReadlineError::Interrupted | ReadlineError::Eof) => Input::Leave,
            Err(error) => Input::Broken(format!("cannot read the terminal: {error}")),
        };
        let last = is_last(&input);
        if inputs.send(input).is_err() || last {
            return;
        }
    }
}

/// Whether the last line held anything when it was given up.
fn has_typed(editor: &LineEditor) -> bool {
    let helper = editor.helper();
    helper.is_some_and(|helper| helper.typed.load(Ordering::Relaxed))
}

/// Whether no prompt must follow.
fn is_last(input: &Input) -> bool {
    match input {
        Input::Line(line) => Command::parse(line) == Ok(Some(Command::Quit)),
        Input::Interrupt => false,
        Input::Leave | Input::Broken(_) => true,
    }
}

/// The lines of earlier sessions, if there is a place for them.
struct History {
    file: Option<PathBuf>,
    secret: TokenSource,
}

impl History {
    fn open(editor: &mut LineEditor, secret: TokenSource) -> Self {
        let file = file().filter(|file| {
            file.parent()
                .is_some_and(|folder| std::fs::create_dir_all(folder).is_ok())
        });
        if let Some(file) = &file {
            // There is none in the first session.
            let _ = editor.load_history(file);
        }
        Self { file, secret }
    }

    fn add(&self, editor: &mut LineEditor, line: &str) {
        if line.len() > LONGEST_LINE_KEPT || self.secret.is_in(line) {
            return;
        }
        // Editing goes on without a history when it cannot be had.
        if let (Ok(true), Some(file)) = (editor.add_history_entry(line), &self.file) {
            let _ = editor.append_history(file);
        }
    }

    /// Completes what was called in earlier sessions.
    fn teach(&self, editor: &LineEditor, seen: &Mutex<Seen>) {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let history = editor.history();
        for index in 0..history.len() {
            let Ok(Some(line)) = history.get(index, SearchDirection::Forward) else {
                return;
            };
            if let Ok(Some(Command::Call(_, call))) = Command::parse(&line.entry) {
                seen.called.add(&call.method);
            }
        }
    }
}

/// The user's folder for such files: what `XDG_STATE_HOME` says, or the usual place.
fn file() -> Option<PathBuf> {
    let variable = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else {
        variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")))
    };
    Some(state?.join("signalr").join("history"))
}

/// Completes commands and methods.
struct Complete {
    seen: Arc<Mutex<Seen>>,
    /// Whether the line holds anything: an interrupted editor does not tell.
    typed: AtomicBool,
}

impl Complete {
    fn candidates(&self, command: Option<&str>, prefix: &str) -> Vec<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let names: Vec<&str> = match command {
            None => NAMES
                .into_iter()
                .filter(|name| name.starts_with(prefix))
                .collect(),
            Some("invoke" | "send" | "stream") => seen.called.starting_with(prefix).collect(),
            Some("on" | "off") => seen.calling.starting_with(prefix).collect(),
            Some(_) => Vec::new(),
        };
        names.into_iter().map(|name| format!("{name} ")).collect()
    }
}

impl Completer for Complete {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let before = line.get(..position).unwrap_or(line);
        let start = before
            .rfind(char::is_whitespace)
            .map_or(0, |space| space.saturating_add(1));
        let (whole, prefix) = before.split_at_checked(start).unwrap_or(("", before));
        let mut words = whole.split_whitespace();
        let command = words.next();
        // After the method come arguments, of which nothing is known.
        let takes_more = matches!(command, None | Some("on" | "off")) || words.next().is_none();
        let candidates = if takes_more {
            self.candidates(command, prefix)
        } else {
            Vec::new()
        };
        Ok((start, candidates))
    }
}

impl Hinter for Complete {
    type Hint = String;

    /// No hint, but this sees each change of the line.
    fn hint(&self, line: &str, _position: usize, _context: &Context<'_>) -> Option<String> {
        self.typed.store(!line.is_empty(), Ordering::Relaxed);
        None
    }
}

impl Highlighter for Complete {}
impl Validator for Complete {}
impl Helper for Complete {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_the_methods_that_fit_them_are_completed() {
        let mut seen = Seen::default();
        seen.called.add("Add");
        seen.called.add("Abort");
        seen.calling.add("Arrived");
        let complete = Complete {
            seen: Arc::new(Mutex::new(seen)),
            typed: AtomicBool::new(false),
        };
        let history = FileHistory::new();
        for (line, start, expected) in [
            ("", 0, &NAMES.map(|name| format!("{name} "))[..]),
            (
                "st",
                0,
                &["start ", "state ", "stop ", "stream "].map(String::from),
            ),
            ("invoke A", 7, &["Abort ", "Add "].map(String::from)),
            ("stream  Ad", 8, &["Add ".into()]),
            ("invoke Add ", 11, &[]),
            ("on Other Ar", 9, &["Arrived ".into()]),
            ("state A", 6, &[]),
        ] {
            let found = complete
                .complete(line, line.len(), &Context::new(&history))
                .unwrap();
            assert_eq!(found, (start, expected.to_vec()), "{line}");
        }
    }
}
