//! Rate limits: a sliding window per (user, app, group), and a penalty that every further request starts again.

use std::collections::{HashMap, VecDeque};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::{Millis, SECOND};
use crate::error::ApiError;
use crate::settings::Settings;
use crate::state::World;

/// The throttling group of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// 50 a minute.
    Light,
    /// 40 a minute.
    Medium,
    /// 10 a minute.
    Heavy,
    /// 5 a minute.
    Auth,
}

impl Group {
    /// As the header spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Medium => "medium",
            Self::Heavy => "heavy",
            Self::Auth => "auth",
        }
    }

    fn limit(self, settings: &Settings) -> u32 {
        let limits = &settings.rate_limits;
        match self {
            Self::Light => limits.light,
            Self::Medium => limits.medium,
            Self::Heavy => limits.heavy,
            Self::Auth => limits.auth,
        }
    }
}

/// One window.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Window {
    hits: VecDeque<Millis>,
    penalty_until: Option<Millis>,
}

/// All windows, by `user/app/group`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Limits {
    windows: HashMap<String, Window>,
}

/// What a request learns about its limit.
#[derive(Debug, Clone)]
pub struct Verdict {
    group: &'static str,
    limit: u32,
    remaining: u32,
    window_seconds: u32,
    header: String,
    /// Seconds to wait, if the request is refused.
    retry_after: Option<i64>,
    /// The request fell into a penalty and started it again.
    restarted: bool,
}

impl Verdict {
    /// What the ledger says of it, if the request is refused.
    #[must_use]
    pub fn excess(&self) -> Option<Value> {
        let seconds = self.retry_after?;
        Some(json!({"group": self.group, "retryAfter": seconds, "restarted": self.restarted}))
    }

    /// Writes the `X-Rate-Limit-…` headers, and `Retry-After` when refused.
    pub fn write(&self, headers: &mut HeaderMap) {
        let mut put = |name: String, value: String| {
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.to_lowercase().as_bytes()), HeaderValue::from_str(&value))
            {
                headers.insert(name, value);
            }
        };
        put(format!("{}-Group", self.header), self.group.to_owned());
        put(format!("{}-Limit", self.header), self.limit.to_string());
        put(format!("{}-Remaining", self.header), self.remaining.to_string());
        put(format!("{}-Window", self.header), self.window_seconds.to_string());
        if let Some(seconds) = self.retry_after {
            put("Retry-After".to_owned(), seconds.to_string());
        }
    }
}

impl World {
    /// Notes that a request was refused because of its rate, and answers for it. `limit`: what it ran into.
    pub fn refuse(
        &mut self,
        now: Millis,
        path: &str,
        user: Option<i64>,
        app: Option<&str>,
        mut limit: Value,
    ) -> ApiError {
        limit["path"] = path.into();
        limit["extensionId"] = user.map(|id| id.to_string()).into();
        limit["clientId"] = app.into();
        self.ledger.add(now, "rate_limited", limit);
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "CMN-301", "Request rate exceeded")
    }
}

impl Limits {
    /// Counts one request; none when limits are switched off.
    pub fn count(
        &mut self,
        settings: &Settings,
        now: Millis,
        user: &str,
        app: &str,
        group: Group,
    ) -> Option<Verdict> {
        settings.rate_limits.enabled.then(|| {
            let key = format!("{user}/{app}/{}", group.name());
            self.hit(settings, now, key, group.name(), group.limit(settings))
        })
    }

    /// Counts one token call of an app, if there is a limit over all its users.
    pub fn count_app(&mut self, settings: &Settings, now: Millis, app: &str) -> Option<Verdict> {
        let limit = settings.rate_limits.auth_per_app.filter(|_| settings.rate_limits.enabled)?;
        Some(self.hit(settings, now, format!("*/{app}/auth"), Group::Auth.name(), limit))
    }

    fn hit(
        &mut self,
        settings: &Settings,
        now: Millis,
        key: String,
        group: &'static str,
        limit: u32,
    ) -> Verdict {
        let span = settings.rate_window();
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
        Verdict {
            group,
            limit,
            remaining: if refused { 0 } else { limit - used - 1 },
            window_seconds: settings.rate_limits.window_seconds,
            header: settings.rate_limit_header.clone(),
            retry_after: refused.then_some(penalty_seconds),
            restarted: in_penalty,
        }
    }
}
