//! Options of the command line: `--name value` and `--name`.

use std::str::FromStr;
use std::time::Duration;

use crate::Failure;

/// What was given and not yet asked for.
#[derive(Debug)]
pub struct Options {
    words: Vec<String>,
}

impl Options {
    /// Of these words.
    #[must_use]
    pub const fn new(words: Vec<String>) -> Self {
        Self { words }
    }

    /// The first word, if it is no option.
    pub fn command(&mut self) -> Option<String> {
        let is_command = self
            .words
            .first()
            .is_some_and(|word| !word.starts_with("--"));
        is_command.then(|| self.words.remove(0))
    }

    /// Whether this stands there.
    pub fn flag(&mut self, name: &str) -> bool {
        let at = self.words.iter().position(|word| word == name);
        at.map(|at| self.words.remove(at)).is_some()
    }

    /// The text behind this name.
    ///
    /// # Errors
    /// When the name is the last word.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, Failure> {
        let Some(at) = self.words.iter().position(|word| word == name) else {
            return Ok(None);
        };
        if at + 1 >= self.words.len() {
            return Err(format!("{name} wants a value").into());
        }
        self.words.remove(at);
        Ok(Some(self.words.remove(at)))
    }

    /// The value behind this name.
    ///
    /// # Errors
    /// When it is none of that kind.
    pub fn value<T: FromStr>(&mut self, name: &str, default: T) -> Result<T, Failure> {
        match self.text(name)? {
            None => Ok(default),
            Some(text) => text
                .parse()
                .map_err(|_| format!("{name} cannot be {text}").into()),
        }
    }

    /// The time behind this name, in seconds.
    ///
    /// # Errors
    /// When it is no number.
    pub fn seconds(&mut self, name: &str, default: f64) -> Result<Duration, Failure> {
        Ok(Duration::try_from_secs_f64(self.value(name, default)?)?)
    }

    /// The words of the command behind this name.
    ///
    /// # Errors
    /// When the name is the last word.
    pub fn words(&mut self, name: &str) -> Result<Option<Vec<String>>, Failure> {
        let text = self.text(name)?;
        Ok(text.map(|text| text.split_whitespace().map(str::to_owned).collect()))
    }

    /// That nothing is left.
    ///
    /// # Errors
    /// When something is.
    pub fn finish(self) -> Result<(), Failure> {
        match self.words.first() {
            None => Ok(()),
            Some(word) => Err(format!("{word} means nothing here").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &str) -> Options {
        Options::new(words.split(' ').map(str::to_owned).collect())
    }

    #[test]
    fn options_are_taken_in_any_order_and_strangers_are_reported() {
        let mut some = options("echo --calls 5 --check --what");
        assert_eq!(some.command().as_deref(), Some("echo"));
        assert!(some.flag("--check") && !some.flag("--check"));
        assert_eq!(some.value("--calls", 1).unwrap(), 5);
        assert_eq!(some.value("--rounds", 3).unwrap(), 3);
        assert!(some.finish().is_err());
        assert!(options("--calls").value("--calls", 1).is_err());
        assert!(options("--calls many").value("--calls", 1).is_err());
    }
}
