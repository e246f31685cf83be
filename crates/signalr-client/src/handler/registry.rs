//! Which handlers there are, by the names of their methods.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use signalr_proto::Arguments;

use super::called::Called;

/// Hears every call of the server.
pub(crate) type Observer = dyn Fn(&str, &Arguments) + Send + Sync;

/// The observers of all calls, in the order of registration.
pub(crate) type Observers = Arc<Vec<(u64, Arc<Observer>)>>;

/// A registered handler, for [`off`](crate::HubConnection::off). Dropping it leaves the handler in place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subscription {
    target: Box<str>,
    id: u64,
}

impl Subscription {
    /// The method's name; empty for an observer of all methods.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }
}

/// A handler that knows its connection: it needs nothing but the arguments.
pub(crate) struct BoundHandler {
    pub(super) call: Box<dyn Fn(&Arguments) -> Called + Send + Sync>,
    /// Whether it can answer a question.
    pub(super) has_value: bool,
}

/// A handler in the table.
pub(crate) struct Entry {
    id: u64,
    handler: BoundHandler,
    /// It has given a value that nobody wanted.
    unwanted: AtomicBool,
}

impl Entry {
    pub(crate) fn call(&self, arguments: &Arguments) -> Called {
        (self.handler.call)(arguments)
    }

    pub(crate) const fn has_value(&self) -> bool {
        self.handler.has_value
    }

    /// Whether this is the first value of it that nobody wants.
    pub(crate) fn is_first_unwanted_value(&self) -> bool {
        !self.unwanted.swap(true, Ordering::Relaxed)
    }
}

/// The handlers of one method, in the order of registration. Running calls keep the list they began with.
pub(crate) type Entries = Arc<Vec<Arc<Entry>>>;

/// All handlers. Names match exactly, unless capitals are ignored.
#[derive(Default)]
pub(crate) struct Registry {
    ignore_case: bool,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    last_id: u64,
    methods: HashMap<Box<str>, Method>,
    /// None as long as there are none, so that looking costs nothing.
    observers: Option<Observers>,
}

/// What the application has for a name.
#[derive(Default)]
struct Method {
    handlers: Entries,
    /// A call was missed that differs in its capitals alone, and the log says so.
    told_of_capitals: bool,
}

impl Table {
    const fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Ids are unique among handlers of all kinds.
    fn remove_observer(&mut self, id: u64) -> bool {
        let Some(observers) = &mut self.observers else {
            return false;
        };
        let before = observers.len();
        Arc::make_mut(observers).retain(|(other, _)| *other != id);
        let removed = observers.len() < before;
        self.observers.take_if(|observers| observers.is_empty());
        removed
    }
}

/// Who is concerned by a call.
pub(crate) struct Found {
    pub(crate) handlers: Option<Entries>,
    pub(crate) observers: Option<Observers>,
}

impl Registry {
    /// `ignore_case` compares names in lower case, as the JavaScript client does.
    pub(crate) fn new(ignore_case: bool) -> Self {
        Self {
            ignore_case,
            table: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name under which a method stands in the table.
    fn key<'a>(&self, target: &'a str) -> Cow<'a, str> {
        if self.ignore_case {
            Cow::Owned(target.to_lowercase())
        } else {
            Cow::Borrowed(target)
        }
    }

    pub(crate) fn find(&self, target: &str) -> Found {
        let key = self.key(target);
        let table = self.lock();
        let method = table.methods.get(&*key);
        Found {
            handlers: method
                .map(|method| Arc::clone(&method.handlers))
                .filter(|handlers| !handlers.is_empty()),
            observers: table.observers.clone(),
        }
    }

    /// The name of a method with handlers that `target` differs from in its capitals alone. Each is given once.
    pub(crate) fn differs_in_capitals(&self, target: &str) -> Option<Box<str>> {
        let lower = target.to_lowercase();
        let mut table = self.lock();
        let mut methods = table.methods.iter_mut();
        let (name, method) = methods
            .find(|(name, method)| !method.handlers.is_empty() && name.to_lowercase() == lower)?;
        let told = core::mem::replace(&mut method.told_of_capitals, true);
        (!told).then(|| name.clone())
    }

    pub(crate) fn observe(&self, observer: Arc<Observer>) -> Subscription {
        let mut table = self.lock();
        let id = table.next_id();
        let observers = table.observers.get_or_insert_default();
        Arc::make_mut(observers).push((id, observer));
        Subscription {
            target: Box::default(),
            id,
        }
    }

    pub(crate) fn add(&self, target: &str, handler: BoundHandler) -> Subscription {
        let mut table = self.lock();
        let id = table.next_id();
        let method = table.methods.entry(self.key(target).into()).or_default();
        Arc::make_mut(&mut method.handlers).push(Arc::new(Entry {
            id,
            handler,
            unwanted: AtomicBool::new(false),
        }));
        Subscription {
            target: target.into(),
            id,
        }
    }

    pub(crate) fn remove(&self, subscription: &Subscription) -> bool {
        let mut table = self.lock();
        if table.remove_observer(subscription.id) {
            return true;
        }
        let Some(method) = table.methods.get_mut(&*self.key(&subscription.target)) else {
            return false;
        };
        let before = method.handlers.len();
        Arc::make_mut(&mut method.handlers).retain(|entry| entry.id != subscription.id);
        method.handlers.len() < before
    }

    pub(crate) fn remove_all(&self, target: &str) -> usize {
        self.lock()
            .methods
            .remove(&*self.key(target))
            .map_or(0, |method| method.handlers.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::reply::Reply;
    use super::*;

    fn handler() -> BoundHandler {
        BoundHandler {
            call: Box::new(|_| Called::Done(Reply::Void)),
            has_value: false,
        }
    }

    fn count(registry: &Registry, target: &str) -> usize {
        registry
            .find(target)
            .handlers
            .map_or(0, |handlers| handlers.len())
    }

    #[test]
    fn any_number_of_handlers_stand_under_a_name_and_leave_one_by_one() {
        let registry = Registry::default();
        let add = |target| registry.add(target, handler());
        let first = add("m");
        add("m");
        add("m");
        add("M");
        assert_eq!((count(&registry, "m"), count(&registry, "M")), (3, 1));
        assert!(registry.remove(&first) && !registry.remove(&first));
        assert_eq!(count(&registry, "m"), 2);
        assert_eq!((registry.remove_all("m"), registry.remove_all("m")), (2, 0));
    }

    #[test]
    fn capitals_count_unless_they_are_ignored() {
        for ignore_case in [false, true] {
            let registry = Registry::new(ignore_case);
            let subscription = registry.add("GetÄ", handler());
            assert_eq!(subscription.target(), "GetÄ");
            assert_eq!(count(&registry, "GetÄ"), 1);
            assert_eq!(count(&registry, "GETä"), usize::from(ignore_case));
            assert!(registry.remove(&subscription));
            registry.add("x", handler());
            assert_eq!(registry.remove_all("X"), usize::from(ignore_case));
        }
    }

    #[test]
    fn a_name_that_was_missed_for_its_capitals_is_told_once() {
        let registry = Registry::default();
        let subscription = registry.add("Receive", handler());
        registry.add("Other", handler());
        assert_eq!(registry.differs_in_capitals("missing"), None);
        assert_eq!(
            registry.differs_in_capitals("receive").as_deref(),
            Some("Receive")
        );
        assert_eq!(registry.differs_in_capitals("RECEIVE"), None);
        assert_eq!(
            registry.differs_in_capitals("other").as_deref(),
            Some("Other")
        );
        registry.remove(&subscription);
        assert_eq!(registry.differs_in_capitals("receive"), None);
    }
}
