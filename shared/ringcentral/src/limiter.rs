//! Delays calls so that RingCentral's rate limits are not exceeded.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::{Error, ErrorKind, Result, Retry};
use crate::rate_limit::{RateLimit, UsageGroup};

/// Delays calls so that RingCentral's rate limits are not exceeded.
///
/// RingCentral counts the calls of each user and app, per group, over a sliding window (Developer Guide, "Rate
/// limits"). Exceeding a limit returns 429 and starts a penalty of about a minute, and **each call during the penalty
/// restarts it**. Therefore the limiter waits before a limit is reached, and makes no call during a penalty.
///
/// It starts with the published limits (Light 50, Medium 40, Heavy 10, Auth 5 calls a minute) and follows the
/// response headers from then on, which also report the calls of other processes of the same user and app. Waiting
/// calls proceed in no particular order.
///
/// Clones share their state. Use one limiter for all sessions of a process.
#[derive(Debug, Clone)]
pub struct Limiter {
    state: Arc<Mutex<LimiterState>>,
    max_wait: Duration,
}

#[derive(Debug, Default)]
struct LimiterState {
    windows: HashMap<(Arc<str>, String), CallWindow>,
    /// The groups that responses report for operations whose published group is another one.
    reported_groups: HashMap<&'static str, String>,
    /// Penalties that apply to all calls of a user: those of a 429 without rate-limit headers.
    user_penalties: HashMap<Arc<str>, Instant>,
}

/// The calls of one user in one group.
#[derive(Debug)]
struct CallWindow {
    limit: usize,
    length: Duration,
    /// The times of the calls in the window. Calls of other processes are added when a response reports them.
    calls: VecDeque<Instant>,
    penalty_until: Option<Instant>,
}

impl Default for Limiter {
    fn default() -> Self {
        Self::new()
    }
}

impl Limiter {
    /// A limiter that delays a call by at most two minutes. Where a call would have to wait longer, it returns
    /// [`ErrorKind::RateLimited`] without making the call.
    #[must_use]
    pub fn new() -> Self {
        Self::with_max_wait(Duration::from_secs(120))
    }

    /// A limiter that delays a call by at most `max_wait`. With zero, a call that would have to wait fails at once.
    #[must_use]
    pub fn with_max_wait(max_wait: Duration) -> Self {
        Self { state: Arc::default(), max_wait }
    }

    /// Waits until a call may be made, and counts it.
    ///
    /// # Errors
    /// [`ErrorKind::RateLimited`] if the wait would be too long. The call is not counted then.
    pub(crate) async fn acquire(
        &self,
        user: &Arc<str>,
        group: UsageGroup,
        operation: &'static str,
    ) -> Result<()> {
        let started = Instant::now();
        loop {
            let now = Instant::now();
            let Some(wait) = self.locked(|state| state.acquire(user, group, operation, now)) else {
                return Ok(());
            };
            if now.duration_since(started) + wait > self.max_wait {
                return Err(Error::rate_limited(operation, wait));
            }
            tracing::debug!(operation, wait_ms = wait.as_millis(), "call delayed by the rate limiter");
            sleep(wait).await;
        }
    }

    /// Updates the limits and penalties from the outcome of a call.
    pub(crate) fn record_outcome<T>(
        &self,
        user: &Arc<str>,
        group: UsageGroup,
        operation: &'static str,
        reported: Option<&RateLimit>,
        result: &Result<T>,
    ) {
        let penalty = match result {
            Err(error) if error.kind() == ErrorKind::RateLimited && error.status().is_some() => {
                match error.retry() {
                    Retry::After(wait) => Some(wait),
                    _ => None,
                }
            }
            _ => None,
        };
        self.locked(|state| state.update(user, group, operation, reported, penalty, Instant::now()));
    }

