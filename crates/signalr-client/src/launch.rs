//! A driver that waits for its runtime.

use signalr_net::{Spawn, SpawnError, Task};

/// Gives a driver to its runtime when the connection is first started.
pub(crate) struct Launcher {
    driver: Option<Task>,
    runtime: Box<dyn Executor>,
}

/// The part of [`Spawn`] that needs no type of the runtime's.
trait Executor: Send {
    fn ready(&self) -> Result<(), SpawnError>;
    fn spawn(&self, task: Task);
}

impl<R: Spawn> Executor for R {
    fn ready(&self) -> Result<(), SpawnError> {
        Spawn::ready(self)
    }

    fn spawn(&self, task: Task) {
        Spawn::spawn(self, task);
    }
}

impl Launcher {
    pub(crate) fn new(driver: Task, runtime: impl Spawn) -> Self {
        Self {
            driver: Some(driver),
            runtime: Box::new(runtime),
        }
    }

    /// Spawns the driver, once. When that cannot be done here it can be tried again elsewhere.
    pub(crate) fn launch(&mut self) -> Result<(), SpawnError> {
        if self.driver.is_some() {
            self.runtime.ready()?;
        }
        if let Some(driver) = self.driver.take() {
            self.runtime.spawn(driver);
        }
        Ok(())
    }
}
