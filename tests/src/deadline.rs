//! Nothing in a test waits for ever, and nothing sleeps in the hope that something has happened by then.

use std::{
    cell::Cell,
    env, fmt,
    pin::pin,
    time::{Duration, Instant},
};

use tokio::{runtime, time};

/// How long one test may take. Below nextest's own limit, so that the test can say what it saw.
const TEST: Duration = Duration::from_secs(150);
/// The same in `make test-long`.
const LONG_TEST: Duration = Duration::from_secs(1_500);
/// How long a condition may take to come true, unless the caller says otherwise.
const CONDITION: Duration = Duration::from_secs(30);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

thread_local! {
    static OVERDUE: Cell<bool> = const { Cell::new(false) };
}

/// Runs a test to its end or its deadline.
///
/// # Panics
///
/// When the deadline passes.
pub fn run(test: impl Future<Output = ()>) {
    let deadline = if env::var_os("VFOLDER_TEST_LONG").is_some() {
        LONG_TEST
    } else {
        TEST
    };
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let done = runtime.block_on(async {
        let mut test = pin!(test);
        tokio::select! {
            () = &mut test => true,
            () = time::sleep(deadline) => {
                // Set while the test's own values still live: they show their logs as they are dropped.
                OVERDUE.set(true);
                false
            }
        }
    });
    assert!(done, "the test was not through after {deadline:?}");
}

/// Whether the test that runs on this thread is failing.
pub(crate) fn failing() -> bool {
    std::thread::panicking() || OVERDUE.get()
}

/// Waits until `look` gives a value. `what` says what was waited for.
///
/// # Panics
///
/// When 30 seconds pass without one.
pub async fn eventually<T>(what: impl fmt::Display, look: impl AsyncFnMut() -> Option<T>) -> T {
    until(CONDITION, what, look).await
}

/// Like [`eventually`], with a deadline of the caller's.
///
/// # Panics
///
/// When the deadline passes.
pub async fn until<T>(
    deadline: Duration,
    what: impl fmt::Display,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = look().await {
            return value;
        }
        assert!(
            start.elapsed() < deadline,
            "waited {deadline:?} in vain: {what}"
        );
        time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_looked_at_until_it_holds() {
        run(async {
            let mut looks = 0;
            let found = eventually("three looks", async || {
                looks += 1;
                (looks == 3).then_some("found")
            })
            .await;
            assert_eq!((found, looks), ("found", 3));
        });
    }
}
