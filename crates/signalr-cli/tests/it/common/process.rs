//! Programs that are ended when they take too long, so that a test fails where it would wait for ever.

use std::io::{BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Run;

/// Far more than any run takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// A program at work. It does not outlive this value.
pub(crate) struct Running {
    child: Arc<Mutex<Child>>,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Option<JoinHandle<String>>,
    overdue: Arc<AtomicBool>,
    /// What ends the program waits for this to go away.
    _watched: mpsc::Sender<()>,
}

impl Running {
    /// Starts the program, with pipes for what it prints.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::try_start(command, LIMIT).expect("the program starts")
    }

    /// The same for a program that may not exist, or with another limit.
    pub(crate) fn try_start(command: &mut Command, limit: Duration) -> std::io::Result<Self> {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().map(BufReader::new);
        let mut errors = child.stderr.take().expect("there is a pipe");
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = errors.read_to_end(&mut text);
            String::from_utf8(text).expect("messages are UTF-8")
        });
        let child = Arc::new(Mutex::new(child));
        let overdue = Arc::new(AtomicBool::new(false));
        let (watched, gone) = mpsc::channel::<()>();
        let (late, flag) = (Arc::clone(&child), Arc::clone(&overdue));
        std::thread::spawn(move || {
            if gone.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
                flag.store(true, Ordering::SeqCst);
                // Its pipes close, and whoever reads from them goes on.
                let _ = lock(&late).kill();
            }
        });
        Ok(Self {
            child,
            stdin,
            stdout,
            stderr: Some(stderr),
            overdue,
            _watched: watched,
        })
    }

    pub(crate) fn id(&self) -> u32 {
        lock(&self.child).id()
    }

    pub(crate) fn write(&mut self, input: &[u8]) {
        let stdin = self.stdin.as_mut().expect("there is a pipe");
        stdin.write_all(input).expect("the program reads");
        stdin.flush().expect("the program reads");
    }

    /// What it reads from, for who writes more than a pipe holds.
    pub(crate) fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().expect("there is a pipe")
    }

    /// What it prints, for who wants it before the end.
    pub(crate) fn take_stdout(&mut self) -> BufReader<ChildStdout> {
        self.stdout.take().expect("there is a pipe")
    }

    /// Ends its input and waits for its end. What was not read before is in the result.
    pub(crate) fn end(mut self) -> Run {
        drop(self.stdin.take());
        let mut out = Vec::new();
        if let Some(stdout) = &mut self.stdout {
            // The end of a terminal is an error.
            let _ = stdout.read_to_end(&mut out);
        }
        let status = self.wait();
        let err = self.stderr.take().expect("nobody took it");
        let err = err.join().expect("messages are UTF-8");
        assert!(!err.contains("panicked"), "{err}");
        Run {
            code: status.code().expect("the program was not killed"),
            out,
            err,
        }
    }

    fn wait(&self) -> ExitStatus {
        loop {
            // Not `wait`, which would keep the child from whoever is to end it.
            let ended = lock(&self.child).try_wait().expect("it is our child");
            let overdue = self.overdue.load(Ordering::SeqCst);
            assert!(!overdue, "the program did not end in time");
            if let Some(status) = ended {
                return status;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn lock(child: &Mutex<Child>) -> std::sync::MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}
