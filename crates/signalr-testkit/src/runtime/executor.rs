//! An executor whose time passes only while nothing else happens.

use core::cell::RefCell;
use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

/// How long a test may take of its own time.
pub(crate) const LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// How long other threads may take to wake anybody, in real time.
const STALL: Duration = Duration::from_secs(10);

/// The test's own future among the tasks.
const TEST: u64 = 0;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Virtual>>> = const { RefCell::new(None) };
}

/// Runs a test, its connections and its hubs on this thread, in a time of their own: when none of them has anything to do, the
/// clock jumps to what is due next. So a test that waits for half a minute takes no time, and goes the same way every time.
///
/// Everything that waits must wait for something of this test: what comes from other threads or from sockets comes at an arbitrary
/// time of this clock. No runtime is needed; within tokio, whose clock can be paused, use `#[tokio::test(start_paused = true)]`
/// instead.
///
/// ```
/// use std::time::Duration;
///
/// signalr_testkit::run(async {
///     let before = signalr_testkit::now();
///     signalr_testkit::sleep(Duration::from_secs(3600)).await;
///     assert_eq!(signalr_testkit::now() - before, Duration::from_secs(3600));
/// });
/// ```
///
/// # Panics
/// When the test panics, or a task of it; when it has not ended after 24 hours of its time, or nothing is left that could happen; and
/// inside of another `run`.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let shared = Arc::new(Virtual::default());
    let _entered = Entered::enter(&shared);
    let mut executor = Executor {
        shared: Arc::clone(&shared),
        tasks: HashMap::new(),
    };
    let test = pin!(test);
    executor.run(test)
}

/// Makes a time the current one of this thread, until it is dropped.
struct Entered;

impl Entered {
    fn enter(shared: &Arc<Virtual>) -> Self {
        CURRENT.with_borrow_mut(|current| {
            assert!(current.is_none(), "run() was called inside of run()");
            *current = Some(Arc::clone(shared));
        });
        Self
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.with_borrow_mut(|current| *current = None);
    }
}

/// Time and the queue of what is to run, as tasks and wakers share them.
#[derive(Default)]
pub(crate) struct Virtual {
    state: Mutex<State>,
    woken: Condvar,
}

#[derive(Default)]
struct State {
    now: Duration,
    ready: VecDeque<Arc<TaskWaker>>,
    spawned: Vec<Task>,
    /// By the time when they are due, and in the order in which they were set.
    timers: BTreeMap<(Duration, u64), Waker>,
    timers_set: u64,
}

impl Virtual {
    /// The one that this thread runs in.
    pub(crate) fn current() -> Option<Arc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Duration {
        self.lock().now
    }

    pub(crate) fn spawn(&self, task: Task) {
        self.lock().spawned.push(task);
        self.woken.notify_one();
    }

    pub(crate) fn sleep(self: &Arc<Self>, duration: Duration) -> VirtualSleep {
        VirtualSleep {
            deadline: self.now().saturating_add(duration),
            shared: Arc::clone(self),
            key: None,
        }
    }

    /// The time goes on to what is due next. `None` when nothing is.
    fn advance(&self) -> Option<Duration> {
        let mut state = self.lock();
        let (&(due, _), _) = state.timers.first_key_value()?;
        state.now = state.now.max(due);
        let later = state.timers.split_off(&(due, u64::MAX));
        let rung = core::mem::replace(&mut state.timers, later);
        let now = state.now;
        drop(state);
        rung.into_values().for_each(Waker::wake);
        Some(now)
    }
}

/// A wait in virtual time.
pub(crate) struct VirtualSleep {
    shared: Arc<Virtual>,
    deadline: Duration,
    key: Option<(Duration, u64)>,
}

impl Future for VirtualSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        if state.now >= self.deadline {
            return Poll::Ready(());
        }
        let deadline = self.deadline;
        let key = *self.key.get_or_insert_with(|| {
            state.timers_set += 1;
            (deadline, state.timers_set)
        });
        state.timers.insert(key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for VirtualSleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.shared.lock().timers.remove(&key);
        }
    }
}

/// Wakes one task.
struct TaskWaker {
    id: u64,
    shared: Arc<Virtual>,
    queued: AtomicBool,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            let shared = Arc::clone(&self.shared);
            shared.lock().ready.push_back(self);
            shared.woken.notify_one();
        }
    }
}

struct Executor {
    shared: Arc<Virtual>,
    tasks: HashMap<u64, Task>,
}

