//! Faults: what `PUT /_sim/faults` makes go wrong, on which requests, how often.

use axum::http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::{Millis, SECOND};

/// Which requests a fault is for. What is absent matches everything.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// The HTTP method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// A part of the request path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The extension id of the user, as text or number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Value>,
}

/// Where a connection is reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reset {
    /// Before the request's body is read. Nothing was done.
    BeforeBody,
    /// After the request's body is read. Nothing was done either, but the client cannot know.
    AfterBody,
}

/// A 429 that goes on for a while.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RateLimit {
    /// Seconds for `Retry-After`; without it the 429 has no header that says how long, and lasts 30 s.
    pub retry_after: Option<i64>,
    /// Does each further request start the penalty again?
    pub penalty_restarts: bool,
}

/// What happens: at most one ending, and delays where something is answered or done.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Do {
    /// Answer with this status; nothing is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Headers of that answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Map<String, Value>>,
    /// Body of that answer: text as it is, anything else as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Act, then hold the answer back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Hold the request back, then act.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_before_ms: Option<u64>,
    /// Never answer; nothing is done.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hang: bool,
    /// Reset the connection; nothing is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset: Option<Reset>,
    /// Act, then reset the connection without an answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub apply_then_drop: bool,
    /// Act, then answer with half of the body.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncate_json: bool,
    /// Answer 429 for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
}

/// One fault.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Which requests.
    #[serde(rename = "match", default)]
    pub matches: Match,
    /// How often; null: always.
    #[serde(default)]
    pub times: Option<u64>,
    /// What happens.
    #[serde(rename = "do")]
    pub act: Do,
    /// How often it has happened.
    #[serde(default)]
    pub fired: u64,
    /// `rateLimit` only: requests refused because the penalty was still on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refused_in_penalty: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    penalty_until: Option<Millis>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Reads a fault list; the error names the field that is wrong.
pub fn parse(list: Value) -> Result<Vec<Fault>, String> {
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
        let act = &self.act;
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
        let ends = [
            act.status.is_some(),
            act.hang,
            act.reset.is_some(),
            act.apply_then_drop,
            act.truncate_json,
            act.rate_limit.is_some(),
        ];
        let ends = ends.iter().filter(|e| **e).count();
        if ends > 1 {
            return Err(("do", "names more than one ending".to_owned()));
        }
        if ends == 0 && act.delay_ms.is_none() && act.delay_before_ms.is_none() {
            return Err(("do", "names nothing to do".to_owned()));
        }
        let nothing_is_done = act.hang || act.reset.is_some() || act.rate_limit.is_some();
        if nothing_is_done && (act.delay_ms.is_some() || act.delay_before_ms.is_some()) {
            return Err(("do", "a delay goes with status, applyThenDrop and truncateJson alone".to_owned()));
        }
        if act.status.is_none() && (act.headers.is_some() || act.body.is_some()) {
            return Err(("do.status", "is missing".to_owned()));
        }
        if let Some(status) = act.status
            && !(200..=599).contains(&status)
        {
            return Err(("do.status", "must be 200 to 599".to_owned()));
        }
        if let Some(headers) = &act.headers {
            for (name, value) in headers {
                let named = axum::http::HeaderName::from_bytes(name.as_bytes()).is_ok();
                if !named || !(value.is_string() || value.is_number()) {
                    return Err(("do.headers", format!("`{name}` is not a header with a text value")));
                }
            }
        }
        Ok(())
    }

    /// Is this fault for such a request? `user` is looked at only if the fault names one.
    pub fn is_for(&self, method: &Method, path: &str, user: Option<i64>) -> bool {
        self.matches.method.as_deref().is_none_or(|m| m == method.as_str())
            && self.matches.path.as_deref().is_none_or(|p| path.contains(p))
            && self.matches.user.as_ref().is_none_or(|wanted| {
                user.is_some_and(|id| match wanted {
                    Value::String(text) => *text == id.to_string(),
                    other => other.as_i64() == Some(id),
                })
            })
    }

    /// Has it any turns left, or a penalty running?
    pub fn is_live(&self, now: Millis) -> bool {
        self.times.is_none_or(|times| self.fired < times) || self.in_penalty(now)
    }

    fn in_penalty(&self, now: Millis) -> bool {
        self.penalty_until.is_some_and(|until| now < until)
    }

    /// Counts this turn and says what to do.
    pub fn fire(&mut self, now: Millis) -> Fired {
        let in_penalty = self.in_penalty(now);
        let mut restarted = false;
        let mut retry_after = None;
        if let Some(limit) = &self.act.rate_limit {
            let seconds = limit.retry_after.unwrap_or(30);
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
        Fired { act: self.act.clone(), retry_after, restarted }
    }
}

/// A fault at work on one request.
#[derive(Debug, Clone)]
pub struct Fired {
    /// What to do.
    pub act: Do,
    /// `rateLimit`: the header's value.
    pub retry_after: Option<i64>,
    /// `rateLimit`: the penalty was started again.
    pub restarted: bool,
}
