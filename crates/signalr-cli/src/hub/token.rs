//! Where the access token comes from.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cli::ServerOptions;
use crate::failure::Failure;
use crate::input;

const TOKEN_VARIABLE: &str = "SIGNALR_TOKEN";
/// Tokens that are remembered, so that none of them gets into a history of commands.
const MOST_REMEMBERED: usize = 16;

/// The token of the command line or the environment, which stays, or a file, which is read whenever a token is wanted: whoever
/// logs in writes a new one into it now and then.
#[derive(Clone)]
pub(crate) struct TokenSource(Arc<Source>);

enum Source {
    None,
    Fixed(String),
    File {
        path: PathBuf,
        /// What was read, the latest last.
        seen: Mutex<VecDeque<String>>,
    },
}

impl TokenSource {
    /// The source nearest to the command line. A file is read once, so that a mistake is told before anything else.
    pub(crate) fn of(server: &ServerOptions) -> Result<Self, Failure> {
        let source = match (&server.token, &server.token_file) {
            (Some(token), _) => fixed(token).map_err(Failure::usage)?,
            (None, Some(file)) => {
                let token = read(file).map_err(Failure::usage)?;
                // A pipe, as of `<(command)`, cannot be read again.
                if file.is_file() {
                    Source::File {
                        path: file.clone(),
                        seen: Mutex::new(VecDeque::from([token])),
                    }
                } else {
                    Source::Fixed(token)
                }
            }
            (None, None) => {
                fixed(&std::env::var(TOKEN_VARIABLE).unwrap_or_default()).map_err(Failure::usage)?
            }
        };
        Ok(Self(Arc::new(source)))
    }

    /// No token at all.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self(Arc::new(Source::None))
    }

    /// Whether there is any.
    pub(crate) fn is_some(&self) -> bool {
        !matches!(*self.0, Source::None)
    }

    /// The token as it is now.
    pub(crate) fn now(&self) -> Result<Option<String>, String> {
        match &*self.0 {
            Source::None => Ok(None),
            Source::Fixed(token) => Ok(Some(token.clone())),
            Source::File { path, seen } => {
                let token = read(path)?;
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                if seen.back() != Some(&token) {
                    seen.push_back(token.clone());
                }
                while seen.len() > MOST_REMEMBERED {
                    seen.pop_front();
                }
                Ok(Some(token))
            }
        }
    }

    /// Whether the file holds another token than the one that was read last.
    pub(crate) fn is_renewed(&self) -> bool {
        let Source::File { path, seen } = &*self.0 else {
            return false;
        };
        let token = read(path).ok();
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        token.is_some() && token.as_ref() != seen.back()
    }

    /// Whether a token is a part of this text.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        match &*self.0 {
            Source::None => false,
            Source::Fixed(token) => text.contains(token),
            Source::File { seen, .. } => {
                let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.iter().any(|token| text.contains(token))
            }
        }
    }
}

/// Shows nothing of the token.
impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenSource")
    }
}

fn fixed(token: &str) -> Result<Source, String> {
    let token = checked(token)?;
    Ok(if token.is_empty() {
        Source::None
    } else {
        Source::Fixed(token)
    })
}

fn read(file: &Path) -> Result<String, String> {
    let content = std::fs::read(file).map_err(|error| error.to_string());
    let content = content.and_then(|content| input::text(content).map_err(str::to_owned));
    let content = content
        .map_err(|error| format!("cannot read the token file {}: {error}", file.display()))?;
    let token = checked(&content)?;
    if token.is_empty() {
        return Err(format!("there is no token in the file {}", file.display()));
    }
    Ok(token)
}

fn checked(token: &str) -> Result<String, String> {
    let token = token.trim();
    let is_odd = |character: char| character.is_ascii_control() || !character.is_ascii();
    if token.chars().any(is_odd) {
        return Err("the token holds characters that HTTP does not allow in a header".to_owned());
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whenever_a_token_is_wanted_and_none_of_them_is_shown() {
        let file = std::env::temp_dir().join(format!("signalr-cli-renewed-{}", std::process::id()));
        std::fs::write(&file, "\u{feff}one\r\n").unwrap();
        let source = Source::File {
            path: file.clone(),
            seen: Mutex::default(),
        };
        let source = TokenSource(Arc::new(source));
        assert_eq!(source.now(), Ok(Some("one".to_owned())));
        assert!(!source.is_renewed());
        std::fs::write(&file, "two").unwrap();
        assert!(source.is_renewed());
        assert_eq!(source.now(), Ok(Some("two".to_owned())));
        assert!(!source.is_renewed());
        assert!(source.is_in("the one before") && source.is_in("two") && !source.is_in("three"));
        assert_eq!(format!("{source:?}"), "TokenSource");
        std::fs::write(&file, " \n").unwrap();
        assert!(source.now().unwrap_err().contains("there is no token"));
        std::fs::write(&file, b"\xff\xfeo\0n\0e\0").unwrap();
        assert!(source.now().unwrap_err().contains("UTF-16"));
        std::fs::remove_file(&file).unwrap();
        assert!(
            source
                .now()
                .unwrap_err()
                .contains("cannot read the token file")
        );
    }
}