impl Executor {
    fn run<T>(&mut self, mut test: Pin<&mut impl Future<Output = T>>) -> T {
        let mut next = TEST;
        self.waker(TEST).wake();
        loop {
            let spawned = core::mem::take(&mut self.shared.lock().spawned);
            for task in spawned {
                next += 1;
                self.tasks.insert(next, task);
                self.waker(next).wake();
            }
            let Some(woken) = self.next_ready() else {
                continue;
            };
            woken.queued.store(false, Ordering::Release);
            let id = woken.id;
            let waker = Waker::from(woken);
            let mut cx = Context::from_waker(&waker);
            if id == TEST {
                if let Poll::Ready(output) = test.as_mut().poll(&mut cx) {
                    return output;
                }
            } else if let Some(task) = self.tasks.get_mut(&id)
                && task.as_mut().poll(&mut cx).is_ready()
            {
                self.tasks.remove(&id);
            }
        }
    }

    fn waker(&self, id: u64) -> Arc<TaskWaker> {
        Arc::new(TaskWaker {
            id,
            shared: Arc::clone(&self.shared),
            queued: AtomicBool::new(false),
        })
    }

    /// What is to run next; lets time pass when there is nothing.
    fn next_ready(&self) -> Option<Arc<TaskWaker>> {
        if let Some(ready) = self.shared.lock().ready.pop_front() {
            return Some(ready);
        }
        match self.shared.advance() {
            Some(now) => assert!(
                now <= LIMIT,
                "the test has not ended after 24 hours of its time: what it waits for does not come"
            ),
            None => self.wait_for_others(),
        }
        None
    }

    /// Nothing is due: only another thread can still wake somebody.
    fn wait_for_others(&self) {
        let state = self.shared.lock();
        let (state, waited) = self
            .shared
            .woken
            .wait_timeout_while(state, STALL, |state| {
                state.ready.is_empty() && state.spawned.is_empty()
            })
            .unwrap_or_else(PoisonError::into_inner);
        drop(state);
        assert!(
            !waited.timed_out(),
            "nothing is left that could happen, and the test waits for something"
        );
    }
}

impl Drop for Executor {
    /// Tasks that were never run hold what they are kept in.
    fn drop(&mut self) {
        self.tasks.clear();
        let mut state = self.shared.lock();
        let left = (
            core::mem::take(&mut state.spawned),
            core::mem::take(&mut state.ready),
        );
        drop(state);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::{now, sleep, spawn};

    #[test]
    fn what_is_due_first_happens_first() {
        let order = Arc::new(Mutex::new(Vec::new()));
        run(async {
            for seconds in [3, 1, 2] {
                let order = Arc::clone(&order);
                spawn(async move {
                    sleep(Duration::from_secs(seconds)).await;
                    order.lock().unwrap().push(seconds);
                });
            }
            sleep(Duration::from_secs(4)).await;
        });
        assert_eq!(*order.lock().unwrap(), [1, 2, 3]);
    }

    #[test]
    fn another_thread_is_waited_for() {
        let (done, heard) = mpsc::channel();
        let answer = run(async {
            let (waker, woken) = mpsc::channel::<Waker>();
            std::thread::spawn(move || {
                let waker = woken.recv().unwrap();
                done.send(5).unwrap();
                waker.wake();
            });
            core::future::poll_fn(|cx| match heard.try_recv() {
                Ok(answer) => Poll::Ready(answer),
                Err(_) => {
                    let _ = waker.send(cx.waker().clone());
                    Poll::Pending
                }
            })
            .await
        });
        assert_eq!(answer, 5);
    }

    #[test]
    fn a_sleep_that_is_dropped_leaves_nothing() {
        run(async {
            let slept = pin!(sleep(Duration::from_secs(100)));
            futures_util::future::select(slept, pin!(sleep(Duration::from_secs(1)))).await;
            sleep(Duration::from_secs(1)).await;
            assert_eq!(now(), Duration::from_secs(2));
        });
    }

    #[test]
    #[should_panic(expected = "has not ended after 24 hours of its time")]
    fn a_test_that_does_not_end_fails() {
        run(async {
            loop {
                sleep(Duration::from_secs(3600)).await;
            }
        });
    }

    #[test]
    #[should_panic(expected = "run() was called inside of run()")]
    fn runs_are_not_nested() {
        run(async { run(async {}) });
    }

    #[test]
    #[should_panic(expected = "a task failed")]
    fn a_panic_of_a_task_is_the_tests() {
        run(async {
            spawn(async { panic!("a task failed") });
            sleep(Duration::from_secs(1)).await;
        });
    }
}
