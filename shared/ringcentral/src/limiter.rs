//! RingCentral's rate limits: what the answers tell about them, and a limiter that waits before the limit.
//!
//! RingCentral counts calls for each user and app, in groups, over a sliding window (Developer Guide, "Rate
//! limits"). One call too many brings 429 and a penalty of about a minute, and **each call during the penalty
//! begins it anew**. So it is better to wait before the limit, and to be silent during a penalty.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderMap;
use tokio::time::{Instant, sleep};

use crate::api::Group;
use crate::error::{Error, Kind, Result, Retry};

/// What an answer's `X-Rate-Limit-…` headers tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// The group that the call counts in, such as `light`. Names may change: compare, don't interpret.
    pub group: String,
    /// Calls allowed in the window.
    pub limit: u32,
    /// Calls left in the window.
    pub remaining: u32,
    /// The length of the window.
    pub window_seconds: u32,
}

impl RateLimit {
    /// Reads the headers; `None` unless all four are there.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
        let number = |name: &str| text(name)?.parse().ok();
        Some(Self {
            group: text("x-rate-limit-group").filter(|group| group.len() <= 64)?.to_ascii_lowercase(),
            limit: number("x-rate-limit-limit")?,
            remaining: number("x-rate-limit-remaining")?,
            window_seconds: number("x-rate-limit-window")?,
        })
    }
}

/// Holds calls back so that no limit is met. Clones share what they know; share one among all sessions of a
/// process.
///
/// It begins with the published limits (Light 50, Medium 40, Heavy 10, Auth 5 calls a minute) and follows the
/// headers from then on, also where other processes of the same user and app take their part. Waiting calls
/// are let through in no particular order.
#[derive(Debug, Clone)]
pub struct Limiter {
    state: Arc<Mutex<State>>,
    max_wait: Duration,
}

#[derive(Debug, Default)]
struct State {
    buckets: HashMap<(Arc<str>, String), Bucket>,
    /// The group that an operation turned out to be in, where it is not the published one.
    moved: HashMap<&'static str, String>,
    /// Silence for everything of a user: a 429 that does not speak of the call's group.
    silent: HashMap<Arc<str>, Instant>,
}

/// The calls of one user in one group.
#[derive(Debug)]
struct Bucket {
    limit: usize,
    window: Duration,
    /// When each call of the window was made; calls of others are entered when an answer tells of them.
    calls: VecDeque<Instant>,
    silent_until: Option<Instant>,
}

impl Default for Limiter {
    fn default() -> Self {
        Self::new()
    }
}

impl Limiter {
    /// A limiter that lets a call wait for up to two minutes, and beyond that refuses it with
    /// [`Kind::RateLimited`] without making it.
    #[must_use]
    pub fn new() -> Self {
        Self::with_max_wait(Duration::from_secs(120))
    }

    /// A limiter that lets a call wait for up to `max_wait`; zero refuses every call that would have to.
    #[must_use]
    pub fn with_max_wait(max_wait: Duration) -> Self {
        Self { state: Arc::default(), max_wait }
    }

    /// Waits until a call may be made, and counts it.
    ///
    /// # Errors
    /// [`Kind::RateLimited`] if that would take too long; nothing is counted then.
    pub(crate) async fn admit(&self, user: &Arc<str>, group: Group, operation: &'static str) -> Result<()> {
        let begun = Instant::now();
        loop {
            let now = Instant::now();
            let Some(wait) = self.locked(|state| state.admit(user, group, operation, now)) else {
                return Ok(());
            };
            if now.duration_since(begun) + wait > self.max_wait {
                return Err(Error::limited(operation, wait));
            }
            tracing::debug!(operation, wait_ms = wait.as_millis(), "waiting for a rate limit");
            sleep(wait).await;
        }
    }

    /// Learns from an answer.
    pub(crate) fn learn<T>(
        &self,
        user: &Arc<str>,
        group: Group,
        operation: &'static str,
        told: Option<&RateLimit>,
        result: &Result<T>,
    ) {
        let penalty = match result {
            Err(error) if error.kind() == Kind::RateLimited && error.status().is_some() => {
                match error.retry() {
                    Retry::After(wait) => Some(wait),
                    _ => None,
                }
            }
            _ => None,
        };
        self.locked(|state| state.learn(user, group, operation, told, penalty, Instant::now()));
    }