    fn locked<T>(&self, act: impl FnOnce(&mut LimiterState) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl LimiterState {
    /// Counts a call, or returns how long it must wait.
    fn acquire(
        &mut self,
        user: &Arc<str>,
        group: UsageGroup,
        operation: &'static str,
        now: Instant,
    ) -> Option<Duration> {
        if let Some(until) = self.user_penalties.get(user) {
            if *until > now {
                return Some(until.duration_since(now));
            }
            self.user_penalties.remove(user);
        }
        self.window(user, group, operation).acquire(now)
    }

    fn update(
        &mut self,
        user: &Arc<str>,
        group: UsageGroup,
        operation: &'static str,
        reported: Option<&RateLimit>,
        penalty: Option<Duration>,
        now: Instant,
    ) {
        if let Some(reported) = reported {
            let known = self.reported_groups.get(operation).map_or(group.name(), String::as_str);
            if known != reported.group {
                self.reported_groups.insert(operation, reported.group.clone());
            }
            self.window(user, group, operation).update(reported, now);
        }
        if let Some(penalty) = penalty {
            let end = now + penalty;
            let until = match reported {
                Some(_) => self.window(user, group, operation).penalty_until.get_or_insert(end),
                None => self.user_penalties.entry(Arc::clone(user)).or_insert(end),
            };
            *until = end.max(*until);
        }
    }

    fn window(&mut self, user: &Arc<str>, group: UsageGroup, operation: &'static str) -> &mut CallWindow {
        let name = self.reported_groups.get(operation).cloned().unwrap_or_else(|| group.name().to_owned());
        self.windows.entry((Arc::clone(user), name)).or_insert_with(|| CallWindow::new(group))
    }
}

impl CallWindow {
    fn new(group: UsageGroup) -> Self {
        Self {
            limit: group.published_limit(),
            length: Duration::from_secs(60),
            calls: VecDeque::new(),
            penalty_until: None,
        }
    }

    fn acquire(&mut self, now: Instant) -> Option<Duration> {
        if let Some(until) = self.penalty_until {
            if until > now {
                return Some(until.duration_since(now));
            }
            self.penalty_until = None;
        }
        self.remove_expired(now);
        if self.calls.len() < self.limit.max(1) {
            self.calls.push_back(now);
            return None;
        }
        // The call that frees a slot when it leaves the window. It exists, because the window is full.
        let leaving = self.calls.len() - self.limit.max(1);
        let free = self.calls.get(leaving).map_or(now, |made| *made + self.length);
        Some(free.saturating_duration_since(now).max(Duration::from_millis(1)))
    }

    fn update(&mut self, reported: &RateLimit, now: Instant) {
        self.limit = usize::try_from(reported.limit).unwrap_or(usize::MAX);
        if reported.window_seconds > 0 {
            self.length = Duration::from_secs(reported.window_seconds.into());
        }
        self.remove_expired(now);
        let used = usize::try_from(reported.limit.saturating_sub(reported.remaining)).unwrap_or(usize::MAX);
        // Calls of other processes, made at an unknown time: they count for a whole window from now.
        for _ in self.calls.len()..used.min(self.limit) {
            self.calls.push_back(now);
        }
    }

    fn remove_expired(&mut self, now: Instant) {
        while self.calls.front().is_some_and(|made| now.duration_since(*made) >= self.length) {
            self.calls.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(group: &str, limit: u32, remaining: u32) -> RateLimit {
        RateLimit { group: group.to_owned(), limit, remaining, window_seconds: 60 }
    }

    fn user(name: &str) -> Arc<str> {
        Arc::from(name)
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_window_slides_and_counts_users_and_groups_separately() {
        let (mut state, start) = (LimiterState::default(), Instant::now());
        for second in 0..10 {
            assert_eq!(state.acquire(&user("a"), UsageGroup::Heavy, "list", start + SECOND * second), None);
        }
        let late = start + SECOND * 20;
        assert_eq!(state.acquire(&user("a"), UsageGroup::Heavy, "list", late), Some(SECOND * 40));
        assert_eq!(state.acquire(&user("b"), UsageGroup::Heavy, "list", late), None);
        assert_eq!(state.acquire(&user("a"), UsageGroup::Light, "read", late), None);
        assert_eq!(state.acquire(&user("a"), UsageGroup::Heavy, "list", start + SECOND * 60), None);
        assert_eq!(state.acquire(&user("a"), UsageGroup::Heavy, "list", start + SECOND * 60), Some(SECOND));
    }

    #[test]
    fn calls_of_other_processes_are_counted_once() {
        let (mut state, start) = (LimiterState::default(), Instant::now());
        assert_eq!(state.acquire(&user("a"), UsageGroup::Heavy, "list", start), None);
        state.update(&user("a"), UsageGroup::Heavy, "list", Some(&reported("heavy", 10, 2)), None, start);
        state.update(&user("a"), UsageGroup::Heavy, "list", Some(&reported("heavy", 10, 2)), None, start);
        assert_eq!(state.acquire(&user("a"), UsageGroup::Heavy, "list", start), None);
        assert_eq!(state.acquire(&user("a"), UsageGroup::Heavy, "list", start), None);
        assert_eq!(state.acquire(&user("a"), UsageGroup::Heavy, "list", start), Some(SECOND * 60));
    }

    #[test]
    fn a_penalty_blocks_its_group_or_all_calls_of_the_user() {
        let (mut state, start) = (LimiterState::default(), Instant::now());
        let headers = reported("heavy", 10, 0);
        state.update(&user("a"), UsageGroup::Heavy, "list", Some(&headers), Some(SECOND * 90), start);
        assert_eq!(state.acquire(&user("a"), UsageGroup::Heavy, "list", start), Some(SECOND * 90));
        assert_eq!(state.acquire(&user("a"), UsageGroup::Light, "read", start), None);
        assert_eq!(state.acquire(&user("a"), UsageGroup::Heavy, "list", start + SECOND * 90), None);

        state.update(&user("a"), UsageGroup::Light, "read", None, Some(SECOND * 30), start);
        assert_eq!(state.acquire(&user("a"), UsageGroup::Medium, "send", start + SECOND), Some(SECOND * 29));
        assert_eq!(state.acquire(&user("b"), UsageGroup::Medium, "send", start + SECOND), None);
    }

    #[test]
    fn limits_and_groups_follow_the_response_headers() {
        let (mut state, start) = (LimiterState::default(), Instant::now());
        state.update(&user("a"), UsageGroup::Light, "read", Some(&reported("strange", 2, 2)), None, start);
        assert_eq!(state.acquire(&user("a"), UsageGroup::Light, "read", start), None);
        assert_eq!(state.acquire(&user("a"), UsageGroup::Light, "read", start), None);
        assert!(state.acquire(&user("a"), UsageGroup::Light, "read", start).is_some());
        assert_eq!(state.acquire(&user("a"), UsageGroup::Light, "other", start), None);
        // A limit of zero would block forever: one call at a time stays possible.
        state.update(&user("a"), UsageGroup::Light, "other", Some(&reported("light", 0, 0)), None, start);
        assert!(state.acquire(&user("a"), UsageGroup::Light, "other", start).is_some());
        assert_eq!(state.acquire(&user("a"), UsageGroup::Light, "other", start + SECOND * 61), None);
    }

    #[tokio::test(start_paused = true)]
    async fn five_hundred_concurrent_calls_never_exceed_the_limit() {
        let limiter = Limiter::with_max_wait(Duration::from_secs(3600));
        let start = Instant::now();
        let calls = (0..500).map(|_| async {
            limiter.acquire(&user("a"), UsageGroup::Medium, "send").await.expect("within the limit");
            start.elapsed()
        });
        let mut times = futures_util::future::join_all(calls).await;
        times.sort();
        for (index, time) in times.iter().enumerate() {
            let before = times[..=index].iter().filter(|other| *time - **other < SECOND * 60).count();
            assert!(before <= 40, "{before} calls within a minute before {time:?}");
        }
        assert_eq!(times.last().map(Duration::as_secs), Some(720));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_would_wait_too_long_fails_at_once() {
        let limiter = Limiter::with_max_wait(SECOND * 10);
        for _ in 0..5 {
            limiter.acquire(&user("a"), UsageGroup::Auth, "refresh").await.expect("within the limit");
        }
        let error = limiter.acquire(&user("a"), UsageGroup::Auth, "refresh").await.expect_err("limited");
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert_eq!(error.retry(), Retry::After(SECOND * 60));
        assert_eq!(error.sent(), crate::error::Sent::No);
    }
}
