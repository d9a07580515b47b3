//! Optimistic concurrency: an operation that reads, decides and writes on condition that what it read still holds is
//! repeated when another writer was faster.

/// What one attempt of an operation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt<T> {
    /// The operation is complete; its result.
    Done(T),
    /// Another writer changed what this attempt had read. Nothing was written.
    Conflict,
}

/// Runs `operation` until it is done, at most `attempts` times. Each run must read its state anew. If every attempt meets a
/// conflict, the error is `exhausted()`.
///
/// # Errors
/// The first error of `operation`, which is not retried, or `exhausted()`.
pub async fn retry_on_conflict<T, E, F>(
    attempts: u32,
    exhausted: impl FnOnce() -> E,
    // Not `AsyncFnMut`: rustc can't prove that the futures of async closures with borrowed captures are `Send`.
    mut operation: impl FnMut() -> F,
) -> Result<T, E>
where
    F: Future<Output = Result<Attempt<T>, E>>,
{
    for _ in 0..attempts {
        if let Attempt::Done(result) = operation().await? {
            return Ok(result);
        }
    }
    Err(exhausted())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::FutureExt;

    use super::*;

    fn run(attempts: u32, conflicts: u32) -> Result<u32, &'static str> {
        let runs = Cell::new(0);
        let operation = || async {
            runs.set(runs.get() + 1);
            Ok(if runs.get() > conflicts { Attempt::Done(runs.get()) } else { Attempt::Conflict })
        };
        retry_on_conflict(attempts, || "exhausted", operation).now_or_never().unwrap()
    }

    #[test]
    fn conflicts_are_retried_until_the_attempts_are_used_up() {
        assert_eq!(run(3, 0), Ok(1));
        assert_eq!(run(3, 2), Ok(3));
        assert_eq!(run(3, 3), Err("exhausted"));
    }

    #[test]
    fn an_error_ends_the_operation_at_once() {
        let runs = Cell::new(0);
        let operation = || async {
            runs.set(runs.get() + 1);
            Err("failed")
        };
        let result: Result<(), _> = retry_on_conflict(3, || "exhausted", operation).now_or_never().unwrap();
        assert_eq!((result, runs.get()), (Err("failed"), 1));
    }
}