    fn locked<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    /// Counts a call, or tells how long to wait.
    fn admit(
        &mut self,
        user: &Arc<str>,
        group: Group,
        operation: &'static str,
        now: Instant,
    ) -> Option<Duration> {
        if let Some(until) = self.silent.get(user) {
            if *until > now {
                return Some(until.duration_since(now));
            }
            self.silent.remove(user);
        }
        self.bucket(user, group, operation).admit(now)
    }

    fn learn(
        &mut self,
        user: &Arc<str>,
        group: Group,
        operation: &'static str,
        told: Option<&RateLimit>,
        penalty: Option<Duration>,
        now: Instant,
    ) {
        if let Some(told) = told {
            let known = self.moved.get(operation).map_or(group.name(), String::as_str);
            if known != told.group {
                self.moved.insert(operation, told.group.clone());
            }
            self.bucket(user, group, operation).learn(told, now);
        }
        if let Some(penalty) = penalty {
            let until = now + penalty;
            let silent = match told {
                Some(_) => self.bucket(user, group, operation).silent_until.get_or_insert(until),
                None => self.silent.entry(Arc::clone(user)).or_insert(until),
            };
            *silent = until.max(*silent);
        }
    }

    fn bucket(&mut self, user: &Arc<str>, group: Group, operation: &'static str) -> &mut Bucket {
        let name = self.moved.get(operation).cloned().unwrap_or_else(|| group.name().to_owned());
        self.buckets.entry((Arc::clone(user), name)).or_insert_with(|| Bucket::new(group))
    }
}

impl Bucket {
    fn new(group: Group) -> Self {
        Self {
            limit: group.published_limit(),
            window: Duration::from_secs(60),
            calls: VecDeque::new(),
            silent_until: None,
        }
    }

    fn admit(&mut self, now: Instant) -> Option<Duration> {
        if let Some(until) = self.silent_until {
            if until > now {
                return Some(until.duration_since(now));
            }
            self.silent_until = None;
        }
        self.forget(now);
        if self.calls.len() < self.limit.max(1) {
            self.calls.push_back(now);
            return None;
        }
        // The call whose end makes room; it is there, since the window is full.
        let leaving = self.calls.len() - self.limit.max(1);
        let free = self.calls.get(leaving).map_or(now, |made| *made + self.window);
        Some(free.saturating_duration_since(now).max(Duration::from_millis(1)))
    }

    fn learn(&mut self, told: &RateLimit, now: Instant) {
        self.limit = usize::try_from(told.limit).unwrap_or(usize::MAX);
        if told.window_seconds > 0 {
            self.window = Duration::from_secs(told.window_seconds.into());
        }
        self.forget(now);
        let used = usize::try_from(told.limit.saturating_sub(told.remaining)).unwrap_or(usize::MAX);
        // Calls of others, made at an unknown time: they count for a whole window from now.
        for _ in self.calls.len()..used.min(self.limit) {
            self.calls.push_back(now);
        }
    }

    fn forget(&mut self, now: Instant) {
        while self.calls.front().is_some_and(|made| now.duration_since(*made) >= self.window) {
            self.calls.pop_front();
        }
    }
}

