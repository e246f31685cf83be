//! The methods of a session: which were seen, and which are printed.

use std::collections::BTreeSet;

/// More than anybody completes; a peer chooses the names.
const MOST_NAMES: usize = 1000;
const LONGEST_NAME: usize = 200;

/// Names seen so far, for completion.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Methods of the server that were called from here.
    pub(crate) called: Names,
    /// Methods of ours that the server called.
    pub(crate) calling: Names,
}

/// A bounded set of names.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeSet<String>);

impl Names {
    pub(crate) fn add(&mut self, name: &str) {
        let odd = name.len() > LONGEST_NAME || name.contains(char::is_control);
        if !odd && self.0.len() < MOST_NAMES {
            self.0.insert(name.to_owned());
        }
    }

    pub(crate) fn starting_with<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        let names = self.0.iter().map(String::as_str);
        names.filter(move |name| name.starts_with(prefix))
    }
}

/// Whose calls are printed.
#[derive(Debug)]
pub(crate) enum Watch {
    AllBut(BTreeSet<String>),
    Only(BTreeSet<String>),
}

impl Default for Watch {
    fn default() -> Self {
        Self::AllBut(BTreeSet::new())
    }
}

impl Watch {
    pub(crate) fn shows(&self, method: &str) -> bool {
        match self {
            Self::AllBut(hidden) => !hidden.contains(method),
            Self::Only(shown) => shown.contains(method),
        }
    }

    /// Shows these methods, all without names. The first named ones are the only ones.
    pub(crate) fn on(&mut self, methods: Vec<String>) {
        match self {
            _ if methods.is_empty() => *self = Self::default(),
            Self::AllBut(hidden) if hidden.is_empty() => {
                *self = Self::Only(methods.into_iter().collect());
            }
            Self::AllBut(hidden) => hidden.retain(|method| !methods.contains(method)),
            Self::Only(shown) => shown.extend(methods),
        }
    }

    /// Hides these methods, all without names.
    pub(crate) fn off(&mut self, methods: Vec<String>) {
        match self {
            _ if methods.is_empty() => *self = Self::Only(BTreeSet::new()),
            Self::AllBut(hidden) => hidden.extend(methods),
            Self::Only(shown) => shown.retain(|method| !methods.contains(method)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_first_method_that_is_watched_is_the_only_one() {
        let mut watch = Watch::default();
        assert!(watch.shows("A") && watch.shows("B"));
        watch.on(named(&["A"]));
        assert!(watch.shows("A") && !watch.shows("B"));
        watch.on(named(&["B"]));
        watch.off(named(&["A"]));
        assert!(!watch.shows("A") && watch.shows("B"));
        watch.on(Vec::new());
        assert!(watch.shows("A") && watch.shows("B"));
    }

    #[test]
    fn methods_are_hidden_one_by_one_or_all() {
        let mut watch = Watch::default();
        watch.off(named(&["A", "B"]));
        assert!(!watch.shows("A") && watch.shows("C"));
        watch.on(named(&["A"]));
        assert!(watch.shows("A") && !watch.shows("B") && watch.shows("C"));
        watch.off(Vec::new());
        assert!(!watch.shows("A"));
    }

    #[test]
    fn names_are_bounded() {
        let mut names = Names::default();
        names.add(&"x".repeat(LONGEST_NAME + 1));
        names.add("a\u{1b}");
        for number in 0..2 * MOST_NAMES {
            names.add(&number.to_string());
        }
        assert_eq!(names.starting_with("").count(), MOST_NAMES);
        assert_eq!(names.starting_with("99").count(), 11);
    }
}
