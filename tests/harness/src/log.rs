//! What the thread of a test logs.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::Once;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

thread_local! {
    static KEPT: RefCell<Option<(Level, Vec<u8>)>> = const { RefCell::new(None) };
}

/// The log of this thread from [`begin`](Self::begin) on, until this is dropped.
///
/// One subscriber collects for all: tracing remembers for all threads together what nobody wants, so that tests with subscribers of
/// their own disturb each other.
#[derive(Debug)]
#[must_use]
pub struct Log(());

impl Log {
    /// Keeps what is logged at this level and above, the ends of spans included.
    pub fn begin(level: Level) -> Self {
        static COLLECT: Once = Once::new();
        COLLECT.call_once(|| {
            let subscriber = tracing_subscriber::fmt()
                .with_max_level(Level::TRACE)
                .with_span_events(FmtSpan::CLOSE)
                .with_ansi(false)
                .without_time()
                .with_writer(Collector)
                .finish();
            // Without what libraries tell the crate `log`: it does not know whose side of a connection it is.
            tracing::subscriber::set_global_default(subscriber).expect("there is one collector");
        });
        KEPT.set(Some((level, Vec::new())));
        Self(())
    }

    /// What was logged so far: each line begins with its level.
    #[must_use]
    pub fn text(&self) -> String {
        KEPT.with_borrow(|kept| {
            let bytes = kept.as_ref().map(|(_, bytes)| bytes.as_slice());
            String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
        })
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        KEPT.set(None);
    }
}

struct Collector;

impl<'a> MakeWriter<'a> for Collector {
    type Writer = Sink;

    fn make_writer(&'a self) -> Sink {
        Sink(Level::ERROR)
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Sink {
        Sink(*meta.level())
    }
}

/// Takes what is of this level.
struct Sink(Level);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        KEPT.with_borrow_mut(|kept| match kept {
            Some((level, kept)) if self.0 <= *level => kept.extend_from_slice(bytes),
            Some(_) | None => {}
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