impl Group {
    /// The group's name in the headers.
    fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Medium => "medium",
            Self::Heavy => "heavy",
            Self::Auth => "auth",
        }
    }

    /// Calls a minute, until an answer tells better.
    fn published_limit(self) -> usize {
        match self {
            Self::Light => 50,
            Self::Medium => 40,
            Self::Heavy => 10,
            Self::Auth => 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(group: &str, limit: u32, remaining: u32) -> RateLimit {
        RateLimit { group: group.to_owned(), limit, remaining, window_seconds: 60 }
    }

    fn user(name: &str) -> Arc<str> {
        Arc::from(name)
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_window_slides_and_users_and_groups_are_apart() {
        let (mut state, start) = (State::default(), Instant::now());
        for second in 0..10 {
            assert_eq!(state.admit(&user("a"), Group::Heavy, "list", start + SECOND * second), None);
        }
        let late = start + SECOND * 20;
        assert_eq!(state.admit(&user("a"), Group::Heavy, "list", late), Some(SECOND * 40));
        assert_eq!(state.admit(&user("b"), Group::Heavy, "list", late), None);
        assert_eq!(state.admit(&user("a"), Group::Light, "read", late), None);
        assert_eq!(state.admit(&user("a"), Group::Heavy, "list", start + SECOND * 60), None);
        assert_eq!(state.admit(&user("a"), Group::Heavy, "list", start + SECOND * 60), Some(SECOND));
    }

    #[test]
    fn calls_of_other_processes_are_counted_once() {
        let (mut state, start) = (State::default(), Instant::now());
        assert_eq!(state.admit(&user("a"), Group::Heavy, "list", start), None);
        state.learn(&user("a"), Group::Heavy, "list", Some(&told("heavy", 10, 2)), None, start);
        state.learn(&user("a"), Group::Heavy, "list", Some(&told("heavy", 10, 2)), None, start);
        assert_eq!(state.admit(&user("a"), Group::Heavy, "list", start), None);
        assert_eq!(state.admit(&user("a"), Group::Heavy, "list", start), None);
        assert_eq!(state.admit(&user("a"), Group::Heavy, "list", start), Some(SECOND * 60));
    }

    #[test]
    fn a_penalty_silences_its_group_or_the_whole_user() {
        let (mut state, start) = (State::default(), Instant::now());
        let headers = told("heavy", 10, 0);
        state.learn(&user("a"), Group::Heavy, "list", Some(&headers), Some(SECOND * 90), start);
        assert_eq!(state.admit(&user("a"), Group::Heavy, "list", start), Some(SECOND * 90));
        assert_eq!(state.admit(&user("a"), Group::Light, "read", start), None);
        assert_eq!(state.admit(&user("a"), Group::Heavy, "list", start + SECOND * 90), None);

        state.learn(&user("a"), Group::Light, "read", None, Some(SECOND * 30), start);
        assert_eq!(state.admit(&user("a"), Group::Medium, "send", start + SECOND), Some(SECOND * 29));
        assert_eq!(state.admit(&user("b"), Group::Medium, "send", start + SECOND), None);
    }

    #[test]
    fn limits_and_groups_are_those_of_the_answers() {
        let (mut state, start) = (State::default(), Instant::now());
        state.learn(&user("a"), Group::Light, "read", Some(&told("strange", 2, 2)), None, start);
        assert_eq!(state.admit(&user("a"), Group::Light, "read", start), None);
        assert_eq!(state.admit(&user("a"), Group::Light, "read", start), None);
        assert!(state.admit(&user("a"), Group::Light, "read", start).is_some());
        assert_eq!(state.admit(&user("a"), Group::Light, "other", start), None);
        // A limit of zero would wait for ever: one call at a time remains.
        state.learn(&user("a"), Group::Light, "other", Some(&told("light", 0, 0)), None, start);
        assert!(state.admit(&user("a"), Group::Light, "other", start).is_some());
        assert_eq!(state.admit(&user("a"), Group::Light, "other", start + SECOND * 61), None);
    }

    #[tokio::test(start_paused = true)]
    async fn five_hundred_callers_never_pass_the_limit() {
        let limiter = Limiter::with_max_wait(Duration::from_secs(3600));
        let start = Instant::now();
        let calls = (0..500).map(|_| async {
            limiter.admit(&user("a"), Group::Medium, "send").await.expect("admitted");
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
    async fn a_wait_that_is_too_long_is_refused_at_once() {
        let limiter = Limiter::with_max_wait(SECOND * 10);
        for _ in 0..5 {
            limiter.admit(&user("a"), Group::Auth, "refresh").await.expect("admitted");
        }
        let error = limiter.admit(&user("a"), Group::Auth, "refresh").await.expect_err("refused");
        assert_eq!(error.kind(), Kind::RateLimited);
        assert_eq!(error.retry(), Retry::After(SECOND * 60));
        assert_eq!(error.sent(), super::super::Sent::No);
    }
}
