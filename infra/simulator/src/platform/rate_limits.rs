//! Rate limits: a sliding window per user, app and group, and a penalty that each further request restarts.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::platform::clock::{Millis, SECOND};
use crate::platform::settings::{PlatformSettings, RateLimitHeader};

/// The rate limit group of an endpoint. Headers spell it in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RateLimitGroup {
    Light,
    Medium,
    Heavy,
    Auth,
}

impl RateLimitGroup {
    /// Requests per window.
    #[must_use]
    pub fn limit(self, settings: &PlatformSettings) -> u32 {
        let limits = &settings.rate_limits;
        match self {
            Self::Light => limits.light,
            Self::Medium => limits.medium,
            Self::Heavy => limits.heavy,
            Self::Auth => limits.auth,
        }
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct RateWindow {
    hits: VecDeque<Millis>,
    penalty_until: Option<Millis>,
}

/// All windows, by `user/app/group`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RateWindows {
    windows: HashMap<String, RateWindow>,
}

/// The values of the rate limit headers of one reply.
#[derive(Debug, Clone)]
pub struct RateLimitState {
    pub group: RateLimitGroup,
    pub limit: u32,
    pub remaining: u32,
    pub window_seconds: u32,
    pub header: RateLimitHeader,
    /// Seconds to wait, if the request is refused.
    pub retry_after: Option<i64>,
    /// Whether the request came during a penalty, which it restarted.
    restarted: bool,
}

impl RateLimitState {
    /// The state of a group that is exhausted, as on a refused request.
    #[must_use]
    pub fn exhausted(settings: &PlatformSettings, group: RateLimitGroup, retry_after: Option<i64>) -> Self {
        Self {
            group,
            limit: group.limit(settings),
            remaining: 0,
            window_seconds: settings.rate_limits.window_seconds,
            header: settings.rate_limit_header,
            retry_after,
            restarted: false,
        }
    }

    /// The fields of a ledger entry, if the request is refused.
    #[must_use]
    pub fn refusal(&self) -> Option<Value> {
        let seconds = self.retry_after?;
        Some(json!({"group": self.group, "retryAfter": seconds, "restarted": self.restarted}))
    }
}

impl RateWindows {
    /// Counts one request; `None` if limits are disabled.
    pub fn count(
        &mut self,
        settings: &PlatformSettings,
        now: Millis,
        user: &str,
        app: &str,
        group: RateLimitGroup,
    ) -> Option<RateLimitState> {
        let key = format!("{user}/{app}/{group:?}");
        settings.rate_limits.enabled.then(|| self.hit(settings, now, key, group, group.limit(settings)))
    }

    /// Counts one token call of an app; `None` unless the settings limit the app's users together.
    pub fn count_app(
        &mut self,
        settings: &PlatformSettings,
        now: Millis,
        app: &str,
    ) -> Option<RateLimitState> {
        let limit = settings.rate_limits.auth_per_app.filter(|_| settings.rate_limits.enabled)?;
        Some(self.hit(settings, now, format!("*/{app}/auth"), RateLimitGroup::Auth, limit))
    }

    fn hit(
        &mut self,
        settings: &PlatformSettings,
        now: Millis,
        key: String,
        group: RateLimitGroup,
        limit: u32,
    ) -> RateLimitState {
        let span = Millis::from(settings.rate_limits.window_seconds) * SECOND;
        let penalty_seconds = i64::from(settings.rate_limits.penalty_seconds);
        let window = self.windows.entry(key).or_default();
        while window.hits.front().is_some_and(|at| *at <= now - span) {
            window.hits.pop_front();
        }
        let in_penalty = window.penalty_until.is_some_and(|until| now < until);
        if !in_penalty && window.penalty_until.take().is_some() {
            window.hits.clear();
        }
        let used = u32::try_from(window.hits.len()).unwrap_or(u32::MAX);
        let refused = in_penalty || used >= limit;
        if refused {
            window.penalty_until = Some(now + penalty_seconds * SECOND);
        } else {
            window.hits.push_back(now);
        }
        RateLimitState {
            group,
            limit,
            remaining: if refused { 0 } else { limit - used - 1 },
            window_seconds: settings.rate_limits.window_seconds,
            header: settings.rate_limit_header,
            retry_after: refused.then_some(penalty_seconds),
            restarted: in_penalty,
        }
    }
}
