//! Refusals of requests that exceed a rate limit.

use serde_json::Value;

use crate::platform::clock::Millis;
use crate::platform::errors::RestError;
use crate::platform::ledger::LedgerKind;
use crate::platform::sessions::LoginSession;
use crate::platform::state::PlatformState;

/// Who exceeded a limit, as far as known.
#[derive(Debug, Clone, Default)]
pub struct LimitedCaller {
    pub extension_id: Option<i64>,
    pub client_id: Option<String>,
}

impl LimitedCaller {
    #[must_use]
    pub fn of(session: &LoginSession) -> Self {
        Self { extension_id: Some(session.extension_id), client_id: Some(session.client_id.clone()) }
    }
}

impl PlatformState {
    /// Records a refusal in the ledger and returns its error. `limit` describes the limit that was exceeded.
    pub fn refuse_for_rate(
        &mut self,
        now: Millis,
        path: &str,
        caller: &LimitedCaller,
        mut limit: Value,
    ) -> RestError {
        limit["path"] = path.into();
        limit["extensionId"] = caller.extension_id.map(|id| id.to_string()).into();
        limit["clientId"] = caller.client_id.clone().into();
        self.ledger.add(now, LedgerKind::RateLimited, limit);
        RestError::rate_exceeded()
    }
}
