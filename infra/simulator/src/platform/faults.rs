//! Faults of `PUT /_sim/faults`: which requests fail, how, and how often.

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::platform::clock::{Millis, SECOND};

/// The penalty of a `rateLimit` fault without `retryAfter`, in seconds.
const DEFAULT_PENALTY_SECONDS: i64 = 30;

/// Selects requests. An absent field matches every request.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultMatch {
    /// In capitals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// A substring of the request path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The extension id of the user, as text or number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Value>,
}

/// When a connection is reset. The request has no effect in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionReset {
    /// Before the body of the request is read.
    BeforeBody,
    /// After the body of the request is read; the client cannot know that nothing was done.
    AfterBody,
}

/// A rate limit: every matching request gets a 429 until the penalty ends.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RateLimitFault {
    /// Seconds. Without it, the 429 has no `Retry-After` and the penalty takes 30 s.
    pub retry_after: Option<i64>,
    /// Whether each further request restarts the penalty.
    pub penalty_restarts: bool,
}

/// The effect of a fault: at most one ending, and delays where the ending allows them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RequestFaultAction {
    /// Replies with this status; the request has no effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Headers of that reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Map<String, Value>>,
    /// Body of that reply: a string as it is, any other value as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Processes the request, then delays the reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Delays the processing of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_before_ms: Option<u64>,
    /// Never replies; the request has no effect.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hang: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset: Option<ConnectionReset>,
    /// Processes the request, then resets the connection without a reply.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub apply_then_drop: bool,
    /// Processes the request, then replies with half of the body.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncate_json: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimitFault>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    #[serde(rename = "match", default)]
    pub matches: FaultMatch,
    /// How often it fires; `None` means always.
    #[serde(default)]
    pub times: Option<u64>,
    #[serde(rename = "do")]
    pub action: RequestFaultAction,
    /// How often it has fired.
    #[serde(default)]
    pub fired: u64,
    /// `rateLimit` only: requests refused during a penalty that an earlier request started.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refused_in_penalty: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    penalty_until: Option<Millis>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Parses a fault list. The error names the wrong field.
pub fn parse_faults(list: Value) -> Result<Vec<Fault>, String> {
    if !list.is_array() {
        return Err("the body must be a JSON array of faults".to_owned());
    }
    let faults: Vec<Fault> =
        serde_path_to_error::deserialize(list).map_err(|e| format!("{}: {}", e.path(), e.inner()))?;
    for (index, fault) in faults.iter().enumerate() {
        fault.check().map_err(|(field, rule)| format!("[{index}].{field}: {rule}"))?;
    }
    Ok(faults)
}

impl Fault {
    fn check(&self) -> Result<(), (&'static str, String)> {
        let action = &self.action;
        if let Some(method) = &self.matches.method
            && !["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"].contains(&method.as_str())
        {
            return Err(("match.method", format!("`{method}` is not an HTTP method in capitals")));
        }
        if let Some(user) = &self.matches.user
            && !(user.is_string() || user.is_i64())
        {
            return Err(("match.user", "must be an extension id".to_owned()));
        }
        if self.fired != 0 || self.refused_in_penalty != 0 {
            return Err(("fired", "is counted by the simulator".to_owned()));
        }
        let endings = [
            action.status.is_some(),
            action.hang,
            action.reset.is_some(),
            action.apply_then_drop,
            action.truncate_json,
            action.rate_limit.is_some(),
        ];
        let endings = endings.iter().filter(|e| **e).count();
        if endings > 1 {
            return Err(("do", "has more than one ending".to_owned()));
        }
        if endings == 0 && action.delay_ms.is_none() && action.delay_before_ms.is_none() {
            return Err(("do", "has no ending and no delay".to_owned()));
        }
        let refuses_delays = action.hang || action.reset.is_some() || action.rate_limit.is_some();
        if refuses_delays && (action.delay_ms.is_some() || action.delay_before_ms.is_some()) {
            let rule = "a delay can be combined only with status, applyThenDrop and truncateJson";
            return Err(("do", rule.to_owned()));
        }
        if action.status.is_none() && (action.headers.is_some() || action.body.is_some()) {
            return Err(("do.status", "is missing".to_owned()));
        }
        if let Some(status) = action.status
            && !(200..=599).contains(&status)
        {
            return Err(("do.status", "must be 200 to 599".to_owned()));
        }
        if let Some(headers) = &action.headers {
            for (name, value) in headers {
                let valid_name = http::HeaderName::from_bytes(name.as_bytes()).is_ok();
                if !valid_name || !(value.is_string() || value.is_number()) {
                    return Err(("do.headers", format!("`{name}` must be a header with a text value")));
                }
            }
        }
        Ok(())
    }

    /// `user` is the extension id of the caller, if known.
    #[must_use]
    pub fn matches(&self, method: &Method, path: &str, user: Option<i64>) -> bool {
        self.matches.method.as_deref().is_none_or(|m| m == method.as_str())
            && self.matches.path.as_deref().is_none_or(|p| path.contains(p))
            && self.matches.user.as_ref().is_none_or(|extension_id| {
                user.is_some_and(|id| match extension_id {
                    Value::String(text) => *text == id.to_string(),
                    other => other.as_i64() == Some(id),
                })
            })
    }

    /// Whether it fires at least once more, or a penalty is running.
    #[must_use]
    pub fn is_live(&self, now: Millis) -> bool {
        self.times.is_none_or(|times| self.fired < times) || self.in_penalty(now)
    }

    fn in_penalty(&self, now: Millis) -> bool {
        self.penalty_until.is_some_and(|until| now < until)
    }

    /// Counts one request that the fault applies to.
    pub fn fire(&mut self, now: Millis) -> FiredFault {
        let in_penalty = self.in_penalty(now);
        let mut restarted = false;
        let mut retry_after = None;
        if let Some(limit) = &self.action.rate_limit {
            let seconds = limit.retry_after.unwrap_or(DEFAULT_PENALTY_SECONDS);
            restarted = in_penalty && limit.penalty_restarts;
            if !in_penalty || restarted {
                self.penalty_until = Some(now + seconds * SECOND);
            }
            let left = self.penalty_until.map_or(seconds, |until| (until - now + SECOND - 1) / SECOND);
            retry_after = limit.retry_after.map(|_| left);
        }
        if in_penalty {
            self.refused_in_penalty += 1;
        } else {
            self.fired += 1;
        }
        FiredFault { action: self.action.clone(), retry_after, restarted }
    }
}

/// A fault that applies to one request.
#[derive(Debug, Clone)]
pub struct FiredFault {
    pub action: RequestFaultAction,
    /// `rateLimit` only: the value of `Retry-After`.
    pub retry_after: Option<i64>,
    /// `rateLimit` only: whether the request restarted the penalty.
    pub restarted: bool,
}
