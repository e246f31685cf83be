//! Sessions kept as text: recorded over any transport, and played again by a hub.

mod file;
mod recorder;
mod replay;
mod secrets;

pub use file::{Recording, RecordingError};
pub use recorder::{RecordedBody, RecordedSocket, Recorder};
pub use replay::Replay;
