//! Values that an application keeps with a connection.

use std::fmt;
use std::sync::Mutex;

use crate::locks::lock;

/// Values of the application's own types, one of each type, kept for as long as the connection lives.
///
/// Like the extensions of HTTP requests, but shared: every call of the connection sees the same ones.
///
/// ```
/// # use signalr_server::CallContext;
/// #[derive(Clone, Default)]
/// struct Room(String);
///
/// async fn enter(context: CallContext, name: String) {
///     context.extensions().insert(Room(name));
/// }
///
/// async fn room(context: CallContext) -> Option<String> {
///     context.extensions().get::<Room>().map(|room| room.0)
/// }
///
/// async fn rename(context: CallContext, name: String) -> usize {
///     context.extensions().update(|room: &mut Room| {
///         room.0 = name;
///         room.0.len()
///     })
/// }
/// ```
#[derive(Default)]
pub struct Extensions(Mutex<http::Extensions>);

impl Extensions {
    /// Keeps a value, and gives back the one of the same type that was kept before.
    pub fn insert<T: Clone + Send + Sync + 'static>(&self, value: T) -> Option<T> {
        lock(&self.0).insert(value)
    }

    /// A copy of the value of this type.
    #[must_use]
    pub fn get<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        lock(&self.0).get().cloned()
    }

    /// Takes the value of this type away.
    pub fn remove<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        lock(&self.0).remove()
    }

    /// Changes the value of this type in place; there is a default one if none was kept. Others wait meanwhile.
    pub fn update<T: Clone + Default + Send + Sync + 'static, R>(
        &self,
        change: impl FnOnce(&mut T) -> R,
    ) -> R {
        change(lock(&self.0).get_or_insert_default())
    }
}

/// Shows nothing: the values are the application's.
impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extensions").finish_non_exhaustive()
    }
}
