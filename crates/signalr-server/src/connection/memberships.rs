//! The groups of one connection.

use std::collections::BTreeSet;
use std::sync::Arc;

/// The groups that a connection is in, until it is in none for good.
#[derive(Debug, Default)]
pub(crate) struct Memberships {
    names: BTreeSet<Arc<str>>,
    gone: bool,
}

/// What came of joining a group.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    Anew,
    Before,
    /// It is in as many as it may be.
    TooMany,
    /// The connection is over.
    Gone,
}

impl Memberships {
    pub(crate) fn join(&mut self, name: &Arc<str>, limit: usize) -> Joined {
        if self.gone {
            Joined::Gone
        } else if self.names.contains(name) {
            Joined::Before
        } else if self.names.len() >= limit {
            Joined::TooMany
        } else {
            self.names.insert(Arc::clone(name));
            Joined::Anew
        }
    }

    /// Whether it was there.
    pub(crate) fn leave(&mut self, name: &str) -> bool {
        self.names.remove(name)
    }

    /// Leaves all groups, and joins none from now on.
    pub(crate) fn leave_all(&mut self) -> BTreeSet<Arc<str>> {
        self.gone = true;
        std::mem::take(&mut self.names)
    }

    /// In order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.names.iter().map(|name| (**name).to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_joined_once_up_to_a_limit_and_never_after_the_end() {
        let mut groups = Memberships::default();
        let [a, b, c] = ["a", "b", "c"].map(Arc::from);
        assert_eq!(groups.join(&b, 2), Joined::Anew);
        assert_eq!(groups.join(&a, 2), Joined::Anew);
        assert_eq!(groups.join(&c, 2), Joined::TooMany);
        assert_eq!(groups.join(&a, 2), Joined::Before);
        assert_eq!(groups.names(), ["a", "b"]);
        assert!(groups.leave("a") && !groups.leave("a"));
        assert_eq!(groups.join(&c, 2), Joined::Anew);
        assert_eq!(groups.leave_all(), [b, c].into());
        assert_eq!(groups.join(&a, 2), Joined::Gone);
        assert!(groups.names().is_empty());
    }
}
